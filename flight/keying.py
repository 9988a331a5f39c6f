"""Gives a vehicle its signing key (SETUP_SIGNING) and sees that it took it.

The message carries the key in clear text, so it belongs on a cable. It goes past every record: neither the tlog nor
the command record sees it.
"""

from __future__ import annotations

import asyncio

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.errors import FlightError, LinkError
from flight.signing import SigningKey, now_ticks
from flight.station import Station

# It has no acknowledgement: said this often, and then the vehicle is asked to prove it.
_TIMES, _APART_S = 4, 0.25
_LOCAL = ("127.0.0.1", "localhost", "::1")


def is_private(url: str) -> bool:
    """Whether a key may be sent over this link without asking: a cable, or this machine itself."""
    return url.startswith("serial:") or url.split(":")[1:2][0] in _LOCAL if ":" in url else False


async def give_key(url: str, key: SigningKey, *, speedup: float = 1.0) -> tuple[int, ...]:
    """Keys every vehicle on a link and connects to it again with the key.

    Returns:
        System ids of the vehicles that now answer signed.

    Raises:
        LinkError: Nothing there, or it does not answer signed afterwards.
        FlightError: A vehicle is armed.
    """
    async with Station(speedup=speedup) as station:
        vehicles = await station.connect(url)
        for vehicle in vehicles:
            if vehicle.state.armed:
                raise FlightError(f"{vehicle.name} is armed: a key is given on the ground only")
        for _ in range(_TIMES):
            for vehicle in vehicles:
                vehicle.send_unrecorded(
                    mavlink.MAVLink_setup_signing_message(
                        vehicle.system_id, vehicle.component_id, list(key.secret), now_ticks()
                    )
                )
            await asyncio.sleep(_APART_S)
    # One that has a key already takes no other from a stranger: whether it is this one, the proof tells.
    return await _proven(url, key, speedup)


async def _proven(url: str, key: SigningKey, speedup: float) -> tuple[int, ...]:
    async with Station(speedup=speedup, key=key) as station:
        vehicles = await station.connect(url)
        for vehicle in vehicles:
            outcome = await vehicle.command(
                mavlink.MAV_CMD_REQUEST_MESSAGE, mavlink.MAVLINK_MSG_ID_AUTOPILOT_VERSION, what="a signed question"
            )
            if outcome.result == "no answer":
                raise LinkError(f"{vehicle.name} signs, but does not take what is signed with this key: key it again")
        return tuple(vehicle.system_id for vehicle in vehicles)
