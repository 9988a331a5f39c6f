"""Our own aircraft apart: seen coming by where everybody is going, and solved so that nobody meets a third."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from flight.foresight import HORIZON_S, STEP_S, Knot, Samples, sampled, stopping, straight, to_height
from flight.guard import Action, Finding, Limits
from flight.view import Motion, Other, View

_CALM = Finding(0.0)
# Weight of the mean distance beside the least: it decides only between ways out that come equally near.
_SOONER = 0.1
_CLEARLY = 0.001


def _with_doubt(track: Samples, doubt_m: float) -> Samples:
    """Another one's track with how far from it it may be, shape (n, 4)."""
    return np.column_stack([track, np.full(len(track), doubt_m)])


def _gap(track: Samples, mine: Samples) -> tuple[Samples, Samples]:
    """Metres aside, less what is in doubt, and up from mine to another one's track."""
    gap = track[:, :3] - mine
    return np.maximum(np.hypot(gap[:, 0], gap[:, 1]) - track[:, 3], 0.0), gap[:, 2]


class _Meeting(NamedTuple):
    """The nearest that two courses come: `clearance` 1 is the limit, below it is too near."""

    clearance: float
    aside_m: float
    when_s: float


class _Traffic(NamedTuple):
    """One other aircraft: what it does, and what it will do when the guard lets it go."""

    other: Other
    now: tuple[Samples, ...]
    resumed: tuple[Samples, ...]


