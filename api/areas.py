"""Polygons that SQLite is asked with: PostGIS brings its own."""

from __future__ import annotations

from functools import lru_cache

import shapely
from shapely.geometry.base import BaseGeometry


@lru_cache(maxsize=64)
def _prepared(area: bytes) -> BaseGeometry:
    geometry = shapely.from_wkb(area)
    shapely.prepare(geometry)
    return geometry


def covers(area: bytes, lon: float, lat: float) -> int:
    """What SQLite calls as `yx_covers`: whether a WKB polygon covers a point, 1 or 0."""
    return int(shapely.intersects_xy(_prepared(area), lon, lat))
