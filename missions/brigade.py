"""A brigade's day: sites dealt to crews in neighbouring runs, finished together, within shifts and charged batteries.

Balanced finish first, travel second: the sorties of all sites are put on one tour, and the tour is cut into as many
runs as there are crews, so that the latest finish is as early as cutting allows. Each crew's run is then cut into
sorties again by its own, more or less worn batteries, and put on the clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import shapely
from numpy.typing import NDArray

from missions.airspace import grow
from missions.dealing import Laid, Line, lines_of
from missions.direction import Sweep, sweeps
from missions.flying import Flown, fly
from missions.frame import Array
from missions.part import Part
from missions.plan import Refusal
from missions.request import Task
from missions.result import CrewDay, Timed
from missions.roster import Crew, Roster, crews_of
from missions.timetable import Clock, drive_s
from missions.visits import Visits, plan_visits

Tell = Callable[[int, int, str], None]
_ROUNDS = 2
# Sites whose sorties are cut together at first: a battery rarely serves more than two.
_SITES_AT_ONCE = 6


@dataclass(frozen=True)
class BrigadePlan:
    """Sorties on the clock, the crews' days, what was left out, and the directions weighed."""

    timed: list[Timed]
    days: tuple[CrewDay, ...]
    refused: list[Refusal]
    weighed: list[tuple[Sweep, ...]]


def _fly_run(task: Task, roster: Roster, line: Line, first: int, last: int, health: float) -> tuple[list[Flown], int]:
    """Sorties over a run of a line, from any site of the run that sees them."""
    homes, own = np.unique(line.homes[first : last + 1], axis=0, return_inverse=True)
    work = line.pieces.part(first, last)
    sight_m = roster.line_of_sight_m
    dealt = np.asarray(own).reshape(-1)
    return fly(
        task, line.part, work, homes, health=health, range_m=sight_m, exact_ways=False, own=dealt, tracks=line.tracks
    )


@dataclass(frozen=True)
class _Unit:
    """One sortie as the tour is first cut: pieces `first`..`last` of a line, its site, and its time with the swap.

    A sortie over listed places belongs to no line: it is `whole` already.
    """

    line: int
    first: int
    last: int
    home: Array
    seconds: float
    whole: Flown | None = None


def _units(task: Task, roster: Roster, lines: list[Line], tell: Tell) -> tuple[list[_Unit], int]:
    """The lines cut into sorties, some sites of one crew at a time; and how many pieces are out of reach."""
    units: list[_Unit] = []
    lost = 0
    for number, line in enumerate(lines):
        change = np.flatnonzero(np.any(np.diff(line.homes, axis=0) != 0, axis=1)) + 1
        other = np.flatnonzero(np.diff(line.health) != 0) + 1
        bounds = np.unique(
            np.concatenate([[0], change[_SITES_AT_ONCE - 1 :: _SITES_AT_ONCE], other, [len(line.pieces)]])
        )
        for begin, end in itertools.pairwise(map(int, bounds)):
            tell(begin, len(line.pieces), "sorties")
            flown, missed = _fly_run(task, roster, line, begin, end - 1, float(line.health[begin]))
            lost += missed
            units += [
                _Unit(number, begin + one.first, begin + one.last, one.home, one.duration_s + roster.swap_s)
                for one in flown
            ]
    return units, lost


def _runs(units: list[_Unit], roster: Roster, limits_s: Array) -> list[list[_Unit]] | None:
    """The tour cut into runs that keep each crew's limit; None where the crews do not suffice."""
    runs: list[list[_Unit]] = [[]]
    spent = 0.0
    for unit in units:
        road_s = drive_s(roster, runs[-1][-1].home, unit.home) if runs[-1] else 0.0
        if runs[-1] and spent + road_s + unit.seconds > limits_s[len(runs) - 1]:
            if len(runs) == len(limits_s):
                return None
            runs.append([])
            spent = road_s = 0.0
        runs[-1].append(unit)
        spent += road_s + unit.seconds
    return runs + [[] for _ in range(len(limits_s) - len(runs))]


def _balanced(units: list[_Unit], roster: Roster, weights: Array) -> list[list[_Unit]]:
    """The cut with the least latest finish, by bisection."""
    total = sum(unit.seconds for unit in units)
    low, high = total / float(weights.sum()), 4.0 * total / float(weights.min())
    best = _runs(units, roster, high * weights)
    assert best is not None
    for _ in range(24):
        middle = (low + high) / 2
        found = _runs(units, roster, middle * weights)
        if found is None:
            low = middle
        else:
            best, high = found, middle
    return best


