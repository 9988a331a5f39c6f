"""Pages of cases, newest first, by any filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from api.cases.models import Case
from api.geo import Box, parse_box


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
    """The filters as SQL."""
    west, south, east, north = wanted.box or (0.0, 0.0, 0.0, 0.0)
    optional: list[tuple[object, Callable[[], ColumnElement[bool]]]] = [
        (wanted.states, lambda: Case.state.in_(wanted.states)),
        (wanted.family, lambda: Case.family == wanted.family),
        (wanted.code, lambda: Case.code == wanted.code),
        (wanted.cell, lambda: Case.cell.startswith(wanted.cell or "", autoescape=True)),
        (wanted.district, lambda: Case.district == wanted.district),
        (wanted.box, lambda: Case.lon.between(west, east) & Case.lat.between(south, north)),
        (wanted.since, lambda: Case.filed_at >= wanted.since),
        (wanted.until, lambda: Case.filed_at < wanted.until),
        (wanted.reviewer, lambda: Case.reviewer == wanted.reviewer),
        (wanted.min_probability is not None, lambda: Case.probability >= wanted.min_probability),
        (wanted.districts, lambda: Case.district.in_(wanted.districts)),
        (wanted.after, lambda: Case.id < wanted.after),
    ]
    return [condition() for given, condition in optional if given]


def page(session: Session, wanted: Wanted, limit: int) -> list[Case]:
    """Up to `limit` cases after the cursor."""
    query = select(Case).where(*conditions(wanted)).order_by(Case.id.desc()).limit(limit)
    return list(session.scalars(query))
