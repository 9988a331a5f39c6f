"""The camera's trigger: by distance, by interval, by command; where it was pressed, exactly.

The distance trigger is solved inside the physics step, so that photographs lie on the same places at every speed of the
clock.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from simulators.copter.trajectory import Vector


@dataclass(frozen=True)
class Pose:
    """The vehicle at one moment: true and believed place in local metres, true heading and velocity."""

    time_s: float
    true: Vector
    believed: Vector
    yaw_rad: float
    velocity: Vector


@dataclass(frozen=True)
class Shot:
    """One press of the shutter; `kept` is False where the camera did not expose (a skipped shutter)."""

    index: int
    pose: Pose
    kept: bool
    roll_deg: float
    pitch_deg: float


def _between(before: Pose, after: Pose, share: float) -> Pose:
    def mix(a: Vector, b: Vector) -> Vector:
        return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])

    turn = math.remainder(after.yaw_rad - before.yaw_rad, math.tau)
    return Pose(
        before.time_s + share * (after.time_s - before.time_s),
        mix(before.true, after.true),
        mix(before.believed, after.believed),
        before.yaw_rad + share * turn,
        mix(before.velocity, after.velocity),
    )


def _crossing(before: Vector, after: Vector, last: Vector, distance_m: float) -> float | None:
    """Share of the step at which the level distance from `last` reaches `distance_m`; None where it does not."""
    an, ae = before[0] - last[0], before[1] - last[1]
    dn, de = after[0] - before[0], after[1] - before[1]
    if math.hypot(an + dn, ae + de) < distance_m:
        return None
    a, b, c = dn * dn + de * de, an * dn + ae * de, an * an + ae * ae - distance_m * distance_m
    if c >= 0 or a == 0:
        return 0.0
    return (-b + math.sqrt(b * b - a * c)) / a


class Shutter:
    """Decides when the camera is pressed.

    Attributes:
        count: Presses since the card was put in; the next one's index is one more.
        skip: Presses that the camera will not act on (fault).
        skip_share: Share of presses that it will not act on (SIM_CAM_SKIP).
        tilt_deg: Where the gimbal points, -90 is nadir.
    """

    def __init__(self, press: Callable[[Shot], None], seed: int) -> None:
        self._press = press
        self._random = random.Random(seed)
        self.count = 0
        self.skip = 0
        self.skip_share = 0.0
        self.tilt_deg = -90.0
        self.min_interval_s = 0.0
        self._distance_m = 0.0
        self._last_place: Vector | None = None
        self._interval_s = 0.0
        self._left = 0
        self._next_s = 0.0
        self._last_s = -math.inf
        self._sequence: int | None = None
        self._before: Pose | None = None

    @property
    def interval_s(self) -> float:
        """Seconds between photographs of a running interval capture, 0 where there is none."""
        return self._interval_s if self._left else 0.0

    @property
    def distance_m(self) -> float:
        """The distance trigger, 0 where it is off."""
        return self._distance_m

    def by_distance(self, distance_m: float, now: Pose, *, at_once: bool = False) -> None:
        """DO_SET_CAM_TRIGG_DIST: a photograph every `distance_m`, 0 stops; the first at once where asked."""
        self._distance_m = max(0.0, distance_m)
        if self._distance_m == 0.0:
            self._last_place = None
        if at_once:
            self.shoot(now)

    def by_interval(self, interval_s: float, total: int, sequence: int, now: Pose) -> None:
        """IMAGE_START_CAPTURE: `total` photographs (0 endless); a repeated sequence number is not shot twice."""
        if total == 1 and sequence and sequence == self._sequence:
            return
        self._sequence = sequence
        self.shoot(now)
        self._interval_s = interval_s
        self._left = -1 if total == 0 and interval_s > 0 else max(0, total - 1) if interval_s > 0 else 0
        self._next_s = now.time_s + interval_s

    def stop(self) -> None:
        """IMAGE_STOP_CAPTURE, and what disarming does."""
        self._left = 0
        self._distance_m = 0.0
        self._last_place = None

    def step(self, pose: Pose) -> None:
        """Looks whether the motion up to `pose` has crossed a trigger."""
        before, self._before = self._before, pose
        if self._left and pose.time_s >= self._next_s:
            self._next_s += self._interval_s
            self._left -= 1 if self._left > 0 else 0
            self.shoot(pose)
        if not self._distance_m or before is None:
            return
        if self._last_place is None:
            self._last_place = pose.believed
            return
        share = _crossing(before.believed, pose.believed, self._last_place, self._distance_m)
        if share is not None:
            self.shoot(_between(before, pose, min(1.0, share)))

    def shoot(self, pose: Pose) -> None:
        """Presses the shutter at a pose."""
        if pose.time_s - self._last_s < self.min_interval_s:
            return
        self._last_s = pose.time_s
        self._last_place = pose.believed
        skipped = self.skip > 0 or self._random.random() < self.skip_share
        self.skip = max(0, self.skip - 1)
        self.count += 1
        # A two-axis gimbal of this class holds the horizon to a third of a degree.
        roll, pitch = self._random.gauss(0.0, 0.3), self.tilt_deg + self._random.gauss(0.0, 0.3)
        self._press(Shot(self.count, pose, not skipped, roll, pitch))
