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
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from inference.errors import InferenceError

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# GDAL's block cache grows to 5 % of the machine by default; the memory promise (1 GB) is kept with a fixed one.
GDAL_CACHE_MB = 128
# A place seen at this spacing tells which windows hold any photograph at all.
_OUTLINE_GSD_M = 2.0


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
        return self.transform * Affine.translation(col, row)


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
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_MB, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
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
    """A grid over a raster's extent, its corner on whole multiples of the spacing (so that numbers are stable)."""
    crs = metric_crs(dataset)
    west, south, east, north = transform_bounds(dataset.crs, crs, *dataset.bounds)
    left, top = math.floor(west / gsd_m) * gsd_m, math.ceil(north / gsd_m) * gsd_m
    return Grid(crs, gsd_m, left, top, math.ceil((east - left) / gsd_m), math.ceil((top - south) / gsd_m))


@contextmanager
def on_grid(dataset: DatasetReader, grid: Grid, resampling: Resampling = Resampling.bilinear) -> Iterator[WarpedVRT]:
    """The raster as seen through a grid; GDAL picks the overview."""
    own_mask = dataset.nodata is None and 4 not in [int(c) for c in dataset.colorinterp]
    alpha = own_mask and dataset.count == 3
    with WarpedVRT(
        dataset,
        crs=grid.crs,
        transform=grid.transform,
        width=grid.width_px,
        height=grid.height_px,
        resampling=resampling,
        add_alpha=alpha,
    ) as vrt:
        yield vrt


def _clip(tile_col: int, tile_row: int, side: int, vrt: WarpedVRT) -> tuple[Window | None, tuple[slice, slice]]:
    c0, r0 = max(0, tile_col), max(0, tile_row)
    c1, r1 = min(vrt.width, tile_col + side), min(vrt.height, tile_row + side)
    if c1 <= c0 or r1 <= r0:
        return None, (slice(0, 0), slice(0, 0))
    place = (slice(r0 - tile_row, r1 - tile_row), slice(c0 - tile_col, c1 - tile_col))
    return Window(c0, r0, c1 - c0, r1 - r0), place


def read_rgb(vrt: WarpedVRT, tile: Tile) -> tuple[Rgb, Mask]:
    """Reads core and halo.

    Returns:
        (side, side, 3) colours, black outside the raster, and (side, side) True where there is a photograph.
    """
    side = tile.full
    rgb = np.zeros((side, side, 3), np.uint8)
    valid = np.zeros((side, side), bool)
    window, place = _clip(tile.col - tile.halo, tile.row - tile.halo, side, vrt)
    if window is None:
        return rgb, valid
    bands = (1, 2, 3) if vrt.count >= 3 else (1, 1, 1)
    pixels = vrt.read(bands, window=window)
    if pixels.dtype != np.uint8:
        raise InferenceError(
            f"mosaic pixels are {pixels.dtype}: expected 8-bit RGB, convert it (gdal_translate -scale)"
        )
    rgb[place] = np.moveaxis(pixels, 0, -1)
    valid[place] = vrt.dataset_mask(window=window) > 0
    return rgb, valid & (rgb.max(axis=2) > 0)


def read_height(vrt: WarpedVRT, tile: Tile) -> NDArray[np.float32]:
    """Reads one band of heights over core and halo; NaN where there is none."""
    out = np.full((tile.full, tile.full), np.nan, np.float32)
    window, place = _clip(tile.col - tile.halo, tile.row - tile.halo, tile.full, vrt)
    if window is None:
        return out
    values = vrt.read(1, window=window).astype(np.float32)
    values[vrt.dataset_mask(window=window) == 0] = np.nan
    out[place] = values
    return out


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
    with on_grid(dataset, outline, Resampling.nearest) as vrt:
        seen = vrt.dataset_mask() > 0
    found = []
    for row in range(0, grid.height_px, size):
        for col in range(0, grid.width_px, size):
            r0, c0 = row // factor, col // factor
            if seen[r0 : (row + size) // factor + 1, c0 : (col + size) // factor + 1].any():
                found.append(Tile(col, row, size, halo))
    return found
