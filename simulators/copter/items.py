"""Items of a plan as the autopilot keeps them, and what it refuses or rounds on the way in.

ArduPilot stores an item in 15 bytes: heights to a centimetre, a waypoint's hold in whole seconds, no yaw. What is read
back is what is stored, so a ground station that compares meets the same roundings here as outdoors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MISSION, FENCE, RALLY = 0, 1, 2

WAYPOINT, LOITER_UNLIMITED, LOITER_TURNS, LOITER_TIME = 16, 17, 18, 19
RETURN_TO_LAUNCH, LAND, TAKEOFF, SPLINE_WAYPOINT, DELAY = 20, 21, 22, 82, 93
CONDITION_DELAY, CONDITION_DISTANCE, CONDITION_YAW = 112, 114, 115
DO_JUMP, DO_CHANGE_SPEED, DO_SET_HOME, DO_SET_SERVO = 177, 178, 179, 183
DO_LAND_START, DO_SET_ROI, DO_DIGICAM_CONTROL, DO_MOUNT_CONTROL, DO_TRIGGER_DISTANCE = 189, 201, 203, 205, 206
DO_SET_ROI_LOCATION, DO_SET_ROI_NONE, DO_FENCE_ENABLE = 195, 197, 207
DO_GIMBAL_PITCHYAW, IMAGE_START_CAPTURE, IMAGE_STOP_CAPTURE, VIDEO_START, VIDEO_STOP = 1000, 2000, 2001, 2500, 2501
FENCE_RETURN_POINT, FENCE_INCLUSION, FENCE_EXCLUSION = 5000, 5001, 5002
FENCE_CIRCLE_INCLUSION, FENCE_CIRCLE_EXCLUSION, RALLY_POINT = 5003, 5004, 5100

NAVIGATION = frozenset(
    (WAYPOINT, LOITER_UNLIMITED, LOITER_TURNS, LOITER_TIME, RETURN_TO_LAUNCH, LAND, TAKEOFF, SPLINE_WAYPOINT, DELAY)
)
CONDITIONS = frozenset((CONDITION_DELAY, CONDITION_DISTANCE, CONDITION_YAW))
_MISSION_COMMANDS = NAVIGATION | CONDITIONS | {
    DO_JUMP, DO_CHANGE_SPEED, DO_SET_HOME, DO_SET_SERVO, DO_LAND_START, DO_SET_ROI, DO_DIGICAM_CONTROL,
    DO_MOUNT_CONTROL, DO_TRIGGER_DISTANCE, DO_SET_ROI_LOCATION, DO_SET_ROI_NONE, DO_FENCE_ENABLE,
    DO_GIMBAL_PITCHYAW, IMAGE_START_CAPTURE, IMAGE_STOP_CAPTURE, VIDEO_START, VIDEO_STOP,
}  # fmt: skip
_FENCE_COMMANDS = frozenset(
    (FENCE_RETURN_POINT, FENCE_INCLUSION, FENCE_EXCLUSION, FENCE_CIRCLE_INCLUSION, FENCE_CIRCLE_EXCLUSION)
)
# Commands whose x and y are a place; of the others they are plain numbers.
LOCATED = frozenset(
    (NAVIGATION - {RETURN_TO_LAUNCH, DELAY}) | {DO_SET_HOME, DO_LAND_START, DO_SET_ROI, DO_SET_ROI_LOCATION}
    | _FENCE_COMMANDS | {RALLY_POINT}
)  # fmt: skip
# Commands whose fourth parameter (yaw) may be NaN, "as it comes".
_NAN_YAW = frozenset((WAYPOINT, LAND, TAKEOFF, LOITER_UNLIMITED, LOITER_TURNS, LOITER_TIME, SPLINE_WAYPOINT))
_FRAMES = frozenset((0, 2, 3, 5, 6, 10, 11))

ACCEPTED, ERROR, UNSUPPORTED_FRAME, UNSUPPORTED, NO_SPACE, INVALID = 0, 1, 2, 3, 4, 5
INVALID_PARAM1, INVALID_X, INVALID_Y, INVALID_SEQUENCE, DENIED, CANCELLED = 6, 10, 11, 13, 14, 15

# ArduPilot's storage for missions on a board with 16 kB of it; 718 items, ardupilot#7254.
CAPACITY = {MISSION: 718, FENCE: 200, RALLY: 50}


@dataclass(frozen=True)
class Item:
    """One stored item; `x` latitude and `y` longitude in 1e-7 degrees, `z` metres in `frame`."""

    command: int
    frame: int = 3
    p1: float = 0.0
    p2: float = 0.0
    p3: float = 0.0
    p4: float = 0.0
    x: int = 0
    y: int = 0
    z: float = 0.0
    autocontinue: int = 1

    @property
    def lon(self) -> float:
        """Degrees."""
        return self.y * 1e-7

    @property
    def lat(self) -> float:
        """Degrees."""
        return self.x * 1e-7

    @property
    def params(self) -> tuple[float, float, float, float]:
        """The four parameters."""
        return self.p1, self.p2, self.p3, self.p4


def from_message(message: object) -> Item:
    """A MISSION_ITEM_INT or MISSION_ITEM as an item; degrees of the latter become 1e-7 degrees."""
    x, y = message.x, message.y  # type: ignore[attr-defined]
    if type(message).__name__ == "MAVLink_mission_item_message":
        scale = 1e7 if message.command in LOCATED else 1.0  # type: ignore[attr-defined]
        finite = math.isfinite(x) and math.isfinite(y)
        x, y = (round(x * scale), round(y * scale)) if finite else (2**31 - 1, 2**31 - 1)
    m = message
    return Item(m.command, m.frame, m.param1, m.param2, m.param3, m.param4, x, y, m.z, m.autocontinue)  # type: ignore[attr-defined]


def refusal(item: Item, kind: int) -> int:
    """MAV_MISSION_RESULT for an item of a plan of `kind`: ACCEPTED, or why not."""
    known = {MISSION: _MISSION_COMMANDS, FENCE: _FENCE_COMMANDS, RALLY: frozenset((RALLY_POINT,))}[kind]
    if item.command not in known:
        return UNSUPPORTED
    if item.frame not in _FRAMES:
        return UNSUPPORTED_FRAME
    for index, value in enumerate(item.params):
        if not math.isfinite(value) and not (math.isnan(value) and index == 3 and item.command in _NAN_YAW):
            return INVALID_PARAM1 + index
    if not abs(item.z) <= 20_000.0:
        return INVALID_Y + 1
    if abs(item.x) > 900_000_000:
        return INVALID_X
    if abs(item.y) > 1_800_000_000:
        return INVALID_Y
    if item.command in (FENCE_INCLUSION, FENCE_EXCLUSION) and not 3 <= item.p1 <= 255:
        return INVALID_PARAM1
    if item.command in (FENCE_CIRCLE_INCLUSION, FENCE_CIRCLE_EXCLUSION) and item.p1 <= 0:
        return INVALID_PARAM1
    return ACCEPTED


def stored(item: Item, kind: int) -> Item:
    """The item as storage keeps it (ArduCopter 4.6.3, measured): centimetres cut off, no yaw, frames of places only."""
    item = replace(item, z=math.trunc(round(item.z * 100, 3)) / 100)
    frame = {5: 0, 6: 3, 11: 10}.get(item.frame, item.frame)
    if kind != MISSION:
        return replace(item, frame=frame)
    if item.command not in LOCATED:
        return replace(item, frame=0, x=item.x if item.command == DO_DIGICAM_CONTROL else 0, y=0, z=0.0)
    if item.command in (WAYPOINT, SPLINE_WAYPOINT, TAKEOFF, LAND, LOITER_TIME, LOITER_UNLIMITED):
        # A loiter's third parameter comes back as 1: ArduPilot keeps one bit of it.
        p3 = 1.0 if item.command == LOITER_TIME else 0.0
        return replace(item, frame=frame, p1=float(int(item.p1)), p2=0.0, p3=p3, p4=0.0)
    return replace(item, frame=frame)


def complete_fence(items: list[Item]) -> bool:
    """Whether every polygon of a fence plan has the vertices that it announces."""
    index = 0
    while index < len(items):
        item = items[index]
        if item.command not in (FENCE_INCLUSION, FENCE_EXCLUSION):
            index += 1
            continue
        count = int(item.p1)
        ring = items[index : index + count]
        if len(ring) < count or any(v.command != item.command or int(v.p1) != count for v in ring):
            return False
        index += count
    return True
