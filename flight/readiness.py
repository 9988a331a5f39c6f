"""Preflight without flying: are these vehicles ready for their first sorties of this plan?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flight.errors import FlightError
from flight.operation import policy_of
from flight.orders import Orders, read_orders
from flight.preflight import Check, blocking, wait_until_ready
from flight.signing import SigningKey
from flight.station import Station
from flight.vehicle import Vehicle
from missions.plan import read_plan


@dataclass(frozen=True)
class Readiness:
    """One vehicle's grades for the sortie it would fly first."""

    system_id: int
    url: str
    sortie_id: str
    checks: tuple[Check, ...]

    @property
    def go(self) -> bool:
        """Whether nothing stands against a take-off."""
        return not blocking(self.checks)


async def _check(
    plan_dir: Path, urls: Sequence[str], wait_s: float, max_home_offset_m: float, speedup: float, key: SigningKey | None
) -> list[Readiness]:
    plan = read_plan(plan_dir)
    folder = plan_dir if plan_dir.is_dir() else plan_dir.parent
    policy = policy_of(plan.aircraft, max_home_offset_m)
    async with Station(speedup=speedup, key=key) as station:
        found = await asyncio.gather(*(station.connect(url) for url in urls))
        pairs = [(vehicle, url) for url, vehicles in zip(urls, found, strict=True) for vehicle in vehicles]
        orders = [read_orders(folder, sortie) for sortie in plan.sorties[: len(pairs)]]

        async def one(vehicle: Vehicle, url: str, of: Orders) -> Readiness:
            await vehicle.request_streams()
            checks = await wait_until_ready(vehicle, of, policy, wait_s=wait_s)
            return Readiness(vehicle.system_id, url, of.sortie.id, tuple(checks))

        return list(await asyncio.gather(*(one(v, u, o) for (v, u), o in zip(pairs, orders, strict=False))))


def check_readiness(
    plan_dir: Path,
    urls: Sequence[str],
    *,
    wait_s: float = 60.0,
    max_home_offset_m: float = 30.0,
    speedup: float = 1.0,
    key: SigningKey | None = None,
) -> list[Readiness]:
    """Connects to the vehicles, waits up to `wait_s` for what comes by itself, and grades them; changes nothing.

    Raises:
        FlightError: No vehicle given, or one cannot be reached.
        MissionsError: The plan cannot be read.
    """
    if not urls:
        raise FlightError("no vehicle to check: give --connect URL")
    return asyncio.run(_check(plan_dir, urls, wait_s, max_home_offset_m, speedup, key))
