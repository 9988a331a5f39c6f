"""The guard's rules. Every number that was chosen says what it was chosen by."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import shapely

from flight.guard import Action, Finding, Limits, Rule
from flight.separation import Separation
from flight.view import Motion, View

# Deceleration of ArduCopter in GUIDED and AUTO by default (WPNAV_ACCEL 2.5 m/s²), with a second for telemetry,
# decision and the command's way.
_BRAKE_MPS2 = 2.5
_REACT_S = 1.0
_CALM = Finding(0.0)


def stopping_m(speed_mps: float) -> float:
    """Distance it still goes when told to stop now."""
    return speed_mps * _REACT_S + speed_mps**2 / (2 * _BRAKE_MPS2)


def _path(me: Motion, length_m: float) -> shapely.LineString:
    speed = me.speed_mps
    if speed < 0.3:
        return shapely.LineString([(me.x, me.y), (me.x + 0.01, me.y)])
    scale = length_m / speed
    return shapely.LineString([(me.x, me.y), (me.x + me.vx * scale, me.y + me.vy * scale)])


@dataclass
class Energy:
    """Enough to get home against the wind, land, and keep a reserve."""

    name: str = "energy"
    limits: Limits = field(default_factory=lambda: Limits(Action.RETURN, after_s=2.0, clear_below=-math.inf))
    # Untouched share on landing: below ~15 % a lithium pack's voltage falls away and its gauge is unsure.
    reserve_share: float = 0.12
    # The way home is flown as planned ± this much (benchmarks/fleet.py: planned against flown).
    margin: float = 1.15
    descent_mps: float = 1.5
    final_descent_s: float = 20.0

    def look(self, view: View) -> Finding:
        """Level: energy needed over energy there."""
        battery = view.state.battery
        if battery is None or battery.remaining != battery.remaining or view.coming_home:
            return _CALM
        capacity_wh = view.policy.battery_wh
        if battery.consumed_wh == battery.consumed_wh and battery.remaining < 0.9:
            measured_wh = battery.consumed_wh / (1 - battery.remaining)
            capacity_wh = min(capacity_wh, measured_wh) if capacity_wh == capacity_wh else measured_wh
        if capacity_wh != capacity_wh:
            return _CALM
        seconds = self._seconds_home(view)
        need_wh = view.power.w * seconds / 3600 * self.margin + self.reserve_share * capacity_wh
        have_wh = battery.remaining * capacity_wh
        why = f"{have_wh:.0f} Wh left, the way home ({seconds:.0f} s) and the reserve need {need_wh:.0f} Wh"
        return Finding(need_wh / max(have_wh, 1e-6), why)

    def _seconds_home(self, view: View) -> float:
        me, policy = view.me, view.policy
        distance_m = math.hypot(me.x, me.y)
        speed_mps = policy.cruise_mps
        wind = view.state.wind
        if wind is not None and distance_m > 1:
            toward = math.radians(wind.from_deg + 180)
            along = (wind.speed_mps * math.sin(toward) * -me.x + wind.speed_mps * math.cos(toward) * -me.y) / distance_m
            across = math.sqrt(max(0.0, wind.speed_mps**2 - along**2))
            reach = math.sqrt(max(0.0, policy.max_airspeed_mps**2 - across**2)) + along
            speed_mps = min(speed_mps, max(1.0, reach))
        return distance_m / speed_mps + max(0.0, me.h) / self.descent_mps + self.final_descent_s


@dataclass
class Fence:
    """Stays out of forbidden places and inside the allowed one, and can still stop before them."""

    name: str = "fence"
    limits: Limits = field(default_factory=lambda: Limits(Action.HOLD, clear_below=0.5, clear_s=2.0, escalate_s=10.0))

    def look(self, view: View) -> Finding:
        """Level: 1 where the stopping path crosses, 2 where it is across already."""
        me, sight = view.me, view.sight
        here = shapely.Point(me.x, me.y)
        if not sight.forbidden.is_empty:
            if sight.forbidden.contains(here):
                return Finding(2.0, "inside a forbidden zone", Action.RETURN)
            if sight.forbidden.intersects(_path(me, stopping_m(me.speed_mps))):
                return Finding(1.0, f"{sight.forbidden.distance(here):.0f} m from a forbidden zone, heading into it")
        if sight.allowed is not None:
            if not sight.allowed.contains(here):
                return Finding(2.0, "outside the permitted area", Action.RETURN)
            if not sight.allowed.contains(_path(me, stopping_m(me.speed_mps))):
                return Finding(1.0, "heading out of the permitted area")
        return _CALM


@dataclass
class Ceiling:
    """Stays below the sortie's ceiling; the vehicle's own fence has the same one."""

    name: str = "ceiling"
    limits: Limits = field(default_factory=lambda: Limits(Action.HEIGHT, clear_below=1.0, clear_s=3.0, escalate_s=20.0))
    below_m: float = 2.0

    def look(self, view: View) -> Finding:
        """Level: 1 where it will be through within a second and a half."""
        limit_m = view.orders.ceiling_rel_m - self.below_m
        height_m = view.me.h + max(0.0, view.me.vh) * 1.5
        if height_m < limit_m:
            return Finding(0.9 if height_m > limit_m - 3 else 0.0)
        return Finding(
            1.0 + height_m - limit_m, f"{view.me.h:.0f} m above home, ceiling {view.orders.ceiling_rel_m:.0f} m",
            height_m=limit_m - 5.0,
        )  # fmt: skip


@dataclass
class Obstacle:
    """Keeps clear of what stands in the way."""

    name: str = "obstacle"
    limits: Limits = field(default_factory=lambda: Limits(Action.HOLD, clear_s=2.0, escalate_s=20.0))
    aside_m: float = 10.0
    above_m: float = 8.0

    def look(self, view: View) -> Finding:
        """Level: 1 where the stopping path comes too near one that is as high."""
        me = view.me
        path = _path(me, stopping_m(me.speed_mps) + self.aside_m)
        for shape, top_m in view.sight.obstacles:
            if me.h < top_m + self.above_m and shape.distance(path) < self.aside_m:
                away_m = shape.distance(shapely.Point(me.x, me.y))
                return Finding(1.0, f"obstacle of {top_m:.0f} m {away_m:.0f} m ahead, flying at {me.h:.0f} m")
        return _CALM


@dataclass
class Gps:
    """A position to fly by: a fix, no jumps, an estimator at peace."""

    name: str = "gps"
    limits: Limits = field(
        default_factory=lambda: Limits(
            Action.HOLD, after_s=0.4, clear_below=0.9, clear_s=5.0, escalate_s=30.0, escalate_to=Action.LAND
        )
    )
    jump_m: float = 12.0
    # A position that stays where it jumped to is the right one in the end: estimators reset within a minute.
    believed_after_s: float = 60.0
    # Where it was by dead reckoning when its position jumped: it may be there still, until the position is believed.
    jumped_from: Motion | None = None
    # When it last had no position to fly by, by the vehicle's clock.
    doubted_s: float = -math.inf
    # Nothing is said of a jump after a silence: it flew on meanwhile.
    silence_s: float = 2.0
    _before: tuple[float, Motion] | None = None
    _jumped_s: float = -math.inf

    def look(self, view: View) -> Finding:
        """Level: 2 without a fix, 1 after a jump, the estimator's variance over its limit else."""
        found = self._look(view)
        if found.level >= 1:
            self.doubted_s = view.now_s
        return found

    def _look(self, view: View) -> Finding:
        gps, ekf, at = view.state.gps, view.state.ekf, view.state.position
        read_s = at.boot_s if at is not None else view.now_s
        step_s = read_s - self._before[0] if self._before is not None else 0.0
        if self._before is not None and 0 < step_s <= self.silence_s:
            expected = self._before[1].after(step_s)
            miss_m = math.hypot(view.me.x - expected.x, view.me.y - expected.y)
            # Half a g of acceleration between two looks is no jump.
            if miss_m > self.jump_m + 2.5 * step_s**2:
                back = self.jumped_from is not None and math.dist(view.me[:2], self.jumped_from[:2]) < 2 * self.jump_m
                self.jumped_from = None if back else expected._replace(vx=0.0, vy=0.0, vh=0.0)
                self._jumped_s = view.now_s
            elif view.now_s - self._jumped_s > self.believed_after_s:
                self.jumped_from = None
        if step_s != 0 or self._before is None:
            self._before = (read_s, view.me)
        if gps is not None and gps.fix_type < 3:
            return Finding(2.0, f"GPS lost (fix type {gps.fix_type})")
        if view.now_s - self._jumped_s < 3.0:
            return Finding(1.0, "the position jumped")
        if ekf is not None:
            worst = max(ekf.velocity_variance, ekf.position_variance)
            return Finding(worst / 0.8, f"estimator variance {worst:.2f}")
        return _CALM


