"""Windows of a raster on a metric grid of our own spacing: nothing here ever reads a whole mosaic.

Both families look at the ground at a fixed scale (metres a pixel), whatever the camera: a mosaic is read through its
overviews onto a `Grid`, in square cores with a halo, so that what lies on a seam is seen whole by one window at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from inference.errors import InferenceError

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# GDAL's block cache grows to 5 % of the machine by default; a fixed one keeps the memory promise (1 GB). In bytes, as
# rasterio takes integers: with a cache of 128 bytes every read decodes its blocks anew, a hundred times slower.
GDAL_CACHE_BYTES = 128 << 20
# A place seen at this spacing tells which windows hold any photograph at all.
_OUTLINE_GSD_M = 2.0
# A network does not mind a spacing this far from its own (it was trained from -25 % to +35 %).
_FIT = 0.04


@dataclass(frozen=True)
class Grid:
    """A north-up metric pixel grid; `left`, `top` are the outer corner in `crs` metres."""

    crs: str
    gsd_m: float
    left: float
    top: float
    width_px: int
    height_px: int

    @property
    def transform(self) -> Affine:
        """Pixel corner to metres."""
        return Affine(self.gsd_m, 0, self.left, 0, -self.gsd_m, self.top)

    def at(self, col: int, row: int) -> Affine:
        """The transform of a window that begins at (col, row), which may lie outside."""
        return self.transform @ Affine.translation(col, row)


@dataclass(frozen=True)
class Tile:
    """A core of `size` pixels at (col, row) inside a halo on every side."""

    col: int
    row: int
    size: int
    halo: int

    @property
    def full(self) -> int:
        """Side of core and halo."""
        return self.size + 2 * self.halo


@contextmanager
def open_raster(path: Path) -> Iterator[DatasetReader]:
    """Opens a georeferenced raster with a bounded cache.

    Raises:
        InferenceError: Missing, not a raster, or without a CRS.
    """
    if not path.is_file():
        raise InferenceError(f"no raster at {path}: expected a georeferenced GeoTIFF; stitch the patrol first")
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        try:
            dataset = rasterio.open(path)
        except RasterioError as error:
            raise InferenceError(f"{path} is not a readable raster ({error}): give a GeoTIFF") from error
        with dataset:
            if dataset.crs is None:
                raise InferenceError(
                    f"{path} has no coordinate system: expected a georeferenced mosaic, stitch it again"
                )
            yield dataset


def metric_crs(dataset: DatasetReader) -> str:
    """The raster's own CRS where it is in metres and not Web Mercator, else the UTM zone of its centre."""
    crs = CRS.from_user_input(dataset.crs)
    metres = all(axis.unit_name == "metre" for axis in crs.axis_info[:2])
    if crs.is_projected and metres and crs.to_epsg() != 3857:
        return dataset.crs.to_string()
    west, south, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    zone = int((west + east) / 2 + 180) // 6 + 1
    return f"EPSG:{(32600 if south + north >= 0 else 32700) + zone}"


def grid_of(dataset: DatasetReader, gsd_m: float) -> Grid:
    """A grid over a raster's extent, its corner on whole multiples of the spacing (so that numbers are stable).

    Where the raster's own pixels fit (the spacing is a whole multiple of theirs to 4 %), the grid is theirs: reading
    is then copying out of an overview, some ten times cheaper than resampling.
    """
    crs = metric_crs(dataset)
    at = dataset.transform
    steps = round(gsd_m / at.a) if at.a > 0 else 0
    if _same_axes(dataset, crs) and steps >= 1 and abs(gsd_m / (at.a * steps) - 1) < _FIT:
        own = at.a * steps
        return Grid(crs, own, at.c, at.f, math.ceil(dataset.width / steps), math.ceil(dataset.height / steps))
    west, south, east, north = transform_bounds(dataset.crs, crs, *dataset.bounds)
    left, top = math.floor(west / gsd_m) * gsd_m, math.ceil(north / gsd_m) * gsd_m
    return Grid(crs, gsd_m, left, top, math.ceil((east - left) / gsd_m), math.ceil((top - south) / gsd_m))


