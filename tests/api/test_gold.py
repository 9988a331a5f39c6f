"""Gold items: unmarked among a reviewer's work, and without consequence for the case."""

from __future__ import annotations

import pytest

from api.auth.service import issue_token
from api.review import gold
from tests.api.world import World, feature, square


@pytest.fixture
def world(either: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two reviewers, five candidates of which the officer decided two and vouches for them; every lease holds gold."""
    monkeypatch.setattr(gold, "ONE_IN", 1)
    with either.context.database.write() as session:
        for name in ("chen", "zhou"):
            either.tokens[name] = issue_token(session, "reviewer", name=name)
    either.file(*[feature(n=n, geometry=square(100.0 * n)) for n in range(5)])
    either.accept("P1/0", role="officer")
    assert either.review("P1/1", "reject", role="officer", reason="lawful").status_code == 200
    for n in (0, 1):
        assert either.call("officer", "PUT", f"/candidates/P1/{n}/gold").status_code == 200
    return either


def lease(world: World, who: str) -> list[dict]:
    return world.call(who, "POST", "/review/lease", json={"limit": 3}).json()["items"]


def decided(world: World, who: str) -> dict | None:
    rows = world.call("officer", "GET", "/facets").json()["reviewers"]
    return next((row for row in rows if row["name"] == who), None)


def test_gold_looks_like_work_and_changes_nothing(world: World) -> None:
    items = lease(world, "chen")
    (known,) = [item for item in items if item["id"] in ("P1/0", "P1/1")]
    assert len(items) == 4 and items[0] is not known
    other = next(item for item in items if item is not known)
    assert known["state"] == other["state"] == "pending" and known.keys() == other.keys()
    assert not any(known[key] for key in ("reviewer", "reason", "case_id", "decided_at", "first_reviewer"))
    before = world.feed()
    said = "accept" if known["id"] == "P1/0" else "reject"
    answer = world.review(known["id"], said, role="chen", **({} if said == "accept" else {"reason": "wrong"}))
    assert answer.status_code == 200 and answer.json()["case"] is None
    assert world.feed() == before, "no event, no case"
    assert world.candidate(known["id"])["reviewer"] == "officer-1"
    row = decided(world, "chen")
    assert row is not None and (row["gold_answered"], row["gold_agreed"], row["decided_today"]) == (1, 1, 0)


def test_a_wrong_answer_counts_and_can_be_taken_back(world: World) -> None:
    known = next(item for item in lease(world, "chen") if item["id"] in ("P1/0", "P1/1"))
    wrong = ("reject", {"reason": "lawful"}) if known["id"] == "P1/0" else ("accept", {})
    assert world.review(known["id"], wrong[0], role="chen", **wrong[1]).status_code == 200
    assert world.review(known["id"], wrong[0], role="chen", **wrong[1]).status_code == 200, "sent twice is once"
    row = decided(world, "chen")
    assert row is not None and (row["gold_answered"], row["gold_agreed"]) == (1, 0)
    undone = world.call("chen", "POST", f"/candidates/{known['id']}/undo")
    assert undone.status_code == 200 and undone.json()["state"] == "pending"
    assert decided(world, "chen") is None
    assert world.candidate(known["id"])["state"] in ("accepted", "rejected")


def test_nobody_gets_the_same_gold_twice_or_their_own(world: World) -> None:
    seen = []
    for _ in range(2):
        for item in lease(world, "chen"):
            if item["id"] in ("P1/0", "P1/1"):
                seen.append(item["id"])
                world.review(item["id"], "accept", role="chen")
        with world.context.database.write() as session:
            from sqlalchemy import text

            session.execute(text("UPDATE candidates SET lease_by = NULL, lease_until = NULL"))
    assert sorted(seen) == ["P1/0", "P1/1"]
    assert {item["id"] for item in lease(world, "officer")} == {"P1/2", "P1/3", "P1/4"}, "an officer's work holds none"


def test_what_is_open_again_is_work(world: World) -> None:
    known = next(item for item in lease(world, "chen") if item["id"] in ("P1/0", "P1/1"))
    world.review(known["id"], "accept", role="chen")
    assert world.call("officer", "POST", f"/candidates/{known['id']}/undo").json()["state"] == "pending"
    assert world.review(known["id"], "accept", role="chen").json()["case"] is not None


def test_who_may_and_what_can_be_gold(world: World) -> None:
    assert world.call("reviewer", "PUT", "/candidates/P1/0/gold").status_code == 403
    assert world.call("officer", "PUT", "/candidates/P1/2/gold").status_code == 409
    assert world.call("officer", "DELETE", "/candidates/P1/0/gold").status_code == 204
    assert world.call("officer", "DELETE", "/candidates/P1/0/gold").status_code == 404
    assert world.review("P1/0", "reject", role="zhou", reason="wrong").status_code == 409, "another's decision stands"


def test_pace_leaves_pauses_out(world: World) -> None:
    from datetime import timedelta

    from api.candidates.models import Candidate

    for n in (2, 3, 4):
        world.review(f"P1/{n}", "reject", role="zhou", reason="lawful")
    with world.context.database.write() as session:
        rows = session.query(Candidate).filter(Candidate.reviewer == "zhou").order_by(Candidate.pk).all()
        last = rows[2].decided_at
        assert last is not None
        rows[1].decided_at, rows[0].decided_at = last - timedelta(seconds=6), last - timedelta(seconds=600)
    row = decided(world, "zhou")
    if row is None or row["decided_today"] < 3:
        pytest.skip("within ten minutes after the city's midnight")
    assert (row["median_s"], row["per_hour"]) == (6.0, 600)
