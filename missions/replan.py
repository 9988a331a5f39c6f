"""A plan changed in mid-day: what is flown stays, what is still good stays, only the rest is planned again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from missions.application import Application, Flight, closed_in, reason_of, teams_of
from missions.day import Day
from missions.errors import MissionsError
from missions.export.application import write_application
from missions.export.folder import put_in_place, write_routes, write_sortie
from missions.export.kml import write_kml
from missions.flying import Flown, fly
from missions.follow import follow
from missions.frame import Array
from missions.layers import transits
from missions.part import Part
from missions.plan import Coverage, LonLat, Plan, Refusal, Sortie, write_plan
from missions.request import PlanRequest, read_task
from missions.reread import Reread, reread
from missions.result import PlannedSortie, PlanResult
from missions.route import build_route
from missions.rules import Operation
from missions.seen import measure
from missions.sorties import Pieces, longest_piece_m
from missions.views import Shot
from missions.visits import plan_visits

# Photographs over an urgent point: one above it and two before and after, at the plan's own height.
_URGENT_PHOTOS = 5
_TOUCHING_M = 0.05
# No aircraft here flies farther from its take-off site.
_FARTHEST_M = 20_000.0


@dataclass(frozen=True)
class Replan:
    """What a re-plan did.

    Attributes:
        plan: The new plan, as written.
        kept: Short ids of sorties that did not change (their times may have).
        dropped: Short ids that are no longer flown as they were.
        added: Short ids of new ones.
    """

    plan: Plan
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    added: tuple[str, ...]


def _height_m(sortie: Reread, plan: Plan) -> float:
    return float(getattr(sortie.sortie, "height_agl_m", plan.height_agl_m))


def _good(day: Day, sortie: Reread) -> bool:
    """Whether a sortie may still be flown as it is: nothing closed on its way, and the battery lasts in this wind."""
    points = sortie.route.points
    legs = np.arange(len(points) - 1)
    lanes_m = _height_m(sortie, day.plan)
    transit_m = float(getattr(sortie.sortie, "transit_agl_m", lanes_m))
    between = np.zeros(len(legs), dtype=bool)
    if transit_m != lanes_m:
        first, last = transits(sortie.route)
        between = (legs < first) | (legs >= last)
    for height_m, flown in ((lanes_m, ~between), (transit_m, between)):
        if flown.any() and not day.part(height_m).router.clear(points[:-1][flown], points[1:][flown]).all():
            return False
    _, energy_wh = sortie.route.time_and_energy(day.task.model)
    return energy_wh <= day.task.model.budget_wh(day.task.request.battery_health) * 1.001


def _pieces(day: Day, sortie: Reread) -> Pieces:
    """What a sortie photographs, without what is closed now, as pieces that a battery can be cut at."""
    part = day.part(_height_m(sortie, day.plan))
    barred = shapely.buffer(part.closed, 1.0)
    step = max(1, int(longest_piece_m(day.task.model) / part.strip.trigger_m)) * part.strip.trigger_m
    starts: list[Array] = []
    ends: list[Array] = []
    lanes: list[int] = []
    lane = -1
    for index in np.flatnonzero(sortie.route.shooting):
        line = shapely.linestrings(sortie.route.points[index : index + 2]).difference(barred)
        for span in shapely.get_parts(line):
            if span.length < 1.0:
                continue
            a, b = shapely.get_coordinates(span)[[0, -1]]
            going_on = bool(starts) and float(np.hypot(*(ends[-1] - a))) < _TOUCHING_M
            lane += not going_on
            marks = np.append(np.arange(0.0, max(span.length - part.strip.trigger_m, 1e-9), step), span.length)
            points = a + np.outer(marks / span.length, b - a)
            starts += list(points[:-1])
            ends += list(points[1:])
            lanes += [lane] * (len(points) - 1)
    shape = (len(starts), 2)
    return Pieces(np.array(starts).reshape(shape), np.array(ends).reshape(shape), np.array(lanes, dtype=np.int64))


def _again(day: Day, sortie: Reread) -> None:
    """Plans a sortie's lanes again, in as many sorties as they now need; the first takes its place in time."""
    entry = day.entries.pop(sortie.sortie.short_id)
    if sortie.route.stops:
        _visit_again(day, sortie, entry)
        return
    part = day.part(_height_m(sortie, day.plan))
    work = _pieces(day, sortie)
    closed_m = sum(sortie.route.runs_m()) - float(np.hypot(*(work.end - work.start).T).sum())
    if closed_m > 1.0:
        day.refused.append(
            Refusal(
                what=f"{closed_m:,.0f} m of lanes of {entry.id}",
                why="closed by zones or obstacles as they are now",
                remedy="fly them when it opens, or apply for a permission",
            )
        )
    home = sortie.route.points[0]
    lost = len(work)
    flown: list[Flown] = []
    if len(work) and part.ground.open_points(home[None, :])[0]:
        flown, lost = fly(day.task, part, work, home[None, :])
    for number, one in enumerate(flown):
        at = entry.start_utc if number == 0 else day.free_at(entry.crew)
        day.add(one, entry.crew, at)
    if lost:
        day.refused.append(
            Refusal(
                what=f"{lost} stretches of {entry.id}",
                why="out of reach of their take-off site as things are now",
                remedy="plan them from another site with --site",
            )
        )


