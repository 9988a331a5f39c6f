from __future__ import annotations

import numpy as np
import pytest
import shapely

from inference.heights import open_surfaces
from tests.inference.conftest import CRS, ORIGIN, WriteRaster

SHED = shapely.box(ORIGIN[0] + 20, ORIGIN[1] - 28, ORIGIN[0] + 26, ORIGIN[1] - 20)


def _days(write_raster: WriteRaster, rise_m: float, bias_m: float = 2.0, noise_m: float = 0.15):
    """Two 50 m surfaces at half a metre; a shed of 6 x 8 m on the later one, and a bias between them."""
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 63, 100, dtype=np.float32)[None] + np.zeros((100, 1), np.float32)
    before = slope + rng.normal(0, noise_m, slope.shape).astype(np.float32)
    after = slope + bias_m + rng.normal(0, noise_m, slope.shape).astype(np.float32)
    after[40:56, 40:52] += rise_m
    return write_raster("after.tif", after, 0.5), write_raster("before.tif", before, 0.5)


@pytest.mark.parametrize("rise_m", [3.1, 0.0, -2.5])
def test_the_rise_is_measured_against_the_ground_around(write_raster: WriteRaster, rise_m: float) -> None:
    with open_surfaces(*_days(write_raster, rise_m), CRS) as surfaces:
        change = surfaces.change(SHED)
    assert change is not None
    assert change.median_m == pytest.approx(rise_m, abs=0.15)
    assert change.noise_m < 0.4
    assert change.area_m2 == pytest.approx(48 if rise_m else 0, abs=8)


def test_a_neighbour_that_rose_too_is_kept_out_of_the_ring(write_raster: WriteRaster) -> None:
    after, before = _days(write_raster, 3.0)
    other = shapely.box(SHED.bounds[0] - 1, SHED.bounds[1], SHED.bounds[0] + 3, SHED.bounds[3])
    half = shapely.box(SHED.bounds[0] + 3, SHED.bounds[1], SHED.bounds[2], SHED.bounds[3])
    with open_surfaces(after, before, CRS) as surfaces:
        change = surfaces.change(half, [half, other])
    assert change is not None
    assert change.median_m == pytest.approx(3.0, abs=0.2)


def test_one_day_or_a_place_outside_has_no_change(write_raster: WriteRaster) -> None:
    after, before = _days(write_raster, 3.0)
    with open_surfaces(after, None, CRS) as surfaces:
        assert surfaces.change(SHED) is None
        assert surfaces.ground(SHED) == pytest.approx(63.3, abs=1.2)
    with open_surfaces(after, before, CRS) as surfaces:
        assert surfaces.change(shapely.box(0, 0, 5, 5)) is None
        assert surfaces.ground(shapely.box(0, 0, 5, 5)) is None