@dataclass
class Separation:
    """Keeps our own aircraft apart.

    The one without the right of way gives way: of stopping, climbing to a refuge above everybody's mission and going
    back down to the mission's height it takes what keeps it clearest of **all** others, stopping where that is enough.
    The one with the right of way only stops, and only in need: two that both dodge meet again.
    """

    name: str = "separation"
    limits: Limits = field(default_factory=lambda: Limits(Action.HOLD, clear_below=0.85, clear_s=2.0))
    # Two GPS errors of 3 m, a second of delay at 10 m/s and the stop leave more than the 10 m that must never be.
    aside_m: float = 28.0
    # 10 m, a metre of height kept by either, and the drift of two barometers against one another.
    above_m: float = 12.0
    need_m: float = 15.0
    need_s: float = 4.0
    # Below the ceiling, above the highest item: a refuge is as far from both as the ceiling's margin allows.
    refuge_below_ceiling_m: float = 5.0
    # Two that wait for one another: as long as a stop, a climb and a look take.
    patience_s: float = 12.0
    _need_since_s: float = math.inf
    _blocked_since_s: float = math.inf
    _climb_to_m: float = math.nan

    def look(self, view: View) -> Finding:
        """Level: how near the closest approach comes to the limits."""
        course = tuple(Knot(*knot) for knot in view.course) or straight(view.me)
        mine = sampled(course)
        traffic = [self._traffic(view, other) for other in view.others]
        worst, why, need, yields = 0.0, "", False, False
        waited = self._waited(view, mine, traffic)
        for one in traffic:
            first = one.other.first
            if first:
                tracks = one.now if waited else (*one.now, *one.resumed)
                met = self._nearest(mine, tracks, self.aside_m)
            else:
                met = self._nearest(mine, one.now, self.need_m, self.need_s)
                need = need or met.clearance < 1
            level = min(1 / max(met.clearance, 1e-3), 3.0)
            if not first and (level < 1 or self._patient_enough(view, mine, traffic)):
                continue
            if level > worst:
                worst, yields = level, yields or (first and level >= 1)
                why = f"{one.other.name} comes within {met.aside_m:.0f} m in {met.when_s:.0f} s"
        self._need_since_s = min(self._need_since_s, view.now_s) if need else math.inf
        if worst < 1 or not yields:
            self._climb_to_m = math.nan if worst < 1 else self._climb_to_m
            return Finding(worst, why, Action.HOLD) if worst else _CALM
        return Finding(worst, why, *self._way_out(view, traffic))

    def _traffic(self, view: View, other: Other) -> _Traffic:
        if not other.aheads:
            return _Traffic(other, (_with_doubt(sampled(straight(view.motion_of(other))), 0.0),), ())
        now: list[Samples] = []
        resumed: list[Samples] = []
        for ahead in other.aheads:
            track = _with_doubt(sampled(view.knots_of(ahead), ahead.later_s), ahead.doubt_m)
            (resumed if ahead.resumed else now).append(track)
        return _Traffic(other, tuple(now), tuple(resumed))

    def _nearest(
        self, mine: Samples, tracks: Sequence[Samples], aside_m: float, until_s: float = HORIZON_S
    ) -> _Meeting:
        worst = _Meeting(math.inf, math.inf, 0.0)
        steps = int(until_s / STEP_S) + 1
        for track in tracks:
            side, up = _gap(track[:steps], mine[:steps])
            clear = np.maximum(side / aside_m, np.abs(up) / self.above_m)
            at = int(np.argmin(clear))
            if clear[at] < worst.clearance:
                worst = _Meeting(float(clear[at]), float(side[at]), at * STEP_S)
        return worst

    def _distances(self, mine: Samples, tracks: Sequence[Samples]) -> Samples:
        return np.array([float(np.hypot(*_gap(track, mine)).min()) for track in tracks])

    def _distance(self, mine: Samples, tracks: Sequence[Samples]) -> float:
        """How far apart they stay where nothing is clear, below 1; of equals the one that gets away sooner."""
        gaps = np.min([np.hypot(*_gap(track, mine)) for track in tracks], axis=0) / self.aside_m
        shares = np.minimum(gaps, 1.0)
        return float((1 - _SOONER) * shares.min() + _SOONER * shares.mean())

    def _through(self, mine: Samples, tracks: Sequence[Samples]) -> bool:
        """Whether it goes up or down through another one that is close: not even where nothing else is clear."""
        for track in tracks:
            side, up = _gap(track, mine)
            close = side < self.need_m
            if bool(np.any(close & (up > 1))) and bool(np.any(close & (up < -1))):
                return True
        return False

    def _patient_enough(self, view: View, mine: Samples, traffic: Sequence[_Traffic]) -> bool:
        """Both stand and wait: the one with the right of way goes on where that is no nearer, or neither ever does."""
        if view.now_s - self._need_since_s <= self.patience_s:
            return False
        steps = int(self.need_s * 2 / STEP_S) + 1
        tracks = [track for one in traffic for track in one.now]
        gaps = [np.hypot(*_gap(track[:steps], mine[:steps])) for track in tracks]
        return all(float(gap.min()) >= min(self.above_m, float(gap[0]) - 0.5) for gap in gaps)

    def _waited(self, view: View, mine: Samples, traffic: Sequence[_Traffic]) -> bool:
        """Long enough for one that is held itself, and waits for us: then only what it does counts."""
        held = any(one.resumed for one in traffic if one.other.first)
        by_what_it_does = [self._nearest(mine, one.now, self.aside_m).clearance for one in traffic if one.other.first]
        blocked = view.holding and held and min(by_what_it_does, default=0.0) >= 1
        self._blocked_since_s = min(self._blocked_since_s, view.now_s) if blocked else math.inf
        return view.now_s - self._blocked_since_s > 2 * self.patience_s

    # -- giving way --------------------------------------------------------------------------------------------

    def _way_out(self, view: View, traffic: Sequence[_Traffic]) -> tuple[Action, float]:
        """What keeps it clearest of all the others, of the ways that need no look at a map."""
        me = view.me
        tracks = [track for one in traffic for track in (*one.now, *(one.resumed if one.other.first else ()))]

        stop = sampled(stopping(me))
        stop_m = self._distances(stop, tracks)

        def clear_of_all(samples: Samples) -> float:
            clear = self._nearest(samples, tracks, self.aside_m).clearance
            return clear if clear >= 1 else self._distance(samples, tracks)

        hold = clear_of_all(stop)
        if hold >= 1 and not self._under_way(me):
            self._climb_to_m = math.nan
            return Action.HOLD, math.nan
        best, best_m = hold, math.nan
        for height_m in self._heights(view):
            way = sampled(to_height(me, height_m))
            # Nobody is moved into a third: with each of the others it is as well off as where it stops, or well clear.
            if np.any(self._distances(way, tracks) < np.minimum(stop_m - 0.5, self.above_m)) or self._through(
                way, tracks
            ):
                continue
            clearance = clear_of_all(way)
            # What it does already is gone on with, unless something else is clearly better.
            clearance *= 1.2 if abs(height_m - self._climb_to_m) < 0.5 else 1.0
            if clearance > best + _CLEARLY:
                best, best_m = clearance, height_m
        self._climb_to_m = best_m
        return (Action.HOLD, math.nan) if math.isnan(best_m) else (Action.HEIGHT, best_m)

    def _under_way(self, me: Motion) -> bool:
        """On its way up or down to where it was told."""
        return abs(self._climb_to_m - me.h) > 1.0

    def _heights(self, view: View) -> list[float]:
        """Heights it may go to straight up or down: the refuge, and back to its own mission's from above."""
        top_m, me = view.orders.top_rel_m, view.me
        refuge_m = view.orders.ceiling_rel_m - self.refuge_below_ceiling_m
        # A capped ceiling leaves no room above the missions.
        heights = [refuge_m] if refuge_m >= top_m + self.above_m and me.h < refuge_m - 1 else []
        return [*heights, top_m] if me.h > top_m + 1 else heights
