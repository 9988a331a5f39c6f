"""Log-in by an identity provider: a real one in its own process, and everything a forger would try."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from api.auth import oidc as protocol
from api.auth import service
from api.auth.oidc_routes import PENDING
from api.auth.oidc_settings import OidcSettings
from api.auth.people import role_and_districts
from api.errors import ApiError, ForbiddenError, UnauthorizedError
from api.settings import ApiSettings
from tests.api.conftest import open_world, settings_for
from tests.api.oidc_provider import CLIENT, SECRET
from tests.api.world import World

REPO = Path(__file__).parents[2]
BACK = "http://localhost/api/v1/auth/oidc/callback"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "-m", "tests.api.oidc_provider", str(port)], cwd=REPO)
    try:
        for _ in range(600):
            try:
                httpx.get(f"{url}/jwks", timeout=1, trust_env=False)
                break
            except httpx.HTTPError:
                assert process.poll() is None
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def settings(issuer: str, /, **more: Any) -> OidcSettings:
    told: dict[str, Any] = {
        "issuer": issuer, "client_id": CLIENT, "client_secret": SECRET, "redirect_url": BACK,
        "roles": {"cg-reviewers": "reviewer", "cg-officers": "officer", "cg-it": "admin"},
        "districts": {"cg-lanshan": ("371302",), "cg-luozhuang": ("371311",), "cg-city": ("*",)},
    }  # fmt: skip
    return OidcSettings(**{**told, **more})


@pytest.fixture
def here(tmp_path: Path, empty_sqlite: Path, issuer: str) -> Iterator[World]:
    say(issuer)
    for world in open_world(settings_for(tmp_path / "data", empty_sqlite, oidc=settings(issuer))):
        world.client.base_url = "http://localhost"
        yield world


@pytest.fixture(scope="module")
def shut(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path, issuer: str) -> Iterator[World]:
    """One installation for all that is refused: nothing may be left of any of it."""
    folder = tmp_path_factory.mktemp("shut")
    for world in open_world(settings_for(folder / "data", empty_sqlite, oidc=settings(issuer))):
        world.client.base_url = "http://localhost"
        yield world


def say(issuer: str, /, **said: Any) -> Any:
    return httpx.post(f"{issuer}/test", json=said, trust_env=False).json()["last"]


def go(world: World) -> httpx.Response:
    """To the provider and back; gives our answer to its answer."""
    out = world.client.get("/api/v1/auth/oidc/start", follow_redirects=False)
    assert out.status_code == 302, out.text
    there = httpx.get(out.headers["location"], follow_redirects=False, trust_env=False)
    return world.client.get(there.headers["location"], follow_redirects=False)


def session(world: World) -> httpx.Response:
    return world.client.post("/api/v1/auth/oidc/session", headers={"X-Yunxun": "1"})


def refused(world: World, status: int = 401) -> str:
    answer = go(world)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert session(world).status_code == 401
    with world.context.database.read() as rows:
        assert rows.execute(text("SELECT count(*) FROM users")).scalar() == 0, "nothing is stored of a refused log-in"
    return str(answer.json()["detail"])


def test_out_and_back(here: World) -> None:
    assert here.client.get("/api/v1/auth/oidc").json()["enabled"] is True
    answer = go(here)
    assert (answer.status_code, answer.headers["location"]) == (302, "/?sso=ok"), answer.text
    got = session(here).json()
    assert (got["name"], got["role"]) == ("wang.lei", "reviewer")
    here.tokens["w"] = got["access_token"]
    assert here.call("w", "GET", "/auth/me").json()["districts"] == ["371302"]
    renewed = here.client.post("/api/v1/auth/refresh", json={"refresh_token": got["refresh_token"]})
    assert renewed.status_code == 200
    assert session(here).status_code == 401, "the ticket is good once"


def test_a_session_needs_the_web_apps_header(here: World) -> None:
    go(here)
    assert here.client.post("/api/v1/auth/oidc/session").status_code == 403


def test_the_same_person_is_the_same_account_with_todays_groups(here: World, issuer: str) -> None:
    go(here)
    session(here)
    say(issuer, claims={"preferred_username": "renamed", "groups": ["cg-officers", "cg-reviewers", "cg-city"]})
    go(here)
    got = session(here).json()
    assert (got["name"], got["role"]) == ("wang.lei", "officer")
    with here.context.database.read() as rows:
        assert rows.execute(text("SELECT count(*) FROM users")).scalar() == 1
        told = rows.execute(text("SELECT action FROM audit ORDER BY id")).scalars().all()
    assert told == ["user.add", "login.oidc", "user.change", "login.oidc"]


def test_a_local_account_is_never_taken_over(here: World) -> None:
    with here.context.database.write() as rows:
        service.add_user(rows, "wang.lei", "admin", "correct horse battery")
    go(here)
    got = session(here).json()
    assert (got["name"], got["role"]) == ("wang.lei@127.0.0.1", "reviewer")
    local = here.client.post("/api/v1/auth/login", json={"name": "wang.lei", "password": "correct horse battery"})
    assert local.json()["role"] == "admin"
    other = here.client.post("/api/v1/auth/login", json={"name": "wang.lei@127.0.0.1", "password": ""})
    assert other.status_code == 401, "an account of the provider has no password here"


def test_a_closed_account_stays_closed(here: World) -> None:
    go(here)
    session(here)
    assert here.call("admin", "DELETE", "/auth/users/wang.lei").status_code == 204
    assert go(here).status_code == 403


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"claims": {"nonce": "of another log-in"}}, "another log-in"),
        ({"claims": {"nonce": None}}, "another log-in"),
        ({"claims": {"aud": "another"}}, "audience"),
        ({"claims": {"aud": [CLIENT, "another"]}}, "azp"),
        ({"claims": {"azp": "another"}}, "another party"),
        ({"claims": {"iss": "https://evil.example"}}, "issuer"),
        ({"claims": {"exp": "-90"}}, "ended"),
        ({"claims": {"iat": "+90", "exp": "+900"}}, "future"),
        ({"claims": {"nbf": "+90"}}, "future"),
        ({"claims": {"iat": "-2000"}}, "too old"),
        ({"claims": {"exp": None}}, "exp"),
        ({"claims": {"iat": True}}, "iat"),
        ({"claims": {"sub": ""}}, "subject"),
        ({"claims": {"sub": None}}, "subject"),
        ({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "at_hash"),
        ({"forged": True}, "signed"),
        ({"header": {"alg": "none"}}, "signed"),
        ({"header": {"alg": "HS256"}}, "signed"),
        ({"header": {"kid": "unknown"}}, "signed"),
        ({"id_token": "not.a.token"}, "signed"),
        ({"id_token": "x"}, "signed"),
        ({"back": {"iss": "https://evil.example"}}, "another identity provider"),
        ({"back": {"state": "forged"}}, "no log-in of this browser"),
        ({"back": {"code": "forged"}}, "refuses"),
        ({"back": {"error": "access_denied"}}, "did not let you in"),
    ],
)
def test_what_does_not_hold_is_refused(shut: World, issuer: str, said: dict[str, Any], why: str) -> None:
    say(issuer, **said)
    shut.client.cookies.clear()
    assert why in refused(shut)


@pytest.mark.parametrize("claims", [{"exp": "-30"}, {"iat": "+30"}, {"nbf": "+30"}])
def test_clocks_may_differ_a_little(here: World, issuer: str, claims: dict[str, str]) -> None:
    say(issuer, claims=claims)
    assert go(here).headers["location"] == "/?sso=ok"


@pytest.mark.parametrize(
    ("groups", "why"), [([], "role"), (["strangers"], "role"), (None, "role"), (["cg-reviewers"], "district")]
)
def test_nobody_gets_in_without_a_group(shut: World, issuer: str, groups: list[str] | None, why: str) -> None:
    say(issuer, claims={"groups": groups})
    shut.client.cookies.clear()
    assert why in refused(shut, 403)


def test_an_answer_is_good_once(here: World) -> None:
    out = here.client.get("/api/v1/auth/oidc/start", follow_redirects=False)
    there = httpx.get(out.headers["location"], follow_redirects=False, trust_env=False).headers["location"]
    kept = here.client.cookies.get(PENDING)
    assert here.client.get(there, follow_redirects=False).headers["location"] == "/?sso=ok"
    again = here.client.get(there, headers={"Cookie": f"{PENDING}={kept}"}, follow_redirects=False)
    assert again.status_code == 401 and "used already" in again.json()["detail"]


def test_an_answer_in_another_browser_is_refused(here: World) -> None:
    """Somebody is made to open the attacker's own answer, to work under the attacker's name."""
    out = here.client.get("/api/v1/auth/oidc/start", follow_redirects=False)
    there = httpx.get(out.headers["location"], follow_redirects=False, trust_env=False).headers["location"]
    here.client.cookies.clear()
    assert here.client.get(there, follow_redirects=False).status_code == 401
    here.client.get("/api/v1/auth/oidc/start", follow_redirects=False)
    assert here.client.get(there, follow_redirects=False).status_code == 401
    forged = here.client.get(there, headers={"Cookie": f"{PENDING}=gAAAAAforged"}, follow_redirects=False)
    assert forged.status_code == 401


def test_a_replayed_id_token_is_of_another_log_in(here: World, issuer: str) -> None:
    assert go(here).headers["location"] == "/?sso=ok"
    stolen = say(issuer)
    say(issuer, id_token=stolen)
    answer = go(here)
    assert answer.status_code == 401 and "another log-in" in answer.json()["detail"]


def test_new_keys_are_fetched(here: World, issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go(here)
    say(issuer, rotate=True)
    assert go(here).status_code == 401, "not at once: a flood of forged key ids must not become one of requests"
    monkeypatch.setattr(protocol, "KEYS_AGAIN_S", 0.0)
    assert go(here).headers["location"] == "/?sso=ok"


def test_a_browser_is_told_in_the_web_app(here: World, issuer: str) -> None:
    say(issuer, claims={"groups": []})
    here.client.headers["accept"] = "text/html,*/*"
    assert go(here).headers["location"] == "/?sso=no-role"


def test_no_secret_is_logged(here: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        out = here.client.get("/api/v1/auth/oidc/start", follow_redirects=False)
        back = httpx.get(out.headers["location"], follow_redirects=False, trust_env=False).headers["location"]
        caplog.clear()
        here.client.get(back, follow_redirects=False)
        got = session(here).json()
    code = parse_qs(urlsplit(back).query)["code"][0]
    # The test's own client logs the address it asks; what is ours is under "api".
    lines = " ".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records if record.name.startswith("api")
    )
    assert lines and not any(secret in lines for secret in (SECRET, code, got["access_token"], got["refresh_token"]))


def test_without_a_provider_there_is_none(world: World) -> None:
    assert world.client.get("/api/v1/auth/oidc").json() == {"enabled": False, "title": None}
    assert world.client.get("/api/v1/auth/oidc/start", follow_redirects=False).status_code == 404
    assert world.client.get("/api/v1/auth/oidc/callback?code=x&state=y", follow_redirects=False).status_code == 404


def test_a_provider_that_is_away_is_said(tmp_path: Path, empty_sqlite: Path) -> None:
    away = settings("http://127.0.0.1:9")
    for world in open_world(settings_for(tmp_path / "data", empty_sqlite, oidc=away)):
        answer = world.client.get("/api/v1/auth/oidc/start", follow_redirects=False)
        assert answer.status_code == 503 and "does not answer" in answer.json()["detail"]
        assert world.client.get("/healthz").status_code == 200


def test_another_issuers_discovery_is_refused(issuer: str) -> None:
    say(issuer, issuer="https://evil.example")
    with pytest.raises(ApiError, match="another issuer"):
        protocol.RelyingParty(settings(issuer)).start()


@pytest.mark.parametrize(
    "more",
    [{"issuer": "http://sso.example"}, {"redirect_url": "javascript:x"}, {"scopes": "profile"},
     {"roles": {"g": "king"}}, {"districts": {"g": ("37",)}}, {"skew_s": 4000}],
)  # fmt: skip
def test_settings_that_would_be_a_hole(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings("https://sso.example", **more)


def test_groups_deep_inside(issuer: str) -> None:
    deep = settings(issuer, group_claim="realm_access.roles", districts={})
    assert role_and_districts(deep, {"realm_access": {"roles": ["x", "cg-officers", "cg-reviewers"]}}) == (
        "officer",
        (),
    )
    for claims in ({}, {"realm_access": "x"}, {"realm_access": {"roles": {"cg-it": 1}}}, {"realm_access": [1]}):
        with pytest.raises(ForbiddenError):
            role_and_districts(deep, claims)


def test_a_token_of_another_key_type(issuer: str) -> None:
    say(issuer)
    party = protocol.RelyingParty(settings(issuer))
    for token in ("", ".", "..", "a.b.c", "é.é.é", "e30.e30.", "A" * 100_000):
        with pytest.raises(UnauthorizedError):
            party.check(token, "n")


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        'rate_per_s = 20.0\n[oidc]\nissuer = "https://sso.linyi.example"\nclient_id = "yunxun"\n'
        'redirect_url = "https://yunxun.linyi.example/api/v1/auth/oidc/callback"\n'
        '[oidc.roles]\n"城管-审核" = "reviewer"\n',
        encoding="utf-8",
    )
    told = ApiSettings.load(tmp_path, broker_url="redis://x")
    assert told.oidc is not None and told.oidc.roles == {"城管-审核": "reviewer"} and told.rate_per_s == 20
    assert told.broker_url == "redis://x" and ApiSettings.load(tmp_path / "none").oidc is None
    for bad, where in (("x =", "TOML"), ("unknown = 1", "unknown"), ('[oidc]\nissuer = "http://x.example"', "oidc")):
        (tmp_path / "settings.toml").write_text(bad)
        with pytest.raises(ApiError, match=where):
            ApiSettings.load(tmp_path)
