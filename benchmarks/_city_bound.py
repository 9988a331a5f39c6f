"""A lower bound on the flight time of a brigade's day that no plan with these lanes, sites and batteries can beat.

Assumed: lanes in the direction of the sweep at the camera's spacing, as the planner lays them, each flown once at the
cruise speed; ways between lanes straight, with a corner at either end; an aircraft leaves from and returns to one site;
what it photographs lies within the line of sight of that site; time and energy by the aircraft's own model. Nothing is
assumed of how lanes are dealt to sorties, ordered, or cut, nor of climbs: on course they take no less until the first
photograph than straight up.

1. A row of lanes takes at least as many visits by sorties as discs of line of sight are needed to hold its lanes:
   counted exactly, row by row, by taking again and again the site that sees farthest from where the last one ended.
2. A sortie that visits r rows, d apart, flies at least 2 (r - 1) d aside, out and back, and turns twice between two
   rows: with the cheapest slant of the way across, each further row costs `row_s`.
3. All that a sortie photographs lies on a stretch of two lines of sight along the lanes: after as many metres of lanes
   it must have turned back. Such a turn takes `back_s` more than the cheapest change of rows.
4. Each sortie climbs, descends, starts and stops; one that flies at two heights climbs to the higher one, which takes
   no less than the mean weighed by what it draws for either; what it draws beside lanes counts for the lower one.
5. There are at least as many sorties as the energy of all this takes batteries, at the lowest power in level flight for
   what is not along lanes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.coverage import Lanes
from missions.energy import FlightModel
from missions.frame import Array

_SLANTS = np.radians(np.linspace(20.0, 160.0, 141))
_LONG_M = 1000.0
_CRUMB_M = 1.0


@dataclass(frozen=True)
class Swept:
    """A part of the area: its lanes, their spacing and height, and its sites (m, 2), None: anywhere; metres."""

    lanes: Lanes
    sites: Array | None
    lane_m: float
    height_m: float


@dataclass(frozen=True)
class Bound:
    """The bound and what it is made of.

    Attributes:
        flight_s: No plan flies less.
        lanes_s: Along lanes.
        visits: Of rows by sorties.
        sorties: Batteries.
        unseen_m: Lanes beyond everybody's line of sight: whoever flies beside them flies them on the same visit.
    """

    flight_s: float
    lanes_s: float
    visits: int
    sorties: int
    unseen_m: float


def _visits(low: Array, high: Array, begin: Array, end: Array) -> tuple[int, float]:
    """Fewest of the intervals `begin`..`end` that hold the lanes `low`..`high` of a row, and metres in none of them."""
    count, unseen_m = 0, 0.0
    reached = -math.inf
    for a, b in sorted(zip(low.tolist(), high.tolist(), strict=True)):
        at = max(a, reached)
        while at < b - _CRUMB_M:
            useful = begin <= at + _CRUMB_M
            farthest = float(end[useful].max()) if useful.any() else -math.inf
            if farthest <= at + _CRUMB_M:  # seen by nobody: until the next site sees again
                later = begin[begin > at + _CRUMB_M]
                farthest = min(b, float(later.min()) if len(later) else b)
                unseen_m += farthest - at
                at = farthest
                continue
            count += 1
            at = reached = farthest
    return count, unseen_m


def _chords(across: float, sites: Array, range_m: float) -> tuple[Array, Array]:
    """Of one row, what each site sees: (k,) beginnings and (k,) ends; `sites` (m, 2) along and across."""
    half = range_m**2 - (sites[:, 1] - across) ** 2
    near = half > 0
    reach = np.sqrt(half[near])
    return sites[near, 0] - reach, sites[near, 0] + reach


def rows_visited(lanes: Lanes, lane_m: float, sites: Array | None, range_m: float) -> tuple[int, float, float]:
    """Fewest visits of rows by sorties, metres of lanes out of sight, and the rows' distance.

    Args:
        lanes: Of one direction.
        lane_m: Their spacing by the camera.
        sites: (m, 2) metres; None: a site may be anywhere, so that each sees a chord of a diameter.
        range_m: Line of sight.
    """
    unit = np.array([math.cos(lanes.direction_rad), math.sin(lanes.direction_rad)])
    normal = np.array([-unit[1], unit[0]])
    low, high, across = lanes.start @ unit, lanes.end @ unit, lanes.start @ normal
    places = None if sites is None else np.column_stack([sites @ unit, sites @ normal])
    count, unseen_m = 0, 0.0
    rows, spacing = _grid_rows(lanes, across, lane_m)
    for row in rows:
        mine: NDArray[np.bool_] = lanes.row == row
        if places is None:
            count += _anywhere(low[mine], high[mine], 2 * range_m)
            continue
        begin, end = _chords(float(across[mine].mean()), places, range_m)
        visits, lost_m = _visits(low[mine], high[mine], begin, end)
        count, unseen_m = count + visits, unseen_m + lost_m
    return count, unseen_m, spacing


def _anywhere(low: Array, high: Array, width: float) -> int:
    count, reached = 0, -math.inf
    for a, b in sorted(zip(low.tolist(), high.tolist(), strict=True)):
        while max(a, reached) < b - _CRUMB_M:
            reached = max(a, reached) + width
            count += 1
    return count


def _changes(model: FlightModel, lane_m: float) -> tuple[float, float]:
    """Seconds that a change to the next row takes at least, and one after which the aircraft flies the other way."""
    onward, back = [], []
    alone_s = model.route(np.array([(0.0, 0.0), (2 * _LONG_M, 0.0)]))[0]
    for angle in _SLANTS:
        ahead = lane_m / math.tan(angle)
        for way in (1.0, -1.0):  # the next row is flown on, or back
            points = np.array([(-_LONG_M, 0.0), (0.0, 0.0), (ahead, lane_m), (ahead + way * _LONG_M, lane_m)])
            extra_s = model.route(points)[0] - alone_s
            onward.append(extra_s)
            if way < 0 or ahead < 0:
                back.append(extra_s)
    return min(onward), min(back)


def row_s(model: FlightModel, lane_m: float) -> float:
    """Seconds that a further row costs a sortie at least: the cheapest way across to it, and as far back again."""
    return _changes(model, lane_m)[0] + lane_m / model.profile.cruise_mps


def back_s(model: FlightModel, lane_m: float) -> float:
    """Seconds that turning back costs at least beyond a change of rows; on one row it is a full stop."""
    onward_s, turned_s = _changes(model, lane_m)
    stop_s = float(model.corner_s(np.array([-1.0]), model.profile.cruise_mps)[0])
    return min(turned_s - onward_s, stop_s)


def _grid_rows(lanes: Lanes, across: Array, lane_m: float) -> tuple[NDArray[np.int64], float]:
    """Rows that lie on the even grid, and its spacing: short lanes added between rows are left out of the count."""
    rows, first = np.unique(lanes.row, return_index=True)
    places = across[first]
    gaps = np.diff(np.sort(places))
    spacing = float(np.median(gaps[gaps > 0.5 * lane_m])) if len(gaps) else lane_m
    length = np.bincount(lanes.row, weights=np.hypot(*(lanes.end - lanes.start).T))
    base = places[int(np.argmax(length[rows]))]
    step = (places - base) / spacing
    return rows[np.abs(step - np.round(step)) < 0.02], spacing


def _least_w(model: FlightModel) -> float:
    return float(model.power_w(np.linspace(0.0, model.profile.max_airspeed_mps, 200)).min())


def lower_bound(parts: Sequence[Swept], model: FlightModel, battery_wh: float, range_m: float) -> Bound:
    """The bound for a whole area.

    Args:
        parts: The area by height.
        model: Time and energy in the wind.
        battery_wh: What a battery may give, the reserve left out.
        range_m: Line of sight.
    """
    least_w = _least_w(model)
    found = [_needed(part, model, least_w, range_m) for part in parts]
    # The first row and the first pass of a sortie are free: at most the dearest of them.
    free_s = max(one.row_s for one in found) + max(one.back_s for one in found)
    usable_wh = battery_wh - min(one.sortie_wh for one in found)
    beside_s = sum(one.visits * one.row_s + one.passes * one.back_s for one in found)
    sorties, lanes_wh = 1.0, sum(one.lanes_wh for one in found)
    for _ in range(50):
        needed = (lanes_wh + least_w * max(beside_s - sorties * free_s, 0.0) / 3600) / usable_wh
        if abs(needed - sorties) < 1e-6:
            break
        sorties = needed
    filled = [one.lanes_wh / usable_wh for one in found]
    sorties_s = sum(count * one.sortie_s for count, one in zip(filled, found, strict=True))
    sorties_s += max(sorties - sum(filled), 0.0) * min(one.sortie_s for one in found)
    lanes_s = sum(one.lanes_s for one in found)
    return Bound(
        flight_s=lanes_s + max(beside_s - sorties * free_s, 0.0) + sorties_s,
        lanes_s=lanes_s,
        visits=sum(one.visits for one in found),
        sorties=math.ceil(sorties - 1e-6),
        unseen_m=sum(one.unseen_m for one in found),
    )


@dataclass(frozen=True)
class _Needed:
    """What one part needs, see the numbers above; `sortie_s` and `sortie_wh` of a sortie to its height."""

    lanes_s: float
    lanes_wh: float
    visits: int
    unseen_m: float
    passes: float
    row_s: float
    back_s: float
    sortie_s: float
    sortie_wh: float


def _needed(part: Swept, model: FlightModel, least_w: float, range_m: float) -> _Needed:
    vectors = part.lanes.end - part.lanes.start
    _, seconds, energy = model.straight(vectors)
    _, _, back = model.straight(-vectors)
    visits, unseen_m, spacing = rows_visited(part.lanes, part.lane_m, part.sites, range_m)
    up, down = model.climb(part.height_m), model.descent(part.height_m)
    stop_s = float(model.corner_s(np.array([-1.0]), model.profile.cruise_mps)[0])
    return _Needed(
        lanes_s=float(seconds.sum()),
        lanes_wh=float(np.minimum(energy, back).sum()),
        visits=visits,
        unseen_m=unseen_m,
        passes=max(float(np.hypot(*vectors.T).sum()) - unseen_m, 0.0) / (2 * range_m),
        row_s=row_s(model, spacing),
        back_s=back_s(model, spacing),
        sortie_s=up[0] + down[0] + stop_s,
        sortie_wh=up[1] + down[1] + least_w * stop_s / 3600,
    )
