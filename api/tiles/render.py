"""Map tiles of a mosaic, by rio-tiler: Web Mercator for screens, transparent where the mosaic has nothing."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import transform_bounds

from api.errors import NotFoundError
from api.geo import Box
from api.tiles.privacy import DEFAULT_RULES, PrivacyRules, shown_px

TILE_PX = 256
EQUATOR_M = 40_075_016.686
_importing = threading.Lock()


@lru_cache(maxsize=1)
def empty_png() -> bytes:
    """One transparent pixel."""
    with _importing:
        from rio_tiler.utils import render

    return bytes(render(np.zeros((3, 1, 1), np.uint8), np.zeros((1, 1), np.uint8), img_format="PNG"))


def tile_png(mosaic: Path, z: int, x: int, y: int, rules: PrivacyRules = DEFAULT_RULES) -> bytes:
    """One tile as PNG, no finer than the rules let be shown; a transparent pixel outside the mosaic.

    Raises:
        NotFoundError: The mosaic is not there, or no raster.
    """
    # Imported at the first tile: it takes longer than all the rest of the API's start. One thread at a time, for a
    # screen asks for fifty tiles at once, and a package that imports in circles is half there for the second thread.
    with _importing:
        from rio_tiler.errors import TileOutsideBounds
        from rio_tiler.io import Reader

    try:
        with Reader(str(mosaic)) as reader:
            indexes = (1, 2, 3) if reader.dataset.count >= 3 else (1,)
            size = shown_px(_ground_m(z, y), TILE_PX, rules)
            image = reader.tile(x, y, z, tilesize=size, indexes=indexes)
    except TileOutsideBounds:
        return empty_png()
    except rasterio.errors.RasterioIOError as error:
        raise NotFoundError(f"the mosaic {mosaic.name} cannot be read: stitch the patrol again") from error
    if size != TILE_PX:
        image = image.resize(TILE_PX, TILE_PX, resampling_method="bilinear")
    return bytes(image.render(img_format="PNG", ZLEVEL=1))


def tile_box(z: int, x: int, y: int) -> Box:
    """West, south, east, north of a tile, degrees."""
    n = 2**z
    north, south = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / n)))) for row in (y, y + 1))
    return x / n * 360 - 180, south, (x + 1) / n * 360 - 180, north


def _ground_m(z: int, y: int) -> float:
    """How much ground a tile's side covers, at its own latitude (spherical Mercator, as tiles are)."""
    latitude = math.atan(math.sinh(math.pi * (1 - 2 * (y + 0.5) / 2**z)))
    return EQUATOR_M * math.cos(latitude) / 2**z


def bounds(mosaic: Path) -> Box:
    """West, south, east, north in WGS84.

    Raises:
        NotFoundError: The mosaic is not there, or no raster.
    """
    try:
        with rasterio.open(mosaic) as dataset:
            west, south, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    except rasterio.errors.RasterioIOError as error:
        raise NotFoundError(f"the mosaic {mosaic.name} cannot be read: stitch the patrol again") from error
    return west, south, east, north
