"""Parameters of a vehicle: read, write, verify; renamed ones are probed, as firmware versions disagree on names."""

from __future__ import annotations

import math
from typing import NamedTuple

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.errors import CommandError
from flight.vehicle import Vehicle

_VALUE = mavlink.MAVLINK_MSG_ID_PARAM_VALUE


class Alias(NamedTuple):
    """A name of a parameter and what one of our units is in its own (100 for centimetres)."""

    name: str
    scale: float


# ArduCopter 4.7 renamed RTL_ALT (cm) to RTL_ALT_M (m) and the SYSID_ pair to MAV_; both generations are flown.
ALIASES: dict[str, tuple[Alias, ...]] = {
    "RTL_ALT_M": (Alias("RTL_ALT_M", 1.0), Alias("RTL_ALT", 100.0)),
    "MAV_SYSID": (Alias("MAV_SYSID", 1.0), Alias("SYSID_THISMAV", 1.0)),
    "MAV_GCS_SYSID": (Alias("MAV_GCS_SYSID", 1.0), Alias("SYSID_MYGCS", 1.0)),
}


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-6)


async def _read(vehicle: Vehicle, names: tuple[str, ...], tries: int) -> tuple[str, float] | None:
    """The first of some names that the vehicle answers to: an unknown one is answered with silence, so all at once."""
    with vehicle.inbox(_VALUE) as inbox:
        for attempt in range(tries):
            for name in names:
                vehicle.send(
                    mavlink.MAVLink_param_request_read_message(
                        vehicle.system_id, vehicle.component_id, name.encode("ascii"), -1
                    )
                )
            wait_s = vehicle.rtt.timeout_s(attempt)
            while (packet := await inbox.get(wait_s)) is not None:
                if packet.fields.param_id in names:
                    return packet.fields.param_id, float(packet.fields.param_value)
    return None


async def read_param(vehicle: Vehicle, name: str, *, tries: int = 4) -> float | None:
    """A parameter's value in our units under any of its names, or None where the vehicle has it under none."""
    aliases = {alias.name: alias.scale for alias in ALIASES.get(name, (Alias(name, 1.0),))}
    found = await _read(vehicle, tuple(aliases), tries)
    return None if found is None else found[1] / aliases[found[0]]


async def write_param(vehicle: Vehicle, name: str, value: float, *, tries: int = 6) -> None:
    """Writes a parameter under the name the vehicle has it by, and reads back what it took.

    Raises:
        CommandError: No such parameter, or it kept another value.
    """
    aliases = {alias.name: alias.scale for alias in ALIASES.get(name, (Alias(name, 1.0),))}
    got = await _read(vehicle, tuple(aliases), 4)
    if got is None:
        raise CommandError(f"{vehicle.name} has no parameter {name}: is it an ArduCopter?")
    known = got[0]
    wanted = value * aliases[known]
    for _ in range(tries):
        if got is not None and _same(got[1], wanted):
            return
        vehicle.send(
            mavlink.MAVLink_param_set_message(
                vehicle.system_id, vehicle.component_id, known.encode("ascii"), wanted, mavlink.MAV_PARAM_TYPE_REAL32
            )
        )
        got = await _read(vehicle, (known,), 3)
    if got is None or not _same(got[1], wanted):
        kept = f"{got[1]:g}" if got else "an unknown value"
        raise CommandError(f"{vehicle.name} keeps {known} at {kept}, not {wanted:g}: set it by hand")
