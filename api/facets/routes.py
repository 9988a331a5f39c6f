"""Facets over HTTP."""

from __future__ import annotations

import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.answers import FastJson
from api.context import Context, Here, Reviewer, problems
from api.database import Database
from api.facets import service

router = APIRouter(prefix="/api/v1/facets", tags=["facets"], responses=problems(401, 403))


class Day(BaseModel):
    """Filings of a local day."""

    day: str
    construction: int
    sanitation: int


class Due(BaseModel):
    """Open cases past their deadline, and due before midnight."""

    overdue: int
    today: int


class ReviewerToday(BaseModel):
    """What one reviewer decided since midnight: how much, how fast (pauses left out), how often as is known."""

    name: str
    decided_today: int
    accepted: int
    rejected: int
    median_s: float | None
    per_hour: int | None
    gold_answered: int
    gold_agreed: int


class FacetsOut(BaseModel):
    """The officer's numbers; `due` is counted no further than `counted_to`."""

    total: int
    by_family: dict[str, int]
    by_state: dict[str, int]
    by_district: dict[str, int]
    by_code: dict[str, int]
    by_day: list[Day]
    due: Due
    reviewers: list[ReviewerToday]
    counted_to: int


@router.get("", response_model=FacetsOut)
def facets(here: Here, actor: Reviewer) -> JSONResponse:
    """Cases by family, state, district and code; fourteen days of filings; what is due; who decided how much today.

    Up to a second old (`facets_cache_s`): a wall of screens asks once.
    """
    return FastJson(_cache(here).get(here, actor.districts))


class _Cache:
    """The last numbers by districts; one thread counts while the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, ...], tuple[float, dict[str, Any]]] = {}

    def get(self, here: Context, districts: tuple[str, ...]) -> dict[str, Any]:
        """Numbers that are young enough, or new ones."""
        with self._lock:
            known = self._known.get(districts)
            if known is None or time.monotonic() - known[0] >= here.settings.facets_cache_s:
                with here.database.read() as session:
                    found = service.facets(session, here.settings.timezone, districts)
                if len(self._known) > 1000:
                    self._known.clear()
                # The time after counting: counting that takes long must not be all that is done.
                known = self._known[districts] = (time.monotonic(), found)
            return known[1]


_caches: WeakKeyDictionary[Database, _Cache] = WeakKeyDictionary()


def _cache(here: Context) -> _Cache:
    return _caches.setdefault(here.database, _Cache())