@dataclass
class Stuck:
    """A mission that does not get on: nudged once, then called home."""

    name: str = "stuck"
    limits: Limits = field(default_factory=lambda: Limits(Action.NUDGE, clear_below=0.5, clear_s=1.0, escalate_s=45.0))
    patience_s: float = 60.0
    _moved: tuple[float, int, float, float, float] | None = None

    def look(self, view: View) -> Finding:
        """Level: time without progress over patience."""
        seq = view.state.mission.seq if view.state.mission else 0
        if view.state.mode != "AUTO" or view.coming_home:
            self._moved = None
            return _CALM
        me = view.me
        old = self._moved
        if old is None or old[1] != seq or math.dist((me.x, me.y, me.h), old[2:]) > 3.0:
            self._moved = (view.now_s, seq, me.x, me.y, me.h)
            return _CALM
        items = view.orders.mission
        wait_s = items[seq].params[0] if 0 < seq < len(items) and items[seq].command in (16, 19) else 0.0
        still_s = view.now_s - old[0] - max(0.0, wait_s if wait_s == wait_s else 0.0)
        return Finding(still_s / self.patience_s, f"at item {seq} for {still_s:.0f} s without getting on")


@dataclass
class LostLink:
    """Said aloud; an aircraft that does not hear us flies by its own failsafes, which preflight has checked."""

    name: str = "link"
    limits: Limits = field(default_factory=lambda: Limits(Action.WARN, clear_below=0.5, clear_s=0.0))
    late_s: float = 5.0

    def look(self, view: View) -> Finding:
        """Level: silence over five seconds."""
        return Finding(view.link_age_s / self.late_s, f"no packet for {view.link_age_s:.0f} s")


def all_rules() -> list[Rule]:
    """One of each, with its standard numbers."""
    return [Energy(), Fence(), Ceiling(), Obstacle(), Separation(), Gps(), Stuck(), LostLink()]
