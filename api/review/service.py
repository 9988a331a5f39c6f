"""Decisions: leased so that nobody is second by accident, undoable until the platform has taken the case up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from api.auth.service import Actor
from api.base import utcnow
from api.candidates.intake import OPEN_STATES, record
from api.candidates.models import Candidate
from api.cases import service as cases
from api.cases.models import Case
from api.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from api.grid.service import describe, has_grid, locate
from api.patrols.models import Patrol
from api.settings import ApiSettings
from api.sites import service as sites
from api.sites.models import Site

Decision = Literal["accept", "reject", "look", "verified"]
Reason = Literal["not_a_problem", "already_on_platform", "lawful", "on_record", "unclear", "wrong"]
REASONS: dict[str, str] = {
    "not_a_problem": "非问题",
    "already_on_platform": "平台已有",
    "lawful": "合法已批",
    "on_record": "历史存量在册",
    "unclear": "不清需补拍",
    "wrong": "类别位置错",
}
# A screen shows 5000+ beyond.
COUNT_TO = 5000
assert set(REASONS) == set(get_args(Reason))


@dataclass(frozen=True)
class Verdict:
    """What a reviewer says of a candidate."""

    decision: Decision
    reason: Reason | None = None
    note: str | None = None
    address: str | None = None
    description: str | None = None
    code: str | None = None
    condition: str | None = None
    version: int | None = None
    scripted: bool = False


@dataclass(frozen=True)
class Leased:
    """What a reviewer was given, and how many of them they did not hold before."""

    rows: list[Candidate]
    fresh: int


def get(session: Session, candidate_id: str, districts: tuple[str, ...] = (), *, lock: bool = False) -> Candidate:
    """One candidate within the reader's districts.

    Raises:
        NotFoundError: None such, or outside.
    """
    query = select(Candidate).where(Candidate.id == candidate_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None or (districts and row.district not in districts):
        raise NotFoundError(f"no candidate {candidate_id}")
    return row


def lease(
    session: Session,
    settings: ApiSettings,
    actor: Actor,
    limit: int,
    *,
    family: str | None = None,
    patrol_id: str | None = None,
    state: str | None = None,
) -> Leased:
    """The next candidates for this reviewer, theirs alone for `lease_s`: oldest first."""
    now = utcnow()
    free = or_(Candidate.lease_until.is_(None), Candidate.lease_until < now, Candidate.lease_by == actor.name)
    states = [state] if state else ["pending", "second"]
    query = select(Candidate).where(Candidate.state.in_(states), free)
    # Nobody gives both looks of one candidate.
    query = query.where(or_(Candidate.first_reviewer.is_(None), Candidate.first_reviewer != actor.name))
    query = query.where(*queue_of(actor, family, patrol_id))
    query = query.order_by(Candidate.state, Candidate.pk).limit(limit).with_for_update(skip_locked=True)
    rows = list(session.scalars(query))
    fresh = sum(row.lease_by != actor.name for row in rows)
    for row in rows:
        row.lease_by, row.lease_until = actor.name, now + timedelta(seconds=settings.lease_s)
    return Leased(rows, fresh)


def queue_of(actor: Actor, family: str | None, patrol_id: str | None) -> list[ColumnElement[bool]]:
    """The rows of a reviewer's queue, as SQL."""
    found: list[ColumnElement[bool]] = []
    if family:
        found.append(Candidate.family == family)
    if patrol_id:
        found.append(Candidate.patrol_id == patrol_id)
    if actor.districts:
        found.append(Candidate.district.in_(actor.districts))
    return found


def counted(session: Session, *conditions: ColumnElement[bool]) -> int:
    """How many candidates fit, counted no further than `COUNT_TO`."""
    some = select(Candidate.pk).where(*conditions).limit(COUNT_TO).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def counts(session: Session, settings: ApiSettings, actor: Actor, patrol_id: str | None = None) -> dict[str, int]:
    """What waits, and what was decided since midnight in the city; each counted no further than `COUNT_TO`."""
    zone = ZoneInfo(settings.timezone)
    midnight = datetime.combine(datetime.now(zone).date(), datetime.min.time(), zone)
    rows = queue_of(actor, None, patrol_id)
    decided = (Candidate.decided_at >= midnight, Candidate.state.in_(("accepted", "rejected")))
    waiting = {state: counted(session, Candidate.state == state, *rows) for state in OPEN_STATES}
    return {
        **waiting,
        "needs_address": counted(session, Candidate.state == "accepted", Candidate.case_id.is_(None), *rows),
        "mine_today": counted(session, *decided, Candidate.reviewer == actor.name, *rows),
        "all_today": counted(session, *decided, *rows),
    }


