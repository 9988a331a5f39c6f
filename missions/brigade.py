"""A brigade's day: sites dealt to crews in neighbouring runs, finished together, within shifts and charged batteries.

Balanced finish first, travel second: the sorties of all sites are put on one tour, and the tour is cut into as many
runs as there are crews, so that the latest finish is as early as cutting allows. Each crew's run is then cut into
sorties again by its own, more or less worn batteries, and put on the clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from missions.airspace import grow
from missions.cells import deal
from missions.direction import Sweep, sweeps
from missions.errors import MissionsError
from missions.flying import Flown, fly
from missions.frame import Array
from missions.part import Part, lanes_in
from missions.plan import Refusal
from missions.request import Task
from missions.result import CrewDay, Timed
from missions.roster import Crew, Roster, crews_of
from missions.sites import propose_sites
from missions.sorties import Pieces, longest_piece_m, pieces_of
from missions.tour import best_tour, link_costs
from missions.zones import Zone

Tell = Callable[[int, int, str], None]
# Roads are longer than the straight line: by 1.42 over the United States (Boscoe et al., Prof. Geographer 64, 2012), by
# less in a town's grid.
_ROAD_FACTOR = 1.3
_ROUNDS = 3


@dataclass(frozen=True)
class _Job:
    """All of one part's lanes at one site."""

    part: Part
    home: Array
    work: Pieces
    flown: list[Flown]
    lost: int
    farthest_m: float
    timed: tuple[tuple[Zone, BaseGeometry], ...]


@dataclass(frozen=True)
class BrigadePlan:
    """Sorties on the clock, the crews' days, what was left out, and the directions weighed."""

    timed: list[Timed]
    days: tuple[CrewDay, ...]
    refused: list[Refusal]
    weighed: list[tuple[Sweep, ...]]


def _sites(task: Task, part: Part) -> Array:
    if not task.request.sites:
        return propose_sites(part.target, part.ground)
    given = task.frame.to_xy(task.request.sites)
    usable = given[part.ground.open_points(given)]
    if not len(usable):
        raise MissionsError("all take-off sites lie inside or too near zones or obstacles: give others with --site")
    return usable


def _jobs(task: Task, roster: Roster, parts: Sequence[Part], health: float, tell: Tell) -> tuple[list[_Job], list]:
    """Lanes of every part dealt to sites and cut into sorties for a middling battery."""
    timed = [(zone, grow(task.frame.metric(zone.geometry), task.request.clearances.zone_m)) for zone in task.timed]
    jobs, weighed = [], []
    for part in parts:
        tried = tuple(sweeps(part.target, part.strip, task.model, task.request.objective))
        weighed.append(tried)
        lanes = lanes_in(task, part, tried[0].direction_rad)
        if not len(lanes):
            continue
        sites = _sites(task, part)
        dealt = deal(lanes, sites, part.strip, roster.line_of_sight_m, part.target.area)
        for number, mine in enumerate(dealt):
            tell(number, len(dealt), "lanes and sorties by site")
            entry = best_tour(link_costs(mine.lanes, part.router, task.model), starts=1)
            work = pieces_of(mine.lanes, entry, part.strip, longest_piece_m(task.model))
            home = sites[mine.site]
            flown, lost = fly(task, part, work, home[None, :], health=health)
            hull = shapely.convex_hull(shapely.multipoints(np.concatenate([work.start, work.end, home[None, :]])))
            touched = tuple((zone, place) for zone, place in timed if hull.intersects(place))
            jobs.append(_Job(part, home, work, flown, lost, mine.farthest_m, touched))
    return jobs, weighed


