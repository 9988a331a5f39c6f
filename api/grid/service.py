"""Loading the grid and the gazetteer, and asking where a point belongs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shapely.geometry import Point
from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from api.errors import InvalidError
from api.geo import grow, in_metres, read_geometry, touches
from api.grid.models import GridCell, Place

_CELL = re.compile(r"^[1-9][0-9]{5}[0-9A-Z]{8,10}$")
_DISTRICT = re.compile(r"^[0-9]{6}$")
# A name further away than this says nothing about where a thing lies.
PLACE_WITHIN_M = 500.0


@dataclass(frozen=True)
class Where:
    """Where a point belongs; all None outside the grid."""

    cell: str | None = None
    district: str | None = None
    street: str | None = None
    community: str | None = None
    tier: int | None = None
    name: str | None = None


def load_grid(session: Session, collection: dict[str, Any]) -> int:
    """Replaces the grid by the features of a GeoJSON FeatureCollection; gives how many.

    Raises:
        InvalidError: A feature without a cell code of 14 to 16 characters, or without a polygon.
    """
    cells = [_grid_cell(i, feature) for i, feature in enumerate(_features(collection))]
    codes = [cell.cell for cell in cells]
    if len(set(codes)) != len(codes):
        twice = next(code for code in codes if codes.count(code) > 1)
        raise InvalidError(f"cell {twice} stands twice in the grid")
    session.execute(delete(GridCell))
    session.add_all(cells)
    session.flush()
    return len(cells)


def _features(collection: Any) -> list[Any]:
    features = collection.get("features") if isinstance(collection, dict) else None
    if not isinstance(features, list) or not features:
        raise InvalidError("a GeoJSON FeatureCollection with at least one feature was expected")
    return features


def _grid_cell(i: int, feature: Any) -> GridCell:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    if not isinstance(properties, dict):
        raise InvalidError(f"features[{i}] has no properties")
    code = str(properties.get("cell", "")).upper()
    if not _CELL.match(code):
        raise InvalidError(
            f"features[{i}].properties.cell should be 14 to 16 characters that begin with the six digits of a district,"
            f" came {code[:40]!r}"
        )
    district = str(properties.get("district") or "")
    if _DISTRICT.match(district) and district != code[:6]:
        raise InvalidError(f"features[{i}]: cell {code} is not of district {district}, whose code it should begin with")
    geometry = read_geometry(feature.get("geometry"), f"features[{i}].geometry")
    if geometry.geom_type == "Point":
        raise InvalidError(f"features[{i}] (cell {code}) is a point; a cell is a polygon")
    west, south, east, north = geometry.bounds
    tier = properties.get("tier")
    return GridCell(
        cell=code,
        district=code[:6],
        street=code[:9],
        community=code[:12],
        tier=int(tier) if isinstance(tier, int | float) and 0 <= tier < 100 else None,
        name=str(properties["name"])[:100] if properties.get("name") else None,
        geom=geometry,
        min_lon=west,
        min_lat=south,
        max_lon=east,
        max_lat=north,
    )


def load_places(session: Session, collection: dict[str, Any]) -> int:
    """Replaces the gazetteer by named GeoJSON points; gives how many.

    Raises:
        InvalidError: A feature without a name or a point.
    """
    places = []
    for i, feature in enumerate(_features(collection)):
        properties = feature.get("properties") if isinstance(feature, dict) else None
        name = str((properties or {}).get("name") or "").strip()
        geometry = read_geometry(feature.get("geometry") if isinstance(feature, dict) else None, f"features[{i}]")
        if not name or geometry.geom_type != "Point":
            raise InvalidError(f"features[{i}] should be a point with a name")
        x, y = geometry.x, geometry.y
        kind = str(properties["kind"])[:32] if properties and properties.get("kind") else None
        places.append(Place(name=name[:200], kind=kind, geom=geometry, min_lon=x, max_lon=x, min_lat=y, max_lat=y))
    session.execute(delete(Place))
    session.add_all(places)
    session.flush()
    return len(places)


def has_grid(session: Session) -> bool:
    """Whether any grid was loaded."""
    return bool(session.scalar(select(exists(select(GridCell.pk)))))


def locate(session: Session, lon: float, lat: float) -> Where:
    """The cell in which a point lies; `Where()` outside of all."""
    point = Point(lon, lat)
    rows = session.scalars(select(GridCell).where(touches(session, "grid_cells", (lon, lat, lon, lat)))).all()
    for row in rows:
        if row.geom.covers(point):
            return Where(row.cell, row.district, row.street, row.community, row.tier, row.name)
    return Where()


def describe(session: Session, lon: float, lat: float) -> str | None:
    """位置描述 by the nearest named place within `PLACE_WITHIN_M`: name, direction and distance; None without one."""
    point = Point(lon, lat)
    box = grow((lon, lat, lon, lat), PLACE_WITHIN_M)
    places = session.scalars(select(Place).where(touches(session, "places", box))).all()
    best = _nearest(places, point)
    if best is None:
        return None
    place, distance, bearing = best
    if distance < 15.0:
        return place.name
    return f"{place.name}{bearing}侧约{round(distance / 5) * 5:.0f}米"


def _nearest(places: Iterable[Place], point: Point) -> tuple[Place, float, str] | None:
    here = in_metres(point, (point.x, point.y))
    best: tuple[Place, float, str] | None = None
    for place in places:
        there = in_metres(place.geom, (point.x, point.y))
        distance = float(here.distance(there))
        if distance <= PLACE_WITHIN_M and (best is None or distance < best[1]):
            best = place, distance, _bearing(here.x - there.x, here.y - there.y)
    return best


def _bearing(east_m: float, north_m: float) -> str:
    import math

    names = "东", "东北", "北", "西北", "西", "西南", "南", "东南"
    return names[round(math.degrees(math.atan2(north_m, east_m)) / 45.0) % 8]
