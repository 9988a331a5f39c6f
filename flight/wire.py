"""Bytes to messages.

A table of `struct.Struct` from pymavlink's own message classes, because its object construction, not the checksum,
is what costs: the table decodes three to ten times as fast as `mavutil.recv_match`
with equal field values (`benchmarks/fleet.py` measures it, `tests/flight/test_wire.py` proves it for every message).
"""

from __future__ import annotations

import struct
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastcrc import crc16
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.signing import SIGNATURE_LENGTH, SignatureCheck

MAGIC_V1 = 0xFE
MAGIC_V2 = 0xFD
HEADER_V1 = 6
HEADER_V2 = 10
SIGNED_FLAG = 0x01

_crc = crc16.mcrf4xx
_header_v2 = struct.Struct("<BBBBBBHH").unpack_from
_header_v1 = struct.Struct("<BBBBB").unpack_from
_crc_field = struct.Struct("<H").unpack_from
_new: Callable[..., Any] = tuple.__new__


class Packet(NamedTuple):
    """One good frame.

    Attributes:
        msg_id: MAVLink message id.
        system: Sender's system id.
        component: Sender's component id.
        seq: Sender's packet number, 0..255.
        fields: A named tuple of the message's fields (in wire order, read them by name).
        frame: The frame's bytes as they came.
        signed: Whether it carried a signature that was checked and good.
    """

    msg_id: int
    system: int
    component: int
    seq: int
    fields: Any
    frame: bytes
    signed: bool


@dataclass
class WireCounts:
    """What a decoder saw; nothing that is counted as bad changed any state."""

    packets: int = 0
    bad_crc: int = 0
    bad_bytes: int = 0
    bad_flags: int = 0
    bad_signature: int = 0
    unsigned: int = 0
    unknown_id: int = 0
    lost: int = 0
    last_seq: dict[tuple[int, int], int] = field(default_factory=dict)


def _text(raw: bytes) -> str:
    return raw.split(b"\x00", 1)[0].decode("ascii", errors="replace")


def _regroup(kinds: list[tuple[str, int]]) -> Callable[[tuple[Any, ...]], list[Any]]:
    """Makes the function that gathers the flat values of `struct` into strings, bytes and tuples."""

    def gather(flat: tuple[Any, ...]) -> list[Any]:
        values: list[Any] = []
        at = 0
        for kind, length in kinds:
            if kind == "char" and length:
                values.append(_text(flat[at]))
                at += 1
            elif kind == "uint8_t" and length:
                values.append(flat[at])
                at += 1
            elif length:
                values.append(flat[at : at + length])
                at += length
            else:
                values.append(flat[at])
                at += 1
        return values

    return gather


_CODES = {
    "char": "s", "uint8_t": "B", "int8_t": "b", "uint16_t": "H", "int16_t": "h", "uint32_t": "I",
    "int32_t": "i", "uint64_t": "Q", "int64_t": "q", "float": "f", "double": "d",
}  # fmt: skip


class _Shape(NamedTuple):
    size: int
    unpack: Callable[[bytes], tuple[Any, ...]]
    crc_extra: bytes
    gather: Callable[[tuple[Any, ...]], list[Any]] | None
    kind: type


def _shape(message: Any) -> _Shape:
    types = dict(zip(message.fieldnames, message.fieldtypes, strict=True))
    kinds = [(types[n], a) for n, a in zip(message.ordered_fieldnames, message.array_lengths, strict=True)]
    parts = []
    for kind, length in kinds:
        # Bytes are kept as bytes: they index and compare as a list of numbers does, in one object instead of 251.
        code = "s" if length and kind in ("char", "uint8_t") else _CODES[kind]
        parts.append(f"{length or ''}{code}")
    unpacker = struct.Struct("<" + "".join(parts))
    fields = namedtuple(message.msgname, message.ordered_fieldnames, rename=True)  # type: ignore[misc]
    gather = _regroup(kinds) if any(length for _, length in kinds) else None
    return _Shape(unpacker.size, unpacker.unpack, bytes([message.crc_extra]), gather, fields)


SHAPES: dict[int, _Shape] = {msg_id: _shape(message) for msg_id, message in mavlink.mavlink_map.items()}


