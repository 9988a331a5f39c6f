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

from api.auth.service import issue_token
from api.backup import backup, check_backup, restore
from api.database import Database, migrate
from api.errors import ApiError
from api.feed.service import verify_chain
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


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_the_previous_release_with_data_comes_along(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    if engine == "postgres":
        cluster = request.getfixturevalue("cluster")
        cluster.sql("CREATE DATABASE old_release")
        url = cluster.url_of("old_release")
    migrate(url, "0001")
    database = Database(url)
    with database.write() as session:
        token = issue_token(session, "officer", name="old")
        session.execute(text(
            "INSERT INTO patrols (id, name, paths, models, created_by, created_at)"
            " VALUES ('OLD', 'old', '{}', '{}', 'x', '2026-01-01 00:00:00+00')"
        ))  # fmt: skip
    database.close()
    migrate(url)
    migrate(url)
    for world in open_world(ApiSettings(data_dir=tmp_path / "data", database_url=url)):
        world.tokens["old"] = token
        assert [one["id"] for one in world.call("old", "GET", "/patrols").json()["items"]] == ["OLD"]
        fill(world, 2)
        with world.context.database.read() as session:
            from api.feed.models import Event

            rows = session.query(Event).filter(Event.subject == "P1/0").order_by(Event.chain_n).all()
        assert verify_chain(rows) is None


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
