"""Gold items: decided candidates that an officer vouches for come up again among a reviewer's work, unmarked.

What is said of them changes nothing but the reviewer's own account: it shows whom to train, and when somebody tires.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.auth.service import Actor, audit
from api.base import utcnow
from api.candidates.models import Candidate
from api.errors import ConflictError, NotFoundError
from api.review.models import GoldAnswer, GoldItem

Answer = Literal["accept", "reject"]
# One in so many of what a reviewer is given, on average; an officer's own work holds none.
ONE_IN = 25
# A gold item that was given out and not answered may come again after this.
LEASE_S = 1800
_dice = random.SystemRandom()


@dataclass(frozen=True)
class Standing:
    """How a reviewer's answers to gold items stand."""

    answered: int
    agreed: int


def put(session: Session, candidate: Candidate, actor: Actor) -> GoldItem:
    """Takes a decided candidate into the gold set, with the decision as the answer.

    Raises:
        ConflictError: It is not decided.
    """
    answers: dict[str, Answer] = {"accepted": "accept", "rejected": "reject"}
    if candidate.state not in answers:
        raise ConflictError(f"candidate {candidate.id} is {candidate.state}: only a decided one can be gold")
    item = session.get(GoldItem, candidate.id)
    if item is None:
        item = GoldItem(candidate_id=candidate.id, answer="", set_by="", set_at=utcnow())
        session.add(item)
    item.answer, item.set_by, item.set_at = answers[candidate.state], actor.name, utcnow()
    audit(session, actor.name, "gold.put", candidate.id, answer=item.answer)
    session.flush()
    return item


def take_out(session: Session, candidate_id: str, actor: Actor) -> None:
    """Takes a candidate out of the gold set; what was answered stays.

    Raises:
        NotFoundError: It is not in it.
    """
    item = session.get(GoldItem, candidate_id)
    if item is None:
        raise NotFoundError(f"candidate {candidate_id} is not gold")
    session.delete(item)
    audit(session, actor.name, "gold.take_out", candidate_id)


def one_for(session: Session, actor: Actor, given: int, family: str | None, patrol_id: str | None) -> Candidate | None:
    """A gold item to lie among `given` candidates, now and then: one that this reviewer neither decided nor answered.

    Never in a queue of one patrol: what is decided there already would be seen to come again.
    """
    if actor.role != "reviewer" or patrol_id is not None or given == 0 or _dice.random() > given / ONE_IN:
        return None
    since = utcnow() - timedelta(seconds=LEASE_S)
    mine = select(GoldAnswer.candidate_id).where(
        GoldAnswer.reviewer == actor.name, GoldAnswer.decision.is_not(None) | (GoldAnswer.leased_at > since)
    )
    query = select(Candidate).join(GoldItem, GoldItem.candidate_id == Candidate.id)
    query = query.where(Candidate.id.not_in(mine), Candidate.reviewer != actor.name)
    if family:
        query = query.where(Candidate.family == family)
    if actor.districts:
        query = query.where(Candidate.district.in_(actor.districts))
    found = session.scalar(query.order_by(func.random()).limit(1))
    if found is not None:
        session.add(GoldAnswer(candidate_id=found.id, reviewer=actor.name, leased_at=utcnow()))
    return found


def open_answer(session: Session, candidate: Candidate, actor: Actor) -> GoldAnswer | None:
    """The gold item that this reviewer has before them, or has answered; None for ordinary work.

    A candidate that is open again (its decision was undone) is ordinary work, whatever it was before.
    """
    if candidate.state not in ("accepted", "rejected") or candidate.reviewer == actor.name:
        return None
    query = select(GoldAnswer).where(GoldAnswer.candidate_id == candidate.id, GoldAnswer.reviewer == actor.name)
    return session.scalar(query.order_by(GoldAnswer.id.desc()).limit(1))


def answer(session: Session, row: GoldAnswer, decision: str, reason: str | None) -> None:
    """Writes down what was said; `look` is an answer that counts for neither."""
    item = session.get(GoldItem, row.candidate_id)
    row.decision, row.reason, row.at = decision, reason, utcnow()
    row.agrees = None if item is None or decision == "look" else decision == item.answer


def take_back(row: GoldAnswer) -> None:
    """Undo: the answer is open again."""
    row.decision = row.reason = row.agrees = row.at = None
    row.leased_at = utcnow()


def standings(session: Session, since: datetime) -> dict[str, Standing]:
    """Answered and agreed by reviewer."""
    agreed = func.count().filter(GoldAnswer.agrees.is_(True))
    rows = session.execute(
        select(GoldAnswer.reviewer, func.count(), agreed)
        .where(GoldAnswer.at >= since, GoldAnswer.agrees.is_not(None))
        .group_by(GoldAnswer.reviewer)
    )
    return {name: Standing(int(n), int(yes)) for name, n, yes in rows}


def as_if_new(shown: dict[str, object], lease_until: str) -> dict[str, object]:
    """A gold item as a reviewer sees it: what was decided of it, and by whom, is not told."""
    blank = ("reviewer", "first_reviewer", "reason", "note", "decided_at", "case_id", "lease_by")
    hidden: dict[str, object] = {key: None for key in blank if key in shown}
    return {**shown, **hidden, "state": "pending", "lease_until": lease_until}
