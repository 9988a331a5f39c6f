"""Identifiers that sort by the time they were made: UUIDv7 (RFC 9562) and ULID."""

from __future__ import annotations

import os
import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def uuid7() -> uuid.UUID:
    """A UUIDv7: 48 bits of Unix milliseconds, then 12 bits that count up within them, then 62 random bits."""
    global _last
    with _lock:
        # Milliseconds and a 12-bit fraction of one: two in the same process never go backwards.
        stamp = max((time.time_ns() << 12) // 1_000_000, _last + 1)
        _last = stamp
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = ((stamp >> 12) << 80) | (0x7 << 76) | ((stamp & 0xFFF) << 64) | (0b10 << 62) | random
    return uuid.UUID(int=value)


def ulid() -> str:
    """A ULID: 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32 (26 characters)."""
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))
