"""Small real rasters and photographs for tests: a mosaic with a bright square of ground, and JPEGs with EXIF."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from pyproj import Transformer
from rasterio.transform import from_origin

from tests.api.world import LAT, LON


def mosaic(path: Path, *, bright: bool, gsd_m: float = 0.25, side_px: int = 1024) -> Path:
    """A mosaic around the test world's origin; `bright` puts a 20 m white square where `world.square()` lies."""
    x, y = Transformer.from_crs(4326, 32650, always_xy=True).transform(LON, LAT)
    half = side_px * gsd_m / 2
    rng = np.random.default_rng(5)
    pixels = rng.integers(60, 120, (3, side_px, side_px), dtype=np.uint8)
    if bright:
        centre, size = side_px // 2, int(20 / gsd_m)
        pixels[:, centre - size : centre, centre : centre + size] = 250
    profile = {
        "driver": "GTiff", "count": 3, "width": side_px, "height": side_px, "dtype": "uint8", "tiled": True,
        "crs": "EPSG:32650", "transform": from_origin(x - half, y + half, gsd_m, gsd_m),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
        dataset.build_overviews([2, 4], rasterio.enums.Resampling.average)
    return path


def jpeg(width: int = 640, height: int = 480, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=80)
    return out.getvalue()


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
