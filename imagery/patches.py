"""The second look at a baseline: patches of open ground compared pixel by pixel, once the block lies nearly on it.

Features found on quarter-size copies tell where the block belongs, to a pixel or two; and where another camera or
another light made few of them, only some of the frames. Once poses are good to a few pixels, every frame can be laid
over the earlier mosaic and small patches of it slid until they fit: some dozens of ties a frame, to a fraction of a
pixel. A patch that disagrees with its frame's neighbours (a roof, a car, a wrong fit) is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine

from imagery.features import decode
from imagery.heights import read_surface
from imagery.raster import Aligned, RasterGrid, grid_near
from imagery.scene import View, union_bounds
from imagery.surface import HeightGrid

Floats = NDArray[np.float64]
Grey = NDArray[np.float32]

PATCH_PX, SEARCH_PX = 15, 14
REACH_PX = PATCH_PX // 2 + SEARCH_PX
PATCHES_A_FRAME = 90
# Correlation of what is believed, and how much less the next best place must have: repeated kerbs and rows fit twice.
LIKE, DISTINCT = 0.6, 0.93
# Heights above the old ground (m) that still count as ground.
LOW_M = 0.6
# Off the neighbours' common drift by more than three times what is usual, within these pixels, is another thing.
STRAY_PX = (1.0, 4.0)
FEWEST = 8
MAP_STEP_PX = 16
# Frames looked at in this way (0.04 CPU-s each): ties within the block carry it to the rest.
MOST_FRAMES = 1000


@dataclass(frozen=True)
class PatchTies:
    """Places of the baseline (k, 2) in metres, and the pixels (k, 2) at which one frame shows them."""

    xy: Floats
    uv: Floats


def patch_ties(
    view: View, mosaic: Aligned, grid: RasterGrid, ground: HeightGrid, above: HeightGrid | None
) -> PatchTies | None:
    """Slides patches of a mosaic over one frame.

    Args:
        view: The frame, its pose good to `SEARCH_PX` pixels of the grid.
        mosaic: The earlier mosaic on `grid`.
        grid: A grid in the poses' system.
        ground: Heights to lay the frame on.
        above: The baseline's heights above its own ground, where it has them.

    Returns:
        Ties of one mind, or None where there are too few.
    """
    window = _window(view, grid)
    if window is None:
        return None
    transform = grid.transform @ Affine.translation(*window[:2])
    old, valid = mosaic.read(*window)
    places = _corners(old, valid)
    if above is not None and len(places):
        x, y = transform @ (places.T + 0.5)
        places = places[np.abs(above.at(x, y)) < LOW_M]
    if len(places) < FEWEST:
        return None
    new, whole = _laid(view, transform, old.shape, ground, places)
    fit = _slid(old, new, whole, places)
    kept = _of_one_mind(places[np.isfinite(fit[:, 0])], fit[np.isfinite(fit[:, 0])])
    if kept is None:
        return None
    at, shift = kept
    x, y = transform @ (at.T + 0.5)
    east, north = transform @ ((at + shift).T + 0.5)
    u, v = view.pixels(east, north, ground.at(east, north).astype(float))
    return PatchTies(np.column_stack([x, y]), np.column_stack([u, v]))


def _window(view: View, grid: RasterGrid) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of what a frame sees of a grid; None where that is too little."""
    west, south, east, north = view.bounds
    c0, c1 = (int(np.clip((x - grid.left) / grid.gsd_m, 0, grid.width_px)) for x in (west, east))
    r0, r1 = (int(np.clip((grid.top - y) / grid.gsd_m, 0, grid.height_px)) for y in (north, south))
    size = PATCH_PX + 2 * SEARCH_PX
    return (c0, r0, c1 - c0, r1 - r0) if c1 - c0 > size and r1 - r0 > size else None


