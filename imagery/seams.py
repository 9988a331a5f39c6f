"""Which photograph speaks where: a coarse label map of the whole mosaic, the view nearest the vertical first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from imagery.files import appearing
from imagery.scene import MAX_VIEW_TANGENT, View
from imagery.surface import HeightGrid

# Labels are decided on cells of 8 output pixels, coarser where the mosaic is so large that the map would not fit.
CELL_PX = 8
MAX_CELLS = 60_000_000
# Frames not tied to others fill holes only: their score starts here (tangents squared stay below 4).
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


def label(scene: Sequence[View], surface: HeightGrid, grid: Grid) -> Labels:
    """Gives every cell to the view that sees it nearest to the vertical."""
    cell_px = CELL_PX
    while (grid.width_px // cell_px + 1) * (grid.height_px // cell_px + 1) > MAX_CELLS:
        cell_px *= 2
    rows, columns = -(-grid.height_px // cell_px), -(-grid.width_px // cell_px)
    best = np.full((rows, columns), np.inf, np.float32)
    chosen = np.full((rows, columns), -1, np.int32)
    count = np.zeros((rows, columns), np.uint8)
    size = cell_px * grid.gsd_m
    for number, view in enumerate(scene):
        top, bottom, left, right = _window(view, grid, size, rows, columns)
        if top >= bottom or left >= right:
            continue
        x = grid.left + (np.arange(left, right) + 0.5) * size
        y = grid.top - (np.arange(top, bottom) + 0.5) * size
        x, y = np.meshgrid(x, y)
        z = surface.at(x, y).astype(float)
        u, v = view.pixels(x, y, z)
        margin = (FEATHER_CELLS + 1) * size / max(1e-9, (view.pose.C[2] - float(np.median(z))) / view.lens.fx)
        slant = view.slant(x, y, z)
        seen = view.sees(u, v, min(margin, 0.12 * view.lens.height_px)) & (slant <= MAX_VIEW_TANGENT)
        score = (slant**2 + (UNTIED_PENALTY if view.pose.placed != "matched" else 0.0)).astype(np.float32)
        window = (slice(top, bottom), slice(left, right))
        count[window] += seen & (count[window] < 255)
        better = seen & (score < best[window])
        best[window][better] = score[better]
        chosen[window][better] = number
    lean = np.asarray(np.sqrt(np.where(best >= UNTIED_PENALTY, best - UNTIED_PENALTY, best)), np.float32)
    return Labels(chosen, count, lean, cell_px)


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
