"""What the platform refuses comes back to the reviewer; clocks, cells and exports that are not to be believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.auth import idempotency
from api.cases.export import harmless
from tests.api.world import World, feature, square


def test_a_refusal_reaches_the_reviewer_and_keeps_the_site_quiet(either: World) -> None:
    either.file(feature())
    case = either.accept("P1/1")["id"]
    assert either.status(case, "refused", reason="属居民合法加固，不予受理").status_code == 200
    listed = either.call("reviewer", "GET", "/candidates", params={"refused": "true"}).json()["items"]
    assert [(one["id"], one["platform_reason"]) for one in listed] == [("P1/1", "属居民合法加固，不予受理")]
    # The same roof next morning: the platform has decided, nobody looks again.
    (again,) = either.file(feature("P2", 1, square(0.5, 0.5)))
    assert again["state"] == "settled" and again["case_id"] is None
    # It grew: somebody does.
    (grown,) = either.file(feature("P3", 1, square(0, 0, 30), area_m2=900.0))
    assert grown["state"] == "pending"


def test_a_case_that_the_platform_reopens_takes_its_evidence_again(either: World) -> None:
    either.file(feature())
    case = either.accept("P1/1")["id"]
    assert either.status(case, "closed").status_code == 200
    assert either.status(case, "returned", reason="现场未拆除，退回重办").status_code == 200
    assert either.candidate("P1/1")["platform_reason"] == "现场未拆除，退回重办"
    (seen,) = either.file(feature("P2", 1, square(0.5, 0.5)))
    assert (seen["state"], seen["case_id"]) == ("merged", case), "one thing, one case"
    assert either.status(case, "registered").status_code == 200
    assert either.candidate("P1/1")["platform_reason"] is None


def test_after_registration_new_evidence_is_an_attachment(either: World) -> None:
    either.file(feature())
    case = either.accept("P1/1")["id"]
    either.file(feature("P2", 1, square(0.5, 0.5)))
    either.status(case, "registered")
    either.file(feature("P3", 1, square(0.5, 0.5)))
    evidence = either.call("officer", "GET", f"/cases/{case}").json()["evidence"]
    assert [(one["patrol_id"], one["as"]) for one in evidence if "patrol_id" in one] == [
        ("P2", "form"), ("P3", "attachment")
    ]  # fmt: skip
    told = [event["data"]["as"] for event in either.feed("platform") if event["type"] == "case.evidence"]
    assert told == ["form", "attachment"]


def test_clocks_that_run_ahead_are_refused(world: World) -> None:
    world.file(feature())
    case = world.accept("P1/1")["id"]
    before = world.feed()
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for at in (soon, "1999-01-01T00:00:00Z", "2026-01-01T00:00:00", "9999-12-31T23:59:59-23:59"):
        assert world.status(case, "registered", at=at).status_code == 422, at
    assert world.feed() == before
    for flown_at in ((datetime.now(UTC) + timedelta(days=2)).isoformat(), "2026-01-01T00:00:00"):
        assert world.call("pilot", "POST", "/patrols", json={"id": "F", "flown_at": flown_at}).status_code == 422
    assert world.call("pilot", "GET", "/patrols/F").status_code == 404
    assert world.call("pilot", "POST", "/patrols", json={"id": "F", "flown_at": soon}).status_code == 201


@pytest.mark.parametrize(
    "properties",
    [{"cell": "ABCDEF001001001"}, {"cell": "000000001001001"}, {"cell": "37130200600100"[:13]}, {},
     {"cell": "371302006001001", "district": "371311"}],
)  # fmt: skip
def test_a_cell_of_no_district_is_refused(world: World, properties: dict[str, str]) -> None:
    cells = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"cell": "371302006001009"}, "geometry": square(500)},
        {"type": "Feature", "properties": properties, "geometry": square()},
    ]}  # fmt: skip
    assert world.call("officer", "PUT", "/grid/cells", json=cells).status_code == 422
    found = world.call("officer", "GET", "/ogc/collections/cells/items").json()
    assert found["features"] == [], "nothing of a refused grid is stored"


@pytest.mark.parametrize(
    "value", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "＝1+1", "＋1", "－1", "＠x", "\t=1", "\r=1", " = 1"]
)
def test_no_text_is_a_formula(value: str) -> None:
    assert harmless(value) == "'" + value


def test_answers_to_old_keys_are_forgotten_and_candidates_are_not(either: World) -> None:
    (first,) = either.file(feature(), key="k-1")
    with either.context.database.write() as session:
        assert idempotency.forget(session) == 0
        assert idempotency.forget(session, days=-1) == 1
    (again,) = either.file(feature(), key="k-1")
    assert (again["id"], again["outcome"]) == (first["id"], "unchanged")
