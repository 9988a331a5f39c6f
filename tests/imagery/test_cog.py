"""The one-pass COG: readable by GDAL, valid, averaged, sparse where nothing was seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rio_cogeo.cogeo import cog_validate

from imagery import cog
from imagery.cog import TILE_PX, CogWriter

WHERE = ("EPSG:32650", 622_000.0, 3_879_000.0, 0.1)


def smooth_image(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    small = rng.integers(40, 215, (height // 32 + 2, width // 32 + 2, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write(path: Path, image: np.ndarray, mask: np.ndarray, leave_out: set[tuple[int, int]] = frozenset()) -> None:
    height, width = mask.shape
    tiles = [(r, c) for r in range(-(-height // TILE_PX)) for c in range(-(-width // TILE_PX))]
    with CogWriter(path, path.with_suffix(".spill"), (width, height), WHERE, tiles) as target:
        for row, column in reversed(tiles):
            if (row, column) in leave_out:
                target.skip(row, column)
                continue
            tile = np.zeros((4, TILE_PX, TILE_PX), np.uint8)
            part = (slice(row * TILE_PX, (row + 1) * TILE_PX), slice(column * TILE_PX, (column + 1) * TILE_PX))
            h, w = mask[part].shape
            tile[:3, :h, :w] = (image[part] * (mask[part] > 0)[:, :, None]).transpose(2, 0, 1)
            tile[3, :h, :w] = mask[part]
            target.write(row, column, tile)


@pytest.mark.parametrize("classic_limit", [cog.CLASSIC_LIMIT, 0])
def test_pixels_mask_place_and_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classic_limit: int) -> None:
    monkeypatch.setattr(cog, "CLASSIC_LIMIT", classic_limit)  # 0: everything is written as BigTIFF
    image = smooth_image(1500, 1100)
    mask = np.full((1100, 1500), 255, np.uint8)
    mask[:200, :300] = 0
    path = tmp_path / "mosaic.tif"
    write(path, image, mask)
    valid, errors, warnings = cog_validate(path, strict=True)
    assert valid, (errors, warnings)
    with rasterio.open(path) as source:
        assert source.crs.to_epsg() == 32650
        assert source.transform.c == 622_000.0 and source.transform.f == 3_879_000.0 and source.transform.a == 0.1
        assert source.overviews(1) == [2, 4]
        pixels, seen = source.read(), source.read_masks(1)
        assert np.array_equal(seen > 0, mask > 0)
        difference = np.abs(pixels.transpose(1, 2, 0).astype(int) - image)[mask > 0]
        assert np.median(difference) <= 2 and np.percentile(difference, 99) < 12
        half = source.read(out_shape=(3, 550, 750), resampling=Resampling.nearest).transpose(1, 2, 0)
    averaged = cv2.resize(image, (750, 550), interpolation=cv2.INTER_AREA)
    assert np.median(np.abs(half.astype(int) - averaged)[120:, 160:]) <= 2
    assert not path.with_suffix(".spill").exists()


def test_tiles_that_nobody_saw_stay_empty(tmp_path: Path) -> None:
    image = smooth_image(1024, 1024)
    path = tmp_path / "mosaic.tif"
    write(path, image, np.full((1024, 1024), 255, np.uint8), {(0, 0)})
    with rasterio.open(path) as source:
        seen = source.read_masks(1)
        assert not seen[:512, :512].any() and seen[512:].all() and seen[:512, 512:].all()


def test_edges_of_overviews_are_not_darkened_by_what_is_missing(tmp_path: Path) -> None:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[:, :511] = 255
    path = tmp_path / "mosaic.tif"
    write(path, np.full((1024, 1024, 3), 200, np.uint8), mask)
    with rasterio.open(path, overview_level=0) as source:
        assert (source.read(1)[:, 245:254] > 185).all()


def test_an_error_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "mosaic.tif"
    with (
        pytest.raises(RuntimeError, match="on the way"),
        CogWriter(path, path.with_suffix(".spill"), (600, 600), WHERE, [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ):
        raise RuntimeError("on the way")
    assert not path.exists() and not path.with_suffix(".spill").exists()
