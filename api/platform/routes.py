"""The platform's side over HTTP: lookups, its open cases, what is on its way."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel
from sqlalchemy import select

from api.auth.service import audit
from api.base import iso
from api.context import Admin, Here, Officer, problems
from api.platform import service
from api.platform.models import Delivery
from api.sites.foreign import load_open_cases

router = APIRouter(prefix="/api/v1/platform", tags=["platform"], responses=problems(401, 403, 422))


class Loaded(BaseModel):
    """How many rows were taken."""

    loaded: int


class Queued(BaseModel):
    """How many deliveries are on their way again."""

    queued: int


class DeliveryOut(BaseModel):
    """One case on its way to the platform."""

    case_id: str
    number: str
    state: str
    attempts: int
    next_at: str | None
    error: str | None
    their_no: str | None
    sent_at: str | None


class LookupIn(BaseModel):
    """Our code and the platform's internal id."""

    kind: str
    ours: str
    theirs: str
    name: str | None = None


@router.put("/lookups")
def lookups(body: list[LookupIn], here: Here, actor: Admin) -> Loaded:
    """Adds or replaces the platform's internal ids."""
    rows = [{key: value for key, value in row.model_dump().items() if value is not None} for row in body]
    with here.database.write() as session:
        n = service.load_lookups(session, rows)
        audit(session, actor.name, "platform.lookups", "lookups", loaded=n)
    return Loaded(loaded=n)


@router.put("/open-cases", responses=problems(413))
def open_cases(body: Annotated[dict[str, Any], Body()], here: Here, actor: Admin) -> Loaded:
    """Adds or updates the platform's own cases (GeoJSON with platform_no, family, open): they raise none of ours."""
    with here.database.write() as session:
        return Loaded(loaded=load_open_cases(session, body))


@router.get("/deliveries")
def deliveries(
    here: Here,
    actor: Officer,
    state: Annotated[str | None, Query(pattern="^(pending|sent|failed|withdrawn)$")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[DeliveryOut]:
    """What is on its way, the next first."""
    query = select(Delivery).order_by(Delivery.next_at).limit(limit)
    if state:
        query = query.where(Delivery.state == state)
    with here.database.read() as session:
        return [
            DeliveryOut(
                case_id=str(row.case_id),
                number=row.number,
                state=row.state,
                attempts=row.attempts,
                next_at=iso(row.next_at),
                error=row.error,
                their_no=row.their_no,
                sent_at=iso(row.sent_at),
            )
            for row in session.scalars(query)
        ]


@router.post("/deliveries/retry")
def retry(here: Here, actor: Admin) -> Queued:
    """Puts failed deliveries on their way again."""
    with here.database.write() as session:
        return Queued(queued=service.retry_failed(session))
