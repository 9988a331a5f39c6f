"""Review over HTTP: lease, decide, undo, release, and the address that an accepted one still lacks."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Header, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.base import iso, utcnow
from api.candidates.models import Candidate
from api.candidates.routes import CandidateOut, Number, PatrolId, candidate_out, candidates_out
from api.cases.forms import form
from api.context import Context, Here, Officer, Reviewer, problems
from api.errors import InvalidError
from api.evidence.service import collect
from api.review import gold, service

log = logging.getLogger("api.review")
router = APIRouter(prefix="/api/v1", tags=["review"], responses=problems(401, 403, 422))


class LeaseIn(BaseModel):
    """How many to lease, and of what."""

    limit: Annotated[int, Field(ge=1, le=50)] = 10
    family: Annotated[str, Field(pattern="^(construction|sanitation)$")] | None = None
    patrol_id: PatrolId | None = None
    state: Annotated[str, Field(pattern="^(pending|second|on_site)$")] | None = None


class LeaseOut(BaseModel):
    """Candidates that are this reviewer's alone until `lease_until`."""

    items: list[CandidateOut]
    waiting: int


class CountsOut(BaseModel):
    """What waits, and what was decided today (counted to 5000)."""

    pending: int
    second: int
    on_site: int
    needs_address: int
    mine_today: int
    all_today: int


class ReviewIn(BaseModel):
    """A decision. `verified` is the collector's word on one that waits `on_site`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"decision": "accept", "address": "北园路与通达路交汇处东北侧"},
                {"decision": "reject", "reason": "not_a_problem", "note": "彩钢瓦旧屋顶"},
                {"decision": "look"},
            ]
        }
    )

    decision: service.Decision
    reason: service.Reason | None = None
    note: Annotated[str, Field(max_length=500)] | None = None
    address: Annotated[str, Field(max_length=256)] | None = None
    description: Annotated[str, Field(max_length=500)] | None = None
    code: Annotated[str, Field(pattern=r"^\d{4,8}$")] | None = None
    condition: Annotated[str, Field(max_length=16)] | None = None
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    scripted: bool = False


class ReviewOut(BaseModel):
    """The candidate after the decision; the case when it was filed; what filing still waits for."""

    candidate: CandidateOut
    case: dict[str, Any] | None
    waits_for: str | None


@router.post("/review/lease", response_model=LeaseOut)
def lease(here: Here, actor: Reviewer, body: LeaseIn | None = None) -> JSONResponse:
    """Leases the next candidates, oldest first; what one holds already comes again."""
    wanted = body or LeaseIn()
    with here.database.write() as session:
        leased = service.lease(
            session,
            here.settings,
            actor,
            wanted.limit,
            family=wanted.family,
            patrol_id=wanted.patrol_id,
            state=wanted.state,
        )
        conditions = service.queue_of(actor, wanted.family, wanted.patrol_id)
        waiting = service.counted(session, Candidate.state.in_(("pending", "second")), *conditions)
        items = candidates_out(session, leased.rows, full=True)
        known = gold.one_for(session, actor, leased.fresh, wanted.family, wanted.patrol_id)
        if known is not None:
            # Anywhere but at the front, where it would always stand.
            until = iso(utcnow() + timedelta(seconds=here.settings.lease_s)) or ""
            items.insert(
                secrets.randbelow(len(items)) + 1,
                gold.as_if_new(candidates_out(session, [known], full=True)[0], until),
            )
        return JSONResponse({"items": items, "waiting": waiting})


@router.get("/review/counts")
def counts(here: Here, actor: Reviewer, patrol_id: Annotated[str | None, Query(max_length=64)] = None) -> CountsOut:
    """What waits for this reviewer, and what was decided today."""
    with here.database.read() as session:
        return CountsOut(**service.counts(session, here.settings, actor, patrol_id))


@router.post("/candidates/{patrol_id}/{n}/review", response_model=ReviewOut, responses=problems(404, 409, 412))
def review(
    patrol_id: PatrolId,
    n: Number,
    body: ReviewIn,
    here: Here,
    actor: Reviewer,
    background: BackgroundTasks,
    if_match: Annotated[str | None, Header(max_length=40)] = None,
) -> JSONResponse:
    """Accepts, rejects with a reason, or asks for another look. An accepted one is filed when its form is complete."""
    verdict = service.Verdict(**body.model_dump(exclude={"version"}), version=_version(if_match) or body.version)
    with here.database.write() as session:
        row = service.get(session, f"{patrol_id}/{n}", actor.districts, lock=True)
        known = gold.open_answer(session, row, actor)
        if known is not None:
            gold.answer(session, known, verdict.decision, verdict.reason)
            return JSONResponse({"candidate": gold.as_if_new(candidate_out(row), ""), "case": None, "waits_for": None})
        case = service.decide(session, here.settings, row, verdict, actor)
        if case is not None:
            _after_filing(background, here, case.id)
        waits = None
        if row.state == "accepted" and case is None:
            waits = "address" if not row.address and not verdict.address else "cell"
        return JSONResponse({"candidate": candidate_out(row), "case": form(case) if case else None, "waits_for": waits})


def _after_filing(background: BackgroundTasks, here: Context, case_id: UUID) -> None:
    """Evidence is collected once the answer is out; what a kill -9 prevents is collected when it is asked for."""
    background.add_task(_collect, here, case_id)


def _collect(here: Context, case_id: UUID) -> None:
    try:
        collect(here, case_id)
    except Exception:
        # The filing stands; the next look at the case's evidence tries again.
        log.exception("evidence of case %s was not collected", case_id)


def _version(if_match: str | None) -> int | None:
    if if_match is None:
        return None
    bare = if_match.strip().strip('"')
    if not bare.isdecimal() or len(bare) > 9:
        raise InvalidError("If-Match should be the ETag of the candidate")
    return int(bare)


@router.post("/candidates/{patrol_id}/{n}/undo", response_model=CandidateOut, responses=problems(404, 409))
def undo(patrol_id: PatrolId, n: Number, here: Here, actor: Reviewer) -> JSONResponse:
    """Takes the decision back; a filed case is withdrawn unless the platform has taken it up."""
    with here.database.write() as session:
        row = service.get(session, f"{patrol_id}/{n}", actor.districts, lock=True)
        known = gold.open_answer(session, row, actor)
        if known is not None:
            gold.take_back(known)
            return JSONResponse(gold.as_if_new(candidate_out(row), ""))
        service.undo(session, row, actor)
        return JSONResponse(candidate_out(row))


@router.post("/candidates/{patrol_id}/{n}/release", response_model=CandidateOut, responses=problems(404))
def release(patrol_id: PatrolId, n: Number, here: Here, actor: Reviewer) -> JSONResponse:
    """Gives a lease back."""
    with here.database.write() as session:
        row = service.get(session, f"{patrol_id}/{n}", actor.districts, lock=True)
        service.release(session, row, actor)
        return JSONResponse(candidate_out(row))


class GoldOut(BaseModel):
    """A candidate whose answer is vouched for."""

    candidate_id: str
    answer: str
    set_by: str


@router.put("/candidates/{patrol_id}/{n}/gold", responses=problems(404, 409))
def put_gold(patrol_id: PatrolId, n: Number, here: Here, actor: Officer) -> GoldOut:
    """Vouches for a decided candidate: it comes up, unmarked, among reviewers' work, and shows who agrees."""
    with here.database.write() as session:
        row = service.get(session, f"{patrol_id}/{n}", actor.districts, lock=True)
        item = gold.put(session, row, actor)
        return GoldOut(candidate_id=item.candidate_id, answer=item.answer, set_by=item.set_by)


