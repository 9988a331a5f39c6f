"""Places: index tiles, searches by box on either engine, and measuring in metres."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry
from sqlalchemy import ColumnElement, Connection, func, literal, text
from sqlalchemy.orm import Session

from api.database import is_postgres
from api.errors import InvalidError

Box = tuple[float, float, float, float]

# Index tiles are 0.01 degree squares (about 0.9 by 1.1 km in Linyi): a few hundred cover the city, and one holds some
# thousand cases of a state and family at ten million rows. They only number places; nothing is measured in them.
TILES_PER_DEGREE = 100
_TILES_AROUND = 360 * TILES_PER_DEGREE
_METRES_PER_DEGREE = 111_320.0
MAX_VERTICES = 20_000


def tile_of(lon: float, lat: float) -> int:
    """Number of the index tile in which a point lies."""
    column = min(int((lon + 180.0) * TILES_PER_DEGREE), _TILES_AROUND - 1)
    return int((lat + 90.0) * TILES_PER_DEGREE) * _TILES_AROUND + column


def tile_rows(box: Box) -> list[tuple[int, int]]:
    """Inclusive ranges of tile numbers that cover `box`, one for each row of tiles."""
    west, south, east, north = box
    first, last = tile_of(west, south), tile_of(east, north)
    width = last % _TILES_AROUND - first % _TILES_AROUND
    return [(start, start + width) for start in range(first, last - width + 1, _TILES_AROUND)]


def parse_box(value: str) -> Box:
    """Reads `west,south,east,north` in degrees.

    Raises:
        InvalidError: Not four numbers, out of range, or west/south beyond east/north.
    """
    parts = value.split(",")
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError as error:
        raise InvalidError(
            f"bbox should be west,south,east,north in degrees, came {value[:80]!r}: for example 118.2,35.0,118.4,35.2"
        ) from error
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InvalidError(f"bbox {value[:80]!r} is not within -180..180, -90..90, or its corners are swapped")
    return west, south, east, north


def read_geometry(value: Any, where: str = "geometry") -> BaseGeometry:
    """Reads a GeoJSON point or polygon in WGS84 degrees.

    Raises:
        InvalidError: Not such a geometry, self-crossing, empty, out of range, or of too many vertices.
    """
    if not isinstance(value, dict) or value.get("type") not in ("Point", "Polygon", "MultiPolygon"):
        kind = value.get("type") if isinstance(value, dict) else type(value).__name__
        raise InvalidError(f"{where}: a GeoJSON Point, Polygon or MultiPolygon was expected, came {str(kind)[:40]}")
    try:
        geometry = shapely.force_2d(shape(value))
    except (shapely.errors.ShapelyError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise InvalidError(f"{where}: coordinates are not those of a {value['type']}: {str(error)[:120]}") from error
    if geometry.is_empty:
        raise InvalidError(f"{where}: the {value['type']} is empty")
    if shapely.get_num_coordinates(geometry) > MAX_VERTICES:
        raise InvalidError(f"{where}: more than {MAX_VERTICES} vertices; simplify it")
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise InvalidError(f"{where}: a coordinate is not a finite number")
    west, south, east, north = geometry.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:
        swapped = " (latitude first? longitude comes first)" if south >= -180 and north <= 180 else ""
        raise InvalidError(f"{where}: bounds {geometry.bounds} are not WGS84 longitude, latitude{swapped}")
    if not geometry.is_valid:
        raise InvalidError(f"{where}: {shapely.is_valid_reason(geometry)}; draw it without crossing itself")
    return geometry


def as_geojson(geometry: BaseGeometry) -> dict[str, Any]:
    """GeoJSON with 7 decimals (a centimetre)."""
    return dict(mapping(shapely.set_precision(geometry, 1e-7, mode="pointwise")))


def outline_of(stored: str | bytes) -> dict[str, Any]:
    """GeoJSON with 7 decimals of a geometry as the database gives it (hex EWKB or WKB).

    Points and polygons of one ring, which nearly all are, are read here, five times faster than by way of shapely: a
    page of a hundred cases spent most of its time on that.
    """
    data = bytes.fromhex(stored) if isinstance(stored, str) else bytes(stored)
    kind = int.from_bytes(data[1:5], "little")
    # Bit 29 says that an SRID of four bytes follows.
    start = 9 if kind & 0x20000000 else 5
    kind &= 0x1FFFFFFF
    if data[0] == 1 and kind == 1:
        return {"type": "Point", "coordinates": _rounded(data, start, 1)[0]}
    if data[0] == 1 and kind == 3 and data[start : start + 4] == b"\x01\x00\x00\x00":
        count = int.from_bytes(data[start + 4 : start + 8], "little")
        return {"type": "Polygon", "coordinates": [_rounded(data, start + 8, count)]}
    return as_geojson(shapely.from_wkb(data))


def _rounded(data: bytes, start: int, count: int) -> list[list[float]]:
    numbers = struct.unpack_from(f"<{2 * count}d", data, start)
    places = [round(number, 7) for number in numbers]
    return [[x, y] for x, y in zip(places[::2], places[1::2], strict=True)]


@lru_cache(maxsize=128)
def _to_utm(zone: int, south: bool) -> Transformer:
    return Transformer.from_crs(4326, (32700 if south else 32600) + zone, always_xy=True)


def in_metres(geometry: BaseGeometry, anchor: tuple[float, float]) -> BaseGeometry:
    """The geometry in metres of the UTM zone of `anchor` (lon, lat)."""
    zone = min(int((anchor[0] + 180.0) // 6.0) + 1, 60)
    transformer = _to_utm(zone, anchor[1] < 0)

    def project(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1]))

    return shapely.transform(geometry, project)


def area_m2(geometry: BaseGeometry) -> float:
    """Ground area of a WGS84 polygon; 0 of a point."""
    centre = geometry.centroid
    return float(in_metres(geometry, (centre.x, centre.y)).area)


def grow(box: Box, metres: float) -> Box:
    """A box with a margin all around, for searches (never for measuring)."""
    west, south, east, north = box
    d_lat = metres / _METRES_PER_DEGREE
    d_lon = d_lat / max(math.cos(math.radians((south + north) / 2)), 0.01)
    return max(west - d_lon, -180.0), max(south - d_lat, -90.0), min(east + d_lon, 180.0), min(north + d_lat, 90.0)


def read_polygon(value: str) -> BaseGeometry:
    """Reads a WKT polygon in WGS84 degrees, the area that a list is asked for.

    Raises:
        InvalidError: Not such a polygon, self-crossing, out of range, or of too many vertices.
    """
    try:
        geometry = shapely.from_wkt(value)
    except (shapely.errors.ShapelyError, ValueError, TypeError) as error:
        raise InvalidError(f"polygon should be WKT such as POLYGON((118.3 35, 118.4 35, 118.4 35.1, 118.3 35)), came"
                           f" {value[:60]!r}") from error  # fmt: skip
    if geometry is None or geometry.geom_type not in ("Polygon", "MultiPolygon"):
        raise InvalidError(f"polygon: a WKT POLYGON or MULTIPOLYGON was expected, came {value[:60]!r}")
    return read_geometry(dict(mapping(geometry)), "polygon")


def point_within(
    session: Session | Connection, lon: ColumnElement[float], lat: ColumnElement[float], area: BaseGeometry
) -> Any:
    """SQL: the point of these columns lies in `area` or on its edge; exact on both engines."""
    if is_postgres(session):
        polygon = func.ST_GeomFromEWKB(literal(shapely.to_wkb(shapely.set_srid(area, 4326), include_srid=True)))
        return func.ST_Covers(polygon, func.ST_SetSRID(func.ST_MakePoint(lon, lat), 4326))
    return func.yx_covers(literal(shapely.to_wkb(area)), lon, lat) == 1


def box_values(box: Box) -> dict[str, float]:
    """The parameters of `touching`."""
    west, south, east, north = box
    return {"b_w": west, "b_s": south, "b_e": east, "b_n": north}


@lru_cache(maxsize=64)
def touching(table: str, postgres: bool, suffix: str = "") -> ColumnElement[bool]:
    """SQL: rows of `table` whose geometry's bounds meet a box; by GiST on PostGIS, by R*Tree on SQLite.

    Made once: a statement that is made anew for every request is also compiled anew. Its parameters are those of
    `box_values`, with `suffix` when a statement asks for two boxes.
    """
    if postgres:
        sql = f"{table}.geom && ST_MakeEnvelope(:b_w, :b_s, :b_e, :b_n, 4326)"
    else:
        sql = (
            f"{table}.pk IN (SELECT id FROM {table}_rtree WHERE max_lon >= :b_w AND min_lon <= :b_e"
            " AND max_lat >= :b_s AND min_lat <= :b_n)"
        )
    for name in ("b_w", "b_s", "b_e", "b_n"):
        sql = sql.replace(f":{name}", f":{name}{suffix}")
    return text(sql)  # type: ignore[return-value]


def touches(session: Session, table: str, box: Box) -> ColumnElement[bool]:
    """`touching` with its box, for questions that are not asked often."""
    clause: Any = touching(table, is_postgres(session))
    return clause.bindparams(**box_values(box))


# The two-key form takes 32-bit numbers; tiles go up to 6.5e8 and fit. Rows come in the arrays' order.
_LOCK = text(
    "SELECT count(pg_advisory_xact_lock(s, t)) FROM unnest(CAST(:spaces AS int[]), CAST(:tiles AS int[])) AS k(s, t)"
)


def lock_places(session: Session, wanted: Iterable[tuple[str, Box]]) -> None:
    """Holds, until the transaction ends, what others of a family near a box would need; SQLite's writers queue anyway.

    All in one go and in ascending order, so that two who want the same ones cannot wait for each other in a ring.
    """
    if not is_postgres(session):
        return
    keys = {
        (1 if family == "construction" else 2, tile)
        for family, box in wanted
        for first, last in tile_rows(box)
        for tile in range(first, min(last, first + 16) + 1)
    }
    if not keys:
        return
    spaces, tiles = zip(*sorted(keys), strict=True)
    session.connection().execute(_LOCK, {"spaces": list(spaces), "tiles": list(tiles)})
