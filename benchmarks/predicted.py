"""The planner's predicted time and energy against what was flown, sortie by sortie, in wind.

    python benchmarks/predicted.py                          # 30 sorties on the embedded vehicle, about 2 CPU-minutes
    python benchmarks/predicted.py --sorties 6 --first 3 -v
    python benchmarks/predicted.py --spirals                # larger areas by a rostered crew, in spirals
    YUNXUN_ARDUCOPTER=... python benchmarks/predicted.py --sitl --longest 480 --results FILE    # time only, a real one

Areas, sizes, ground sample distances and winds are drawn by seed; the vehicle's wind is the one that was planned with,
with the simulator's own gusts on top. The simulator shares no energy or wind model with the planner. Flown time is from
leaving the ground to disarming; energy is what the battery gave meanwhile. Exit 3 where a median misses its bar.
With `--results` every sortie is written down as it lands, and seeds that are written down already are not flown again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from flight.events import FlightEvent, ProgressEvent, SortieResult
from flight.operation import Operation, fly_plan
from missions.planner import PlanRequest, export_plan, plan_patrol
from missions.result import PlanResult
from simulators.sitl import SitlFleet, find_arducopter
from tests.flight.plans import HOME, offset
from tests.flight.virtual import World
from tests.simulators.ports import free_base_port

BAR = 0.05
SITL_SPEEDUP = 10.0


@dataclass(frozen=True)
class Flown:
    """One sortie, planned and flown; seconds and watt hours."""

    seed: int
    wind_mps: float
    height_m: float
    lanes: int
    planned_s: float
    flown_s: float
    planned_wh: float
    flown_wh: float
    phases: dict[str, float]

    @property
    def time_error(self) -> float:
        """Flown over planned, less one."""
        return self.flown_s / self.planned_s - 1

    @property
    def energy_error(self) -> float:
        """Flown over planned, less one."""
        return self.flown_wh / self.planned_wh - 1


def write_roster(folder: Path) -> Path:
    """A brigade of one crew."""
    person = {"person": "P1", "role": "pilot", "licence": "small", "valid_until": "2099-1-1", "shift": ["08:00-18:00"]}
    aircraft = [{"aircraft": "A1", "model": "arducopter", "registration": "U1", "batteries": 8, "battery_health": 1.0}]
    roster = {"date": "2026-11-23", "people": [person], "vehicles": 1, "aircraft": aircraft, "line_of_sight_m": 1500}
    path = folder / "roster.json"
    path.write_text(json.dumps(roster))
    return path


def request(seed: int, folder: Path, spirals: bool = False) -> PlanRequest:
    """A patrol over a quadrangle of 3 to 25 ha, or for spirals three times as large, in a wind up to 8 m/s."""
    rng = random.Random(seed)
    larger = math.sqrt(3.0) if spirals else 1.0
    width, depth = larger * rng.uniform(160.0, 520.0), larger * rng.uniform(160.0, 480.0)
    corners = [(0.0, 0.0), (width, rng.uniform(-40, 40)), (width * rng.uniform(0.8, 1.1), depth), (-20.0, depth * 0.9)]
    ring = [list(offset(HOME, x, y)) for x, y in corners]
    feature = {
        "type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }  # fmt: skip
    area = folder / "area.geojson"
    area.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return PlanRequest(
        area, gsd_m=rng.uniform(0.035, 0.09), wind_mps=rng.uniform(0.0, 8.0), wind_from_deg=rng.uniform(0.0, 360.0),
        sites=(offset(HOME, rng.uniform(-80.0, width), rng.uniform(-80.0, -10.0)),),
        roster=write_roster(folder) if spirals else None,
    )  # fmt: skip


def fly_embedded(result: PlanResult, folder: Path, seed: int, into: list[FlightEvent]) -> SortieResult:
    """Flies the first sortie on the embedded vehicle, in the wind that was planned with."""
    wind = {"wind_mps": result.task.request.wind_mps, "wind_from_deg": result.task.request.wind_from_deg}
    world = World(1, [result.sorties[0].home], seed=seed, gps_noise_m=1.0, **wind)
    operation = Operation(
        folder / "plan", world.urls, folder / "out", operator="bench", on_event=into.append, on_sortie=None,
        swap_battery=None, max_home_offset_m=30.0, speedup=1.0, key=None, overrides=(), obstacles=(),
    )  # fmt: skip
    operation.orders = operation.orders[:1]
    return world.run(operation.run()).sorties[0]


def fly_sitl(result: PlanResult, folder: Path, into: list[FlightEvent], speedup: float) -> SortieResult:
    """One sortie on a real ArduPilot at `speedup` times the clock; its log's hash is printed."""
    wind = {"wind_mps": result.task.request.wind_mps, "wind_from_deg": result.task.request.wind_from_deg}
    home = result.sorties[0].home
    with SitlFleet(1, [home], base_port=free_base_port(1), speedup=speedup, **wind) as fleet:
        flown = fly_plan(folder / "plan", fleet.urls, folder / "out", on_event=into.append, speedup=speedup)
        print("   log", fleet.log_hashes())
    return flown.sorties[0]