def _rerun(task: Task, roster: Roster, lines: list[Line], run: list[_Unit], crew: Crew) -> list[Flown]:
    """A crew's run cut again for its own batteries; sorties that a timed zone touches come first."""
    found: list[Flown] = []
    for number, units in itertools.groupby(run, key=lambda unit: unit.line):
        chosen = list(units)
        if number < 0:
            found += [unit.whole for unit in chosen if unit.whole is not None]
            continue
        first, last = chosen[0].first, chosen[-1].last
        found += _fly_run(task, roster, lines[number], first, last, crew.machine.battery_health)[0]
    return sorted(found, key=lambda sortie: not _closed_times(task, sortie))


def _closed_times(task: Task, sortie: Flown) -> list[tuple[datetime | None, datetime | None]]:
    """When zones that hold for a time close a sortie's way."""
    line = shapely.linestrings(sortie.route.points)
    keep_m = task.request.clearances.zone_m
    places = [(zone, grow(task.frame.metric(zone.geometry), keep_m)) for zone in task.timed]
    return [(zone.from_utc, zone.to_utc) for zone, place in places if place.intersects(line)]


def _day(
    task: Task, roster: Roster, lines: list[Line], run: list[_Unit], crew: Crew
) -> tuple[list[Timed], CrewDay, int]:
    """A crew's sorties on the clock, its day, and how many sorties the day has no room for."""
    clock = Clock(task, roster, crew)
    timed: list[Timed] = []
    late = 0
    busy_s = 0.0
    sites: list[tuple[float, float]] = []
    for sortie in _rerun(task, roster, lines, run, crew):
        site = (float(sortie.home[0]), float(sortie.home[1]))
        if not sites or sites[-1] != site:
            clock.drive(sortie.home)
            sites.append(site)
        at = clock.take_off(sortie.duration_s, _closed_times(task, sortie))
        if at is None:
            late += 1
            continue
        timed.append(Timed(at, crew.name, sortie, crew))
        busy_s = max(busy_s, clock.busy_s(at + timedelta(seconds=sortie.duration_s)))
    flight_s = sum(item.flown.duration_s for item in timed)
    return timed, CrewDay(crew, len(timed), busy_s, flight_s, clock.drive_s, tuple(sites)), late


def _refusals(farthest_m: list[float], lost: int, late: int, roster: Roster) -> list[Refusal]:
    found = []
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
    beyond = [away for away in farthest_m if away > roster.line_of_sight_m]
    if beyond:
        worst = max(beyond)
        found.append(
            Refusal(
                what=f"warning: lanes of {len(beyond)} sites",
                why=f"up to {worst:.0f} m away, beyond the line of sight of {roster.line_of_sight_m:g} m",
                remedy="post an observer, or add a site",
            )
        )
    return found


def _visits(task: Task, roster: Roster, crews: Sequence[Crew]) -> Visits:
    """Sorties over listed places, each within the weakest crew's battery: any crew may get it."""
    if not task.shots:
        return Visits([], [], 0)
    health = min(crew.machine.battery_health for crew in crews)
    return plan_visits(task, list(task.shots), health=health, range_m=roster.line_of_sight_m)


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
    weighed = [tuple(sweeps(part.target, part.strip, task.model, task.request.objective)) for part in parts]
    laid = [Laid.of(task, part, best[0].direction_rad) for part, best in zip(parts, weighed, strict=True)]
    lines, farthest_m = lines_of(task, roster, crews, [one for one in laid if one is not None], tell)
    units, lost = _units(task, roster, lines, tell)
    visits = _visits(task, roster, crews)
    units += [_Unit(-1, 0, 0, one.home, one.duration_s + roster.swap_s, one) for one in visits.flown]
    if not units:
        return BrigadePlan([], (), visits.refused, weighed)
    weights = np.ones(len(crews))
    best: tuple[tuple[int, float], list[tuple[list[Timed], CrewDay, int]]] | None = None
    for number in range(_ROUNDS):
        tell(number, _ROUNDS, "crews")
        runs = _balanced(units, roster, weights)
        days = [_day(task, roster, lines, run, crew) for run, crew in zip(runs, crews, strict=True)]
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
        visits.refused + _refusals(farthest_m, lost, late, roster),
        weighed,
    )
