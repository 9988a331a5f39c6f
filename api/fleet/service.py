"""The newest position of each aircraft, in memory: a position is worth nothing once the aircraft has gone on.

A server that starts again knows where everybody is a second later. Several server processes would each know what they
were told: run one, or put them behind a proxy that keeps a ground station at one of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.base import utcnow
from api.errors import InvalidError, TooManyError

# Off the map after this: landed and switched off, or the ground station is gone.
KEEP = timedelta(minutes=10)
# Older than this is shown as lost.
LOST_S = 15.0
# A clock that far ahead is wrong, and would hide every later position.
AHEAD = timedelta(seconds=30)
# A brigade has 46 aircraft.
MOST = 2000


@dataclass(frozen=True)
class Position:
    """An aircraft's position.

    Attributes:
        aircraft: Its number, as its ground station knows it.
        by: The ground station's token: two stations may both have a number 1.
        lon: WGS84 degrees.
        lat: WGS84 degrees.
        height_rel_m: Above take-off.
        yaw_deg: Clockwise from north, or None.
        battery: Share left, 0 to 1, or None.
        sortie_id: What it flies, or None.
        patrol_id: Of which patrol, or None.
        at: When it was there.
        heard_at: When we were told.
    """

    aircraft: str
    by: str
    lon: float
    lat: float
    height_rel_m: float | None
    yaw_deg: float | None
    battery: float | None
    sortie_id: str | None
    patrol_id: str | None
    at: datetime
    heard_at: datetime


class Fleet:
    """Newest positions; safe among threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Position] = {}
        self._lock = threading.Lock()

    def put(self, position: Position) -> bool:
        """Takes a position; False when a newer one is known.

        Raises:
            InvalidError: It is from the future.
            TooManyError: More aircraft than a city has.
        """
        if position.at > position.heard_at + AHEAD:
            raise InvalidError("a position from the future: set the ground station's clock")
        key = (position.by, position.aircraft)
        with self._lock:
            self._forget(position.heard_at)
            known = self._known.get(key)
            if known is not None and known.at > position.at:
                return False
            if known is None and len(self._known) >= MOST:
                raise TooManyError(f"positions of {MOST} aircraft are kept, no more")
            self._known[key] = position
        return True

    def all(self, now: datetime | None = None) -> list[Position]:
        """Positions of the last ten minutes, by aircraft."""
        with self._lock:
            self._forget(now or utcnow())
            return sorted(self._known.values(), key=lambda one: (one.by, one.aircraft))

    def _forget(self, now: datetime) -> None:
        for key in [key for key, one in self._known.items() if now - one.heard_at > KEEP]:
            del self._known[key]
