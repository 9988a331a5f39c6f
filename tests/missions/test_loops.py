"""Sorties over lanes that end where they began."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.aircraft import load_profile
from missions.coverage import OVERRUN_M, Strip
from missions.energy import FlightModel
from missions.loops import looped
from missions.route import build_route
from missions.routing import Router
from missions.sorties import Pieces

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