def release(session: Session, candidate: Candidate, actor: Actor) -> None:
    """Gives a lease back."""
    if candidate.lease_by == actor.name:
        candidate.lease_by = candidate.lease_until = None


def decide(
    session: Session, settings: ApiSettings, candidate: Candidate, verdict: Verdict, actor: Actor
) -> Case | None:
    """Applies a verdict to a locked candidate; gives the case when it was filed.

    Raises:
        ConflictError: Somebody else holds or has decided it.
        PreconditionError: It changed since the reviewer saw it.
        InvalidError: A rejection without a reason.
    """
    if _said_already(candidate, verdict, actor):
        return session.get(Case, candidate.case_id) if candidate.case_id else None
    _may_decide(candidate, verdict, actor)
    site = session.scalar(select(Site).where(Site.id == candidate.site_id).with_for_update())
    before = candidate.state
    candidate.note = verdict.note
    candidate.lease_by = candidate.lease_until = None
    candidate.version += 1
    candidate.decided_at = utcnow()
    if verdict.address:
        candidate.address = verdict.address.strip()[:256]
    case = None
    if verdict.decision == "reject":
        candidate.state, candidate.reason, candidate.reviewer = "rejected", verdict.reason, actor.name
        if site is not None:
            sites.give_verdict(site, verdict.reason, candidate.area_m2, actor.name)
        _record(session, candidate, verdict, actor, before)
    elif verdict.decision == "look":
        candidate.state, candidate.first_reviewer = "second", actor.name
        _record(session, candidate, verdict, actor, before)
    else:
        case = _accept(session, settings, candidate, site, verdict, actor, before)
    return case


def _said_already(candidate: Candidate, verdict: Verdict, actor: Actor) -> bool:
    """Whether this is the same decision of the same person, sent again because its answer was lost."""
    if verdict.decision == "look":
        return candidate.state == "second" and candidate.first_reviewer == actor.name
    state = "rejected" if verdict.decision == "reject" else "accepted"
    return candidate.state == state and candidate.reviewer == actor.name and candidate.reason == verdict.reason


def _may_decide(candidate: Candidate, verdict: Verdict, actor: Actor) -> None:
    if verdict.version is not None and verdict.version != candidate.version:
        raise PreconditionError(
            f"candidate {candidate.id} is at version {candidate.version}, you saw {verdict.version}: look again",
            version=candidate.version,
        )
    if candidate.state not in OPEN_STATES:
        raise ConflictError(
            f"candidate {candidate.id} is {candidate.state} already, by {candidate.reviewer or 'its site'}",
            state=candidate.state,
        )
    held = candidate.lease_by not in (None, actor.name) and (candidate.lease_until or utcnow()) > utcnow()
    if held:
        raise ConflictError(f"{candidate.lease_by} is looking at candidate {candidate.id}", lease_by=candidate.lease_by)
    if verdict.decision == "reject" and verdict.reason is None:
        raise InvalidError(f"a rejection needs a reason: one of {', '.join(REASONS)}")
    final = verdict.decision in ("accept", "reject")
    if final and candidate.state == "second" and candidate.first_reviewer == actor.name:
        raise ConflictError(f"candidate {candidate.id} waits for another person's look; yours was the first")
    if (verdict.decision == "verified") != (candidate.state == "on_site"):
        raise ConflictError(f"candidate {candidate.id} is {candidate.state}; {verdict.decision} does not fit")


def _accept(
    session: Session,
    settings: ApiSettings,
    candidate: Candidate,
    site: Site | None,
    verdict: Verdict,
    actor: Actor,
    before: str,
) -> Case | None:
    second_due = candidate.family in settings.second_look and before == "pending"
    if second_due:
        candidate.state, candidate.first_reviewer = "second", actor.name
        _record(session, candidate, verdict, actor, before)
        return None
    if candidate.family in settings.verify_on_site and before != "on_site":
        candidate.state, candidate.first_reviewer = "on_site", actor.name
        _record(session, candidate, verdict, actor, before)
        return None
    candidate.state, candidate.reviewer, candidate.reason = "accepted", actor.name, None
    if site is not None:
        sites.give_verdict(site, None, None, None)
    _record(session, candidate, verdict, actor, before)
    return file_if_complete(session, settings, candidate, site, verdict, actor)


