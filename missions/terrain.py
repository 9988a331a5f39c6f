"""Ground heights from a raster: a window of it in memory, bilinear between its cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from pyproj import Transformer
from rasterio.errors import RasterioError

from missions.errors import MissionsError
from missions.frame import Array

# 80 million cells of float32 are 320 MB: a city at 2 m. Finer rasters are read thinned out.
_MOST_CELLS = 80_000_000


@dataclass(frozen=True)
class Terrain:
    """Ground height above sea level.

    Attributes:
        heights: (rows, columns) m, NaN where the raster has none.
        from_lonlat: WGS84 degrees to the raster's own coordinates.
        inverse: Affine of six numbers: the raster's coordinates to (column, row).
        path: Where it came from, for messages.
    """

    heights: Array
    from_lonlat: Transformer
    inverse: tuple[float, float, float, float, float, float]
    path: Path

    @staticmethod
    def open(path: Path) -> Terrain:
        """Reads a raster of heights.

        Raises:
            MissionsError: No such file, no raster, or no coordinate system.
        """
        if not path.is_file():
            raise MissionsError(f"no raster at {path}: give a GeoTIFF of ground heights")
        try:
            with rasterio.open(path) as source:
                if source.crs is None:
                    raise MissionsError(f"{path} is in no known coordinate system: save it as GeoTIFF with one")
                thin = max(1, int(np.ceil(np.sqrt(source.width * source.height / _MOST_CELLS))))
                shape = (source.height // thin, source.width // thin)
                band = source.read(1, out_shape=shape, masked=True).astype("float32").filled(np.nan)
                transform = source.transform * source.transform.scale(source.width / shape[1], source.height / shape[0])
                transformer = Transformer.from_crs("EPSG:4326", source.crs, always_xy=True)
        except RasterioError as error:
            raise MissionsError(f"{path} is not a raster of heights: {error}; give a GeoTIFF") from error
        return Terrain(band, transformer, tuple((~transform)[:6]), path)

    def at(self, lonlat: Array) -> Array:
        """Heights (n,) m above sea level at (n, 2) degrees; beyond the raster's rim its rim holds.

        Raises:
            MissionsError: Points lie far outside, or where the raster has no height.
        """
        x, y = self.from_lonlat.transform(lonlat[:, 0], lonlat[:, 1])
        a, b, c, d, e, f = self.inverse
        column, row = a * np.asarray(x) + b * np.asarray(y) + c - 0.5, d * np.asarray(x) + e * np.asarray(y) + f - 0.5
        rows, columns = self.heights.shape
        outside = (column < -0.02 * columns - 2) | (column > 1.02 * columns + 2) | (row < -0.02 * rows - 2)
        outside |= row > 1.02 * rows + 2
        if outside.any():
            lon, lat = lonlat[int(np.argmax(outside))]
            raise MissionsError(f"{self.path} does not reach {lon:.5f},{lat:.5f}: give heights for the whole area")
        column, row = np.clip(column, 0, columns - 1.001), np.clip(row, 0, rows - 1.001)
        i, j = row.astype(int), column.astype(int)
        v, u = row - i, column - j
        grid = self.heights
        top = grid[i, j] * (1 - u) + grid[i, j + 1] * u
        bottom = grid[i + 1, j] * (1 - u) + grid[i + 1, j + 1] * u
        found = top * (1 - v) + bottom * v
        if np.isnan(found).any():
            lon, lat = lonlat[int(np.argmax(np.isnan(found)))]
            raise MissionsError(f"{self.path} has no height at {lon:.5f},{lat:.5f}: fill its gaps")
        return np.asarray(found, dtype=float)
