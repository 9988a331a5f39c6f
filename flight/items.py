"""Mission items as they go over the air, and whether two of them mean the same to the vehicle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from missions.plan import MissionItem

_PLACED = frozenset(
    {16, 17, 18, 19, 21, 22, 31, 82, 92, 179, 195, 201, 5000, 5001, 5002, 5003, 5004, 5100, 5101}
)  # commands whose x, y, z are a place
# ArduPilot packs a command into 15 bytes and keeps only the parameters it flies by (AP_Mission.cpp); the others may
# read back as 0. Every parameter that is listed must come back as sent; for a command not listed, all must.
_KEPT_PARAMS: dict[int, tuple[int, ...]] = {
    16: (0,), 17: (), 18: (0,), 19: (0,), 20: (), 21: (), 22: (), 178: (1,), 206: (0,), 203: (), 82: (0,),
    5001: (0,), 5002: (0,), 5003: (0,), 5004: (0,), 5100: (), 5000: (),
}  # fmt: skip
# 1e-7 degree is 11 mm; ArduPilot stores heights in centimetres.
_DEGREE_TICKS = 1
_HEIGHT_M = 0.011
TYPE_NAMES = {
    mavlink.MAV_MISSION_TYPE_MISSION: "mission",
    mavlink.MAV_MISSION_TYPE_FENCE: "fence",
    mavlink.MAV_MISSION_TYPE_RALLY: "rally",
}


class WireItem(NamedTuple):
    """The content of a MISSION_ITEM_INT: x is latitude and y longitude in 1e-7 degrees, z metres in `frame`."""

    command: int
    frame: int
    params: tuple[float, float, float, float]
    x: int
    y: int
    z: float
    autocontinue: int = 1

    def message(self, seq: int, system: int, component: int, mission_type: int) -> Any:
        """As a pymavlink message."""
        return mavlink.MAVLink_mission_item_int_message(
            system, component, seq, self.frame, self.command, 1 if seq == 0 and mission_type == 0 else 0,
            self.autocontinue, *self.params, self.x, self.y, self.z, mission_type,
        )  # fmt: skip

    @property
    def lon(self) -> float:
        """Degrees."""
        return self.y * 1e-7

    @property
    def lat(self) -> float:
        """Degrees."""
        return self.x * 1e-7


def to_wire(item: MissionItem) -> WireItem:
    """A plan's item for the air."""
    return WireItem(
        item.command, item.frame, item.params, round(item.lat * 1e7), round(item.lon * 1e7), item.alt_m,
        int(item.autocontinue),
    )  # fmt: skip


def from_fields(fields: Any) -> WireItem:
    """The content of a MISSION_ITEM_INT or of the old MISSION_ITEM that a decoder gave."""
    scale = 1 if isinstance(fields.x, int) else 1e7
    return WireItem(
        fields.command, fields.frame, (fields.param1, fields.param2, fields.param3, fields.param4),
        round(fields.x * scale), round(fields.y * scale), fields.z, fields.autocontinue,
    )  # fmt: skip


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _same_number(sent: float, read: float) -> bool:
    sent, read = _number(sent), _number(read)
    return abs(sent - read) <= max(0.011, 1e-4 * abs(sent))


def difference(sent: WireItem, read: WireItem) -> str:
    """What differs between an item sent and read back, "" where they mean the same."""
    if sent.command != read.command:
        return f"command {sent.command} came back as {read.command}"
    for index in _KEPT_PARAMS.get(sent.command, (0, 1, 2, 3)):
        if not _same_number(sent.params[index], read.params[index]):
            return f"parameter {index + 1} {sent.params[index]:g} came back as {read.params[index]:g}"
    if sent.command not in _PLACED:
        return ""
    if not _same_frame(sent.frame, read.frame):
        return f"frame {sent.frame} came back as {read.frame}"
    if abs(sent.x - read.x) > _DEGREE_TICKS or abs(sent.y - read.y) > _DEGREE_TICKS:
        return f"place {sent.lat:.7f}, {sent.lon:.7f} came back as {read.lat:.7f}, {read.lon:.7f}"
    if sent.command not in (5001, 5002, 5003, 5004) and abs(sent.z - read.z) > _HEIGHT_M:
        return f"height {sent.z:g} m came back as {read.z:g} m"
    return ""


def _same_frame(sent: int, read: int) -> bool:
    # 0 and 5 are global, 3 and 6 relative to home, 10 and 11 above terrain: float and integer names of the same thing.
    pairs = {5: 0, 6: 3, 11: 10}
    return pairs.get(sent, sent) == pairs.get(read, read)


def first_difference(sent: Sequence[WireItem], read: Sequence[WireItem], mission_type: int) -> str:
    """What differs between two lists, "" where nothing does. Item 0 of a mission is home, which the vehicle sets."""
    if len(sent) != len(read):
        return f"{len(sent)} items were sent, {len(read)} came back"
    skip = 1 if mission_type == mavlink.MAV_MISSION_TYPE_MISSION else 0
    for seq in range(skip, len(sent)):
        what = difference(sent[seq], read[seq])
        if what:
            return f"item {seq}: {what}"
    return ""
