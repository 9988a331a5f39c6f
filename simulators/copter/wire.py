"""MAVLink frames to and from bytes, straight from pymavlink's own message tables.

pymavlink's encoder builds an object and a header per message; 46 vehicles send several thousand messages a second, so
frames are packed here from a cached `struct.Struct` (about five times faster, see `benchmarks/fleet.py`). The reader is
strict: a frame with a wrong checksum, length or signature is counted and dropped, and never reaches the vehicle.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from fastcrc.crc16 import mcrf4xx
from pymavlink.dialects.v20 import ardupilotmega as mavlink

Message = Any
"""An instance of one of pymavlink's message classes."""

MAGIC_V1 = 0xFE
MAGIC_V2 = 0xFD
SIGNED = 0x01
SIGNATURE_BYTES = 13
_HEADER_V2 = struct.Struct("<BBBBBBBHB")
_CRC = struct.Struct("<H")
# One minute in the signature's unit of 10 microseconds: how far behind a new stream may start (MAVLink 2 signing).
_NEW_STREAM_SLACK = 6_000_000


class _Layout:
    """How one message class lies on the wire."""

    __slots__ = ("chars", "codes", "crc_extra", "id", "reorder", "size", "struct", "widths")

    def __init__(self, cls: Any) -> None:
        self.id: int = cls.id
        self.struct: struct.Struct = cls.unpacker
        self.size: int = cls.unpacker.size
        self.crc_extra = bytes((cls.crc_extra,))
        names, wire = list(cls.fieldnames), list(cls.ordered_fieldnames)
        positions = [names.index(name) for name in wire]
        self.reorder: Callable[[tuple[Any, ...]], tuple[Any, ...]] = (
            itemgetter(*positions) if len(positions) > 1 else lambda values: (values[positions[0]],)
        )
        # One format letter for every item that is packed; arrays and strings repeat theirs.
        self.codes = _codes(cls.unpacker.format)
        kinds = dict(zip(names, cls.fieldtypes, strict=True))
        self.chars = any(kind == "char" for kind in kinds.values())
        # Per wire field: 0 for a scalar or a char array (one struct item), n for an array of n numbers.
        self.widths = [
            0 if kinds[name] == "char" else length for name, length in zip(wire, cls.array_lengths, strict=True)
        ]

    def payload(self, values: tuple[Any, ...]) -> bytes:
        """Values in the order of the message definition, packed in wire order with trailing zeros cut."""
        ordered = self.reorder(values)
        if self.chars or any(self.widths):
            flat: list[Any] = []
            for value, width in zip(ordered, self.widths, strict=True):
                if width:
                    flat.extend(value)
                else:
                    flat.append(value.encode() if isinstance(value, str) else value)
            ordered = tuple(flat)
        try:
            packed: bytes = self.struct.pack(*ordered)
        except struct.error:
            packed = self.struct.pack(*_saturated(ordered, self.codes))
        return packed.rstrip(b"\0") or b"\0"


_RANGES = {
    "B": (0, 255), "b": (-128, 127), "H": (0, 65535), "h": (-32768, 32767), "I": (0, 2**32 - 1),
    "i": (-(2**31), 2**31 - 1), "Q": (0, 2**64 - 1), "q": (-(2**63), 2**63 - 1),
}  # fmt: skip


def _codes(form: str | bytes) -> str:
    text = form.decode() if isinstance(form, bytes) else form
    found = re.findall(r"(\d*)([a-zA-Z])", text)
    return "".join(letter if letter == "s" else letter * int(count or 1) for count, letter in found)


def _saturated(values: tuple[Any, ...], codes: str) -> list[Any]:
    """Numbers that do not fit their field become the nearest that do: a vehicle far out of range still reports."""
    out: list[Any] = []
    for value, code in zip(values, codes, strict=True):
        if code in _RANGES:
            low, high = _RANGES[code]
            out.append(max(low, min(high, int(value))))
        else:
            out.append(max(-3.4e38, min(3.4e38, value)) if code == "f" else value)
    return out


_LAYOUTS: dict[Any, _Layout] = {}


def _layout(cls: Any) -> _Layout:
    layout = _LAYOUTS.get(cls)
    if layout is None:
        layout = _LAYOUTS[cls] = _Layout(cls)
    return layout


@dataclass
class Signing:
    """MAVLink 2 signing of one link.

    Attributes:
        key: 32 bytes, or None where the link is not signed. Never logged.
        link_id: Carried in every signature.
        clock: Gives the signing time in units of 10 microseconds since 2015-01-01.
    """

    key: bytes | None = None
    link_id: int = 0
    clock: Callable[[], int] = lambda: 0
    last_sent: int = 0
    streams: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def sign(self, frame: bytes) -> bytes:
        """The 13 signature bytes of a frame that has its checksum."""
        assert self.key is not None
        self.last_sent = max(self.last_sent + 1, self.clock())
        tail = struct.pack("<BQ", self.link_id, self.last_sent)[:7]
        return tail + hashlib.sha256(self.key + frame + tail).digest()[:6]

    def accepts(self, frame: bytes) -> bool:
        """Whether a signed frame is genuine and new. A forged frame leaves no trace in the stream's clock."""
        if self.key is None:
            return True
        tail, signature = frame[-13:-6], frame[-6:]
        if hashlib.sha256(self.key + frame[:-6]).digest()[:6] != signature:
            return False
        stamp = int.from_bytes(tail[1:], "little")
        stream = (tail[0], frame[5], frame[6])
        last = self.streams.get(stream)
        if stamp <= last if last is not None else stamp + _NEW_STREAM_SLACK < self.clock():
            return False
        self.streams[stream] = stamp
        return True


