"""Whole plans, judged by the verifier: it reads the exported files and shares no geometry with the planner."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from missions.airspace import Clearances
from missions.errors import MissionsError
from missions.export.wpl import read_waypoints, write_waypoints
from missions.plan import read_plan
from missions.planner import PlanRequest, export_plan, plan_patrol
from missions.route import Route
from missions.verify import verify_plan
from tests.missions.conftest import FRAME, Draw, collection

NO_FLY = {"kind": "no-fly", "name": "school"}


def check(request: PlanRequest, folder: Path, *, share: float = 0.999) -> tuple[float, float]:
    """Plans, exports, verifies; gives path over bound and the share seen."""
    result = plan_patrol(request)
    plan = export_plan(result, folder)
    verdict = verify_plan(folder, request.area, request.zones, request.obstacles, request.dem, samples=20_000)
    assert verdict.faults == ()
    assert verdict.seen_as_due >= share
    budget_wh = result.task.profile.battery_wh * (1 - result.task.profile.reserve)
    assert all(sortie.energy_wh <= budget_wh for sortie in plan.sorties)
    return verdict.path_m / (verdict.area_m2 / plan.lane_m), verdict.seen_as_due


@pytest.mark.parametrize(("aircraft", "gsd_m"), [("mavic3e", 0.03), ("arducopter", 0.08)])
def test_a_square_is_seen_with_little_more_than_the_bound(
    draw: Draw, tmp_path: Path, aircraft: str, gsd_m: float
) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 1000, 1000), {})])
    ratio, _ = check(PlanRequest(area, gsd_m=gsd_m, aircraft=aircraft), tmp_path / "plan")
    assert ratio <= 1.05


def test_a_concave_area_is_not_flown_across(draw: Draw, tmp_path: Path) -> None:
    corners = [(0, 0), (1500, 0), (1500, 1500), (1000, 1500), (1000, 500), (500, 500), (500, 1500), (0, 1500)]
    area = draw("a.geojson", [(shapely.Polygon(corners), {})])
    ratio, _ = check(PlanRequest(area, gsd_m=0.08), tmp_path / "plan")
    assert ratio <= 1.10


def test_nothing_enters_zones_and_all_around_them_is_seen(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 1200, 900), {})])
    zones = draw(
        "z.geojson",
        [
            (shapely.Point(400, 400).buffer(120), NO_FLY),
            (shapely.box(800, 300, 900, 700), {"kind": "no-fly", "name": "b"}),
        ],
    )
    ratio, _ = check(PlanRequest(area, zones=zones, gsd_m=0.06, wind_mps=5, wind_from_deg=30), tmp_path / "plan")
    assert ratio <= 1.12


def test_obstacles_are_flown_around_and_not_taken_off_beside(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 500, 500), {})])
    things = [
        (shapely.Point(250, 250), {"name": "chimney", "top_agl_m": 95}),
        (shapely.LineString([(0, 120), (500, 160)]), {"name": "line", "top_agl_m": 35}),
        (shapely.box(100, 300, 160, 380), {"name": "block", "top_agl_m": 60}),
    ]
    obstacles = draw("o.geojson", things)
    check(PlanRequest(area, obstacles=obstacles, gsd_m=0.08), tmp_path / "high")
    check(PlanRequest(area, obstacles=obstacles, gsd_m=0.045), tmp_path / "low", share=0.85)


def test_unknown_heights_block_or_warn(town: Path, draw: Draw) -> None:
    obstacles = draw("o.geojson", [(shapely.Point(200, 200), {"name": "crane"})])
    blocked = plan_patrol(PlanRequest(town, obstacles=obstacles, gsd_m=0.08))
    warned = plan_patrol(
        PlanRequest(town, obstacles=obstacles, gsd_m=0.08, clearances=Clearances(unknown_blocks=False))
    )
    assert any("crane" in refusal.what for refusal in blocked.refused)
    assert warned.refused[0].what.startswith("warning")
    near = shapely.Point(FRAME.to_xy([FRAME.to_lonlat([(200, 200)])[0]])[0])
    ways = [shapely.linestrings(s.route.points) for s in blocked.sorties]
    middle = blocked.task.frame.to_xy(FRAME.to_lonlat([(200, 200)]))[0]
    assert near.is_valid and min(shapely.distance(way, shapely.Point(middle)) for way in ways) >= 20


def test_ceilings_lower_the_flight_and_legs_stay_inside_the_permitted(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 800, 500), {})])
    zones = draw(
        "z.geojson",
        [
            (shapely.box(500, 0, 900, 500), {"kind": "ceiling", "max_agl_m": 50, "name": "approach"}),
            (shapely.box(-40, -40, 840, 540), {"kind": "permitted", "name": "volume"}),
        ],
    )
    check(PlanRequest(area, zones=zones, gsd_m=0.08), tmp_path / "plan")
    heights = {sortie.height_agl_m for sortie in read_plan(tmp_path / "plan").sorties}  # type: ignore[attr-defined]
    assert len(heights) == 2 and min(heights) <= 50


def test_no_photograph_shows_a_no_photo_place(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 1000, 1000), {})])
    zones = draw("z.geojson", [(shapely.box(450, 450, 520, 520), {"kind": "no-photo", "name": "depot"})])
    check(PlanRequest(area, zones=zones, gsd_m=0.08), tmp_path / "plan", share=0.985)


def test_crews_share_the_work_and_stay_apart(draw: Draw) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 900, 900), {})])
    result = plan_patrol(PlanRequest(area, gsd_m=0.08, crews=3))
    busy: dict[str, float] = {}
    for sortie in result.sorties:
        busy[sortie.crew] = busy.get(sortie.crew, 0.0) + sortie.duration_s
    assert len(busy) == 3
    assert max(busy.values()) <= 1.15 * np.mean(list(busy.values()))
    first = {sortie.crew: sortie for sortie in reversed(result.sorties)}
    clocks = {crew: positions(sortie.route.points) for crew, sortie in first.items()}
    for a, b in (("C01", "C02"), ("C02", "C03"), ("C01", "C03")):
        count = min(len(clocks[a]), len(clocks[b]))
        gaps = np.hypot(*(clocks[a][:count] - clocks[b][:count]).T)
        assert gaps[5:].min() > 40


def positions(points: np.ndarray, step_m: float = 10.0) -> np.ndarray:
    done = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.arange(0.0, done[-1], step_m)
    return np.column_stack([np.interp(at, done, points[:, axis]) for axis in (0, 1)])


def test_crews_on_one_site_leave_it_one_after_the_other(town: Path) -> None:
    site = tuple(FRAME.to_lonlat([(200, -20)])[0])
    starts = [s.start_utc for s in plan_patrol(PlanRequest(town, gsd_m=0.08, crews=2, sites=(site,))).sorties]
    assert (starts[1] - starts[0]).total_seconds() >= 60


def test_a_lane_cut_by_the_battery_resumes_one_photograph_back(draw: Draw) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 3000, 300), {})])
    result = plan_patrol(PlanRequest(area, gsd_m=0.05, objective="turns"))
    assert len(result.sorties) >= 2
    stretches = [stretch for s in result.sorties for stretch in lanes_of(s.route)]
    joined = shapely.union_all([shapely.LineString(stretch).buffer(0.5) for stretch in stretches])
    lanes = shapely.get_parts(joined)
    # Cut lanes overlap by a photograph: joined again they are whole, and more was flown than they are long.
    assert len(stretches) > len(lanes)
    assert all(lane.length / 2 > 2900 for lane in lanes)
    extra_m = sum(float(np.hypot(*(s[1] - s[0]))) for s in stretches) - sum(lane.length / 2 - 1 for lane in lanes)
    trigger_m = result.sorties[0].route.trigger_m
    assert extra_m == pytest.approx((len(stretches) - len(lanes)) * trigger_m, rel=0.25)


def lanes_of(route) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    return [route.points[i : i + 2] for i in np.flatnonzero(route.shooting)]


def test_what_cannot_be_reached_is_refused_by_name(draw: Draw) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 300, 300), {}), (shapely.box(9000, 0, 9300, 300), {})])
    site = tuple(FRAME.to_lonlat([(150, -30)])[0])
    result = plan_patrol(PlanRequest(area, gsd_m=0.08, sites=(site,)))
    assert any("--site" in refusal.remedy for refusal in result.refused)
    assert 0.4 < result.coverage.seen_once < 0.6


def test_nothing_in_reach_is_an_error(draw: Draw) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 300, 300), {})])
    site = tuple(FRAME.to_lonlat([(12_000, 0)])[0])
    with pytest.raises(MissionsError, match="nearer to them with --site"):
        plan_patrol(PlanRequest(area, gsd_m=0.08, sites=(site,)))


def test_the_verifier_sees_what_is_wrong(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 600, 600), {})])
    export_plan(plan_patrol(PlanRequest(area, gsd_m=0.08)), tmp_path / "plan")
    zones = draw("z.geojson", [(shapely.box(200, 200, 300, 300), NO_FLY)])
    obstacles = draw("o.geojson", [(shapely.Point(450, 450), {"name": "mast", "top_agl_m": 90})])
    verdict = verify_plan(tmp_path / "plan", area, zones, obstacles)
    assert verdict.closed_m > 100
    assert any("school" in fault for fault in verdict.faults)
    assert any("mast" in fault for fault in verdict.faults)
    file = tmp_path / "plan" / read_plan(tmp_path / "plan").sorties[0].files.waypoints
    items = read_waypoints(file)
    lanes = [index for index, item in enumerate(items) if item.command == 206 and item.params[0] > 0]
    for index in lanes[2:4]:
        items[index] = items[index].model_copy(update={"params": (0.0, 0.0, 0.0, 0.0)})
    write_waypoints(items, file)
    assert verify_plan(tmp_path / "plan", area).seen_once < 0.99


@st.composite
def places(draw_: st.DrawFn) -> tuple[shapely.Polygon, list[shapely.Polygon]]:
    """A star-shaped, often concave area of up to 1 km2, and up to three zones in and around it."""
    count = draw_(st.integers(3, 12))
    radii = draw_(st.lists(st.floats(60, 600), min_size=count, max_size=count))
    angles = np.linspace(0, 2 * math.pi, count, endpoint=False)
    area = shapely.Polygon(np.column_stack([radii * np.cos(angles), radii * np.sin(angles)]))
    zones = []
    for _ in range(draw_(st.integers(0, 3))):
        x, y = draw_(st.floats(-500, 500)), draw_(st.floats(-500, 500))
        sides, size = draw_(st.integers(3, 8)), draw_(st.floats(10, 200))
        turn = draw_(st.floats(0, 6.28)) + np.linspace(0, 2 * math.pi, sides, endpoint=False)
        zones.append(shapely.Polygon(np.column_stack([x + size * np.cos(turn), y + size * np.sin(turn)])))
    return area, zones


@settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(
    place=places(),
    profile=st.sampled_from([("arducopter", 0.08), ("mavic3e", 0.03), ("m30", 0.04)]),
    crews=st.integers(1, 3),
)
def test_any_place_gives_a_lawful_plan_or_a_plain_refusal(
    tmp_path_factory: pytest.TempPathFactory, place: tuple, profile: tuple[str, float], crews: int
) -> None:
    area, zones = place
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.geojson").write_text(collection([(area, {})]))
    (folder / "z.geojson").write_text(collection([(zone, NO_FLY) for zone in zones]))
    closed = folder / "z.geojson" if zones else None
    request = PlanRequest(folder / "a.geojson", zones=closed, aircraft=profile[0], gsd_m=profile[1], crews=crews)
    try:
        result = plan_patrol(request)
    except MissionsError as error:
        assert len(str(error)) > 20 and "\n" not in str(error)
        return
    export_plan(result, folder / "plan")
    # 4,000 samples are uncertain by 0.16 % at this limit: one place in a session was said to be seen to 0.9872.
    verdict = verify_plan(folder / "plan", request.area, closed, samples=40_000)
    assert verdict.closed_m == 0.0 and verdict.too_high_m == 0.0
    unreached = any("stretches" in refusal.what for refusal in result.refused)
    assert unreached or verdict.seen_once >= 0.99


@settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(
    length_m=st.floats(700, 3000),
    width_m=st.floats(100, 500),
    turned_deg=st.floats(0, 180),
    health=st.floats(0.45, 1.0),
    wind=st.tuples(st.floats(0, 8), st.floats(0, 360)),
    profile=st.sampled_from([("arducopter", 0.05), ("mavic3e", 0.03)]),
)
def test_no_cut_of_any_battery_loses_a_piece_of_a_lane(
    tmp_path_factory: pytest.TempPathFactory,
    length_m: float,
    width_m: float,
    turned_deg: float,
    health: float,
    wind: tuple[float, float],
    profile: tuple[str, float],
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    box = shapely.box(-length_m / 2, -width_m / 2, length_m / 2, width_m / 2)
    area = shapely.affinity.rotate(box, turned_deg)
    (folder / "a.geojson").write_text(collection([(area, {})]))
    result = plan_patrol(
        PlanRequest(
            folder / "a.geojson", aircraft=profile[0], gsd_m=profile[1], battery_health=health,
            wind_mps=wind[0], wind_from_deg=wind[1],
        )
    )  # fmt: skip
    assert result.refused == ()
    for pieces in lanes_by_line([s.route for s in result.sorties]):
        # The area is convex: what was photographed of one line must be one stretch, cuts flown over by a photograph.
        for (_, end), (begin, _) in itertools.pairwise(pieces):
            assert begin - end <= -0.5 * result.sorties[0].route.trigger_m
    export_plan(result, folder / "plan")
    assert verify_plan(folder / "plan", folder / "a.geojson", samples=4000).seen_as_due >= 0.999


def lanes_by_line(routes: list[Route]) -> list[list[tuple[float, float]]]:
    """Photographed stretches of one line each, as (begin, end) metres along it, in order."""
    stretches = [stretch for route in routes for stretch in lanes_of(route)]
    along = stretches[0][1] - stretches[0][0]
    along = along / np.hypot(*along)
    across = np.array([-along[1], along[0]])
    lines: dict[int, list[tuple[float, float]]] = {}
    for stretch in stretches:
        at = sorted(float(point @ along) for point in stretch)
        lines.setdefault(round(float(stretch.mean(axis=0) @ across)), []).append((at[0], at[1]))
    return [sorted(pieces) for pieces in lines.values()]
