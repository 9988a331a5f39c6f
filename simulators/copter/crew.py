"""What people do to a simulated fleet from outside MAVLink: carry it, change packs, break things, turn its clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulators.copter.faults import break_it
from simulators.errors import SimulatorError

if TYPE_CHECKING:
    from simulators.copter.server import FleetServer
    from simulators.copter.vehicle import Vehicle


class Crew:
    """Carries out commands given as JSON objects: `do`, usually `system_id`, and what the command needs."""

    def __init__(self, fleet: FleetServer) -> None:
        self._fleet = fleet
        self._acts: dict[str, Callable[[dict[str, Any]], Any]] = {
            "move": self._move,
            "swap_battery": self._swap_battery,
            "parameter": self._parameter,
            "fault": self._fault,
            "state": self._state,
            "advance": self._advance,
        }

    def command(self, line: bytes) -> dict[str, Any]:
        """Does what one line asks; the answer has `value` or `error`."""
        try:
            asked = json.loads(line)
            act = self._acts.get(asked.get("do"))
            if act is None:
                raise SimulatorError(f"no command {asked.get('do')!r}: one of {', '.join(sorted(self._acts))}")
            return {"value": act(asked)}
        except SimulatorError as error:
            return {"error": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"error": f"command not understood: {line[:200]!r} ({error!r})"}

    def vehicle(self, system_id: int) -> Vehicle:
        """A vehicle by its system id.

        Raises:
            SimulatorError: There is none.
        """
        if not 1 <= system_id <= len(self._fleet.vehicles):
            raise SimulatorError(f"no vehicle {system_id}: the fleet has 1..{len(self._fleet.vehicles)}")
        return self._fleet.vehicles[system_id - 1]

    def _move(self, asked: dict[str, Any]) -> None:
        vehicle = self.vehicle(int(asked["system_id"]))
        if not vehicle.autopilot.move_to(float(asked["lon"]), float(asked["lat"]), float(asked["alt_amsl_m"])):
            raise SimulatorError(
                f"vehicle {vehicle.system_id} is armed or in the air: land and disarm it before it is moved"
            )

    def _swap_battery(self, asked: dict[str, Any]) -> None:
        vehicle = self.vehicle(int(asked["system_id"]))
        if not vehicle.swap_battery(float(asked.get("percent", 100.0))):
            raise SimulatorError(f"vehicle {vehicle.system_id} is armed: disarm it before its pack is changed")

    def _parameter(self, asked: dict[str, Any]) -> None:
        vehicle = self.vehicle(int(asked["system_id"]))
        if not vehicle.set_parameter(str(asked["name"]), float(asked["value"])):
            raise SimulatorError(f"vehicle {vehicle.system_id} has no parameter {asked['name']!r}, or not that value")

    def _fault(self, asked: dict[str, Any]) -> None:
        break_it(self.vehicle(int(asked["system_id"])), str(asked["name"]), dict(asked.get("values", {})))

    def _state(self, asked: dict[str, Any]) -> dict[str, Any]:
        vehicle = self.vehicle(int(asked["system_id"]))
        pilot, body = vehicle.pilot, vehicle.pilot.body
        lon, lat = pilot.frame.lonlat(body.north, body.east)
        return {
            "time_utc": vehicle.utc(pilot.time_s).isoformat(), "armed": pilot.armed, "landed": pilot.landed,
            "mode": pilot.mode, "lon": lon, "lat": lat, "height_m": body.up, "battery": pilot.battery.charge,
            "drawn_wh": pilot.battery.drawn_wh, "photos": len(vehicle.album.exposures),
            "item": vehicle.autopilot.sequence.index,
            "refused_frames": sum(channel.decoder.refused.total for channel in vehicle.channels),
        }  # fmt: skip

    def _advance(self, asked: dict[str, Any]) -> float:
        """Turns a stepped clock on by some seconds."""
        if not self._fleet.config.stepped:
            raise SimulatorError("the clock runs by itself: start the fleet with stepped=True to turn it by hand")
        for _ in range(round(float(asked["seconds"]) / 0.02)):
            self._fleet.step()
        return self._fleet.time_s
