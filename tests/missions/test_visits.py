"""Places photographed from standstills, corridors, and what of a grid is due."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import shapely
from defusedxml import ElementTree
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from missions.aircraft import load_profile
from missions.duty import Cell, choose, rank, read_cells
from missions.errors import MissionsError
from missions.export.preview import draw_preview
from missions.export.wpl import read_waypoints
from missions.ingest import again
from missions.plan import MissionItem
from missions.planner import PlanRequest, PlanResult, export_plan, plan_patrol
from missions.points import ListedPoint, View, read_points
from missions.replan import replan
from missions.reread import reread
from missions.rules import Approval, Operation
from missions.verify import verify_plan
from missions.views import Shot, ground_seen, shots_of_points
from tests.missions.conftest import FRAME, Draw

NO_FLY = {"kind": "no-fly", "name": "school"}
WPML = "{http://www.dji.com/wpmz/1.0.2}"


def ledger(path: Path, places: list[tuple[float, float]], views: dict[int, str] | None = None) -> Path:
    rows = ["编号,经度,纬度,周期,上次巡查,视角"]
    for number, (lon, lat) in enumerate(FRAME.to_lonlat(places)):
        view = (views or {}).get(number, "nadir")
        rows.append(f'W-{number},{lon:.8f},{lat:.8f},7,2026-11-{1 + number % 20:02d},"{view}"')
    path.write_text("\n".join(rows), "utf-8")
    return path


def photographs(items: list[MissionItem]) -> list[tuple[float, float, float, float, float]]:
    """(lon, lat, height, yaw, pitch) of every photograph that mission items take from a standstill."""
    place, yaw, pitch, found = (0.0, 0.0, 0.0), 0.0, 0.0, []
    for item in items:
        if item.command == 16:
            place = (item.lon, item.lat, item.alt_m)
        elif item.command == 115:
            yaw = item.params[0]
        elif item.command == 1000:
            pitch = item.params[0]
        elif item.command == 2000:
            found.append((*place, yaw, pitch))
    return found


def taken(folder: Path) -> list[tuple[float, float, float, float, float]]:
    plan = json.loads((folder / "plan.json").read_text())
    files = [folder / sortie["files"]["waypoints"] for sortie in plan["sorties"]]
    return [shot for file in files for shot in photographs(read_waypoints(file))]


def test_a_place_is_photographed_again_from_where_it_was(tmp_path: Path) -> None:
    lon, lat = FRAME.to_lonlat([(350.0, 120.0)])[0]
    places = ledger(tmp_path / "l.csv", [(300, 100), (-200, 400)], {0: f"{lon:.8f},{lat:.8f},64.5,213,-38.5"})
    result = plan_patrol(PlanRequest(points=places, gsd_m=0.06))
    export_plan(result, tmp_path / "plan")
    shots = sorted(taken(tmp_path / "plan"), key=lambda shot: shot[4])
    assert shots[1] == pytest.approx((lon, lat, 64.5, 213.0, -38.5), abs=1e-6)
    nadir = FRAME.to_xy([shots[0][:2]])[0]
    assert nadir == pytest.approx((-200, 400), abs=0.01) and shots[0][4] == -90
    assert shots[0][2] == pytest.approx(load_profile("arducopter").camera.height_for_gsd_m(0.06), abs=0.01)
    assert verify_plan(tmp_path / "plan", None).faults == ()


def test_an_angle_without_a_place_puts_the_place_in_the_middle_of_the_picture() -> None:
    point = ListedPoint("W", "", "", tuple(FRAME.to_lonlat([(50.0, 80.0)])[0]), 7, None, View(60.0, 90.0, -45.0))
    shot = shots_of_points([point], FRAME, 80.0)[0]
    assert shot.xy == pytest.approx((-10.0, 80.0), abs=0.01)
    seen = ground_seen(shot, load_profile("mavic3e").camera)
    assert seen.contains(shapely.Point(50, 80)) and not seen.contains(shapely.Point(*shot.xy))


def test_what_a_photograph_shows_agrees_with_the_footprint() -> None:
    camera = load_profile("mavic3e").camera
    seen = ground_seen(Shot("a", "nadir", (0.0, 0.0), 100.0, 0.0, -90.0), camera)
    across, along = camera.footprint_m(100.0)
    assert seen.bounds == pytest.approx((-across / 2, -along / 2, across / 2, along / 2), rel=1e-6)
    turned = ground_seen(Shot("a", "nadir", (0.0, 0.0), 100.0, 90.0, -90.0), camera)
    assert turned.bounds == pytest.approx((-along / 2, -across / 2, along / 2, across / 2), rel=1e-6)


def test_places_in_zones_under_ceilings_and_beside_secrets_are_told(draw: Draw, tmp_path: Path) -> None:
    places = ledger(tmp_path / "l.csv", [(0, 0), (500, 0), (1000, 0), (1400, 0)])
    zones = draw(
        "z.geojson",
        [
            (shapely.Point(0, 0).buffer(60), NO_FLY),
            (shapely.Point(500, 0).buffer(90), {"kind": "ceiling", "max_agl_m": 40, "name": "approach"}),
            (shapely.Point(1010, 0).buffer(20), {"kind": "no-photo", "name": "depot"}),
        ],
    )
    result = plan_patrol(PlanRequest(points=places, zones=zones, gsd_m=0.06))
    assert {item.what for item in result.refused} == {"nadir of W-0", "nadir of W-2"}
    export_plan(result, tmp_path / "plan")
    heights = sorted(shot[2] for shot in taken(tmp_path / "plan"))
    assert heights[0] == pytest.approx(39.5) and len(heights) == 2
    verdict = verify_plan(tmp_path / "plan", None, zones)
    assert verdict.faults == () and verdict.closed_m == 0 and verdict.shown_m2 == 0


def test_an_inspection_has_an_overview_four_obliques_and_details(draw: Draw, tmp_path: Path) -> None:
    places = draw("v.geojson", [(shapely.box(0, 0, 80, 60), {"name": "东关村"})])
    result = plan_patrol(PlanRequest(places, product="inspection", aircraft="mavic3e", gsd_m=0.03))
    names = [stop.name for sortie in result.sorties for stop in sortie.route.stops]
    assert sum("overview" in name for name in names) == 1
    assert sorted(name.split()[-1] for name in names if "medium" in name) == ["east", "north", "south", "west"]
    shots = [shot for shot in result.task.shots if "detail" in shot.what]
    camera = load_profile("mavic3e").camera
    seen = shapely.union_all([ground_seen(shot, camera) for shot in shots])
    assert seen.contains(result.task.frame.metric(shapely.from_geojson(places.read_text())))
    plan = export_plan(result, tmp_path / "plan")
    with zipfile.ZipFile(tmp_path / "plan" / str(plan.sorties[0].files.kmz)) as archive:
        lines = ElementTree.fromstring(archive.read("wpmz/waylines.wpml"))
    does = [element.text for element in lines.iter(f"{WPML}actionActuatorFunc")]
    count = len(result.sorties[0].route.stops)
    assert does == ["rotateYaw", "gimbalRotate", "takePhoto"] * count
    suffixes = [element.text or "" for element in lines.iter(f"{WPML}fileSuffix")]
    assert [suffix[-6:] for suffix in suffixes] == [f"S01V{n:02d}" for n in range(1, count + 1)]
    draw_preview(result, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20


def test_missed_places_are_flown_again(tmp_path: Path) -> None:
    places = ledger(tmp_path / "l.csv", [(0, 0), (200, 50), (400, 0), (300, 300)])
    export_plan(plan_patrol(PlanRequest(points=places, gsd_m=0.06)), tmp_path / "plan")
    _, _, sorties = reread(tmp_path / "plan")
    exposures, stretch = sorties[0].exposures()
    assert len(exposures) == 4 and len(set(stretch)) == 4
    route = again(sorties[0], [(1, 2)])
    assert route is not None and route.stops == sorties[0].route.stops[1:3]


def test_a_new_zone_takes_its_places_out_of_a_plan(draw: Draw, tmp_path: Path) -> None:
    places = ledger(tmp_path / "l.csv", [(0, 0), (200, 50), (400, 0), (300, 300)])
    request = PlanRequest(points=places, gsd_m=0.06, start_utc=datetime(2026, 11, 23, 4, tzinfo=UTC))
    before = export_plan(plan_patrol(request), tmp_path / "plan")
    zones = draw("z.geojson", [(shapely.Point(400, 0).buffer(50), NO_FLY)])
    done = replan(tmp_path / "plan", replace(request, zones=zones), tmp_path / "new")
    assert done.dropped == ("S01",) and done.added == ("S02",)
    assert [item.what for item in done.plan.refused] == ["nadir of W-2"]
    assert sorted(taken(tmp_path / "new")) == sorted(
        shot for shot in taken(tmp_path / "plan") if shot[0] != max(s[0] for s in taken(tmp_path / "plan"))
    )
    assert verify_plan(tmp_path / "new", None, zones).faults == ()
    begin = before.sorties[0].start_utc - timedelta(hours=3)
    late = Operation(approvals=(Approval(number="LY-1", begin_utc=begin, end_utc=begin + timedelta(hours=1)),))
    with pytest.raises(MissionsError, match=r"outside every approval \(LY-1.*new application"):
        replan(tmp_path / "plan", replace(request, zones=zones), tmp_path / "never", operation=late)
    assert not (tmp_path / "never").exists()


def test_many_places_are_shared_out_and_each_battery_lasts(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    places = ledger(tmp_path / "l.csv", [tuple(xy) for xy in random.uniform(-1500, 1500, (120, 2))])
    result = plan_patrol(PlanRequest(points=places, aircraft="mavic3e", gsd_m=0.03, crews=3, wind_mps=6.0))
    limit_wh = result.task.model.budget_wh()
    assert all(sortie.energy_wh <= limit_wh for sortie in result.sorties)
    assert sum(len(sortie.route.stops) for sortie in result.sorties) == 120 and result.refused == ()
    assert {sortie.crew for sortie in result.sorties} == {"C01", "C02", "C03"}
    for sortie in result.sorties:
        assert sortie.route.time_and_energy(result.task.model) == pytest.approx((sortie.duration_s, sortie.energy_wh))
        heights = sortie.route.height_rel_m
        assert heights[0] == pytest.approx(heights[-1])


@settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(
    places=st.lists(st.tuples(st.floats(-400, 400), st.floats(-400, 400)), min_size=1, max_size=9),
    angles=st.lists(st.tuples(st.floats(20, 110), st.floats(0, 359), st.floats(-90, -20)), min_size=9, max_size=9),
    zone=st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(20, 200)),
)
def test_any_ledger_gives_a_lawful_plan_or_a_plain_refusal(
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[float, float]],
    angles: list[tuple[float, float, float]],
    zone: tuple[float, float, float],
) -> None:
    folder = tmp_path_factory.mktemp("any")
    lonlat = FRAME.to_lonlat(places)
    views = {
        number: f"{lon:.8f},{lat:.8f},{angles[number][0]:.1f},{angles[number][1]:.1f},{angles[number][2]:.1f}"
        for number, (lon, lat) in enumerate(lonlat)
        if number % 2
    }
    points = ledger(folder / "l.csv", places, views)
    shape = FRAME.geographic(shapely.Point(*zone[:2]).buffer(zone[2]))
    feature = {"type": "Feature", "properties": NO_FLY, "geometry": json.loads(shapely.to_geojson(shape))}
    (folder / "z.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    try:
        result = plan_patrol(PlanRequest(points=points, zones=folder / "z.geojson", gsd_m=0.06))
    except MissionsError as error:
        assert len(str(error)) > 20 and "\n" not in str(error)
        return
    export_plan(result, folder / "plan")
    verdict = verify_plan(folder / "plan", None, folder / "z.geojson")
    assert verdict.closed_m == 0.0 and verdict.too_high_m == 0.0 and verdict.faults == ()
    assert len(taken(folder / "plan")) + len(result.refused) == len(places)


def line(draw: Draw) -> Path:
    road = shapely.LineString([(0, 0), (1200, 100), (1700, 900), (1750, 1900)])
    return draw("road.geojson", [(road, {"name": "沂蒙路"})])


def test_a_corridor_is_swept_along_itself_and_seen(draw: Draw, tmp_path: Path) -> None:
    result: PlanResult = plan_patrol(PlanRequest(line(draw), product="corridor", width_m=140, gsd_m=0.08))
    export_plan(result, tmp_path / "plan")
    legs = [sortie.route.points[i : i + 2] for sortie in result.sorties for i in np.flatnonzero(sortie.route.shooting)]
    courses = {round(math.degrees(math.atan2(*(b - a)[::-1])) % 180 / 5) for a, b in legs}
    assert len(courses) == 3
    corridor = shapely.buffer(result.task.frame.metric(shapely.from_geojson(line(draw).read_text())), 70)
    area = tmp_path / "corridor.geojson"
    area.write_text(shapely.to_geojson(result.task.frame.geographic(corridor)))
    verdict = verify_plan(tmp_path / "plan", area)
    assert verdict.seen_once >= 0.999 and verdict.faults == ()
    assert verdict.seen_as_due >= 0.995


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"area": None, "product": "corridor"}, "needs its middle line"),
        ({"width_m": 0.0}, "corridor width is 0 m"),
        ({"product": "film"}, "choose one of mosaic"),
        ({"area": None, "product": "mosaic"}, "nothing to photograph"),
    ],
)
def test_wrong_products_are_told(draw: Draw, change: dict, said: str) -> None:
    request = {"area": line(draw), "product": "corridor", "width_m": 100.0} | change
    with pytest.raises(MissionsError, match=said):
        plan_patrol(PlanRequest(**request))


def test_a_polygon_is_no_corridor(town: Path) -> None:
    with pytest.raises(MissionsError, match="a corridor is a line"):
        plan_patrol(PlanRequest(town, product="corridor"))


def cell(code: str, x: float, *, tier: int = 2, days: int = 10, visit: date | None = None) -> Cell:
    return Cell(code, FRAME.geographic(shapely.box(x, 0, x + 300, 300)), tier, days, visit)


def case(x: float, *, ended: bool = False) -> ListedPoint:
    return ListedPoint(f"c{x}", "", "", tuple(FRAME.to_lonlat([(x, 150.0)])[0]), 30, None, None, ended)


def test_cells_come_in_order_of_lateness_tier_open_cases_and_density() -> None:
    day = date(2026, 11, 23)
    cells = [
        cell("fresh", 0, visit=date(2026, 11, 20)),
        cell("due", 400, visit=date(2026, 11, 13)),
        cell("first tier", 800, tier=1, visit=date(2026, 11, 13)),
        cell("late", 1200, visit=date(2026, 10, 24)),
        cell("never", 1600),
        cell("case", 2000, visit=date(2026, 11, 20)),
        cell("dense", 2400, visit=date(2026, 11, 13)),
    ]
    cases = [case(2150), *(case(2500 + n, ended=True) for n in range(5))]
    order = [item.cell.code for item in rank(cells, day, cases)]
    assert "fresh" not in order and order[0] == "late"
    assert order.index("first tier") < order.index("due") and order.index("dense") < order.index("due")
    assert "case" in order and order.index("never") < order.index("due")
    chosen, left = choose(rank(cells, day, cases), 3.05 * 9e4)
    assert [item.cell.code for item in chosen] == order[:3] and len(left) == len(order) - 3
    assert "tier 2, 3.0 intervals since" in chosen[0].why(day)


def test_the_cells_of_a_day_hang_together() -> None:
    """Two towns 30 km apart whose cells are overdue in turn: a day is spent in one of them."""
    day = date(2026, 11, 23)
    visits = [day - timedelta(days=30 - number // 4) for number in range(24)]
    cells = [
        cell(f"{'EW'[number % 2]}{number:02d}", 30_000 * (number % 2) + 300 * (number // 2), days=20, visit=visit)
        for number, visit in enumerate(visits)
    ]
    due = rank(cells, day)
    chosen, left = choose(due, 12.05 * 9e4)
    assert {item.cell.code[0] for item in chosen} == {due[0].cell.code[0]} and len(chosen) == len(left) == 12
    # What is overdue by more than half an interval more is flown wherever it lies.
    far = cell("far", 60_000, days=20, visit=day - timedelta(days=50))
    assert "far" in {item.cell.code for item in choose(rank([*cells, far], day), 12.05 * 9e4)[0]}


@settings(max_examples=20, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), min_size=1, max_size=40, unique=True),
    reach=st.floats(0.5, 30.0),
)
def test_lateness_leads_and_the_reach_holds(places: list[tuple[int, int]], reach: float) -> None:
    day = date(2026, 11, 23)
    cells = [cell(f"{x}-{ago}", 300.0 * x, visit=day - timedelta(days=10 + ago)) for x, ago in places]
    due = rank(cells, day)
    chosen, left = choose(due, reach * 9.01e4)
    assert sorted(item.cell.code for item in [*chosen, *left]) == sorted(item.cell.code for item in due)
    assert len(chosen) == max(1, min(len(due), int(reach))) and chosen[0] == due[0]
    assert all(item.score <= min(one.score for one in chosen) + 0.5 + 1e-9 for item in left)


def test_cells_outside_the_area_do_not_use_up_the_day(draw: Draw) -> None:
    boxes = [(shapely.box(x, 0, x + 300, 300), {"cell": str(x), "last_visit": "2026-09-01"}) for x in (0, 400, 800)]
    grid, area = draw("g.geojson", boxes), draw("a.geojson", [(shapely.box(780, -20, 1120, 320), {})])
    noon = datetime(2026, 11, 23, 4, tzinfo=UTC)
    result = plan_patrol(PlanRequest(area, grid=grid, due_only=True, gsd_m=0.08, start_utc=noon, day_km2=0.1))
    assert result.task.area.area == pytest.approx(9e4, rel=1e-3) and result.refused == ()


def test_only_cells_that_are_due_are_flown(draw: Draw) -> None:
    boxes = [(shapely.box(x, 0, x + 300, 300), x) for x in (0, 400, 800)]
    grid = draw(
        "g.geojson",
        [(box, {"cell": f"37130200{x:07d}", "tier": 1, "last_visit": f"2026-11-{4 + x // 50}"}) for box, x in boxes],
    )
    noon = datetime(2026, 11, 23, 4, tzinfo=UTC)
    result = plan_patrol(PlanRequest(grid=grid, due_only=True, gsd_m=0.08, start_utc=noon))
    assert result.task.area.area == pytest.approx(2 * 9e4, rel=1e-3)
    small = plan_patrol(PlanRequest(grid=grid, due_only=True, gsd_m=0.08, start_utc=noon, day_km2=0.1))
    assert any("1 cells that are due" in item.what for item in small.refused)
    with pytest.raises(MissionsError, match=r"none of 3 cells is due.*next is on 2026-11-11"):
        plan_patrol(PlanRequest(grid=grid, due_only=True, on=date(2026, 11, 6)))
    with pytest.raises(MissionsError, match="expected more than nothing"):
        plan_patrol(PlanRequest(grid=grid, due_only=True, on=date(2026, 11, 30), day_km2=-1))
    with pytest.raises(MissionsError, match="give a grid with --grid"):
        plan_patrol(PlanRequest(grid, due_only=True, gsd_m=0.08))
    assert len(read_cells(grid, date(2026, 11, 23))) == 3


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("1,2,3", "expected nadir or lon,lat,height,yaw,pitch"),
        ("118.3,35.0,300,0,-45", "expected a height up to 120 m"),
        ("118.3,35.0,60,0,20", "pitch from -90"),
    ],
)
def test_a_wrong_view_is_named(tmp_path: Path, view: str, said: str) -> None:
    with pytest.raises(MissionsError, match=said):
        read_points(ledger(tmp_path / "l.csv", [(0, 0)], {0: view}))


def test_cases_of_a_vector_file_are_read_and_ended_ones_left(draw: Draw, tmp_path: Path) -> None:
    cases = draw(
        "c.geojson",
        [
            (shapely.Point(0, 0), {"number": "LY-WRJ-20261101-00001", "state": "handling"}),
            (shapely.Point(200, 0), {"number": "LY-WRJ-20261101-00002", "state": "closed"}),
        ],
    )
    result = plan_patrol(PlanRequest(cases=cases, gsd_m=0.06))
    assert [stop.name for s in result.sorties for stop in s.route.stops] == ["LY-WRJ-20261101-00001 nadir"]
