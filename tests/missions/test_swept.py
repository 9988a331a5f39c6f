"""A brigade's tiles swept in spirals: within batteries, away from what may not be shown, and changed in mid-day."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from missions.airspace import Clearances
from missions.energy import FlightModel
from missions.errors import MissionsError
from missions.explain import explain
from missions.ingest import again
from missions.planner import PlanRequest, PlanResult, export_plan, plan_patrol
from missions.replan import replan
from missions.reread import reread
from missions.sites import read_sites
from missions.spent import spent_by_all
from missions.verify import verify_plan
from tests.missions.conftest import FRAME, Draw, collection
from tests.missions.test_brigade import roster
from tests.missions.test_planner import places

WIDTH_M, DEPTH_M = 2400.0, 1500.0


@pytest.fixture
def request_of(draw: Draw, tmp_path: Path) -> PlanRequest:
    area = draw("a.geojson", [(shapely.box(0, 0, WIDTH_M, DEPTH_M), {})])
    sites = draw("s.geojson", [(shapely.Point(x, 700), {}) for x in (600, 1800)])
    return PlanRequest(
        area, sites=read_sites(sites), roster=roster(tmp_path / "r.json"), aircraft="mavic3e", gsd_m=0.03
    )


@pytest.fixture
def planned(request_of: PlanRequest, tmp_path: Path) -> tuple[PlanRequest, PlanResult, Path]:
    result = plan_patrol(request_of)
    export_plan(result, tmp_path / "plan")
    return request_of, result, tmp_path / "plan"


def test_every_sortie_fits_its_crews_battery_and_all_is_seen(planned: tuple[PlanRequest, PlanResult, Path]) -> None:
    request, result, folder = planned
    for sortie in result.sorties:
        assert sortie.rostered is not None
        assert sortie.energy_wh <= result.task.model.budget_wh(sortie.rostered.machine.battery_health)
    assert request.area is not None
    verdict = verify_plan(folder, request.area, samples=20_000)
    assert verdict.good and verdict.seen_once == 1.0
    used = spent_by_all(result.sorties, result.task.model)
    alone_s = WIDTH_M * DEPTH_M / result.sorties[0].strip.lane_m / result.task.profile.cruise_mps
    assert used.total_s == pytest.approx(sum(sortie.duration_s for sortie in result.sorties))
    assert used.links_s < 0.01 * used.total_s < used.total_s < 1.15 * alone_s
    said = explain(result)
    assert any(line.startswith("tiles:") for line in said) and any(line.startswith("path:") for line in said)


def test_a_spiral_is_one_run_of_photographs_in_the_dji_file(planned: tuple[PlanRequest, PlanResult, Path]) -> None:
    _, result, folder = planned
    sortie = result.sorties[0]
    kmz = sorted((folder / "sorties").glob("*.kmz"))[0]
    with ZipFile(kmz) as archive:
        root = ElementTree.fromstring(archive.read("wpmz/waylines.wpml"))
    groups = [
        group
        for group in root.iter()
        if group.tag.endswith("}actionGroup")
        and any(child.text == "multipleDistance" for child in group.iter() if child.tag.endswith("}actionTriggerType"))
    ]
    assert len(groups) == len(sortie.route.runs_m()) == 1
    first, last = (
        int(next(child.text or "" for child in groups[0] if child.tag.endswith(end)))
        for end in ("}actionGroupStartIndex", "}actionGroupEndIndex")
    )
    on = np.flatnonzero(sortie.route.shooting)
    assert (first, last) == (on[0], on[-1] + 1) and last > first + 20


def test_a_zone_in_mid_day_leaves_the_rest_of_a_spiral_on_its_rings(
    planned: tuple[PlanRequest, PlanResult, Path], draw: Draw, tmp_path: Path
) -> None:
    request, result, folder = planned
    ring = result.sorties[0].route.points[len(result.sorties[0].route.points) // 3]
    place = shapely.Point(*ring).buffer(80)
    lonlat = result.task.frame.geographic(place)
    metric = FRAME.metric(lonlat)
    zones = draw("z.geojson", [(metric, {"kind": "no-fly", "name": "fire"})])
    changed = PlanRequest(**{**vars(request), "zones": zones})
    done = replan(folder, changed, tmp_path / "new")
    assert result.sorties[0].short_id in done.dropped and done.added
    _, _, sorties = reread(tmp_path / "new", result.task.frame)
    before = shapely.union_all([shapely.linestrings(sortie.route.points) for sortie in result.sorties]).buffer(2.0)
    for sortie in sorties:
        legs = np.flatnonzero(sortie.route.shooting)
        lanes = shapely.linestrings(np.stack([sortie.route.points[legs], sortie.route.points[legs + 1]], axis=1))
        assert shapely.contains(before, lanes).all()
        assert not shapely.intersects(shapely.linestrings(sortie.route.points), place)


def test_missed_photographs_of_a_spiral_are_flown_again_on_its_rings(
    planned: tuple[PlanRequest, PlanResult, Path],
) -> None:
    _, result, folder = planned
    _, _, sorties = reread(folder, result.task.frame)
    sortie = sorties[0]
    places, _ = sortie.exposures()
    assert len(places) == sortie.sortie.photos == result.sorties[0].route.photos
    route = again(sortie, [(40, 52)])
    assert route is not None
    found = shapely.union_all(
        [shapely.linestrings(route.points[index : index + 2]) for index in np.flatnonzero(route.shooting)]
    )
    assert shapely.distance(found, shapely.points(places[40:53])).max() < 1.0
    assert found.length < 14 * route.trigger_m


def test_no_spiral_shows_a_place_that_may_not_be_photographed(
    request_of: PlanRequest, draw: Draw, tmp_path: Path
) -> None:
    secret = shapely.Point(1000, 800).buffer(120)
    zones = draw("z.geojson", [(secret, {"kind": "no-photo", "name": "court"})])
    request = PlanRequest(**{**vars(request_of), "zones": zones})
    export_plan(plan_patrol(request), tmp_path / "plan")
    assert request.area is not None
    verdict = verify_plan(tmp_path / "plan", request.area, zones, samples=20_000)
    assert verdict.shown_m2 == 0 and verdict.faults == () and verdict.seen_once > 0.99


def test_where_the_straight_way_home_must_be_clear_nothing_hidden_is_flown(
    request_of: PlanRequest, draw: Draw, tmp_path: Path
) -> None:
    zones = draw("z.geojson", [(shapely.box(1000, 500, 1150, 900), {"kind": "no-fly", "name": "n"})])
    request = PlanRequest(**{**vars(request_of), "zones": zones, "clearances": Clearances(straight_home=True)})
    result = plan_patrol(request)
    export_plan(result, tmp_path / "plan")
    assert request.area is not None
    verdict = verify_plan(tmp_path / "plan", request.area, zones, samples=4000)
    lanes_m = sum(sum(sortie.route.runs_m()) for sortie in result.sorties)
    assert verdict.closed_m == 0 and verdict.return_m < 0.02 * lanes_m


@settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(place=places(), larger=st.floats(1.0, 2.5))
def test_any_place_gives_a_brigade_a_lawful_plan_or_a_plain_refusal(
    tmp_path_factory: pytest.TempPathFactory, place: tuple, larger: float
) -> None:
    area, zones = (
        shapely.transform(shapely.GeometryCollection(one), lambda c: c * larger) for one in ([place[0]], place[1])
    )
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.geojson").write_text(collection([(area.geoms[0], {})]))
    (folder / "z.geojson").write_text(collection([(zone, {"kind": "no-fly", "name": "n"}) for zone in zones.geoms]))
    closed = folder / "z.geojson" if len(zones.geoms) else None
    crews = roster(folder / "r.json")
    request = PlanRequest(folder / "a.geojson", zones=closed, aircraft="mavic3e", gsd_m=0.03, roster=crews)
    try:
        result = plan_patrol(request)
    except MissionsError as error:
        assert len(str(error)) > 20 and "\n" not in str(error)
        return
    for sortie in result.sorties:
        assert sortie.rostered is not None
        assert sortie.energy_wh <= result.task.model.budget_wh(sortie.rostered.machine.battery_health)
    export_plan(result, folder / "plan")
    verdict = verify_plan(folder / "plan", request.area, closed, samples=4000)
    assert verdict.closed_m == 0.0 and verdict.too_high_m == 0.0
    named = any("no battery" in item.why or "shifts" in item.why for item in result.refused)
    assert named or verdict.seen_once >= 0.99


def test_bends_of_short_legs_cost_time_and_long_ones_none(planned: tuple[PlanRequest, PlanResult, Path]) -> None:
    model: FlightModel = planned[1].task.model

    def circle(radius_m: float, count: int) -> np.ndarray:
        turns = np.linspace(0, 2 * np.pi, count + 1)
        return radius_m * np.column_stack([np.cos(turns), np.sin(turns)])

    for radius_m, slowed in ((20.0, True), (100.0, False)):
        points = circle(radius_m, 24)
        length_m = float(np.hypot(*np.diff(points, axis=0).T).sum())
        rest_s = model.profile.cruise_mps / model.profile.accel_mps2
        extra_s = model.route(points)[0] - length_m / model.profile.cruise_mps - rest_s
        assert (extra_s > 2.0) == slowed
