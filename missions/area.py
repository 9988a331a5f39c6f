"""The area to cover: polygons of a file, checked before any planning."""

from __future__ import annotations

from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from missions.errors import MissionsError
from missions.frame import LocalFrame
from missions.vector import Feature, polygons_of, read_features

SMALLEST_M2 = 25.0
# Linyi's whole prefecture is 17,000 km2; anything larger than a quarter of it is a slip of the pen, not a patrol.
LARGEST_M2 = 5e9
WIDEST_DEG = 2.5


def _polygons(feature: Feature) -> list[shapely.Polygon]:
    polygons = polygons_of(feature.geometry)
    if not polygons:
        kind = feature.geometry.geom_type
        raise MissionsError(f"{feature.label} is a {kind}: an area is a polygon; draw its outline")
    for polygon in polygons:
        if not polygon.is_valid:
            reason = shapely.is_valid_reason(polygon)
            raise MissionsError(
                f"{feature.label} is not a simple polygon ({reason}): "
                "redraw its outline without crossings, its holes inside it"
            )
    return polygons


def merge_area(features: list[Feature], path: Path) -> BaseGeometry:
    """The union of the features' polygons, in degrees.

    Raises:
        MissionsError: A feature is no simple polygon, or the whole is as small as nothing or as large as a country.
    """
    polygons = [polygon for feature in features for polygon in _polygons(feature)]
    area = shapely.union_all(polygons)
    west, south, east, north = area.bounds
    if east - west > WIDEST_DEG or north - south > WIDEST_DEG:
        raise MissionsError(f"{path} spans {east - west:.1f} by {north - south:.1f} degrees: plan one city at a time")
    area_m2 = LocalFrame.about(area).metric(area).area
    if area_m2 < SMALLEST_M2:
        raise MissionsError(
            f"{path} covers {area_m2:.2f} m2: draw an area of at least {SMALLEST_M2:g} m2, and see that the file names "
            "its own coordinate system (degrees labelled as metres shrink to nothing)"
        )
    if area_m2 > LARGEST_M2:
        raise MissionsError(f"{path} covers {area_m2 / 1e6:,.0f} km2: plan a city, at most {LARGEST_M2 / 1e6:,.0f} km2")
    return area


def read_area(path: Path) -> BaseGeometry:
    """Reads the polygons of a file as one geometry (lon, lat degrees); raises as `merge_area` and the reader do."""
    return merge_area(read_features(path), path)