@router.delete("/candidates/{patrol_id}/{n}/gold", status_code=204, responses=problems(404))
def delete_gold(patrol_id: PatrolId, n: Number, here: Here, actor: Officer) -> None:
    """Takes a candidate out of the gold set."""
    with here.database.write() as session:
        gold.take_out(session, f"{patrol_id}/{n}", actor)


class FileIn(BaseModel):
    """What the form still lacks."""

    address: Annotated[str, Field(min_length=1, max_length=256)]
    description: Annotated[str, Field(max_length=500)] | None = None
    code: Annotated[str, Field(pattern=r"^\d{4,8}$")] | None = None
    condition: Annotated[str, Field(max_length=16)] | None = None


@router.post(
    "/candidates/{patrol_id}/{n}/file", status_code=201, response_model=ReviewOut, responses=problems(404, 409)
)
def file(
    patrol_id: PatrolId, n: Number, body: FileIn, here: Here, actor: Reviewer, background: BackgroundTasks
) -> JSONResponse:
    """Files an accepted candidate that lacked its address."""
    verdict = service.Verdict("accept", **body.model_dump())
    with here.database.write() as session:
        row = service.get(session, f"{patrol_id}/{n}", actor.districts, lock=True)
        case = service.file_later(session, here.settings, row, verdict, actor)
        _after_filing(background, here, case.id)
        return JSONResponse({"candidate": candidate_out(row), "case": form(case), "waits_for": None}, status_code=201)
