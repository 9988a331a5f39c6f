"""Idempotency-Key: a replay gets the first answer, another body 422, one in flight 409.

The first answer is stored in the very transaction that does the work, so after a kill -9 there is either both or
neither, and a retry with the same key is always right.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, text
from sqlalchemy.orm import Session

from api.auth.models import Idempotency
from api.base import utcnow
from api.database import is_postgres
from api.errors import ConflictError, InvalidError

# A spool that could not reach us for longer than this sends with keys that are new to us; each candidate is still taken
# once, by its id.
KEPT_DAYS = 30
_in_flight: set[tuple[str, str]] = set()
_lock = threading.Lock()


_TABLE: Any = Idempotency.__table__
_REMEMBER = insert(_TABLE)
_FIRST = select(_TABLE.c.body_sha256, _TABLE.c.status, _TABLE.c.answer).where(
    _TABLE.c.actor == bindparam("by"), _TABLE.c.key == bindparam("asked")
)
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:number)")


def check_key(key: str | None) -> str | None:
    """The key without the quotes of a structured field.

    Raises:
        InvalidError: Empty, longer than 255, or not printable ASCII.
    """
    if key is None:
        return None
    bare = key[1:-1] if len(key) >= 2 and key[0] == key[-1] == '"' else key
    if not 1 <= len(bare) <= 255 or not bare.isascii() or not bare.isprintable():
        raise InvalidError("Idempotency-Key should be 1 to 255 printable ASCII characters, a UUID for instance")
    return bare


@contextmanager
def alone(actor: str, key: str | None) -> Iterator[None]:
    """Holds the key within this process, before a transaction (and SQLite's one writer) is waited for.

    Raises:
        ConflictError: The same key is in flight.
    """
    if key is None:
        yield
        return
    with _lock:
        if (actor, key) in _in_flight:
            raise _busy(key)
        _in_flight.add((actor, key))
    try:
        yield
    finally:
        with _lock:
            _in_flight.discard((actor, key))


def _busy(key: str) -> ConflictError:
    return ConflictError(f"a request with Idempotency-Key {key[:60]!r} is still in flight: try again shortly")


def replay(session: Session, actor: str, key: str, body: bytes) -> tuple[int, Any] | None:
    """The first answer to this key, or None when it is new; holds the key among processes until the transaction ends.

    Raises:
        ConflictError: Another process is at it.
        InvalidError: The key was used with another body.
    """
    if is_postgres(session):
        number = int.from_bytes(hashlib.sha256(f"{actor}\n{key}".encode()).digest()[:8], "big", signed=True)
        if not session.connection().execute(_TRY_LOCK, {"number": number}).scalar():
            raise _busy(key)
    # A statement of its own, after the lock: it sees what the one before us committed.
    row = session.connection().execute(_FIRST, {"by": actor, "asked": key}).first()
    if row is None:
        return None
    if row.body_sha256 != hashlib.sha256(body).digest():
        raise InvalidError(f"Idempotency-Key {key[:60]!r} was used with another body: use a new key")
    return row.status, row.answer


def remember(session: Session, actor: str, key: str, body: bytes, status: int, answer: Any) -> None:
    """Stores the first answer, in the transaction of the work."""
    digest = hashlib.sha256(body).digest()
    values = {"actor": actor, "key": key, "body_sha256": digest, "status": status, "answer": answer}
    session.connection().execute(_REMEMBER, {**values, "created_at": utcnow()})


def forget(session: Session, days: int = KEPT_DAYS) -> int:
    """Forgets answers that nobody asks for again; gives how many. A candidate is known by its id for ever anyway."""
    done = session.connection().execute(delete(_TABLE).where(_TABLE.c.created_at < utcnow() - timedelta(days=days)))
    return int(done.rowcount)
