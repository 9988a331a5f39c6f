"""Flies a plan: sorties dealt to vehicles like cards, each vehicle on its own, none waiting for another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from flight.airspace import Airspace
from flight.batteries import BatterySwap, SwapBattery, change_battery, remaining_of, swap_simulated
from flight.capturelog import read_captures
from flight.control import ControlServer
from flight.errors import FlightError, LinkError
from flight.events import FlightEvent, FlightResult, Phase, SortieEvent, SortieResult
from flight.orders import Orders, read_orders
from flight.papers import Papers
from flight.policy import Policy, read_policy
from flight.preflight import Override, home_offset_m
from flight.resume import resumed
from flight.signing import SigningKey
from flight.sortie import Files, SortieFlight
from flight.station import Station
from flight.stopping import Stop
from flight.vehicle import Vehicle
from missions.aircraft import load_profile, profile_names
from missions.plan import Sortie, read_plan

__all__ = ["BatterySwap", "Operation", "SwapBattery", "fly_plan", "policy_of", "swap_simulated"]

# A sortie is cut to one battery; three in all mean that something else is wrong.
_MOST_BATTERIES = 3
# A simulated vehicle that the conductor moved, or a receiver that just woke up, tells its place within this time.
_PLACE_WAIT_S = 60.0


def _sum(first: SortieResult, then: SortieResult) -> SortieResult:
    """Two batteries' flights of one sortie as one; the second's end counts, and its captures hold the first's."""
    return replace(
        then,
        tlog=first.tlog,
        photos_missing=first.photos_missing + then.photos_missing,
        duration_s=first.duration_s + then.duration_s,
        energy_wh=first.energy_wh + then.energy_wh,
    )


def policy_of(aircraft: str, max_home_offset_m: float = 30.0) -> Policy:
    """What preflight and guard go by for an aircraft profile; without one, what any ArduCopter can."""
    if aircraft not in profile_names():
        return Policy(max_home_offset_m=max_home_offset_m)
    profile = load_profile(aircraft)
    return Policy(
        battery_wh=profile.battery_wh, max_home_offset_m=max_home_offset_m, cruise_mps=profile.cruise_mps,
        max_airspeed_mps=profile.max_airspeed_mps,
    )  # fmt: skip


def papers_for(aircraft: str, papers: Papers | None) -> Papers:
    """The papers with the class of the aircraft they are for."""
    uas_class = load_profile(aircraft).uas_class if aircraft in profile_names() else ""
    return replace(papers or Papers(), uas_class=uas_class)


