"""A brigade's day: sites dealt to crews in neighbouring runs, finished together, within shifts and charged batteries.

Balanced finish first, travel second: the sorties of all sites are put on one tour, and the tour is cut into as many
runs as there are crews, so that the latest finish is as early as cutting allows. Each crew's run is then cut into
sorties again by its own, more or less worn batteries, the sorties are bargained over, and put on the clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import shapely

from missions.airspace import grow
from missions.bargain import Started, bargained, started
from missions.dealing import Laid, Line, lines_of
from missions.direction import Sweep, sweeps
from missions.estimate import Rates
from missions.flying import Flown, loop_cuts
from missions.frame import Array
from missions.part import Part
from missions.plan import Refusal
from missions.request import Task
from missions.result import CrewDay, Timed
from missions.roster import Crew, Roster, crews_of
from missions.timetable import Clock, drive_s
from missions.tour import best_tour
from missions.visits import Visits, plan_visits

Tell = Callable[[int, int, str], None]
Closed = list[tuple[datetime | None, datetime | None]]
# Sites whose sorties are cut together at first: a battery rarely serves more than two.
_SITES_AT_ONCE = 6
_SHUFFLES = 300


@dataclass(frozen=True)
class BrigadePlan:
    """Sorties on the clock, the crews' days, what was left out, and the directions weighed."""

    timed: list[Timed]
    days: tuple[CrewDay, ...]
    refused: list[Refusal]
    weighed: list[tuple[Sweep, ...]]


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
        watts = Rates.of(task.model, line.part.strip, line.tracks.direction_rad).lane_w
        change = np.flatnonzero(np.any(np.diff(line.homes, axis=0) != 0, axis=1)) + 1
        other = np.flatnonzero(np.diff(line.health) != 0) + 1
        bounds = np.unique(
            np.concatenate([[0], change[_SITES_AT_ONCE - 1 :: _SITES_AT_ONCE], other, [len(line.pieces)]])
        )
        for begin, end in itertools.pairwise(map(int, bounds)):
            tell(begin, len(line.pieces), "sorties")
            work, own = line.pieces.part(begin, end - 1), line.homes[begin:end]
            health, range_m = float(line.health[begin]), roster.line_of_sight_m
            cuts = loop_cuts(task, line.part, line.tracks, work, own, health=health, range_m=range_m)
            lost += len(work) - sum(cut.last - cut.first + 1 for cut, _ in cuts)
            units += [
                _Unit(number, begin + cut.first, begin + cut.last, home, 3600 * cut.energy_wh / watts + roster.swap_s)
                for cut, home in cuts
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


def _balanced(units: list[_Unit], roster: Roster, count: int) -> list[list[_Unit]]:
    """The cut into `count` runs with the least latest finish, by bisection."""
    total = sum(unit.seconds for unit in units)
    low, high = total / count, 4.0 * total
    best = _runs(units, roster, np.full(count, high))
    assert best is not None
    for _ in range(24):
        middle = (low + high) / 2
        found = _runs(units, roster, np.full(count, middle))
        if found is None:
            low = middle
        else:
            best, high = found, middle
    return best


def _sorties(
    task: Task, roster: Roster, crews: Sequence[Crew], lines: list[Line], runs: list[list[_Unit]], tell: Tell
) -> tuple[list[list[Flown]], int]:
    """Each crew's sorties, its run cut for its own batteries and bargained over; and pieces out of reach."""
    sorties = [[unit.whole for unit in run if unit.whole is not None] for run in runs]
    lost = 0
    begun: list[list[Started]] = [[] for _ in lines]
    for crew, run in enumerate(runs):
        for number, units in itertools.groupby(run, key=lambda unit: unit.line):
            chosen = list(units)
            if number >= 0:
                health = crews[crew].machine.battery_health
                reach = chosen[0].first, chosen[-1].last
                begun[number] += started(task, roster, lines[number], *reach, crew, health)
    for number, line in enumerate(lines):
        later = [one.crew for other in begun[number + 1 :] for one in other]
        mean_s = float(np.mean([unit.seconds for run in runs for unit in run]))
        busy_s = np.array([sum((one.duration_s + roster.swap_s for one in own), 0.0) for own in sorties])
        busy_s += mean_s * np.bincount(np.array(later, dtype=np.int64), minlength=len(crews))
        found, missed = bargained(task, roster, crews, line, begun[number], busy_s, tell)
        lost += missed
        for crew, flown in found:
            sorties[crew].append(flown)
    return sorties, lost


def _orders(sorties: list[Flown], closed: list[Closed]) -> list[list[int]]:
    """Orders of a crew's sorties: site by site on a short road, begun at any of its sites, either way round.

    Those that a timed zone touches come first.
    """
    homes, which = np.unique(np.array([one.home for one in sorties]), axis=0, return_inverse=True)
    gap = np.hypot(*(homes[:, None, :] - homes[None, :, :]).transpose(2, 0, 1))
    tour = [int(end) // 2 for end in best_tour(np.repeat(np.repeat(gap, 2, axis=0), 2, axis=1))]
    found = []
    for way in (tour, tour[::-1]):
        for begin in range(len(way)):
            rank = np.argsort(np.array(way[begin:] + way[:begin]))[which.reshape(-1)]
            order = np.argsort(rank, kind="stable").tolist()
            found.append(sorted(order, key=lambda index: not closed[index]))
    return found


def _closed_times(task: Task, sortie: Flown) -> Closed:
    """When zones that hold for a time close a sortie's way."""
    line = shapely.linestrings(sortie.route.points)
    keep_m = task.request.clearances.zone_m
    places = [(zone, grow(task.frame.metric(zone.geometry), keep_m)) for zone in task.timed]
    return [(zone.from_utc, zone.to_utc) for zone, place in places if place.intersects(line)]


@dataclass(frozen=True)
class _Day:
    """A crew's sorties on the clock, its day, and the sorties that the day has no room for."""

    timed: list[Timed]
    day: CrewDay
    late: list[Flown]


def _day(task: Task, roster: Roster, sorties: list[Flown], crew: Crew) -> _Day:
    """The order of a crew's sorties that its shifts have most room for, and that ends first."""
    closed = [_closed_times(task, sortie) for sortie in sorties]
    if not sorties:
        return _Day([], CrewDay(crew, 0, 0.0, 0.0, 0.0, ()), [])

    def day(order: list[int]) -> _Day:
        return _on_the_clock(task, roster, [(sorties[index], closed[index]) for index in order], crew)

    def rank(found: _Day) -> tuple[int, float]:
        return len(found.late), found.day.busy_s

    order = min(_orders(sorties, closed), key=lambda tried: rank(day(tried)))
    best = day(order)
    random = np.random.default_rng(len(sorties))
    for _ in range(_SHUFFLES):  # shifts are filled to the minute where sorties change places
        if not best.late:
            break
        a, b = random.integers(len(order), size=2)
        tried = order.copy()
        tried[a], tried[b] = tried[b], tried[a]
        if rank(found := day(tried)) < rank(best):
            best, order = found, tried
    return best


def _on_the_clock(task: Task, roster: Roster, sorties: list[tuple[Flown, Closed]], crew: Crew) -> _Day:
    clock = Clock(task, roster, crew)
    timed: list[Timed] = []
    late: list[Flown] = []
    busy_s = 0.0
    sites: list[tuple[float, float]] = []
    for sortie, closed in sorties:
        site = (float(sortie.home[0]), float(sortie.home[1]))
        if not sites or sites[-1] != site:
            clock.drive(sortie.home)
            sites.append(site)
        at = clock.take_off(sortie.duration_s, closed)
        if at is None:
            late.append(sortie)
            continue
        timed.append(Timed(at, crew.name, sortie, crew))
        busy_s = max(busy_s, clock.busy_s(at + timedelta(seconds=sortie.duration_s)))
    flight_s = sum(item.flown.duration_s for item in timed)
    return _Day(timed, CrewDay(crew, len(timed), busy_s, flight_s, clock.drive_s, tuple(sites)), late)


def _days(task: Task, roster: Roster, crews: Sequence[Crew], sorties: list[list[Flown]]) -> list[_Day]:
    """All crews' days; a sortie that its crew has no room for goes to one that has, and whose batteries fly it."""
    days = [_day(task, roster, own, crew) for own, crew in zip(sorties, crews, strict=True)]
    for number, late in [(number, sortie) for number, day in enumerate(days) for sortie in day.late]:
        for other in sorted(range(len(crews)), key=lambda index: days[index].day.busy_s):
            budget_wh = task.model.budget_wh(crews[other].machine.battery_health)
            if other == number or late.energy_wh > budget_wh or days[other].late:
                continue
            tried = _day(task, roster, [*(item.flown for item in days[other].timed), late], crews[other])
            if not tried.late:
                days[other] = tried
                days[number] = replace(days[number], late=[one for one in days[number].late if one is not late])
                break
    return days


def _farthest_m(days: list[_Day]) -> list[float]:
    """Of each site, how far from it the farthest photograph is taken."""
    far: dict[tuple[float, float], float] = {}
    for flown in (item.flown for day in days for item in day.timed):
        site = (float(flown.home[0]), float(flown.home[1]))
        away = np.hypot(*(flown.route.points - flown.home).T)
        far[site] = max(far.get(site, 0.0), float(away.max()))
    return list(far.values())


def _refusals(days: list[_Day], lost: int, roster: Roster) -> list[Refusal]:
    found = []
    late = sum(len(day.late) for day in days)
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
    beyond = [away for away in _farthest_m(days) if away > roster.line_of_sight_m]
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
    lines = lines_of(task, roster, crews, list(itertools.chain.from_iterable(laid)), tell)
    units, lost = _units(task, roster, lines, tell)
    visits = _visits(task, roster, crews)
    units += [_Unit(-1, 0, 0, one.home, one.duration_s + roster.swap_s, one) for one in visits.flown]
    if not units:
        return BrigadePlan([], (), visits.refused, weighed)
    runs = _balanced(units, roster, len(crews))
    sorties, missed = _sorties(task, roster, crews, lines, runs, tell)
    tell(0, 1, "crews")
    days = _days(task, roster, crews, sorties)
    return BrigadePlan(
        [item for day in days for item in day.timed],
        tuple(day.day for day in days),
        visits.refused + _refusals(days, lost + missed, roster),
        weighed,
    )
