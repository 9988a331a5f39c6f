"""A mission, fence or rally list as ArduPilot's `@MISSION/*.dat`: ten bytes of header, then MISSION_ITEM_INT payloads.

Source: AP_Filesystem_Mission.h (magic, type, options, first item, number of items; all uint16, little endian).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.errors import TransferError
from flight.items import WireItem

MAGIC = 0x763D
NAMES = {
    mavlink.MAV_MISSION_TYPE_MISSION: "@MISSION/mission.dat",
    mavlink.MAV_MISSION_TYPE_FENCE: "@MISSION/fence.dat",
    mavlink.MAV_MISSION_TYPE_RALLY: "@MISSION/rally.dat",
}
_HEAD = struct.Struct("<5H")
# MISSION_ITEM_INT in wire order (largest fields first): 4 parameters, x, y, z, seq, command, then single bytes.
_ITEM = struct.Struct("<4f2if2H6B")


def encode(items: Sequence[WireItem], mission_type: int, system: int, component: int) -> bytes:
    """The list as a file."""
    out = [_HEAD.pack(MAGIC, mission_type, 0, 0, len(items))]
    for seq, item in enumerate(items):
        current = int(seq == 0 and mission_type == mavlink.MAV_MISSION_TYPE_MISSION)
        out.append(
            _ITEM.pack(
                *item.params, item.x, item.y, item.z, seq, item.command, system, component, item.frame, current,
                item.autocontinue, mission_type,
            )
        )  # fmt: skip
    return b"".join(out)


def decode(data: bytes, mission_type: int) -> list[WireItem]:
    """The items of a file.

    Raises:
        TransferError: Not such a file, of another type, cut, or with items out of order.
    """
    name = NAMES[mission_type]
    if len(data) < _HEAD.size:
        raise TransferError(f"{name} has {len(data)} bytes: no header")
    magic, kind, _, first, count = _HEAD.unpack_from(data)
    if (magic, kind, first) != (MAGIC, mission_type, 0):
        raise TransferError(f"{name} begins with {magic:#06x}, type {kind}, item {first}: not this list")
    if len(data) != _HEAD.size + count * _ITEM.size:
        raise TransferError(f"{name} has {len(data)} bytes for {count} items: cut, or of another version")
    items = []
    for seq in range(count):
        values = _ITEM.unpack_from(data, _HEAD.size + seq * _ITEM.size)
        p1, p2, p3, p4, x, y, z, number, command, _, _, frame, _, autocontinue, _ = values
        if number not in (seq, 0):  # ArduPilot 4.6 numbers every fence point 0: their place in the file counts
            raise TransferError(f"{name}: item {seq} is numbered {number}")
        items.append(WireItem(command, frame, (p1, p2, p3, p4), x, y, z, autocontinue))
    return items
