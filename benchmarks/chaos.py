"""Chaos: seeded operations of three vehicles under every kind of fault, on a virtual clock.

    python benchmarks/chaos.py --runs 1000 --results build/chaos.jsonl    # about 2 CPU-seconds a run
    python benchmarks/chaos.py --first 17 --runs 1 --tell    # one seed again, with what was said

Judged by the simulator's truth, not by telemetry: who was where, at ten looks a second. Exit 3 where a bar is missed.
With `--results` every run is written down as it ends, and seeds that are written down already are not flown again: a
cut run still gives numbers, and goes on where it was.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import itertools
import json
import math
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import shapely

from flight.events import SortieEvent, TextEvent
from flight.items import WireItem, first_difference
from flight.operation import Operation, swap_simulated
from flight.orders import CEILING_MARGIN_M
from simulators.copter.faults import break_it
from tests.flight.plans import HOME, offset, write_flight_plan
from tests.flight.virtual import World

VEHICLES = 3
APART_M = 45.0
LANES, LANE_M, HEIGHT_M = 4, 260.0, 40.0
CEILING_M = HEIGHT_M + CEILING_MARGIN_M
LEAST_S = 300.0
# A no-fly zone 30 m beyond the lanes' far end, across all sorties.
ZONE = ((-60.0, LANE_M + 30.0), (400.0, LANE_M + 30.0), (400.0, LANE_M + 120.0), (-60.0, LANE_M + 120.0))

LINK_FAULTS = {
    "loss": {"loss": 0.35},
    "delay": {"delay_s": 0.6, "jitter_s": 0.4},
    "duplication": {"duplicate": 0.4},
    "reordering": {"reorder": 0.3},
    "corruption": {"corrupt": 0.2},
    "partition": {"silent": True},
}
# Name -> values, and whether it is ended again after its time.
OTHER_FAULTS: dict[str, tuple[dict[str, object], dict[str, object] | None]] = {
    "gps_glitch": ({"north_m": 40.0, "east_m": 20.0}, {"north_m": 0.0, "east_m": 0.0}),
    "gps_loss": ({"on": True}, {"on": False}),
    "compass": ({"offset_deg": 25.0}, {"offset_deg": 0.0}),
    "baro": ({"rate_mps": 0.05}, {"rate_mps": 0.0}),
    "motor": ({"share": 0.75}, None),
    "battery": ({"percent": 55.0}, None),
    "shutter": ({"count": 5}, None),
    "reboot": ({}, None),
    "wind": ({"speed_mps": 11.0, "from_deg": 20.0}, {"speed_mps": 3.0, "from_deg": 20.0}),
}
KINDS = (*LINK_FAULTS, *OTHER_FAULTS)


@dataclass
class Verdict:
    """What one run came to."""

    seed: int
    faults: list[str] = field(default_factory=list)
    simulated_s: float = 0.0
    nearest_m: float = math.inf
    over_ceiling_m: float = 0.0
    in_zone_m: float = 0.0
    not_down: list[int] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    error: str = ""

    def misses(self) -> list[str]:
        """Bars that this run missed, in words."""
        said = [f"error: {self.error}"] if self.error else []
        said += [f"vehicles {self.not_down} neither landed nor in a failsafe"] if self.not_down else []
        said += [f"two within {self.nearest_m:.1f} m"] if self.nearest_m < 10 else []
        said += [f"{self.over_ceiling_m:.1f} m over the ceiling"] if self.over_ceiling_m > 5 else []
        said += [f"{self.in_zone_m:.1f} m inside the zone"] if self.in_zone_m > 5 else []
        return said + self.altered


class Judge:
    """Looks at the truth ten times a second, and breaks things when their time comes."""

    def __init__(self, seed: int, faults_a_run: int) -> None:
        self.rng = random.Random(seed)
        self.verdict = Verdict(seed)
        self.zone = shapely.Polygon(ZONE)
        self.world: World | None = None
        self.tell = False
        self.agenda: list[tuple[float, int, str, dict[str, object]]] = []
        for number in range(faults_a_run):
            # Each kind in turn over the seeds, so that none is rare.
            kind = KINDS[(seed * faults_a_run + number) % len(KINDS)]
            self._plan(kind, self.rng.uniform(45.0, 200.0), self.rng.randint(1, VEHICLES), self.rng.uniform(5.0, 40.0))
        self.agenda.sort(key=lambda entry: entry[0])

    def _plan(self, kind: str, at_s: float, system_id: int, for_s: float) -> None:
        self.verdict.faults.append(kind)
        if kind in LINK_FAULTS:
            direction = self.rng.choice(["up", "down", "both", "both"])
            self.agenda.append((at_s, system_id, "link", {**LINK_FAULTS[kind], "direction": direction}))
            self.agenda.append((at_s + for_s, system_id, "link", {"direction": "both"}))
            return
        begin, end = OTHER_FAULTS[kind]
        self.agenda.append((at_s, system_id, kind, begin))
        if end is not None:
            self.agenda.append((at_s + for_s, system_id, kind, end))

    def tick(self, now_s: float) -> None:
        """Breaks what is due, and measures."""
        assert self.world is not None
        while self.agenda and self.agenda[0][0] <= now_s:
            _, system_id, name, values = self.agenda.pop(0)
            break_it(self.world.fleet.vehicles[system_id - 1], name, dict(values))
        flying = []
        for number, vehicle in enumerate(self.world.fleet.vehicles):
            pilot = vehicle.pilot
            if pilot.armed and not pilot.landed:
                flying.append((number * APART_M + pilot.body.east, pilot.body.north, pilot.body.up))
        for x, y, up in flying:
            self.verdict.over_ceiling_m = max(self.verdict.over_ceiling_m, up - CEILING_M)
            if y > LANE_M + 25 and self.zone.contains(point := shapely.Point(x, y)):
                self.verdict.in_zone_m = max(self.verdict.in_zone_m, self.zone.exterior.distance(point))
        for a, b in itertools.combinations(flying, 2):
            apart_m = math.dist(a, b)
            if self.tell and apart_m < 12:
                places = ", ".join(f"({x:.0f} {y:.0f} {h:.0f})" for x, y, h in flying)
                print(f"{now_s:7.1f}   {apart_m:.1f} m apart: {places}")
            self.verdict.nearest_m = min(self.verdict.nearest_m, apart_m)


class Watched(Operation):
    """An operation that remembers what it meant each vehicle to have."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.meant: dict[int, list[tuple[WireItem, ...]]] = collections.defaultdict(list)

    def _flight(self, vehicle, url, orders, battery):  # type: ignore[no-untyped-def]
        self.meant[vehicle.system_id].append(orders.mission)
        return super()._flight(vehicle, url, orders, battery)


