"""Reviews become lessons; what teaches nothing is left out with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yunxun.errors import YunxunError
from yunxun.verdicts import lessons_of, read_reviews
from yunxun.workspace import PatrolFolder

SQUARE = {"type": "Polygon", "coordinates": [[[118.35, 35.05], [118.36, 35.05], [118.36, 35.06], [118.35, 35.05]]]}


def review(n: int, patrol: str, state: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{patrol}/{n}", "patrol_id": patrol, "family": "sanitation", "label": "waste_heap", "state": state,
        "reason": reason, "geometry": SQUARE, **more,
    }  # fmt: skip


@pytest.fixture
def patrol(tmp_path: Path) -> PatrolFolder:
    folder = PatrolFolder(tmp_path / "2026-11-23-lanshan-01")
    folder.ensure_record(patrol_id="P1")
    folder.mosaic.write_bytes(b"a mosaic that nobody opens here")
    return folder


def test_reviews_teach_what_they_say(patrol: PatrolFolder) -> None:
    items = [
        review(1, "P1", "accepted"),
        review(2, "P1", "rejected", "not_a_problem"),
        # Lawful: nothing to file, but the network was right to see it.
        review(3, "P1", "rejected", "lawful"),
    ]
    lessons = lessons_of(items, patrol.root.parent)
    assert [verdict.accepted for verdict in lessons.verdicts] == [True, False, True]
    assert lessons.verdicts[0].mosaic == patrol.mosaic
    assert lessons.left_out == {}


def test_what_teaches_nothing_is_left_out_by_reason(patrol: PatrolFolder) -> None:
    items = [
        review(1, "P1", "new"),
        review(2, "P1", "rejected", "unclear"),
        review(3, "P2", "accepted"),
        review(4, "P1", "accepted", platform_reason="不予受理: 不属于立案范围"),
    ]
    lessons = lessons_of(items, patrol.root.parent)
    assert lessons.verdicts == ()
    assert sum(lessons.left_out.values()) == 4
    assert any("platform" in why for why in lessons.left_out)


def test_reviews_come_from_a_page_or_a_list_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    path.write_text(json.dumps({"items": [review(1, "P1", "accepted")], "next": None}))
    assert len(read_reviews(path)) == 1
    path.write_text(json.dumps([review(1, "P1", "accepted")]))
    assert len(read_reviews(path)) == 1
    path.write_text('"neither"')
    with pytest.raises(YunxunError, match="as the API gives them"):
        read_reviews(path)
