"""The seam between us and whatever flies: what can be seen, and what can be commanded.

A MAVLink vehicle is both. A DJI dock's aircraft is seen over the Cloud API and commanded by its own platform. A DJI
behind its remote control is neither: a person is asked to fly it, and its memory card tells what was flown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from flight.sortie import SortieFlight
from flight.vehicle import Outcome

ASK_THE_PILOT = "请飞手执行"


@dataclass(frozen=True)
class Sighting:
    """What is known of an aircraft now; NaN and "" where it is not.

    Attributes:
        name: Serial number or system id, as people know it.
        lon: Degrees, WGS84.
        lat: Degrees.
        alt_amsl_m: Height above sea level.
        height_rel_m: Height above take-off.
        speed_mps: Over ground.
        heading_deg: From north, clockwise.
        battery: Share remaining.
        mode: Flight mode in the maker's words.
        progress: Share of the task that is flown.
        age_s: Seconds since the last word of it.
    """

    name: str
    lon: float = math.nan
    lat: float = math.nan
    alt_amsl_m: float = math.nan
    height_rel_m: float = math.nan
    speed_mps: float = math.nan
    heading_deg: float = math.nan
    battery: float = math.nan
    mode: str = ""
    progress: float = math.nan
    age_s: float = math.inf


class VisibleAircraft(Protocol):
    """An aircraft we can see."""

    @property
    def name(self) -> str:
        """As people know it."""
        ...

    def sighting(self) -> Sighting:
        """What is known of it now."""
        ...


class CommandableAircraft(VisibleAircraft, Protocol):
    """An aircraft that does what we say; every order says who gives it and why."""

    async def pause(self, by: str, reason: str) -> Outcome:
        """Stops in the air and stays."""
        ...

    async def resume(self, by: str, reason: str) -> Outcome:
        """Back to where it left its mission, and on."""
        ...

    async def send_home(self, by: str, reason: str) -> Outcome:
        """Returns and lands."""
        ...

    async def land(self, by: str, reason: str) -> Outcome:
        """Lands where it is."""
        ...

    async def goto(self, lon: float, lat: float, height_m: float, by: str, reason: str) -> Outcome:
        """Flies to a place, `height_m` above home."""
        ...


class MavlinkAircraft:
    """A MAVLink vehicle on a sortie, as both."""

    def __init__(self, flight: SortieFlight) -> None:
        self._flight = flight
        helm = flight.helm
        self.pause, self.resume, self.send_home = helm.pause, helm.resume, helm.send_home
        self.land, self.goto = helm.land, helm.goto

    @property
    def name(self) -> str:
        """Its system id and link."""
        return self._flight.vehicle.name

    def sighting(self) -> Sighting:
        """From its telemetry."""
        state = self._flight.vehicle.state
        at, battery = state.position, state.battery
        if at is None:
            return Sighting(self.name, mode=state.mode)
        return Sighting(
            self.name, at.lon, at.lat, at.alt_amsl_m, at.height_rel_m, at.speed_mps, at.heading_deg,
            battery.remaining if battery else math.nan, state.mode,
            self._flight.reached_item / max(self._flight.orders.last_item, 1), state.age_s(at),
        )  # fmt: skip


@dataclass(frozen=True)
class HandFlown:
    """A DJI behind its remote control: nothing of it reaches us in flight."""

    name: str

    def instruction(self) -> str:
        """What the screen says instead of telemetry."""
        return ASK_THE_PILOT