def _visit_again(day: Day, sortie: Reread, entry: Sortie) -> None:
    """Plans a sortie's places again from its take-off site; those that may not be seen any more are named."""
    task, route = day.task, sortie.route
    listed = getattr(entry, "views", None) or []
    names = [str(view.get("what", "")) for view in listed] + [""] * len(route.stops)
    at = route.points[[stop.index for stop in route.stops]]
    ground = np.zeros(len(at) + 1)
    if task.terrain is not None:
        ground = task.terrain.at(task.frame.to_lonlat(np.concatenate([at, route.points[:1]])))
    shots = [
        Shot(
            place=name.rpartition(" ")[0] or f"{entry.short_id} {number}",
            what=name.rpartition(" ")[2] or "view",
            xy=(float(x), float(y)),
            height_agl_m=float(route.height_rel_m[stop.index] + ground[-1] - ground[number]),
            yaw_deg=stop.yaw_deg,
            pitch_deg=stop.pitch_deg,
            fixed=True,
        )
        for number, (stop, name, (x, y)) in enumerate(zip(route.stops, names, at, strict=False))
    ]
    visits = plan_visits(task, shots, homes=route.points[:1])
    for number, one in enumerate(visits.flown):
        day.add(one, entry.crew, entry.start_utc if number == 0 else day.free_at(entry.crew))
    day.refused += visits.refused


def _urgent(day: Day, lonlat: LonLat, crews: Collection[str]) -> None:
    """A sortie over one point, by the crew that is free first; it flies it after all that it has already."""
    part = day.part(day.plan.height_agl_m)
    place = day.task.frame.to_xy([lonlat])[0]
    outside = not part.router.open_points(place[None, :])[0]
    if outside:
        part = day.applied_for()
        if not part.router.open_points(place[None, :])[0]:
            raise MissionsError(
                f"urgent point {lonlat[0]:.6f},{lonlat[1]:.6f} lies in or too near a no-fly zone, a lower ceiling or "
                "an obstacle: ask whoever closed it, or send somebody on foot"
            )
    homes = {tuple(sortie.route.points[0]) for sortie in day.old.values()}
    near = sorted(homes, key=lambda home: float(np.hypot(*(np.array(home) - place))))
    for home in near[:5]:
        flown = _over(day, part, place, np.array(home))
        if flown is not None:
            crew = min(crews, key=lambda name: (day.free_at(name), name))
            name = day.add(flown, crew, day.free_at(crew))
            if outside:
                day.outside[name] = lonlat
            return
    raise MissionsError(
        f"urgent point {lonlat[0]:.6f},{lonlat[1]:.6f} is out of reach of every take-off site: "
        "plan it with --site nearby"
    )


def _over(day: Day, part: Part, place: Array, home: Array) -> Flown | None:
    half = np.array([(_URGENT_PHOTOS - 1) / 2 * part.strip.trigger_m, 0.0])
    for shift in (half, half[::-1]):
        if not part.router.clear((place - shift)[None, :], (place + shift)[None, :])[0]:
            continue
        pieces = Pieces((place - shift)[None, :], (place + shift)[None, :], np.zeros(1, dtype=np.int64))
        if part.router.path(home, pieces.start[0]) is None:
            continue
        route = build_route(pieces, home, part.router, part.strip)
        if day.task.terrain is not None:
            route = follow(route, day.task.frame, day.task.terrain)
        duration_s, energy_wh = route.time_and_energy(day.task.model)
        if energy_wh <= day.task.model.budget_wh(day.task.request.battery_health):
            return Flown(home, route, part.strip, duration_s, energy_wh)
    return None


