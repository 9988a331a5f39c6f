"""Accounts and tokens: plain functions, used by the routes and by the command line."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api.auth.models import Audit, Token, User
from api.base import utcnow
from api.errors import ConflictError, InvalidError, UnauthorizedError
from api.ids import ulid

Role = Literal["pilot", "reviewer", "officer", "platform", "admin"]
ROLES: tuple[str, ...] = get_args(Role)
_NAME = re.compile(r"^[\w.@\-]{1,64}$")
_DISTRICT = re.compile(r"^\d{6}$")
_hasher = PasswordHasher()
# Hashed once so that a log-in under an unknown name takes as long as one under a known name.
_NOBODY = _hasher.hash(secrets.token_hex(16))
MIN_PASSWORD = 10
LOCK_AFTER, LOCK_S = 10, 300
# Two tabs that wake together, or an answer lost on the wire, use one refresh token twice within moments.
REUSE_GRACE_S = 30


@dataclass(frozen=True)
class Actor:
    """Who asks: the name that events and the audit carry, the role, and the districts they are limited to."""

    name: str
    role: str
    scopes: tuple[str, ...] = ()
    districts: tuple[str, ...] = ()
    user_id: int | None = None
    token_id: int | None = field(default=None, compare=False)


def add_user(session: Session, name: str, role: str, password: str | None, districts: tuple[str, ...] = ()) -> User:
    """Makes an account.

    Raises:
        InvalidError: The name, role, district or password is not acceptable.
        ConflictError: The name is taken.
    """
    _check(name, role, districts)
    if password is not None and not MIN_PASSWORD <= len(password) <= 256:
        raise InvalidError(f"a password of {MIN_PASSWORD} to 256 characters was expected, came {len(password)}")
    if session.scalar(select(User.id).where(User.name == name)):
        raise ConflictError(f"there is a user {name!r} already: choose another name")
    user = User(
        name=name,
        role=role,
        password_hash=None if password is None else _hasher.hash(password),
        districts=list(districts),
        active=True,
        failed_logins=0,
        created_at=utcnow(),
    )
    session.add(user)
    session.flush()
    return user


def _check(name: str, role: str, districts: tuple[str, ...]) -> None:
    if not _NAME.match(name):
        raise InvalidError(f"a name of 1 to 64 letters, digits, . @ - _ was expected, came {name[:80]!r}")
    if role not in ROLES:
        raise InvalidError(f"unknown role {role[:40]!r}: one of {', '.join(ROLES)}")
    for district in districts:
        if not _DISTRICT.match(district):
            raise InvalidError(f"a district is six digits such as 371302, came {district[:20]!r}")


def issue_token(
    session: Session,
    role: str,
    *,
    name: str | None = None,
    user: User | None = None,
    kind: str = "service",
    lifetime_s: float | None = None,
    scopes: tuple[str, ...] = (),
    districts: tuple[str, ...] = (),
    family: str | None = None,
) -> str:
    """Makes a token and gives its text, which is nowhere kept.

    Args:
        session: A writing session.
        role: One of `ROLES`.
        name: Who will appear in the history; default `service:<role>`.
        user: The account it acts for, if any.
        kind: access, refresh or service.
        lifetime_s: Seconds until it ends; None for a service token that is good until revoked.
        scopes: Limits of a service token ("sites:write"); none means all that the role may.
        districts: Limits its rows.
        family: Ties a refresh token to its kin.
    """
    name = name or (user.name if user else f"service:{role}")
    if user is None:
        _check(name.replace(":", "-"), role, districts)
    value = f"yx{kind[0]}_" + secrets.token_urlsafe(32)
    now = utcnow()
    session.add(
        Token(
            digest=_digest(value),
            kind=kind,
            name=name,
            role=role,
            user_id=user.id if user else None,
            scopes=list(scopes),
            districts=list(districts or (user.districts if user else ())),
            family=family,
            created_at=now,
            expires_at=None if lifetime_s is None else now + timedelta(seconds=lifetime_s),
        )
    )
    session.flush()
    return value


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def authenticate(session: Session, value: str) -> tuple[Actor, datetime | None]:
    """Who a token stands for, and until when.

    Raises:
        UnauthorizedError: Unknown, ended, revoked, a refresh token, or of a closed account.
    """
    row = session.execute(
        select(Token, User.active)
        .outerjoin(User, User.id == Token.user_id)
        .where(Token.digest == _digest(value), Token.kind != "refresh")
    ).first()
    if row is None:
        raise UnauthorizedError("unknown token: log in again, or make one with `yunxun token --role ROLE`")
    token, active = row
    if token.revoked_at is not None or active is False:
        raise UnauthorizedError("this token was revoked: log in again")
    if token.expires_at is not None and token.expires_at <= utcnow():
        raise UnauthorizedError("this token has ended: renew it or log in again")
    actor = Actor(token.name, token.role, tuple(token.scopes), tuple(token.districts), token.user_id, token.id)
    return actor, token.expires_at


def log_in(session: Session, name: str, password: str) -> User | None:
    """The account, when name and password fit; None (after the same time) when not, which is counted.

    Raises:
        UnauthorizedError: Locked after too many wrong passwords.
    """
    user = session.scalar(select(User).where(User.name == name).with_for_update())
    if user is None or user.password_hash is None or not user.active:
        _matches(_NOBODY, password)
        return None
    if user.locked_until is not None and user.locked_until > utcnow():
        raise UnauthorizedError(f"too many wrong passwords: try again after {LOCK_S // 60} minutes")
    if _matches(user.password_hash, password):
        user.failed_logins, user.locked_until = 0, None
        if _hasher.check_needs_rehash(user.password_hash):
            user.password_hash = _hasher.hash(password)
        return user
    user.failed_logins += 1
    if user.failed_logins >= LOCK_AFTER:
        user.failed_logins, user.locked_until = 0, utcnow() + timedelta(seconds=LOCK_S)
    return None


def _matches(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


@dataclass(frozen=True)
class Pair:
    """What a log-in or a renewal gives."""

    access_token: str
    refresh_token: str
    expires_in: int


def issue_pair(session: Session, user: User, access_s: int, refresh_s: int, family: str | None = None) -> Pair:
    """A short access token and the single-use refresh token that renews it."""
    family = family or ulid()
    access = issue_token(session, user.role, user=user, kind="access", lifetime_s=access_s, family=family)
    refresh = issue_token(session, user.role, user=user, kind="refresh", lifetime_s=refresh_s, family=family)
    return Pair(access, refresh, access_s)


def renew(session: Session, value: str, access_s: int, refresh_s: int) -> Pair | None:
    """Exchanges a refresh token; None when it is no good. One used twice was stolen: all its kin are revoked."""
    token = session.scalar(
        select(Token).where(Token.digest == _digest(value), Token.kind == "refresh").with_for_update()
    )
    if token is None or token.revoked_at is not None or (token.expires_at and token.expires_at <= utcnow()):
        return None
    if token.used_at is not None and utcnow() - token.used_at > timedelta(seconds=REUSE_GRACE_S):
        revoke_family(session, token.family)
        return None
    user = session.get(User, token.user_id)
    if user is None or not user.active:
        return None
    token.used_at = token.used_at or utcnow()
    return issue_pair(session, user, access_s, refresh_s, token.family)


def revoke_family(session: Session, family: str | None) -> None:
    """Ends every token of one log-in."""
    if family is not None:
        session.execute(
            update(Token).where(Token.family == family, Token.revoked_at.is_(None)).values(revoked_at=utcnow())
        )


def audit(session: Session, actor: str, action: str, subject: str, reason: str | None = None, **detail: object) -> None:
    """Writes down who did what to what, and why."""
    session.add(
        Audit(
            at=utcnow(), actor=actor, action=action, subject=subject[:160], reason=reason, detail=dict(detail) or None
        )
    )
