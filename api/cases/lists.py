"""Pages of cases, newest first, by any filter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, inspect, literal, or_, select, text, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased
from sqlalchemy.sql.util import ClauseAdapter

from api.cases.models import Case, CaseTile
from api.database import is_postgres
from api.geo import Box, parse_box, tile_rows

# Beyond so many index ranges a list walks the whole order instead; beyond so many rows of tiles it does not even ask
# which are occupied (200 rows of tiles are two degrees of latitude).
MAX_RANGES = 600
MAX_TILE_ROWS = 200


@dataclass(frozen=True)
class Wanted:
    """The filters of a list, and the last key of the page before."""

    states: tuple[str, ...] = ()
    family: str | None = None
    code: str | None = None
    cell: str | None = None
    district: str | None = None
    box: Box | None = None
    since: datetime | None = None
    until: datetime | None = None
    reviewer: str | None = None
    min_probability: float | None = None
    districts: tuple[str, ...] = ()
    after: UUID | None = None


def box_of(value: str | None) -> Box | None:
    """The box of a query, if any."""
    return parse_box(value) if value else None


def conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    """The filters as SQL, but for those that name an index range (`_driver`)."""
    west, south, east, north = wanted.box or (0.0, 0.0, 0.0, 0.0)
    optional: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
        (wanted.states, lambda: Case.state.in_(wanted.states)),
        (wanted.family, lambda: Case.family == wanted.family),
        (wanted.code, lambda: Case.code == wanted.code),
        (wanted.cell, lambda: Case.cell.startswith(wanted.cell or "", autoescape=True)),
        (wanted.district, lambda: Case.district == wanted.district),
        (wanted.box, lambda: Case.lon.between(west, east) & Case.lat.between(south, north)),
        (wanted.since, lambda: (Case.filed_at >= wanted.since) & (Case.id >= _floor(wanted.since))),
        (wanted.until, lambda: (Case.filed_at < wanted.until) & (Case.id < _floor(wanted.until))),
        (wanted.reviewer, lambda: Case.reviewer == wanted.reviewer),
        (wanted.min_probability is not None, lambda: Case.probability >= wanted.min_probability),
        (wanted.districts, lambda: Case.district.in_(wanted.districts)),
        (wanted.after, lambda: Case.id < wanted.after),
    ]
    return [condition() for given, condition in optional if given]


def _floor(moment: datetime | None) -> UUID:
    """The smallest id of that millisecond: ids carry the time, so a period is a range of them."""
    assert moment is not None
    return UUID(int=max(int(moment.timestamp() * 1000), 0) << 80)


def page(session: Session, wanted: Wanted, limit: int) -> list[Case]:
    """Up to `limit` cases after the cursor, newest first.

    One ordered index answers most lists. A box, or a prefix between two levels of the grid's code, is many ranges of
    an index that is ordered within each: their heads are merged, so that page 10,000 costs what page 1 does.
    """
    driver = _driver(session, wanted)
    if driver is None:
        query = select(Case).where(*conditions(wanted)).order_by(Case.id.desc()).limit(limit)
        return list(session.scalars(query))
    ids = _merge(session, driver, conditions(wanted), limit)
    return list(session.scalars(select(Case).where(Case.id.in_(ids)).order_by(Case.id.desc())))


@dataclass(frozen=True)
class Driver:
    """Ranges of one index: the columns that lead it, and the values of each range."""

    columns: tuple[InstrumentedAttribute[Any], ...]
    ranges: list[tuple[Any, ...]]


def _driver(session: Session, wanted: Wanted) -> Driver | None:
    if wanted.box is not None:
        return _by_tile(session, wanted, wanted.box)
    if wanted.cell:
        return _by_prefix(session, wanted.cell)
    if len(wanted.districts) > 1 and not wanted.district:
        return Driver((Case.district,), [(district,) for district in wanted.districts])
    return None


def _by_tile(session: Session, wanted: Wanted, box: Box) -> Driver | None:
    tile = CaseTile.tile
    query = select(CaseTile.state, CaseTile.family, tile).where(
        or_(*(tile.between(first, last) for first, last in tile_rows(box)[:MAX_TILE_ROWS]))
    )
    if wanted.states:
        query = query.where(CaseTile.state.in_(wanted.states))
    if wanted.family:
        query = query.where(CaseTile.family == wanted.family)
    ranges = session.execute(query.limit(MAX_RANGES + 1)).all()
    # A box over (nearly) everything: walking the whole order finds a page sooner than merging thousands of heads.
    if len(ranges) > MAX_RANGES or len(tile_rows(box)) > MAX_TILE_ROWS:
        return None
    return Driver((Case.state, Case.family, Case.tile), [tuple(row) for row in ranges])


_LEVELS: tuple[tuple[int, InstrumentedAttribute[Any]], ...] = (
    (6, Case.district),
    (9, Case.street),
    (12, Case.community),
    (16, Case.cell),
)


def _by_prefix(session: Session, prefix: str) -> Driver | None:
    size, column = next(level for level in _LEVELS if level[0] >= len(prefix))
    if len(prefix) == size:
        return Driver((column,), [(prefix,)])
    values = _distinct(session, column, prefix)
    return Driver((column,), [(value,) for value in values]) if len(values) <= MAX_RANGES else None


def _distinct(session: Session, column: InstrumentedAttribute[Any], prefix: str) -> list[str]:
    """The values that stand in an index under a prefix, by jumping from one to the next."""
    # `~` sorts after all that a code may hold, in the C collation as in SQLite's.
    within = and_(column >= prefix, column < prefix + "~")
    first = select(func.min(column).label("value")).where(within).cte("found", recursive=True)
    following = select(func.min(column)).where(column > first.c.value, column < prefix + "~").scalar_subquery()
    found = first.union_all(select(following).where(first.c.value.is_not(None)))
    rows = session.scalars(select(found.c.value).where(found.c.value.is_not(None)).limit(MAX_RANGES + 1))
    return list(rows)


def _merge(session: Session, driver: Driver, extra: list[ColumnElement[bool]], limit: int) -> list[UUID]:
    """The newest ids over all ranges: each gives its own newest, the newest of those are taken."""
    if not driver.ranges:
        return []
    if is_postgres(session):
        types = [column.type for column in driver.columns]
        arrays = [
            literal(list(values), ARRAY(kind))
            for values, kind in zip(zip(*driver.ranges, strict=True), types, strict=True)
        ]
        names = [column.key for column in driver.columns]
        keys: Any = func.unnest(*arrays).table_valued(*names, name="k").render_derived()
        same = [column == keys.c[column.key] for column in driver.columns]
        heads = select(Case.id).where(*same, *extra).order_by(Case.id.desc()).limit(limit).lateral("heads")
        query = select(heads.c.id).select_from(keys.join(heads, true()))
    else:
        keys = func.json_each(json.dumps(driver.ranges)).table_valued("value", name="k")
        same = [column == func.json_extract(keys.c.value, f"$[{place}]") for place, column in enumerate(driver.columns)]
        inner = aliased(Case)
        renamed = ClauseAdapter(inspect(inner).selectable)
        heads_of = select(inner.id).where(*(renamed.traverse(part) for part in (*same, *extra)))
        heads_of = heads_of.order_by(inner.id.desc()).limit(limit).correlate(keys)
        query = select(Case.id).select_from(keys.join(Case, Case.id.in_(heads_of.scalar_subquery())))
    return list(session.scalars(query.order_by(text("1 DESC")).limit(limit)))