class View:
    """A raster as seen through a grid: windows are read through its overviews, resampled once."""

    def __init__(self, dataset: DatasetReader, grid: Grid, resampling: Resampling, vrt: WarpedVRT | None) -> None:
        self.grid = grid
        self._dataset = dataset
        self._resampling = resampling
        self._vrt = vrt
        flags = {flag for band in dataset.mask_flag_enums for flag in band}
        self.bands = dataset.count
        self._floats = dataset.dtypes[0].startswith("float")
        self._nodata = np.nan if dataset.nodata is None else dataset.nodata
        self.colours = (1, 2, 3) if dataset.count >= 3 else (1, 1, 1)
        self._masked = flags != {MaskFlags.all_valid}

    def _source(self) -> tuple[DatasetReader | WarpedVRT, float, float, float]:
        """What to read from, its spacing, and the grid's corner in its pixels."""
        if self._vrt is not None:
            return self._vrt, self.grid.gsd_m, 0.0, 0.0
        at = self._dataset.transform
        return self._dataset, at.a, (self.grid.left - at.c) / at.a, (at.f - self.grid.top) / at.a

    def _windows(self, tile: Tile) -> tuple[Window, tuple[slice, slice]] | None:
        source, spacing, left, top = self._source()
        ratio = self.grid.gsd_m / spacing
        col, row = tile.col - tile.halo, tile.row - tile.halo
        c0, r0 = max(col, math.ceil(-left / ratio)), max(row, math.ceil(-top / ratio))
        c1 = min(col + tile.full, math.floor((source.width - left) / ratio + 1e-6))
        r1 = min(row + tile.full, math.floor((source.height - top) / ratio + 1e-6))
        if c1 <= c0 or r1 <= r0:
            return None
        x0, y0 = max(0.0, left + c0 * ratio), max(0.0, top + r0 * ratio)
        wide, high = min((c1 - c0) * ratio, source.width - x0), min((r1 - r0) * ratio, source.height - y0)
        return Window(x0, y0, wide, high), (slice(r0 - row, r1 - row), slice(c0 - col, c1 - col))

    def read(self, tile: Tile, bands: tuple[int, ...]) -> tuple[NDArray, Mask]:
        """Reads core and halo: (bands, side, side), 0 outside the raster, and (side, side) True where it is known."""
        source = self._source()[0]
        values = np.zeros((len(bands), tile.full, tile.full), source.dtypes[bands[0] - 1])
        valid = np.zeros((tile.full, tile.full), bool)
        found = self._windows(tile)
        if found is None:
            return values, valid
        window, place = found
        shape = (place[0].stop - place[0].start, place[1].stop - place[1].start)
        how = {"window": window, "resampling": self._resampling}
        values[(slice(None), *place)] = source.read(bands, out_shape=(len(bands), *shape), **how)
        if self._vrt is not None:
            valid[place] = self._vrt.read(self._vrt.count, out_shape=shape, window=window) > 0
        elif self._floats:
            valid[place] = np.isfinite(values[(0, *place)]) & (values[(0, *place)] != self._nodata)
        elif self._masked:
            valid[place] = self._dataset.read_masks(1, out_shape=shape, window=window) > 0
        else:
            valid[place] = True
        return values, valid

    def outline(self) -> Mask:
        """Where the grid's pixels are known; for coarse grids only."""
        whole = Tile(0, 0, max(self.grid.width_px, self.grid.height_px), 0)
        valid = self.read(whole, (1,))[1] if self._masked or self._vrt is not None else np.ones((1, 1), bool)
        if valid.shape == (1, 1):
            return np.ones((self.grid.height_px, self.grid.width_px), bool)
        return valid[: self.grid.height_px, : self.grid.width_px]


def _same_axes(dataset: DatasetReader, crs: str) -> bool:
    """Whether a raster is north-up in this CRS, with square pixels."""
    at = dataset.transform
    square = at.b == 0 and at.d == 0 and at.a > 0 and math.isclose(at.a, -at.e, rel_tol=1e-6)
    return square and CRS.from_user_input(dataset.crs) == CRS.from_user_input(crs)


@contextmanager
def on_grid(dataset: DatasetReader, grid: Grid, resampling: Resampling = Resampling.bilinear) -> Iterator[View]:
    """The raster as seen through a grid; warped only where its own axes are others."""
    if _same_axes(dataset, grid.crs):
        yield View(dataset, grid, resampling, None)
        return
    size = {"transform": grid.transform, "width": grid.width_px, "height": grid.height_px}
    with WarpedVRT(dataset, crs=grid.crs, resampling=resampling, add_alpha=dataset.count != 4, **size) as vrt:
        yield View(dataset, grid, resampling, vrt)


def read_rgb(view: View, tile: Tile) -> tuple[Rgb, Mask]:
    """Reads core and halo of a mosaic.

    Returns:
        (side, side, 3) colours, black outside the raster, and (side, side) True where there is a photograph.

    Raises:
        InferenceError: Not 8-bit.
    """
    pixels, valid = view.read(tile, view.colours)
    if pixels.dtype != np.uint8:
        raise InferenceError(
            f"mosaic pixels are {pixels.dtype}: expected 8-bit RGB, convert it (gdal_translate -scale)"
        )
    rgb = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    # Band by band: the largest along a pixel's three bytes took a twentieth of a patrol's judging.
    return rgb, valid & (np.bitwise_or.reduce(pixels, axis=0) > 0)


def read_height(view: View, tile: Tile) -> NDArray[np.float32]:
    """Reads one band of heights over core and halo; NaN where there is none."""
    values, valid = view.read(tile, (1,))
    return np.where(valid, values[0].astype(np.float32), np.float32(np.nan))


def tiles(dataset: DatasetReader, grid: Grid, size: int, halo: int) -> list[Tile]:
    """The tiles of a grid that hold any photograph, row by row."""
    factor = max(1, round(_OUTLINE_GSD_M / grid.gsd_m))
    outline = Grid(
        grid.crs,
        grid.gsd_m * factor,
        grid.left,
        grid.top,
        math.ceil(grid.width_px / factor),
        math.ceil(grid.height_px / factor),
    )
    with on_grid(dataset, outline, Resampling.nearest) as view:
        seen = view.outline()
    found = []
    for row in range(0, grid.height_px, size):
        for col in range(0, grid.width_px, size):
            r0, c0 = row // factor, col // factor
            if seen[r0 : (row + size) // factor + 1, c0 : (col + size) // factor + 1].any():
                found.append(Tile(col, row, size, halo))
    return found