def _hand_over(day: Day, lost: Collection[str], flown: Collection[str], crews: list[str]) -> None:
    """Sorties of crews that are out go, in their order, to whoever is free first."""
    orphans = [s for s in day.entries.values() if s.crew in lost and s.short_id not in flown]
    for sortie in sorted(orphans, key=lambda s: s.start_utc):
        crew = min(crews, key=lambda name: (day.free_at(name), name))
        at = day.free_at(crew)
        day.entries[sortie.short_id] = sortie.model_copy(update={"crew": crew, "start_utc": at})


def _result(day: Day) -> PlanResult:
    planned = []
    for name, (flown, crew, at) in day.new.items():
        lonlat = day.task.frame.to_lonlat(flown.home[None, :])
        height = float(day.task.terrain.at(lonlat)[0]) if day.task.terrain is not None else 0.0
        home = (round(float(lonlat[0, 0]), 8), round(float(lonlat[0, 1]), 8), round(height, 2))
        planned.append(PlannedSortie(name, crew, home, flown.route, flown.strip, at, flown.duration_s, flown.energy_wh))
    return PlanResult(
        day.task, day.plan.plan_id, day.plan.created_utc, tuple(planned), day.plan.coverage, tuple(day.refused), ()
    )


def _changed(day: Day) -> list[Flight]:
    """Sorties that are new or fly at another time than before, on the clock."""
    flights = [
        Flight.of(day.task, name, crew, flown.route, at, flown.duration_s)
        for name, (flown, crew, at) in day.new.items()
    ]
    moved = [(day.old[name], entry) for name, entry in day.entries.items()]
    flights += [
        Flight.of(day.task, old.sortie.short_id, entry.crew, old.route, entry.start_utc, entry.duration_s)
        for old, entry in moved
        if entry.start_utc != old.sortie.start_utc
    ]
    return sorted(flights, key=lambda flight: (flight.begin_utc, flight.short_id))


def _check_approved(day: Day, operation: Operation | None, application: Path) -> None:
    """Refuses what neither the approvals at hand nor the permitted volume cover, and writes the application for it."""
    approvals = operation.approvals if operation is not None else ()
    lacking = [
        (flight, "area" if flight.short_id in day.outside else flight.lacks(approvals)) for flight in _changed(day)
    ]
    wanting = [(flight, lack) for flight, lack in lacking if lack is not None]
    if not wanting:
        return
    held = [entry.model_extra or {} for entry in day.plan.sorties]
    new = Application(
        plan_id=day.plan.plan_id,
        profile=day.task.profile,
        flights=tuple(flight for flight, _ in wanting),
        operation=operation or Operation(),
        people=teams_of([(entry.crew, more) for entry, more in zip(day.plan.sorties, held, strict=True)], wanting),
        avoided=closed_in(day.task, [flight for flight, _ in wanting]),
        reasons=tuple(reason_of(flight, lack, approvals, day.outside) for flight, lack in wanting),
    )
    write_application(new, application)
    flight, lack = wanting[0]
    windows = ", ".join(f"{item.number} ({item.begin_utc:%d %H:%M}-{item.end_utc:%H:%M} UTC)" for item in approvals)
    where = f" ({windows})" if windows else ", outside the permitted zones"
    raise MissionsError(
        f"the re-plan would fly {flight.short_id} from {flight.begin_utc:%d %H:%M} to {flight.end_utc:%H:%M} UTC, "
        f"outside every approval{where} by its {lack}: refused, the plan stays as it is; the new application for "
        f"{len(wanting)} sorties is written to {application}: file it (761 art. 26: by 12:00 the day before), "
        "or fly less"
    )


def _coverage(day: Day) -> Coverage:
    """What the plan sees as it is now; of a plan without an area, what it saw."""
    task = day.task
    target = task.area.difference(shapely.union_all([task.airspace.no_fly, task.airspace.no_photo]))
    if target.area < 1.0 or not day.plan.coverage.area_m2:
        return day.plan.coverage
    kept = [day.old[name] for name in day.entries]
    flown = [(one.route, day.part(_height_m(one, day.plan)).strip) for one in kept]
    return measure(target, flown + [(new.route, new.strip) for new, _, _ in day.new.values()])


