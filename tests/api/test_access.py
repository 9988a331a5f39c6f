"""Accounts, tokens, roles, districts, idempotency keys."""

from __future__ import annotations

import logging
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from api.auth import service
from api.auth.buckets import Buckets
from api.auth.models import Token
from api.base import utcnow
from api.errors import ConflictError, InvalidError
from tests.api.conftest import open_world, settings_for
from tests.api.world import World, feature, square

PASSWORD = "correct horse battery"


@pytest.fixture
def zhang(either: World) -> World:
    with either.context.database.write() as session:
        service.add_user(session, "zhang", "reviewer", PASSWORD)
    return either


def login(world: World, password: str = PASSWORD, name: str = "zhang"):
    return world.client.post("/api/v1/auth/login", json={"name": name, "password": password})


def test_log_in_renew_and_out(zhang: World) -> None:
    first = login(zhang).json()
    assert first["role"] == "reviewer" and first["expires_in"] == 1800
    zhang.tokens["zhang"] = first["access_token"]
    assert zhang.call("zhang", "GET", "/auth/me").json()["name"] == "zhang"
    second = zhang.client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
    zhang.tokens["zhang"] = second["access_token"]
    assert zhang.call("zhang", "POST", "/auth/logout").status_code == 204
    assert zhang.call("zhang", "GET", "/auth/me").status_code == 401


def test_a_stolen_refresh_token_ends_the_log_in(zhang: World) -> None:
    first = login(zhang).json()
    body = {"refresh_token": first["refresh_token"]}
    second = zhang.client.post("/api/v1/auth/refresh", json=body).json()
    with zhang.context.database.write() as session:
        row = session.query(Token).filter(Token.used_at.is_not(None)).one()
        row.used_at = utcnow() - timedelta(minutes=5)
    assert zhang.client.post("/api/v1/auth/refresh", json=body).status_code == 401
    zhang.tokens["z"] = second["access_token"]
    assert zhang.call("z", "GET", "/auth/me").status_code == 401


def test_a_refresh_token_is_no_access_token(zhang: World) -> None:
    zhang.tokens["z"] = login(zhang).json()["refresh_token"]
    assert zhang.call("z", "GET", "/auth/me").status_code == 401


def test_wrong_passwords_are_counted_and_lock(zhang: World) -> None:
    for _ in range(service.LOCK_AFTER):
        assert login(zhang, "wrong").status_code == 401
    locked = login(zhang)
    assert locked.status_code == 401 and "too many" in locked.json()["detail"]
    assert login(zhang, name="nobody").status_code == 401


@pytest.mark.parametrize("value", ["", "x", "yxs_" + "A" * 43, "Bearer", "\u00e9", "yxs_' OR 1=1 --", "A" * 5000])
def test_forged_tokens(either: World, value: str) -> None:
    answer = either.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {value}".encode()})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:yunxun:problem:unauthorized"


def test_an_ended_token(either: World) -> None:
    with either.context.database.write() as session:
        either.tokens["short"] = service.issue_token(session, "officer", lifetime_s=-1)
    assert either.call("short", "GET", "/auth/me").status_code == 401


def test_no_token_is_stored(either: World) -> None:
    with either.context.database.read() as session:
        digests = [row.digest for row in session.query(Token)]
    assert all(len(digest) == 32 for digest in digests)
    assert not any(token.encode() in digest for token in either.tokens.values() for digest in digests)


def test_bad_accounts(either: World) -> None:
    with either.context.database.write() as session:
        service.add_user(session, "li", "officer", PASSWORD)
        for name, role, password in (("a b", "officer", PASSWORD), ("a", "king", PASSWORD), ("a", "pilot", "short")):
            with pytest.raises(InvalidError):
                service.add_user(session, name, role, password)
        with pytest.raises(ConflictError):
            service.add_user(session, "li", "officer", PASSWORD)


def test_the_cookie_alone_changes_nothing(zhang: World) -> None:
    login(zhang)
    assert zhang.client.get("/api/v1/auth/me").status_code == 200
    assert zhang.client.post("/api/v1/review/lease", json={}).status_code == 401
    assert zhang.client.post("/api/v1/review/lease", json={}, headers={"X-Yunxun": "1"}).status_code == 200


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("platform", "POST", "/sites", 403),
        ("platform", "GET", "/candidates", 403),
        ("pilot", "POST", "/review/lease", 403),
        ("pilot", "GET", "/feed", 403),
        ("reviewer", "PUT", "/grid/cells", 403),
        ("officer", "GET", "/auth/users", 403),
        ("admin", "GET", "/auth/users", 200),
        (None, "GET", "/cases", 401),
    ],
)
def test_roles(world: World, role: str | None, method: str, path: str, status: int) -> None:
    body = {} if method != "GET" else None
    assert world.call(role, method, path, json=body).status_code == status


def test_scopes_limit_a_service_token(either: World) -> None:
    with either.context.database.write() as session:
        either.tokens["s"] = service.issue_token(session, "officer", scopes=("feed:read",))
    assert either.call("s", "GET", "/feed").status_code == 200
    assert either.call("s", "POST", "/sites", json=feature()).status_code == 403


def grid(world: World) -> None:
    cells = [
        {"type": "Feature", "properties": {"cell": code}, "geometry": square(200.0 * i, 0, 200)}
        for i, code in enumerate(["371302006001001", "371311006001001"])
    ]
    assert (
        world.call("admin", "PUT", "/grid/cells", json={"type": "FeatureCollection", "features": cells}).status_code
        == 200
    )


