"""The planner: area, rules and aircraft in; sorties that see all of it out. A plain function of its request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.airspace import photo_closed
from missions.coverage import Lanes, Strip, cover
from missions.direction import Sweep, sweeps
from missions.errors import MissionsError
from missions.export.folder import export_plan
from missions.frame import Array
from missions.plan import Refusal
from missions.request import PlanRequest, Task, read_task
from missions.result import PlannedSortie, PlanResult
from missions.route import Route, build_route
from missions.routing import Router
from missions.seen import measure
from missions.sites import propose_sites
from missions.sorties import Budget, Cut, Pieces, balanced_parts, longest_piece_m, pieces_of, split
from missions.tour import best_tour, link_costs
from missions.ulid import new_ulid
from missions.vector import polygons_of

__all__ = ["PlanRequest", "PlanResult", "PlannedSortie", "Progress", "export_plan", "plan_patrol"]

Progress = Callable[[int, int, str], None]

SWAP_S = 240.0
# Crews that share a take-off site leave it one after the other: a climb to 100 m at 2.5 m/s takes 40 s.
STAGGER_S = 60.0
_SHARED_SITE_M = 30.0
# Items of a sortie beside its lanes (home, take-off, speed, return); items of a lane (2 places, 2 camera, detours).
_FIXED_ITEMS = 8
_ITEMS_PER_LANE = 5
_TRIES = 6
# Directions that are planned to the end: as many as keep a request under about a second of CPU.
_LANES_PLANNED = 240
_MOST_DIRECTIONS = 4


@dataclass(frozen=True)
class _Part:
    """A part of the area flown at one height."""

    target: BaseGeometry
    closed: BaseGeometry
    strip: Strip
    router: Router
    ground: Router


def _nothing(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


def _strip_at(task: Task, height_agl_m: float) -> Strip:
    request = task.request
    return Strip.of(task.profile.camera, height_agl_m, request.front_overlap, request.side_overlap)


def _parts(task: Task) -> tuple[list[_Part], list[Refusal]]:
    """The area by height, without what may not be flown or photographed."""
    airspace, refused = task.airspace, []
    hidden = shapely.union_all([airspace.no_fly, airspace.no_photo])
    target = task.area.difference(hidden)
    lost_m2 = task.area.area - target.area
    if target.area < 1.0:
        raise MissionsError(
            f"zones of {task.request.zones} close all of {task.request.area}: nothing is left to photograph; "
            "check the zones, their times, or move the area"
        )
    if lost_m2 > 1.0:
        names = ", ".join(zone.name for zone in task.zones if zone.kind in ("no-fly", "no-photo"))
        refused.append(
            Refusal(
                what=f"{lost_m2:,.0f} m2 of the area",
                why=f"inside no-fly or no-photo zones ({names[:200]})",
                remedy="apply for a permission and leave the zone out, or patrol it on foot",
            )
        )
    parts = []
    for height_m, place in airspace.ceiling_parts(target, task.strip.height_agl_m):
        if height_m < 10.0:
            refused.append(
                Refusal(
                    what=f"{place.area:,.0f} m2 under a ceiling of {height_m:g} m",
                    why="too low to fly over safely",
                    remedy="ask for a higher ceiling, or patrol it on foot",
                )
            )
            continue
        closed = airspace.closed(height_m)
        ground = Router(polygons_of(shapely.union_all([closed, airspace.closed_on_ground()])))
        parts.append(_Part(place, closed, _strip_at(task, height_m), Router(polygons_of(closed)), ground))
    refused += _unknown(task)
    return parts, refused


def _unknown(task: Task) -> list[Refusal]:
    names = task.airspace.unknown_heights(task.area)
    if not names:
        return []
    blocks = task.request.clearances.unknown_blocks
    return [
        Refusal(
            what=f"surroundings of {', '.join(names)[:200]}" if blocks else f"warning: {', '.join(names)[:200]}",
            why="obstacles of unknown height" + ("" if blocks else ", flown over as asked"),
            remedy="write top_agl_m into the obstacles' file",
        )
    ]


def _lanes(task: Task, part: _Part, direction_rad: float) -> Lanes:
    hidden = photo_closed(task.airspace.no_photo, part.strip.across_m, part.strip.along_m, direction_rad)
    if hidden.is_empty:
        return cover(part.target, part.closed, part.strip, direction_rad)
    # The rim beside a no-photo place is seen by the outermost pixels only: no lane is added for it.
    wanted = part.target.difference(shapely.buffer(task.airspace.no_photo, part.strip.guard_m + 1.0))
    return cover(wanted, shapely.union_all([part.closed, hidden]), part.strip, direction_rad)


@dataclass(frozen=True)
class _Flown:
    """One sortie of a crew with its exact figures."""

    home: Array
    route: Route
    strip: Strip
    duration_s: float
    energy_wh: float


@dataclass(frozen=True)
class _Laid:
    """A part's work dealt to crews in one direction of sweep."""

    crews: list[list[_Flown]]
    lost: int

    @property
    def cost(self) -> tuple[int, float]:
        """Pieces out of reach, then time in the air and between flights."""
        return self.lost, sum(sortie.duration_s + SWAP_S for crew in self.crews for sortie in crew)


