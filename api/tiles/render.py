"""Map tiles of a mosaic, by rio-tiler: Web Mercator for screens, transparent where the mosaic has nothing."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import transform_bounds

from api.errors import NotFoundError
from api.geo import Box

TILE_PX = 256
_importing = threading.Lock()


@lru_cache(maxsize=1)
def empty_png() -> bytes:
    """One transparent pixel."""
    with _importing:
        from rio_tiler.utils import render

    return bytes(render(np.zeros((3, 1, 1), np.uint8), np.zeros((1, 1), np.uint8), img_format="PNG"))


def tile_png(mosaic: Path, z: int, x: int, y: int) -> bytes:
    """One tile as PNG; a transparent pixel outside the mosaic.

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
            image = reader.tile(x, y, z, tilesize=TILE_PX, indexes=(1, 2, 3) if reader.dataset.count >= 3 else (1,))
    except TileOutsideBounds:
        return empty_png()
    except rasterio.errors.RasterioIOError as error:
        raise NotFoundError(f"the mosaic {mosaic.name} cannot be read: stitch the patrol again") from error
    return bytes(image.render(img_format="PNG", ZLEVEL=1))


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
