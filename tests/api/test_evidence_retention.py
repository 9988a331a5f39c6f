"""Retention: what the rules keep and let go, on record, with the hash that stays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from api.base import utcnow
from api.cases.models import Case
from api.errors import ConflictError
from api.evidence import retention
from api.evidence.dossier import verify_dossier
from api.evidence.models import Evidence
from api.evidence.retention_rules import RetentionRules
from api.feed.models import Event
from api.feed.service import verify_chain
from api.patrols.models import Frame, Patrol
from api.patrols.service import uploads_of
from api.settings import ApiSettings
from tests.api.conftest import open_world, settings_for
from tests.api.rasters import jpeg, mosaic
from tests.api.world import World, feature, square

RULES = RetentionRules(enabled=True, keep_one_in=4)


@pytest.fixture
def world(tmp_path: Path, empty_sqlite: Path) -> Iterator[World]:
    yield from open_world(settings_for(tmp_path / "data", empty_sqlite, retention=RULES))


def upload(world: World, n: int) -> list[str]:
    """A patrol of n photographs, F00.jpg, F01.jpg, ...; gives their hashes."""
    assert world.call("pilot", "POST", "/patrols", json={"id": "P1", "place": "北园"}).status_code == 201
    parts = [("files", (f"F{i:02d}.jpg", jpeg(64, 48, seed=i), "image/jpeg")) for i in range(n)]
    assert world.call("pilot", "POST", "/patrols/P1/frames", files=parts).status_code == 201
    return [hashlib.sha256(jpeg(64, 48, seed=i)).hexdigest() for i in range(n)]


def seen(*frames: int) -> dict[str, Any]:
    return {"frames": [{"id": "0" * 64, "file": f"F{i:02d}.jpg", "bbox_px": [1, 1, 20, 20]} for i in frames]}


def aged(world: World, days: float) -> None:
    with world.context.database.write() as session:
        session.get(Patrol, "P1").flown_at = utcnow() - timedelta(days=days)  # type: ignore[union-attr]


def run(world: World) -> dict[str, Any]:
    return retention.nightly(world.context.settings, world.context.database)


def left(world: World) -> list[str]:
    return sorted(path.name for path in uploads_of(world.context.settings, "P1").rglob("*.jpg"))


def test_photographs_go_by_what_they_show_and_how_old_they_are(world: World) -> None:
    hashes = upload(world, 12)
    world.file(
        feature(n=1, **seen(1)), feature(n=2, geometry=square(100), **seen(2)),
        feature(n=3, geometry=square(200), **seen(3)),
    )  # fmt: skip
    world.accept("P1/1")
    assert world.review("P1/2", "reject", reason="not_a_problem").status_code == 200
    aged(world, 29)
    assert not run(world)["going"] and len(left(world)) == 12
    aged(world, 31)
    told = retention.report(world.context.settings, world.context.database)
    assert len(left(world)) == 12, "a report deletes nothing"
    assert {rule: tally["files"] for rule, tally in told["going"].items()} == {"shows no candidate, over 30 days": 6}
    assert run(world)["going"] == told["going"]
    # Every fourth of the flight (0, 4, 8) stays as a sample; 1, 2, 3 show something.
    assert left(world) == ["F00.jpg", "F01.jpg", "F02.jpg", "F03.jpg", "F04.jpg", "F08.jpg"]
    aged(world, 181)
    run(world)
    assert "F02.jpg" not in left(world) and "F01.jpg" in left(world)
    aged(world, 10_000)
    run(world)
    assert "F03.jpg" in left(world), "what waits for review stays, however old"
    assert "F01.jpg" not in left(world)
    with world.context.database.read() as session:
        rows = session.execute(
            text("SELECT subject, reason FROM audit WHERE action = 'retention.delete' ORDER BY id")
        ).all()
        assert session.get(Frame, ("P1", hashes[5])).deleted_at is not None  # type: ignore[union-attr]
        assert session.get(Frame, ("P1", hashes[3])).deleted_at is None  # type: ignore[union-attr]
    assert {sha for sha, _ in rows} >= {hashes[i] for i in (1, 2, 5, 6, 7, 9, 10, 11)} and all(why for _, why in rows)


def test_nothing_goes_unless_it_is_enabled(tmp_path: Path, empty_sqlite: Path) -> None:
    for world in open_world(settings_for(tmp_path / "data", empty_sqlite)):
        upload(world, 4)
        aged(world, 400)
        told = run(world)
        assert told["deleted"] is False and len(left(world)) == 4 and told["going"]


def test_a_patrol_that_is_being_worked_on_is_left_alone(world: World) -> None:
    upload(world, 4)
    aged(world, 400)
    assert world.call("pilot", "POST", "/patrols/P1/jobs").status_code == 202
    assert not run(world)["going"] and len(left(world)) == 4


def test_both_names_of_one_file_go_and_a_strangers_folder_never(world: World, tmp_path: Path) -> None:
    upload(world, 4)
    own, card = tmp_path / "data" / "patrols" / "P1", tmp_path / "card"
    (own / "frames" / "S01").mkdir(parents=True)
    card.mkdir()
    for path in sorted(uploads_of(world.context.settings, "P1").glob("*.jpg")):
        os.link(path, own / "frames" / "S01" / path.name)
    (card / "mine.jpg").write_bytes(jpeg(seed=9))
    (own / "frames" / "S01" / "away.jpg").symlink_to(card / "mine.jpg")
    body = {"id": "P1", "paths": {"folder": str(own), "frames": str(own / "frames")}}
    assert world.call("admin", "POST", "/patrols", json=body).status_code == 201
    assert world.call("admin", "POST", "/patrols", json={"id": "P2", "paths": {"frames": str(card)}}).status_code == 201
    with world.context.database.write() as session:
        session.execute(text("UPDATE patrols SET flown_at = '2020-01-01 00:00:00'"))
    told = run(world)
    assert sum(tally["files"] for tally in told["going"].values()) == 3
    assert [path.name for path in (own / "frames" / "S01").glob("F*.jpg")] == left(world) == ["F00.jpg"]
    assert (card / "mine.jpg").exists()


@pytest.fixture
def filed(world: World, tmp_path: Path) -> tuple[World, str]:
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "a.jpg").write_bytes(jpeg(seed=4))
    paths = {"mosaic": str(mosaic(tmp_path / "after.tif", bright=True, side_px=256)), "frames": str(frames)}
    assert world.call("admin", "POST", "/patrols", json={"id": "P1", "paths": paths}).status_code == 201
    world.file(feature(frames=[{"id": "0" * 64, "file": "a.jpg", "bbox_px": [100, 100, 180, 160]}]))
    return world, world.accept("P1/1")["id"]


def moved(world: World, years: float) -> None:
    with world.context.database.write() as session:
        case = session.query(Case).one()
        long_ago = utcnow() - timedelta(days=366 * years)
        if case.platform_at is None:
            case.filed_at = long_ago
        else:
            case.platform_at = long_ago


def alive(world: World) -> int:
    with world.context.database.read() as session:
        return session.query(Evidence).filter(Evidence.deleted_at.is_(None)).count()


def test_evidence_outlives_its_case_by_years_and_its_hash_for_ever(filed: tuple[World, str], tmp_path: Path) -> None:
    world, case = filed
    before = world.call("officer", "GET", f"/cases/{case}/evidence").json()
    assert world.status(case, "registered").status_code == 200
    moved(world, 50)
    run(world)
    assert alive(world) == len(before), "the case is not ended"
    assert world.status(case, "closed").status_code == 200
    moved(world, 9)
    run(world)
    assert alive(world) == len(before)
    moved(world, 11)
    told = run(world)
    assert told["going"]["evidence of a closed case, over 10 years"]["files"] == len(before) and alive(world) == 0
    after = {item["sha256"]: item["deleted"] for item in world.call("officer", "GET", f"/cases/{case}/evidence").json()}
    assert after == {item["sha256"]: True for item in before}
    sha = next(item["sha256"] for item in before if item["kind"] == "original")
    assert world.call("officer", "GET", f"/evidence/{sha}?reason=x").status_code == 404
    with world.context.database.read() as session:
        rows = session.query(Event).filter(Event.subject == case).order_by(Event.chain_n).all()
        assert verify_chain(rows) is None and "removed" in rows[-1].data
    path = tmp_path / "d.zip"
    path.write_bytes(world.call("officer", "GET", f"/cases/{case}/dossier").content)
    assert verify_dossier(path) == [], "the dossier of a case whose pictures have gone still proves its history"


def test_two_runs_at_once_are_one(world: World) -> None:
    with retention._alone(world.context.settings.data_dir), pytest.raises(ConflictError):
        run(world)


def test_the_cache_has_a_size(world: World) -> None:
    folder = world.context.settings.data_dir / "cache" / "pictures" / "aa"
    folder.mkdir(parents=True)
    for i in range(5):
        (folder / f"{i}").write_bytes(bytes(1000))
        os.utime(folder / f"{i}", (i + 1, i + 1))
    small = world.context.settings.model_copy(update={"retention": RetentionRules(cache_gb=2.5e-6)})
    assert retention.prune_cache(small).files == 3
    assert sorted(path.name for path in folder.iterdir()) == ["3", "4"]


def test_the_report_shows_the_budget_and_one_sweep(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(world, 4)
    answer = world.call("officer", "GET", "/retention")
    assert answer.status_code == 200 and world.call("reviewer", "GET", "/retention").status_code == 403
    told = answer.json()
    size = sum(len(jpeg(64, 48, seed=i)) for i in range(4))
    assert told["staying"]["shows no candidate, within 30 days"] == {"files": 4, "size_bytes": size}
    assert told["sweep"]["sweep_gb"] == pytest.approx(1504.8), "four photographs are no measure of a city"
    monkeypatch.setattr(retention, "ENOUGH", 4)
    measured = retention.report(world.context.settings, world.context.database)["sweep"]
    assert measured["sweep_gb"] == pytest.approx(171_000 * size / 4 / 1e9, abs=0.06)
    empty = retention.sweep_of(ApiSettings(data_dir=Path("x")), retention.Plan())
    assert empty["sweep_gb"] == pytest.approx(1504.8) and empty["kept_of_a_sweep_gb"] < 160


@pytest.mark.parametrize(
    "more", [{"case_years": 2}, {"empty_frame_days": 400}, {"keep_one_in": -1}, {"unknown": 1}, {"budget_gb": 0}]
)
def test_rules_that_cannot_be(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RetentionRules(**more)
