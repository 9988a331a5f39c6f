"""The area cut by the height that may be flown there, less what may not be flown or photographed."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely.geometry.base import BaseGeometry

from missions.airspace import photo_closed
from missions.climbing import run_up_m
from missions.coverage import Lanes, Strip, cover, joined
from missions.errors import MissionsError
from missions.follow import SAG_M
from missions.plan import Coverage, Refusal
from missions.request import Task
from missions.routing import Router
from missions.vector import polygons_of

LOWEST_CEILING_M = 10.0
# The share that a plan may leave unseen without a word: the bar of coverage.
_UNSEEN = 0.001


@dataclass(frozen=True)
class Part:
    """A part of the area flown at one height; metres.

    Attributes:
        target: What must be seen.
        closed: Where no leg may be at this height.
        strip: Lanes at this height.
        router: Ways around `closed`.
        ground: Where nobody may take off.
    """

    target: BaseGeometry
    closed: BaseGeometry
    strip: Strip
    router: Router
    ground: Router


def _part(task: Task, place: BaseGeometry, height_agl_m: float) -> Part:
    request = task.request
    # Following the ground sags below the nominal height: obstacles are judged from there.
    closed = task.airspace.closed(height_agl_m, SAG_M if task.terrain is not None else 0.0)
    grounded = shapely.union_all([closed, task.airspace.closed_on_ground()])
    strip = Strip.of(task.profile.camera, height_agl_m, request.front_overlap, request.side_overlap)
    return Part(place, closed, strip, Router(polygons_of(closed)), Router(polygons_of(grounded)))


def parts_of(task: Task) -> tuple[list[Part], list[Refusal]]:
    """The area by height, lowest first, and what of it is left out.

    Raises:
        MissionsError: Zones close all of it.
    """
    airspace, refused = task.airspace, []
    target = task.area.difference(shapely.union_all([airspace.no_fly, airspace.no_photo]))
    lost_m2 = task.area.area - target.area
    names = ", ".join(zone.name for zone in task.zones if zone.kind in ("no-fly", "no-photo"))
    if target.area < 1.0:
        raise MissionsError(
            f"zones of {task.request.zones} ({names[:200]}) close all of {task.request.source}: nothing is left to "
            "photograph; check the zones, their times, or move the area"
        )
    if airspace.permitted is not None and not target.intersects(airspace.permitted):
        named = ", ".join(zone.name for zone in task.zones if zone.kind == "permitted")
        raise MissionsError(
            f"all of {task.request.source} lies outside the permitted zones ({named[:200]}) of {task.request.zones}: "
            "apply for a volume that holds it, or move the area"
        )
    if lost_m2 > 1.0:
        refused.append(
            Refusal(
                what=f"{lost_m2:,.0f} m2 of the area",
                why=f"inside no-fly or no-photo zones ({names[:200]})",
                remedy="apply for a permission and leave the zone out, or patrol it on foot",
            )
        )
    parts = []
    for height_m, place in airspace.ceiling_parts(target, task.strip.height_agl_m):
        if height_m >= LOWEST_CEILING_M:
            parts.append(_part(task, place, height_m))
            continue
        refused.append(
            Refusal(
                what=f"{place.area:,.0f} m2 under a ceiling of {height_m:g} m",
                why="too low to fly over safely",
                remedy="ask for a higher ceiling, or patrol it on foot",
            )
        )
    if not parts:
        lowest = ", ".join(f"{zone.name} ({zone.max_agl_m:g} m)" for zone in task.zones if zone.kind == "ceiling")
        raise MissionsError(
            f"all of {task.request.source} lies under ceilings too low to fly over safely ({lowest[:200]}; at least "
            f"{LOWEST_CEILING_M:g} m): ask for a higher ceiling, or patrol it on foot"
        )
    return parts, refused + _unknown(task) + _on_course(task)


def unseen(task: Task, coverage: Coverage) -> list[Refusal]:
    """What of the area is in no photograph though nothing else names it: beside what may not be flown or shown."""
    share = 1.0 - coverage.seen_once
    if share <= _UNSEEN or not coverage.area_m2:
        return []
    airspace, why = task.airspace, []
    if airspace.permitted is not None and task.area.difference(airspace.permitted).area > 1.0:
        why.append("outside the permitted zones")
    if not airspace.no_photo.is_empty:
        why.append("beside no-photo places")
    if airspace.obstacles_at(task.strip.height_agl_m):
        why.append("within obstacles' clearances")
    reasons = ", ".join(why) or "no lane that may be flown passes near enough, or no sortie flies it"
    return [
        Refusal(
            what=f"{share * coverage.area_m2:,.0f} m2 of the area ({share:.1%})",
            why=f"in no photograph: {reasons}",
            remedy="widen the permitted volume, or look at it on foot",
        )
    ]


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


def _on_course(task: Task) -> list[Refusal]:
    """What must be looked at before an aircraft climbs on course where nobody has said what stands there."""
    climb_out_m = task.request.climb_out_m
    if climb_out_m is None or task.obstacles:
        return []
    profile, clear_m = task.profile, task.request.clearances.obstacle_m
    slowest_mps = min(profile.climb_mps, profile.descent_mps)
    far_m = run_up_m(task.strip.height_agl_m, climb_out_m, profile.cruise_mps, slowest_mps)
    return [
        Refusal(
            what=f"warning: climb and descent on course from {climb_out_m:g} m",
            why="no obstacles are given",
            remedy=f"see at every take-off site that nothing within {far_m:.0f} m stands higher than "
            f"{max(climb_out_m - clear_m, 0.0):g} m, or give --obstacles, or leave out --climb-out-m",
        )
    ]


def lanes_in(task: Task, part: Part, direction_rad: float) -> Lanes:
    """Lanes that see the part, none of whose photographs shows a no-photo place.

    They run in one direction, except along corridors, whose stretches are each swept along themselves.
    """
    if not task.stretches:
        return lanes_over(task, part, part.target, direction_rad)
    pieces = [(stretch.place.intersection(part.target), stretch.direction_rad) for stretch in task.stretches]
    return joined([lanes_over(task, part, piece, along) for piece, along in pieces if piece.area > 1.0])


def lanes_over(task: Task, part: Part, target: BaseGeometry, direction_rad: float) -> Lanes:
    """Lanes in one direction that see a target within the part."""
    hidden = photo_closed(task.airspace.no_photo, part.strip.across_m, part.strip.along_m, direction_rad)
    if hidden.is_empty:
        return cover(target, part.closed, part.strip, direction_rad)
    # The rim beside a no-photo place is seen by the outermost pixels only: no lane is added for it.
    wanted = target.difference(shapely.buffer(task.airspace.no_photo, part.strip.guard_m + 1.0))
    return cover(wanted, shapely.union_all([part.closed, hidden]), part.strip, direction_rad)
