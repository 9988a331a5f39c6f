"""Faults by command: one name each, with what it takes. The truth is changed; the autopilot finds out by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulators.copter.linkfaults import LinkQuality
from simulators.errors import SimulatorError

if TYPE_CHECKING:
    from simulators.copter.vehicle import Vehicle

Fault = Callable[["Vehicle", dict[str, Any]], None]


def _link(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """Loss, delay, duplication, reordering, corruption, silence; `direction` up, down or both."""
    values = dict(values)
    direction = values.pop("direction", "both")
    try:
        quality = LinkQuality(**values)
    except TypeError as error:
        raise SimulatorError(f"link fault: {error}; it takes {', '.join(LinkQuality.__annotations__)}") from error
    if direction in ("up", "both"):
        vehicle.radio.up.quality = quality
    if direction in ("down", "both"):
        vehicle.radio.down.quality = quality


def _gps_glitch(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """The fix jumps by `north_m` and `east_m`; zeros end it."""
    vehicle.pilot.sensors.glitch = (float(values.get("north_m", 0.0)), float(values.get("east_m", 0.0)))


def _gps_loss(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """No fix while `on`."""
    vehicle.pilot.sensors.gps_off = bool(values.get("on", True))


def _compass(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """The compass is off by `offset_deg`, and drifts on at `rate_dps`."""
    sensors = vehicle.pilot.sensors
    sensors.compass_rate_rps = math.radians(float(values.get("rate_dps", 0.0)))
    sensors.compass_offset_rad = math.radians(float(values.get("offset_deg", 0.0)))


def _baro(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """The baro drifts by `rate_mps`, from an offset of `offset_m` where that is given."""
    sensors = vehicle.pilot.sensors
    sensors.baro_rate_mps = float(values.get("rate_mps", 0.0))
    sensors.baro_drift_m = float(values.get("offset_m", sensors.baro_drift_m))


def _motor(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """The motors still give `share` of their thrust (0.75: one of four is gone)."""
    vehicle.pilot.body.motor_share = min(1.0, max(0.0, float(values.get("share", 0.75))))


def _battery(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """`percent` of the pack's capacity is gone at once."""
    vehicle.pilot.battery.drop(float(values.get("percent", 20.0)))


def _shutter(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """The next `count` presses expose nothing."""
    vehicle.autopilot.shutter.skip = int(values.get("count", 1))


def _reboot(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """The autopilot restarts, in the air too."""
    vehicle.reboot()


def _wind(vehicle: Vehicle, values: dict[str, Any]) -> None:
    """The wind becomes `speed_mps` from `from_deg`."""
    vehicle.pilot.body.wind.set(float(values.get("speed_mps", 0.0)), float(values.get("from_deg", 0.0)))


FAULTS: dict[str, Fault] = {
    "link": _link, "gps_glitch": _gps_glitch, "gps_loss": _gps_loss, "compass": _compass, "baro": _baro,
    "motor": _motor, "battery": _battery, "shutter": _shutter, "reboot": _reboot, "wind": _wind,
}  # fmt: skip


def break_it(vehicle: Vehicle, name: str, values: dict[str, Any]) -> None:
    """Carries out a fault.

    Raises:
        SimulatorError: There is no such fault, or a value makes no sense.
    """
    fault = FAULTS.get(name)
    if fault is None:
        raise SimulatorError(f"no fault {name!r}: one of {', '.join(sorted(FAULTS))}")
    try:
        fault(vehicle, values)
    except (TypeError, ValueError) as error:
        raise SimulatorError(f"fault {name}: {error}") from error
