"""Dependencies: who is asking, and whether they may."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.auth.buckets import Buckets
from api.auth.service import Actor, authenticate
from api.base import utcnow
from api.database import Database
from api.errors import ForbiddenError, TooManyError, UnauthorizedError
from api.settings import ApiSettings

COOKIE = "yunxun_token"
# How long a token that was found good is taken as good without asking again: also how long a revoked one may last.
CACHE_S = 5.0
_CACHE_MAX = 10_000


class TokenCache:
    """Tokens seen lately, and how fast each asks."""

    def __init__(self, database: Database, settings: ApiSettings) -> None:
        self._database = database
        self._settings = settings
        self._known: dict[str, tuple[Actor, datetime | None, float]] = {}
        self._asked = Buckets(settings.rate_per_s, settings.rate_burst)
        self._log_ins = Buckets(settings.login_per_minute / 60.0, settings.login_per_minute)

    async def actor(self, value: str) -> Actor:
        """The actor behind a token; asks the database at most every `CACHE_S`."""
        known = self._known.get(value)
        if known is None or known[2] < time.monotonic():
            actor, until = await run_in_threadpool(self._ask, value)
            if len(self._known) > _CACHE_MAX:
                self._known.clear()
            known = self._known[value] = (actor, until, time.monotonic() + CACHE_S)
        if known[1] is not None and known[1] <= utcnow():
            raise UnauthorizedError("this token has ended: renew it or log in again")
        self._limit(value)
        return known[0]

    def forget(self, value: str) -> None:
        """Asks again next time (after a log-out)."""
        self._known.pop(value, None)

    def _ask(self, value: str) -> tuple[Actor, datetime | None]:
        with self._database.read() as session:
            return authenticate(session, value)

    def _limit(self, value: str) -> None:
        if not self._asked.take(value):
            rate = self._settings.rate_per_s
            raise TooManyError(f"more than {rate:g} requests a second: wait a moment")

    def limit_log_in(self, address: str) -> None:
        """Refuses an address that tries to log in too often: each try costs us a tenth of a CPU-second.

        Raises:
            TooManyError: Over `login_per_minute`.
        """
        if not self._log_ins.take(address):
            raise TooManyError("too many log-ins from this address: wait a minute")


def token_of(request: Request) -> str | None:
    """The bearer token, from the header, or from the web app's cookie.

    A cookie is also sent with requests that other pages cause; for what changes something the header `X-Yunxun`
    must come with it, which such pages cannot add.
    """
    header = request.headers.get("authorization", "")
    if header:
        scheme, _, value = header.partition(" ")
        return value.strip() if scheme.lower() == "bearer" else None
    if request.method in ("GET", "HEAD") or "x-yunxun" in request.headers:
        return request.cookies.get(COOKIE)
    return None


def require(*roles: str, scope: str | None = None) -> Callable[[Request], object]:
    """A dependency that gives the actor when their role is among `roles` (admin always is)."""

    async def check(request: Request) -> Actor:
        value = token_of(request)
        if not value:
            raise UnauthorizedError("a token is needed: Authorization: Bearer ..., from POST /api/v1/auth/login")
        actor: Actor = await request.app.state.tokens.actor(value)
        if roles and actor.role != "admin" and actor.role not in roles:
            raise ForbiddenError(f"role {actor.role} may not do this: {', '.join(roles)} may")
        if scope and actor.scopes and scope not in actor.scopes:
            raise ForbiddenError(f"this token's scopes do not include {scope}")
        request.state.actor = actor
        return actor

    return check
