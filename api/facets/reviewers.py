"""How fast each reviewer decides today, and how often they agree with what is known."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from api.candidates.models import Candidate
from api.review.gold import standings

# A longer gap between two decisions is a pause: a telephone call is no slow decision.
PAUSE_S = 60.0
# Decisions of a day that are looked at; a brigade makes some thousands.
MOST = 50_000


def reviewers_today(session: Session, midnight: datetime, *scope: ColumnElement[bool]) -> list[dict[str, Any]]:
    """A row a reviewer, the busiest first: decisions, pace, agreement with gold items."""
    rows = session.execute(
        select(Candidate.reviewer, Candidate.state, Candidate.decided_at)
        .where(
            Candidate.decided_at >= midnight,
            Candidate.reviewer.is_not(None),
            Candidate.state.in_(("accepted", "rejected")),
            *scope,
        )
        .order_by(Candidate.decided_at)
        .limit(MOST)
    )
    by: dict[str, list[tuple[str, datetime]]] = {}
    for name, state, at in rows:
        if name is not None and at is not None:
            by.setdefault(name, []).append((state, at))
    gold = standings(session, midnight)
    found: list[dict[str, Any]] = []
    for name in {*by, *gold}:
        decided = by.get(name, [])
        gaps = [gap for (_, one), (_, other) in pairwise(decided) if (gap := (other - one).total_seconds()) <= PAUSE_S]
        standing = gold.get(name)
        found.append(
            {
                "name": name,
                "decided_today": len(decided),
                "accepted": sum(state == "accepted" for state, _ in decided),
                "rejected": sum(state == "rejected" for state, _ in decided),
                "median_s": round(median(gaps), 1) if gaps else None,
                "per_hour": round(3600 * len(gaps) / sum(gaps)) if gaps and sum(gaps) > 0 else None,
                "gold_answered": standing.answered if standing else 0,
                "gold_agreed": standing.agreed if standing else 0,
            }
        )
    return sorted(found, key=lambda one: (-one["decided_today"], one["name"]))[:100]
