from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import InferenceError
from inference.windows import Grid, Tile, grid_of, metric_crs, on_grid, open_raster, read_height, read_rgb, tiles
from tests.inference.conftest import CRS, ORIGIN, WriteRaster, ground_texture


def test_a_window_at_the_rasters_own_spacing_is_the_raster(write_raster: WriteRaster) -> None:
    image = ground_texture(300)
    path = write_raster("a.tif", image, 0.08)
    with open_raster(path) as dataset:
        grid = grid_of(dataset, 0.08)
        with on_grid(dataset, grid) as view:
            rgb, valid = read_rgb(view, Tile(64, 64, 128, 32))
    assert valid.all()
    np.testing.assert_array_equal(rgb, image[32:224, 32:224])


def test_half_the_spacing_is_the_mean_of_four_pixels(write_raster: WriteRaster) -> None:
    image = ground_texture(256)
    path = write_raster("a.tif", image, 0.08)
    with open_raster(path) as dataset, on_grid(dataset, grid_of(dataset, 0.16)) as view:
        rgb, _ = read_rgb(view, Tile(16, 16, 64, 0))
    want = image.astype(float).reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))[16:80, 16:80]
    assert np.abs(rgb - want).mean() < 2.0


def test_outside_the_raster_and_its_mask_is_unknown(write_raster: WriteRaster) -> None:
    mask = np.full((200, 200), 255, np.uint8)
    mask[:, :100] = 0
    path = write_raster("a.tif", ground_texture(200), 0.1, mask=mask)
    with open_raster(path) as dataset, on_grid(dataset, grid_of(dataset, 0.1)) as view:
        _, valid = read_rgb(view, Tile(0, 0, 200, 20))
    assert not valid[:, :118].any()
    assert valid[25:215, 125:215].all()
    assert not valid[:, 222:].any()


def test_another_crs_is_warped_onto_the_grid(write_raster: WriteRaster) -> None:
    image = ground_texture(400)
    plain = write_raster("utm.tif", image, 0.1)
    from rasterio.warp import transform

    lon, lat = transform(CRS, "EPSG:4326", [ORIGIN[0]], [ORIGIN[1]])
    degrees = 0.1 / 111_000
    other = write_raster("geo.tif", image, degrees, crs="EPSG:4326", origin=(lon[0], lat[0]))
    with open_raster(plain) as a, open_raster(other) as b:
        assert metric_crs(b) == CRS
        grid = grid_of(a, 0.2)
        with on_grid(b, grid) as view:
            rgb, valid = read_rgb(view, Tile(0, 0, 64, 0))
    assert valid.mean() > 0.5
    assert rgb[valid].std() > 5


def test_heights_are_nan_where_unknown(write_raster: WriteRaster) -> None:
    path = write_raster("dsm.tif", np.full((50, 50), 61.5, np.float32), 0.5)
    with open_raster(path) as dataset, on_grid(dataset, grid_of(dataset, 0.25)) as view:
        heights = read_height(view, Tile(-10, -10, 40, 0))
    assert np.isnan(heights[0, 0])
    assert heights[30, 30] == pytest.approx(61.5)


def test_empty_parts_of_a_mosaic_have_no_tiles(write_raster: WriteRaster) -> None:
    mask = np.zeros((1000, 1000), np.uint8)
    mask[:200, :200] = 255
    path = write_raster("a.tif", ground_texture(1000), 0.2, mask=mask)
    with open_raster(path) as dataset:
        found = tiles(dataset, grid_of(dataset, 0.2), 250, 0)
    assert {(t.col, t.row) for t in found} == {(0, 0)}


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([0.08, 0.16, 0.3]))
def test_a_grids_corner_lies_on_whole_multiples(left: int, top: int, gsd_m: float) -> None:
    grid = Grid(CRS, gsd_m, left * gsd_m, top * gsd_m, 10, 10)
    x, y = grid.at(3, 4) * (0, 0)
    assert x == pytest.approx((left + 3) * gsd_m)
    assert y == pytest.approx((top - 4) * gsd_m)


def test_bad_rasters_are_refused_in_words(write_raster: WriteRaster, tmp_path) -> None:
    with pytest.raises(InferenceError, match="no raster at"), open_raster(tmp_path / "none.tif"):
        pass
    (tmp_path / "text.tif").write_text("not a tiff")
    with pytest.raises(InferenceError, match="not a readable raster"), open_raster(tmp_path / "text.tif"):
        pass
    bare = write_raster("bare.tif", ground_texture(64), 0.1, crs=None)
    with pytest.raises(InferenceError, match="no coordinate system"), open_raster(bare):
        pass
    floats = write_raster("f.tif", ground_texture(64).astype(np.float32), 0.1)
    with (
        pytest.raises(InferenceError, match="8-bit"),
        open_raster(floats) as dataset,
        on_grid(dataset, grid_of(dataset, 0.1)) as view,
    ):
        read_rgb(view, Tile(0, 0, 64, 0))
