"""DroneKit's value types, with its names and argument orders."""

from __future__ import annotations

from dataclasses import dataclass

from flight.items import WireItem


@dataclass(frozen=True)
class VehicleMode:
    """A flight mode by name."""

    name: str

    def __str__(self) -> str:
        return f"VehicleMode:{self.name}"


@dataclass
class LocationGlobal:
    """Degrees, and metres above sea level."""

    lat: float
    lon: float
    alt: float | None = None


@dataclass
class LocationGlobalRelative:
    """Degrees, and metres above home."""

    lat: float
    lon: float
    alt: float | None = None


@dataclass(frozen=True)
class Attitude:
    """Radians."""

    pitch: float
    yaw: float
    roll: float


@dataclass(frozen=True)
class Battery:
    """Volts, amperes, percent."""

    voltage: float | None
    current: float | None
    level: int | None


@dataclass(frozen=True)
class GPSInfo:
    """As DroneKit names it."""

    eph: int | None
    epv: int | None
    fix_type: int
    satellites_visible: int


class Command:
    """A mission item with DroneKit's thirteen positional arguments; x is latitude, y longitude, z height."""

    def __init__(
        self, target_system: int, target_component: int, seq: int, frame: int, command: int, current: int,
        autocontinue: int, param1: float, param2: float, param3: float, param4: float, x: float, y: float, z: float,
    ) -> None:  # fmt: skip
        self.seq, self.frame, self.command = seq, frame, command
        self.current, self.autocontinue = current, autocontinue
        self.param1, self.param2, self.param3, self.param4 = param1, param2, param3, param4
        self.x, self.y, self.z = x, y, z

    def wire(self) -> WireItem:
        """For the air."""
        params = (float(self.param1), float(self.param2), float(self.param3), float(self.param4))
        # ArduPilot keeps a waypoint's place; 0 0 for a take-off means "here".
        return WireItem(self.command, self.frame, params, round(self.x * 1e7), round(self.y * 1e7), float(self.z))

    @classmethod
    def of(cls, seq: int, item: WireItem) -> Command:
        """From the air."""
        return cls(0, 0, seq, item.frame, item.command, 0, item.autocontinue, *item.params, item.lat, item.lon, item.z)


@dataclass(frozen=True)
class Locations:
    """`vehicle.location`."""

    global_frame: LocationGlobal
    global_relative_frame: LocationGlobalRelative
