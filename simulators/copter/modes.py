"""The flight modes of a copter, one small class each: what entering it asks for, and what it does every step."""

from __future__ import annotations

import math
from typing import Protocol

from simulators.copter.battery import GRAVITY_MPS2
from simulators.copter.pilot import ALT_HOLD, BRAKE, GUIDED, LAND, LOITER, POSHOLD, RTL, STABILIZE, Pilot
from simulators.copter.trajectory import Track, Vector

_TAKEOFF_LEAST_M = 0.5
_LAND_BRAKE_MPS2 = 0.5
# From touching the ground to disarmed: the throttle runs down, the detector waits a second, the motors stop in half of
# one (2.7 s on ArduCopter 4.6.3, benchmarks/sitl.py).
_SETTLE_S = 2.6
# BRAKE_MODE_DECEL_RATE, and the position controller's PSC_JERK_XY.
_BRAKE_MPS2, _BRAKE_JERK_MPS3 = 7.5, 5.0
# LOIT_ACC_MAX.
_LOITER_MPS2 = 5.0


class Mode(Protocol):
    """A flight mode."""

    def enter(self, pilot: Pilot) -> str | None:
        """Begins; a sentence says why it cannot."""

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """Flies one step; only called while armed."""


class Descent:
    """Coming down at a place until the ground has been felt for a while."""

    def __init__(self) -> None:
        self._down_s = 0.0
        self.place: Vector | None = None

    def begin(self, place: Vector | None) -> None:
        """Descends over `place`, or wherever the wind takes it where that is None."""
        self.place, self._down_s = place, 0.0

    def step(self, pilot: Pilot, dt_s: float) -> bool:
        """One step; True once it has landed."""
        p = pilot.parameters
        fast = (p["LAND_SPEED_HIGH"] or p["WPNAV_SPEED_DN"]) / 100
        final = max(0.3, p["LAND_SPEED"] / 100)
        low = p["LAND_ALT_LOW"] / 100
        height = pilot.height_m
        # Braked so that it has come down to the last speed by LAND_ALT_LOW, as ArduCopter does.
        rate = max(final, min(fast, math.sqrt(2 * _LAND_BRAKE_MPS2 * max(0.0, height - low))))
        if self.place is not None and pilot.sensors.ekf_ok:
            pilot.hold(self.place, dt_s, -rate)
        else:
            pilot.drift(0.0, 0.0, -rate, dt_s)
        self._down_s = self._down_s + dt_s if pilot.body.on_ground else 0.0
        return self._down_s >= _SETTLE_S


class Manual:
    """STABILIZE and ALT_HOLD: the sticks lean the vehicle, and the wind takes it along.

    In ALT_HOLD the throttle stick asks for a climb rate. In STABILIZE it is thrust, whatever comes of it; the one thing
    that is not as on the real vehicle is that a throttle nobody holds keeps the height: our sticks are sprung.
    """

    def __init__(self, *, throttle_is_thrust: bool = False) -> None:
        self._thrust = throttle_is_thrust

    def enter(self, pilot: Pilot) -> str | None:
        """Begins."""
        return None

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """One step."""
        now, sticks = pilot.time_s, pilot.sticks
        stick = sticks.wish(3, now)
        if pilot.landed:
            if stick > 0.2:
                pilot.landed = False
            else:
                pilot.body.idle(dt_s)
                return
        north, east = (_lean_mps2(pilot, push) for push in _stick_push(pilot))
        _stick_yaw(pilot, dt_s)
        if self._thrust and sticks.held(3, now):
            # A centred stick hovers (THR_MID follows the hover throttle); full is about twice the weight.
            pilot.body.fly(north, east, GRAVITY_MPS2 * stick, pilot.yaw_rad, dt_s)
        else:
            pilot.drift(north, east, _climb_mps(pilot, stick), dt_s)
        _note_touchdown(pilot, stick)


def _lean_mps2(pilot: Pilot, push: float) -> float:
    """Level acceleration of a stick's lean, up to the airframe's ANGLE_MAX."""
    return GRAVITY_MPS2 * math.tan(math.radians(pilot.body.airframe.tilt_max_deg) * push)