class Decoder:
    """A stream's frames, one decoder for each peer; garbage is skipped and counted, never raised."""

    def __init__(self, signatures: SignatureCheck | None = None) -> None:
        self.counts = WireCounts()
        self._signatures = signatures
        self._rest = b""

    def feed(self, data: bytes) -> list[Packet]:
        """Takes bytes as they come and gives the frames that are complete and good."""
        buf = self._rest + data if self._rest else data
        packets: list[Packet] = []
        at, end = 0, len(buf)
        while at < end:
            magic = buf[at]
            if magic == MAGIC_V2:
                step = self._v2(buf, at, end, packets)
            elif magic == MAGIC_V1:
                step = self._v1(buf, at, end, packets)
            else:
                step = self._to_next_magic(buf, at, end)
            if step == 0:
                break
            at += step
        self._rest = buf[at:]
        return packets

    def _to_next_magic(self, buf: bytes, at: int, end: int) -> int:
        found = [p for p in (buf.find(b"\xfd", at), buf.find(b"\xfe", at)) if p >= 0]
        step = (min(found) if found else end) - at
        self.counts.bad_bytes += step
        return step

    def _v2(self, buf: bytes, at: int, end: int, packets: list[Packet]) -> int:
        """Bytes used of a frame that starts at `at`; 0 where more must come, 1 where it is none."""
        if end - at < HEADER_V2:
            return 0
        _, length, flags, _, seq, system, component_and_low, high = _header_v2(buf, at)
        if flags & ~SIGNED_FLAG:
            self.counts.bad_flags += 1
            return 1
        body = at + HEADER_V2 + length
        stop = body + 2 + (SIGNATURE_LENGTH if flags else 0)
        if stop > end:
            return 0
        component = component_and_low & 0xFF
        msg_id = component_and_low >> 8 | high << 8
        shape = SHAPES.get(msg_id)
        if shape is None:
            self.counts.unknown_id += 1
            return stop - at if stop == end or buf[stop] in (MAGIC_V1, MAGIC_V2) else 1
        if _crc(shape.crc_extra, _crc(buf[at + 1 : body])) != _crc_field(buf, body)[0]:
            self.counts.bad_crc += 1
            return 1
        frame = buf[at:stop]
        signed = False
        if self._signatures is not None:
            if flags:
                signed = self._signatures.good(frame, system, component)
                if not signed:
                    self.counts.bad_signature += 1
                    return stop - at
            elif not self._signatures.unsigned_allowed(msg_id):
                self.counts.unsigned += 1
                return stop - at
        self._keep(packets, shape, msg_id, system, component, seq, buf[at + HEADER_V2 : body], frame, signed)
        return stop - at

    def _v1(self, buf: bytes, at: int, end: int, packets: list[Packet]) -> int:
        if end - at < HEADER_V1:
            return 0
        _, length, seq, system, component = _header_v1(buf, at)
        msg_id = buf[at + 5]
        body = at + HEADER_V1 + length
        stop = body + 2
        if stop > end:
            return 0
        shape = SHAPES.get(msg_id)
        if shape is None or _crc(shape.crc_extra, _crc(buf[at + 1 : body])) != _crc_field(buf, body)[0]:
            self.counts.bad_crc += 1
            return 1
        if self._signatures is not None and not self._signatures.unsigned_allowed(msg_id):
            self.counts.unsigned += 1
            return stop - at
        self._keep(
            packets, shape, msg_id, system, component, seq, buf[at + HEADER_V1 : body], buf[at:stop], signed=False
        )
        return stop - at

    def _keep(
        self, packets: list[Packet], shape: _Shape, msg_id: int, system: int, component: int, seq: int,
        payload: bytes, frame: bytes, signed: bool,
    ) -> None:  # fmt: skip
        size = shape.size
        if len(payload) != size:
            # MAVLink 2 strips trailing zeros, and a newer sender may add extension fields that we do not know.
            payload = payload.ljust(size, b"\x00")[:size]
        values: Any = shape.unpack(payload)
        if shape.gather is not None:
            values = shape.gather(values)
        counts = self.counts
        counts.packets += 1
        sender = (system, component)
        gap = (seq - counts.last_seq.get(sender, seq - 1) - 1) & 0xFF
        # A gap near 256 is a late or doubled packet, not 255 lost ones.
        if gap and gap < 200:
            counts.lost += gap
        counts.last_seq[sender] = seq
        packets.append(
            _new(Packet, (msg_id, system, component, seq, _new(shape.kind, values), frame, signed)),
        )


def message_name(msg_id: int) -> str:
    """The message's MAVLink name, or its number where this dialect has none."""
    message = mavlink.mavlink_map.get(msg_id)
    return str(message.msgname) if message else f"message {msg_id}"