def test_districts_are_row_scope(either: World) -> None:
    grid(either)
    with either.context.database.write() as session:
        for role in ("officer", "platform"):
            either.tokens[f"lan-{role}"] = service.issue_token(session, role, name=f"l-{role}", districts=("371302",))
    either.file(feature(n=1, geometry=square(50, 50)), feature(n=2, geometry=square(250, 50)))
    mine, other = either.accept("P1/1"), either.accept("P1/2")
    listed = either.call("lan-officer", "GET", "/cases").json()["items"]
    assert [case["id"] for case in listed] == [mine["id"]]
    assert either.call("lan-officer", "GET", f"/cases/{other['id']}").status_code == 404
    assert either.call("lan-officer", "GET", "/candidates/P1/2").status_code == 404
    assert [item["n"] for item in either.call("lan-officer", "GET", "/candidates").json()["items"]] == [1]
    assert {event["subject"] for event in either.feed("lan-platform")} == {mine["id"]}
    refused = either.call("lan-platform", "POST", f"/cases/{other['id']}/status", json={"state": "accepted"})
    assert refused.status_code == 404


def test_a_replayed_filing_gets_the_first_answer(either: World) -> None:
    first = either.file(feature(), key="k-1")
    assert either.file(feature(), key="k-1") == first and first[0]["outcome"] == "created"
    other = either.call("pilot", "POST", "/sites", json=feature(n=2), headers={"Idempotency-Key": "k-1"})
    assert other.status_code == 422
    # Another caller's keys are their own.
    assert either.file(feature(), key="k-1", role="officer")[0]["outcome"] == "unchanged"
    for bad in ("", "x" * 256):
        answer = either.call("pilot", "POST", "/sites", json=feature(), headers={"Idempotency-Key": bad})
        assert answer.status_code == 422


def test_the_same_key_at_once_is_one_filing(either: World) -> None:
    features = [feature(n=n, geometry=square(east_m=50.0 * n)) for n in range(40)]
    body = {"type": "FeatureCollection", "patrol_id": "P1", "features": features}
    answers = []

    def send() -> None:
        answers.append(either.call("pilot", "POST", "/sites", json=body, headers={"Idempotency-Key": "same"}))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {201, 409}
    firsts = [answer.json() for answer in answers if answer.status_code == 201]
    assert firsts and all(one == firsts[0] for one in firsts)
    assert len(either.feed()) == 40


def test_two_patrols_see_one_new_thing_at_once(either: World) -> None:
    """The search for a site and its making are one step: no two sites for one roof."""
    threads = [threading.Thread(target=either.file, args=(feature(f"D{i}"),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sites = {either.candidate(f"D{i}/1")["site_id"] for i in range(8)}
    assert len(sites) == 1
    pending = either.call("reviewer", "GET", "/candidates?state=pending").json()["items"]
    assert len(pending) == 1


def test_secrets_are_made_once_and_closed(world: World) -> None:
    settings = world.context.settings
    assert settings.secret("root.key") == settings.secret("root.key")
    path = Path(settings.data_dir) / "secrets" / "root.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_bucket_fills_again() -> None:
    clock = [0.0]
    bucket = Buckets(2.0, 3, lambda: clock[0])
    assert [bucket.take("a") for _ in range(5)] == [True, True, True, False, False]
    assert bucket.take("b"), "another's is full"
    clock[0] = 1.0
    assert [bucket.take("a") for _ in range(3)] == [True, True, False]
    clock[0] = 1000.0
    assert [bucket.take("a") for _ in range(4)] == [True, True, True, False]
    assert all(Buckets(0.0, 0).take("a") for _ in range(100))


def test_who_asks_too_often_is_told_to_wait(tmp_path: Path, empty_sqlite: Path) -> None:
    limited = settings_for(tmp_path / "data", empty_sqlite, rate_per_s=0.5, rate_burst=3, login_per_minute=4)
    for world in open_world(limited):
        answers = [world.call("officer", "GET", "/auth/me") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].headers["retry-after"] and answers[-1].headers["content-type"] == "application/problem+json"
        assert world.call("pilot", "GET", "/auth/me").status_code == 200
        tries = [login(world, "wrong", "nobody").status_code for _ in range(6)]
        assert tries == [401, 401, 401, 401, 429, 429]


def test_no_secret_is_in_any_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """All loggers at their most talkative, and everything that carries a secret in or out."""
    secrets = [PASSWORD, "another-Secret-pass", "wrong-Secret-guess"]
    with caplog.at_level(logging.DEBUG):
        body = {"name": "sun", "role": "reviewer", "password": "another-Secret-pass"}
        assert world.call("admin", "POST", "/auth/users", json=body).status_code == 201
        assert login(world, "wrong-Secret-guess", "sun").status_code == 401
        first = login(world, "another-Secret-pass", "sun").json()
        second = world.client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]}).json()
        made = world.call("admin", "POST", "/auth/tokens", json={"name": "city", "role": "platform"}).json()["token"]
        world.call(None, "GET", "/cases", headers={"Authorization": f"Bearer {made}x"})
        world.call("officer", "GET", f"/cases?cursor={made}")
        world.call("officer", "POST", "/sites", content=f'{{"password": "{PASSWORD}"'.encode())
        world.client.post("/api/v1/auth/login", content=PASSWORD.encode())
    for pair in (first, second):
        secrets += [pair["access_token"], pair["refresh_token"]]
    secrets += [made, *world.tokens.values(), world.context.settings.secret("signing.key").hex()]
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    lines = [f"{record.getMessage()} {record.__dict__} {record.exc_text or ''}" for record in ours]
    assert len(lines) >= 9
    for secret in secrets:
        assert not any(secret in line for line in lines), f"{secret[:6]}... is in the log"
