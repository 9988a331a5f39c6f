"""Patches of a baseline slid over a frame whose pose is a few pixels off."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from imagery.patches import all_patch_ties
from imagery.poses import FramePose, Lens, Placed
from imagery.scene import View
from imagery.surface import HeightGrid

GSD_M, SIZE, HEIGHT_M = 0.1, 520, 60.0
LEFT, TOP = 500_000.0, 4_000_000.0
CRS = "EPSG:32650"
LEVEL = HeightGrid(LEFT, TOP, 1e4, np.zeros((1, 1), np.float32))


def texture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def looking_down(path: Path, off_m: tuple[float, float], width: int = 400, height: int = 300) -> View:
    """A level frame over the mosaic's middle that says it is `off_m` from where it is."""
    focal = HEIGHT_M / GSD_M
    lens = Lens(
        fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2, k1=0.0, k2=0.0, p1=0.0, p2=0.0,
        width_px=width, height_px=height,
    )  # fmt: skip
    middle = (LEFT + SIZE / 2 * GSD_M, TOP - SIZE / 2 * GSD_M)
    placed: Placed = "matched"
    pose = FramePose(
        id="a", file=path.name, sortie_id="s", time_utc=None, lens="l",
        R=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
        C=(middle[0] + off_m[0], middle[1] + off_m[1], HEIGHT_M), sigma_m=1.0, placed=placed,
    )  # fmt: skip
    x, y = width / 2 * GSD_M, height / 2 * GSD_M
    bounds = (pose.C[0] - x, pose.C[1] - y, pose.C[0] + x, pose.C[1] + y)
    return View(pose, lens, path, bounds)


@pytest.fixture
def mosaic(tmp_path: Path) -> Path:
    path = tmp_path / "mosaic.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=SIZE, height=SIZE, count=3, dtype="uint8", crs=CRS,
        transform=from_origin(LEFT, TOP, GSD_M, GSD_M),
    ) as target:  # fmt: skip
        target.write(np.stack([texture(0)] * 3))
    return path


def photograph(folder: Path, picture: np.ndarray) -> Path:
    """The middle 400 x 300 pixels, darker."""
    path = folder / "frame.png"
    cv2.imwrite(str(path), (picture[110:410, 60:460] * 0.7).astype(np.uint8))
    return path


def test_patches_find_a_frame_that_is_pixels_off(mosaic: Path, tmp_path: Path) -> None:
    view = looking_down(photograph(tmp_path, texture(0)), off_m=(0.53, -0.37))
    ((number, ties),) = all_patch_ties([view], [True], mosaic, CRS, GSD_M, LEVEL)
    assert number == 0 and len(ties.xy) > 40
    column, row = (ties.xy[:, 0] - LEFT) / GSD_M - 0.5, (TOP - ties.xy[:, 1]) / GSD_M - 0.5
    off = np.hypot(ties.uv[:, 0] - (column - 60), ties.uv[:, 1] - (row - 110))
    assert np.median(off) < 0.1 and off.max() < 0.5
    assert np.ptp(column) > 200 and np.ptp(row) > 150


def test_another_place_gives_no_ties(mosaic: Path, tmp_path: Path) -> None:
    view = looking_down(photograph(tmp_path, texture(5)), off_m=(0.0, 0.0))
    assert all_patch_ties([view], [True], mosaic, CRS, GSD_M, LEVEL) == []


def test_frames_that_hang_loose_are_not_looked_at(mosaic: Path, tmp_path: Path) -> None:
    view = looking_down(photograph(tmp_path, texture(0)), off_m=(0.0, 0.0))
    assert all_patch_ties([view], [False], mosaic, CRS, GSD_M, LEVEL) == []