def _climb_mps(pilot: Pilot, stick: float) -> float:
    """Climb rate of the throttle stick: PILOT_SPEED_UP, and PILOT_SPEED_DN or the same where that is 0."""
    up = pilot.parameters["PILOT_SPEED_UP"] / 100
    return stick * (up if stick > 0 else pilot.parameters["PILOT_SPEED_DN"] / 100 or up)


class Loiter:
    """LOITER and POSHOLD: holds where it came to rest; the sticks move it, the fence stops it."""

    def __init__(self) -> None:
        self._place: Vector = (0.0, 0.0, 0.0)

    def enter(self, pilot: Pilot) -> str | None:
        """Begins."""
        self._place = pilot.stopping_point(_LOITER_MPS2)
        return None

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """One step."""
        now, sticks = pilot.time_s, pilot.sticks
        climb = _climb_mps(pilot, sticks.wish(3, now))
        if pilot.landed:
            if climb > 0.5:
                pilot.landed = False
            else:
                pilot.body.idle(dt_s)
                return
        push = _stick_push(pilot)
        _stick_yaw(pilot, dt_s)
        if any(push) or climb:
            speed = pilot.parameters["LOIT_SPEED"] / 100
            velocity = within_fence(pilot, (push[0] * speed, push[1] * speed, climb))
            pilot.pace(velocity, dt_s)
            self._place = pilot.stopping_point(_LOITER_MPS2)
        else:
            pilot.hold(self._place, dt_s, accel_mps2=_LOITER_MPS2)
        _note_touchdown(pilot, climb)


def _stick_push(pilot: Pilot) -> tuple[float, float]:
    now = pilot.time_s
    forward, right = -pilot.sticks.wish(2, now), pilot.sticks.wish(1, now)
    heading = pilot.heading_rad()
    cos, sin = math.cos(heading), math.sin(heading)
    return forward * cos - right * sin, forward * sin + right * cos


def _stick_yaw(pilot: Pilot, dt_s: float) -> None:
    pilot.yaw_rad += math.radians(90) * pilot.sticks.wish(4, pilot.time_s) * dt_s


def _note_touchdown(pilot: Pilot, climb: float) -> None:
    if pilot.body.on_ground and climb < 0:
        pilot.landed = True


def within_fence(pilot: Pilot, velocity: Vector) -> Vector:
    """AVOID_ENABLE: a velocity that does not carry it past the fence's margin."""
    if not int(pilot.parameters["AVOID_ENABLE"]) & 1 or not pilot.fence.enabled:
        return velocity
    margin = max(pilot.parameters["FENCE_MARGIN"], pilot.parameters["AVOID_MARGIN"])
    speed = math.hypot(velocity[0], velocity[1])
    v_up = velocity[2]
    if v_up > 0:
        v_up = min(v_up, max(0.0, 0.7 * (pilot.fence.alt_max_m - margin - pilot.height_m)))
    if speed < 0.05:
        return velocity[0], velocity[1], v_up
    reach = speed * speed / (2 * 2.0) + speed + margin
    for share in (1.0, 0.6, 0.3, 0.1):
        ahead = reach * share
        north = pilot.at[0] + velocity[0] / speed * ahead
        east = pilot.at[1] + velocity[1] / speed * ahead
        if not pilot.fence.breaches((north, east), min(pilot.height_m, pilot.fence.alt_max_m)):
            return velocity[0] * share, velocity[1] * share, v_up
    return 0.0, 0.0, v_up


