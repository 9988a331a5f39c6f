"""`dsm.tif`: how high the world stands. Three bands: the surface, its error, the ground beneath houses and trees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.transform import from_origin

from imagery.dense import Dense, dense_dsm
from imagery.errors import ImageryError
from imagery.files import appearing
from imagery.surface import HeightGrid, filled

__all__ = ["Dense", "HeightGrid", "Surface", "dense_dsm", "ground_beneath", "read_surface", "write_surface"]

Floats = NDArray[np.float64]
# Houses narrower than this vanish from the ground; the widest hall of the sample towns is 40 m.
WIDEST_BUILDING_M = 45.0
# Within this of the opened surface a cell is ground: noise of dense heights, kerbs, ditches.
GROUND_TOLERANCE_M = 0.7
# Pairs that must agree on a cell before it is believed, and the share of an opening window that must be seen.
SURE_PAIRS = 2
MOSTLY_SEEN = 0.4
# What the ground is assumed to lie within where a height comes from ties alone, m.
COARSE_SIGMA_M = 1.0


@dataclass(frozen=True)
class Surface:
    """Heights over a mosaic, metres in its CRS; cells where nothing was seen hold the ground, with a NaN error.

    Attributes:
        crs: As in `poses.json`.
        surface: Of everything that stands (dense), or the ground again (coarse).
        sigma_m: (rows, columns) standard error of the surface, NaN where unknown.
        ground: Beneath buildings and trees.
        dense: Whether the surface shows buildings.
        height_reference: amsl or take-off.
    """

    crs: str
    surface: HeightGrid
    sigma_m: NDArray[np.float32]
    ground: HeightGrid
    dense: bool
    height_reference: str

    def at(self, x: Floats, y: Floats) -> NDArray[np.float32]:
        """Heights of the surface at points of any shape, bilinear."""
        return self.surface.at(x, y)

    def above_ground(self, x: Floats, y: Floats) -> NDArray[np.float32]:
        """Heights of the surface above the ground."""
        return np.asarray(self.surface.at(x, y) - self.ground.at(x, y), np.float32)

    def sigma_at(self, x: Floats, y: Floats) -> NDArray[np.float32]:
        """Standard error of the surface at points, of the nearest cell; NaN where unknown."""
        grid = self.surface
        column = np.clip(((np.asarray(x) - grid.left) / grid.cell_m).astype(int), 0, grid.z.shape[1] - 1)
        row = np.clip(((grid.top - np.asarray(y)) / grid.cell_m).astype(int), 0, grid.z.shape[0] - 1)
        return np.asarray(self.sigma_m[row, column], np.float32)


def read_surface(path: Path) -> Surface:
    """Reads `dsm.tif`.

    Raises:
        ImageryError: Missing, or not a surface of ours.
    """
    if not path.is_file():
        raise ImageryError(f"no heights at {path}: stitch the patrol first")
    try:
        with rasterio.open(path) as source:
            if source.count < 3:
                raise ImageryError(f"{path}: expected three bands (surface, sigma, ground), found {source.count}")
            z, sigma, ground = source.read()
            transform, tags = source.transform, source.tags()
            crs = tags.get("YUNXUN_CRS") or source.crs.to_string()
    except RasterioError as error:
        raise ImageryError(f"{path} is not a raster that can be read: {error}") from error
    left, top, cell = transform.c, transform.f, transform.a
    return Surface(
        crs,
        HeightGrid(left, top, cell, z),
        sigma,
        HeightGrid(left, top, cell, ground),
        tags.get("YUNXUN_DENSE") == "yes",
        tags.get("YUNXUN_HEIGHT_REFERENCE", "amsl"),
    )


def write_surface(path: Path, surface: Surface) -> None:
    """Writes `dsm.tif` (float32, tiled, deflate); it appears whole."""
    rows, columns = surface.surface.z.shape
    grid = surface.surface
    profile = {
        "driver": "GTiff",
        "width": columns,
        "height": rows,
        "count": 3,
        "dtype": "float32",
        "crs": surface.crs,
        "transform": from_origin(grid.left, grid.top, grid.cell_m, grid.cell_m),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "DEFLATE",
        "predictor": 3,
        "zlevel": 1,
        "nodata": float("nan"),
    }
    with appearing(path) as temporary, rasterio.open(temporary, "w", **profile) as target:
        # Centimetres: more digits are noise and do not compress.
        target.write(np.round(np.stack([grid.z, surface.sigma_m, surface.ground.z]), 2))
        target.descriptions = ("surface m", "sigma m", "ground m")
        target.update_tags(
            YUNXUN_CRS=surface.crs,
            YUNXUN_DENSE="yes" if surface.dense else "no",
            YUNXUN_HEIGHT_REFERENCE=surface.height_reference,
        )


def coarse(ground: HeightGrid, crs: str, height_reference: str) -> Surface:
    """A surface that is the ground of ties alone."""
    sigma = np.full(ground.z.shape, COARSE_SIGMA_M, np.float32)
    return Surface(crs, ground, sigma, ground, False, height_reference)


def from_dense(dense: Dense, tie_ground: HeightGrid, crs: str, height_reference: str) -> Surface:
    """A dense surface with its ground; unseen cells get the ground."""
    # One pair alone (the rim of a block) is stereo noise as likely as a thing: there the ground stands in.
    sure = np.where(dense.seen >= SURE_PAIRS, dense.surface.z, np.nan).astype(np.float32)
    grid = HeightGrid(dense.surface.left, dense.surface.top, dense.surface.cell_m, sure)
    ground = ground_beneath(grid, tie_ground)
    z = np.where(np.isfinite(sure), sure, ground.z).astype(np.float32)
    # A lone cell that no neighbour supports is a mismatch: the median of nine removes it and keeps edges.
    z = np.asarray(cv2.medianBlur(z, 3), np.float32)
    grid = HeightGrid(dense.surface.left, dense.surface.top, dense.surface.cell_m, z)
    sigma = np.where(np.isfinite(sure), dense.sigma_m, np.nan).astype(np.float32)
    return Surface(crs, grid, sigma, ground, True, height_reference)


def ground_beneath(surface: HeightGrid, tie_ground: HeightGrid) -> HeightGrid:
    """The ground under a dense surface: what is left after everything narrower than a hall is opened away.

    Args:
        surface: Dense heights, NaN where unknown.
        tie_ground: The coarse ground, which takes hills out before the opening.
    """
    rows, columns = surface.z.shape
    x = surface.left + (np.arange(columns) + 0.5) * surface.cell_m
    y = surface.top - (np.arange(rows) + 0.5) * surface.cell_m
    trend = tie_ground.at(*np.meshgrid(x, y))
    relief = surface.z - trend
    known = np.isfinite(relief)
    if not known.any():
        return HeightGrid(surface.left, surface.top, surface.cell_m, trend.astype(np.float32))
    # On cells of about a metre; the lower part of each cell's heights, so that walls and noise spikes do not count.
    shrink = max(1, round(1.0 / surface.cell_m))
    small = _shrunk(np.where(known, relief, np.nan), shrink)
    seen = np.isfinite(small)
    level = np.where(seen, small, np.nanmax(small))
    size = max(3, int(WIDEST_BUILDING_M / (surface.cell_m * shrink)) | 1)
    calm = cv2.medianBlur(level.astype(np.float32), 5)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (size, size))
    opened = _opened(calm, seen, kernel)
    is_ground = seen & (np.abs(calm - opened) < GROUND_TOLERANCE_M)
    smooth = filled(np.where(is_ground, calm, 0.0), is_ground.astype(np.float32))
    whole = cv2.resize(smooth, (small.shape[1] * shrink, small.shape[0] * shrink), interpolation=cv2.INTER_LINEAR)
    return HeightGrid(surface.left, surface.top, surface.cell_m, (trend + whole[:rows, :columns]).astype(np.float32))


def _opened(level: NDArray, seen: NDArray[np.bool_], kernel: NDArray) -> NDArray[np.float32]:
    """Morphological opening where only windows that are mostly seen have a say.

    At the rim a window may hold nothing but a roof and the unseen: taken for ground, it bent the edge of a map.
    """
    far = float(level.max()) + 1e3
    lowest = cv2.erode(
        np.where(seen, level, far).astype(np.float32), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=far
    )
    share = cv2.blur(seen.astype(np.float32), kernel.shape[::-1], borderType=cv2.BORDER_CONSTANT)
    trusted = np.where((share >= MOSTLY_SEEN) & (lowest < far), lowest, -far).astype(np.float32)
    opened = cv2.dilate(trusted, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=-far)
    return np.where(opened > -far, opened, far).astype(np.float32)


def _shrunk(z: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Median over blocks, NaN where a block is unknown; the last rows and columns are padded."""
    rows, columns = -(-z.shape[0] // factor), -(-z.shape[1] // factor)
    padded = np.full((rows * factor, columns * factor), np.nan, np.float32)
    padded[: z.shape[0], : z.shape[1]] = z
    blocks = padded.reshape(rows, factor, columns, factor).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    ordered = np.sort(blocks, axis=2)
    count = np.isfinite(ordered).sum(axis=2)
    pick = np.clip((count - 1) // 2, 0, None)
    return np.asarray(np.take_along_axis(ordered, pick[:, :, None], axis=2)[:, :, 0], np.float32)
