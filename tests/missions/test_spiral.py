"""Spirals: all of a tile is seen, within it, on one way that hardly slows down."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.aircraft import load_profile
from missions.coverage import Strip
from missions.energy import FlightModel
from missions.spiral import Turning, sharp_corners, spirals

PROFILE = load_profile("mavic3e")
STRIP = Strip.of(PROFILE.camera, 112.5, 0.75, 0.65)
TURNING = Turning.of(PROFILE)
MODEL = FlightModel(PROFILE)
START = np.array([-2000.0, 0.0])


def seen(ways: list[np.ndarray]) -> shapely.Geometry:
    """What a way sees: its strip, and half a footprint beyond its ends."""
    strips = []
    for way in ways:
        for a, b in itertools.pairwise(way):
            unit = (b - a) / max(float(np.hypot(*(b - a))), 1e-9)
            side, ahead = np.array([-unit[1], unit[0]]) * STRIP.across_m / 2, unit * STRIP.along_m / 2
            strips.append(
                shapely.convex_hull(
                    shapely.multipoints(
                        [*(a - ahead + s for s in (side, -side)), *(b + ahead + s for s in (side, -side))]
                    )
                )
            )
    return shapely.union_all(strips)


def hexagon(radius_m: float) -> shapely.Polygon:
    turns = np.arange(6) * math.pi / 3
    return shapely.Polygon(radius_m * np.column_stack([np.cos(turns), np.sin(turns)]))


@pytest.mark.parametrize("place", [hexagon(580), shapely.box(0, 0, 900, 900), shapely.Point(0, 0).buffer(530)])
def test_a_spiral_flies_little_more_than_the_lanes_alone(place: shapely.Polygon) -> None:
    (way,) = spirals(place, STRIP, TURNING, START, np.empty((0, 2))) or []
    bound_m = place.area / STRIP.lane_m
    assert np.hypot(*np.diff(way, axis=0).T).sum() < 1.01 * bound_m
    # To and fro, seventeen lanes of such a place take about a tenth more than their lanes alone.
    assert MODEL.route(way)[0] < 1.03 * bound_m / PROFILE.cruise_mps + 10


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2 * math.pi), st.floats(150, 900)), min_size=3, max_size=9))
def test_all_of_any_convex_tile_is_seen_once(corners: list[tuple[float, float]]) -> None:
    points = [(r * math.cos(a), r * math.sin(a)) for a, r in corners]
    place = shapely.convex_hull(shapely.multipoints(points)).buffer(60)
    ways = spirals(place, STRIP, TURNING, START, sharp_corners(place))
    if ways is None:
        return
    assert place.difference(seen(ways)).area < 0.01 * place.area
    legs = shapely.multilinestrings([shapely.linestrings(way) for way in ways])
    assert legs.within(place.buffer(1.0))


def test_corners_of_the_area_are_seen_into() -> None:
    place = shapely.box(0, 0, 900, 900)
    inner = shapely.buffer(place, -20.0, join_style="mitre")  # as tiles end inside the area
    round_ways = spirals(inner, STRIP, TURNING, START, np.empty((0, 2)))
    sharp_ways = spirals(inner, STRIP, TURNING, START, sharp_corners(place))
    assert round_ways is not None and sharp_ways is not None
    assert place.difference(seen(round_ways)).area > 40
    assert place.difference(seen(sharp_ways)).area < 1


def test_a_tile_narrower_than_a_lane_is_flown_along_its_middle() -> None:
    (way,) = spirals(shapely.box(0, 0, 800, 40), STRIP, TURNING, START, np.empty((0, 2))) or []
    assert way == pytest.approx(np.array([(0.0, 20.0), (800.0, 20.0)]))


def test_a_tile_with_a_hole_is_cut_in_two() -> None:
    place = shapely.box(0, 0, 1200, 800) - shapely.Point(600, 400).buffer(150)
    ways = spirals(place, STRIP, TURNING, START, np.empty((0, 2)))
    assert ways is not None and len(ways) >= 2
    assert place.difference(seen(ways)).area < 0.002 * place.area


def test_corners_of_rings_cost_no_speed() -> None:
    (way,) = spirals(hexagon(580), STRIP, TURNING, START, np.empty((0, 2))) or []
    legs = np.diff(way, axis=0)
    unit = legs / np.hypot(*legs.T)[:, None]
    lost = MODEL.corner_s(np.sum(unit[1:] * unit[:-1], axis=1), PROFILE.cruise_mps)
    assert lost.sum() < 0.01 * MODEL.route(way)[0]
