from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.change import _fused
from inference.proposals import Proposal
from inference.rises import levelled, open_rises
from inference.windows import Grid, Tile
from tests.inference.conftest import CRS, ORIGIN, WriteRaster

CELLS = Grid(CRS, 0.32, ORIGIN[0], ORIGIN[1], 192, 192)
WHOLE = Tile(0, 0, 192, 0)
SHIFT_M = (0.96, -0.64)


def _days(write_raster: WriteRaster, rise_m: float, cells: tuple[slice, slice], bias_m: float = 4.0):
    """Two 61 m surfaces of one hall and a slope; a thing on the later one; a bias and a tilt between them."""
    rng = np.random.default_rng(3)
    rows, cols = np.mgrid[:192, :192].astype(np.float32)
    ground = 60 + cols * 0.01
    ground[100:150, 20:90] += 7
    before = ground + rng.normal(0, 0.1, ground.shape).astype(np.float32)
    after = ground + bias_m + rows * 0.004 + rng.normal(0, 0.1, ground.shape).astype(np.float32)
    after[cells] += rise_m
    return write_raster("after.tif", after, 0.32), write_raster("before.tif", before, 0.32)


def test_a_small_shed_rises_out_of_bias_and_tilt(write_raster: WriteRaster) -> None:
    shed = (slice(40, 48), slice(120, 128))
    with open_rises(*_days(write_raster, 2.2, shed), CELLS, (0.0, 0.0)) as rises:
        rise = rises.over(WHOLE)
    assert rise.thing[shed].mean() > 0.9
    rise.thing[shed] = 0
    assert rise.thing.sum() <= 4
    assert np.median(rise.metres[shed]) == pytest.approx(2.2, abs=0.15)


@pytest.mark.parametrize("rise_m", [0.4, -3.0])
def test_what_is_low_or_gone_is_no_rise(write_raster: WriteRaster, rise_m: float) -> None:
    with open_rises(*_days(write_raster, rise_m, (slice(40, 60), slice(120, 140))), CELLS, (0.0, 0.0)) as rises:
        assert not rises.over(WHOLE).thing.any()


def test_the_earlier_surface_is_moved_as_its_mosaic_is(write_raster: WriteRaster) -> None:
    after, before = _days(write_raster, 0.0, (slice(0, 1), slice(0, 1)))
    east, north = (round(m / 0.32) for m in SHIFT_M)
    import rasterio

    with rasterio.open(before, "r+") as dataset:
        dataset.write(np.roll(dataset.read(1), (north, -east), (0, 1)), 1)
    with open_rises(after, before, CELLS, SHIFT_M) as rises:
        inner = rises.over(WHOLE).metres[10:-10, 10:-10]
    assert np.abs(inner).max() < 1.0


def test_an_unknown_surface_says_nothing() -> None:
    metres, noise = levelled(np.full((64, 64), np.nan, np.float32), 0.32)
    assert np.isnan(metres).all()
    assert noise == 0.0


@settings(max_examples=15, deadline=None)
@given(st.floats(-20, 20), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
def test_any_plane_is_taken_out(bias: float, tilt_x: float, tilt_y: float) -> None:
    rows, cols = np.mgrid[:96, :96].astype(np.float32)
    metres, noise = levelled((bias + tilt_x * cols + tilt_y * rows).astype(np.float32), 0.32)
    assert np.abs(metres).max() < 0.05
    assert noise < 0.05


def _proposal(west: float, south: float, east: float, north: float, **extra: float) -> Proposal:
    box = shapely.box(west, south, east, north)
    return Proposal(box, box.area, 0.5, 0.8, {"new": 0.1, **extra})


def test_network_and_surface_make_one_proposal_of_one_thing() -> None:
    outlined = _fused([_proposal(0, 0, 10, 10)], [_proposal(1, 1, 11, 11)])
    assert [p.polygon.bounds for p in outlined] == [(1, 1, 11, 11)]
    patches = _fused([_proposal(0, 0, 10, 10)], [_proposal(1, 1, 3, 3), _proposal(6, 6, 8, 8)])
    assert [p.polygon.bounds for p in patches] == [(0, 0, 10, 10)]
    assert patches[0].peak == 0.8
    assert patches[0].extra["risen"] == 1.0
    alone = _fused([_proposal(0, 0, 3, 3)], [_proposal(20, 20, 30, 30)])
    assert len(alone) == 2


def test_a_straggling_rise_does_not_swallow_what_the_network_outlined() -> None:
    ring = shapely.box(0, 0, 20, 20).difference(shapely.box(2, 2, 20, 20))
    straggling = Proposal(ring, ring.area, 0.0, 0.0, {"new": 0.0})
    small = _proposal(0, 0, 1.5, 1.5)
    assert _fused([straggling], [small]) == [small]