def _laid(task: Task, part: _Part, direction_rad: float) -> _Laid:
    lanes = _lanes(task, part, direction_rad)
    if not len(lanes):
        return _Laid([], 0)
    entry = best_tour(link_costs(lanes, part.router, task.model))
    work = pieces_of(lanes, entry, part.strip, longest_piece_m(task.model))
    return _Laid(*_share_out(task, part, work))


def _best_laid(task: Task, part: _Part) -> tuple[_Laid, tuple[Sweep, ...]]:
    """The best of the most promising directions, each planned to the end while that is quick."""
    weighed = sweeps(part.target, part.strip, task.model, task.request.objective)
    count = int(np.clip(_LANES_PLANNED // max(weighed[0].turns, 1), 1, _MOST_DIRECTIONS))
    if task.request.objective != "both":
        count = 1
    laid = [_laid(task, part, sweep.direction_rad) for sweep in weighed[:count]]
    best = min(range(count), key=lambda index: laid[index].cost)
    return laid[best], (weighed[best], *weighed[:best], *weighed[best + 1 :])


def _homes(task: Task, part: _Part, work: Pieces) -> Array:
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
    return propose_sites(shapely.convex_hull(shapely.multipoints(ends)).buffer(1.0), part.ground)


def _budget(task: Task, strip: Strip, scale: float = 1.0) -> Budget:
    return Budget(
        energy_wh=task.model.budget_wh(task.request.battery_health) * scale,
        climb_m=strip.height_agl_m,
        swap_s=SWAP_S,
        lanes=max(1, (task.profile.max_waypoints - _FIXED_ITEMS) // _ITEMS_PER_LANE),
    )


def _fly(task: Task, part: _Part, work: Pieces) -> tuple[list[_Flown], int]:
    """A crew's sorties over its work, and how many pieces no battery reaches.

    The splitter estimates corners; where the exact energy is over the battery, it is asked again with a smaller one.
    """
    homes = _homes(task, part, work)
    limit_wh = task.model.budget_wh(task.request.battery_health)
    scale = 1.0
    flown: list[_Flown] = []
    cuts: list[Cut] = []
    for _ in range(_TRIES):
        cuts = split(work, homes, part.router, task.model, _budget(task, part.strip, scale))
        flown = [_one(task, part, work, cut, homes) for cut in cuts]
        worst = max((sortie.energy_wh for sortie in flown), default=0.0)
        if worst <= limit_wh:
            break
        scale *= limit_wh / worst * 0.995
    flown = [sortie for sortie in flown if sortie.energy_wh <= limit_wh]
    return flown, len(work) - sum(cut.last - cut.first + 1 for cut in cuts)


def _one(task: Task, part: _Part, work: Pieces, cut: Cut, homes: Array) -> _Flown:
    resumes = cut.first > 0 and work.lane[cut.first - 1] == work.lane[cut.first]
    pieces = work.part(cut.first, cut.last)
    route = build_route(pieces, homes[cut.home], part.router, part.strip, resumes=bool(resumes))
    duration_s, energy_wh = route.time_and_energy(task.model)
    return _Flown(homes[cut.home], route, part.strip, duration_s, energy_wh)


def _share_out(task: Task, part: _Part, work: Pieces) -> tuple[list[list[_Flown]], int]:
    """The work of a part dealt to the crews in neighbouring runs, so that they finish together and stay apart."""
    shares = np.ones(min(task.request.crews, len(work)))
    best: tuple[float, list[list[_Flown]], int] | None = None
    for _ in range(_TRIES if len(shares) > 1 else 1):
        runs = [_fly(task, part, work.part(a, b)) for a, b in balanced_parts(work, task.model, list(shares))]
        busy = np.array([sum(sortie.duration_s + SWAP_S for sortie in flown) for flown, _ in runs])
        if best is None or busy.max() < best[0]:
            best = float(busy.max()), [flown for flown, _ in runs], sum(lost for _, lost in runs)
        if len(busy) != len(shares) or busy.max() <= 1.02 * busy.mean():
            break
        shares = shares * (busy.mean() / np.maximum(busy, 1.0)) ** 0.7
    assert best is not None
    return best[1], best[2]


def _numbered(task: Task, crews: list[list[_Flown]]) -> tuple[PlannedSortie, ...]:
    """Sorties in order of take-off, each crew's one after the other with a battery swap between."""
    timed: list[tuple[datetime, int, _Flown]] = []
    first_homes: list[Array] = []
    for crew, flown in enumerate(crews):
        if not flown:
            continue
        shared = sum(float(np.hypot(*(home - flown[0].home))) < _SHARED_SITE_M for home in first_homes)
        first_homes.append(flown[0].home)
        at = task.start_utc + timedelta(seconds=STAGGER_S * shared)
        for sortie in flown:
            timed.append((at, crew, sortie))
            at += timedelta(seconds=round(sortie.duration_s + SWAP_S))
    timed.sort(key=lambda item: item[:2])
    width = max(2, len(str(len(timed))))
    planned = []
    for number, (at, crew, sortie) in enumerate(timed, start=1):
        lon, lat = task.frame.to_lonlat(sortie.home)[0]
        home = (round(float(lon), 8), round(float(lat), 8), 0.0)
        planned.append(
            PlannedSortie(
                f"S{number:0{width}d}",
                f"C{crew + 1:02d}",
                home,
                sortie.route,
                sortie.strip,
                at,
                sortie.duration_s,
                sortie.energy_wh,
            )
        )
    return tuple(planned)


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
    task = read_task(request)
    parts, refused = _parts(task)
    crews: list[list[_Flown]] = [[] for _ in range(request.crews)]
    weighed = []
    lost = 0
    for number, part in enumerate(parts):
        tell(number, len(parts) + 1, f"lanes and sorties, part {number + 1} of {len(parts)}")
        laid, tried = _best_laid(task, part)
        weighed.append(tried)
        lost += laid.lost
        order = np.argsort([sum(sortie.duration_s for sortie in flown) for flown in crews], kind="stable")
        for crew, flown in zip(order, laid.crews, strict=False):
            crews[int(crew)] += flown
    tell(len(parts), len(parts) + 1, "coverage")
    sorties = _numbered(task, crews)
    if not sorties:
        raise MissionsError(
            f"no battery of {task.profile.title} reaches {request.area} from any take-off site: give a nearer --site"
        )
    if lost:
        refused.append(
            Refusal(
                what=f"{lost} stretches of lane",
                why="no sortie reaches them and comes home with the reserve",
                remedy="give a take-off site nearer to them with --site LON,LAT",
            )
        )
    seen = measure(shapely.union_all([part.target for part in parts]), [(s.route, s.strip) for s in sorties])
    tell(1, 1, "planned")
    return PlanResult(
        task, request.patrol_id or new_ulid(), datetime.now(UTC), sorties, seen, tuple(refused), tuple(weighed)
    )
