"""Own aircraft kept apart in space and time: who would meet starts a little later, or crosses higher, or is named.

Places are followed second by second along the routes as they are timed; the verifier does the same from the files.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
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

Room = Callable[[Sequence[Timed], int, Timed, bool], dict[int, Timed] | None]
Layered = Callable[[Timed], Iterable[Timed]]


class _Traffic:
    """All sorties on one clock."""

    def __init__(self, timed: Sequence[Timed], home_m: Array) -> None:
        self.timed = list(timed)
        self.home_m = [float(height) for height in home_m]
        self.start = min(item.start_utc for item in timed)
        self.tracks = [self._track(item, home) for item, home in zip(timed, self.home_m, strict=True)]
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

    def _steps(self, at: datetime) -> int:
        return round((at - self.start).total_seconds() / _STEP_S)

    def meets(self, index: int, item: Timed, track: Array | None = None) -> list[int]:
        """Sorties already placed that one would meet if it flew like this; `track` where it is not its own."""
        mine, first = self.tracks[index] if track is None else track, self._steps(item.start_utc)
        found = []
        for other in self.near[index]:
            if other not in self.placed:
                continue
            theirs, begin = self.tracks[other], self._steps(self.timed[other].start_utc)
            low, high = max(first, begin), min(first + len(mine), begin + len(theirs))
            if low >= high:
                continue
            gap = mine[low - first : high - first] - theirs[low - begin : high - begin]
            flying = (mine[low - first : high - first, 3] > ABOVE_M) & (theirs[low - begin : high - begin, 3] > ABOVE_M)
            beside = np.hypot(gap[:, 0], gap[:, 1]) < APART_M
            if bool((flying & beside & (np.abs(gap[:, 2]) < ABOVE_M)).any()):
                found.append(other)
        return found

    def apart(self, index: int, room: Room, layered: Layered) -> dict[int, Timed] | None:
        """What changes so that a sortie meets nobody; None where nothing does it.

        A later start within its crew's day as it is comes first: it changes nothing that is flown. Then ways at another
        height, and only then a wait that puts off all that its crew flies after it.
        """
        item = self.timed[index]
        for all_later in (False, True):
            for number, flown in enumerate(itertools.chain([item], layered(item))):
                track = None if number == 0 else self._track(flown, self.home_m[index])
                for late in range(int(number == 0), _MOST_SHIFTS + 1):
                    candidate = _later(flown, late)
                    changed = room(self.timed, index, candidate, all_later)
                    if changed is None:
                        break
                    if not self.meets(index, candidate, track):
                        return changed
        return None

    def put(self, index: int, item: Timed) -> None:
        """A sortie as it is flown now."""
        if item.flown is not self.timed[index].flown:
            self.tracks[index] = self._track(item, self.home_m[index])
        self.timed[index] = item


def _later(item: Timed, shifts: int) -> Timed:
    return replace(item, start_utc=item.start_utc + timedelta(seconds=shifts * _SHIFT_S))


def _none(_: Timed) -> Iterable[Timed]:
    return ()


def kept_apart(
    timed: Sequence[Timed], home_m: Array, room: Room, layered: Layered = _none
) -> tuple[list[Timed], list[Refusal]]:
    """Shifts take-offs by half minutes, and ways from and to home by levels, until no two crews' sorties meet.

    Args:
        timed: Sorties on the clock.
        home_m: (n,) ground heights of their homes.
        room: Of all sorties as they are now, number i flown like this: what else of its crew's day changes with it (all
            that follows, if the last argument says so), by number, itself included; None where the day has no room.
        layered: The sortie with its ways from and to home at other heights, the nearest first.

    Returns:
        The sorties as they are flown now, and a warning for each pair that still meets.
    """
    if len(timed) < 2:
        return list(timed), []
    traffic = _Traffic(timed, home_m)
    still: list[tuple[int, int]] = []
    order = sorted(range(len(timed)), key=lambda index: traffic.timed[index].start_utc)
    for index in order:
        traffic.placed.add(index)
        item = traffic.timed[index]
        others = traffic.meets(index, item)
        if not others:
            continue
        moved = traffic.apart(index, room, layered)
        if moved is None:
            still += [(min(index, other), max(index, other)) for other in others]
            continue
        for number, changed in moved.items():
            traffic.put(number, changed)
    pairs = dict.fromkeys(still)
    left = [(a, b) for a, b in pairs if b in traffic.meets(a, traffic.timed[a])]
    return traffic.timed, [_warning(traffic.timed[a], traffic.timed[b]) for a, b in left]


def _warning(one: Timed, other: Timed) -> Refusal:
    return Refusal(
        what=f"warning: crews {one.crew} and {other.crew} at {max(one.start_utc, other.start_utc):%H:%M} UTC",
        why=f"their aircraft come nearer than {APART_M:g} m",
        remedy="neither a wait nor another height has room: agree on the radio who waits, or fly one on another day",
    )
