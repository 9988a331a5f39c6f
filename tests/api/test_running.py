"""Running it: exports, OGC, metrics, logs, backup and restore, migration from the previous release with data."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path

import pytest
from openpyxl import load_workbook
from sqlalchemy import text

from api.backup import backup, check_backup, restore
from api.database import migrate
from api.errors import ApiError
from api.settings import ApiSettings
from api.telemetry import JsonLines, request_id
from tests.api.conftest import open_world
from tests.api.world import World, feature, square


def fill(world: World, n: int = 3) -> list[dict]:
    world.file(*[feature(n=i, geometry=square(100.0 * i)) for i in range(n)])
    return [world.accept(f"P1/{i}") for i in range(n)]


def test_exports_say_the_same_and_hold_no_formula(world: World) -> None:
    world.file(*[feature(n=i, geometry=square(100.0 * i)) for i in range(3)])
    for i, address in enumerate(['=HYPERLINK("http://x")', "@SUM(A1)", "北园路\x0b1号"]):
        world.accept(f"P1/{i}", address=address)
    rows = list(
        csv.DictReader(io.StringIO(world.call("officer", "GET", "/cases/export.csv").content.decode("utf-8-sig")))
    )
    assert len(rows) == 3 and not any(row["位置描述"].startswith(("=", "@")) for row in rows)
    book = load_workbook(io.BytesIO(world.call("officer", "GET", "/cases/export.xlsx").content))
    cells = [cell for row in book.active.iter_rows(values_only=False) for cell in row]
    assert all(cell.data_type != "f" for cell in cells) and book.active.max_row == 4
    found = world.call("officer", "GET", "/cases/export.geojson").json()
    assert sorted(item["properties"]["number"] for item in found["features"]) == sorted(row["案卷编号"] for row in rows)
    with world.context.database.read() as session:
        assert session.execute(text("SELECT count(*) FROM audit WHERE action = 'cases.export'")).scalar() == 3
    assert world.call("officer", "GET", "/cases/export.pdf").status_code == 422


def test_ogc_collections_page_to_the_end(world: World) -> None:
    fill(world, 5)
    names = [one["id"] for one in world.call("officer", "GET", "/ogc/collections").json()["collections"]]
    assert names == ["cases", "cells", "routes", "mosaics"]
    assert any(
        one.endswith("/conf/core") for one in world.call("officer", "GET", "/ogc/conformance").json()["conformsTo"]
    )
    seen, path = [], "/ogc/collections/cases/items?limit=2"
    while path:
        answer = world.call("officer", "GET", path)
        assert answer.headers["content-type"] == "application/geo+json"
        page = answer.json()
        assert page["numberReturned"] == len(page["features"]) <= 2
        seen += [one["id"] for one in page["features"]]
        path = next((link["href"].split("/api/v1", 1)[1] for link in page["links"] if link["rel"] == "next"), "")
    assert len(set(seen)) == 5
    one = world.call("officer", "GET", f"/ogc/collections/cases/items/{seen[0]}").json()
    assert one["geometry"]["type"] == "Polygon"
    for name in names:
        assert world.call("officer", "GET", f"/ogc/collections/{name}/items?bbox=118,35,119,36").status_code == 200
    assert world.call("officer", "GET", "/ogc/collections/x/items").status_code == 404


def test_metrics_count_routes_not_paths(world: World) -> None:
    case = fill(world, 1)[0]
    world.call("officer", "GET", f"/cases/{case['id']}")
    found = world.client.get("/metrics").text
    assert 'yunxun_http_requests_total{method="GET",route="/api/v1/cases/{case_id}",status="200"} 1.0' in found
    assert case["id"] not in found and 'yunxun_waiting{what="candidates"}' in found


def test_logs_are_json_lines_with_the_request_id_and_no_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="api"):
        answer = world.call("officer", "GET", "/cases", headers={"X-Request-Id": "abcdef-123456"})
        world.client.post("/api/v1/auth/login", json={"name": "zhang", "password": "s3cret-password"})
    assert answer.headers["x-request-id"] == "abcdef-123456"
    token = request_id.set("abcdef-123456")
    lines = [JsonLines().format(record) for record in caplog.records if record.name.startswith("api")]
    request_id.reset(token)
    parsed = [json.loads(line) for line in lines]
    assert any(line.get("path") == "/api/v1/cases" and line["actor"] == "officer-1" for line in parsed)
    assert not any(secret in line for line in lines for secret in (*world.tokens.values(), "s3cret"))
    evil = world.call("officer", "GET", "/cases", headers={"X-Request-Id": 'x" onload=1 <script>'})
    assert "<" not in evil.headers["x-request-id"]


def test_backup_and_restore(either: World, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cases = fill(either)
    either.status(cases[0]["id"], "registered", platform_no="X1")
    before = either.feed()
    either.context.settings.secret("signing.key")
    folder = tmp_path / "backup"
    manifest = backup(either.context.settings, folder)
    assert manifest["feed_position"] == before[-1]["id"]
    # What happens after the backup is not in it.
    either.status(cases[1]["id"], "registered")
    url = ""
    if either.context.database.is_postgres:
        cluster = request.getfixturevalue("cluster")
        name = f"restored_{tmp_path.name[-12:].replace('-', '_')}".lower()
        cluster.sql(f'CREATE DATABASE "{name}"')
        url = cluster.url_of(name)
    fresh = ApiSettings(data_dir=tmp_path / "fresh", database_url=url)
    restore(fresh, folder)
    with pytest.raises(ApiError):
        restore(fresh, folder)
    for again in open_world(fresh):
        assert again.feed() == before
        assert fresh.secret("signing.key") == either.context.settings.secret("signing.key")
        again.status(cases[1]["id"], "registered")
        after = again.feed()
        assert after[:-1] == before and again.feed(lastEventId=before[-1]["id"]) == after[-1:]
        again.file(feature(n=99, geometry=square(5000)))
        assert again.accept("P1/99")["number"].endswith("00004")


def test_a_damaged_backup_is_not_restored(world: World, tmp_path: Path) -> None:
    fill(world, 1)
    folder = tmp_path / "backup"
    backup(world.context.settings, folder)
    check_backup(folder)
    with (folder / "yunxun.sqlite").open("r+b") as file:
        file.seek(5000)
        file.write(b"\x00\x01\x02")
    with pytest.raises(ApiError, match="changed"):
        restore(ApiSettings(data_dir=tmp_path / "fresh"), folder)
    with pytest.raises(ApiError, match="not empty"):
        backup(world.context.settings, folder)
    with pytest.raises(ApiError, match="not a whole backup"):
        check_backup(tmp_path / "nothing")


# Tables as the release before had them, filled by hand: today's models must not be what writes them.
OLD_CASE = {
    "number": "LY-WRJ-20260101-00001", "candidate_id": "OLD/1", "patrol_id": "OLD", "family": "construction",
    "label": "new_building", "code_set": "GB/T 47678.5-2026", "code": "06001", "lon": 118.35, "lat": 35.1,
    "tile": 450_000, "district": "371302", "address": "北园路1号", "description": "疑似私搭乱建", "probability": 0.9,
    "reviewer": "old", "evidence": [], "version": 1,
}  # fmt: skip


def _fill_old(url: str) -> str:
    """An officer's token, a patrol, a reviewed candidate, its refused case and the case's chain."""
    import hashlib
    import uuid
    from datetime import UTC, datetime

    import shapely
    from sqlalchemy import MetaData, create_engine

    from api.base import Geometry
    from api.feed.service import GENESIS, canonical, chain_hash

    engine = create_engine(url)
    meta = MetaData()
    meta.reflect(engine, only=["patrols", "candidates", "cases", "events", "tokens"])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    data = canonical({"number": OLD_CASE["number"], "state": "filed"})
    case = uuid.UUID("019b7f00-0000-7000-8000-000000000001")
    link = {"type": "case.filed", "subject": str(case), "chain_n": 1, "actor": "old", "data": data}
    digest = chain_hash(GENESIS, time=at, **link)
    shape = shapely.box(118.35, 35.1, 118.3502, 35.1002)
    chained = {"chain_n": 1, "chain_hash": digest}
    rows = {
        "patrols": {"id": "OLD", "name": "old", "paths": {}, "models": {}, "created_by": "x", "created_at": at},
        "tokens": {"digest": hashlib.sha256(b"old-token").digest(), "kind": "service", "name": "old",
                   "role": "officer", "scopes": [], "districts": [], "created_at": at},
        "cases": {**OLD_CASE, **chained, "id": case, "state": "refused", "platform_reason": "重复上报", "geom": shape,
                  "filed_at": at},
        "candidates": {"id": "OLD/1", "patrol_id": "OLD", "n": 1, "case_id": case, "state": "accepted",
                       "family": "construction", "label": "new_building", "probability": 0.9, "area_m2": 400.0,
                       "geom": shape, "lon": 118.35, "lat": 35.1, "tile": 450_000, "frames": [], "more": {},
                       "content_sha256": bytes(32), "reviewer": "old", "decided_at": at, "version": 2, "chain_n": 0,
                       "chain_hash": GENESIS, "created_at": at},
        "events": {**link, "epoch": 1, "xid": 0, "time": at, "prev_hash": GENESIS, "hash": digest},
    }  # fmt: skip
    with engine.begin() as connection:
        for name, row in rows.items():
            table = meta.tables[name]
            if "geom" in row:
                table.c.geom.type = Geometry()
            if engine.dialect.name == "sqlite":
                plain = {"id": case.hex} if name == "cases" else {"case_id": case.hex} if name == "candidates" else {}
                row = {key: value.replace(tzinfo=None) if value is at else value for key, value in row.items()} | plain
            connection.execute(table.insert().values(row))
    engine.dispose()
    return str(case)


@pytest.mark.parametrize("release", ["0001", "0002"])
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_earlier_releases_with_data_come_along(
    tmp_path: Path, engine: str, release: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    if engine == "postgres":
        cluster = request.getfixturevalue("cluster")
        cluster.sql(f"CREATE DATABASE old_{release}")
        url = cluster.url_of(f"old_{release}")
    migrate(url, release)
    case = _fill_old(url)
    migrate(url)
    migrate(url)
    for world in open_world(ApiSettings(data_dir=tmp_path / "data", database_url=url)):
        world.tokens["old"] = "old-token"
        assert [one["id"] for one in world.call("old", "GET", "/patrols").json()["items"]] == ["OLD"]
        held = world.call("old", "GET", f"/cases/{case}").json()
        assert (held["number"], held["geometry"]["type"]) == (OLD_CASE["number"], "Polygon")
        assert [one["id"] for one in world.call("old", "GET", "/cases?district=371302").json()["items"]] == [case]
        refused = world.call("old", "GET", "/candidates?refused=true").json()["items"]
        assert [(one["id"], one["platform_reason"]) for one in refused] == [("OLD/1", "重复上报")]
        assert world.status(case, "returned", reason="更正").status_code == 200
        told = world.call("old", "GET", f"/cases/{case}/events").json()
        assert told["intact"] and [one["type"] for one in told["events"]] == ["case.filed", "case.platform"]
        fill(world, 2)


def test_health(world: World) -> None:
    assert world.client.get("/healthz").json()["status"] == "ok"
    assert world.client.get("/readyz").json() == {"status": "ready"}
    unknown = world.client.get("/api/v1/nothing")
    assert unknown.status_code == 404 and unknown.headers["content-type"] == "application/problem+json"


def test_a_database_that_cannot_be() -> None:
    for url in ("mysql://x/y", "sqlite://", "not a url"):
        with pytest.raises(ApiError):
            migrate(url)
    with pytest.raises(ApiError, match="cannot migrate"):
        migrate("postgresql://nobody:secret@127.0.0.1:1/none")
