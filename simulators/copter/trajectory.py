"""Where the autopilot wants to be at every moment: jerk-limited legs, one melting into the next at a corner.

A leg is a straight line flown on a speed profile with limited acceleration and jerk. At a corner that need not be
stopped at, the next leg's motion is added while the present one's dies away; the overlap is as long as the corner cut
stays within the waypoint radius. That is how ArduCopter 4.1 and later behave, and what decides a survey's duration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Limits:
    """Kinematic limits, in m/s, m/s2 and m/s3 (WPNAV_SPEED, _UP, _DN, _ACCEL, _ACCEL_Z, _JERK, _RADIUS)."""

    speed: float = 10.0
    up: float = 2.5
    down: float = 1.5
    accel: float = 2.5
    accel_z: float = 1.0
    jerk: float = 1.0
    radius: float = 2.0


# Attitude needs so long for a new demand (ATC_INPUT_TC); jerk is brought up over twice of it, not at once.
_INPUT_TC_S = 0.15
Phase = tuple[float, float, float]  # length in s, jerk at its begin and at its end (a raised cosine in between)


@dataclass(frozen=True)
class Ramp:
    """How a speed is changed: acceleration comes up, stays, and goes down; jerk itself comes and goes as a cosine.

    Attributes:
        jerk: Largest jerk.
        soft_s: Time in which the jerk comes up, and in which it goes down.
        firm_s: Time at the largest jerk.
        flat_s: Time at the largest acceleration.
    """

    jerk: float
    soft_s: float
    firm_s: float
    flat_s: float

    @classmethod
    def of(cls, change: float, accel: float, jerk: float) -> Ramp:
        """The quickest change of speed by `change` within the limits.

        The acceleration's rise takes `accel / jerk` and the time in which the jerk comes up; a small change never
        reaches the full acceleration, a still smaller one not the full jerk: there the snap is what limits.
        """
        soft = 2 * _INPUT_TC_S
        snap = jerk * math.pi / (2 * soft)
        if change <= 1e-9:
            return cls(0.0, 0.0, 0.0, 0.0)
        # Rising and falling without a flat part: change = a (a / jerk + soft), solved for a.
        top = min(accel, jerk / 2 * (math.sqrt(soft * soft + 4 * change / jerk) - soft))
        if top < jerk * soft:
            # Not even the full jerk: soft = sqrt(pi a / 2 snap), change = 2 a soft.
            top = min(accel, (change / 2 * math.sqrt(2 * snap / math.pi)) ** (2 / 3))
            soft = math.sqrt(math.pi * top / (2 * snap))
            return cls(top / soft, soft, 0.0, max(0.0, change / top - 2 * soft))
        firm = top / jerk - soft
        return cls(jerk, soft, firm, max(0.0, change / top - firm - 2 * soft))

    @property
    def rise_s(self) -> float:
        """Time in which the acceleration comes up."""
        return 2 * self.soft_s + self.firm_s

    @property
    def duration_s(self) -> float:
        """The whole change."""
        return 2 * self.rise_s + self.flat_s

    def phases(self, sign: float) -> list[Phase]:
        """The change as phases of jerk; `sign` -1 slows down."""
        jerk = sign * self.jerk

        def pulse(height: float) -> list[Phase]:
            return [(self.soft_s, 0.0, height), (self.firm_s, height, height), (self.soft_s, height, 0.0)]

        return [*pulse(jerk), (self.flat_s, 0.0, 0.0), *pulse(-jerk)]


class Profile:
    """Distance, speed and acceleration along a line against time, from `v0` to rest."""

    __slots__ = ("_phases", "accelerating_s", "braking_s", "duration_s", "length_m", "speed")

    def __init__(self, length_m: float, speed: float, accel: float, jerk: float, v0: float = 0.0) -> None:
        self.length_m, self.speed = length_m, speed
        peak = self._peak(length_m, speed, accel, jerk, v0)
        first, last = Ramp.of(abs(peak - v0), accel, jerk), Ramp.of(peak, accel, jerk)
        used = (v0 + peak) / 2 * first.duration_s + peak / 2 * last.duration_s
        cruise: Phase = (max(0.0, length_m - used) / peak if peak > 0 else 0.0, 0.0, 0.0)
        phases = [*first.phases(1.0 if peak >= v0 else -1.0), cruise, *last.phases(-1.0)]
        self._phases = _integrate(phases, v0)
        self.duration_s = first.duration_s + cruise[0] + last.duration_s
        self.accelerating_s, self.braking_s = first.duration_s, last.duration_s

    @staticmethod
    def _peak(length_m: float, speed: float, accel: float, jerk: float, v0: float) -> float:
        def needed(peak: float) -> float:
            begin, end = Ramp.of(abs(peak - v0), accel, jerk), Ramp.of(peak, accel, jerk)
            return (v0 + peak) / 2 * begin.duration_s + peak / 2 * end.duration_s

        if needed(speed) <= length_m:
            return speed
        low, high = 0.0, speed
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if needed(middle) <= length_m else (low, middle)
        return low

    def at(self, time_s: float) -> Vector:
        """(distance, speed, acceleration) at a time; at rest at the end after the duration."""
        if time_s >= self.duration_s:
            return self.length_m, 0.0, 0.0
        for end, start, phase, s0, v0, a0 in self._phases:
            if time_s < end:
                s, v, a = _moved(phase, time_s - start, s0, v0, a0)
                return s, v, a
        return self.length_m, 0.0, 0.0


def _moved(phase: Phase, t: float, s: float, v: float, a: float) -> Vector:
    """Distance, speed and acceleration `t` into a phase that began with `s`, `v` and `a`."""
    length, begin, end = phase
    middle, half = (begin + end) / 2, (begin - end) / 2
    # Jerk is middle + half cos(pi t / length): the mean moves it, the cosine's integrals bend it.
    out_s = s + t * (v + t * (a / 2 + t * middle / 6))
    out_v = v + t * (a + t * middle / 2)
    out_a = a + t * middle
    if half:
        w = math.pi / length
        sin, cos = math.sin(w * t), math.cos(w * t)
        out_s += half * (w * t - sin) / w**3
        out_v += half * (1 - cos) / w**2
        out_a += half * sin / w
    return out_s, out_v, out_a


Step = tuple[float, float, Phase, float, float, float]


def _integrate(phases: list[Phase], v0: float) -> list[Step]:
    """Phases with their end, their start, and distance, speed and acceleration at that start."""
    out: list[Step] = []
    time, s, v, a = 0.0, 0.0, v0, 0.0
    for phase in phases:
        if phase[0] <= 0:
            continue
        out.append((time + phase[0], time, phase, s, v, a))
        s, v, a = _moved(phase, phase[0], s, v, a)
        time += phase[0]
    return out


class Leg:
    """One straight line with its profile."""

    __slots__ = ("direction", "end", "limits", "profile", "start", "time_s")

    def __init__(self, start: Vector, end: Vector, limits: Limits, v0: float = 0.0) -> None:
        self.start, self.end, self.limits = start, end, limits
        self.time_s = 0.0
        span = (end[0] - start[0], end[1] - start[1], end[2] - start[2])
        length = math.sqrt(span[0] ** 2 + span[1] ** 2 + span[2] ** 2)
        self.direction = (span[0] / length, span[1] / length, span[2] / length) if length > 1e-9 else (0.0, 0.0, 0.0)
        level, rise = math.hypot(self.direction[0], self.direction[1]), self.direction[2]
        vertical = limits.up if rise > 0 else limits.down

        def within(level_limit: float, vertical_limit: float) -> float:
            return min(
                level_limit / level if level > 1e-6 else math.inf,
                vertical_limit / abs(rise) if abs(rise) > 1e-6 else math.inf,
                max(level_limit, vertical_limit),
            )

        speed = within(limits.speed, vertical)
        accel = within(limits.accel, limits.accel_z)
        jerk = within(limits.jerk, limits.jerk)
        self.profile = Profile(length, speed, accel, jerk, min(v0, speed))

    @property
    def left_s(self) -> float:
        """Time until its end."""
        return self.profile.duration_s - self.time_s


def overlap_s(leg: Leg, following: Leg) -> float:
    """How long before the end of `leg` the next may begin, so that the corner is cut by the radius at most.

    It begins while the leg brakes, and the next one must still speed up when the leg ends; half way through the corner
    the sum of both may be no faster than either leg, and pull no harder than twice the acceleration limit.
    """
    longest = min(leg.profile.braking_s, following.profile.accelerating_s)
    radius, corner_accel = leg.limits.radius, 2 * leg.limits.accel
    u1, u2 = leg.direction, following.direction
    fastest = min(leg.profile.speed, following.profile.speed)

    def fits(overlap: float) -> bool:
        s1, v1, a1 = leg.profile.at(leg.profile.duration_s - overlap / 2)
        s2, v2, a2 = following.profile.at(overlap / 2)
        back = s1 - leg.profile.length_m
        cut = math.sqrt(sum((back * x + s2 * y) ** 2 for x, y in zip(u1, u2, strict=True)))
        pace = math.sqrt(sum((v1 * x + v2 * y) ** 2 for x, y in zip(u1, u2, strict=True)))
        pull = math.hypot(*(a1 * x + a2 * y for x, y in zip(u1[:2], u2[:2], strict=True)))
        rise = abs(a1 * u1[2] + a2 * u2[2])
        return cut <= radius and pace <= fastest + 1e-6 and pull <= corner_accel and rise <= leg.limits.accel_z + 1e-6

    if fits(longest):
        return longest
    low, high = 0.0, longest
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


class Track:
    """The reference point as it moves over a sequence of legs.

    Attributes:
        position: Where to be, metres.
        velocity: Metres a second.
        acceleration: Metres a second squared.
        done: The present leg has ended (or, with a next one, its corner is half taken).
    """

    __slots__ = ("_base", "_following", "_leg", "_overlap", "_past", "acceleration", "done", "position", "velocity")

    def __init__(self, position: Vector) -> None:
        self.position = position
        self.velocity: Vector = (0.0, 0.0, 0.0)
        self.acceleration: Vector = (0.0, 0.0, 0.0)
        self.done = True
        self._base = position
        self._past: list[Leg] = []
        self._leg = Leg(position, position, Limits())
        self._following: Leg | None = None
        self._overlap = 0.0

    @property
    def destination(self) -> Vector:
        """End of the present leg."""
        return self._leg.end

    @property
    def start(self) -> Vector:
        """Start of the present leg."""
        return self._leg.start

    def go(self, start: Vector, end: Vector, limits: Limits, v0: float = 0.0) -> None:
        """Forgets what was, and goes from `start` to `end`."""
        self._base, self._past = start, []
        self._leg, self._following = Leg(start, end, limits, v0), None
        self.done = False
        self.position = start

    def then(self, end: Vector | None, limits: Limits) -> None:
        """Says where it goes after the present leg without stopping; None stops there."""
        self._following = Leg(self._leg.end, end, limits) if end is not None else None
        self._overlap = overlap_s(self._leg, self._following) if self._following else 0.0

    @property
    def flows(self) -> bool:
        """Whether the next leg is known and will be run into without a stop."""
        return self._following is not None

    def turn(self) -> None:
        """Takes the next leg as the present one."""
        assert self._following is not None
        self._past.append(self._leg)
        self._leg, self._following = self._following, None
        self.done = False

    def change_speed(self, limits: Limits) -> None:
        """Goes on to the present destination with other limits, from the present speed."""
        if self.done or self._past or (self._following and self._following.time_s > 0):
            return
        speed = self._leg.profile.at(self._leg.time_s)[1]
        self.go(self.position, self._leg.end, limits, speed)

    def advance(self, dt_s: float) -> None:
        """Moves the reference on by `dt_s`."""
        legs = [*self._past, self._leg]
        self._leg.time_s += dt_s
        for leg in self._past:
            leg.time_s += dt_s
        following = self._following
        if following is not None:
            if self._leg.left_s <= self._overlap:
                following.time_s += dt_s
                legs.append(following)
            self.done = following.time_s >= max(0.0, self._leg.left_s) and self._leg.left_s <= self._overlap
        else:
            self.done = self._leg.left_s <= 0
        self._sum(legs)
        while self._past and self._past[0].left_s <= 0:
            self._base = self._past.pop(0).end

    def _sum(self, legs: list[Leg]) -> None:
        x, y, z = self._base
        vx = vy = vz = ax = ay = az = 0.0
        for leg in legs:
            s, v, a = leg.profile.at(leg.time_s)
            dx, dy, dz = leg.direction
            x, y, z = x + s * dx, y + s * dy, z + s * dz
            vx, vy, vz = vx + v * dx, vy + v * dy, vz + v * dz
            ax, ay, az = ax + a * dx, ay + a * dy, az + a * dz
        self.position, self.velocity, self.acceleration = (x, y, z), (vx, vy, vz), (ax, ay, az)
