"""MAVLink FTP for the three plans: `@MISSION/mission.dat`, `@MISSION/fence.dat`, `@MISSION/rally.dat`.

A whole plan crosses a slow link in a few large pieces instead of one question and answer an item. A file that is
written takes effect when it is closed, all of it or none.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import items as it
from simulators.copter.items import Item

if TYPE_CHECKING:
    from simulators.copter.channel import Channel
    from simulators.copter.vehicle import Vehicle

_HEAD = struct.Struct("<HBBBBBBI")
_DATA = 239
_ACK, _NAK = 128, 129
_TERMINATE, _RESET, _OPEN_READ, _READ, _CREATE, _WRITE, _OPEN_WRITE, _CRC, _BURST = 1, 2, 4, 5, 6, 7, 11, 14, 15
_FAIL, _BAD_SIZE, _NO_SESSION, _END, _UNKNOWN, _NOT_FOUND = 1, 3, 4, 6, 7, 10
_BURST_PIECES = 12
_LARGEST = 64 * 1024

# A plan's file: magic, kind, options, first item, number of items; then MISSION_ITEM_INT payloads in wire order.
MAGIC = 0x763D
_FILE_HEAD = struct.Struct("<5H")
_ITEM_CLASS = mavlink.MAVLink_mission_item_int_message
_ITEM: struct.Struct = _ITEM_CLASS.unpacker
_ITEM_FIELDS: list[str] = list(_ITEM_CLASS.ordered_fieldnames)
FILES = {"@MISSION/mission.dat": it.MISSION, "@MISSION/fence.dat": it.FENCE, "@MISSION/rally.dat": it.RALLY}


def write_plan(plan: list[Item], kind: int) -> bytes:
    """A plan as the file that ArduPilot offers."""
    out = [_FILE_HEAD.pack(MAGIC, kind, 0, 0, len(plan))]
    for index, item in enumerate(plan):
        values = {
            "target_system": 0, "target_component": 0, "seq": index, "frame": item.frame, "command": item.command,
            "current": 0, "autocontinue": item.autocontinue, "param1": item.p1, "param2": item.p2,
            "param3": item.p3, "param4": item.p4, "x": item.x, "y": item.y, "z": item.z, "mission_type": kind,
        }  # fmt: skip
        out.append(_ITEM.pack(*(values[name] for name in _ITEM_FIELDS)))
    return b"".join(out)


def read_plan(data: bytes, kind: int) -> list[Item] | None:
    """A plan from such a file; None where it is not one of this kind."""
    if len(data) < _FILE_HEAD.size:
        return None
    magic, data_kind, options, start, count = _FILE_HEAD.unpack_from(data)
    body = data[_FILE_HEAD.size :]
    if magic != MAGIC or data_kind != kind or options or start or len(body) != count * _ITEM.size:
        return None
    plan = []
    for index in range(count):
        v = dict(zip(_ITEM_FIELDS, _ITEM.unpack_from(body, index * _ITEM.size), strict=True))
        if v["seq"] != index:
            return None
        plan.append(
            Item(
                v["command"], v["frame"], v["param1"], v["param2"], v["param3"], v["param4"], v["x"], v["y"], v["z"],
                v["autocontinue"],
            )
        )  # fmt: skip
    return plan


@dataclass
class _Session:
    name: str
    data: bytearray = field(default_factory=bytearray)
    writing: bool = False


class FileServer:
    """One vehicle's file server: one session, as ArduPilot has it."""

    def __init__(self, vehicle: Vehicle) -> None:
        self._vehicle = vehicle
        self._session: _Session | None = None
        # The session number of the question; every answer carries it back.
        self._number = 0
        self._last: tuple[tuple[int, int, int], bytes] | None = None
        self._acts: dict[int, Callable[[int, int, bytes], tuple[int, bytes, int]]] = {
            _TERMINATE: self._terminate, _RESET: self._terminate, _OPEN_READ: self._open_read, _READ: self._read,
            _CREATE: self._open_write, _OPEN_WRITE: self._open_write, _WRITE: self._write, _CRC: self._checksum,
        }  # fmt: skip

    def receive(self, channel: Channel, message: Any) -> None:
        """Handles one FILE_TRANSFER_PROTOCOL message."""
        peer = (message.get_srcSystem(), message.get_srcComponent())
        payload = bytes(message.payload)
        sequence, self._number, opcode, size, _, _, _, offset = _HEAD.unpack_from(payload)
        data = payload[_HEAD.size : _HEAD.size + min(size, _DATA)]
        again = (*peer, sequence)
        if self._last is not None and self._last[0] == again:
            # The answer was lost and the question is asked again: it is not acted on twice.
            self._send(channel, peer, self._last[1])
            return
        if opcode == _BURST:
            self._burst(channel, peer, sequence, offset, size)
            return
        act = self._acts.get(opcode)
        code, out, at = act(offset, size, data) if act else (_NAK, bytes((_UNKNOWN,)), 0)
        reply = self._pack(sequence + 1, code, len(out), opcode, 0, at, out)
        self._last = (again, reply)
        self._send(channel, peer, reply)

    def _pack(self, sequence: int, code: int, size: int, asked: int, complete: int, offset: int, data: bytes) -> bytes:
        return _HEAD.pack(sequence & 0xFFFF, self._number, code, size, asked, complete, 0, offset) + data

    @staticmethod
    def _send(channel: Channel, peer: tuple[int, int], payload: bytes) -> None:
        channel.send(mavlink.MAVLink_file_transfer_protocol_message, 0, *peer, payload.ljust(251, b"\0"))

    def _burst(self, channel: Channel, peer: tuple[int, int], sequence: int, offset: int, size: int) -> None:
        session, piece = self._session, min(size or _DATA, _DATA)
        if session is None or session.writing or offset >= len(session.data):
            error = _NO_SESSION if session is None or session.writing else _END
            self._send(channel, peer, self._pack(sequence + 1, _NAK, 1, _BURST, 0, offset, bytes((error,))))
            return
        for number in range(_BURST_PIECES):
            data = bytes(session.data[offset : offset + piece])
            end = offset + len(data)
            last = number == _BURST_PIECES - 1 or end >= len(session.data)
            sequence += 1
            self._send(channel, peer, self._pack(sequence, _ACK, len(data), _BURST, int(last), offset, data))
            offset = end
            if last:
                return

    def _open_read(self, offset: int, size: int, data: bytes) -> tuple[int, bytes, int]:
        name = _name(data)
        kind = FILES.get(name)
        if kind is None:
            return _NAK, bytes((_NOT_FOUND,)), 0
        transfers = self._vehicle.transfers
        plan = [transfers.item(kind, index) for index in range(transfers.count(kind))]
        self._session = _Session(name, bytearray(write_plan([item for item in plan if item is not None], kind)))
        return _ACK, struct.pack("<I", len(self._session.data)), 0

    def _open_write(self, offset: int, size: int, data: bytes) -> tuple[int, bytes, int]:
        name = _name(data)
        if name not in FILES:
            return _NAK, bytes((_NOT_FOUND,)), 0
        self._session = _Session(name, writing=True)
        return _ACK, b"", 0

    def _read(self, offset: int, size: int, data: bytes) -> tuple[int, bytes, int]:
        session = self._session
        if session is None or session.writing:
            return _NAK, bytes((_NO_SESSION,)), offset
        out = bytes(session.data[offset : offset + min(size or _DATA, _DATA)])
        return (_ACK, out, offset) if out else (_NAK, bytes((_END,)), offset)

    def _write(self, offset: int, size: int, data: bytes) -> tuple[int, bytes, int]:
        session = self._session
        if session is None or not session.writing:
            return _NAK, bytes((_NO_SESSION,)), offset
        if offset + len(data) > _LARGEST:
            return _NAK, bytes((_BAD_SIZE,)), offset
        if len(session.data) < offset + len(data):
            session.data.extend(bytes(offset + len(data) - len(session.data)))
        session.data[offset : offset + len(data)] = data
        return _ACK, b"", offset

    def _checksum(self, offset: int, size: int, data: bytes) -> tuple[int, bytes, int]:
        code, out, _ = self._open_read(0, 0, data)
        if code == _NAK or self._session is None:
            return code, out, 0
        checksum = zlib.crc32(bytes(self._session.data), 0xFFFFFFFF) ^ 0xFFFFFFFF
        self._session = None
        return _ACK, struct.pack("<I", checksum), 0

    def _terminate(self, offset: int, size: int, data: bytes) -> tuple[int, bytes, int]:
        """Closes the file; one that was written takes effect now."""
        session, self._session = self._session, None
        if session is None or not session.writing:
            return _ACK, b"", 0
        kind = FILES[session.name]
        plan = read_plan(bytes(session.data), kind)
        if plan is None or self._vehicle.transfers.replace(kind, plan) != it.ACCEPTED:
            return _NAK, bytes((_FAIL,)), 0
        return _ACK, b"", 0


def _name(data: bytes) -> str:
    return data.split(b"\0")[0].decode("ascii", "replace").lstrip("/")