def _write(day: Day, plan_dir: Path, out_dir: Path) -> Plan:
    result = _result(day)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out_dir.name}.", dir=out_dir.parent) as name:
        folder = Path(name)
        (folder / "sorties").mkdir()
        for entry in day.entries.values():
            for file in filter(None, (entry.files.plan, entry.files.waypoints, entry.files.kmz)):
                shutil.copy2(plan_dir / file, folder / file)
        added = [write_sortie(result, sortie, folder) for sortie in result.sorties]
        sorties = sorted([*day.entries.values(), *added], key=lambda s: (s.start_utc, s.crew))
        refused = (*day.plan.refused, *day.refused)
        update = {"sorties": tuple(sorties), "refused": refused, "coverage": _coverage(day)}
        plan = day.plan.model_copy(update=update)
        routes = [(entry.id, entry.crew, day.old[entry.short_id].route) for entry in day.entries.values()]
        routes += [(f"{result.plan_id}/{s.short_id}", s.crew, s.route) for s in result.sorties]
        write_routes(routes, day.task.frame, folder / "routes.geojson")
        ground = {entry.id: entry.home[2] for entry in sorties}
        lines = [(name, crew, ground[name], route) for name, crew, route in routes]
        write_kml(lines, day.task.frame, folder / "routes.kml")
        write_plan(plan, folder / "plan.json")
        put_in_place(folder, out_dir)
    return plan


def _crews_left(day: Day, plan_dir: Path, flown: Collection[str], lost_crews: Collection[str]) -> list[str]:
    """Crews that can still fly, once what the request names is known to be of this plan and this area.

    Raises:
        MissionsError: It names a sortie or a crew that the plan has not, no crew is left, or the area lies elsewhere.
    """
    crews = {sortie.crew for sortie in day.entries.values()}
    for what, named, known in (("sortie", flown, set(day.old)), ("crew", lost_crews, crews)):
        if strange := sorted(set(named) - known):
            raise MissionsError(f"{plan_dir} has no {what} {', '.join(strange)}: it has {', '.join(sorted(known))}")
    if not crews - set(lost_crews):
        raise MissionsError("every crew of the plan is out: plan again with other crews")
    homes = shapely.multipoints(np.array([sortie.route.points[0] for sortie in day.old.values()]))
    away_m = homes.distance(day.task.area) if not day.task.area.is_empty else 0.0
    if not away_m < _FARTHEST_M:
        raise MissionsError(
            f"{plan_dir} takes off {away_m / 1000:,.0f} km from {day.task.request.source}: give the area of that plan"
        )
    return sorted(crews - set(lost_crews))


def replan(
    plan_dir: Path,
    request: PlanRequest,
    out_dir: Path,
    *,
    flown: Collection[str] = (),
    urgent: Collection[LonLat] = (),
    lost_crews: Collection[str] = (),
    operation: Operation | None = None,
    application: Path | None = None,
) -> Replan:
    """Changes a plan as little as possible for what has changed since.

    A sortie that still keeps every rule and whose battery still lasts stays as it is, files and all. The others' lanes
    are planned again from their own take-off site; lanes inside what is closed now are left out and named.

    Args:
        plan_dir: The plan so far.
        request: As it was planned, with what is new: zones, obstacles, wind, battery health.
        out_dir: Where the new plan goes; may be `plan_dir`.
        flown: Short ids (`S01`) already flown; they are never touched.
        urgent: Points (lon, lat) to photograph soon.
        lost_crews: Crews (`C01`) that are out.
        operation: Where it holds approvals, what is new or moved must lie within one of them: its window, and its
            corners and height where it names them. Nothing leaves the request's permitted zones.
        application: Where the application for what is not approved goes; None: beside `out_dir`.

    Raises:
        MissionsError: An urgent point may not be flown over, no crew is left, or what is new is not approved: then
            `out_dir` is not touched, and the application that would cover it is written.
    """
    task = read_task(request)
    plan, _, sorties = reread(plan_dir, task.frame)
    if plan.aircraft != task.profile.name:
        raise MissionsError(
            f"{plan_dir} was planned for {plan.aircraft}, not {task.profile.name}: give that --aircraft"
        )
    day = Day(task, plan, sorties)
    crews = _crews_left(day, plan_dir, flown, lost_crews)
    _hand_over(day, lost_crews, flown, crews)
    dropped = [name for name, sortie in day.old.items() if name not in flown and not _good(day, sortie)]
    for name in dropped:
        _again(day, day.old[name])
    for point in urgent:
        _urgent(day, point, crews)
    if not day.entries and not day.new:
        why = "; ".join(f"{item.what}: {item.why}" for item in day.refused[:3])
        raise MissionsError(
            f"nothing of {plan_dir} is left to fly ({why}): keep the plan until it opens, or plan again"
        )
    _check_approved(day, operation, application or out_dir.with_name(f"{out_dir.name}-application.pdf"))
    added = tuple(day.new)
    written = _write(day, plan_dir, out_dir)
    return Replan(written, tuple(day.entries), tuple(dropped), added)
