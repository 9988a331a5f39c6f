"""Sorties that end where they began: pairs of lanes, the order in which they are flown, whole batteries, the bound."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks._city_bound import Swept, back_s, lower_bound, row_s, rows_visited
from missions.aircraft import load_profile
from missions.cells import _along_lanes, _whole_batteries
from missions.coverage import OVERRUN_M, Lanes, Strip, cover
from missions.energy import FlightModel
from missions.loops import looped
from missions.planner import PlanRequest, plan_patrol
from missions.route import build_route
from missions.routing import Router
from missions.sites import read_sites
from missions.sorties import Pieces, pieces_of
from missions.spent import spent_by_all
from missions.tracks import Tracks
from tests.missions.conftest import Draw
from tests.missions.test_brigade import roster

PROFILE = load_profile("mavic3e")
STRIP = Strip.of(PROFILE.camera, 112.5, 0.75, 0.65)
MODEL = FlightModel(PROFILE, 5.0, 330.0)


def rows(count: int, length_m: float = 1780.0) -> Pieces:
    """Lanes side by side, flown to and fro."""
    starts, ends = [], []
    for number in range(count):
        ends_of = [(-length_m / 2, number * STRIP.lane_m), (length_m / 2 + OVERRUN_M, number * STRIP.lane_m)]
        start, end = ends_of if number % 2 == 0 else ends_of[::-1]
        starts.append(start)
        ends.append(end)
    return Pieces(np.array(starts), np.array(ends), np.arange(count))


@pytest.mark.parametrize("count", [4, 8, 10])
@pytest.mark.parametrize("home", [(0.0, -30.0), (300.0, -30.0), (0.0, 130.0)])
def test_an_even_number_of_lanes_ends_at_home(count: int, home: tuple[float, float]) -> None:
    work, place, router = rows(count), np.array(home), Router([])
    plain = build_route(work, place, router, STRIP)
    route = build_route(looped(work, place, router, MODEL, STRIP), place, router, STRIP)
    on = np.flatnonzero(route.shooting)
    home_m = route.legs_m[: on[0]].sum() + route.legs_m[on[-1] + 1 :].sum()
    assert home_m < 4 * STRIP.lane_m
    assert route.time_and_energy(MODEL)[0] < plain.time_and_energy(MODEL)[0] - 50


def _flown(pieces: Pieces, row_m: float) -> shapely.Geometry:
    """What is flown of one row, as intervals along it."""
    mine = np.abs(pieces.start[:, 1] - row_m) < 0.01
    return shapely.union_all(
        [shapely.LineString([(a[0], 0), (b[0], 0)]) for a, b in zip(pieces.start[mine], pieces.end[mine], strict=True)]
    )


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 9),
    x=st.floats(-2000, 2000),
    y=st.floats(-600, 900),
    lengths=st.lists(st.floats(40, 2500), min_size=9, max_size=9),
)
def test_no_order_loses_a_lane_or_takes_longer(count: int, x: float, y: float, lengths: list[float]) -> None:
    work = rows(count)
    stretch = np.array(lengths[:count])[:, None] / 1784.0
    middle = (work.start + work.end) / 2
    work = Pieces(middle + (work.start - middle) * stretch, middle + (work.end - middle) * stretch, work.lane)
    home, router = np.array([x, y]), Router([])
    found = looped(work, home, router, MODEL, STRIP)
    for number in range(count):
        wanted = shapely.LineString([(work.start[number, 0], 0), (work.end[number, 0], 0)])
        missing = wanted.difference(shapely.buffer(_flown(found, number * STRIP.lane_m), 0.01))
        assert missing.length < 0.1
    was = build_route(work, home, router, STRIP).time_and_energy(MODEL)[0]
    now = build_route(found, home, router, STRIP).time_and_energy(MODEL)[0]
    assert now <= was + 2 * STRIP.trigger_m / PROFILE.cruise_mps


@settings(max_examples=12, deadline=None)
@given(
    turn=st.floats(0, math.pi),
    radius=st.floats(300, 900),
    at=st.lists(st.integers(1, 200), min_size=0, max_size=6),
    longest=st.floats(60, 700),
)
def test_no_cut_of_pairs_loses_a_piece_of_a_lane(turn: float, radius: float, at: list[int], longest: float) -> None:
    place = shapely.Point(0, 0).buffer(radius) - shapely.box(-90, -60, 140, 120)
    lanes = cover(place, shapely.MultiPolygon(), STRIP, turn)
    tracks = Tracks.of(lanes, STRIP)
    lines = tracks.lanes()
    work = pieces_of(lines, 2 * np.arange(len(lines)), STRIP, longest)
    bounds = sorted({0, len(work), *(cut for cut in at if cut < len(work))})
    flown = [tracks.stretches(work.part(a, b - 1)) for a, b in itertools.pairwise(bounds)]
    strips = [
        shapely.LineString([start, end]).buffer(0.05)
        for part in flown
        for start, end in zip(part.start, part.end, strict=True)
    ]
    wanted = shapely.union_all([shapely.LineString([a, b]) for a, b in zip(lanes.start, lanes.end, strict=True)])
    assert wanted.difference(shapely.union_all(strips)).length < 0.5
    length_m = sum(float(np.hypot(*(part.end - part.start).T).sum()) for part in flown)
    assert length_m <= lanes.length_m + 4 * len(bounds) * (OVERRUN_M + 0.1)
    each = np.hypot(*(work.end - work.start).T)
    assert float((tracks.load(work) * each).sum()) == pytest.approx(lanes.length_m, rel=0.01)


def test_stretches_go_to_the_cheapest_sites_along_each_lane() -> None:
    rng = np.random.default_rng(3)
    cost = rng.uniform(0, 60, (7, 3))
    lane = np.array([0, 0, 0, 0, 1, 2, 2])

    def total(owner: tuple[int, ...]) -> float:
        turns = sum(a != b and x == y for a, b, x, y in zip(owner, owner[1:], lane, lane[1:], strict=False))
        return float(cost[np.arange(7), list(owner)].sum()) + 60.0 * turns

    best = min(itertools.product(range(3), repeat=7), key=total)
    assert total(tuple(int(site) for site in _along_lanes(cost, lane))) == pytest.approx(total(best))


def test_cells_take_fewer_batteries_once_they_have_a_price() -> None:
    rows_of, chunks = 40, 15
    lane = np.repeat(np.arange(rows_of), chunks)
    across = np.repeat(np.arange(rows_of) * 110.0, chunks)
    along = np.tile(np.arange(chunks) * 120.0, rows_of)
    sites = np.array([(900.0, 400.0), (900.0, 1700.0), (900.0, 2750.0), (900.0, 4100.0)])
    cost = 0.001 * np.hypot(along[:, None] - sites[:, 0], 3 * (across[:, None] - sites[:, 1]))
    battery_s = np.full(4, 1150.0)

    def batteries(owner: np.ndarray) -> float:
        work = 16.0 * np.bincount(owner, minlength=4) + 15.0 * np.bincount(owner[::chunks], minlength=4)
        return float(np.ceil(work / battery_s + 0.1).sum())

    priced = _whole_batteries(cost, lane, 16.0, 15.0, battery_s)
    assert batteries(priced) <= batteries(_along_lanes(cost, lane))
    assert set(priced) == {0, 1, 2, 3}


def test_a_row_takes_as_many_visits_as_discs_hold_its_lanes() -> None:
    lanes = Lanes(np.array([[0.0, 0.0]]), np.array([[5000.0, 0.0]]), np.array([0]), 0.0)
    one = np.array([[2500.0, 0.0]])
    assert rows_visited(lanes, 55.0, one, 2600.0)[:2] == (1, 0.0)
    count, unseen_m, _ = rows_visited(lanes, 55.0, one, 1500.0)
    assert count == 1 and unseen_m == pytest.approx(2000, abs=5)
    many = np.array([[1000.0, 0.0], [2500.0, 900.0], [4000.0, 0.0]])
    assert rows_visited(lanes, 55.0, many, 1500.0)[0] == 2
    assert rows_visited(lanes, 55.0, None, 1500.0)[0] == 2


def test_a_day_flies_no_less_than_the_bound_and_its_time_adds_up(draw: Draw, tmp_path) -> None:  # type: ignore[no-untyped-def]
    area = draw("a.geojson", [(shapely.box(0, 0, 3000, 1500), {})])
    sites = draw("s.geojson", [(shapely.Point(x, 700), {}) for x in (800, 2300)])
    request = PlanRequest(
        area, sites=read_sites(sites), roster=roster(tmp_path / "r.json"), aircraft="mavic3e", gsd_m=0.03
    )
    result = plan_patrol(request)
    used = spent_by_all(result.sorties, result.task.model)
    flown_s = sum(sortie.duration_s for sortie in result.sorties)
    assert used.total_s == pytest.approx(flown_s) and min(used.links_s, used.home_s, used.corners_s) > 0
    assert result.coverage.seen_twice > 0.85 and not [item for item in result.refused if "lane" in item.what]
    task = result.task
    place = task.area
    lanes = cover(place, shapely.MultiPolygon(), task.strip, result.sweeps[0][0].direction_rad)
    swept = Swept(lanes, task.frame.to_xy(request.sites), task.strip.lane_m, task.strip.height_agl_m)
    bound = lower_bound([swept], task.model, task.model.budget_wh(), 1500.0)
    assert 0.8 * flown_s < bound.flight_s < flown_s


@pytest.mark.parametrize("count", [2, 4, 10])
@pytest.mark.parametrize(
    ("length_m", "home"), [(1780.0, (0.0, -30.0)), (2900.0, (0.0, 200.0)), (600.0, (300.0, -30.0))]
)
def test_no_loop_takes_less_than_the_bound(count: int, length_m: float, home: tuple[float, float]) -> None:
    work, place = rows(count, length_m), np.array(home)
    route = build_route(looped(work, place, Router([]), MODEL, STRIP), place, Router([]), STRIP)
    seconds, energy_wh = route.time_and_energy(MODEL)
    lanes = Lanes(np.minimum(work.start, work.end), np.maximum(work.start, work.end), work.lane, 0.0)
    swept = Swept(lanes, place[None, :], STRIP.lane_m, STRIP.height_agl_m)
    bound = lower_bound([swept], MODEL, energy_wh, 1500.0)
    assert 0.8 * seconds < bound.flight_s < seconds
    assert 0.0 < back_s(MODEL, STRIP.lane_m) < row_s(MODEL, STRIP.lane_m)
