"""The life of a candidate and its case, over HTTP, on both engines."""

from __future__ import annotations

import re

from tests.api.world import World, collection, feature, square


def test_candidate_is_filed_reviewed_and_told(either: World) -> None:
    (taken,) = either.file(feature(n=7))
    assert taken["id"] == "P1/7" and taken["outcome"] == "created" and taken["state"] == "pending"
    case = either.accept("P1/7")
    assert re.fullmatch(r"LY-WRJ-\d{8}-00001", case["number"])
    assert case["code"] == "06001" and case["address"] == "北园路12号东侧"
    assert [event["type"] for event in either.feed()] == ["candidate.created", "candidate.reviewed", "case.filed"]
    (filed,) = either.feed("platform")
    assert filed["type"] == "case.filed" and filed["subject"] == case["id"]
    assert filed["data"]["number"] == case["number"] and filed["specversion"] == "1.0"
    history = either.call("officer", "GET", f"/cases/{case['id']}/events").json()
    assert history["intact"] is True and len(history["events"]) == 1


def test_the_same_candidate_twice_is_once(either: World) -> None:
    either.file(feature(n=1))
    (again,) = either.file(feature(n=1))
    assert again["outcome"] == "unchanged"
    assert len(either.feed()) == 1


def test_numbers_count_up_without_holes(either: World) -> None:
    for n in range(4):
        either.file(feature(n=n, geometry=square(east_m=100.0 * n)))
    numbers = [either.accept(f"P1/{n}")["number"][-5:] for n in range(4)]
    assert numbers == ["00001", "00002", "00003", "00004"]


def test_a_rejected_roof_stays_quiet_until_it_grows(either: World) -> None:
    either.file(feature("D1"))
    assert either.review("D1/1", "reject", reason="lawful").status_code == 200
    (second,) = either.file(feature("D2"))
    assert second["state"] == "settled" and second["site_id"] == either.candidate("D1/1")["site_id"]
    (third,) = either.file(feature("D3", geometry=square(side_m=30.0), area_m2=900.0))
    assert third["state"] == "pending" and third["site_id"] == second["site_id"]


def test_unclear_comes_back_with_the_next_photographs(either: World) -> None:
    either.file(feature("D1"))
    either.review("D1/1", "reject", reason="unclear")
    (second,) = either.file(feature("D2"))
    assert second["state"] == "pending"


def test_a_thing_with_an_open_case_becomes_evidence(either: World) -> None:
    either.file(feature("D1"))
    case = either.accept("D1/1")
    assert either.status(case["id"], "registered", platform_no="X1").status_code == 200
    (second,) = either.file(feature("D2"))
    assert second["state"] == "merged" and second["case_id"] == case["id"]
    now = either.call("officer", "GET", f"/cases/{case['id']}").json()
    assert now["evidence"][0]["candidate_id"] == "D2/1" and now["evidence"][0]["as"] == "attachment"
    assert [event["type"] for event in either.feed("platform")] == ["case.filed", "case.platform", "case.evidence"]


def test_a_closed_case_whose_heap_is_still_there_is_reinspected(either: World) -> None:
    either.file(feature("D1"))
    case = either.accept("D1/1")
    either.status(case["id"], "closed")
    (second,) = either.file(feature("D2"))
    assert second["state"] == "pending"
    assert [event["type"] for event in either.feed("platform")][-1] == "case.reinspected"


def test_the_next_patrol_takes_over_an_undecided_candidate(either: World) -> None:
    either.file(feature("D1"))
    either.file(feature("D2"))
    first = either.candidate("D1/1")
    assert first["state"] == "merged" and first["merged_into"] == "D2/1"
    pending = either.call("reviewer", "GET", "/candidates", params={"state": "pending"}).json()["items"]
    assert [item["id"] for item in pending] == ["D2/1"]


def test_nine_times_the_same_heap_in_one_patrol_is_one(either: World) -> None:
    heap = {"family": "sanitation", "label": "waste_heap"}
    features = [feature(n=n, geometry=square(east_m=0.2 * n, side_m=6.0), area_m2=36.0, **heap) for n in range(9)]
    taken = either.file(*features)
    assert [one["state"] for one in taken] == ["pending", *["merged"] * 8]
    assert {one["site_id"] for one in taken} == {taken[0]["site_id"]}


def test_two_families_on_one_place_are_two_sites(either: World) -> None:
    one, two = either.file(feature(n=1), feature(n=2, family="sanitation", label="waste_heap"))
    assert one["site_id"] != two["site_id"] and two["state"] == "pending"


def test_permitted_is_labelled_and_never_filed(either: World) -> None:
    (taken,) = either.file(feature(permitted=True, permit_no="建字第371302号"))
    assert taken["state"] == "permitted"
    assert either.review("P1/1", "accept").status_code == 409
    assert either.feed("platform") == []


def test_undo_withdraws_until_the_platform_has_taken_it_up(either: World) -> None:
    either.file(feature(n=1), feature(n=2, geometry=square(east_m=200)))
    case = either.accept("P1/1")
    assert either.call("reviewer", "POST", "/candidates/P1/1/undo").json()["state"] == "pending"
    assert either.call("officer", "GET", f"/cases/{case['id']}").json()["state"] == "withdrawn"
    again = either.accept("P1/1")
    assert again["number"] != case["number"]
    other = either.accept("P1/2")
    either.status(other["id"], "accepted")
    answer = either.call("reviewer", "POST", "/candidates/P1/2/undo")
    assert answer.status_code == 409 and answer.json()["status"] == 409
    assert either.candidate("P1/2")["state"] == "accepted"