def phases(events: list[FlightEvent]) -> dict[str, float]:
    """Seconds until the first waypoint is flown to, with the mission, on the way home above 10 m, and below it."""
    looks = [event for event in events if isinstance(event, ProgressEvent)]
    if not looks:
        return {}
    up = next((e.flown_s for e in looks if e.item >= 3), math.nan)
    home = next((e.flown_s for e in looks if e.item >= looks[-1].items), math.nan)
    low = next((e.flown_s for e in looks if e.flown_s > home and e.height_rel_m < 10.0), math.nan)
    end = looks[-1].flown_s
    return {"up": up, "mission": home - up, "home": low - home, "landing": end - low}


def one(
    seed: int, *, sitl: bool, spirals: bool = False, speedup: float = SITL_SPEEDUP, longest_s: float = math.inf
) -> Flown | None:
    """Plans and flies the first sortie of a seed's patrol; None where it did not fly to its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = plan_patrol(request(seed, folder, spirals))
        export_plan(result, folder / "plan")
        if result.sorties[0].duration_s > longest_s or (sitl and len(result.sorties) > 1):
            return None  # fly_plan flies them all: the next seed
        events: list[FlightEvent] = []
        flown = fly_sitl(result, folder, events, speedup) if sitl else fly_embedded(result, folder, seed, events)
    sortie = result.sorties[0]
    if flown.state != "landed":
        print(f"seed {seed}: {flown.state}: {flown.why}", flush=True)
        return None
    lanes = int(sortie.route.shooting.sum())
    return Flown(
        seed, result.task.request.wind_mps, sortie.strip.height_agl_m, lanes, sortie.duration_s, flown.duration_s,
        sortie.energy_wh, flown.energy_wh, phases(events),
    )  # fmt: skip


def report(flown: list[Flown]) -> dict[str, object]:
    """Errors of time and energy over all sorties: flown over planned, less one."""

    def spread(values: list[float]) -> dict[str, float]:
        return {
            "median_abs": round(statistics.median(map(abs, values)), 4),
            "median": round(statistics.median(values), 4), "worst": round(max(values, key=abs), 4),
        }  # fmt: skip

    energy = [f.energy_error for f in flown if not math.isnan(f.energy_error)]
    return {
        "sorties": len(flown), "minutes": round(sum(f.flown_s for f in flown) / 60, 1),
        "wind_mps": [round(min(f.wind_mps for f in flown), 1), round(max(f.wind_mps for f in flown), 1)],
        "time_error": spread([f.time_error for f in flown]), "energy_error": spread(energy) if energy else None,
    }  # fmt: skip


def read_results(path: Path | None) -> dict[int, Flown]:
    """Sorties written down before, by seed."""
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return {line["seed"]: Flown(**line) for line in lines}


def main() -> int:
    """Flies as many sorties as asked for; 3 where a median misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sorties", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sitl", action="store_true")
    parser.add_argument("--spirals", action="store_true", help="as a brigade's tiles are swept")
    parser.add_argument("--speedup", type=float, default=SITL_SPEEDUP, help="of the real one's clock")
    parser.add_argument("--longest", type=float, default=math.inf, metavar="S", help="skip sorties planned longer")
    parser.add_argument("--results", type=Path, help="JSON lines, one a sortie; seeds in it are not flown again")
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    if options.sitl and find_arducopter() is None:
        print("no real SITL: YUNXUN_ARDUCOPTER is not set and `arducopter` is not on PATH")
        return 2
    begun, flown, seed = time.process_time(), list[Flown](), options.first
    known = read_results(options.results)
    while len(flown) < options.sorties and seed < options.first + 10 * options.sorties:
        how = {"sitl": options.sitl, "spirals": options.spirals, "speedup": options.speedup}
        found = known.get(seed) or one(seed, longest_s=options.longest, **how)
        seed += 1
        if found is None:
            continue
        flown.append(found)
        if options.results and found.seed not in known:
            options.results.parent.mkdir(parents=True, exist_ok=True)
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dataclasses.asdict(found)) + "\n")
        if options.v or options.sitl:
            parts = ", ".join(f"{name} {seconds:.0f}" for name, seconds in found.phases.items())
            print(
                f"seed {found.seed}: wind {found.wind_mps:.1f} m/s, {found.height_m:.0f} m, {found.lanes} lanes: "
                f"{found.planned_s:.1f} s planned, {found.flown_s:.1f} flown ({found.time_error:+.1%}); "
                f"{found.planned_wh:.1f} Wh, {found.flown_wh:.1f} ({found.energy_error:+.1%}); {parts}",
                flush=True,
            )
    said = report(flown) | {
        "cpu_s": round(time.process_time() - begun, 1),
        "on": "sitl" if options.sitl else "embedded",
    }
    print(json.dumps(said))
    errors = [said["time_error"], *([] if options.sitl else [said["energy_error"]])]
    return 3 if any(error is None or error["median_abs"] > BAR for error in errors) else 0  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())
