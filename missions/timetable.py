"""A crew's clock: shifts with their breaks, drives, battery swaps and chargers, zones that close for a time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from missions.frame import Array
from missions.request import Task
from missions.roster import Crew, Roster

# Roads are longer than the straight line: by 1.42 over the United States (Boscoe et al., Prof. Geographer 64, 2012), by
# less in a town's grid.
_ROAD_FACTOR = 1.3


def drive_s_per_m(roster: Roster) -> float:
    """Seconds on the road for a metre of the straight line."""
    return _ROAD_FACTOR / roster.drive_speed_mps


def drive_s(roster: Roster, here: Array, there: Array) -> float:
    """Seconds on the road between two places, metres."""
    return drive_s_per_m(roster) * float(np.hypot(*(there - here)))


def charged(task: Task, crew: Crew, flights: Sequence[tuple[datetime, datetime]]) -> bool:
    """Whether a full battery is there for each of a crew's flights (begin, end) at the time of its take-off."""
    begins = [begin for begin, _ in crew.shifts] or [task.start_utc]
    full = [max(begins[0], task.start_utc)] * crew.machine.batteries
    chargers = full[:1] * crew.machine.chargers
    for begin, end in sorted(flights):
        if heapq.heappop(full) > begin:
            return False
        done = max(chargers[0], end) + timedelta(minutes=task.profile.charge_minutes)
        heapq.heapreplace(chargers, done)
        heapq.heappush(full, done)
    return True


def worked_s(shifts: Sequence[tuple[datetime, datetime]], landed: datetime) -> float:
    """Working seconds until a time, breaks left out."""
    return sum(max(0.0, (min(landed, end) - begin).total_seconds()) for begin, end in shifts)


class Clock:
    """One crew's timetable: shifts, batteries and chargers, zones that close for a time."""

    def __init__(self, task: Task, roster: Roster, crew: Crew) -> None:
        self.crew, self.roster = crew, roster
        self.shifts = [(max(begin, task.start_utc), end) for begin, end in crew.shifts if end > task.start_utc]
        self.now = self.shifts[0][0] if self.shifts else task.start_utc
        self.full = [self.now] * crew.machine.batteries
        self.chargers = [self.now] * crew.machine.chargers
        self.charge = timedelta(minutes=task.profile.charge_minutes)
        self.drive_s = 0.0
        self.place: Array | None = None

    def drive(self, home: Array) -> None:
        """Moves to another site."""
        if self.place is not None:
            seconds = drive_s(self.roster, self.place, home)
            self.drive_s += seconds
            self.now += timedelta(seconds=seconds)
        self.place = home

    def take_off(self, seconds: float, closed: list[tuple[datetime | None, datetime | None]]) -> datetime | None:
        """When the next sortie starts; None where the day has no room for it."""
        length = timedelta(seconds=seconds)
        at = max(self.now, self.full[0])
        for _ in range(2 * len(self.shifts) + 2 * len(closed) + 2):
            moved = self._next_free(at, length, closed)
            if moved is None:
                return None
            if moved == at:
                break
            at = moved
        heapq.heappop(self.full)
        landed = at + length
        charged = max(self.chargers[0], landed) + self.charge
        heapq.heapreplace(self.chargers, charged)
        heapq.heappush(self.full, charged)
        self.now = landed + timedelta(seconds=self.roster.swap_s)
        return at

    def _next_free(
        self, at: datetime, length: timedelta, closed: list[tuple[datetime | None, datetime | None]]
    ) -> datetime | None:
        for begin, end in closed:
            if (begin is None or at + length >= begin) and (end is None or at <= end):
                if end is None:
                    return None
                at = end + timedelta(seconds=1)
        for begin, end in self.shifts:
            if at + length <= end:
                return max(at, begin) if max(at, begin) + length <= end else None
        return None

    def busy_s(self, landed: datetime) -> float:
        """Working seconds until a time, breaks left out."""
        return worked_s(self.shifts, landed)