class Encoder:
    """Packs messages of one component for one link: the sequence number is the link's."""

    def __init__(self, system_id: int, signing: Signing | None = None) -> None:
        self.system_id = system_id
        self.signing = signing or Signing()
        self.sequence = 0

    def pack(self, cls: Any, values: tuple[Any, ...], component_id: int = 1) -> bytes:
        """One MAVLink 2 frame; `values` in the order of the message definition."""
        layout = _layout(cls)
        payload = layout.payload(values)
        signed = self.signing.key is not None
        message_id = layout.id
        head = _HEADER_V2.pack(
            MAGIC_V2,
            len(payload),
            SIGNED if signed else 0,
            0,
            self.sequence,
            self.system_id,
            component_id,
            message_id & 0xFFFF,
            message_id >> 16,
        )
        self.sequence = (self.sequence + 1) & 0xFF
        body = head + payload
        frame = body + _CRC.pack(mcrf4xx(body[1:] + layout.crc_extra))
        return frame + self.signing.sign(frame) if signed else frame


@dataclass
class Refused:
    """Frames that did not pass, by reason."""

    checksum: int = 0
    unknown: int = 0
    length: int = 0
    signature: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.checksum + self.unknown + self.length + self.signature


class Decoder:
    """Cuts a byte stream into frames and gives back the messages that pass every check."""

    def __init__(self, signing: Signing | None = None) -> None:
        self.signing = signing or Signing()
        self.refused = Refused()
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yields the messages that `data` completes."""
        buffer = self._pending + data
        start, end = 0, len(buffer)
        while start < end:
            magic = buffer[start]
            if magic not in (MAGIC_V2, MAGIC_V1):
                start = _next_magic(buffer, start + 1)
                continue
            size = _frame_size(buffer, start, end)
            if size == 0 or start + size > end:
                break
            message = self._message(buffer[start : start + size], 10 if magic == MAGIC_V2 else 6)
            # A frame that fails may hide the start of a good one: go on just behind its first byte.
            start += size if message is not None else 1
            if message is not None and message is not _SKIPPED:
                yield message
        self._pending = buffer[start:]

    def _message(self, frame: bytes, head: int) -> Message | None:
        v2 = head == 10
        message_id = frame[7] | frame[8] << 8 | frame[9] << 16 if v2 else frame[5]
        signed = v2 and bool(frame[2] & SIGNED)
        cls = mavlink.mavlink_map.get(message_id)
        if cls is None:
            # Its checksum cannot be verified: step over the marker only, lest noise swallow a good frame.
            self.refused.unknown += 1
            return None
        layout = _layout(cls)
        body_end = head + frame[1]
        if mcrf4xx(frame[1:body_end] + layout.crc_extra) != frame[body_end] | frame[body_end + 1] << 8:
            self.refused.checksum += 1
            return None
        if v2 and frame[2] & ~SIGNED:
            self.refused.length += 1
            return _SKIPPED
        if self.signing.key is not None and not (signed and self.signing.accepts(frame)):
            self.refused.signature += 1
            return _SKIPPED
        return _unpack(cls, layout, frame, head, body_end)


_SKIPPED = object()


def split_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Cuts bytes into frames by their headers alone; (frames, the incomplete rest). Noise between them is dropped."""
    frames: list[bytes] = []
    start, end = 0, len(data)
    while start < end:
        if data[start] not in (MAGIC_V2, MAGIC_V1):
            start = _next_magic(data, start + 1)
            continue
        size = _frame_size(data, start, end)
        if size == 0 or start + size > end:
            break
        frames.append(data[start : start + size])
        start += size
    return frames, data[start:]


def _next_magic(buffer: bytes, start: int) -> int:
    found = [at for at in (buffer.find(b"\xfd", start), buffer.find(b"\xfe", start)) if at >= 0]
    return min(found, default=len(buffer))


def _frame_size(buffer: bytes, start: int, end: int) -> int:
    """Bytes of the frame at `start`, 0 where its header is not complete."""
    if buffer[start] == MAGIC_V1:
        return 8 + buffer[start + 1] if end - start >= 6 else 0
    if end - start < 10:
        return 0
    return 12 + buffer[start + 1] + (SIGNATURE_BYTES if buffer[start + 2] & SIGNED else 0)


def _unpack(cls: Any, layout: _Layout, frame: bytes, head: int, body_end: int) -> Message:
    payload = frame[head:body_end][: layout.size].ljust(layout.size, b"\0")
    flat = iter(layout.struct.unpack(payload))
    values: dict[str, Any] = {}
    for name, width in zip(cls.ordered_fieldnames, layout.widths, strict=True):
        value = [next(flat) for _ in range(width)] if width else next(flat)
        values[name] = value.rstrip(b"\0") if isinstance(value, bytes) else value
    message = cls(*[values[name] for name in cls.fieldnames])
    sequence, system, component = (frame[4], frame[5], frame[6]) if head == 10 else (frame[2], frame[3], frame[4])
    flags = frame[2] if head == 10 else 0
    message._header = mavlink.MAVLink_header(layout.id, flags, 0, frame[1], sequence, system, component)
    return message
