"""Lists by cursor: every filter, at any depth, says what a plain scan of all rows says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.cases.lists import MAX_RANGES
from tests.api.conftest import open_world, settings_for
from tests.api.world import LAT, LON, World, feature, square

DAYS = 40


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """120 cases over 6 by 5 km, in four communities of two districts, in several states."""
    from api.database import migrate

    folder: Path = tmp_path_factory.mktemp("many")
    template: Path = request.getfixturevalue("empty_sqlite")
    if request.param == "postgres":
        cluster = request.getfixturevalue("cluster")
        cluster.sql("CREATE DATABASE many")
        migrate(cluster.url_of("many"))
        settings = settings_for(folder, None, database_url=cluster.url_of("many"))
    else:
        settings = settings_for(folder, template)
    for world in open_world(settings):
        _fill(world)
        yield world


def _fill(world: World) -> None:
    codes = ["371302006001001", "371302006002001", "371302007001001", "371311001001001"]
    cells = [
        {"type": "Feature", "properties": {"cell": code}, "geometry": square(1600.0 * i - 10, -10, 1600)}
        for i, code in enumerate(codes)
    ]
    # Squares of 1.6 km cover only the lower part; the rest lies in no cell.
    world.context.database.engine.echo = False
    answer = world.call("admin", "PUT", "/grid/cells", json={"type": "FeatureCollection", "features": cells})
    assert answer.status_code == 200
    rng = random.Random(3)
    features = []
    for n in range(120):
        family, label = rng.choice([("construction", "new_building"), ("sanitation", "waste_heap")])
        place = square(rng.uniform(0, 6200), rng.uniform(0, 1500), 12)
        features.append(feature(n=n, geometry=place, family=family, label=label, probability=rng.random()))
    taken = [one for one in world.file(*features) if one["state"] == "pending"]
    for i, one in enumerate(taken):
        case = world.accept(one["id"], role="reviewer" if i % 3 else "officer")
        if i % 4 == 0:
            assert world.status(case["id"], "registered").status_code == 200
        if i % 10 == 0:
            assert world.status(case["id"], "closed").status_code == 200


def walk(world: World, limit: int, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    for _ in range(200):
        query = {**params, "limit": limit, **({"cursor": cursor} if cursor else {})}
        answer = world.call("officer", "GET", "/cases", params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items
    raise AssertionError("a list without an end")


BOX = (LON + 0.01, LAT + 0.002, LON + 0.045, LAT + 0.012)


def _in_box(case: dict[str, Any]) -> bool:
    return BOX[0] <= case["lon"] <= BOX[2] and BOX[1] <= case["lat"] <= BOX[3]


# The lower right half of the box.
TRIANGLE = f"POLYGON(({BOX[0]} {BOX[1]},{BOX[2]} {BOX[1]},{BOX[2]} {BOX[3]},{BOX[0]} {BOX[1]}))"


def _in_triangle(case: dict[str, Any]) -> bool:
    slope = (BOX[3] - BOX[1]) / (BOX[2] - BOX[0])
    return _in_box(case) and case["lat"] - BOX[1] <= slope * (case["lon"] - BOX[0])


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda case: True),
    ({"state": "registered"}, lambda case: case["state"] == "registered"),
    ({"state": "filed,closed", "family": "sanitation"},
     lambda c: c["state"] != "registered" and c["family"] == "sanitation"),
    ({"bbox": ",".join(map(str, BOX))}, _in_box),
    ({"bbox": ",".join(map(str, BOX)), "state": "filed", "family": "construction"},
     lambda c: _in_box(c) and c["state"] == "filed" and c["family"] == "construction"),
    ({"polygon": TRIANGLE}, _in_triangle),
    ({"polygon": TRIANGLE, "bbox": "100,10,140,60", "family": "sanitation"},
     lambda c: _in_triangle(c) and c["family"] == "sanitation"),
    ({"district": "371302", "state": "filed"}, lambda c: c["district"] == "371302" and c["state"] == "filed"),
    ({"state": "closed"}, lambda case: case["state"] == "closed"),
    ({"bbox": "100,10,140,60"}, lambda case: True),
    ({"bbox": "10,10,10.1,10.1"}, lambda case: False),
    ({"district": "371311"}, lambda case: case["district"] == "371311"),
    ({"cell": "371302"}, lambda case: case["district"] == "371302"),
    ({"cell": "3713"}, lambda case: case["cell"] is not None),
    ({"cell": "37130200"}, lambda case: (case["cell"] or "").startswith("37130200")),
    ({"cell": "3713020060"}, lambda case: (case["cell"] or "").startswith("3713020060")),
    ({"cell": "371302006001001"}, lambda case: case["cell"] == "371302006001001"),
    ({"cell": "99"}, lambda case: False),
    ({"reviewer": "officer-1"}, lambda case: case["reviewer"] == "officer-1"),
    ({"code": "06010"}, lambda case: case["code"] == "06010"),
    ({"min_probability": 0.5, "family": "construction"},
     lambda c: c["probability"] >= 0.5 and c["family"] == "construction"),
]  # fmt: skip


@pytest.mark.parametrize(("params", "fits"), FILTERS, ids=[str(params) for params, _ in FILTERS])
def test_every_filter_says_what_a_scan_says(many: World, params: dict[str, Any], fits: Any) -> None:
    everything = walk(many, 1000)
    assert len(everything) > 80
    expected = [case["id"] for case in everything if fits(case)]
    assert expected == sorted(expected, reverse=True)
    for limit in (7, 1000):
        assert [case["id"] for case in walk(many, limit, **params)] == expected


def test_periods(many: World) -> None:
    everything = walk(many, 1000)
    middle = everything[len(everything) // 2]["filed_at"]
    later = [case["id"] for case in everything if case["filed_at"] >= middle]
    assert [case["id"] for case in walk(many, 50, since=middle)] == later
    assert len(walk(many, 50, until=middle)) == len(everything) - len(later)
    tomorrow = (datetime.fromisoformat(middle) + timedelta(days=1)).isoformat()
    assert walk(many, 50, since=tomorrow) == []


def test_a_case_that_moves_between_pages_is_neither_lost_nor_doubled(many: World) -> None:
    first = many.call("officer", "GET", "/cases", params={"limit": 10, "family": "construction"}).json()
    many.file(feature("NEW", n=1, geometry=square(6300, 1555, 12)))
    many.accept("NEW/1")
    second = many.call(
        "officer", "GET", "/cases", params={"limit": 10, "family": "construction", "cursor": first["next"]}
    )
    ids = [case["id"] for case in first["items"] + second.json()["items"]]
    assert len(set(ids)) == 20 and ids == sorted(ids, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "e30", "WzFd", "W10", "'; DROP TABLE cases --", "WyJ4Il0", "bnVsbA"])
def test_a_cursor_that_is_not_ours(many: World, cursor: str) -> None:
    assert many.call("officer", "GET", "/cases", params={"cursor": cursor}).status_code == 422


@pytest.mark.parametrize("bbox", ["1,2,3", "a,b,c,d", "nan,0,1,1", "10,0,5,1", "0,0,0,999", "1e400,0,1,1", ""])
def test_a_box_that_is_none(many: World, bbox: str) -> None:
    assert many.call("officer", "GET", "/cases", params={"bbox": bbox}).status_code == (200 if bbox == "" else 422)


def test_ranges_are_bounded() -> None:
    assert MAX_RANGES <= 1000


@pytest.mark.parametrize(
    "polygon",
    ["POINT(118 35)", "nothing", "POLYGON((118 35,119 36,119 35,118 36,118 35))", "POLYGON((0 0,0 200,200 200,0 0))",
     "POLYGON EMPTY", "POLYGON((nan nan,nan 1,1 1,nan nan))"],
)  # fmt: skip
def test_what_is_no_polygon_is_refused(many: World, polygon: str) -> None:
    answer = many.call("officer", "GET", "/cases", params={"polygon": polygon})
    assert answer.status_code == 422, answer.text
