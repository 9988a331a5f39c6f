"""Where an aircraft will be in the next seconds, by what it was told: its mission, its way home, a hold.

A straight line on from its speed says nothing of the corner it flies next, nor of the climb after a take-off: two that
stand still now may yet meet. Courses are knots in metres around a sortie's home; sampled, they are compared in time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.frame import LocalFrame
from flight.items import WireItem
from flight.view import Motion

HORIZON_S = 20.0
STEP_S = 0.5
# ArduCopter's defaults: WPNAV_ACCEL, WPNAV_SPEED_UP and _DN, LAND_SPEED below 10 m, RTL_LOIT_TIME.
_BRAKE_MPS2, _UP_MPS, _DOWN_MPS, _LAND_MPS, _LAND_BELOW_M, _LOITER_S = 2.5, 2.5, 1.5, 0.5, 10.0, 5.0
# Between a take-off or a last lane and what comes next (measured on the simulated vehicle).
_TURN_S = 2.5
# A command's way to the vehicle and a look of the guard.
_REACT_S = 1.0
_PLACES = (mavlink.MAV_CMD_NAV_WAYPOINT, mavlink.MAV_CMD_NAV_SPLINE_WAYPOINT)

Samples = NDArray[np.float64]


class Knot(NamedTuple):
    """A place at a time: seconds from now, metres east, north, and above home."""

    s: float
    x: float
    y: float
    h: float


Course = tuple[Knot, ...]


def sampled(course: Course | Samples, later_s: float = 0.0) -> Samples:
    """A course every STEP_S from `later_s` on for HORIZON_S, shape (n, 3): east, north, height in metres."""
    times = np.arange(0.0, HORIZON_S + STEP_S / 2, STEP_S) + later_s
    knots = np.asarray(course, dtype=np.float64)
    return np.column_stack([np.interp(times, knots[:, 0], knots[:, axis]) for axis in (1, 2, 3)])


def straight(me: Motion, seconds: float = HORIZON_S) -> Course:
    """On as it goes now."""
    there = me.after(seconds)
    return Knot(0.0, me.x, me.y, me.h), Knot(seconds, there.x, there.y, there.h)


def stopping(me: Motion, react_s: float = _REACT_S) -> Course:
    """Told to stop now."""
    return to_height(me, math.nan, react_s)


def to_height(me: Motion, height_m: float, react_s: float = _REACT_S) -> Course:
    """Told to stop now and to go straight up or down to a height; NaN for the height it stops at."""
    brake_s = me.speed_mps / _BRAKE_MPS2
    told, stop = me.after(react_s), me.after(react_s + brake_s / 2)
    begun_h = told.h + me.vh * 0.5  # it climbs on for a moment
    end_h = begun_h if math.isnan(height_m) else height_m
    climb_s = abs(end_h - begun_h) / (_UP_MPS if end_h > begun_h else _DOWN_MPS)
    stopped_s = react_s + brake_s
    knots = [Knot(0.0, me.x, me.y, me.h), Knot(react_s, told.x, told.y, told.h)]
    share = 1.0 if climb_s <= brake_s else brake_s / climb_s
    knots.append(Knot(stopped_s + 0.01, stop.x, stop.y, begun_h + (end_h - begun_h) * share))
    knots.append(Knot(react_s + max(climb_s, brake_s) + 0.02, stop.x, stop.y, end_h))
    return tuple(knots)


class _Pen:
    """Draws a course leg by leg."""

    def __init__(self, me: Motion, wait_s: float) -> None:
        self.knots = [Knot(0.0, me.x, me.y, me.h)]
        self._speed = math.hypot(me.vx, me.vy) if wait_s == 0 else 0.0
        self._toward = (me.vx, me.vy)
        if wait_s > 0:
            self.wait(wait_s)

    @property
    def at(self) -> Knot:
        """Where the course ends so far."""
        return self.knots[-1]

    def wait(self, seconds: float) -> None:
        """Stands there for a while."""
        if seconds > 0:
            self.knots.append(self.at._replace(s=self.at.s + seconds))

    def climb(self, height_m: float) -> None:
        """Straight up or down to a height above home, at the autopilot's rates."""
        rise_m = height_m - self.at.h
        if abs(rise_m) > 0.1:
            seconds = abs(rise_m) / (_UP_MPS if rise_m > 0 else _DOWN_MPS) + 0.5
            self.knots.append(self.at._replace(s=self.at.s + seconds, h=height_m))

    def go(self, x: float, y: float, height_m: float, speed_mps: float) -> None:
        """A leg, from its speed now to a stop: steady, then braking over the last metres."""
        at = self.at
        length_m = math.hypot(x - at.x, y - at.y)
        if length_m < 0.5:
            self.climb(height_m)
            return
        along = (self._toward[0] * (x - at.x) + self._toward[1] * (y - at.y)) / length_m if self._speed else 0.0
        gather_s = max(0.0, speed_mps - max(0.0, along)) ** 2 / (2 * _BRAKE_MPS2 * speed_mps)
        rise_m = height_m - at.h
        steep_s = abs(rise_m) / (_UP_MPS if rise_m > 0 else _DOWN_MPS)
        brake_m = min(speed_mps**2 / (2 * _BRAKE_MPS2), length_m / 2)
        brake_s = 2 * brake_m / speed_mps
        steady_s = max(gather_s + (length_m - brake_m) / speed_mps, steep_s - brake_s)
        share = 1 - brake_m / length_m
        self.knots.append(
            Knot(at.s + steady_s, at.x + (x - at.x) * share, at.y + (y - at.y) * share, at.h + rise_m * share)
        )
        self.knots.append(Knot(at.s + steady_s + brake_s, x, y, height_m))
        self._speed = 0.0

    def land(self) -> None:
        """Down where it is."""
        if self.at.h > _LAND_BELOW_M:
            self.climb(_LAND_BELOW_M)
        self.knots.append(self.at._replace(s=self.at.s + max(0.1, self.at.h / _LAND_MPS), h=0.0))

    def home(self, speed_mps: float, height_m: float) -> None:
        """A pause, up to the return height where it is lower, home, a wait, down."""
        if len(self.knots) > 1 or self._speed < 1.0:
            self.wait(_TURN_S)
        self.climb(max(self.at.h, height_m))
        self.go(0.0, 0.0, self.at.h, speed_mps)
        self.wait(_LOITER_S)
        self.land()


