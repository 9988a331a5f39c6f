"""A window of ground as pixels: row 0 north, pixel (0, 0)'s corner at (x0, y_top), local metres."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Polygon

from simulators.things import XY

# float32 and uint8 by convention; OpenCV's stubs promise less than it gives.
Floats = NDArray[Any]
Bytes = NDArray[Any]

SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Grid:
    """A raster's place: `gsd_m` a pixel, `cols` × `rows` pixels from the north-west corner."""

    x0: float
    y_top: float
    gsd_m: float
    cols: int
    rows: int

    @cached_property
    def xs(self) -> Floats:
        """X of pixel centres (cols,)."""
        return (self.x0 + (np.arange(self.cols) + 0.5) * self.gsd_m).astype(np.float32)

    @cached_property
    def ys(self) -> Floats:
        """Y of pixel centres (rows,)."""
        return (self.y_top - (np.arange(self.rows) + 0.5) * self.gsd_m).astype(np.float32)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return (
            self.x0,
            self.y_top - self.rows * self.gsd_m,
            self.x0 + self.cols * self.gsd_m,
            self.y_top,
        )

    def window(self, bounds: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        """Pixel range (row0, row1, col0, col1) that covers `bounds`, clipped to the raster."""
        west, south, east, north = bounds
        col0 = max(0, math.floor((west - self.x0) / self.gsd_m))
        col1 = min(self.cols, math.ceil((east - self.x0) / self.gsd_m))
        row0 = max(0, math.floor((self.y_top - north) / self.gsd_m))
        row1 = min(self.rows, math.ceil((self.y_top - south) / self.gsd_m))
        return row0, row1, col0, col1

    def sub(self, row0: int, row1: int, col0: int, col1: int) -> Grid:
        """The grid of a pixel range."""
        return Grid(self.x0 + col0 * self.gsd_m, self.y_top - row0 * self.gsd_m, self.gsd_m, col1 - col0, row1 - row0)

    def pixels(self, points: list[XY] | tuple[XY, ...]) -> NDArray[np.int32]:
        """Points as fixed-point pixel coordinates for OpenCV's drawing (`SUBPIXEL_BITS`)."""
        xy = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        cols = (xy[:, 0] - self.x0) / self.gsd_m - 0.5
        rows = (self.y_top - xy[:, 1]) / self.gsd_m - 0.5
        # Far-away vertices overflow OpenCV's fixed point; nothing drawn is longer than a few kilometres.
        fixed = np.clip(np.stack([cols, rows], axis=1), -60000, 60000) * (1 << SUBPIXEL_BITS)
        return np.rint(fixed).astype(np.int32)


@dataclass
class Tile:
    """Painted ground: colour without light, height above sea level, class, and the building each pixel belongs to."""

    grid: Grid
    rgb: Bytes
    height: Floats
    surface: Bytes
    owner: NDArray[np.uint16]
    terrain: Floats = field(repr=False)


def fill(mask: NDArray[Any], grid: Grid, polygon: Polygon, value: int) -> None:
    """Fills a polygon (with holes) or several into `mask`."""
    for part in getattr(polygon, "geoms", [polygon]):
        if part.geom_type != "Polygon" or part.is_empty:
            continue
        rings = [grid.pixels(list(part.exterior.coords))]
        rings += [grid.pixels(list(ring.coords)) for ring in part.interiors]
        cv2.fillPoly(mask, rings, value, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)


class Noise:
    """Smooth random fields fixed to the ground: the same metre has the same value in every window and resolution."""

    BLOCK_M = 40.0
    GRAIN_M = 0.04

    def __init__(self, seed: int, half_m: float) -> None:
        self.seed = seed
        self.half_m = half_m
        self._lattices: dict[tuple[float, int], NDArray[np.int8]] = {}

    def _lattice(self, scale_m: float, channel: int) -> NDArray[np.int8]:
        key = (scale_m, channel)
        if key not in self._lattices:
            count = int(2 * self.half_m / scale_m) + 8
            rng = np.random.default_rng([self.seed, channel, round(scale_m * 1000)])
            self._lattices[key] = rng.integers(-127, 128, (count, count), dtype=np.int8)
        return self._lattices[key]

    def field(self, grid: Grid, scale_m: float, channel: int = 0) -> Floats:
        """A field with features of `scale_m`, about -1..1, over `grid`: shape (rows, cols)."""
        lattice = self._lattice(scale_m, channel)
        step = grid.gsd_m / scale_m
        col = (grid.x0 + 0.5 * grid.gsd_m + self.half_m) / scale_m + 3
        row = (self.half_m - grid.y_top + 0.5 * grid.gsd_m) / scale_m + 3
        count = lattice.shape[0]
        c0, r0 = int(np.clip(col - 2, 0, count - 1)), int(np.clip(row - 2, 0, count - 1))
        c1 = int(np.clip(col + grid.cols * step + 3, c0 + 1, count))
        r1 = int(np.clip(row + grid.rows * step + 3, r0 + 1, count))
        part = lattice[r0:r1, c0:c1].astype(np.float32) / 100.0
        matrix = np.array([[step, 0, col - c0], [0, step, row - r0]], dtype=np.float64)
        flags = (cv2.INTER_CUBIC if step < 0.6 and scale_m > 0.2 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(part, matrix, (grid.cols, grid.rows), flags=flags, borderMode=cv2.BORDER_REFLECT)

    def grain(self, grid: Grid) -> Floats:
        """The finest texture, 4 cm, drawn block by block so that nothing repeats; one block a window."""
        block_x, block_y = int(grid.x0 // self.BLOCK_M), int(grid.y_top // self.BLOCK_M)
        rng = np.random.default_rng([self.seed, block_x + 5000, block_y + 5000, 77])
        count = int(self.BLOCK_M / self.GRAIN_M) + 8
        part = np.frombuffer(rng.bytes(count * count), np.uint8).reshape(count, count)
        size = (
            min(count, max(1, round(grid.cols * grid.gsd_m / self.GRAIN_M))),
            min(count, max(1, round(grid.rows * grid.gsd_m / self.GRAIN_M))),
        )
        how = cv2.INTER_AREA if grid.gsd_m > self.GRAIN_M else cv2.INTER_LINEAR
        small = cv2.resize(part[: size[1], : size[0]], (grid.cols, grid.rows), interpolation=how)
        out = small.astype(np.float32)
        out -= 127.5
        # Averaging whitens the grain away at coarse resolutions faster than real clutter fades:
        # half of it is given back.
        out *= np.float32(max(1.0, (grid.gsd_m / self.GRAIN_M) ** 0.5) / 73.0)
        return out
