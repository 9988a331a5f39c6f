"""The independent verifier: reads only exported files and says whether they keep the rules and see the area.

It shares no geometry with the planner: another projection (azimuthal equidistant), photographs one by one where the
mission items shoot them, footprints at the height above the ground beneath each, legs as the vehicle flies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.area import read_area
from missions.export.wpl import read_waypoints
from missions.plan import Plan, read_plan
from missions.terrain import Terrain
from missions.verifier.air import Rules, heights, returns
from missions.verifier.fleet import conflicts
from missions.verifier.flight import Flight, Ground, Plane, fly
from missions.verifier.seen import Shots, sampled, shots, shown, strips_seen
from missions.zones import Zone, read_obstacles, read_zones


@dataclass(frozen=True)
class Verdict:
    """What the verifier found.

    Attributes:
        area_m2: The area less what zones close.
        seen_once: Share of it seen in at least one strip.
        seen_as_due: Share seen in two strips (one, within half a footprint of an edge).
        closed_m: Metres of legs inside no-fly zones or obstacle clearances, or outside the permitted area.
        too_high_m: Metres of legs above a ceiling or above 120 m over ground.
        shown_m2: No-photo places inside a photograph.
        legs_m: Metres of legs looked at.
        path_m: From the first photograph to the last of each sortie, links included.
        photos: Photographs that the missions shoot.
        faults: One line each, worst first.
        return_m: Metres of legs from which the straight flight home is not clear of zones and obstacles.
        meeting_s: Seconds that own aircraft of different crews are nearer than 30 m beside and 10 m above one another.
        warnings: One line for each sortie with such a way home, and each such meeting.
    """

    area_m2: float
    seen_once: float
    seen_as_due: float
    closed_m: float
    too_high_m: float
    shown_m2: float
    legs_m: float
    path_m: float
    photos: int
    faults: tuple[str, ...]
    return_m: float = 0.0
    meeting_s: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Nothing forbidden, and 99.9 % seen as it is due."""
        return not self.faults and self.seen_as_due >= 0.999


def _views(flights: Sequence[Flight], plane: Plane) -> tuple[int, list[str]]:
    """Photographs from standstills that the missions take, and what of the plan's list they do not."""
    faults = []
    taken = 0
    for flight in flights:
        wanted = getattr(flight.sortie, "views", None) or []
        taken += len(flight.views)
        if len(wanted) != len(flight.views):
            faults.append(f"{flight.sortie.id}: {len(flight.views)} photographs of {len(wanted)} that plan.json lists")
            continue
        for view, found in zip(wanted, flight.views, strict=True):
            place = plane.xy(np.array([[view["lon"], view["lat"]]]))[0]
            off_m = float(np.hypot(*(place - found[:2]))) + abs(view["height_rel_m"] - float(found[2]))
            turned = abs((view["yaw_deg"] - float(found[3]) + 180) % 360 - 180)
            if off_m > 1.0 or max(turned, abs(view["pitch_deg"] - float(found[4]))) > 1.0:
                faults.append(f"{flight.sortie.id}: {view['what']} is taken {off_m:.1f} m or {turned:.0f} degrees off")
    return taken, faults


def _coverage(
    place: BaseGeometry, rules: Rules, flights: Sequence[Flight], plan: Plan, shot: Shots, sampling: tuple[int, int]
) -> tuple[float, float, float]:
    """Area less what zones close (m2), and its shares seen in a strip and seen as is due."""
    hidden = [geometry for zone, geometry in _active(rules, flights).values() if zone.kind in ("no-fly", "no-photo")]
    target = place.difference(shapely.union_all(hidden))
    points = sampled(target, *sampling)
    count = strips_seen(shot, points)
    edge_m = min(plan.camera.footprint_m(plan.height_agl_m)) / 2
    deep = shapely.distance(target.boundary, shapely.points(points)) > edge_m
    return float(target.area), float((count >= 1).mean()), float((count >= np.where(deep, 2, 1)).mean())


def _active(rules: Rules, flights: Sequence[Flight]) -> dict[int, tuple[Zone, BaseGeometry]]:
    return {id(geometry): (zone, geometry) for flight in flights for zone, geometry in rules.active(flight)}


def verify_plan(
    plan_dir: Path,
    area: Path | None,
    zones: Path | None = None,
    obstacles: Path | None = None,
    dem: Path | None = None,
    *,
    clearance_m: float = 20.0,
    samples: int = 60_000,
    seed: int = 1,
) -> Verdict:
    """Checks a plan's folder against the area and the rules it was made for.

    Args:
        plan_dir: Folder with `plan.json` and the sorties' `.waypoints`.
        area: The area's file; None: no area was to be seen, only places.
        zones: Zones, or None.
        obstacles: Obstacles, or None.
        dem: Ground heights, or None for flat ground.
        clearance_m: Least distance from obstacles.
        samples: Points at which coverage is looked at.
        seed: Of the samples.

    Raises:
        MissionsError: A file is missing or broken.
    """
    plan = read_plan(plan_dir)
    place = read_area(area) if area is not None else None
    homes = np.array([sortie.home for sortie in plan.sorties])
    middle = (place.centroid.x, place.centroid.y) if place is not None else homes[:, :2].mean(axis=0)
    plane = Plane(float(middle[0]), float(middle[1]))
    rules = Rules(read_zones(zones), read_obstacles(obstacles), plane, clearance_m)
    flights = [fly(read_waypoints(plan_dir / sortie.files.waypoints), plane, sortie) for sortie in plan.sorties]
    ground = Ground(Terrain.open(dem) if dem is not None else None, plane)
    closed = [fault for flight in flights for fault in rules.closed_m(flight, ground)]
    high = [fault for flight in flights for fault in heights(flight, rules, ground)]
    shot = shots(flights, plan, ground)
    seen = (0.0, 1.0, 1.0)
    if place is not None:
        seen = _coverage(plane.geometry(place), rules, flights, plan, shot, (samples, seed))
    secret = [geometry for zone, geometry in _active(rules, flights).values() if zone.kind == "no-photo"]
    shown_m2 = shown(shot, secret)
    faults = [text for _, text in sorted(closed + high, reverse=True)]
    if shown_m2 > 1.0:
        faults.append(f"{shown_m2:.0f} m2 of no-photo places are inside photographs")
    views, missed = _views(flights, plane)
    back = [found for flight in flights if (found := returns(flight, rules, ground)) is not None]
    meets = conflicts(flights, homes[:, 2])
    return Verdict(
        area_m2=seen[0],
        seen_once=seen[1],
        seen_as_due=seen[2],
        closed_m=sum(metres for metres, _ in closed),
        too_high_m=sum(metres for metres, _ in high),
        shown_m2=shown_m2,
        legs_m=sum(float(np.hypot(*np.diff(flight.points[:, :2], axis=0).T).sum()) for flight in flights),
        path_m=sum(flight.path_m for flight in flights),
        photos=len(shot.place) + views,
        faults=tuple(faults + missed),
        return_m=sum(metres for metres, _ in back),
        meeting_s=sum(seconds for seconds, _ in meets),
        warnings=tuple(text for _, text in sorted(back + meets, reverse=True)),
    )
