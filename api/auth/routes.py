"""Log in, renew, log out; accounts and service tokens by an admin."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, update

from api.auth import service
from api.auth.access import COOKIE, token_of
from api.auth.models import Token, User
from api.base import utcnow
from api.context import Admin, Anyone, Context, Here, problems
from api.errors import NotFoundError, UnauthorizedError

router = APIRouter(prefix="/api/v1/auth", tags=["auth"], responses=problems(401, 422))
Text = Annotated[str, Field(max_length=256)]


class LoginIn(BaseModel):
    """A name and its password."""

    model_config = ConfigDict(json_schema_extra={"example": {"name": "zhang", "password": "correct horse battery"}})

    name: Text
    password: Text


class RefreshIn(BaseModel):
    """The refresh token of the last log-in or renewal; it is good once."""

    refresh_token: Text


class Session(BaseModel):
    """Tokens and who they stand for."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"
    expires_in: int
    name: str
    role: str


class Me(BaseModel):
    """Who is asking."""

    name: str
    role: str
    scopes: list[str]
    districts: list[str]


def answer_with(response: Response, request: Request, pair: service.Pair, name: str, role: str) -> Session:
    """A session for whoever logged in, and the cookie that lets the browser fetch its pictures."""
    # The web app's pictures are fetched by the browser itself, which sends a cookie and no header.
    response.set_cookie(
        COOKIE,
        pair.access_token,
        max_age=pair.expires_in,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return Session(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in=pair.expires_in,
        name=name,
        role=role,
    )


@router.post("/login", responses=problems(429))
def login(body: LoginIn, request: Request, response: Response, here: Here) -> Session:
    """Exchanges name and password for a short access token and a refresh token; sets the web app's cookie."""
    settings = here.settings
    here.tokens.limit_log_in(request.client.host if request.client else "")
    with here.database.write() as session:
        user = service.log_in(session, body.name, body.password)
        pair = service.issue_pair(session, user, settings.access_token_s, settings.refresh_token_s) if user else None
    # Raised after the commit: a wrong password has to be counted.
    if user is None or pair is None:
        raise UnauthorizedError("name and password do not fit")
    return answer_with(response, request, pair, user.name, user.role)


@router.post("/refresh")
def refresh(body: RefreshIn, request: Request, response: Response, here: Here) -> Session:
    """Exchanges a refresh token. Using one twice ends the whole log-in."""
    settings = here.settings
    with here.database.write() as session:
        pair = service.renew(session, body.refresh_token, settings.access_token_s, settings.refresh_token_s)
    if pair is None:
        raise UnauthorizedError("this refresh token is no good: log in again")
    with here.database.read() as session:
        actor, _ = service.authenticate(session, pair.access_token)
    return answer_with(response, request, pair, actor.name, actor.role)


@router.post("/logout", status_code=204)
def logout(request: Request, response: Response, here: Here, actor: Anyone) -> None:
    """Ends this log-in and all its tokens."""
    value = token_of(request)
    with here.database.write() as session:
        token = session.get(Token, actor.token_id)
        if token is not None:
            token.revoked_at = utcnow()
            service.revoke_family(session, token.family)
    if value:
        here.tokens.forget(value)
    response.delete_cookie(COOKIE)


@router.get("/me")
def me(actor: Anyone) -> Me:
    """Who this token stands for."""
    return Me(name=actor.name, role=actor.role, scopes=list(actor.scopes), districts=list(actor.districts))


class UserIn(BaseModel):
    """A new account."""

    name: Annotated[str, Field(pattern=r"^[\w.@\-]{1,64}$")]
    role: service.Role
    password: Annotated[str, Field(min_length=service.MIN_PASSWORD, max_length=256)]
    districts: list[Annotated[str, Field(pattern=r"^\d{6}$")]] = []


class UserOut(BaseModel):
    """An account."""

    id: int
    name: str
    role: str
    districts: list[str]
    active: bool


def _user(user: User) -> UserOut:
    return UserOut(id=user.id, name=user.name, role=user.role, districts=user.districts, active=user.active)


@router.get("/users", responses=problems(403))
def users(here: Here, actor: Admin) -> list[UserOut]:
    """All accounts."""
    with here.database.read() as session:
        return [_user(user) for user in session.scalars(select(User).order_by(User.name).limit(1000))]


@router.post("/users", status_code=201, responses=problems(403, 409))
def add_user(body: UserIn, here: Here, actor: Admin) -> UserOut:
    """Makes an account."""
    with here.database.write() as session:
        user = service.add_user(session, body.name, body.role, body.password, tuple(body.districts))
        service.audit(session, actor.name, "user.add", body.name, role=body.role)
        return _user(user)


@router.delete("/users/{name}", status_code=204, responses=problems(403, 404))
def close_user(name: str, here: Here, actor: Admin) -> None:
    """Closes an account and ends its tokens; its name stays in the history."""
    with here.database.write() as session:
        user = session.scalar(select(User).where(User.name == name))
        if user is None:
            raise NotFoundError(f"no user {name[:64]!r}")
        user.active = False
        session.execute(update(Token).where(Token.user_id == user.id).values(revoked_at=utcnow()))
        service.audit(session, actor.name, "user.close", name)


class TokenIn(BaseModel):
    """A service token to be made."""

    name: Annotated[str, Field(pattern=r"^[\w.@\-]{1,64}$")]
    role: service.Role
    scopes: list[Annotated[str, Field(max_length=40)]] = []
    districts: list[Annotated[str, Field(pattern=r"^\d{6}$")]] = []
    days: Annotated[int | None, Field(ge=1, le=3650)] = 365


class TokenOut(BaseModel):
    """A service token; its text is shown this once."""

    token: str
    name: str
    role: str
    expires_at: datetime | None


@router.post("/tokens", status_code=201, responses=problems(403))
def add_token(body: TokenIn, here: Here, actor: Admin) -> TokenOut:
    """Makes a service token for a program."""
    return _make_token(here, body, actor.name)


def _make_token(here: Context, body: TokenIn, by: str) -> TokenOut:
    with here.database.write() as session:
        value = service.issue_token(
            session,
            body.role,
            name=body.name,
            lifetime_s=None if body.days is None else body.days * 86400.0,
            scopes=tuple(body.scopes),
            districts=tuple(body.districts),
        )
        service.audit(session, by, "token.add", body.name, role=body.role)
        _, until = service.authenticate(session, value)
    return TokenOut(token=value, name=body.name, role=body.role, expires_at=until)
