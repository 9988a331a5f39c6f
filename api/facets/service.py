"""Sums of the rollups, what is due, and who decided how much today."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, func, literal_column, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.base import utcnow
from api.candidates.models import Candidate
from api.cases.models import OPEN_SQL, Case, CaseCount, CaseDay
from api.facets.reviewers import reviewers_today

DAYS = 14
# A screen shows 5000+ beyond: nobody acts on the difference, and counting stays short.
COUNT_TO = 5000


def facets(session: Session, timezone: str, districts: tuple[str, ...] = ()) -> dict[str, Any]:
    """All numbers of the officer's screen, within the reader's districts."""
    zone = ZoneInfo(timezone)
    midnight = datetime.combine(datetime.now(zone).date(), datetime.min.time(), zone)
    rows = session.execute(
        select(CaseCount.district, CaseCount.family, CaseCount.code, CaseCount.state, func.sum(CaseCount.n))
        .where(*_within(CaseCount.district, districts))
        .group_by(CaseCount.district, CaseCount.family, CaseCount.code, CaseCount.state)
    ).all()
    sums: dict[str, dict[str, int]] = {"by_district": {}, "by_family": {}, "by_code": {}, "by_state": {}}
    for district, family, code, state, n in rows:
        for name, key in (("by_district", district), ("by_family", family), ("by_code", code), ("by_state", state)):
            sums[name][key] = sums[name].get(key, 0) + int(n)
    return {
        **sums,
        "total": sum(int(row[4]) for row in rows),
        "by_day": _days(session, midnight, districts),
        "due": _due(session, midnight, districts),
        "reviewers": _reviewers(session, midnight, districts),
        "counted_to": COUNT_TO,
    }


def _within(column: InstrumentedAttribute[Any], districts: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [column.in_(districts)] if districts else []


def _days(session: Session, midnight: datetime, districts: tuple[str, ...]) -> list[dict[str, Any]]:
    first = midnight.date() - timedelta(days=DAYS - 1)
    rows = session.execute(
        select(CaseDay.day, CaseDay.family, func.sum(CaseDay.n))
        .where(CaseDay.day >= first, *_within(CaseDay.district, districts))
        .group_by(CaseDay.day, CaseDay.family)
    ).all()
    days = {first + timedelta(days=i): {"construction": 0, "sanitation": 0} for i in range(DAYS)}
    for day, family, n in rows:
        if day in days:
            days[day][family] = int(n)
    return [{"day": day.isoformat(), **numbers} for day, numbers in days.items()]


def _due(session: Session, midnight: datetime, districts: tuple[str, ...]) -> dict[str, int]:
    # The words of the partial index, so that the planner sees that it serves.
    still_open: ColumnElement[bool] = literal_column(f"({OPEN_SQL})")
    scope = _within(Case.district, districts)

    def counted(*period: ColumnElement[bool]) -> int:
        some: Select[Any] = (
            select(literal_column("1")).select_from(Case).where(still_open, *period, *scope).limit(COUNT_TO)
        )
        return session.scalar(select(func.count()).select_from(some.subquery())) or 0

    now, tomorrow = utcnow(), midnight + timedelta(days=1)
    return {
        "overdue": counted(Case.deadline_at < now),
        "today": counted(Case.deadline_at >= now, Case.deadline_at < tomorrow),
    }


def _reviewers(session: Session, midnight: datetime, districts: tuple[str, ...]) -> list[dict[str, Any]]:
    return reviewers_today(session, midnight, *_within(Candidate.district, districts))
