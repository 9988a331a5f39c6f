"""Times that others write: a clock that runs ahead puts things in the wrong order for ever."""

from __future__ import annotations

from datetime import datetime, timedelta

from api.base import utcnow

# A phone or a server that keeps time by the network is within seconds.
LIVE = timedelta(minutes=5)
# A simulated flight keeps its own clock, which runs ahead of the wall's by the length of the flight.
FLIGHT = timedelta(days=1)


def check(moment: datetime, ahead: timedelta) -> datetime:
    """The moment, when it is no further ahead of our clock than that, and after the year 2000.

    Raises:
        ValueError: It is not; pydantic makes a 422 of it.
    """
    if moment > utcnow() + ahead:
        raise ValueError(f"{moment.isoformat()} is in the future: check the clock that wrote it")
    if moment.year < 2000:
        raise ValueError(f"{moment.isoformat()} is too long ago: check the clock that wrote it")
    return moment


def live(moment: datetime) -> datetime:
    """For what happens now."""
    return check(moment, LIVE)


def flown(moment: datetime) -> datetime:
    """For when a patrol was flown."""
    return check(moment, FLIGHT)
