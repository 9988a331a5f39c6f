"""Tiles of given sizes: together the area, each the size wanted, near sites."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.tiles import Tiling

SITES = np.array([(300.0, 200.0), (2600.0, 1500.0), (1400.0, 900.0)])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 25),
    st.floats(400, 3000),
    st.floats(200, 3000),
    st.floats(0, 300),
    st.lists(st.floats(0.5, 2.0), min_size=25, max_size=25),
)
def test_tiles_are_the_whole_area_and_do_not_overlap(
    count: int, width_m: float, height_m: float, hole_m: float, share: list[float]
) -> None:
    place = shapely.box(0, 0, width_m, height_m) - shapely.Point(width_m / 2, height_m / 3).buffer(hole_m)
    if place.area < 1000:
        return
    sizes = np.array(share[:count]) * place.area / sum(share[:count])
    tiling = Tiling(place, count, SITES)
    tiling.settle(sizes, 8)
    tiling.balance(sizes, 3)
    tiles = tiling.tiles()
    assert len(tiles) == count
    assert sum(tile.area for tile in tiles) == pytest.approx(place.area, rel=1e-6)
    assert shapely.union_all(tiles).area == pytest.approx(place.area, rel=1e-6)


def test_tiles_have_the_sizes_wanted_and_are_compact() -> None:
    place = shapely.Point(0, 0).buffer(3000)
    sizes = np.linspace(0.7, 1.3, 30) * place.area / 30
    tiling = Tiling(place, 30, SITES)
    tiling.settle(sizes, 60)
    tiling.balance(sizes, 10)
    tiles = tiling.tiles()
    found = np.array([tile.area for tile in tiles])
    assert np.abs(found / sizes - 1).max() < 0.02
    around = np.array([tile.length for tile in tiles]) / np.sqrt(found)
    assert np.median(around) < 4.1  # a square has 4, a hexagon 3.72


def test_the_same_area_gives_the_same_tiles() -> None:
    place = shapely.box(0, 0, 2000, 1500)
    outlines = []
    for _ in range(2):
        tiling = Tiling(place, 7, SITES)
        tiling.settle(np.full(7, place.area / 7), 20)
        outlines.append(tiling.tiles())
    assert all(a.equals_exact(b, 1e-9) for a, b in zip(*outlines, strict=True))