def file_if_complete(
    session: Session,
    settings: ApiSettings,
    candidate: Candidate,
    site: Site | None,
    verdict: Verdict,
    actor: Actor,
) -> Case | None:
    """Files an accepted candidate once it has an address and, with a grid loaded, a cell; else it waits for them."""
    address = verdict.address or candidate.address or address_of(session, candidate)
    where = locate(session, candidate.lon, candidate.lat)
    needs_cell = settings.require_cell if settings.require_cell is not None else has_grid(session)
    if not address or (needs_cell and where.cell is None):
        return None
    candidate.address = address
    filing = cases.Filing(actor.name, address, verdict.description, verdict.code, verdict.condition)
    return cases.file_case(session, settings, candidate, site, filing)


def address_of(session: Session, candidate: Candidate) -> str | None:
    """位置描述 from the gazetteer, else from the place that a person gave the patrol; None without either."""
    named = describe(session, candidate.lon, candidate.lat)
    if named:
        return named
    patrol = session.get(Patrol, candidate.patrol_id)
    if patrol is None or not patrol.place:
        return None
    return f"{patrol.place}（东经{candidate.lon:.5f}°，北纬{candidate.lat:.5f}°）"


def _record(session: Session, candidate: Candidate, verdict: Verdict, actor: Actor, before: str) -> None:
    data: dict[str, Any] = {
        "decision": verdict.decision,
        "before": before,
        "state": candidate.state,
        "reason": verdict.reason,
        "reason_name": REASONS.get(verdict.reason or ""),
        "note": verdict.note,
        "probability": candidate.probability,
        "family": candidate.family,
        "site_id": str(candidate.site_id) if candidate.site_id else None,
        "scripted": verdict.scripted,
    }
    record(session, candidate, "candidate.reviewed", actor.name, data)


def undo(session: Session, candidate: Candidate, actor: Actor) -> None:
    """Takes a decision back: the candidate is pending again, a case that was filed is withdrawn.

    Again on one that is pending changes nothing.

    Raises:
        ConflictError: Nothing to undo, another person's decision, or the platform has the case.
    """
    if candidate.state == "pending":
        return
    if candidate.state not in ("accepted", "rejected", "second", "on_site"):
        raise ConflictError(f"candidate {candidate.id} is {candidate.state}: there is no decision to undo")
    by = candidate.reviewer if candidate.state in ("accepted", "rejected") else candidate.first_reviewer
    if by != actor.name and actor.role not in ("officer", "admin"):
        raise ConflictError(f"candidate {candidate.id} was decided by {by}: they, or an officer, may undo it")
    before = candidate.state
    site = session.scalar(select(Site).where(Site.id == candidate.site_id).with_for_update())
    if candidate.case_id is not None:
        case = cases.get(session, candidate.case_id, lock=True)
        cases.withdraw(session, case, actor.name, "复核撤销")
        candidate.case_id = None
    if site is not None and before == "rejected":
        sites.give_verdict(site, None, None, None)
    if site is not None:
        site.candidate_id = candidate.id
    candidate.state = "pending"
    candidate.reviewer = candidate.first_reviewer = candidate.reason = candidate.decided_at = None
    candidate.version += 1
    data = {"decision": "undo", "before": before, "state": "pending", "site_id": str(candidate.site_id)}
    record(session, candidate, "candidate.reviewed", actor.name, data)


def file_later(session: Session, settings: ApiSettings, candidate: Candidate, verdict: Verdict, actor: Actor) -> Case:
    """Files an accepted candidate that lacked its address, now that a person gives it.

    Raises:
        ConflictError: It is not accepted, or filed already.
        InvalidError: It lies in no cell of the grid.
    """
    if candidate.state != "accepted" or candidate.case_id is not None:
        raise ConflictError(f"candidate {candidate.id} is {candidate.state} and not waiting for an address")
    site = session.scalar(select(Site).where(Site.id == candidate.site_id).with_for_update())
    case = file_if_complete(session, settings, candidate, site, verdict, actor)
    if case is None:
        raise InvalidError(f"candidate {candidate.id} lies in no cell of the loaded grid: load the grid of its place")
    candidate.version += 1
    return case
