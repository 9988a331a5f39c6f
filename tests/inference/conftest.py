"""Small rasters and poses made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine

from imagery.poses import FramePose, Lens, Poses

CRS = "EPSG:32650"
ORIGIN = (500_000.0, 3_880_000.0)

WriteRaster = Callable[..., Path]


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    def write(
        name: str,
        values: NDArray,
        gsd_m: float,
        crs: str | None = CRS,
        origin: tuple[float, float] = ORIGIN,
        mask: NDArray | None = None,
    ) -> Path:
        bands = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
        path = tmp_path / name
        profile = {
            "driver": "GTiff",
            "width": bands.shape[2],
            "height": bands.shape[1],
            "count": bands.shape[0],
            "dtype": bands.dtype,
            "crs": crs,
            "transform": Affine(gsd_m, 0, origin[0], 0, -gsd_m, origin[1]),
            "tiled": True,
            "blockxsize": 128,
            "blockysize": 128,
        }
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dataset:
            dataset.write(bands)
            if mask is not None:
                dataset.write_mask(mask)
            dataset.build_overviews([2, 4], Resampling.average)
        return path

    return write


def ground_texture(size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Colour noise at several scales: something to register on."""
    import cv2

    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 120.0, np.float32)
    for cells in (8, 24, 64, 160):
        noise = rng.normal(0, 22, (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 1, 255).astype(np.uint8)


def nadir_poses(
    centres: list[tuple[float, float]], height_m: float = 60.0, ground_m: float = 0.0, crs: str = CRS
) -> Poses:
    """Frames that look straight down, north up: 1000 x 750 px, 8 cm a pixel at 60 m."""
    lens = Lens(fx=750.0, fy=750.0, cx=500.0, cy=375.0, width_px=1000, height_px=750)
    frames = tuple(
        FramePose(
            id=f"{i:064d}",
            file=f"S01/DJI_{i:04d}.JPG",
            lens="a",
            R=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
            C=(x, y, ground_m + height_m),
            sigma_m=0.2,
            placed="matched",
        )
        for i, (x, y) in enumerate(centres)
    )
    return Poses(crs=crs, height_reference="take-off", lenses={"a": lens}, frames=frames)
