"""Facets over HTTP."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from api.context import Here, Reviewer, problems
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


@router.get("")
def facets(here: Here, actor: Reviewer) -> FacetsOut:
    """Cases by family, state, district and code; fourteen days of filings; what is due; who decided how much today."""
    with here.database.read() as session:
        return FacetsOut(**service.facets(session, here.settings.timezone, actor.districts))
