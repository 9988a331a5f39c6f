"""The surface that photographs are laid on: a grid of heights, smooth where nothing is known, never a tilted guess."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HeightGrid:
    """Heights on a north-up grid, given at cell centres.

    Attributes:
        left: x of the grid's western edge.
        top: y of its northern edge.
        cell_m: Cell size.
        z: (rows, columns) float32 metres; NaN where unknown.
    """

    left: float
    top: float
    cell_m: float
    z: NDArray[np.float32]

    def at(self, x: Floats, y: Floats) -> NDArray[np.float32]:
        """Bilinear heights at points of any shape; beyond the edge, the edge's."""
        shape = np.shape(x)
        column = ((np.asarray(x, float) - self.left) / self.cell_m - 0.5).astype(np.float32)
        row = ((self.top - np.asarray(y, float)) / self.cell_m - 0.5).astype(np.float32)
        flat_column, flat_row = column.reshape(1, -1), row.reshape(1, -1)
        # remap addresses at most 32767 columns: long lists go in lines.
        width = min(flat_column.size, 16384)
        pad = -flat_column.size % width if width else 0
        columns = np.pad(flat_column, ((0, 0), (0, pad)), mode="edge").reshape(-1, max(width, 1))
        rows = np.pad(flat_row, ((0, 0), (0, pad)), mode="edge").reshape(-1, max(width, 1))
        z = _remap_tall(self.z, columns, rows)
        return np.asarray(z.ravel()[: flat_column.size].reshape(shape), np.float32)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        rows, columns = self.z.shape
        return self.left, self.top - rows * self.cell_m, self.left + columns * self.cell_m, self.top


def _remap_tall(z: NDArray[np.float32], columns: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    out = [
        cv2.remap(z, columns[i : i + 16384], rows[i : i + 16384], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in range(0, len(columns), 16384)
    ]
    return np.vstack(out)


# Buildings and trees are noise to the ground: of the points of a cell the lower third speaks.
GROUND_SHARE = 0.3
# Ground may rise this much over one cell of the coarse pass before it is taken for a building.
MAX_SLOPE = 0.5


def ground_from_points(points: Floats, bounds: tuple[float, float, float, float], cell_m: float) -> HeightGrid:
    """A smooth ground surface through the lower of scattered points.

    Args:
        points: (n, 3) metres.
        bounds: West, south, east, north to cover.
        cell_m: Cell size; a cell should hold a few points and be wider than a house.
    """
    west, south, east, north = bounds
    columns, rows = max(1, int(np.ceil((east - west) / cell_m))), max(1, int(np.ceil((north - south) / cell_m)))
    if not len(points):
        return HeightGrid(west, north, cell_m, np.zeros((rows, columns), np.float32))
    middle, spread = np.median(points[:, 2]), np.percentile(points[:, 2], (2, 98))
    good = points[(points[:, 2] >= 2 * spread[0] - middle) & (points[:, 2] <= 2 * spread[1] - middle)]
    column = np.floor((good[:, 0] - west) / cell_m).astype(int)
    row = np.floor((north - good[:, 1]) / cell_m).astype(int)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    value, count = _low_of_cells(row[inside] * columns + column[inside], good[inside, 2], rows * columns)
    z = value.reshape(rows, columns)
    return HeightGrid(west, north, cell_m, filled(z, np.minimum(count, 20.0).reshape(rows, columns)))


def _low_of_cells(cell: NDArray[np.int64], z: Floats, size: int) -> tuple[Floats, Floats]:
    order = np.lexsort((z, cell))
    count = np.bincount(cell, minlength=size)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    pick = np.minimum(start + (count * GROUND_SHARE).astype(int), max(0, len(z) - 1))
    value = np.where(count > 0, z[order][pick] if len(z) else 0.0, 0.0)
    return value, count.astype(float)


def filled(z: NDArray, weight: NDArray) -> NDArray[np.float32]:
    """Smooths a grid with weights (0 = unknown) and fills what is unknown from ever wider surroundings."""
    weight32, value = weight.astype(np.float32), z.astype(np.float32)
    level = float((value * weight32).sum() / max(1e-9, float(weight32.sum())))
    value = value - level
    result = np.zeros_like(value)
    known = np.zeros_like(value)
    sigma = 1.0
    while True:
        size = int(6 * sigma) | 1
        total = cv2.GaussianBlur(value * weight32, (size, size), sigma, borderType=cv2.BORDER_CONSTANT)
        mass = cv2.GaussianBlur(weight32, (size, size), sigma, borderType=cv2.BORDER_CONSTANT)
        # The finest scale that has about two points to its name is believed; coarser ones show through elsewhere.
        share = np.clip(mass * (2 * np.pi * sigma * sigma) / 3.0, 0.0, 1.0) * (1.0 - known)
        result += share * np.where(mass > 1e-9, total / np.maximum(mass, 1e-9), 0.0)
        known += share
        if sigma > max(z.shape) or float(known.min()) > 0.99:
            break
        sigma *= 2.0
    return np.asarray(result / np.maximum(known, 1e-6) + level, np.float32)
