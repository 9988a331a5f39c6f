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


def _ramp(change: float, accel: float, jerk: float) -> tuple[float, float]:
    """(time of each jerk phase, time at full acceleration) to change speed by `change`."""
    if change >= accel * accel / jerk:
        return accel / jerk, change / accel - accel / jerk
    return math.sqrt(change / jerk), 0.0


def _ramp_distance(v0: float, v1: float, accel: float, jerk: float) -> float:
    each, flat = _ramp(abs(v1 - v0), accel, jerk)
    return (v0 + v1) / 2 * (2 * each + flat)


class Profile:
    """Distance, speed and acceleration along a line against time, from `v0` to rest."""

    __slots__ = ("_phases", "braking_s", "duration_s", "length_m")

    def __init__(self, length_m: float, speed: float, accel: float, jerk: float, v0: float = 0.0) -> None:
        self.length_m = length_m
        peak = self._peak(length_m, speed, accel, jerk, v0)
        phases: list[tuple[float, float]] = []
        each, flat = _ramp(abs(peak - v0), accel, jerk)
        sign = 1.0 if peak >= v0 else -1.0
        phases += [(each, sign * jerk), (flat, 0.0), (each, -sign * jerk)]
        used = _ramp_distance(v0, peak, accel, jerk) + _ramp_distance(peak, 0.0, accel, jerk)
        phases.append((max(0.0, length_m - used) / peak if peak > 0 else 0.0, 0.0))
        each, flat = _ramp(peak, accel, jerk)
        phases += [(each, -jerk), (flat, 0.0), (each, jerk)]
        self._phases = _integrate(phases, v0)
        self.duration_s = sum(duration for duration, _ in phases)
        self.braking_s = 2 * each + flat

    @staticmethod
    def _peak(length_m: float, speed: float, accel: float, jerk: float, v0: float) -> float:
        def needed(peak: float) -> float:
            return _ramp_distance(v0, peak, accel, jerk) + _ramp_distance(peak, 0.0, accel, jerk)

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
        for end, start, jerk, s0, v0, a0 in self._phases:
            if time_s < end:
                t = time_s - start
                return (
                    s0 + t * (v0 + t * (a0 / 2 + t * jerk / 6)),
                    v0 + t * (a0 + t * jerk / 2),
                    a0 + t * jerk,
                )
        return self.length_m, 0.0, 0.0


def _integrate(phases: list[tuple[float, float]], v0: float) -> list[tuple[float, float, float, float, float, float]]:
    out = []
    time, s, v, a = 0.0, 0.0, v0, 0.0
    for index, (duration, jerk) in enumerate(phases):
        if index == 1 or index == 5:
            a = phases[index - 1][0] * phases[index - 1][1]
        elif index == 3 or index == 4 or index == 0:
            a = 0.0
        out.append((time + duration, time, jerk, s, v, a))
        s += duration * (v + duration * (a / 2 + duration * jerk / 6))
        v += duration * (a + duration * jerk / 2)
        a += duration * jerk
        time += duration
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
        # The autopilot's jerk is a raised cosine; a constant one of 2/pi of it takes the same time and distance.
        jerk = within(limits.jerk, limits.jerk) * 2 / math.pi
        self.profile = Profile(length, speed, accel, jerk, min(v0, speed))

    @property
    def left_s(self) -> float:
        """Time until its end."""
        return self.profile.duration_s - self.time_s


def overlap_s(leg: Leg, following: Leg) -> float:
    """How long before the end of `leg` the next may begin, so that the corner is cut by the radius at most."""
    longest = min(
        leg.profile.duration_s / 2, following.profile.duration_s / 2, following.profile.braking_s, leg.profile.braking_s
    )
    radius, corner_accel = leg.limits.radius, 2 * leg.limits.accel

    def fits(overlap: float) -> bool:
        s1, _, a1 = leg.profile.at(leg.profile.duration_s - overlap / 2)
        s2, _, a2 = following.profile.at(overlap / 2)
        back = s1 - leg.profile.length_m
        u1, u2 = leg.direction, following.direction
        cut = math.sqrt(sum((back * x + s2 * y) ** 2 for x, y in zip(u1, u2, strict=True)))
        pull = math.sqrt(sum((a1 * x + a2 * y) ** 2 for x, y in zip(u1, u2, strict=True)))
        return cut <= radius and pull <= corner_accel

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
