"""Surfaces: filling, ground under buildings, the file, and reading it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.dense import Dense
from imagery.errors import ImageryError
from imagery.heights import Surface, from_dense, ground_beneath, read_surface, write_surface
from imagery.surface import HeightGrid, filled, ground_from_points

FLAT = HeightGrid(0.0, 200.0, 10.0, np.zeros((20, 20), np.float32))


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-50, 50))
@settings(max_examples=25, deadline=None)
def test_bilinear_heights_of_a_plane_are_the_plane(a: float, b: float, c: float) -> None:
    x, y = np.meshgrid(np.arange(10) + 0.5, 10 - np.arange(10) - 0.5)
    grid = HeightGrid(0.0, 10.0, 1.0, (a * x + b * y + c).astype(np.float32))
    px, py = np.array([2.3, 7.7, 5.0]), np.array([3.1, 8.2, 5.0])
    # remap interpolates on a 1/32 pixel raster.
    assert np.allclose(grid.at(px, py), a * px + b * py + c, atol=0.02 * (abs(a) + abs(b)) + 1e-3)


def test_long_lists_of_points_are_answered_too() -> None:
    x = np.linspace(5, 195, 70_001)
    assert FLAT.at(x, x).shape == x.shape


def test_filling_keeps_what_is_known_and_bridges_what_is_not() -> None:
    z = np.tile(np.linspace(0, 10, 40, dtype=np.float32), (40, 1))
    weight = np.ones((40, 40), np.float32) * 20
    weight[10:30, 12:28] = 0
    result = filled(np.where(weight > 0, z, 99.0), weight)
    assert np.abs(result - z)[weight > 0].max() < 0.5
    assert np.abs(result - z).max() < 2.0
    assert np.isfinite(filled(np.zeros((5, 5)), np.zeros((5, 5)))).all()


def test_the_ground_is_not_lifted_by_roofs_among_the_ties() -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 100, (4000, 2))
    roof = rng.random(4000) < 0.4
    z = np.where(roof, 8.0, 0.0) + rng.normal(0, 0.1, 4000)
    ground = ground_from_points(np.column_stack([xy, z]), (0, 0, 100, 100), 10.0)
    assert np.abs(ground.z).max() < 1.5


def town(rows: int = 400, columns: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A slope with houses, one of them at the rim, and the slope alone (cells of 0.5 m)."""
    slope = np.tile(np.linspace(50, 54, columns, dtype=np.float32), (rows, 1))
    z = slope.copy()
    for top, left, height, width, tall in (
        (40, 60, 30, 24, 6),
        (150, 200, 50, 60, 12),
        (300, 360, 40, 40, 18),
        (0, 0, 36, 36, 15),
    ):
        z[top : top + height, left : left + width] += tall
    return z, slope


def test_ground_beneath_houses_also_at_the_rim() -> None:
    z, slope = town()
    rng = np.random.default_rng(0)
    noisy = (z + rng.normal(0, 0.1, z.shape)).astype(np.float32)
    noisy[:, :6] = np.nan
    noisy[250:390, 392:] = np.nan
    noisy[0:60, 36:40] = np.nan
    ground = ground_beneath(
        HeightGrid(0.0, 200.0, 0.5, noisy), HeightGrid(0.0, 200.0, 20.0, np.full((10, 10), 52, np.float32))
    )
    error = np.abs(ground.z - slope)
    assert np.percentile(error, 99) < 0.6
    assert error.max() < 1.5


def test_cells_that_one_pair_alone_saw_hold_the_ground_and_say_so() -> None:
    z, slope = town()
    seen = np.full(z.shape, 5, np.uint8)
    z[100:120, 100:120] += 9.0
    seen[100:120, 100:120] = 1
    dense = Dense(HeightGrid(0.0, 200.0, 0.5, z), np.full(z.shape, 0.1, np.float32), seen)
    surface = from_dense(dense, HeightGrid(0.0, 200.0, 20.0, np.full((10, 10), 52, np.float32)), "EPSG:32650", "amsl")
    assert np.abs(surface.surface.z - slope)[103:117, 103:117].max() < 0.5
    assert np.isnan(surface.sigma_m[110, 110]) and surface.sigma_m[50, 65] == pytest.approx(0.1)
    assert surface.above_ground(np.array([115.0]), np.array([115.0]))[0] == pytest.approx(12.0, abs=0.4)


def test_surface_file_comes_back(tmp_path: Path) -> None:
    z, slope = town(60, 50)
    sigma = np.full(z.shape, 0.2, np.float32)
    sigma[3, 4] = np.nan
    there = Surface(
        "EPSG:32650", HeightGrid(10.0, 90.0, 0.5, z), sigma, HeightGrid(10.0, 90.0, 0.5, slope), True, "take-off"
    )
    write_surface(tmp_path / "dsm.tif", there)
    back = read_surface(tmp_path / "dsm.tif")
    assert (back.crs, back.dense, back.height_reference) == ("EPSG:32650", True, "take-off")
    assert np.allclose(back.surface.z, z, atol=0.006) and np.allclose(back.ground.z, slope, atol=0.006)
    assert np.isnan(back.sigma_at(np.array([12.2]), np.array([88.3]))[0])
    assert list(tmp_path.iterdir()) == [tmp_path / "dsm.tif"]


def test_what_is_no_surface_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match="stitch the patrol first"):
        read_surface(tmp_path / "dsm.tif")
    (tmp_path / "dsm.tif").write_text("no")
    with pytest.raises(ImageryError, match="not a raster"):
        read_surface(tmp_path / "dsm.tif")
