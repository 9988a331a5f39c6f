"""When a case is due: a table of (code, condition, tier) and a calendar of working hours.

Kinds, as cities' handbooks have them: `urgent_hours` (紧急工作时: the clock runs day and night), `working_hours`
(工作时: 08:00-12:00 and 14:00-18:00 on working days), `working_days` (工作日: eight working hours each) and `days`
(自然日). The calendar knows weekends, holidays and the weekends that are worked instead (调休).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.cases.tables import Deadline, Holiday
from api.settings import ApiSettings

KINDS = ("urgent_hours", "working_hours", "working_days", "days")
HOURS = ((time(8), time(12)), (time(14), time(18)))
DAY_HOURS = 8
# A limit that runs into years without a working hour is a calendar gone wrong.
_MOST_DAYS = 3660


@dataclass(frozen=True)
class Calendar:
    """Working days: Monday to Friday but holidays, and weekends that are worked instead."""

    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    hours: tuple[tuple[time, time], ...] = field(default=HOURS)

    def is_working(self, day: date) -> bool:
        """Whether people work on a day."""
        return day in self.worked or (day.weekday() < 5 and day not in self.holidays)

    def spans(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Working spans from a moment on, the first one cut."""
        local = start.astimezone(self.zone)
        for offset in range(_MOST_DAYS):
            day = local.date() + timedelta(days=offset)
            if not self.is_working(day):
                continue
            for opens, closes in self.hours:
                begin = max(datetime.combine(day, opens, self.zone), local)
                end = datetime.combine(day, closes, self.zone)
                if begin < end:
                    yield begin, end

    def add_working(self, start: datetime, amount: timedelta) -> datetime:
        """The moment at which so much working time has passed.

        Raises:
            ValueError: No such moment within ten years.
        """
        left = amount
        for begin, end in self.spans(start):
            if end - begin >= left:
                return begin + left
            left -= end - begin
        raise ValueError(f"no {amount} of working time within ten years after {start}: is the calendar right?")


def add(calendar: Calendar, start: datetime, kind: str, value: float) -> datetime:
    """`start` and a limit of one of `KINDS`.

    Raises:
        ValueError: Unknown kind, or not a positive value.
    """
    if not 0 < value < 10_000:
        raise ValueError(f"a limit should be positive and below 10,000, came {value}")
    if kind == "urgent_hours":
        return start + timedelta(hours=value)
    if kind == "days":
        return start + timedelta(days=value)
    if kind == "working_hours":
        return calendar.add_working(start, timedelta(hours=value))
    if kind == "working_days":
        return calendar.add_working(start, timedelta(hours=value * DAY_HOURS))
    raise ValueError(f"unknown kind of limit {kind!r}: one of {', '.join(KINDS)}")


def calendar_of(session: Session, timezone: str) -> Calendar:
    """The imported calendar."""
    rows = session.execute(select(Holiday.day, Holiday.working)).all()
    return Calendar(
        ZoneInfo(timezone),
        frozenset(day for day, working in rows if not working),
        frozenset(day for day, working in rows if working),
    )


def due(
    session: Session, settings: ApiSettings, code: str, condition: str | None, tier: int | None, start: datetime
) -> datetime | None:
    """The deadline by the most particular rule that fits, or None where none was imported.

    A rule without a condition or a tier is for all of them; a rule that names them goes before one that does not.
    """
    rules = session.scalars(select(Deadline).where(Deadline.code == code)).all()
    fitting = [
        rule for rule in rules if rule.condition in (None, condition) and (rule.tier is None or rule.tier == tier)
    ]
    best = max(fitting, key=lambda rule: (rule.condition is not None, rule.tier is not None), default=None)
    if best is None:
        return None
    return add(calendar_of(session, settings.timezone), start, best.kind, best.value)
