"""Height confirms: at each proposal the two days' surfaces are compared, against the ground around it.

Two flights' surfaces differ by a bias (GPS height) and by slow waves; a building does not. So the change inside an
outline is measured relative to the change in a ring around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from inference.windows import Grid, Tile, View, grid_of, metric_crs, on_grid, open_raster, read_height

# A surface from frames is no finer than this, whatever the raster's spacing.
GSD_M = 0.25
RING_M = (1.0, 5.0)
_MIN_CELLS = 6


@dataclass(frozen=True)
class HeightChange:
    """Surface now minus surface then inside an outline, relative to its surroundings.

    Attributes:
        median_m: Median inside.
        upper_m: 80th percentile: a thin thing in a smooth surface shows here.
        noise_m: What no change looks like here: spread of the difference in the ring (1.48 MAD), or what the two
            surfaces say of their own errors inside, whichever is worse.
        area_m2: Area inside that rose or fell beyond the noise.
    """

    median_m: float
    upper_m: float
    noise_m: float
    area_m2: float


class Surfaces:
    """Two days' surfaces on one grid."""

    def __init__(self, grid: Grid, after: View, before: View | None, shift_m: tuple[float, float] = (0.0, 0.0)) -> None:
        self._grid, self._after, self._before = grid, after, before
        self._slip = (round(shift_m[0] / grid.gsd_m), round(shift_m[1] / grid.gsd_m))
        self.crs = grid.crs

    def shifted(self, shift_m: tuple[float, float]) -> Surfaces:
        """The same surfaces, the earlier one moved (east, north) onto today's as its mosaic is, to a whole cell."""
        return Surfaces(self._grid, self._after, self._before, shift_m)

    def _tile(self, polygon: BaseGeometry, margin_m: float) -> Tile:
        west, south, east, north = polygon.bounds
        col = math.floor((west - margin_m - self._grid.left) / self._grid.gsd_m)
        row = math.floor((self._grid.top - north - margin_m) / self._grid.gsd_m)
        side = max(east - west, north - south) + 2 * margin_m
        return Tile(col, row, min(2048, math.ceil(side / self._grid.gsd_m) + 1), 0)

    def change(self, polygon: BaseGeometry, others: Sequence[BaseGeometry] = ()) -> HeightChange | None:
        """Compares the two surfaces at an outline.

        Args:
            polygon: In the grid's CRS.
            others: Further changed places, kept out of the ring.

        Returns:
            The change, or None where either surface is unknown.
        """
        if self._before is None:
            return None
        tile = self._tile(polygon, RING_M[1])
        earlier = Tile(tile.col - self._slip[0], tile.row + self._slip[1], tile.size, tile.halo)
        (now, sigma_now), (then, sigma_then) = read_surface(self._after, tile), read_surface(self._before, earlier)
        difference = now - then
        transform = self._grid.at(tile.col, tile.row)
        inside = _mask(polygon, difference.shape, transform)
        ring = _mask(polygon.buffer(RING_M[1]), difference.shape, transform)
        ring &= ~_mask(polygon.buffer(RING_M[0]), difference.shape, transform)
        for other in others:
            if other is not polygon and other.distance(polygon) < RING_M[1]:
                ring &= ~_mask(other.buffer(0.5), difference.shape, transform)
        known = np.isfinite(difference)
        inside, ring = inside & known, ring & known
        if inside.sum() < _MIN_CELLS or ring.sum() < _MIN_CELLS:
            return None
        datum = float(np.median(difference[ring]))
        noise = 1.48 * float(np.median(np.abs(difference[ring] - datum)))
        own = np.hypot(sigma_now[inside], sigma_then[inside])
        noise = max(noise, float(np.median(own[np.isfinite(own)])) if np.isfinite(own).any() else 0.0)
        values = difference[inside] - datum
        beyond = np.abs(values) > max(0.5, 2 * noise)
        return HeightChange(
            float(np.median(values)),
            float(np.percentile(values, 80)),
            noise,
            float(beyond.sum()) * self._grid.gsd_m**2,
        )

    def both(
        self, middle: tuple[float, float], gsd_m: float, cells: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Today's and the earlier surface about a point, (cells, cells) each, north up; NaN where unknown.

        Args:
            middle: In the grid's CRS.
            gsd_m: Side of a cell.
            cells: Along a side.
        """
        if self._before is None:
            return None
        half = cells * gsd_m / 2
        tile = self._tile(shapely.box(middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half), gsd_m)
        earlier = Tile(tile.col - self._slip[0], tile.row + self._slip[1], tile.size, tile.halo)
        centres = (np.arange(cells) + 0.5) * gsd_m - half
        cols = (middle[0] + centres - self._grid.left) / self._grid.gsd_m - tile.col - 0.5
        rows = (self._grid.top - middle[1] + centres) / self._grid.gsd_m - tile.row - 0.5
        x, y = (part.astype(np.float32) for part in np.meshgrid(cols, rows))
        unknown = float("nan")
        sampled = [
            cv2.remap(
                read_height(view, at), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=unknown
            )
            for view, at in ((self._after, tile), (self._before, earlier))
        ]
        return np.asarray(sampled[0], np.float32), np.asarray(sampled[1], np.float32)

    def above_ground(self, polygon: BaseGeometry, others: Sequence[BaseGeometry] = ()) -> HeightChange | None:
        """How far an outline stands above the ground beside it, on today's surface alone.

        Args:
            polygon: In the grid's CRS.
            others: Further things that stand, kept out of the ring.

        Returns:
            The rise, or None where the surface or the ground beside is unknown.
        """
        tile = self._tile(polygon, RING_M[1])
        heights, sigma = read_surface(self._after, tile)
        transform = self._grid.at(tile.col, tile.row)
        inside = _mask(polygon, heights.shape, transform) & np.isfinite(heights)
        ring = _mask(polygon.buffer(RING_M[1]), heights.shape, transform) & np.isfinite(heights)
        for other in (polygon, *others):
            if other.distance(polygon) < RING_M[1]:
                ring &= ~_mask(other.buffer(RING_M[0]), heights.shape, transform)
        if inside.sum() < _MIN_CELLS or ring.sum() < _MIN_CELLS:
            return None
        # Crowns and walls stand in the ring, too: the ground is its lower third.
        ground = float(np.percentile(heights[ring], 33))
        low = heights[ring][heights[ring] <= ground]
        own = float(np.nanmedian(sigma[inside])) if np.isfinite(sigma[inside]).any() else 0.0
        values = heights[inside] - ground
        noise = max(own, 1.48 * float(np.median(np.abs(low - ground))))
        tall = float((values > max(0.5, 2 * noise)).sum()) * self._grid.gsd_m**2
        return HeightChange(float(np.median(values)), float(np.percentile(values, 80)), noise, tall)

    def level(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Today's surface at points (any shape, metres in `crs`); NaN where unknown. One window is read."""
        west, east, south, north = x.min(), x.max(), y.min(), y.max()
        tile = self._tile(shapely.box(west, south, east, north), 2 * self._grid.gsd_m)
        heights = read_height(self._after, tile)
        cols = np.floor((x - self._grid.left) / self._grid.gsd_m).astype(int) - tile.col
        rows = np.floor((self._grid.top - y) / self._grid.gsd_m).astype(int) - tile.row
        return heights[np.clip(rows, 0, tile.size - 1), np.clip(cols, 0, tile.size - 1)].astype(float)

    def ground(self, polygon: BaseGeometry) -> float | None:
        """The level of the ground at an outline: the lower quarter of the surface in and around it."""
        heights = read_height(self._after, self._tile(polygon, RING_M[1]))
        known = heights[np.isfinite(heights)]
        return float(np.percentile(known, 25)) if known.size else None


def read_surface(view: View, tile: Tile) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heights and their expected errors over a window; errors are 0 where the raster does not say (one band)."""
    if view.bands < 2:
        heights = read_height(view, tile)
        return heights, np.zeros_like(heights)
    values, valid = view.read(tile, (1, 2))
    unknown = np.float32(np.nan)
    return (
        np.where(valid, values[0].astype(np.float32), unknown),
        np.where(valid, values[1].astype(np.float32), unknown),
    )


def _mask(polygon: BaseGeometry, shape: tuple[int, ...], transform: object) -> NDArray[np.bool_]:
    if polygon.is_empty:
        return np.zeros(shape, bool)
    burnt: NDArray[np.bool_] = rasterize([polygon], out_shape=shape, transform=transform, dtype="uint8").astype(bool)
    return burnt


@contextmanager
def open_surfaces(after: Path, before: Path | None, crs: str) -> Iterator[Surfaces]:
    """Opens today's surface, and the earlier one where given, on one grid in `crs`.

    Raises:
        InferenceError: Either is missing or not georeferenced.
    """
    with ExitStack() as stack:
        now = stack.enter_context(open_raster(after))
        # A surface from frames is coarser than GSD_M as a rule: then its own cells are the grid.
        gsd_m = max(GSD_M, abs(now.transform.a)) if metric_crs(now) == crs else GSD_M
        native = grid_of(now, gsd_m)
        grid = native if native.crs == crs else _grid_in(now, crs, gsd_m)
        now_vrt = stack.enter_context(on_grid(now, grid, Resampling.bilinear))
        then_vrt = None
        if before is not None:
            then = stack.enter_context(open_raster(before))
            then_vrt = stack.enter_context(on_grid(then, grid, Resampling.bilinear))
        yield Surfaces(grid, now_vrt, then_vrt)


def _grid_in(dataset: object, crs: str, gsd_m: float) -> Grid:
    from rasterio.warp import transform_bounds

    west, south, east, north = transform_bounds(dataset.crs, crs, *dataset.bounds)  # type: ignore[attr-defined]
    return Grid(crs, gsd_m, west, north, math.ceil((east - west) / gsd_m), math.ceil((north - south) / gsd_m))
