"""Which photograph speaks where: a coarse label map of the whole mosaic.

Every place goes to the view nearest the vertical; where the next best is hardly worse, the border between the two then
moves to where both show the same (`seamlines`), so that it walks around roofs, cars and trees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from imagery.colour import Tone
from imagery.files import appearing
from imagery.scene import MAX_VIEW_TANGENT, View
from imagery.seamlines import Choice, reroute
from imagery.surface import HeightGrid

Floats = NDArray[np.float64]
# Labels are decided on cells of 8 output pixels, coarser where the mosaic is so large that the map would not fit.
CELL_PX = 8
MAX_CELLS = 20_000_000
# Frames not tied to others fill holes only: their score starts here (tangents stay below 2).
UNTIED_PENALTY = 10.0
# Seams are feathered over this many cells; labels keep away from the image's edge by as much.
FEATHER_CELLS = 2


@dataclass(frozen=True)
class Grid:
    """The mosaic's raster: north-up, square pixels.

    Attributes:
        left: West edge.
        top: North edge.
        gsd_m: Pixel size.
        width_px: Columns.
        height_px: Rows.
    """

    left: float
    top: float
    gsd_m: float
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Labels:
    """Which view speaks where, on cells of `cell_px` output pixels.

    Attributes:
        view: (rows, columns) int32 number of the view, -1 for none.
        seen: (rows, columns) uint8 how many views see the cell.
        slant: (rows, columns) float32 tangent of the speaking view's angle: what a metre of height leans by.
        cell_px: Output pixels a cell.
    """

    view: NDArray[np.int32]
    seen: NDArray[np.uint8]
    slant: NDArray[np.float32]
    cell_px: int


def grid_over(bounds: tuple[float, float, float, float], gsd_m: float) -> Grid:
    """The raster that covers bounds, its edges on multiples of the pixel size."""
    west, south, east, north = bounds
    left, top = np.floor(west / gsd_m) * gsd_m, np.ceil(north / gsd_m) * gsd_m
    width, height = int(np.ceil((east - left) / gsd_m)), int(np.ceil((top - south) / gsd_m))
    return Grid(float(left), float(top), gsd_m, max(1, width), max(1, height))


def label(
    scene: Sequence[View],
    surface: HeightGrid,
    grid: Grid,
    look: Callable[[int], NDArray[np.uint8]] | None = None,
    above: Callable[[Floats, Floats], NDArray[np.float32]] | None = None,
) -> Labels:
    """Gives every cell to the view that sees it nearest to the vertical, and lays the seams around what stands.

    Args:
        scene: The views.
        surface: What they are laid on.
        grid: The mosaic's raster.
        look: A small evened RGB copy of a view, by number; without it seams stay where views are equally near.
        above: Heights above ground at x, y, where known: what stands is not cut.
    """
    cell_px = CELL_PX
    while (grid.width_px // cell_px + 1) * (grid.height_px // cell_px + 1) > MAX_CELLS:
        cell_px *= 2
    choice, count = choose(scene, surface, grid, cell_px, look)
    if look is not None:
        size = cell_px * grid.gsd_m
        reroute(choice, None if above is None else lambda area: above(*_places(grid, size, area)), UNTIED_PENALTY)
    lean = np.where(choice.best >= UNTIED_PENALTY, choice.best - UNTIED_PENALTY, choice.best)
    return Labels(choice.first, count, np.asarray(lean, np.float32), cell_px)


def choose(
    scene: Sequence[View],
    surface: HeightGrid,
    grid: Grid,
    cell_px: int,
    look: Callable[[int], NDArray[np.uint8]] | None = None,
) -> tuple[Choice, NDArray[np.uint8]]:
    """The two best views of every cell of `cell_px` pixels, what they show there, and how many see it."""
    rows, columns = -(-grid.height_px // cell_px), -(-grid.width_px // cell_px)
    size = cell_px * grid.gsd_m
    choice = Choice.empty(rows, columns)
    count = np.zeros((rows, columns), np.uint8)
    for number, view in enumerate(scene):
        top, bottom, left, right = _window(view, grid, size, rows, columns)
        if top >= bottom or left >= right:
            continue
        x, y = _places(grid, size, (top, bottom, left, right))
        z = surface.at(x, y).astype(float)
        u, v = view.pixels(x, y, z)
        margin = (FEATHER_CELLS + 1) * size / max(1e-9, (view.pose.C[2] - float(np.median(z))) / view.lens.fx)
        slant = view.slant(x, y, z)
        seen = view.sees(u, v, min(margin, 0.12 * view.lens.height_px)) & (slant <= MAX_VIEW_TANGENT)
        score = np.where(seen, slant + (UNTIED_PENALTY if view.pose.placed != "matched" else 0.0), np.inf)
        window = (slice(top, bottom), slice(left, right))
        count[window] += seen & (count[window] < 255)
        choice.offer(window, number, score.astype(np.float32), _colours(look, number, view, u, v))
    return choice, count


def _places(grid: Grid, size: float, area: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    """World x and y of the cells of an area (top, bottom, left, right)."""
    top, bottom, left, right = area
    x = grid.left + (np.arange(left, right) + 0.5) * size
    y = grid.top - (np.arange(top, bottom) + 0.5) * size
    x, y = np.meshgrid(x, y)
    return x, y


def _colours(
    look: Callable[[int], NDArray[np.uint8]] | None, number: int, view: View, u: Floats, v: Floats
) -> NDArray[np.uint8]:
    """(h, w, 3) what a view shows at its pixels u, v."""
    if look is None:
        return np.zeros((*u.shape, 3), np.uint8)
    thumb = look(number)
    column, row = (
        np.nan_to_num((side + 0.5) * (thumb.shape[1 - k] / size) - 0.5, nan=-9.0).astype(np.float32)
        for k, (side, size) in enumerate(((u, view.lens.width_px), (v, view.lens.height_px)))
    )
    return np.asarray(cv2.remap(thumb, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def evened(thumb: NDArray[np.uint8], tone: Tone, view: View) -> NDArray[np.uint8]:
    """A small copy as the mosaic will show it."""
    rows, columns = thumb.shape[:2]
    u, v = np.meshgrid(
        (np.arange(columns, dtype=np.float32) + 0.5) * (view.lens.width_px / columns) - 0.5,
        (np.arange(rows, dtype=np.float32) + 0.5) * (view.lens.height_px / rows) - 0.5,
    )
    return np.clip(thumb * tone.lift(u, v, view.lens), 0, 255).astype(np.uint8)


def write_labels(path: Path, labels: Labels, grid: Grid, crs: str) -> None:
    """Writes `frames.tif`: per cell the place in `poses.json` of the photograph that is shown there, -1 for none."""
    rows, columns = labels.view.shape
    size = labels.cell_px * grid.gsd_m
    profile = {
        "driver": "GTiff",
        "width": columns,
        "height": rows,
        "count": 1,
        "dtype": "int32",
        "nodata": -1,
        "crs": crs,
        "transform": from_origin(grid.left, grid.top, size, size),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "DEFLATE",
        "zlevel": 1,
    }
    with appearing(path) as temporary, rasterio.open(temporary, "w", **profile) as target:
        target.write(labels.view, 1)
        target.descriptions = ("place of the frame in poses.json",)


def _window(view: View, grid: Grid, size: float, rows: int, columns: int) -> tuple[int, int, int, int]:
    west, south, east, north = view.bounds
    top, bottom = int((grid.top - north) / size) - 1, int((grid.top - south) / size) + 2
    left, right = int((west - grid.left) / size) - 1, int((east - grid.left) / size) + 2
    return max(0, top), min(rows, bottom), max(0, left), min(columns, right)