def test_the_platforms_words_are_checked(either: World) -> None:
    either.file(feature())
    case = either.accept("P1/1")["id"]
    assert either.status(case, "filed").status_code == 422
    assert either.status(case, "refused").status_code == 422
    assert either.status(case, "refused", reason="不属于受理范围").status_code == 200
    assert either.status(case, "registered").status_code == 409
    assert either.status(case, "returned", reason="更正").status_code == 200
    assert either.status(case, "closed", at="2099-01-01T00:00:00Z").status_code == 422
    assert either.call("reviewer", "POST", f"/cases/{case}/status", json={"state": "closed"}).status_code == 403


def test_the_same_status_twice_is_one_event(either: World) -> None:
    either.file(feature())
    case = either.accept("P1/1")["id"]
    for _ in range(2):
        assert either.status(case, "registered", platform_no="A-1").status_code == 200
    assert [event["type"] for event in either.feed("platform")] == ["case.filed", "case.platform"]


def test_without_an_address_nothing_is_filed(either: World) -> None:
    either.file(feature())
    answer = either.call("reviewer", "POST", "/candidates/P1/1/review", json={"decision": "accept"}).json()
    assert answer["case"] is None and answer["waits_for"] == "address"
    assert either.feed("platform") == []
    filed = either.call("reviewer", "POST", "/candidates/P1/1/file", json={"address": "沂蒙路5号院内"})
    assert filed.status_code == 201 and filed.json()["case"]["address"] == "沂蒙路5号院内"
    assert len(either.feed("platform")) == 1


def test_the_patrols_place_serves_as_address(either: World) -> None:
    either.call("pilot", "POST", "/patrols", json={"id": "P1", "place": "模拟镇"})
    either.file(feature())
    answer = either.call("reviewer", "POST", "/candidates/P1/1/review", json={"decision": "accept"}).json()
    assert answer["case"]["address"].startswith("模拟镇（东经118.35")


def test_cell_and_street_come_from_the_grid(either: World) -> None:
    cells = [
        {
            "type": "Feature",
            "properties": {"cell": f"37130200600100{i}", "tier": 1},
            "geometry": square(200.0 * i, 0, 200),
        }
        for i in (1, 2)
    ]
    loaded = either.call("officer", "PUT", "/grid/cells", json={"type": "FeatureCollection", "features": cells})
    assert loaded.json() == {"loaded": 2}
    (inside,) = either.file(feature(n=1, geometry=square(450.0, 50.0)))
    assert inside["cell"] == "371302006001002"
    case = either.accept("P1/1")
    assert (case["district"], case["street"], case["community"]) == ("371302", "371302006", "371302006001")
    (outside,) = either.file(feature(n=2, geometry=square(-900.0, 0.0)))
    assert outside["cell"] is None
    answer = either.review("P1/2", "accept").json()
    assert answer["case"] is None and answer["waits_for"] == "cell"


def test_drawn_by_a_person(either: World) -> None:
    either.file(feature(n=1))
    body = {"patrol_id": "P1", "family": "sanitation", "geometry": square(east_m=300)}
    drawn = either.call("reviewer", "POST", "/candidates", json=body)
    assert drawn.status_code == 201 and drawn.json()["id"] == "P1/1000000" and drawn.json()["drawn_by"] == "reviewer-1"
    either.accept("P1/1000000")
    again = either.call("reviewer", "POST", "/candidates", json=body)
    assert again.status_code == 409
    unknown = either.call("reviewer", "POST", "/candidates", json={**body, "patrol_id": "NOPE"})
    assert unknown.status_code == 404


def test_leases_do_not_overlap(either: World) -> None:
    either.file(*[feature(n=n, geometry=square(east_m=60.0 * n)) for n in range(6)])
    mine = either.call("reviewer", "POST", "/review/lease", json={"limit": 4}).json()["items"]
    theirs = either.call("officer", "POST", "/review/lease", json={"limit": 4}).json()["items"]
    assert [item["n"] for item in mine] == [0, 1, 2, 3] and [item["n"] for item in theirs] == [4, 5]
    held = either.review("P1/0", "accept", role="officer")
    assert held.status_code == 409 and held.json()["lease_by"] == "reviewer-1"
    either.call("reviewer", "POST", "/candidates/P1/0/release")
    assert either.review("P1/0", "accept", role="officer").status_code == 200


def test_another_look_is_another_persons(either: World) -> None:
    either.file(feature())
    assert either.review("P1/1", "look").json()["candidate"]["state"] == "second"
    assert either.review("P1/1", "accept").status_code == 409
    assert either.review("P1/1", "accept", role="officer").status_code == 200


def test_a_stale_version_is_refused(either: World) -> None:
    either.file(feature())
    assert either.review("P1/1", "accept", version=9).status_code == 412
    assert either.review("P1/1", "reject").status_code == 422
    assert either.review("P1/1", "accept", version=1).status_code == 200
    assert either.review("P1/1", "reject", reason="lawful").status_code == 409


def test_a_batch_with_one_bad_feature_is_refused_whole(either: World) -> None:
    bowtie = {"type": "Polygon", "coordinates": [[[118, 35], [118.1, 35.1], [118.1, 35], [118, 35.1], [118, 35]]]}
    body = collection(feature(n=1), feature(n=2, geometry=bowtie))
    answer = either.call("pilot", "POST", "/sites", json=body)
    assert answer.status_code == 422 and "features[1]" in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert either.feed() == []
