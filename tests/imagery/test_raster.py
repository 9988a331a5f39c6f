"""A mosaic read piece by piece: on its own pixels, on others, and what is no picture is not valid."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from imagery.errors import ImageryError
from imagery.raster import BLOCK_PX, Aligned, RasterGrid, grid_near

CRS, GSD_M = "EPSG:32650", 0.1
LEFT, TOP = 500_000.0, 4_000_000.0
ROWS, COLUMNS = 700, 1100


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth colours, with a mask of its own: a corner and everything right of column 900 show nothing."""
    path = tmp_path_factory.mktemp("raster") / "mosaic.tif"
    noise = np.random.default_rng(0).normal(0, 1, (ROWS, COLUMNS, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6.0)
    rgb = np.clip(128 + 50 * smooth / smooth.std(), 1, 255).astype(np.uint8)
    mask = np.full((ROWS, COLUMNS), 255, np.uint8)
    mask[:150, :200] = 0
    mask[:, 900:] = 0
    rgb[mask == 0] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        path, "w", driver="GTiff", width=COLUMNS, height=ROWS, count=3, dtype="uint8", crs=CRS, tiled=True,
        transform=from_origin(LEFT, TOP, GSD_M, GSD_M),
    ) as target:  # fmt: skip
        target.write(rgb.transpose(2, 0, 1))
        target.write_mask(mask)
    return path


def whole(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(path) as source:
        return cv2.cvtColor(source.read().transpose(1, 2, 0), cv2.COLOR_RGB2GRAY), source.read_masks(1) > 0


def test_its_own_pixels_come_as_they_are(mosaic: Path) -> None:
    grey, valid = whole(mosaic)
    bounds = (LEFT + 3.33, TOP - 68.0, LEFT + 108.0, TOP - 1.27)
    grid = grid_near(mosaic, CRS, 1.05 * GSD_M, bounds)
    assert grid.gsd_m == GSD_M
    assert grid.left <= bounds[0] < grid.left + GSD_M and grid.top - GSD_M < bounds[3] <= grid.top
    row, column = round((TOP - grid.top) / GSD_M), round((grid.left - LEFT) / GSD_M)
    with Aligned(mosaic, grid) as seen:
        for left, top, width, height in ((0, 0, 40, 30), (BLOCK_PX - 9, 11, 300, 600), (480, 500, 90, 60)):
            own, good = seen.read(left, top, width, height)
            area = (slice(row + top, row + top + height), slice(column + left, column + left + width))
            np.testing.assert_array_equal(own, grey[area])
            np.testing.assert_array_equal(good, valid[area])


def test_other_pixels_lie_where_they_lay_and_the_mask_comes_along(mosaic: Path) -> None:
    grey, valid = whole(mosaic)
    grid = grid_near(mosaic, CRS, 2.0 * GSD_M, (LEFT - 20.0, TOP - 90.0, LEFT + 130.0, TOP + 20.0))
    assert grid.gsd_m == 2.0 * GSD_M
    with Aligned(mosaic, grid) as seen:
        own, good = seen.read(0, 0, grid.width_px, grid.height_px)
    assert not good[: 100 - 1].any() and not good[:, : 100 - 1].any()
    assert good[200:440, 120:540].all() and not good[:, 100 + 451 :].any() and not good[102:170, 102:195].any()
    half = cv2.resize(grey, (COLUMNS // 2, ROWS // 2), interpolation=cv2.INTER_AREA)
    there = own[100 : 100 + ROWS // 2, 100 : 100 + COLUMNS // 2].astype(int)
    inside = cv2.erode(cv2.resize(valid.astype(np.uint8), half.shape[::-1]), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(there - half)[inside].max() <= 3


def test_beyond_grid_and_raster_nothing_is_valid(mosaic: Path) -> None:
    grid = RasterGrid(CRS, LEFT - 5.0, TOP + 5.0, GSD_M, 100, 100)
    with Aligned(mosaic, grid) as seen:
        grey, valid = seen.read(-10, -10, 130, 130)
    assert not valid.any() and not grey.any()


def test_what_is_no_raster_with_a_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match="no raster at"):
        grid_near(tmp_path / "none.tif", CRS, 0.1, (0, 0, 1, 1))
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(ImageryError, match="not a raster"):
        grid_near(tmp_path / "text.tif", CRS, 0.1, (0, 0, 1, 1))
