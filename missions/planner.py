"""The planner: area, rules and aircraft in; sorties that see all of it out. A plain function of its request."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import shapely

from missions.brigade import plan_brigade
from missions.direction import Sweep, sweeps
from missions.errors import MissionsError
from missions.export.folder import export_plan
from missions.flying import SWAP_S, Flown, fly
from missions.frame import Array
from missions.layers import Levels
from missions.part import Part, lanes_in, parts_of, unseen
from missions.plan import Coverage, Refusal
from missions.request import PlanRequest, Task, read_task
from missions.result import CrewDay, PlannedSortie, PlanResult, Timed, numbered
from missions.seen import measure
from missions.separation import kept_apart
from missions.sites import propose_sites, seeing_sites
from missions.sorties import Pieces, balanced_parts, longest_piece_m, pieces_of
from missions.timetable import charged, worked_s
from missions.tour import best_tour, link_costs
from missions.ulid import new_ulid
from missions.visits import plan_visits

__all__ = ["PlanRequest", "PlanResult", "PlannedSortie", "Progress", "export_plan", "plan_patrol"]

Progress = Callable[[int, int, str], None]

# Crews that share a take-off site leave it one after the other: a climb to 100 m at 2.5 m/s takes 40 s.
STAGGER_S = 60.0
_SHARED_SITE_M = 30.0
_TRIES = 6
# Directions that are planned to the end: as many as keep a request under about a second of CPU. Of the benchmark's
# areas with the least gain over its baseline, 8 gave 1.0 % more on average at twice the CPU, all of them 1.9 % at three
# times.
_LANES_PLANNED = 240
_MOST_DIRECTIONS = 4


def _nothing(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class _Laid:
    """A part's work dealt to crews in one direction of sweep."""

    crews: list[list[Flown]]
    lost: int

    @property
    def cost(self) -> tuple[int, float]:
        """Pieces out of reach, then time in the air and between flights."""
        return self.lost, sum(sortie.duration_s + SWAP_S for crew in self.crews for sortie in crew)


def _laid(task: Task, part: Part, direction_rad: float) -> _Laid:
    lanes = lanes_in(task, part, direction_rad)
    if not len(lanes):
        return _Laid([], 0)
    entry = best_tour(link_costs(lanes, part.router, task.model))
    work = pieces_of(lanes, entry, part.strip, longest_piece_m(task.model))
    return _Laid(*_share_out(task, part, work))