class Guided:
    """GUIDED: waits, takes off, goes to a place or flies a velocity as it is told."""

    def __init__(self) -> None:
        self._what = "hold"
        self._place: Vector = (0.0, 0.0, 0.0)
        self._velocity: Vector = (0.0, 0.0, 0.0)
        self._until_s = 0.0

    def enter(self, pilot: Pilot) -> str | None:
        """Begins."""
        self._what, self._place = "hold", pilot.stopping_point()
        pilot.track = Track(self._place)
        return None

    def take_off(self, pilot: Pilot, height_m: float) -> bool:
        """Climbs to a height above home; False where it is in the air already or the height is none."""
        if not pilot.landed or height_m < _TAKEOFF_LEAST_M or not pilot.armed:
            return False
        pilot.leave_ground()
        home_up = pilot.home.local[2] if pilot.home else 0.0
        self._what = "track"
        pilot.track.go(pilot.at, (pilot.at[0], pilot.at[1], home_up + height_m), pilot.limits())
        return True

    def go_to(self, pilot: Pilot, place: Vector, speed_mps: float | None = None) -> bool:
        """Flies to a place; False where the fence is in between its owner and the place."""
        height = place[2] - (pilot.home.local[2] if pilot.home else 0.0)
        if pilot.fence.breaches((place[0], place[1]), height):
            return False
        if pilot.landed:
            return False
        if self._what == "track" and math.dist(pilot.track.destination, place) < 0.1:
            return True  # said again: it is on its way, and does not begin anew from rest
        start = pilot.stopping_point() if self._what != "track" or not pilot.track.done else pilot.track.position
        self._what = "track"
        pilot.track.go(start, place, pilot.limits(speed_mps))
        pilot.face(place)
        return True

    def fly(self, pilot: Pilot, velocity: Vector) -> None:
        """Flies a velocity until GUID_TIMEOUT seconds after the last demand."""
        self._what, self._velocity = "velocity", velocity
        self._until_s = pilot.time_s + pilot.parameters["GUID_TIMEOUT"] * min(pilot.grace, 3.0)

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """One step."""
        if pilot.landed:
            pilot.body.idle(dt_s)
        elif self._what == "velocity":
            if pilot.time_s > self._until_s:
                self._what, self._place = "hold", pilot.stopping_point()
            pilot.pace(within_fence(pilot, self._velocity), dt_s)
        elif self._what == "track":
            pilot.fly_track(dt_s)
        else:
            pilot.hold(self._place, dt_s)


class Return:
    """RTL: climbs, comes home (or to a nearer rally point), waits, lands."""

    def __init__(self) -> None:
        self._phase = "climb"
        self._aim: Vector = (0.0, 0.0, 0.0)
        self._wait_s = 0.0
        self._descent = Descent()
        self.rally: list[Vector] = []

    def enter(self, pilot: Pilot) -> str | None:
        """Begins; refused without a home."""
        if pilot.home is None:
            return "no home"
        self._aim = self._destination(pilot)
        stop = pilot.stopping_point()
        level = math.dist(stop[:2], self._aim[:2])
        self._aim = (self._aim[0], self._aim[1], self._height(pilot, stop[2], level))
        self._phase = "climb"
        pilot.track.go(stop, (stop[0], stop[1], max(stop[2], self._aim[2])), pilot.limits())
        return None

    def _destination(self, pilot: Pilot) -> Vector:
        assert pilot.home is not None
        near = min(self.rally, key=lambda place: math.dist(place[:2], pilot.at[:2]), default=None)
        p, home = pilot.parameters, pilot.home.local
        if near is None or math.dist(near[:2], pilot.at[:2]) > 1000 * p["RALLY_LIMIT_KM"]:
            return home
        closer_home = math.dist(home[:2], pilot.at[:2]) < math.dist(near[:2], pilot.at[:2])
        return home if p["RALLY_INCL_HOME"] and closer_home else near

    @staticmethod
    def _height(pilot: Pilot, up: float, level_m: float) -> float:
        assert pilot.home is not None
        p, home_up = pilot.parameters, pilot.home.local[2]
        wanted = max(up - home_up, p["RTL_ALT"] / 100, p["RTL_CLIMB_MIN"] / 100 + up - home_up)
        if p["RTL_CONE_SLOPE"] > 0:
            # Close to home it need not climb all the way: no higher than a cone about it.
            wanted = min(wanted, max(level_m * p["RTL_CONE_SLOPE"], up - home_up, 2.0))
        if pilot.fence.enabled and pilot.fence.types & 1:
            ceiling = pilot.fence.alt_max_m - pilot.parameters["FENCE_MARGIN"]
            wanted = min(wanted, max(ceiling, 2.0))
        return home_up + wanted

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """One step."""
        if pilot.landed:
            pilot.body.idle(dt_s)
            pilot.disarm("landed")
        elif self._phase == "descend":
            if self._descent.step(pilot, dt_s):
                pilot.landed = True
        else:
            pilot.fly_track(dt_s)
            self._advance(pilot, dt_s)

    def _advance(self, pilot: Pilot, dt_s: float) -> None:
        near = math.dist(pilot.at, pilot.track.destination) < 2.0
        if not (pilot.track.done and near):
            return
        if self._phase == "climb":
            self._phase = "return"
            speed = pilot.parameters["RTL_SPEED"] / 100
            pilot.track.go(pilot.track.position, self._aim, pilot.limits(speed or None))
            pilot.face(self._aim)
            self._wait_s = pilot.parameters["RTL_LOIT_TIME"] / 1000
        elif self._phase == "return":
            self._wait_s -= dt_s
            if self._wait_s <= 0:
                self._phase = "descend"
                self._descent.begin(self._aim)


