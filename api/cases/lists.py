"""Pages of cases, newest first, by any filter."""

from __future__ import annotations

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
    optional: list[tuple[object, ColumnElement[bool]]] = [
        (wanted.states, Case.state.in_(wanted.states)),
        (wanted.family, Case.family == wanted.family),
        (wanted.code, Case.code == wanted.code),
        (wanted.cell, Case.cell.startswith(wanted.cell or "", autoescape=True)),
        (wanted.district, Case.district == wanted.district),
        (wanted.box, Case.lon.between(west, east) & Case.lat.between(south, north)),
        (wanted.since, Case.filed_at >= wanted.since),
        (wanted.until, Case.filed_at < wanted.until),
        (wanted.reviewer, Case.reviewer == wanted.reviewer),
        (wanted.min_probability is not None, Case.probability >= wanted.min_probability),
        (wanted.districts, Case.district.in_(wanted.districts)),
        (wanted.after, Case.id < wanted.after),
    ]
    return [condition for given, condition in optional if given]


def page(session: Session, wanted: Wanted, limit: int) -> list[Case]:
    """Up to `limit` cases after the cursor."""
    query = select(Case).where(*conditions(wanted)).order_by(Case.id.desc()).limit(limit)
    return list(session.scalars(query))