def homes() -> list[tuple[float, float, float]]:
    return [(*offset(HOME, number * APART_M, 0.0), HOME[2]) for number in range(VEHICLES)]


def one_run(seed: int, faults_a_run: int, folder: Path, *, tell: bool) -> Verdict:
    zone = [offset(HOME, x, y) for x, y in ZONE]
    write_flight_plan(
        folder / "plan", homes(), length_m=LANE_M, count=LANES, height_m=HEIGHT_M, first_east_m=0.0, fence=zone,
        duration_s=200.0,
    )  # fmt: skip
    judge = Judge(seed, faults_a_run)
    judge.tell = tell
    world = World(VEHICLES, homes(), each_tick=judge.tick, seed=seed, wind_mps=3.0, wind_from_deg=20.0, gps_noise_m=1.0)
    judge.world = world

    def told(event: object) -> None:
        if tell and isinstance(event, SortieEvent | TextEvent):
            text = event.text if isinstance(event, TextEvent) else f"{event.phase} {event.why}"
            print(f"{world.fleet.time_s:7.1f} {event.system_id} {text}")

    operation = Watched(
        folder / "plan", world.urls, folder / "out", operator="chaos", on_event=told, on_sortie=None,
        swap_battery=swap_simulated, max_home_offset_m=30.0, speedup=1.0, key=None, overrides=(), obstacles=(),
    )  # fmt: skip
    try:
        result = world.run(operation.run())
        judge.verdict.states = [sortie.state for sortie in result.sorties]
    except Exception as error:
        judge.verdict.error = f"{type(error).__name__}: {error}"
    finish(world, judge, operation)
    return judge.verdict


