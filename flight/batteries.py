"""A full battery between two flights: asked of a person, or told to a simulated vehicle."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.errors import FlightError
from flight.vehicle import Vehicle
from missions.plan import Sortie


@dataclass(frozen=True)
class BatterySwap:
    """A vehicle stands landed and disarmed, and needs a full battery for its next sortie.

    Attributes:
        vehicle: The vehicle, for a simulated swap.
        system_id: Its number.
        url: Its link.
        remaining: Share left in the old battery, NaN where unknown.
        next_sortie: What the new one is for.
    """

    vehicle: Vehicle
    system_id: int
    url: str
    remaining: float
    next_sortie: Sortie


SwapBattery = Callable[[BatterySwap], Awaitable[None] | None]


async def swap_simulated(swap: BatterySwap) -> None:
    """Tells a simulated vehicle that its battery is full (MAV_CMD_BATTERY_RESET); pass it as `swap_battery`."""
    outcome = await swap.vehicle.command(
        mavlink.MAV_CMD_BATTERY_RESET, 1, 100, what=f"{swap.vehicle.name}: battery swap", reason="simulated swap"
    )
    outcome.require()
    await swap.vehicle.until(lambda: remaining_of(swap.vehicle) > 0.95, 5.0)


def remaining_of(vehicle: Vehicle) -> float:
    """Share left in its battery, NaN where it does not say."""
    battery = vehicle.state.battery
    return battery.remaining if battery else math.nan


async def change_battery(change: SwapBattery, swap: BatterySwap) -> str:
    """Has the battery changed; why it was not, "" where it was.

    A person is asked in a thread of its own, which may be left waiting for ever: the other vehicles fly on meanwhile,
    and a program that ends does not wait for somebody to press Enter.
    """
    try:
        if inspect.iscoroutinefunction(change):
            await change(swap)
        else:
            await _in_a_thread(lambda: change(swap))
    except FlightError as error:
        return str(error)
    return ""


async def _in_a_thread(work: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failed: BaseException | None = None
        try:
            work()
        except Exception as error:
            failed = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, failed)

    threading.Thread(target=run, name="battery", daemon=True).start()
    await done