def landing(me: Motion) -> Course:
    """Down where it is."""
    pen = _Pen(me, 0.0)
    pen.land()
    return tuple(pen.knots)


def homeward(me: Motion, speed_mps: float, height_m: float = 15.0, wait_s: float = 0.0) -> Course:
    """Return to launch; `height_m` is the least height of the way (ArduCopter's RTL_ALT)."""
    pen = _Pen(me, wait_s)
    # Over home already: it comes down, or is about to.
    if math.hypot(me.x, me.y) < 2.0 and me.vh < -0.3:
        pen.land()
    else:
        pen.home(speed_mps, height_m)
    return tuple(pen.knots)


def straight_to(me: Motion, x: float, y: float, height_m: float, speed_mps: float) -> Course:
    """To a place, and staying there."""
    pen = _Pen(me, 0.0)
    pen.go(x, y, height_m, speed_mps)
    return tuple(pen.knots)


def launching(me: Motion, height_m: float) -> Course:
    """Straight up to a height, and staying there."""
    pen = _Pen(me, 0.0)
    pen.climb(max(me.h, height_m))
    return tuple(pen.knots)


def along_mission(
    me: Motion,
    mission: Sequence[WireItem],
    seq: int,
    frame: LocalFrame,
    cruise_mps: float,
    *,
    home_alt_m: float = 0.0,
    wait_s: float = 0.0,
    until_s: float = HORIZON_S,
) -> Course:
    """On with a mission from item `seq`, after `wait_s`, for at least `until_s` seconds or to its end."""
    speed_mps = cruise_mps
    for item in mission[1:seq]:
        speed_mps = _speed(item, speed_mps)
    pen = _Pen(me, wait_s)
    for item in mission[max(seq, 1) :]:
        if pen.at.s > until_s:
            break
        speed_mps = _speed(item, speed_mps)
        height_m = item.z - (home_alt_m if item.frame in (0, 5) else 0.0)
        if item.command == mavlink.MAV_CMD_NAV_TAKEOFF:
            pen.climb(max(pen.at.h, height_m))
            pen.wait(_TURN_S)
        elif item.command in _PLACES and (item.x or item.y):
            x, y = frame.xy(item.y / 1e7, item.x / 1e7)
            pen.go(x, y, height_m, speed_mps)
            pen.wait(item.params[0] if item.params[0] > 0 else 0.0)
        elif item.command == mavlink.MAV_CMD_NAV_RETURN_TO_LAUNCH:
            if math.hypot(pen.at.x, pen.at.y) < 2.0 and me.vh < -0.3 and len(pen.knots) == 1:
                pen.land()
            else:
                pen.home(speed_mps, 15.0)
            break
        elif item.command == mavlink.MAV_CMD_NAV_LAND:
            pen.land()
            break
    return tuple(pen.knots)


def _speed(item: WireItem, before_mps: float) -> float:
    wanted = item.params[1] if item.command == mavlink.MAV_CMD_DO_CHANGE_SPEED else 0.0
    return wanted if wanted > 0 else before_mps
