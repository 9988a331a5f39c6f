"""Own aircraft kept apart in space and time: sorties that would meet start a little later, or are named.

Places are followed second by second along the routes as they are timed; the verifier does the same from the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import shapely

from missions.frame import Array
from missions.plan import Refusal
from missions.result import Timed

# Two position errors, two gusts and a wingspan; heights by barometer drift by metres.
APART_M, ABOVE_M = 40.0, 12.0
_STEP_S = 2.0
_SHIFT_S = 30.0
_MOST_SHIFTS = 20

Room = Callable[[int, float], bool]


class _Traffic:
    """All sorties on one clock."""

    def __init__(self, timed: Sequence[Timed], home_m: Array) -> None:
        self.timed = list(timed)
        self.start = min(item.start_utc for item in timed)
        self.tracks = [self._track(item, float(home)) for item, home in zip(timed, home_m, strict=True)]
        boxes = [
            shapely.buffer(shapely.box(*track[:, :2].min(axis=0), *track[:, :2].max(axis=0)), APART_M)
            for track in self.tracks
        ]
        tree = shapely.STRtree(boxes)
        self.near: list[list[int]] = [[] for _ in timed]
        self.placed: set[int] = set()
        for a, b in tree.query(boxes, predicate="intersects").T:
            if timed[int(a)].crew != timed[int(b)].crew:
                self.near[int(a)].append(int(b))

    @staticmethod
    def _track(item: Timed, home_m: float) -> Array:
        """Places (n, 4) every two seconds after take-off: east, north, height above sea, height above home."""
        route = item.flown.route
        ground = np.array([0.0])
        points = np.concatenate([route.points[:1], route.points, route.points[-1:]])
        rel = np.concatenate([ground, route.height_rel_m, ground])
        done = np.concatenate([[0.0], np.cumsum(np.hypot(np.hypot(*np.diff(points, axis=0).T), np.diff(rel)))])
        along = np.arange(0.0, item.flown.duration_s, _STEP_S) / max(item.flown.duration_s, 1e-9) * done[-1]
        east, north = (np.interp(along, done, points[:, axis]) for axis in (0, 1))
        height = np.interp(along, done, rel)
        return np.column_stack([east, north, height + home_m, height])

    def _steps(self, index: int, at: datetime) -> int:
        return round((at - self.start).total_seconds() / _STEP_S)

    def meets(self, index: int, at: datetime) -> list[int]:
        """Sorties already placed that one would meet if it started at a time."""
        mine, first = self.tracks[index], self._steps(index, at)
        found = []
        for other in self.near[index]:
            if other not in self.placed:
                continue
            theirs, begin = self.tracks[other], self._steps(other, self.timed[other].start_utc)
            low, high = max(first, begin), min(first + len(mine), begin + len(theirs))
            if low >= high:
                continue
            gap = mine[low - first : high - first] - theirs[low - begin : high - begin]
            flying = (mine[low - first : high - first, 3] > ABOVE_M) & (theirs[low - begin : high - begin, 3] > ABOVE_M)
            beside = np.hypot(gap[:, 0], gap[:, 1]) < APART_M
            if bool((flying & beside & (np.abs(gap[:, 2]) < ABOVE_M)).any()):
                found.append(other)
        return found

    def later(self, index: int, room: Room) -> Iterator[float]:
        """Delays in seconds with which a sortie meets nobody, as far as there is room."""
        for number in range(1, _MOST_SHIFTS + 1):
            late_s = number * _SHIFT_S
            if not room(index, late_s):
                return
            if not self.meets(index, self.timed[index].start_utc + timedelta(seconds=late_s)):
                yield late_s


def kept_apart(
    timed: Sequence[Timed], home_m: Array, room: Room, *, chained: bool
) -> tuple[list[Timed], list[Refusal]]:
    """Shifts take-offs by half minutes until no two sorties of different crews meet.

    Args:
        timed: Sorties on the clock.
        home_m: (n,) ground heights of their homes.
        room: Whether sortie number i may start so many seconds later (its crew's next sortie, shift, zones).
        chained: Whether a crew's later sorties are put off with it.

    Returns:
        The sorties as they now start, and a warning for each pair that still meets.
    """
    if len(timed) < 2:
        return list(timed), []
    traffic = _Traffic(timed, home_m)
    still: list[tuple[int, int]] = []
    order = sorted(range(len(timed)), key=lambda index: traffic.timed[index].start_utc)
    for index in order:
        traffic.placed.add(index)
        item = traffic.timed[index]
        others = traffic.meets(index, item.start_utc)
        late_s = next(traffic.later(index, room), 0.0) if others else 0.0
        if others and not late_s:
            still += [(min(index, other), max(index, other)) for other in others]
        for number, later in enumerate(timed) if late_s else ():
            if number == index or (chained and later.crew == item.crew and later.start_utc > timed[index].start_utc):
                start = traffic.timed[number].start_utc + timedelta(seconds=late_s)
                traffic.timed[number] = replace(later, start_utc=start)
    pairs = dict.fromkeys(still)
    left = [(a, b) for a, b in pairs if b in traffic.meets(a, traffic.timed[a].start_utc)]
    return traffic.timed, [_warning(traffic.timed[a], traffic.timed[b]) for a, b in left]


def _warning(one: Timed, other: Timed) -> Refusal:
    return Refusal(
        what=f"warning: crews {one.crew} and {other.crew} at {max(one.start_utc, other.start_utc):%H:%M} UTC",
        why=f"their aircraft come nearer than {APART_M:g} m",
        remedy="agree on the radio who waits, or start one of them later",
    )