def _best_laid(task: Task, part: Part) -> tuple[_Laid, tuple[Sweep, ...]]:
    """The best of the most promising directions, each planned to the end while that is quick."""
    weighed = sweeps(part.target, part.strip, task.model, task.request.objective)
    count = int(np.clip(_LANES_PLANNED // max(weighed[0].turns, 1), 1, _MOST_DIRECTIONS))
    if task.request.objective != "both" or task.stretches:
        count = 1
    laid = [_laid(task, part, sweep.direction_rad) for sweep in weighed[:count]]
    best = min(range(count), key=lambda index: laid[index].cost)
    return laid[best], (weighed[best], *weighed[:best], *weighed[best + 1 :])


def _homes(task: Task, part: Part, work: Pieces) -> Array:
    """Take-off points of one crew's work: the given ones that can be reached, or chosen ones."""
    if task.request.sites:
        given = task.frame.to_xy(task.request.sites)
        usable = given[part.ground.open_points(given)]
        if not len(usable):
            lon, lat = task.request.sites[0]
            raise MissionsError(
                f"site {lon:.6f},{lat:.6f} lies inside or too near a zone or obstacle: move it, at least "
                f"{task.request.clearances.zone_m:g} m from zones and "
                f"{task.request.clearances.obstacle_m:g} m from obstacles"
            )
        return usable
    ends = np.concatenate([work.start, work.end])
    chosen = propose_sites(shapely.convex_hull(shapely.multipoints(ends)).buffer(1.0), part.ground)
    return seeing_sites(chosen, work.start, work.end, part.router, part.ground)


def _flown(task: Task, part: Part, work: Pieces) -> tuple[list[Flown], int]:
    return fly(task, part, work, _homes(task, part, work))


def _share_out(task: Task, part: Part, work: Pieces) -> tuple[list[list[Flown]], int]:
    """The work of a part dealt to the crews in neighbouring runs, so that they finish together and stay apart."""
    shares = np.ones(min(task.request.crews, len(work)))
    best: tuple[float, list[list[Flown]], int] | None = None
    for _ in range(_TRIES if len(shares) > 1 else 1):
        runs = [_flown(task, part, work.part(a, b)) for a, b in balanced_parts(work, task.model, list(shares))]
        busy = np.array([sum(sortie.duration_s + SWAP_S for sortie in flown) for flown, _ in runs])
        if best is None or busy.max() < best[0]:
            best = float(busy.max()), [flown for flown, _ in runs], sum(lost for _, lost in runs)
        if len(busy) != len(shares) or busy.max() <= 1.02 * busy.mean():
            break
        shares = shares * (busy.mean() / np.maximum(busy, 1.0)) ** 0.7
    assert best is not None
    return best[1], best[2]


def _dealt(task: Task, flown: list[Flown], busy: Sequence[float]) -> list[list[Flown]]:
    """Sorties in tour order dealt to crews in neighbouring runs, so that they finish together.

    Args:
        task: The request, read.
        flown: In tour order.
        busy: Seconds that each crew has to do already.
    """
    total = sum(sortie.duration_s + SWAP_S for sortie in flown)
    level = (total + sum(busy)) / len(busy)
    runs: list[list[Flown]] = [[] for _ in busy]
    crew, spent = 0, list(busy)
    order = list(np.argsort(busy, kind="stable"))
    for sortie in flown:
        seconds = sortie.duration_s + SWAP_S
        while crew < len(order) - 1 and spent[order[crew]] + seconds / 2 > level:
            crew += 1
        runs[order[crew]].append(sortie)
        spent[order[crew]] += seconds
    return runs


def _timed(task: Task, crews: list[list[Flown]]) -> list[Timed]:
    """Take-off times: each crew's sorties one after the other with a battery swap between."""
    timed: list[Timed] = []
    first_homes: list[Array] = []
    for crew, flown in enumerate(crews):
        if not flown:
            continue
        shared = sum(float(np.hypot(*(home - flown[0].home))) < _SHARED_SITE_M for home in first_homes)
        first_homes.append(flown[0].home)
        at = task.start_utc + timedelta(seconds=STAGGER_S * shared)
        for sortie in flown:
            timed.append(Timed(at, f"C{crew + 1:02d}", sortie))
            at += timedelta(seconds=round(sortie.duration_s + SWAP_S))
    return timed


@dataclass(frozen=True)
class _Planned:
    timed: list[Timed]
    refused: list[Refusal]
    weighed: list[tuple[Sweep, ...]]


def _plan_crews(task: Task, parts: list[Part], tell: Progress) -> _Planned:
    """Equal crews that nobody has rostered."""
    crews: list[list[Flown]] = [[] for _ in range(task.request.crews)]
    weighed: list[tuple[Sweep, ...]] = []
    lost = 0
    for number, part in enumerate(parts):
        tell(number, len(parts) + 1, f"lanes and sorties, part {number + 1} of {len(parts)}")
        laid, tried = _best_laid(task, part)
        weighed.append(tried)
        lost += laid.lost
        order = np.argsort([sum(sortie.duration_s for sortie in flown) for flown in crews], kind="stable")
        for crew, flown in zip(order, laid.crews, strict=False):
            crews[int(crew)] += flown
    refused: list[Refusal] = []
    if task.shots:
        visits = plan_visits(task, list(task.shots))
        refused += visits.refused
        busy = [sum(sortie.duration_s + SWAP_S for sortie in flown) for flown in crews]
        for flown, more in zip(crews, _dealt(task, visits.flown, busy), strict=True):
            flown += more
    if lost:
        refused.append(
            Refusal(
                what=f"{lost} stretches of lane",
                why="no sortie reaches them and comes home with the reserve",
                remedy="give a take-off site nearer to them with --site LON,LAT",
            )
        )
    return _Planned(_timed(task, crews), refused, weighed)


def _room(task: Task, timed: Sequence[Timed], index: int, item: Timed, all_later: bool) -> dict[int, Timed] | None:
    """What changes in a crew's day with one of its sorties; None where shift, next sortie, batteries or zones forbid.

    Args:
        task: The request, read.
        timed: All sorties as they are.
        index: Which one.
        item: As it would be flown.
        all_later: Whether what the crew flies after it in the same shift is put off by as much.
    """
    crew, roster = item.rostered, task.roster
    late = max(item.end_utc - timed[index].end_utc, timedelta(0))
    mine = {number: other for number, other in enumerate(timed) if other.crew == item.crew}
    after = {number: other for number, other in mine.items() if other.start_utc > timed[index].start_utc}
    until = None
    if crew is not None:
        until = next((end for begin, end in crew.shifts if begin <= timed[index].start_utc < end), None)
    moved = {index: item}
    if roster is None or all_later:
        moved |= {
            number: replace(other, start_utc=other.start_utc + late)
            for number, other in after.items()
            if until is None or other.start_utc < until
        }
    if crew is None or roster is None:
        return moved
    day = sorted((mine | moved).values(), key=lambda other: other.start_utc)
    swap = timedelta(seconds=roster.swap_s)
    tight = any(one.end_utc + swap > other.start_utc for one, other in itertools.pairwise(day))
    if tight or not charged(task, crew, [(other.start_utc, other.end_utc) for other in day]):
        return None
    for one in moved.values():
        if not any(begin <= one.start_utc and one.end_utc <= end for begin, end in crew.shifts):
            return None
        if any(zone.active(one.start_utc, one.end_utc) for zone in task.timed):
            return None
    return moved


def _apart(task: Task, timed: list[Timed], levels: Levels) -> tuple[list[Timed], list[Refusal]]:
    """Own aircraft apart in space and time: who would meet waits or crosses higher, where its day has room."""
    homes = task.frame.to_lonlat([item.flown.home for item in timed])
    home_m = task.terrain.at(homes) if task.terrain is not None else np.zeros(len(homes))
    return kept_apart(timed, home_m, partial(_room, task), levels.of)


def _as_flown(task: Task, days: tuple[CrewDay, ...], timed: list[Timed]) -> tuple[CrewDay, ...]:
    """The crews' days with the waits and heights that keep them apart."""
    found = []
    for day in days:
        mine = [item for item in timed if item.crew == day.crew.name]
        shifts = [(max(begin, task.start_utc), end) for begin, end in day.crew.shifts if end > task.start_utc]
        busy_s = max((worked_s(shifts, item.end_utc) for item in mine), default=0.0)
        found.append(replace(day, busy_s=busy_s, flight_s=sum(item.flown.duration_s for item in mine)))
    return tuple(found)


def _ways_home(
    parts: list[Part], sorties: tuple[PlannedSortie, ...], levels: Levels
) -> tuple[tuple[PlannedSortie, ...], list[Refusal]]:
    """Marks sorties from whose way the straight flight home, a failing aircraft's, is closed; and a warning."""
    routers = {round(part.strip.height_agl_m, 1): part.router for part in parts}
    marked = []
    for sortie in sorties:
        router = routers.get(round(sortie.strip.height_agl_m, 1))
        points = sortie.route.points
        routers_on_way = [router] if router is not None else []
        routers_on_way += [levels.router(sortie.transit_agl_m)] if sortie.transit_agl_m is not None else []
        clear = not any(one.hidden(points[:1], points[:-1], points[1:]).any() for one in routers_on_way)
        marked.append(sortie if clear else replace(sortie, home_in_sight=False))
    bad = [sortie.short_id for sortie in marked if not sortie.home_in_sight]
    if not bad:
        return sorties, []
    warning = Refusal(
        what=f"warning: {', '.join(bad[:12])}{' and others' if len(bad) > 12 else ''}",
        why="from parts of them the straight flight home crosses a zone or an obstacle's clearance",
        remedy="on a lost link let them fly on (the route itself is clear), or give more sites with --site",
    )
    return tuple(marked), [warning]


def _visited(task: Task, sorties: tuple[PlannedSortie, ...]) -> Coverage:
    """Of a plan without an area: the share of its places' photographs that are planned."""
    share = round(sum(len(sortie.route.stops) for sortie in sorties) / max(len(task.shots), 1), 5)
    return Coverage(area_m2=0.0, seen_once=share, seen_twice=share)


def plan_patrol(request: PlanRequest, progress: Progress | None = None) -> PlanResult:
    """Plans sorties that see all of an area as far as rules, energy and reach allow.

    Args:
        request: What to plan.
        progress: Called with (done, total, what) as the work goes on.

    Raises:
        MissionsError: The request cannot be planned at all; what can be left out is in the result's `refused` instead.
    """
    tell = progress or _nothing
    tell(0, 1, "reading")
    if request.roster is not None:
        return _planned(read_task(request), tell)
    # Zones that close later in the day close nothing that is flown before: those of the plan's own hours are kept to.
    task = read_task(request, timedelta(0))
    while True:
        result = _planned(task, tell)
        end = max(sortie.start_utc + timedelta(seconds=sortie.duration_s) for sortie in result.sorties)
        if not any(zone.active(task.start_utc, end) for zone in task.later):
            return result
        task = read_task(replace(request, start_utc=task.start_utc), end - task.start_utc)


def _planned(task: Task, tell: Progress) -> PlanResult:
    request = task.request
    parts, refused = parts_of(task) if not task.area.is_empty else ([], [])
    refused = [*task.notes, *refused]
    days: tuple[CrewDay, ...] = ()
    if task.roster is not None:
        brigade = plan_brigade(task, task.roster, parts, tell)
        days = brigade.days
        planned = _Planned(brigade.timed, brigade.refused, [])
    else:
        planned = _plan_crews(task, parts, tell)
    if not planned.timed:
        reasons = [f"{item.what}: {item.why}; {item.remedy}" for item in planned.refused[:1]]
        nowhere = f"no battery of {task.profile.title} reaches it from any take-off site; give a nearer --site"
        raise MissionsError(f"nothing of {request.source} can be flown: {(reasons or [nowhere])[0]}")
    tell(len(parts), len(parts) + 1, "coverage")
    levels = Levels(task)
    timed, meeting = _apart(task, planned.timed, levels)
    sorties, hidden = _ways_home(parts, numbered(task, timed), levels)
    target = shapely.union_all([part.target for part in parts])
    flown = [(sortie.route, sortie.strip) for sortie in sorties]
    coverage = measure(target, flown) if parts else _visited(task, sorties)
    result = PlanResult(
        task=task,
        plan_id=request.patrol_id or new_ulid(),
        created_utc=datetime.now(UTC),
        sorties=sorties,
        coverage=coverage,
        refused=(*refused, *planned.refused, *(unseen(task, coverage) if parts else ()), *meeting, *hidden),
        sweeps=tuple(planned.weighed),
        days=_as_flown(task, days, timed),
    )
    tell(1, 1, "planned")
    return result
