"""Pages of cases, newest first, by any filter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any
from uuid import UUID

from shapely.geometry.base import BaseGeometry
from sqlalchemy import ColumnElement, Connection, Row, and_, func, literal, or_, select, text, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.util import ClauseAdapter

from api.cases.forms import COLUMNS, FAMILY_NAMES
from api.cases.models import Case, CaseTile
from api.cases.states import STATES
from api.database import is_postgres
from api.geo import Box, parse_box, point_within, read_polygon, tile_rows

T: Any = Case.__table__
TILES: Any = CaseTile.__table__
# Beyond so many index ranges a list walks each state and family instead; beyond so many rows of tiles it does not even
# ask which are occupied (200 rows of tiles are two degrees of latitude).
MAX_RANGES = 600
MAX_TILE_ROWS = 200
# So many heads cost nothing; more of them only when they are few of all there are.
MANY_RANGES = 60


@dataclass(frozen=True)
class Wanted:
    """The filters of a list, and the last key of the page before."""

    states: tuple[str, ...] = ()
    family: str | None = None
    code: str | None = None
    cell: str | None = None
    district: str | None = None
    box: Box | None = None
    area: BaseGeometry | None = None
    since: datetime | None = None
    until: datetime | None = None
    reviewer: str | None = None
    min_probability: float | None = None
    districts: tuple[str, ...] = ()
    after: UUID | None = None


def place_of(bbox: str | None, polygon: str | None) -> dict[str, Any]:
    """The box and the area of a query, if any; an area alone brings its own box.

    Raises:
        InvalidError: Not a box, not a polygon.
    """
    box, area = parse_box(bbox) if bbox else None, read_polygon(polygon) if polygon else None
    return {"box": box or (area.bounds if area is not None else None), "area": area}


def conditions(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    """The filters as SQL, but for those that name an index range (`_driver`)."""
    west, south, east, north = wanted.box or (0.0, 0.0, 0.0, 0.0)
    optional: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
        (wanted.states, lambda: T.c.state.in_(wanted.states)),
        (wanted.family, lambda: T.c.family == wanted.family),
        (wanted.code, lambda: T.c.code == wanted.code),
        (wanted.cell, lambda: T.c.cell.startswith(wanted.cell or "", autoescape=True)),
        (wanted.district, lambda: T.c.district == wanted.district),
        (wanted.box, lambda: T.c.lon.between(west, east) & T.c.lat.between(south, north)),
        (wanted.area, lambda: point_within(connection, T.c.lon, T.c.lat, wanted.area)),
        (wanted.since, lambda: (T.c.filed_at >= wanted.since) & (T.c.id >= _floor(wanted.since))),
        (wanted.until, lambda: (T.c.filed_at < wanted.until) & (T.c.id < _floor(wanted.until))),
        (wanted.reviewer, lambda: T.c.reviewer == wanted.reviewer),
        (wanted.min_probability is not None, lambda: T.c.probability >= wanted.min_probability),
        (wanted.districts, lambda: T.c.district.in_(wanted.districts)),
        (wanted.after, lambda: T.c.id < wanted.after),
    ]
    return [condition() for given, condition in optional if given]


def _floor(moment: datetime | None) -> UUID:
    """The smallest id of that millisecond: ids carry the time, so a period is a range of them."""
    assert moment is not None
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


def page(connection: Connection, wanted: Wanted, limit: int) -> list[Row[Any]]:
    """Up to `limit` cases after the cursor, newest first, as rows for `forms.form`.

    One ordered index answers most lists. A box, or a prefix between two levels of the grid's code, is many ranges of
    an index that is ordered within each: their heads are merged, so that page 10,000 costs what page 1 does.
    """
    driver = _driver(connection, wanted)
    if driver is not None and not driver.ranges:
        return []
    filters = conditions(connection, wanted)
    query = select(*COLUMNS).order_by(T.c.id.desc()).limit(limit)
    if driver is None:
        query = query.where(*filters)
    elif len(driver.ranges) == 1:
        only = zip(driver.columns, driver.ranges[0], strict=True)
        query = query.where(*(column == value for column, value in only), *filters)
    else:
        query = query.where(T.c.id.in_(_merge(connection, driver, filters, limit)))
    return list(connection.execute(query))


@dataclass(frozen=True)
class Driver:
    """Ranges of one index: the columns that lead it, and the values of each range."""

    columns: tuple[ColumnElement[Any], ...]
    ranges: list[tuple[Any, ...]]


def _driver(connection: Connection, wanted: Wanted) -> Driver | None:
    if wanted.box is not None:
        return _by_tile(connection, wanted, wanted.box)
    if wanted.cell:
        return _by_prefix(connection, wanted.cell)
    districts = (wanted.district,) if wanted.district else wanted.districts
    if districts:
        ranges = product(districts, wanted.states or tuple(STATES))
        return Driver((T.c.district, T.c.state), [tuple(one) for one in ranges][:MAX_RANGES])
    if wanted.states and not (wanted.code or wanted.reviewer):
        families = (wanted.family,) if wanted.family else tuple(FAMILY_NAMES)
        return Driver((T.c.state, T.c.family), [tuple(one) for one in product(wanted.states, families)])
    return None


def _by_tile(connection: Connection, wanted: Wanted, box: Box) -> Driver | None:
    tile, rows = TILES.c.tile, tile_rows(box)
    kinds = []
    if wanted.states:
        kinds.append(TILES.c.state.in_(wanted.states))
    if wanted.family:
        kinds.append(TILES.c.family == wanted.family)
    everywhere = select(func.count()).select_from(TILES).where(*kinds).scalar_subquery()
    query = select(TILES.c.state, TILES.c.family, tile, everywhere).where(*kinds)
    if len(rows) <= MAX_TILE_ROWS:
        query = query.where(or_(*(tile.between(first, last) for first, last in rows)))
    found = connection.execute(query.limit(MAX_RANGES + 1)).all()
    if not found:
        return Driver((T.c.state,), [])
    # A box over much of what there is: walking the order finds a page sooner than merging hundreds of heads.
    wide = len(found) > MANY_RANGES and len(found) * 4 > found[0][3]
    if len(found) > MAX_RANGES or len(rows) > MAX_TILE_ROWS or wide:
        return Driver((T.c.state, T.c.family), sorted({(row[0], row[1]) for row in found}))
    return Driver((T.c.state, T.c.family, T.c.tile), [tuple(row[:3]) for row in found])


_LEVELS: tuple[tuple[int, ColumnElement[Any]], ...] = (
    (6, T.c.district),
    (9, T.c.street),
    (12, T.c.community),
    (16, T.c.cell),
)


def _by_prefix(connection: Connection, prefix: str) -> Driver | None:
    size, column = next(level for level in _LEVELS if level[0] >= len(prefix))
    if len(prefix) == size:
        return Driver((column,), [(prefix,)])
    values = _distinct(connection, column, prefix)
    return Driver((column,), [(value,) for value in values]) if len(values) <= MAX_RANGES else None


def _distinct(connection: Connection, column: ColumnElement[Any], prefix: str) -> list[str]:
    """The values that stand in an index under a prefix, by jumping from one to the next."""
    # `~` sorts after all that a code may hold, in the C collation as in SQLite's.
    within = and_(column >= prefix, column < prefix + "~")
    first = select(func.min(column).label("value")).where(within).cte("found", recursive=True)
    following = select(func.min(column)).where(column > first.c.value, column < prefix + "~").scalar_subquery()
    found = first.union_all(select(following).where(first.c.value.is_not(None)))
    rows = connection.scalars(select(found.c.value).where(found.c.value.is_not(None)).limit(MAX_RANGES + 1))
    return list(rows)


def _merge(connection: Connection, driver: Driver, extra: list[ColumnElement[bool]], limit: int) -> Any:
    """The newest ids over all ranges: each gives its own newest, the newest of those are taken. A subquery."""
    if is_postgres(connection):
        arrays = [
            literal(list(values), ARRAY(column.type))
            for values, column in zip(zip(*driver.ranges, strict=True), driver.columns, strict=True)
        ]
        names = [str(column.key) for column in driver.columns]
        keys: Any = func.unnest(*arrays).table_valued(*names, name="k").render_derived()
        same = [column == keys.c[name] for name, column in zip(names, driver.columns, strict=True)]
        heads = select(T.c.id).where(*same, *extra).order_by(T.c.id.desc()).limit(limit).lateral("heads")
        query = select(heads.c.id).select_from(keys.join(heads, true()))
    else:
        keys = func.json_each(json.dumps(driver.ranges)).table_valued("value", name="k")
        same = [column == func.json_extract(keys.c.value, f"$[{place}]") for place, column in enumerate(driver.columns)]
        inner = T.alias("inner")
        renamed = ClauseAdapter(inner)
        heads_of = select(inner.c.id).where(*(renamed.traverse(part) for part in (*same, *extra)))
        heads_of = heads_of.order_by(inner.c.id.desc()).limit(limit).correlate(keys)
        outer = T.alias("outer")
        query = select(outer.c.id).select_from(keys.join(outer, outer.c.id.in_(heads_of.scalar_subquery())))
    return query.order_by(text("1 DESC")).limit(limit)
