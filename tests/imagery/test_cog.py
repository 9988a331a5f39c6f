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
from imagery.spill import Spill

WHERE = ("EPSG:32650", 622_000.0, 3_879_000.0, 0.1)


def smooth_image(width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    small = rng.integers(40, 215, (height // 32 + 2, width // 32 + 2, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write(path: Path, image: np.ndarray, mask: np.ndarray, leave_out: set[tuple[int, int]] = frozenset()) -> None:
    height, width = mask.shape
    tiles = [(r, c) for r in range(-(-height // TILE_PX)) for c in range(-(-width // TILE_PX))]
    with CogWriter(path, Spill(path.with_suffix(".spill")), (width, height), WHERE, tiles) as target:
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
        CogWriter(path, Spill(path.with_suffix(".spill")), (600, 600), WHERE, [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ):
        raise RuntimeError("on the way")
    assert not path.exists()


def tile_of(image: np.ndarray, row: int, column: int) -> np.ndarray:
    part = image[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
    tile = np.zeros((4, TILE_PX, TILE_PX), np.uint8)
    tile[:3, : part.shape[0], : part.shape[1]] = part.transpose(2, 0, 1)
    tile[3, : part.shape[0], : part.shape[1]] = 255
    return tile


@pytest.mark.parametrize("killed_after", [1, 7, 11])
def test_a_killed_run_is_taken_up_where_it_stopped(tmp_path: Path, killed_after: int) -> None:
    """Half a journal line is what a kill may leave; tiles before it are not asked for again."""
    image = smooth_image(2000, 1400)
    tiles = [(r, c) for r in range(3) for c in range(4)]
    first = CogWriter(tmp_path / "a.tif", Spill(tmp_path / "spill"), (2000, 1400), WHERE, tiles)
    for row, column in tiles[:killed_after]:
        first.write(row, column, tile_of(image, row, column))
    journal = tmp_path / "spill" / "tiles.journal"
    journal.write_bytes(journal.read_bytes()[:-3])
    spill = Spill(tmp_path / "spill")
    left = [tile for tile in tiles if (0, *tile) not in spill.places]
    assert len(left) in (len(tiles) - killed_after, len(tiles) - killed_after + 1)
    with CogWriter(tmp_path / "a.tif", spill, (2000, 1400), WHERE, left) as second:
        for row, column in left:
            second.write(row, column, tile_of(image, row, column))
    write(tmp_path / "b.tif", image, np.full(image.shape[:2], 255, np.uint8))
    assert cog_validate(tmp_path / "a.tif", strict=True)[0]
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "b.tif") as two:
        assert np.array_equal(one.read(), two.read())
        for factor in (2, 4):
            shape = (3, 1400 // factor, 2000 // factor)
            apart = np.abs(one.read(out_shape=shape).astype(int) - two.read(out_shape=shape))
            assert np.median(apart) <= 1 and apart.max() < 40


def test_two_runs_fill_one_mosaic(tmp_path: Path) -> None:
    image = smooth_image(1024, 1024)
    for name, row in (("upper", 0), ("lower", 1)):
        with CogWriter(None, Spill(tmp_path / "spill", name), (1024, 1024), WHERE, [(row, 0), (row, 1)]) as part:
            for column in (0, 1):
                part.write(row, column, tile_of(image, row, column))
    with CogWriter(tmp_path / "a.tif", Spill(tmp_path / "spill"), (1024, 1024), WHERE, []):
        pass
    assert cog_validate(tmp_path / "a.tif", strict=True)[0]
    with rasterio.open(tmp_path / "a.tif") as source:
        assert (source.read_masks(1) > 0).all() and source.overviews(1) == [2]
        assert np.median(np.abs(source.read().transpose(1, 2, 0).astype(int) - image)) <= 2
