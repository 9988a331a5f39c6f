"""Preflight without flying: are these vehicles ready for their first sorties of this plan?

Nothing is written to a vehicle, unless a named person asks that its parameters be set to what the policy demands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.delivery import read_list
from flight.errors import FlightError, TransferError
from flight.items import TYPE_NAMES, first_difference
from flight.operation import papers_for, policy_of
from flight.orders import Orders, read_orders
from flight.papers import Papers
from flight.policy import Check, read_policy
from flight.preflight import Override, blocking, check_parameters, wait_until_ready
from flight.setting import Setting
from flight.signing import SigningKey
from flight.station import Station
from flight.vehicle import Vehicle
from missions.plan import read_plan


@dataclass(frozen=True)
class Demands:
    """What the vehicles are graded by.

    Attributes:
        wait_s: How long what comes by itself (GPS, EKF) is waited for.
        max_home_offset_m: How far a vehicle may stand from its sortie's home.
        policy: A bureau's policy file, or None for the aircraft's own limits.
        papers: Approvals, pilots on duty, weather.
        overrides: Failed checks that a named person flies with.
        setting: Who has the parameters set that are not what the policy demands, and why; None only reads them.
    """

    wait_s: float = 60.0
    max_home_offset_m: float = 30.0
    policy: Path | None = None
    papers: Papers | None = None
    overrides: tuple[Override, ...] = ()
    setting: Setting | None = None


@dataclass(frozen=True)
class Readiness:
    """One vehicle's grades for the sortie it would fly first."""

    system_id: int
    url: str
    sortie_id: str
    checks: tuple[Check, ...]
    overrides: tuple[Override, ...] = ()

    @property
    def go(self) -> bool:
        """Whether nothing stands against a take-off."""
        return not blocking(self.checks, self.overrides)


async def _check(
    plan_dir: Path, urls: Sequence[str], demands: Demands, speedup: float, key: SigningKey | None
) -> list[Readiness]:
    plan = read_plan(plan_dir)
    folder = plan_dir if plan_dir.is_dir() else plan_dir.parent
    policy = policy_of(plan.aircraft, demands.max_home_offset_m)
    if demands.policy is not None:
        policy = read_policy(demands.policy, policy)
    papers = papers_for(plan.aircraft, demands.papers)
    async with Station(speedup=speedup, key=key) as station:
        found = await asyncio.gather(*(station.connect(url) for url in urls))
        pairs = [(vehicle, url) for url, vehicles in zip(urls, found, strict=True) for vehicle in vehicles]
        orders = [read_orders(folder, sortie) for sortie in plan.sorties[: len(pairs)]]

        async def one(vehicle: Vehicle, url: str, of: Orders) -> Readiness:
            await vehicle.request_streams()
            checks = await wait_until_ready(
                vehicle, of, policy, wait_s=demands.wait_s, overrides=demands.overrides, papers=papers
            )
            if demands.setting is not None:
                await demands.setting.carry_out(vehicle, policy)
            checks += await check_parameters(vehicle, policy)
            checks += [await _stored(vehicle, of, kind) for kind in TYPE_NAMES]
            return Readiness(vehicle.system_id, url, of.sortie.id, tuple(checks), demands.overrides)

        return list(await asyncio.gather(*(one(v, u, o) for (v, u), o in zip(pairs, orders, strict=False))))


async def _stored(vehicle: Vehicle, orders: Orders, kind: int) -> Check:
    """Whether the vehicle holds this very list already; a flight uploads it and reads it back in any case."""
    name = TYPE_NAMES[kind]
    wanted = {
        mavlink.MAV_MISSION_TYPE_MISSION: orders.mission,
        mavlink.MAV_MISSION_TYPE_FENCE: orders.fence,
        mavlink.MAV_MISSION_TYPE_RALLY: orders.rally,
    }[kind]
    try:
        stored = await read_list(vehicle, kind)
    except TransferError as error:
        return Check(name, "warn", str(error))
    different = first_difference(wanted, stored, kind)
    if different:
        return Check(name, "warn", f"not the plan's ({different}): it is uploaded before the take-off")
    return Check(name, "pass", f"{len(wanted)} items on the vehicle equal the plan's")


def check_readiness(
    plan_dir: Path,
    urls: Sequence[str],
    demands: Demands | None = None,
    *,
    speedup: float = 1.0,
    key: SigningKey | None = None,
) -> list[Readiness]:
    """Connects to the vehicles, waits for what comes by itself, and grades them.

    Changes nothing, but what `demands.setting` asks for.

    Raises:
        FlightError: No vehicle given, one cannot be reached, the policy cannot be read, or a parameter to be set
            belongs to an armed vehicle or keeps its value.
        MissionsError: The plan cannot be read.
    """
    if not urls:
        raise FlightError("no vehicle to check: give --connect URL")
    return asyncio.run(_check(plan_dir, urls, demands or Demands(), speedup, key))
