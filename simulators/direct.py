"""A fleet without sockets or processes, on a clock turned by hand: for tests that fly thousands of minutes.

fleet = DirectFleet(3, homes, seed=7)
link = fleet.link(1)
link.write(frame_bytes)
fleet.advance(0.1)
link.read()
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from simulators.copter.channel import Channel
from simulators.copter.dynamics import STEP_S
from simulators.copter.linkfaults import FaultyLink
from simulators.copter.server import FleetConfig, FleetServer
from simulators.copter.vehicle import Vehicle

_START_UTC = datetime(2026, 1, 1, tzinfo=UTC)


class DirectLink:
    """One client's link to one vehicle; frames travel while the clock is turned.

    Attributes:
        faults: What happens to frames on the way.
    """

    def __init__(self, vehicle: Vehicle, faults: FaultyLink, fleet: DirectFleet) -> None:
        self.vehicle, self.faults = vehicle, faults
        self.channel = Channel(vehicle.system_id)
        self._fleet = fleet
        self._arrived = bytearray()
        vehicle.attach(self.channel)

    def write(self, data: bytes) -> None:
        """Sends bytes to the vehicle; on a perfect link they are there at once."""
        if self.faults.up.idle:
            self._hand_over(data)
        else:
            self.faults.up.send(data, self._fleet.time_s)

    def read(self) -> bytes:
        """Everything that has arrived since the last call."""
        self._collect()
        data = bytes(self._arrived)
        self._arrived.clear()
        return data

    def close(self) -> None:
        """Hangs up."""
        self.vehicle.detach(self.channel)
        self._fleet.links.remove(self)

    def exchange(self) -> None:
        """Moves on what is under way; called by the fleet after every step."""
        if not self.faults.up.idle:
            self._hand_over(self.faults.up.receive(self._fleet.time_s))
        self._collect()

    def _hand_over(self, data: bytes) -> None:
        for message in self.channel.decoder.feed(data):
            self.vehicle.receive(self.channel, message)

    def _collect(self) -> None:
        if self.faults.down.idle:
            self._arrived += self.channel.take()
            return
        if self.channel.pending:
            self.faults.down.send(self.channel.take(), self._fleet.time_s)
        self._arrived += self.faults.down.receive(self._fleet.time_s)


class DirectFleet:
    """Vehicles with system ids 1..N in this process.

    Args:
        count: How many.
        homes: Take-off point of each, (lon, lat, alt_amsl_m).
        settings: The other fields of `SimulatedFleet` (seed, wind_mps, wind_from_deg, gps_noise_m, cards_dir, camera,
            start_utc).
    """

    def __init__(self, count: int, homes: Sequence[tuple[float, float, float]], **settings: Any) -> None:
        settings.setdefault("start_utc", _START_UTC)
        self._server = FleetServer(FleetConfig(homes=tuple(homes[:count]), stepped=True, **settings))
        self.vehicles = self._server.vehicles
        self.crew = self._server.crew
        self.links: list[DirectLink] = []

    @property
    def time_s(self) -> float:
        """Simulated seconds since power-on."""
        return self._server.time_s

    def link(self, system_id: int) -> DirectLink:
        """A new client of a vehicle; its faults are those of the vehicle's radio."""
        vehicle = self.crew.vehicle(system_id)
        link = DirectLink(vehicle, vehicle.radio, self)
        self.links.append(link)
        return link

    def advance(self, seconds: float) -> None:
        """Turns the clock on, 0.02 s at a time."""
        for _ in range(round(seconds / STEP_S)):
            self._server.step()
            for link in self.links:
                link.exchange()
