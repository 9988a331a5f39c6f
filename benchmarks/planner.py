"""The planner against its bars: coverage, path against the bound, flight time against a baseline, a city.

usage: python -m benchmarks.planner [shapes] [geometry] [replan] [peers] [baseline] [travel] [city]
All of them where none is named. Prints a table; exits 1 where a bar is missed.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import shapely

from benchmarks._travel import travel_said
from missions.aircraft import load_profile
from missions.coverage import Strip, cover, turned
from missions.direction import sweeps
from missions.energy import FlightModel
from missions.frame import LocalFrame
from missions.part import parts_of
from missions.planner import PlanRequest, PlanResult, export_plan, plan_patrol
from missions.replan import replan
from missions.request import read_task
from missions.route import build_route
from missions.routing import Router
from missions.sites import read_sites
from missions.sorties import Pieces, longest_piece_m
from missions.spent import spent_by_all
from missions.vector import polygons_of
from missions.verify import Verdict, verify_plan

FRAME = LocalFrame(118.33, 35.07)
CITY = Path(__file__).resolve().parents[2] / "shared" / "city"
failed: list[str] = []


def row(measure: str, value: float, bar: float, *, least: bool = False, digits: int = 4, note: str = "") -> None:
    """Prints a measure beside its bar, and remembers a miss."""
    good = value >= bar if least else value <= bar
    if not good:
        failed.append(measure)
    sign = ">=" if least else "<="
    print(f"{measure:58s} {value:>11.{digits}f} {sign} {bar:<9g} {'ok  ' if good else 'MISS'} {note}", flush=True)


def blob(rng: np.random.Generator, x: float, y: float, radius: float, rough: float = 0.2) -> shapely.Polygon:
    """A ragged disc about (x, y), metres; `rough` is the share that its radius varies by."""
    phase = rng.uniform(0, 2 * math.pi, 6)
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    r = radius * (1 + rough * sum(np.sin((k + 2) * t + phase[k]) / (k + 1) for k in range(6)))
    return shapely.Polygon(np.column_stack([x + r * np.cos(t), y + r * np.sin(t)])).buffer(0)


def write(path: Path, items: list[tuple[shapely.Geometry, dict]]) -> Path:
    """Writes shapes in metres of `FRAME` as GeoJSON."""
    features = [
        {"type": "Feature", "properties": properties, "geometry": json.loads(shapely.to_geojson(FRAME.geographic(g)))}
        for g, properties in items
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def shape_cases() -> dict[str, tuple[shapely.Polygon, list[tuple[shapely.Geometry, dict]], float]]:
    """Name -> (area, zones, bar of path over bound)."""
    rng = np.random.default_rng(11)
    ragged = blob(rng, 0, 0, math.sqrt(10e6 / math.pi))
    zones = [
        (blob(rng, x, y, r), {"kind": "no-fly", "name": f"n{i}"})
        for i, (x, y, r) in enumerate([(-700, 300, 220), (600, -500, 260), (500, 800, 150)])
    ]
    concave = [(0, 0), (1500, 0), (1500, 1500), (1000, 1500), (1000, 500), (500, 500), (500, 1500), (0, 1500)]
    hole = shapely.box(350, 350, 650, 650)
    square = shapely.box(0, 0, 1000, 1000)
    convex = shapely.Polygon([(0, 0), (1100, 80), (1180, 760), (500, 1150), (60, 800)])
    return {
        "square 1 km2": (square, [], 1.05),
        "convex 1 km2": (shapely.transform(convex, lambda c: c * math.sqrt(1e6 / convex.area)), [], 1.05),
        "ragged 10 km2, three zones": (ragged, zones, 1.08),
        "concave U": (shapely.Polygon(concave), [], 1.10),
        "with a hole": (square - hole, [], 1.12),
        "with a no-fly hole": (square, [(hole, {"kind": "no-fly", "name": "hole"})], 1.12),
    }


def judged(folder: Path, area: Path, zones: Path | None, result: PlanResult) -> tuple[Verdict, float]:
    """Exports, verifies, and gives path over (area over lane)."""
    plan = export_plan(result, folder / "plan")
    verdict = verify_plan(folder / "plan", area, zones)
    return verdict, verdict.path_m / (verdict.area_m2 / plan.lane_m)


def bench_shapes(folder: Path) -> None:
    """Path over bound, coverage and lawfulness of six shapes with two aircraft."""
    for aircraft, gsd_m in (("mavic3e", 0.03), ("arducopter", 0.08)):
        for name, (place, zoned, bar) in shape_cases().items():
            area = write(folder / "area.geojson", [(place, {"name": name})])
            zones = write(folder / "zones.geojson", zoned) if zoned else None
            began = time.process_time()
            result = plan_patrol(PlanRequest(area, zones=zones, gsd_m=gsd_m, aircraft=aircraft))
            spent = time.process_time() - began
            verdict, ratio = judged(folder, area, zones, result)
            label = f"{name}, {aircraft}"
            row(f"path / (area / lane): {label}", ratio, bar, note=f"{spent:.2f} CPU s")
            row(f"  seen as due: {label}", verdict.seen_as_due, 0.999, least=True, digits=5)
            row(f"  metres closed or too high: {label}", verdict.closed_m + verdict.too_high_m, 0, digits=2)
            print(f"  straight flight home closed from {verdict.return_m:.0f} of {verdict.legs_m:.0f} m")


def baseline_s(request: PlanRequest, home: np.ndarray) -> float:
    """Flight time of the plain way.

    Lanes along the longest edge of the minimum rotated rectangle, from one side to the other, detours by visibility,
    home whenever the next piece would pass 75 % of the battery with the way home.
    """
    task = read_task(request)
    closed = task.airspace.closed(task.strip.height_agl_m)
    target = task.area.difference(task.airspace.no_fly)
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(target))
    edges = np.diff(corners[:3], axis=0)
    dx, dy = edges[int(np.argmax(np.hypot(edges[:, 0], edges[:, 1])))]
    angle = math.atan2(dy, dx)
    flat = turned(target.difference(shapely.buffer(closed, 1.0)), -angle)
    pieces = _plain_pieces(flat, angle, task.strip, longest_piece_m(task.model))
    return _plain_time(pieces, home, Router(polygons_of(closed)), task.strip, task.model)


def _plain_pieces(flat: shapely.Geometry, angle: float, strip: Strip, longest_m: float) -> Pieces:
    west, south, east, north = flat.bounds
    starts, ends, lanes = [], [], []
    for number, y in enumerate(np.arange(south + strip.lane_m / 2, north, strip.lane_m)):
        parts = shapely.get_parts(flat.intersection(shapely.linestrings([(west - 1, y), (east + 1, y)])))
        spans = sorted((p.bounds[0], p.bounds[2]) for p in parts if p.length > 1.0)
        flown = spans if number % 2 == 0 else [(b, a) for a, b in spans[::-1]]
        for a, b in flown:
            marks = np.linspace(a, b, math.ceil(abs(b - a) / longest_m) + 1)
            starts += [(x, y) for x in marks[:-1]]
            ends += [(x, y) for x in marks[1:]]
            lanes += [len(lanes)] * (len(marks) - 1) if len(marks) == 2 else [len(starts)] * (len(marks) - 1)
    back = turned(shapely.multipoints(np.array(starts + ends)), angle)
    xy = shapely.get_coordinates(back)
    return Pieces(xy[: len(starts)], xy[len(starts) :], np.array(lanes))


def _plain_time(pieces: Pieces, home: np.ndarray, router: Router, strip: Strip, model: FlightModel) -> float:
    total = 0.0
    first = 0
    while first < len(pieces):
        low, high, best = first, len(pieces) - 1, 0.0
        while low <= high:  # the farthest last piece that the battery still takes
            last = (low + high) // 2
            seconds, energy = build_route(pieces.part(first, last), home, router, strip).time_and_energy(model)
            if energy <= 0.75 * model.profile.battery_wh or last == first:
                best, low = seconds, last + 1
            else:
                high = last - 1
        total += best
        first = low
    return total


def peer_paths(place: shapely.Polygon) -> dict[str, np.ndarray | str]:
    """The lanes of peers that pip installs, on the same polygon, or why there are none; they take no holes."""
    try:
        import opencoverage
    except ImportError:
        return {"opencoverage": "not installed: pip install opencoverage==0.2.0"}
    camera = load_profile("mavic3e").camera
    pixel_mm = camera.sensor_width_mm / camera.width_px
    mission = opencoverage.plan(
        polygon=shapely.Polygon(place.exterior),
        uav=opencoverage.UAV(min_height=20, max_height=120, survey_velocity=15),
        camera=opencoverage.PinholeCamera(
            pixel_mm, camera.focal_mm, camera.sensor_width_mm, camera.height_px * pixel_mm, 0.7
        ),
        pattern="optimal_sweep",
        lateral_overlap=0.65,
        forward_overlap=0.75,
        target="altitude",
        target_value=camera.height_for_gsd_m(0.03),
    )
    return {"opencoverage 0.2.0": np.array(mission.path)}


def bench_peers(folder: Path) -> None:
    """Path over (area over lane), and metres over what the area leaves out, of peers on the polygons of `shapes`."""
    print("uav-coverage-path-planner 1.0.0: skipped, plans one flight and refuses areas that need a second")
    print(
        "fields2cover, drone-flightplan: skipped, pip does not install them; drone-tm, QGC, Mission Planner: no package"
    )
    lane_m = load_profile("mavic3e").camera.lane_m(load_profile("mavic3e").camera.height_for_gsd_m(0.03), 0.65)
    for name, (place, zoned, _) in shape_cases().items():
        closed = shapely.union_all([geometry for geometry, properties in zoned if properties["kind"] == "no-fly"])
        began = time.process_time()
        for peer, path in peer_paths(place).items():
            if isinstance(path, str):
                print(f"{peer}: skipped, {path}")
                return
            spent = time.process_time() - began
            line = shapely.linestrings(path)
            free = place.difference(closed)
            ratio = line.length / (free.area / lane_m)
            outside_m = line.difference(shapely.buffer(shapely.Polygon(place.exterior).difference(closed), 1.0)).length
            said = f"path {ratio:.3f} of the bound, {outside_m:8.0f} m closed or outside, {spent:.2f} CPU s"
            print(f"{peer}: {name:28s} {said}")


def bench_baseline(folder: Path, seeds: range = range(50)) -> None:
    """Flight time saved against the plain way, fifty seeded areas with holes in 5 m/s of wind."""
    gains = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        place = blob(rng, 0, 0, rng.uniform(500, 1300), 0.25)
        holes = []
        while len(holes) < 1 + seed % 3:
            x, y = rng.uniform(-800, 800, 2)
            hole = blob(rng, x, y, rng.uniform(60, 200))
            if place.contains(hole.buffer(60)) and all(hole.distance(h) > 60 for h, _ in holes):
                holes.append((hole, {"kind": "no-fly", "name": f"n{len(holes)}"}))
        area = write(folder / "area.geojson", [(place, {})])
        zones = write(folder / "zones.geojson", holes)
        wind = dict(wind_mps=5.0, wind_from_deg=float(rng.uniform(0, 360)))
        aircraft, gsd_m = ("mavic3e", 0.03) if seed % 2 else ("arducopter", 0.06)
        free = plan_patrol(PlanRequest(area, zones=zones, gsd_m=gsd_m, aircraft=aircraft, **wind))
        # Both take off from the same single place, the middle one of those that the planner would choose.
        homes = np.array([s.home[:2] for s in free.sorties])
        site = tuple(homes[int(np.argmin(np.hypot(*(homes - homes.mean(axis=0)).T)))])
        request = PlanRequest(area, zones=zones, gsd_m=gsd_m, aircraft=aircraft, sites=(site,), **wind)
        ours = sum(s.duration_s for s in plan_patrol(request).sorties)
        plain = baseline_s(request, FRAME_OF(request).to_xy([site])[0])
        gains.append(1 - ours / plain)
        print(f"  seed {seed}: {gains[-1]:.4f}", file=sys.stderr, flush=True)
    gains = np.array(gains)
    note = f"p10 {np.percentile(gains, 10):.3f}, p90 {np.percentile(gains, 90):.3f}, worst {gains.min():.3f}"
    saved = float(np.median(gains))
    row(f"flight time saved against the baseline, {len(gains)} areas, median", saved, 0.12, least=True, note=note)


def FRAME_OF(request: PlanRequest) -> LocalFrame:  # noqa: N802
    """The metric frame of a request."""
    return read_task(request).frame


def bench_geometry(folder: Path) -> None:
    """CPU milliseconds per km2 of directions and lanes alone."""
    profile_request = PlanRequest(
        write(folder / "area.geojson", [(shapely.box(0, 0, 100, 100), {})]), aircraft="mavic3e", gsd_m=0.03
    )
    task = read_task(profile_request)
    rng = np.random.default_rng(5)
    for name, place in (
        ("1 km2", shapely.box(0, 0, 1000, 1000)),
        ("10 km2", blob(rng, 0, 0, 1784)),
        ("282 km2", blob(rng, 0, 0, 9474)),
    ):
        times = []
        for _ in range(5):
            began = time.process_time()
            best = sweeps(place, task.strip, task.model)[0]
            cover(place, shapely.MultiPolygon(), task.strip, best.direction_rad)
            times.append(time.process_time() - began)
        row(
            f"coverage geometry, CPU ms per km2, {name}",
            min(times) * 1e3 / (place.area / 1e6),
            5.0,
            digits=3,
            note="direction and lanes",
        )


def city_request(**more: object) -> PlanRequest:
    """The standard city: a Mavic 3E at 3 cm, its zones, heights, sites and brigade."""
    return PlanRequest(
        CITY / "boundary.geojson",
        zones=CITY / "zones.geojson",
        dem=CITY / "dem.tif",
        sites=read_sites(CITY / "sites.geojson"),
        roster=CITY / "roster.json",
        aircraft="mavic3e",
        gsd_m=0.03,
        **more,
    )


def bench_city(folder: Path) -> None:
    """A whole city planned, exported and verified."""
    if not CITY.is_dir():
        print(f"city: skipped, no {CITY}")
        return
    wall, cpu = time.time(), time.process_time()
    result = plan_patrol(city_request())
    plan = export_plan(result, folder / "city")
    verdict = verify_plan(folder / "city", CITY / "boundary.geojson", CITY / "zones.geojson", dem=CITY / "dem.tif")
    cpu, wall = time.process_time() - cpu, time.time() - wall
    row(
        "city: plan, split, assign, check, export, CPU s",
        cpu,
        60,
        digits=1,
        note=f"wall {wall:.0f} s on a shared machine",
    )
    row("city: peak memory, MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 2048, digits=0)
    busy = np.array([day.busy_s for day in result.days])
    row("city: latest finish over the mean crew's", float(busy.max() / busy.mean()), 1.10)
    flight_s = sum(sortie.duration_s for sortie in plan.sorties)
    speed = result.task.profile.cruise_mps
    share = verdict.seen_once
    ideal_s = sum(part.target.area / (part.strip.lane_m * speed) for part in parts_of(result.task)[0])
    note = f"{len(plan.sorties)} sorties, {flight_s / 3600:.1f} h, {share:.2%} of the city in one day"
    row("city: flight time / (seen area / (lane x speed))", flight_s / (ideal_s * share), 1.12, note=note)
    used = spent_by_all(result.sorties, result.task.model)
    hours = {name: value / 3600 for name, value in vars(used).items()}
    shares = [f"{name[:-2]} {3600 * value / ideal_s / share:.3f} ({value:.1f} h)" for name, value in hours.items()]
    print("  of it " + ", ".join(shares))
    budget_wh = [result.task.model.budget_wh(s.rostered.machine.battery_health) for s in result.sorties if s.rostered]
    fill = np.mean([s.energy_wh for s in result.sorties]) / np.mean(budget_wh)
    print(f"  batteries filled to {fill:.1%}")
    # Neighbours' strips see part of what a left-out sortie would have: only what is seen as due counts here.
    due = flight_s / (ideal_s * verdict.seen_as_due)
    print(f"  of the area seen as due ({verdict.seen_as_due:.2%}) instead of seen: {due:.3f}")
    row(
        "city: metres closed or too high",
        verdict.closed_m + verdict.too_high_m,
        0,
        digits=1,
        note=str(verdict.faults[:1]),
    )
    away = [float(np.hypot(*(s.route.points - s.route.points[0]).T).max()) for s in result.sorties]
    beyond = np.mean(np.array(away) > 1500)
    print(f"  beyond the line of sight of 1,500 m: {beyond:.1%} of sorties, at most {max(away):.0f} m")
    print(f"  straight flight home closed from {verdict.return_m / verdict.legs_m:.2%} of the way")
    print(f"  own aircraft meet for {verdict.meeting_s:.0f} s")
    print(f"  left out: {[f'{item.what}: {item.why}' for item in result.refused]}")


def bench_travel(folder: Path) -> None:
    """The crews' roads, and what PyVRP would gain on the order of each crew's sites."""
    print(travel_said(plan_patrol(city_request())) if CITY.is_dir() else f"travel: skipped, no {CITY}")


def bench_replan(folder: Path) -> None:
    """One district-sized area (10 km2, three zones, 6 crews) with one urgent point."""
    place, zoned, _ = shape_cases()["ragged 10 km2, three zones"]
    area, zones = write(folder / "a.geojson", [(place, {})]), write(folder / "z.geojson", zoned)
    request = PlanRequest(area, zones=zones, gsd_m=0.03, aircraft="mavic3e", crews=6)
    export_plan(plan_patrol(request), folder / "old")
    point = tuple(float(value) for value in FRAME.to_lonlat([(200, -900)])[0])
    cpu = time.process_time()
    done = replan(folder / "old", request, folder / "new", urgent=[point])
    row("re-plan of one district with one urgent point, CPU s", time.process_time() - cpu, 2.0, digits=2)
    row("  sorties changed", len(done.dropped), 0, digits=0, note=f"{len(done.kept)} kept, {len(done.added)} added")


def main() -> None:
    """Runs the parts asked for, or all; exits 1 where a bar is missed."""
    chosen = sys.argv[1:] or ["shapes", "geometry", "replan", "peers", "baseline", "travel", "city"]
    with tempfile.TemporaryDirectory() as name:
        for part in chosen:
            globals()[f"bench_{part}"](Path(name))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