def _on_tour(jobs: list[_Job]) -> list[_Job]:
    """Jobs in an order that is short to drive."""
    homes = np.array([job.home for job in jobs])
    gap = np.hypot(*(homes[:, None, :] - homes[None, :, :]).transpose(2, 0, 1))
    return [jobs[int(end) // 2] for end in best_tour(np.repeat(np.repeat(gap, 2, axis=0), 2, axis=1))]


def _drive_s(roster: Roster, here: Array, there: Array) -> float:
    return _ROAD_FACTOR * float(np.hypot(*(there - here))) / roster.drive_speed_mps


@dataclass(frozen=True)
class _Unit:
    """One sortie of a job as the tour is cut: its job, itself and the time it takes with the swap after it."""

    job: int
    flown: Flown
    seconds: float


def _runs(units: list[_Unit], jobs: list[_Job], roster: Roster, limits_s: Array) -> list[list[_Unit]] | None:
    """The tour cut into runs that keep each crew's limit; None where the crews do not suffice."""
    runs: list[list[_Unit]] = [[]]
    spent = 0.0
    for unit in units:
        drive_s = 0.0
        if runs[-1] and runs[-1][-1].job != unit.job:
            drive_s = _drive_s(roster, jobs[runs[-1][-1].job].home, jobs[unit.job].home)
        if runs[-1] and spent + drive_s + unit.seconds > limits_s[len(runs) - 1]:
            if len(runs) == len(limits_s):
                return None
            runs.append([])
            spent = drive_s = 0.0
        runs[-1].append(unit)
        spent += drive_s + unit.seconds
    return runs + [[] for _ in range(len(limits_s) - len(runs))]


def _balanced(units: list[_Unit], jobs: list[_Job], roster: Roster, weights: Array) -> list[list[_Unit]]:
    """The cut with the least latest finish, by bisection."""
    total = sum(unit.seconds for unit in units)
    low, high = total / float(weights.sum()), 4.0 * total / float(weights.min())
    best = _runs(units, jobs, roster, high * weights)
    assert best is not None
    for _ in range(24):
        middle = (low + high) / 2
        found = _runs(units, jobs, roster, middle * weights)
        if found is None:
            low = middle
        else:
            best, high = found, middle
    return best


class _Clock:
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
            seconds = _drive_s(self.roster, self.place, home)
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
        return sum(max(0.0, (min(landed, end) - begin).total_seconds()) for begin, end in self.shifts)


def _rerun(task: Task, jobs: list[_Job], run: list[_Unit], crew: Crew) -> list[tuple[_Job, list[Flown], int]]:
    """A crew's run cut again for its own batteries; jobs that a timed zone touches come first."""
    grouped: dict[int, list[Flown]] = {}
    for unit in run:
        grouped.setdefault(unit.job, []).append(unit.flown)
    found = []
    for number, flown in grouped.items():
        job = jobs[number]
        whole = job.work.part(flown[0].first, flown[-1].last)
        again, lost = fly(task, job.part, whole, job.home[None, :], health=crew.machine.battery_health)
        found.append((job, again, lost))
    return sorted(found, key=lambda item: not item[0].timed)


def _closed_times(sortie: Flown, job: _Job) -> list[tuple[datetime | None, datetime | None]]:
    if not job.timed:
        return []
    line = shapely.linestrings(sortie.route.points)
    return [(zone.from_utc, zone.to_utc) for zone, place in job.timed if place.intersects(line)]


def _day(
    task: Task, roster: Roster, jobs: list[_Job], run: list[_Unit], crew: Crew
) -> tuple[list[Timed], CrewDay, int]:
    """A crew's sorties on the clock, its day, and how many sorties the day has no room for."""
    clock = _Clock(task, roster, crew)
    timed: list[Timed] = []
    late = 0
    busy_s = 0.0
    sites: list[tuple[float, float]] = []
    for job, flown, _ in _rerun(task, jobs, run, crew):
        clock.drive(job.home)
        sites.append((float(job.home[0]), float(job.home[1])))
        for sortie in flown:
            at = clock.take_off(sortie.duration_s, _closed_times(sortie, job))
            if at is None:
                late += 1
                continue
            timed.append(Timed(at, crew.name, sortie, crew))
            busy_s = max(busy_s, clock.busy_s(at + timedelta(seconds=sortie.duration_s)))
    flight_s = sum(item.flown.duration_s for item in timed)
    return timed, CrewDay(crew, len(timed), busy_s, flight_s, clock.drive_s, tuple(sites)), late


def _refusals(jobs: list[_Job], late: int, roster: Roster) -> list[Refusal]:
    found = []
    lost = sum(job.lost for job in jobs)
    if lost:
        found.append(
            Refusal(
                what=f"{lost} stretches of lane",
                why="no battery reaches them from any site",
                remedy="add a site nearby",
            )
        )
    if late:
        found.append(
            Refusal(
                what=f"{late} sorties",
                why=f"the shifts of {roster.date} have no room for them",
                remedy="fly them the next day, or add a crew",
            )
        )
    beyond = [job for job in jobs if job.farthest_m > roster.line_of_sight_m]
    if beyond:
        worst = max(job.farthest_m for job in beyond)
        found.append(
            Refusal(
                what=f"warning: lanes of {len(beyond)} sites",
                why=f"up to {worst:.0f} m away, beyond the line of sight of {roster.line_of_sight_m:g} m",
                remedy="post an observer, or add a site",
            )
        )
    return found


def plan_brigade(task: Task, roster: Roster, parts: Sequence[Part], tell: Tell) -> BrigadePlan:
    """Plans a brigade's day over the parts of an area.

    Args:
        task: The request, read.
        roster: Who and what there is.
        parts: The area by height.
        tell: Progress.

    Raises:
        MissionsError: No crew can be made, or no site be used.
    """
    crews = crews_of(roster, task.profile)
    health = float(np.mean([crew.machine.battery_health for crew in crews]))
    jobs, weighed = _jobs(task, roster, parts, health, tell)
    if not jobs:
        return BrigadePlan([], (), [], weighed)
    jobs = _on_tour(jobs)
    units = [
        _Unit(number, sortie, sortie.duration_s + roster.swap_s)
        for number, job in enumerate(jobs)
        for sortie in job.flown
    ]
    weights = np.ones(len(crews))
    best: tuple[tuple[int, float], list[tuple[list[Timed], CrewDay, int]]] | None = None
    for number in range(_ROUNDS):
        tell(number, _ROUNDS, "crews")
        runs = _balanced(units, jobs, roster, weights)
        days = [_day(task, roster, jobs, run, crew) for run, crew in zip(runs, crews, strict=True)]
        busy: NDArray[np.float64] = np.array([day.busy_s for _, day, _ in days])
        rank = (sum(late for _, _, late in days), float(busy.max()))
        if best is None or rank < best[0]:
            best = rank, days
        if busy.max() <= 1.04 * busy.mean():
            break
        weights = weights * (busy.mean() / np.maximum(busy, 600.0)) ** 0.6
    assert best is not None
    late = best[0][0]
    return BrigadePlan(
        [item for timed, _, _ in best[1] for item in timed],
        tuple(day for _, day, _ in best[1]),
        _refusals([replace(job) for job in jobs], late, roster),
        weighed,
    )
