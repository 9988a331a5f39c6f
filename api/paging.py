"""Keyset cursors: a page begins after the last key of the one before; no OFFSET, no COUNT(*)."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query

from api.base import iso
from api.errors import InvalidError

Cursor = Annotated[str | None, Query(max_length=400, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]


def write_cursor(*keys: Any) -> str:
    """An opaque text of the last row's keys."""
    plain = [iso(key) if isinstance(key, datetime) else str(key) if isinstance(key, UUID) else key for key in keys]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def read_cursor(value: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The keys of a cursor, each of its kind.

    Raises:
        InvalidError: Not a cursor that we gave.
    """
    if value is None:
        return None
    try:
        plain = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        if not isinstance(plain, list) or len(plain) != len(kinds):
            raise ValueError("length")
        return tuple(_key(key, kind) for key, kind in zip(plain, kinds, strict=True))
    except (ValueError, binascii.Error, TypeError, AttributeError, RecursionError) as error:
        raise InvalidError("cursor should be the `next` of the page before, unchanged") from error


def _key(value: Any, kind: type) -> Any:
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("zone")
        return moment
    if kind is UUID:
        return UUID(value)
    if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, int) and abs(value) > 2**62):
        raise ValueError("kind")
    return value
