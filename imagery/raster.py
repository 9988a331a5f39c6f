"""An earlier mosaic looked at piece by piece on a grid of one's choice, never whole and no block of it twice."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from imagery.errors import ImageryError

Grey = NDArray[np.uint8]
Valid = NDArray[np.bool_]
# A grid this much coarser than a raster is read by averaging; within it the raster's own pixels serve.
COARSER = 1.2
BLOCK_PX = 512
# Blocks that are held (0.5 MB each): a frame's neighbours along its lane and on the next one look at the same ones.
HELD_BLOCKS = 128


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


def grid_near(path: Path, crs: str, gsd_m: float, bounds: tuple[float, float, float, float]) -> RasterGrid:
    """A grid over bounds on which a raster is cheap to read and as sharp as it is.

    The raster's own pixels where it lies in `crs` and they are about as large as wanted: nothing is resampled then
    (warping a 2 MP frame's window took 0.4 CPU-s, reading it as it lies 0.05). Else pixels of `gsd_m`.

    Args:
        path: The raster.
        crs: System wanted.
        gsd_m: Pixel size wanted.
        bounds: West, south, east, north in `crs`.

    Raises:
        ImageryError: Not a georeferenced raster.
    """
    west, south, east, north = bounds
    with open_raster(path) as source:
        own = source.transform
        if _upright(own) and source.crs == CRS.from_user_input(crs) and 1.0 / COARSER < gsd_m / own.a < COARSER:
            gsd_m = float(own.a)
            west = own.c + float(np.floor((west - own.c) / gsd_m)) * gsd_m
            north = own.f - float(np.floor((own.f - north) / gsd_m)) * gsd_m
    return RasterGrid(crs, west, north, gsd_m, int((east - west) / gsd_m) + 1, int((north - south) / gsd_m) + 1)


def _upright(transform: Affine) -> bool:
    """North-up with square pixels."""
    return transform.b == 0 and transform.d == 0 and bool(np.isclose(transform.a, -transform.e, rtol=1e-9))


class Aligned:
    """A raster seen on a grid, in grey, with what is valid; a context manager.

    It is read in blocks of `BLOCK_PX`, `HELD_BLOCKS` of which are kept: frames overlap, so most blocks are asked for
    a dozen times.
    """

    def __init__(self, path: Path, grid: RasterGrid) -> None:
        self._grid = grid
        self._source = open_raster(path)
        self._blocks: OrderedDict[tuple[int, int], tuple[Grey, Valid]] = OrderedDict()
        lattice = self._lattice()
        self._offset = lattice or (0, 0)
        self._view: rasterio.io.DatasetReader | WarpedVRT = self._source if lattice else self._warped()

    def _lattice(self) -> tuple[int, int] | None:
        """Row and column of the grid's corner in the raster where its pixels are the raster's own."""
        own, grid = self._source.transform, self._grid
        if not _upright(own) or not np.isclose(own.a, grid.gsd_m, rtol=1e-9):
            return None
        if self._source.crs != CRS.from_user_input(grid.crs):
            return None
        place = np.array([(own.f - grid.top) / grid.gsd_m, (grid.left - own.c) / grid.gsd_m])
        whole = np.rint(place).astype(int)
        return (int(whole[0]), int(whole[1])) if np.abs(place - whole).max() < 1e-3 else None

    def _warped(self) -> WarpedVRT:
        metric = self._source.crs.is_projected
        pixel_m = float(self._source.res[0]) * (1.0 if metric else 111_320.0)
        # A view of a raster that has a mask calls everything valid unless the mask comes along as a band.
        return WarpedVRT(
            self._source,
            crs=CRS.from_user_input(self._grid.crs),
            transform=self._grid.transform,
            width=self._grid.width_px,
            height=self._grid.height_px,
            resampling=Resampling.average if self._grid.gsd_m > COARSER * pixel_m else Resampling.bilinear,
            add_alpha=self._source.nodata is None and ColorInterp.alpha not in self._source.colorinterp,
        )

    def __enter__(self) -> Aligned:
        return self

    def __exit__(self, *_: object) -> None:
        if self._view is not self._source:
            self._view.close()
        self._source.close()

    def read(self, left: int, top: int, width: int, height: int) -> tuple[Grey, Valid]:
        """(height, width) grey values and validity of a window of the grid; beyond grid or raster invalid and black."""
        grey, valid = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
        right, bottom = min(left + width, self._grid.width_px), min(top + height, self._grid.height_px)
        for row in range(max(0, top) // BLOCK_PX, -(-bottom // BLOCK_PX)):
            for column in range(max(0, left) // BLOCK_PX, -(-right // BLOCK_PX)):
                r0, c0 = max(top, row * BLOCK_PX), max(left, column * BLOCK_PX)
                r1, c1 = min(bottom, (row + 1) * BLOCK_PX), min(right, (column + 1) * BLOCK_PX)
                there = (slice(r0 - row * BLOCK_PX, r1 - row * BLOCK_PX),
                         slice(c0 - column * BLOCK_PX, c1 - column * BLOCK_PX))  # fmt: skip
                here = (slice(r0 - top, r1 - top), slice(c0 - left, c1 - left))
                block = self._block(row, column)
                grey[here], valid[here] = block[0][there], block[1][there]
        return grey, valid

    def _block(self, row: int, column: int) -> tuple[Grey, Valid]:
        key = (row, column)
        if key not in self._blocks:
            self._blocks[key] = self._fresh(row * BLOCK_PX + self._offset[0], column * BLOCK_PX + self._offset[1])
            while len(self._blocks) > HELD_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _fresh(self, top: int, left: int) -> tuple[Grey, Valid]:
        """A block of the view by its pixel rows and columns."""
        grey, valid = np.zeros((BLOCK_PX, BLOCK_PX), np.uint8), np.zeros((BLOCK_PX, BLOCK_PX), bool)
        r0, r1 = max(0, top), min(self._view.height, top + BLOCK_PX)
        c0, c1 = max(0, left), min(self._view.width, left + BLOCK_PX)
        if r0 >= r1 or c0 >= c1:
            return grey, valid
        inner, area = Window(c0, r0, c1 - c0, r1 - r0), (slice(r0 - top, r1 - top), slice(c0 - left, c1 - left))
        valid[area] = self._view.read_masks(1, window=inner) > 0
        if not valid.any():
            return grey, valid
        bands = [1, 2, 3] if self._source.count >= 3 else [1]
        seen = _as_bytes(self._view.read(bands, window=inner))
        grey[area] = cv2.cvtColor(seen.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY) if len(seen) == 3 else seen[0]
        grey[~valid] = 0
        return grey, valid


def _as_bytes(bands: NDArray) -> NDArray[np.uint8]:
    if bands.dtype == np.uint8:
        return np.asarray(bands)
    if bands.dtype == np.uint16:
        return np.asarray(bands >> 8, np.uint8) if bands.max(initial=0) > 4095 else np.asarray(bands >> 4, np.uint8)
    return np.clip(np.nan_to_num(bands), 0, 255).astype(np.uint8)
