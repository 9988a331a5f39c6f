"""Climbing on course: never below the climb-out height, never too near what stands there, and sooner at the lanes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.events import FlightEvent, ProgressEvent
from flight.operation import Operation
from missions.climbing import on_course
from missions.errors import MissionsError
from missions.export.wpl import read_waypoints
from missions.follow import follow
from missions.planner import PlanRequest, export_plan, plan_patrol
from missions.route import TAKEOFF, WAYPOINT, Route, build_route
from missions.routing import Router
from missions.sorties import Pieces
from missions.terrain import Terrain
from missions.verify import verify_plan
from tests.flight.virtual import World
from tests.missions.conftest import FRAME, Draw
from tests.missions.test_brigade import hills
from tests.missions.test_loops import MODEL, PROFILE, STRIP, rows

RATES = (PROFILE.cruise_mps, PROFILE.climb_mps, PROFILE.descent_mps)
FULL_M = STRIP.height_agl_m


def sloped(route: Route, climb_out_m: float, low: Router | None = None, terrain: Terrain | None = None) -> Route:
    free = low or Router([])
    return on_course(route, climb_out_m, RATES, lambda a, b: bool(free.clear(a, b).all()), FRAME, terrain)


@settings(max_examples=60, deadline=None)
@given(st.floats(-900, 900), st.floats(-900, -5), st.floats(20, 112), st.integers(1, 6))
def test_slopes_keep_the_way_the_photographs_and_the_climb_out_height(
    x: float, y: float, climb_out_m: float, count: int
) -> None:
    plain = build_route(rows(count), np.array([x, y]), Router([]), STRIP)
    route = sloped(plain, climb_out_m)
    assert route.points[0].tolist() == plain.points[0].tolist() == route.points[-1].tolist()
    # Points nearer than 2 cm to each other are one.
    assert route.runs_m() == pytest.approx(plain.runs_m(), abs=0.05) and route.photos == plain.photos
    assert route.legs_m.sum() == pytest.approx(plain.legs_m.sum(), abs=0.1)
    on = np.flatnonzero(route.shooting)
    assert np.allclose(route.height_rel_m[on], FULL_M) and np.allclose(route.height_rel_m[on + 1], FULL_M)
    assert route.height_rel_m.min() >= climb_out_m - 1e-6 and route.height_rel_m.max() <= FULL_M + 1e-6
    steep = np.diff(route.height_rel_m) / np.maximum(route.legs_m, 1e-9)
    assert steep.max(initial=0.0) <= RATES[1] / RATES[0] and steep.min(initial=0.0) >= -RATES[2] / RATES[0]
    # A leg too short to reach full speed is counted as if it were reached at its end: up to 0.2 s on the least slope.
    assert route.time_and_energy(MODEL)[0] <= plain.time_and_energy(MODEL)[0] + 0.3


def test_long_ways_save_the_whole_straight_climb_and_short_ones_none() -> None:
    far = build_route(rows(2), np.array([0.0, -400.0]), Router([]), STRIP)
    saved_s = far.time_and_energy(MODEL)[0] - sloped(far, 60.0).time_and_energy(MODEL)[0]
    assert saved_s == pytest.approx((FULL_M - 60.0) * (1 / RATES[1] + 1 / RATES[2]), abs=0.2)
    near = build_route(rows(2), np.array([-890.0, 0.0]), Router([]), STRIP)
    assert sloped(near, 60.0).height_rel_m[0] == pytest.approx(FULL_M)


def test_what_stands_under_the_slope_is_passed_at_full_height() -> None:
    plain = build_route(rows(2), np.array([0.0, -400.0]), Router([]), STRIP)
    tower = Router([shapely.box(-30, -330, 30, -310)])
    first = plain.points[1] - plain.points[0]
    assert first[0] == pytest.approx(0, abs=900)
    across = Router([shapely.LineString([plain.points[0], plain.points[1]]).interpolate(60).buffer(20)])
    assert sloped(plain, 60.0, across).height_rel_m[0] == pytest.approx(FULL_M)
    assert sloped(plain, 60.0, tower).height_rel_m.min() >= 60.0


def test_over_hills_the_slope_keeps_its_height_above_the_ground(tmp_path: Path) -> None:
    terrain = Terrain.open(hills(tmp_path / "dem.tif"))
    home = np.array([700.0, 1000.0])  # at the foot of the hill at 1500, 1500
    lanes = rows(2)
    aside = np.array([1500.0, 1500.0])
    moved = Pieces(lanes.start + aside, lanes.end + aside, lanes.lane)
    plain = follow(build_route(moved, home, Router([]), STRIP), FRAME, terrain)
    route = sloped(plain, 60.0, terrain=terrain)
    assert route.height_rel_m[0] < plain.height_rel_m[0] - 6
    done = np.concatenate([[0.0], np.cumsum(route.legs_m)])
    along = np.arange(0.0, done[-1], 10.0)
    places = np.column_stack([np.interp(along, done, route.points[:, axis]) for axis in (0, 1)])
    ground = terrain.at(FRAME.to_lonlat(np.concatenate([route.points[:1], places])))
    agl = np.interp(along, done, route.height_rel_m) - (ground[1:] - ground[0])
    assert agl.min() >= 59.0 and agl.max() <= 120.0


@pytest.mark.parametrize("aircraft", ["mavic3e", "arducopter"])
def test_files_carry_the_climb_out_and_the_verifier_agrees(draw: Draw, tmp_path: Path, aircraft: str) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 900, 700), {})])
    mast = {"name": "mast", "top_agl_m": 70.0}
    obstacles = draw("o.geojson", [(shapely.box(440, -220, 460, -200), mast)])
    site = tuple(float(value) for value in FRAME.to_lonlat([(450.0, -400.0)])[0])
    gsd_m = 0.03 if aircraft == "mavic3e" else 0.08
    request = PlanRequest(
        area, obstacles=obstacles, sites=((site[0], site[1]),), aircraft=aircraft, gsd_m=gsd_m, climb_out_m=60.0
    )
    plan = export_plan(plan_patrol(request), tmp_path / "plan")
    verdict = verify_plan(tmp_path / "plan", area, None, obstacles, samples=4000)
    assert verdict.faults == ()
    begun = []
    for sortie in plan.sorties:
        items = read_waypoints(tmp_path / "plan" / sortie.files.waypoints)
        take_off = next(item for item in items if item.command == TAKEOFF)
        places = [item for item in items[1:] if item.command == WAYPOINT]
        begun.append(take_off.alt_m)
        assert 60.0 <= take_off.alt_m <= places[1].alt_m <= 120.0
        assert (places[-1].lon, places[-1].lat) == pytest.approx(sortie.home[:2], abs=1e-7)
        assert places[-1].alt_m < 120.0
        if sortie.files.kmz is not None:
            with ZipFile(tmp_path / "plan" / sortie.files.kmz) as kmz:
                text = ElementTree.fromstring(kmz.read("wpmz/waylines.wpml"))
            name = "{http://www.dji.com/wpmz/1.0.2}takeOffSecurityHeight"
            assert float(next(text.iter(name)).text or 0) == pytest.approx(take_off.alt_m, abs=0.1)
    assert min(begun) < 100.0


def test_without_obstacles_the_plan_says_what_to_look_for(draw: Draw) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 400, 300), {})])
    said = [item for item in plan_patrol(PlanRequest(area, climb_out_m=60.0)).refused if "on course" in item.what]
    assert len(said) == 1 and "40 m" in said[0].remedy
    assert not [item for item in plan_patrol(PlanRequest(area)).refused if "on course" in item.what]


@pytest.mark.parametrize("height_m", [5.0, 130.0, float("nan")])
def test_a_climb_out_that_is_none_is_refused(draw: Draw, height_m: float) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 400, 300), {})])
    with pytest.raises(MissionsError, match="climb-out height"):
        plan_patrol(PlanRequest(area, climb_out_m=height_m))


@pytest.mark.slow
def test_a_vehicle_flies_the_slopes_to_the_end(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 260, 120), {})])
    lon, lat = (float(value) for value in FRAME.to_lonlat([(130.0, -260.0)])[0])
    request = PlanRequest(area, sites=((lon, lat),), gsd_m=0.05, climb_out_m=25.0)
    result = plan_patrol(request)
    export_plan(result, tmp_path / "plan")
    seen: list[FlightEvent] = []
    world = World(1, [result.sorties[0].home], seed=1, gps_noise_m=0.5)
    operation = Operation(
        tmp_path / "plan", world.urls, tmp_path / "out", operator="lin", on_event=seen.append, on_sortie=None,
        swap_battery=None, max_home_offset_m=30.0, speedup=1.0, key=None, overrides=(), obstacles=(),
    )  # fmt: skip
    operation.orders = operation.orders[:1]
    (flown,) = world.run(operation.run()).sorties
    assert flown.state == "landed", flown.why
    looks = [event for event in seen if isinstance(event, ProgressEvent)]
    away = np.hypot(*(FRAME.to_xy([(look.lon, look.lat) for look in looks]) - [130.0, -260.0]).T)
    height = np.array([look.height_rel_m for look in looks])
    full_m = result.sorties[0].strip.height_agl_m
    sloping = (away > 15.0) & (height < full_m - 8.0)
    assert sloping.any() and height[sloping].min() > 20.0
    assert height.max() == pytest.approx(full_m, abs=3.0)
