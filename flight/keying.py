"""Gives a vehicle its signing key (SETUP_SIGNING), changes it or takes it back, and sees that it did.

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


async def give_key(
    url: str, key: SigningKey, *, old: SigningKey | None = None, speedup: float = 1.0
) -> tuple[int, ...]:
    """Keys every vehicle on a link and connects to it again with the key.

    Args:
        url: The link, see `flight.address`.
        key: What it signs with from now on.
        old: The key it has now: it takes a change only from who has that.
        speedup: Of a simulated clock.

    Returns:
        System ids of the vehicles that now answer signed.

    Raises:
        LinkError: Nothing there, or it does not answer signed afterwards.
        FlightError: A vehicle is armed.
    """
    await _tell(url, key.secret, old, speedup)
    # One that has a key already takes no other from a stranger: whether it is this one, the proof tells.
    return await _proven(url, key, speedup)


async def take_key(url: str, old: SigningKey, *, speedup: float = 1.0) -> tuple[int, ...]:
    """Ends signing on every vehicle of a link, and connects to it again without a key.

    Returns:
        System ids of the vehicles that now answer unsigned.

    Raises:
        LinkError: Nothing there, it does not know this key, or still takes nothing unsigned.
        FlightError: A vehicle is armed.
    """
    await _tell(url, bytes(len(old.secret)), old, speedup)
    return await _proven(url, None, speedup)


async def _tell(url: str, secret: bytes, old: SigningKey | None, speedup: float) -> None:
    """Says a key, all zeros for none (common.xml: SETUP_SIGNING), past every record."""
    async with Station(speedup=speedup, key=old) as station:
        vehicles = await station.connect(url)
        for vehicle in vehicles:
            if vehicle.state.armed:
                raise FlightError(f"{vehicle.name} is armed: keys are given and taken on the ground only")
        for _ in range(_TIMES):
            for vehicle in vehicles:
                vehicle.send_unrecorded(
                    mavlink.MAVLink_setup_signing_message(
                        vehicle.system_id, vehicle.component_id, list(secret), now_ticks() if any(secret) else 0
                    )
                )
            await asyncio.sleep(_APART_S)


async def _proven(url: str, key: SigningKey | None, speedup: float) -> tuple[int, ...]:
    async with Station(speedup=speedup, key=key) as station:
        vehicles = await station.connect(url)
        for vehicle in vehicles:
            outcome = await vehicle.command(
                mavlink.MAV_CMD_REQUEST_MESSAGE, mavlink.MAVLINK_MSG_ID_AUTOPILOT_VERSION, what="a signed question"
            )
            if outcome.result == "no answer":
                unheard = "does not take what is signed with this key" if key else "still takes nothing unsigned"
                raise LinkError(f"{vehicle.name} {unheard}: key it again, with the key that it has as the old one")
        return tuple(vehicle.system_id for vehicle in vehicles)