def _corners(grey: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(k, 2) columns and rows of what can be told apart, spread over the picture; found on a half-size copy."""
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    side = 2 * REACH_PX + 5
    inner = cv2.erode(valid.astype(np.uint8), np.ones((side, side), np.uint8), borderValue=0)
    mask = cv2.resize(inner, (half.shape[1], half.shape[0]), interpolation=cv2.INTER_NEAREST)
    apart = max(4.0, 0.6 * float(np.sqrt(mask.sum() / PATCHES_A_FRAME)))
    found = cv2.goodFeaturesToTrack(half, PATCHES_A_FRAME, 0.01, apart, mask=mask, blockSize=7)
    none = np.zeros((0, 2), np.int64)
    return none if found is None else np.rint(2.0 * found.reshape(-1, 2)).astype(np.int64)


def _laid(
    view: View, transform: Affine, shape: tuple[int, ...], ground: HeightGrid, places: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The frame around every place (k, s, s) on the window's pixels, and which places it shows whole."""
    rows, columns = (np.arange(0, size + MAP_STEP_PX, MAP_STEP_PX) for size in shape[:2])
    c, r = np.meshgrid(columns, rows)
    x, y = transform @ (c + 0.5, r + 0.5)
    u, v = view.pixels(x, y, ground.at(x, y).astype(float))
    around = np.arange(-REACH_PX, REACH_PX + 1)
    across = np.repeat(places[:, 0, None] + around, len(around), axis=0)
    down = np.repeat((places[:, 1, None] + around).ravel()[:, None], len(around), axis=1)
    # Nodes lie at multiples of the step: interpolated by position.
    nodes = [index.astype(np.float32) / MAP_STEP_PX for index in (across, down)]
    at_u, at_v = (cv2.remap(node.astype(np.float32), nodes[0], nodes[1], cv2.INTER_LINEAR) for node in (u, v))
    grey = cv2.cvtColor(decode(view.path.read_bytes()), cv2.COLOR_BGR2GRAY)
    laid = cv2.remap(grey, at_u, at_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    size = (len(places), len(around), len(around))
    whole = view.sees(at_u, at_v, 2.0).reshape(len(places), -1).all(axis=1)
    return np.asarray(laid, np.uint8).reshape(size), np.asarray(whole)


def _slid(
    old: NDArray[np.uint8], new: NDArray[np.uint8], whole: NDArray[np.bool_], places: NDArray[np.int64]
) -> Floats:
    """(k, 2) how far each patch of `old` lies from its place in `new`, to a part of a pixel; NaN for not found."""
    half = PATCH_PX // 2
    result = np.full((len(places), 2), np.nan)
    for number in np.flatnonzero(whole).tolist():
        column, row = places[number].tolist()
        patch = old[row - half : row + half + 1, column - half : column + half + 1]
        result[number] = _peak(np.asarray(cv2.matchTemplate(new[number], patch, cv2.TM_CCOEFF_NORMED), np.float32))
    return result


def _peak(likeness: Grey) -> tuple[float, float]:
    """Column and row of the best place from the middle; NaN where it is weak, at the edge, or not the only one."""
    row, column = np.unravel_index(int(likeness.argmax()), likeness.shape)
    best, last = float(likeness[row, column]), len(likeness) - 1
    if best < LIKE or not (0 < row < last and 0 < column < last):
        return np.nan, np.nan
    others = likeness.copy()
    others[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4] = -1.0
    if float(others.max()) > DISTINCT * best:
        return np.nan, np.nan
    across, down = likeness[row, column - 1 : column + 2], likeness[row - 1 : row + 2, column]
    middle = last / 2
    return float(column) + _crest(across) - middle, float(row) + _crest(down) - middle


def _crest(three: Grey) -> float:
    """Where a parabola through three values is highest, from the middle one."""
    before, here, after = (float(value) for value in three)
    bend = before - 2.0 * here + after
    return 0.5 * (before - after) / bend if bend < -1e-9 else 0.0


def _of_one_mind(places: NDArray[np.int64], shift: Floats) -> tuple[Floats, Floats] | None:
    """The patches whose shifts follow one affine drift over the frame."""
    if len(places) < FEWEST:
        return None
    at = places.astype(float)
    matrix = np.column_stack([np.ones(len(at)), (at - at.mean(axis=0)) / max(1.0, float(np.ptp(at)))])
    weight = np.ones(len(at))
    left = shift - np.median(shift, axis=0)
    for _ in range(8):
        usual = float(np.median(np.hypot(*left.T))) + 1e-6
        weight = 1.0 / (1.0 + (np.hypot(*left.T) / (1.5 * usual)) ** 2)
        left = shift - matrix @ np.linalg.lstsq(matrix * weight[:, None], shift * weight[:, None], rcond=None)[0]
    stray = np.hypot(*left.T)
    good = stray < np.clip(3.0 * float(np.median(stray)), *STRAY_PX)
    return (at[good], shift[good]) if good.sum() >= max(FEWEST, 0.4 * len(at)) else None


def all_patch_ties(
    scene: Sequence[View], matched: Sequence[bool], path: Path, crs: str, gsd_m: float, ground: HeightGrid
) -> list[tuple[int, PatchTies]]:
    """`patch_ties` of every matched frame, by its number.

    Args:
        scene: The frames, nearly on the baseline.
        matched: Which of them hang together.
        path: The baseline; `dsm.tif` beside it tells what is ground.
        crs: The scene's system.
        gsd_m: Pixel size to compare at; the baseline's own where that is about as large.
        ground: Heights to lay frames on.
    """
    grid = grid_near(path, crs, gsd_m, union_bounds([view.bounds for view in scene]))
    above = _above(path.with_name("dsm.tif"), crs)
    found = []
    with Aligned(path, grid) as mosaic:
        chosen = np.flatnonzero(matched)
        for number in chosen[:: -(-len(chosen) // MOST_FRAMES) or 1].tolist():
            ties = patch_ties(scene[number], mosaic, grid, ground, above)
            if ties is not None:
                found.append((number, ties))
    return found


def _above(path: Path, crs: str) -> HeightGrid | None:
    """Heights above ground where the baseline has a dense surface in this system."""
    if not path.is_file():
        return None
    surface = read_surface(path)
    if not surface.dense or surface.crs != crs:
        return None
    grid = surface.surface
    rows, columns = grid.z.shape
    x = grid.left + (np.arange(columns) + 0.5) * grid.cell_m
    y = grid.top - (np.arange(rows) + 0.5) * grid.cell_m
    height = surface.above_ground(*np.meshgrid(x, y))
    return HeightGrid(grid.left, grid.top, grid.cell_m, height)
