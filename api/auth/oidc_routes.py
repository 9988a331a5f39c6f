"""Log-in by the bureau's identity provider: out to it, back with a code, and a session for the web app.

No token ever stands in an address. What must be remembered between out and back travels in a cookie that only we can
read; `state` is good once, on record; the web app fetches its session with a ticket that is a cookie, too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Annotated, Any

from cryptography.fernet import Fernet, InvalidToken
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from api.auth import service
from api.auth.models import OidcLogin, User
from api.auth.oidc import RelyingParty
from api.auth.people import account_for
from api.auth.routes import Session, answer_with
from api.base import utcnow
from api.context import Context, Here, problems
from api.errors import ApiError, ForbiddenError, NotFoundError, UnauthorizedError

router = APIRouter(prefix="/api/v1/auth/oidc", tags=["auth"], responses=problems(401, 403, 404, 422, 429, 503))
PATH = "/api/v1/auth/oidc"
PENDING, TICKET = "yunxun_oidc", "yunxun_ticket"
# Time to type a password and a second factor there.
PENDING_S = 600
# The web app asks at once.
TICKET_S = 60
Text = Annotated[str | None, Query(max_length=4096)]


class Offer(BaseModel):
    """Whether there is an identity provider, and what its button says."""

    enabled: bool
    title: str | None = None


@router.get("")
def offer(here: Here) -> Offer:
    """Whether log-in by an identity provider is set up; needs no token."""
    oidc = here.settings.oidc
    return Offer(enabled=oidc is not None, title=oidc.title if oidc else None)


def _party(request: Request) -> RelyingParty:
    party: RelyingParty | None = request.app.state.oidc
    if party is None:
        raise NotFoundError("no identity provider is set up here: log in with a local account")
    return party


def _box(here: Context) -> Fernet:
    return Fernet(urlsafe_b64encode(here.settings.secret("oidc.key")))


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def _cookie(response: Response, request: Request, name: str, value: str, seconds: int) -> None:
    # Lax, not strict: the browser comes back from another site.
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=seconds, path=PATH, httponly=True, samesite="lax", secure=secure)


@router.get("/start", response_class=RedirectResponse, status_code=302)
def start(request: Request, here: Here) -> Response:
    """Sends the browser to the identity provider."""
    begun = _party(request).start()
    kept = json.dumps({"state": begun.state, "nonce": begun.nonce, "verifier": begun.verifier})
    response = RedirectResponse(begun.url, status_code=302, headers={"Cache-Control": "no-store"})
    _cookie(response, request, PENDING, _box(here).encrypt(kept.encode()).decode(), PENDING_S)
    return response


@router.get("/callback", response_class=RedirectResponse, status_code=302)
def callback(
    request: Request, here: Here, code: Text = None, state: Text = None, error: Text = None, iss: Text = None
) -> Response:
    """Where the provider sends the browser back; a browser goes on to the web app, a refusal is said there."""
    try:
        ticket = _come_back(request, here, code, state, error, iss)
    except ApiError as refused:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        slug = str(refused.extra.get("reason", refused.slug))
        gone = RedirectResponse(f"/?sso={slug}", status_code=302, headers={"Cache-Control": "no-store"})
        gone.delete_cookie(PENDING, path=PATH)
        return gone
    response = RedirectResponse("/?sso=ok", status_code=302, headers={"Cache-Control": "no-store"})
    response.delete_cookie(PENDING, path=PATH)
    _cookie(response, request, TICKET, ticket, TICKET_S)
    return response


def _come_back(
    request: Request, here: Context, code: str | None, state: str | None, error: str | None, iss: str | None
) -> str:
    party = _party(request)
    here.tokens.limit_log_in(request.client.host if request.client else "")
    oidc = here.settings.oidc
    assert oidc is not None
    pending = _pending(here, request.cookies.get(PENDING, ""))
    if not state or not secrets.compare_digest(state.encode("utf-8", "replace"), pending["state"].encode()):
        raise UnauthorizedError("this answer belongs to no log-in of this browser: log in again")
    if iss is not None and iss != oidc.issuer:
        raise UnauthorizedError("this answer comes from another identity provider: log in again")
    if error is not None or not code:
        raise UnauthorizedError("the identity provider did not let you in: log in again")
    _use_once(here, state)
    claims = party.claims_for(code, pending["verifier"], pending["nonce"])
    ticket = secrets.token_urlsafe(32)
    with here.database.write() as session:
        user = account_for(session, oidc, claims)
        login = session.get(OidcLogin, _digest(state))
        assert login is not None
        login.user_id, login.ticket = user.id, _digest(ticket)
        service.audit(session, user.name, "login.oidc", user.name)
    return ticket


def _pending(here: Context, cookie: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_box(here).decrypt(cookie.encode("utf-8", "replace"), ttl=PENDING_S))
        return found
    except (InvalidToken, ValueError) as error:
        raise UnauthorizedError("no log-in is under way in this browser, or it took too long: log in again") from error


def _use_once(here: Context, state: str) -> None:
    try:
        with here.database.write() as session:
            session.execute(delete(OidcLogin).where(OidcLogin.at < utcnow() - timedelta(seconds=2 * PENDING_S)))
            session.add(OidcLogin(state=_digest(state), at=utcnow()))
    except IntegrityError as error:
        raise UnauthorizedError("this answer was used already: log in again") from error


@router.post("/session")
def session(request: Request, response: Response, here: Here) -> Session:
    """The web app's session after `callback`, once; the ticket is a cookie, and the header `X-Yunxun` is needed."""
    if "x-yunxun" not in request.headers:
        raise ForbiddenError("the header X-Yunxun is needed: only the web app asks this")
    value = request.cookies.get(TICKET, "")
    settings = here.settings
    with here.database.write() as rows:
        fresh = utcnow() - timedelta(seconds=TICKET_S)
        login = rows.scalar(
            select(OidcLogin).where(OidcLogin.ticket == _digest(value), OidcLogin.at > fresh).with_for_update()
        )
        user = rows.get(User, login.user_id) if login else None
        if login is None or user is None or not user.active:
            raise UnauthorizedError("no log-in has just come back to this browser: log in again")
        login.ticket = None
        pair = service.issue_pair(rows, user, settings.access_token_s, settings.refresh_token_s)
        name, role = user.name, user.role
    response.delete_cookie(TICKET, path=PATH)
    return answer_with(response, request, pair, name, role)
