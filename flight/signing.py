"""MAVLink 2 signing: keys in a file that only its owner reads, never logged; replayed and forged frames refused.

Source: mavlink.io/en/guide/message_signing.html (13 bytes: link id, 48-bit time in 10 µs since 2015-01-01, 6 bytes
of SHA-256 over key and frame).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import struct
import time
from pathlib import Path

from flight.errors import FlightError

SIGNATURE_LENGTH = 13
KEY_LENGTH = 32
_EPOCH_2015_S = 1420070400
_TICKS_PER_S = 100_000
# A stream not seen before may lag by this much (the guide's one minute); a known one may never go back.
_NEW_STREAM_LAG = 60 * _TICKS_PER_S
# RADIO_STATUS comes from the radio itself, which has no key (the guide's own exception).
_UNSIGNED_IDS = frozenset({109})


def now_ticks() -> int:
    """Signing time: 10 µs since 2015-01-01 UTC."""
    return int((time.time() - _EPOCH_2015_S) * _TICKS_PER_S)


class SigningKey:
    """A 32-byte secret; its text form says nothing of it."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_LENGTH:
            raise FlightError(f"a signing key has {KEY_LENGTH} bytes, this one {len(secret)}: make one anew")
        self.secret = secret

    def __repr__(self) -> str:
        return "SigningKey(...)"

    @classmethod
    def create(cls, path: Path) -> SigningKey:
        """Makes a key at `path`, readable by its owner alone; refuses to overwrite one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        secret = secrets.token_bytes(KEY_LENGTH)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise FlightError(f"{path} is there already: a signing key is not overwritten; remove it first") from error
        with os.fdopen(handle, "w") as file:
            file.write(secret.hex() + "\n")
        return cls(secret)

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """Reads a key of 64 hex digits.

        Raises:
            FlightError: No such file, others may read it, or it is no key; the message never shows its content.
        """
        if not path.is_file():
            raise FlightError(f"no signing key at {path}")
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise FlightError(f"others can read the signing key {path} (mode {mode:04o}): run `chmod 600 {path}`")
        try:
            return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        except (ValueError, UnicodeDecodeError) as error:
            raise FlightError(f"{path} is not a signing key: expected 64 hex digits") from error


class SignatureCheck:
    """Checks incoming signatures of one link and remembers each stream's last time, so that a replay is refused.

    Attributes:
        newest_ticks: The latest time that came well signed.
    """

    def __init__(self, key: SigningKey, *, allow_unsigned: frozenset[int] = _UNSIGNED_IDS) -> None:
        self._secret = key.secret
        self._allow_unsigned = allow_unsigned
        self._last: dict[tuple[int, int, int], int] = {}
        self.newest_ticks = 0

    def unsigned_allowed(self, msg_id: int) -> bool:
        """Whether a message may come unsigned."""
        return msg_id in self._allow_unsigned

    def good(self, frame: bytes, system: int, component: int) -> bool:
        """Whether the frame's signature is right and newer than its stream's last."""
        stream = (frame[-13], system, component)
        ticks = int.from_bytes(frame[-12:-6], "little")
        last = self._last.get(stream)
        if (last is None and ticks + _NEW_STREAM_LAG < now_ticks()) or (last is not None and ticks <= last):
            return False
        if hashlib.sha256(self._secret + frame[:-6]).digest()[:6] != frame[-6:]:
            return False
        self._last[stream] = ticks
        self.newest_ticks = max(self.newest_ticks, ticks)
        return True


class Signer:
    """Signs outgoing frames of one link; its time never repeats, and is never behind what came well signed.

    A vehicle takes its time from GPS, and refuses a stream that begins a minute behind it: a laptop whose clock is slow
    could not speak to it at all.
    """

    def __init__(self, key: SigningKey, link_id: int = 1, heard: SignatureCheck | None = None) -> None:
        self._secret = key.secret
        self._link_id = link_id
        self._ticks = 0
        self._heard = heard

    def trailer(self, frame: bytes) -> bytes:
        """The 13 bytes to put after a frame whose signed flag is set and whose checksum is in place."""
        self._ticks = max(now_ticks(), self._ticks + 1, self._heard.newest_ticks if self._heard else 0)
        head = struct.pack("<BQ", self._link_id, self._ticks)[:7]
        return head + hashlib.sha256(self._secret + frame + head).digest()[:6]