class Land:
    """LAND: straight down, holding its place where it knows it."""

    def __init__(self) -> None:
        self._descent = Descent()

    def enter(self, pilot: Pilot) -> str | None:
        """Begins."""
        self._descent.begin(pilot.stopping_point() if pilot.sensors.ekf_ok else None)
        return None

    def over(self, place: Vector) -> None:
        """Lands at a place."""
        self._descent.begin(place)

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """One step."""
        if pilot.landed:
            pilot.body.idle(dt_s)
            pilot.disarm("landed")
        elif self._descent.step(pilot, dt_s):
            pilot.landed = True


class Brake:
    """BRAKE: a reference whose speed dies away, as hard as it may at first and ever more gently, and then stands."""

    def __init__(self) -> None:
        self._place: Vector = (0.0, 0.0, 0.0)
        self._speed: Vector = (0.0, 0.0, 0.0)
        self._pull: Vector = (0.0, 0.0, 0.0)

    def enter(self, pilot: Pilot) -> str | None:
        """Begins."""
        north, east, _ = pilot.moving
        self._place, self._speed, self._pull = pilot.at, (north, east, 0.0), (0.0, 0.0, 0.0)
        return None

    def step(self, pilot: Pilot, dt_s: float) -> None:
        """One step."""
        if pilot.landed:
            pilot.body.idle(dt_s)
            return
        # Deceleration follows speed with the time in which the full one comes up, and comes and goes with the jerk.
        wish = tuple(-v * _BRAKE_JERK_MPS3 / _BRAKE_MPS2 for v in self._speed)
        share = min(1.0, _BRAKE_MPS2 / max(1e-6, math.hypot(*wish)))
        step = tuple(w * share - a for w, a in zip(wish, self._pull, strict=True))
        share = min(1.0, _BRAKE_JERK_MPS3 * dt_s / max(1e-6, math.hypot(*step)))
        north, east, up = (a + d * share for a, d in zip(self._pull, step, strict=True))
        self._pull = (north, east, up)
        self._speed = _moved(self._speed, self._pull, dt_s)
        self._place = _moved(self._place, self._speed, dt_s)
        pilot.chase(self._place, self._speed, self._pull, dt_s)


def _moved(at: Vector, rate: Vector, dt_s: float) -> Vector:
    return at[0] + rate[0] * dt_s, at[1] + rate[1] * dt_s, at[2] + rate[2] * dt_s


def simple_modes() -> dict[int, Mode]:
    """The modes that need nothing but the pilot; AUTO is made by the vehicle, with its mission."""
    loiter = Loiter()
    return {
        STABILIZE: Manual(throttle_is_thrust=True),
        ALT_HOLD: Manual(),
        LOITER: loiter,
        POSHOLD: loiter,
        GUIDED: Guided(),
        RTL: Return(),
        LAND: Land(),
        BRAKE: Brake(),
    }


__all__ = ["Guided", "Land", "Mode", "Return", "simple_modes", "within_fence"]