class Operation:
    """One run over a plan; `fly_plan` is its front door."""

    def __init__(
        self,
        plan_dir: Path,
        urls: Sequence[str],
        out_dir: Path,
        *,
        operator: str,
        on_event: Callable[[FlightEvent], None] | None,
        on_sortie: Callable[[SortieEvent], None] | None,
        swap_battery: SwapBattery | None,
        max_home_offset_m: float,
        speedup: float,
        key: SigningKey | None,
        overrides: Sequence[Override],
        obstacles: Sequence[tuple[BaseGeometry, float]],
        policy: Path | None = None,
        papers: Papers | None = None,
        interruptible: bool = False,
    ) -> None:
        self.plan = read_plan(plan_dir)
        self.orders = [read_orders(self._folder(plan_dir), sortie) for sortie in self.plan.sorties]
        if not urls:
            raise FlightError("no vehicle to fly with: give --connect URL, or --simulate N")
        if not self.orders:
            raise FlightError(f"{plan_dir} has no sorties: nothing to fly")
        self.urls = urls
        self.out_dir = out_dir
        self.operator = operator
        self.speedup = speedup
        self.key = key
        self.overrides = overrides
        self.results: dict[str, SortieResult] = {}
        self.airspace = Airspace()
        self.obstacles = tuple(obstacles)
        self._on_event = on_event
        self._on_sortie = on_sortie
        self._swap_battery = swap_battery
        self._before_done: set[str] = set()
        base = policy_of(self.plan.aircraft, max_home_offset_m)
        self.policy = base if policy is None else read_policy(policy, base)
        self.orders = [orders.capped(self.policy.max_height_m) for orders in self.orders]
        self.papers = papers_for(self.plan.aircraft, papers)
        self.stop = Stop(lambda: self.airspace.flights, self.emit, operator)
        self._interruptible = interruptible

    @staticmethod
    def _folder(plan_dir: Path) -> Path:
        return plan_dir if plan_dir.is_dir() else plan_dir.parent

    def emit(self, event: FlightEvent) -> None:
        """Tells whoever listens."""
        if isinstance(event, SortieEvent) and self._on_sortie is not None:
            self._on_sortie(event)
        if self._on_event is not None:
            self._on_event(event)

    async def run(self) -> FlightResult:
        """Connects, checks, flies everything, and writes `flight.json`."""
        async with Station(speedup=self.speedup, key=self.key) as station:
            vehicles = await self._connect(station)
            hands = self._deal(vehicles)
            await self._check_homes(hands)
            self.out_dir.mkdir(parents=True, exist_ok=True)
            async with ControlServer(self.out_dir, lambda: self.airspace.flights):
                with self.stop.on_signals() if self._interruptible else contextlib.nullcontext():
                    await self._fly_hands(hands)
        result = FlightResult(tuple(self.results[orders.sortie.id] for orders in self.orders))
        self._write_report(result)
        return result

    async def _fly_hands(self, hands: Sequence[tuple[Vehicle, str, list[Orders]]]) -> None:
        """All hands, until they are done or somebody leaves the vehicles to their failsafes."""
        work = [asyncio.create_task(self._fly_hand(vehicle, url, hand)) for vehicle, url, hand in hands]
        flying: asyncio.Future[Any] = asyncio.gather(*work)
        left: asyncio.Future[Any] = asyncio.create_task(self.stop.left.wait())
        try:
            await asyncio.wait({flying, left}, return_when=asyncio.FIRST_COMPLETED)
            if flying.done():
                flying.result()
        finally:
            left.cancel()
            flying.cancel()
            await asyncio.gather(flying, *work, return_exceptions=True)
        if self.stop.left.is_set():
            for vehicle, url, hand in hands:
                self._give_up(vehicle, url, [orders for orders in hand if orders.sortie.id not in self.results])

    def _give_up(self, vehicle: Vehicle, url: str, hand: Sequence[Orders]) -> None:
        """What was not flown to its end when the vehicles were left."""
        for orders in hand:
            self._refuse(orders, vehicle, url, self.stop.why)
        if hand and vehicle.state.armed:
            first = self.results[hand[0].sortie.id]
            why = f"left to its failsafes in {vehicle.state.mode}: {self.stop.why}"
            self.results[first.sortie_id] = replace(first, state="failed", why=why)

    async def _connect(self, station: Station) -> list[tuple[Vehicle, str]]:
        found = await asyncio.gather(*(station.connect(url) for url in self.urls), return_exceptions=True)
        errors = [result for result in found if isinstance(result, BaseException)]
        for error in errors:
            if not isinstance(error, FlightError):
                raise error
        if errors:
            raise LinkError("; ".join(str(error) for error in errors))
        vehicles = [
            (vehicle, url)
            for url, result in zip(self.urls, found, strict=True)
            if not isinstance(result, BaseException)
            for vehicle in result
        ]
        await asyncio.gather(*(vehicle.request_streams() for vehicle, _ in vehicles))
        return vehicles

    def _deal(self, vehicles: Sequence[tuple[Vehicle, str]]) -> list[tuple[Vehicle, str, list[Orders]]]:
        hands: list[tuple[Vehicle, str, list[Orders]]] = [(vehicle, url, []) for vehicle, url in vehicles]
        for index, orders in enumerate(self.orders):
            hands[index % len(hands)][2].append(orders)
        return [hand for hand in hands if hand[2]]

    async def _check_homes(self, hands: Sequence[tuple[Vehicle, str, list[Orders]]]) -> None:
        """All vehicles stand at the home of their first sortie, or nobody flies."""
        whys = await asyncio.gather(*(self._at_home(vehicle, url, hand[0]) for vehicle, url, hand in hands))
        if any(whys):
            raise FlightError("; ".join(why for why in whys if why))

    async def _at_home(self, vehicle: Vehicle, url: str, orders: Orders) -> str:
        """Why the vehicle may not start here, "" where it may."""
        if orders.sortie.id not in self._before_done:
            self._before_done.add(orders.sortie.id)
            self.emit(SortieEvent("before", orders.sortie, vehicle.system_id, url))
        limit_m = self.policy.max_home_offset_m
        before_s = vehicle.state.boot_s

        def told() -> bool:
            offset_m = home_offset_m(vehicle, orders)
            # One look is not enough: the last position may be from before the vehicle was moved here.
            return offset_m <= limit_m or (offset_m == offset_m and vehicle.state.boot_s - before_s > 3.0)

        await vehicle.until(told, _PLACE_WAIT_S)
        offset_m = home_offset_m(vehicle, orders)
        if offset_m <= limit_m:
            return ""
        where = "does not know where it is" if math.isnan(offset_m) else f"stands {offset_m:.0f} m from"
        if math.isnan(offset_m):
            return f"{vehicle.name} {where}: wait for its GPS before {orders.sortie.short_id}"
        return (
            f"{vehicle.name} {where} the home of {orders.sortie.short_id} (limit {limit_m:g} m): "
            "carry it there, or plan from where it stands"
        )

    async def _fly_hand(self, vehicle: Vehicle, url: str, hand: Sequence[Orders]) -> None:
        stopped = ""
        for number, orders in enumerate(hand):
            stopped = stopped or self.stop.why
            if not stopped and number > 0:
                stopped = await self._change_battery(vehicle, url, orders.sortie) or self.stop.why
                if not stopped and (why := await self._at_home(vehicle, url, orders)):
                    self._refuse(orders, vehicle, url, why)
                    continue
            if stopped:
                self._refuse(orders, vehicle, url, stopped)
                continue
            result = await self._fly_sortie(vehicle, url, orders)
            self.results[orders.sortie.id] = result
            if result.state != "landed" and (vehicle.state.armed or vehicle.state.age_s(vehicle.state.heartbeat) > 5):
                stopped = f"{vehicle.name} was lost in {orders.sortie.short_id}: {result.why}"

    async def _fly_sortie(self, vehicle: Vehicle, url: str, orders: Orders) -> SortieResult:
        """One sortie, on as many batteries as it takes."""
        total: SortieResult | None = None
        for battery in range(1, _MOST_BATTERIES + 1):
            flight = self._flight(vehicle, url, orders, battery)
            if total is not None and total.captures is not None:
                flight.earlier = read_captures(total.captures)
            self.airspace.add(flight)
            try:
                result = await flight.fly()
            finally:
                self.airspace.remove(flight)
            total = result if total is None else _sum(total, result)
            left = flight.helm.left
            if result.state == "landed" or left is None or not self._worth_resuming(flight):
                break
            if self.stop.why or await self._change_battery(vehicle, url, orders.sortie) or self.stop.why:
                break
            orders = resumed(orders, left)
        assert total is not None
        phase: Phase = "landed" if total.state == "landed" else "failed"
        self.emit(SortieEvent(phase, orders.sortie, vehicle.system_id, url, total.why, total.tlog, total.captures))
        return total

    def _flight(self, vehicle: Vehicle, url: str, orders: Orders, battery: int) -> SortieFlight:
        short = orders.sortie.short_id
        part = short if battery == 1 else f"{short}.{battery}"
        files = Files(
            self.out_dir / f"{part}.tlog",
            self.out_dir / f"{short}.captures.csv",
            self.out_dir / f"{short}.commands.jsonl",
        )
        flight = SortieFlight(
            vehicle, orders, files, url, self.operator, self.policy, self.emit, overrides=self.overrides,
            others=lambda: self.airspace.others(flight), clear=lambda: self.airspace.clear(flight),
            obstacles=self.obstacles, papers=self.papers, stopped=lambda: self.stop.why,
        )  # fmt: skip
        return flight

    def _worth_resuming(self, flight: SortieFlight) -> bool:
        """Down in one piece for want of energy, and somebody can change the battery."""
        down = not flight.vehicle.state.armed and flight.vehicle.state.age_s(flight.vehicle.state.heartbeat) < 5
        ended = flight.helm.ended.lower()
        return down and self._swap_battery is not None and ("energy" in ended or "battery" in ended)

    def _refuse(self, orders: Orders, vehicle: Vehicle, url: str, why: str) -> None:
        self.results[orders.sortie.id] = SortieResult(orders.sortie.id, "refused", why, vehicle.system_id)
        self.emit(SortieEvent("failed", orders.sortie, vehicle.system_id, url, why))

    async def _change_battery(self, vehicle: Vehicle, url: str, sortie: Sortie) -> str:
        if self._swap_battery is None:
            return ""
        swap = BatterySwap(vehicle, vehicle.system_id, url, remaining_of(vehicle), sortie)
        changing = asyncio.create_task(change_battery(self._swap_battery, swap))
        stopping = asyncio.create_task(self.stop.asked.wait())
        try:
            await asyncio.wait({changing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return changing.result() if changing.done() else self.stop.why
        finally:
            changing.cancel()
            stopping.cancel()

    def _write_report(self, result: FlightResult) -> None:
        def plain(value: Any) -> Any:
            if isinstance(value, Path):
                return value.name
            return None if isinstance(value, float) and math.isnan(value) else value

        sorties = [{name: plain(value) for name, value in asdict(r).items()} for r in result.sorties]
        report = {"schema_version": 1, "plan_id": self.plan.plan_id, "operator": self.operator, "sorties": sorties}
        temporary = self.out_dir / ".flight.json.tmp"
        temporary.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
        temporary.replace(self.out_dir / "flight.json")


def fly_plan(
    plan_dir: Path,
    urls: Sequence[str],
    out_dir: Path,
    *,
    operator: str = "cli",
    on_event: Callable[[FlightEvent], None] | None = None,
    on_sortie: Callable[[SortieEvent], None] | None = None,
    swap_battery: SwapBattery | None = None,
    max_home_offset_m: float = 30.0,
    speedup: float = 1.0,
    key: SigningKey | None = None,
    overrides: Sequence[Override] = (),
    obstacles: Sequence[tuple[BaseGeometry, float]] = (),
    policy: Path | None = None,
    papers: Papers | None = None,
    interruptible: bool = False,
) -> FlightResult:
    """Flies a plan's sorties with the vehicles at `urls`; blocks until all have landed or are lost.

    Args:
        plan_dir: Folder of `plan.json`.
        urls: Links, see `flight.address`; a listening UDP port may bring many vehicles.
        out_dir: Gets `<S01>.tlog`, `.captures.csv`, `.commands.jsonl` a sortie, and `flight.json`.
        operator: Who flies, for the record.
        on_event: Called in the event loop for every `flight.events` event: it must be quick.
        on_sortie: The same for `SortieEvent` alone; phase "before" comes ahead of a sortie's home check.
        swap_battery: Called between two sorties of a vehicle: `swap_simulated`, or a function that asks a person
            (it runs in a thread). None flies on with what the battery holds, if preflight lets it.
        max_home_offset_m: How far a vehicle may stand from its sortie's home.
        speedup: The simulated clock's; 1 for anything real.
        key: Signs and checks signatures on all links.
        overrides: Named persons' decisions to fly with failed checks.
        obstacles: What the guard keeps clear of: (lon, lat geometry, top in metres above the ground at home).
        policy: A bureau's policy file over the aircraft's limits (`flight.policy`).
        papers: Approvals, pilots on duty, weather (`flight.papers`).
        interruptible: Ctrl-C (or SIGTERM) calls everything home, a second one leaves it to its failsafes; main thread
            only.

    Returns:
        All sorties in plan order, also the failed ones.

    Raises:
        FlightError: Nothing was flown: no such plan, an unreachable vehicle, a home too far away.
        MissionsError: The plan cannot be read.
    """
    operation = Operation(
        plan_dir, urls, out_dir, operator=operator, on_event=on_event, on_sortie=on_sortie, swap_battery=swap_battery,
        max_home_offset_m=max_home_offset_m, speedup=speedup, key=key, overrides=overrides, obstacles=obstacles,
        policy=policy, papers=papers, interruptible=interruptible,
    )  # fmt: skip
    return asyncio.run(operation.run())
