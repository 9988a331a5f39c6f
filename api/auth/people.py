"""From what an identity provider says of a person to an account of ours: its role and its districts."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.auth.models import User
from api.auth.oidc_settings import OidcSettings
from api.auth.service import audit
from api.base import utcnow
from api.errors import ForbiddenError

# Who may more is later.
_ORDER = ("pilot", "reviewer", "officer", "admin")
_BAD = re.compile(r"[^\w.@\-]+")


def groups_of(claims: dict[str, Any], path: str) -> list[str]:
    """The person's groups: a list of strings, or one string; dots lead inwards, a name with dots is tried first."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    if isinstance(found, str):
        return [found]
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def role_and_districts(settings: OidcSettings, claims: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The role that a person's groups give, and the districts they are limited to (none: no limit).

    Raises:
        ForbiddenError: No group gives a role, or districts are by group and none of theirs names one.
    """
    groups = groups_of(claims, settings.group_claim)
    roles = [settings.roles[group] for group in groups if group in settings.roles]
    if not roles:
        raise ForbiddenError("none of your groups has a role here: ask the administrator", reason="no-role")
    role = max(roles, key=_ORDER.index)
    if not settings.districts or role == "admin":
        return role, ()
    named = {district for group in groups for district in settings.districts.get(group, ())}
    if not named:
        # Empty would mean all of them.
        raise ForbiddenError("none of your groups names a district: ask the administrator", reason="no-district")
    return role, () if "*" in named else tuple(sorted(named))


def account_for(session: Session, settings: OidcSettings, claims: dict[str, Any]) -> User:
    """The account of this issuer's subject, made at the first log-in, brought up to date at every one.

    A local account of the same name is never taken over: the person gets a name of their own.

    Raises:
        ForbiddenError: No role, no district, or an account that was closed here.
    """
    role, districts = role_and_districts(settings, claims)
    subject = str(claims["sub"])
    user = session.scalar(select(User).where(User.issuer == settings.issuer, User.subject == subject).with_for_update())
    if user is None:
        user = User(
            name=_free_name(session, settings, claims),
            role=role,
            password_hash=None,
            districts=list(districts),
            active=True,
            failed_logins=0,
            created_at=utcnow(),
            issuer=settings.issuer,
            subject=subject,
        )
        session.add(user)
        session.flush()
        audit(session, user.name, "user.add", user.name, "first log-in by OIDC", role=role, districts=list(districts))
        return user
    if not user.active:
        raise ForbiddenError(f"the account {user.name} was closed here: ask the administrator", reason="closed")
    if (user.role, user.districts) != (role, list(districts)):
        user.role, user.districts = role, list(districts)
        audit(session, user.name, "user.change", user.name, "groups at OIDC", role=role, districts=list(districts))
    return user


def _free_name(session: Session, settings: OidcSettings, claims: dict[str, Any]) -> str:
    wanted = claims.get(settings.name_claim)
    base = _BAD.sub("-", wanted).strip("-.")[:40] if isinstance(wanted, str) else ""
    mark = hashlib.sha256(f"{settings.issuer}\n{claims['sub']}".encode()).hexdigest()
    base = base or f"p-{mark[:8]}"
    host = (urlsplit(settings.issuer).hostname or "oidc")[:15]
    for name in (base, f"{base}@{host}", f"{base}-{mark[:12]}"):
        if session.scalar(select(User.id).where(User.name == name)) is None:
            return name
    return f"p-{mark[:32]}"
