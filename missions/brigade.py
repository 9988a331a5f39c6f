"""A brigade's day: sites dealt to crews in neighbouring runs, finished together, within shifts and charged batteries.

Balanced finish first, travel second: the sorties of all sites are put on one tour, and the tour is cut into as many
runs as there are crews, so that the latest finish is as early as cutting allows (`missions.dealing`); each crew's run
is then put on the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import shapely

from missions.airspace import grow
from missions.dealing import Dealing
from missions.flying import Flown
from missions.part import Part
from missions.plan import Refusal
from missions.request import Task
from missions.result import CrewDay, Timed
from missions.roster import Crew, Roster, crews_of
from missions.timetable import Clock
from missions.tour import best_tour
from missions.visits import Visits, plan_visits

Tell = Callable[[int, int, str], None]
Closed = list[tuple[datetime | None, datetime | None]]
_SHUFFLES = 300


@dataclass(frozen=True)
class BrigadePlan:
    """Sorties on the clock, the crews' days, and what was left out."""

    timed: list[Timed]
    days: tuple[CrewDay, ...]
    refused: list[Refusal]


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


def _refusals(days: list[_Day], lost_m2: float, roster: Roster) -> list[Refusal]:
    found = []
    late = sum(len(day.late) for day in days)
    if lost_m2 > 1.0:
        found.append(
            Refusal(
                what=f"{lost_m2:,.0f} m2 of the area",
                why="no battery reaches it from any site",
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
    visits = _visits(task, roster, crews)
    dealing = Dealing(task, roster, crews, parts, visits.flown)
    work = dealing.sized(tell)
    if not work:
        return BrigadePlan([], (), visits.refused)
    tell(0, 1, "crews")
    sorties = [[one.flown for one in work if one.crew == crew] for crew in range(len(crews))]
    days = _days(task, roster, crews, sorties)
    return BrigadePlan(
        [item for day in days for item in day.timed],
        tuple(day.day for day in days),
        visits.refused + _refusals(days, dealing.lost_m2, roster),
    )
