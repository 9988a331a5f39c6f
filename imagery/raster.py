"""Windows of rasters for whoever looks at them: several rasters on one grid, read piece by piece, never whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from imagery.errors import ImageryError


@dataclass(frozen=True)
class RasterGrid:
    """A north-up grid of square pixels that rasters are read on.

    Attributes:
        crs: Projected, in metres.
        left: West edge.
        top: North edge.
        gsd_m: Pixel size.
        width_px: Columns.
        height_px: Rows.
    """

    crs: str
    left: float
    top: float
    gsd_m: float
    width_px: int
    height_px: int

    @property
    def transform(self) -> Affine:
        """Pixel edges to metres."""
        return from_origin(self.left, self.top, self.gsd_m, self.gsd_m)

    def windows(self, size_px: int, margin_px: int = 0) -> Iterator[Window]:
        """Windows that cover the grid, each with a margin around its own part (they may reach beyond the grid)."""
        for top in range(0, self.height_px, size_px):
            for left in range(0, self.width_px, size_px):
                yield Window(left - margin_px, top - margin_px, size_px + 2 * margin_px, size_px + 2 * margin_px)


@dataclass(frozen=True)
class Piece:
    """A window's pixels: `rgb` (h, w, 3) uint8, `valid` (h, w), and the transform of the window."""

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    transform: Affine


def open_raster(path: Path) -> rasterio.io.DatasetReader:
    """Opens a georeferenced raster.

    Raises:
        ImageryError: Missing, unreadable, or without a place.
    """
    if not path.is_file():
        raise ImageryError(f"no raster at {path}")
    try:
        source = rasterio.open(path)
    except RasterioError as error:
        raise ImageryError(f"{path} is not a raster that can be read: {error}") from error
    if source.crs is None:
        source.close()
        raise ImageryError(f"{path} has no coordinate system: expected a georeferenced raster")
    return source


def grid_of(path: Path, gsd_m: float | None = None) -> RasterGrid:
    """The grid of a raster in its own (or its UTM zone's) metres, at its own or another pixel size.

    Raises:
        ImageryError: Not a georeferenced raster.
    """
    with open_raster(path) as source:
        crs = source.crs if source.crs.is_projected else _utm_of(source)
        with WarpedVRT(source, crs=crs) as view:
            left, bottom, right, top = view.bounds
            size = gsd_m or float(view.res[0])
    width, height = max(1, round((right - left) / size)), max(1, round((top - bottom) / size))
    code = crs.to_epsg()
    return RasterGrid(f"EPSG:{code}" if code else crs.to_wkt(), left, top, size, width, height)


def _utm_of(source: rasterio.io.DatasetReader) -> CRS:
    lon, lat = source.lnglat()
    return CRS.from_epsg((32600 if lat >= 0 else 32700) + min(60, int((lon + 180) // 6) + 1))


class Aligned:
    """A raster seen on a grid: windows come resampled, in colour, with what is valid; a context manager."""

    def __init__(self, path: Path, grid: RasterGrid) -> None:
        self._grid = grid
        self._source = open_raster(path)
        coarser = grid.gsd_m > 1.2 * self._pixel_m()
        self._view = WarpedVRT(
            self._source,
            crs=CRS.from_user_input(grid.crs),
            transform=grid.transform,
            width=grid.width_px,
            height=grid.height_px,
            resampling=Resampling.average if coarser else Resampling.bilinear,
        )

    def _pixel_m(self) -> float:
        if self._source.crs.is_projected:
            return float(self._source.res[0])
        return float(self._source.res[0]) * 111_320.0

    def __enter__(self) -> Aligned:
        return self

    def __exit__(self, *_: object) -> None:
        self._view.close()
        self._source.close()

    def read(self, window: Window) -> Piece:
        """A window of the grid; what lies beyond grid or raster is invalid and black."""
        height, width = int(window.height), int(window.width)
        rgb = np.zeros((height, width, 3), np.uint8)
        valid = np.zeros((height, width), bool)
        top, left = int(window.row_off), int(window.col_off)
        r0, r1 = max(0, top), min(self._grid.height_px, top + height)
        c0, c1 = max(0, left), min(self._grid.width_px, left + width)
        if r0 < r1 and c0 < c1:
            inner = Window(c0, r0, c1 - c0, r1 - r0)
            bands = [1, 2, 3] if self._source.count >= 3 else [1, 1, 1]
            area = (slice(r0 - top, r1 - top), slice(c0 - left, c1 - left))
            rgb[area] = _as_bytes(self._view.read(bands, window=inner)).transpose(1, 2, 0)
            valid[area] = self._view.read_masks(1, window=inner) > 0
            rgb[~valid] = 0
        return Piece(rgb, valid, window_transform(window, self._grid.transform))


def _as_bytes(bands: NDArray) -> NDArray[np.uint8]:
    if bands.dtype == np.uint8:
        return np.asarray(bands)
    if bands.dtype == np.uint16:
        return np.asarray(bands >> 8, np.uint8) if bands.max(initial=0) > 4095 else np.asarray(bands >> 4, np.uint8)
    return np.clip(np.nan_to_num(bands), 0, 255).astype(np.uint8)


def common_grid(one: Path, other: Path, gsd_m: float | None = None) -> RasterGrid:
    """The grid of the first raster, cut to what both cover.

    Raises:
        ImageryError: They do not overlap, or one is not georeferenced.
    """
    grid = grid_of(one, gsd_m)
    with open_raster(other) as source, WarpedVRT(source, crs=CRS.from_user_input(grid.crs)) as view:
        left, bottom, right, top = view.bounds
    c0, r0 = max(0, int((left - grid.left) / grid.gsd_m)), max(0, int((grid.top - top) / grid.gsd_m))
    c1 = min(grid.width_px, int((right - grid.left) / grid.gsd_m))
    r1 = min(grid.height_px, int((grid.top - bottom) / grid.gsd_m))
    if c0 >= c1 or r0 >= r1:
        raise ImageryError(f"{one} and {other} do not overlap: is the baseline of another place?")
    return RasterGrid(grid.crs, grid.left + c0 * grid.gsd_m, grid.top - r0 * grid.gsd_m, grid.gsd_m, c1 - c0, r1 - r0)