def finish(world: World, judge: Judge, operation: Watched) -> None:
    """Lets everything come down without us, then looks what stands where with which mission."""
    until_s = max(LEAST_S, world.fleet.time_s + 1.0)
    while world.fleet.time_s < until_s or (
        any(v.pilot.armed for v in world.fleet.vehicles) and world.fleet.time_s < until_s + 400
    ):
        world.fleet.advance(0.5)
        judge.tick(world.fleet.time_s)
    verdict = judge.verdict
    verdict.simulated_s = world.fleet.time_s
    verdict.not_down = [v.system_id for v in world.fleet.vehicles if v.pilot.armed or not v.pilot.landed]
    for vehicle in world.fleet.vehicles:
        stored = [
            WireItem(i.command, i.frame, (i.p1, i.p2, i.p3, i.p4), i.x, i.y, i.z) for i in vehicle.transfers.plans[0]
        ]
        meant = operation.meant.get(vehicle.system_id, [])
        if stored and all(first_difference(items, stored, 0) for items in meant):
            verdict.altered.append(f"vehicle {vehicle.system_id} holds a mission nobody meant")


def read_results(path: Path | None) -> dict[int, Verdict]:
    """Runs written down before, by seed."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return {line["seed"]: Verdict(**line) for line in lines}


def report(verdicts: list[Verdict], cpu_s: float) -> dict[str, object]:
    """All runs in one object."""
    return {
        "runs": len(verdicts), "vehicles": VEHICLES, "bad_runs": sum(1 for v in verdicts if v.misses()),
        "bad_seeds": [v.seed for v in verdicts if v.misses()],
        "faults": dict(sorted(collections.Counter(f for v in verdicts for f in v.faults).items())),
        "sorties": dict(collections.Counter(s for v in verdicts for s in v.states)),
        "simulated_h": round(sum(v.simulated_s for v in verdicts) / 3600, 1),
        "shortest_s": round(min((v.simulated_s for v in verdicts), default=0.0)),
        "nearest_m": round(min((v.nearest_m for v in verdicts), default=math.inf), 1),
        "over_ceiling_m": round(max((v.over_ceiling_m for v in verdicts), default=0.0), 1),
        "in_zone_m": round(max((v.in_zone_m for v in verdicts), default=0.0), 1),
        "cpu_s": round(cpu_s, 1),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--faults", type=int, default=2, help="faults a run")
    parser.add_argument("--results", type=Path, help="JSON lines, one a run; runs in it are not flown again")
    parser.add_argument("--tell", action="store_true")
    options = parser.parse_args()
    begun, known = time.process_time(), read_results(options.results)
    verdicts: list[Verdict] = []
    for seed in range(options.first, options.first + options.runs):
        verdict = known.get(seed)
        if verdict is None:
            with tempfile.TemporaryDirectory() as folder:
                verdict = one_run(seed, options.faults, Path(folder), tell=options.tell)
            if options.results:
                options.results.parent.mkdir(parents=True, exist_ok=True)
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(dataclasses.asdict(verdict)) + "\n")
        verdicts.append(verdict)
        if verdict.misses():
            print(f"seed {seed}: {', '.join(verdict.faults)}: {'; '.join(verdict.misses())}", flush=True)
        if len(verdicts) % 25 == 0:
            bad = sum(1 for v in verdicts if v.misses())
            print(f"{len(verdicts)} of {options.runs} runs, {bad} bad", file=sys.stderr, flush=True)
    said = report(verdicts, time.process_time() - begun)
    print(json.dumps(said))
    return 3 if said["bad_runs"] else 0


if __name__ == "__main__":
    sys.exit(main())
