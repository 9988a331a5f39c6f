"""The independent verifier: reads only exported files and says whether they keep the rules and see the area.

It shares no geometry with the planner: another projection (azimuthal equidistant), photographs one by one where the
mission items shoot them, footprints at the height above the ground beneath each, legs as the vehicle flies them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from missions.area import read_area
from missions.export.wpl import read_waypoints
from missions.frame import Array
from missions.plan import MissionItem, Plan, Sortie, read_plan
from missions.terrain import Terrain
from missions.zones import Obstacle, Zone, read_obstacles, read_zones

LEGAL_AGL_M = 120.0
# Heights above ground: the surface model's own error; the check of 120 m must not fail on rounding.
_HEIGHT_SLACK_M = 0.5
_SAMPLE_M = 15.0


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

    @property
    def good(self) -> bool:
        """Nothing forbidden, and 99.9 % seen as it is due."""
        return not self.faults and self.seen_as_due >= 0.999


@dataclass(frozen=True)
class _Flight:
    """One sortie as its mission file says: legs and photographs, metres.

    Attributes:
        sortie: Its entry in plan.json.
        points: (n, 3) east, north, height above home.
        photos: (m, 3) where it shoots.
        course: (m,) direction of flight there, radians from east.
        line: (m,) number of the stretch of shooting.
    """

    sortie: Sortie
    points: Array
    photos: Array
    course: Array
    line: NDArray[np.int64]

    @property
    def path_m(self) -> float:
        """From the first photograph to the last, along the legs between the waypoints that shoot."""
        if len(self.photos) == 0:
            return 0.0
        shot = [_progress(self.points, place) for place in (self.photos[0], self.photos[-1])]
        return shot[1] - shot[0]


def _progress(points: Array, place: Array) -> float:
    """Distance flown when a place is passed; first passing of the first place, last of the last is near enough."""
    done, best = 0.0, (math.inf, 0.0)
    for a, b in zip(points[:-1, :2], points[1:, :2], strict=True):
        length = float(np.hypot(*(b - a)))
        along = float(np.clip(np.dot(place[:2] - a, b - a) / max(length, 1e-9) ** 2, 0, 1)) if length > 0 else 0.0
        off = float(np.hypot(*(a + along * (b - a) - place[:2])))
        if off < best[0] - 0.01:
            best = (off, done + along * length)
        done += length
    return best[1]


class _Plane:
    """Degrees to metres, azimuthal equidistant about a point."""

    def __init__(self, lon: float, lat: float) -> None:
        crs = f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m"
        self._to = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        self._from = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)

    def xy(self, lonlat: Array) -> Array:
        return np.column_stack(self._to.transform(lonlat[:, 0], lonlat[:, 1]))

    def lonlat(self, xy: Array) -> Array:
        return np.column_stack(self._from.transform(xy[:, 0], xy[:, 1]))

    def geometry(self, geometry: BaseGeometry) -> BaseGeometry:
        return shapely.transform(geometry, self.xy)


def _fly(items: Sequence[MissionItem], plane: _Plane, sortie: Sortie) -> _Flight:
    """Walks through mission items as an autopilot does: places in order, shooting by distance while it is on."""
    home = plane.xy(np.array([[items[0].lon, items[0].lat]]))[0]
    points, photos, course, line = [np.array([*home, 0.0])], [], [], []
    trigger_m = since_m = 0.0
    stretch = -1
    for item in items[1:]:
        here = points[-1]
        if item.command == 206:
            trigger_m, since_m = item.params[0], 0.0
            stretch += trigger_m > 0
            if trigger_m > 0 and item.params[2] > 0:
                photos.append(here)
                course.append(math.nan)
                line.append(stretch)
            continue
        if item.command == 22:
            points.append(np.array([*home, item.alt_m]))
            continue
        if item.command == 20:
            points += [np.array([*home, here[2]]), np.array([*home, 0.0])]
            continue
        if item.command != 16:
            continue
        there = np.array([*plane.xy(np.array([[item.lon, item.lat]]))[0], item.alt_m])
        length = float(np.hypot(*(there - here)[:2]))
        if trigger_m > 0 and length > 0:
            heading = math.atan2(*(there - here)[1::-1])
            if course and math.isnan(course[-1]):
                course[-1] = heading
            for done in np.arange(trigger_m - since_m, length + 1e-6, trigger_m):
                photos.append(here + (there - here) * done / length)
                course.append(heading)
                line.append(stretch)
            since_m = (since_m + length) % trigger_m
        points.append(there)
    course = [0.0 if math.isnan(value) else value for value in course]
    shots = np.array(photos) if photos else np.empty((0, 3))
    return _Flight(sortie, np.array(points), shots, np.array(course), np.array(line, dtype=np.int64))


class _Ground:
    """Ground above the take-off point's: from a surface raster, or flat."""

    def __init__(self, terrain: Terrain | None, plane: _Plane) -> None:
        self._terrain, self._plane = terrain, plane

    def above(self, home_xy: Array, xy: Array) -> Array:
        """Ground at points less the ground at home, m."""
        if self._terrain is None or not len(xy):
            return np.zeros(len(xy))
        places = self._plane.lonlat(np.concatenate([home_xy[None, :], xy]))
        heights = self._terrain.at(places)
        return heights[1:] - heights[0]


def _samples(points: Array) -> tuple[Array, Array]:
    """Points along legs every few metres, and the length each stands for."""
    places, lengths = [], []
    for a, b in itertools.pairwise(points):
        length = float(np.hypot(*(b - a)[:2]))
        count = max(1, math.ceil(length / _SAMPLE_M))
        part = (np.arange(count) + 0.5) / count
        places.append(a + part[:, None] * (b - a))
        lengths.append(np.full(count, length / count))
    return np.concatenate(places), np.concatenate(lengths)


def _line_inside(points: Array, place: BaseGeometry) -> float:
    """Metres of legs strictly inside a place; a point on its outline is outside, a climb inside counts as one metre."""
    line = shapely.linestrings(points[:, :2])
    if not shapely.intersects(line, place):
        return 0.0
    inside = float(shapely.length(shapely.intersection(line, place)))
    if inside == 0.0 and shapely.relate_pattern(shapely.points(points[0, :2]), place, "T********"):
        return 1.0
    return inside


class _Rules:
    """Zones and obstacles in the verifier's plane."""

    def __init__(self, zones: Sequence[Zone], obstacles: Sequence[Obstacle], plane: _Plane, clearance_m: float) -> None:
        self.zones = [(zone, plane.geometry(zone.geometry)) for zone in zones]
        self.obstacles = [
            (thing, plane.geometry(thing.geometry).buffer(clearance_m, quad_segs=16)) for thing in obstacles
        ]
        self.clearance_m = clearance_m
        allowed = [geometry for zone, geometry in self.zones if zone.kind == "permitted"]
        self.permitted = shapely.union_all(allowed) if allowed else None

    def active(self, flight: _Flight) -> list[tuple[Zone, BaseGeometry]]:
        begin = flight.sortie.start_utc
        end = begin + timedelta(seconds=flight.sortie.duration_s)
        return [(zone, geometry) for zone, geometry in self.zones if zone.active(begin, end)]

    def closed_m(self, flight: _Flight, ground: _Ground) -> list[tuple[float, str]]:
        """(metres, line) of every breach in the plane."""
        found = []
        for zone, geometry in self.active(flight):
            if zone.kind == "no-fly" and (metres := _line_inside(flight.points, geometry)) > 0:
                found.append((metres, f"{flight.sortie.id}: {metres:.1f} m inside no-fly zone {zone.name}"))
        if self.permitted is not None:
            line = shapely.linestrings(flight.points[:, :2])
            metres = float(shapely.length(shapely.difference(line, self.permitted)))
            if metres > 0:
                found.append((metres, f"{flight.sortie.id}: {metres:.1f} m outside the permitted area"))
        for thing, geometry in self.obstacles:
            metres = self._too_near(flight, thing, geometry, ground)
            if metres > 0:
                what = f"{flight.sortie.id}: {metres:.1f} m within {self.clearance_m:g} m of {thing.name}"
                found.append((metres, what))
        return found

    def _too_near(self, flight: _Flight, thing: Obstacle, grown: BaseGeometry, ground: _Ground) -> float:
        line = shapely.linestrings(flight.points[:, :2])
        if not shapely.intersects(line, grown):
            return 0.0
        home = flight.points[0, :2]
        foot = float(ground.above(home, shapely.get_coordinates(grown.centroid))[0])
        top_m = foot + (math.inf if thing.top_agl_m is None else thing.top_agl_m) + self.clearance_m
        near = 0.0
        for a, b in zip(flight.points[:-1], flight.points[1:], strict=True):
            if min(a[2], b[2]) < top_m - 0.01:
                near += _line_inside(np.array([a, b]), grown)
        return near


def _heights(flight: _Flight, rules: _Rules, ground: _Ground) -> list[tuple[float, str]]:
    places, lengths = _samples(flight.points)
    agl = places[:, 2] - ground.above(flight.points[0, :2], places[:, :2])
    found = []
    limits: list[tuple[float, BaseGeometry | None, str]] = [(LEGAL_AGL_M, None, "120 m above ground")]
    for zone, geometry in rules.active(flight):
        if zone.kind == "ceiling":
            limits.append((zone.max_agl_m or 0.0, geometry, f"the ceiling of {zone.name}"))
    for limit_m, place, what in limits:
        over = agl > limit_m + _HEIGHT_SLACK_M
        if place is not None:
            over &= shapely.contains_xy(place, places[:, :2])
        metres = float(lengths[over].sum())
        if metres > 0:
            top_m = float(agl[over].max())
            found.append((metres, f"{flight.sortie.id}: {metres:.0f} m above {what} (up to {top_m:.1f} m)"))
    return found


@dataclass(frozen=True)
class _Shots:
    """All photographs: place (n, 2), course (n,), half footprints (n, 2) across and along, strip number (n,)."""

    place: Array
    course: Array
    half: Array
    strip: NDArray[np.int64]


def _shots(flights: Sequence[_Flight], plan: Plan, ground: _Ground) -> _Shots:
    camera = plan.camera
    rows, names = [], []
    for flight in flights:
        if not len(flight.photos):
            continue
        agl = flight.photos[:, 2] - ground.above(flight.points[0, :2], flight.photos[:, :2])
        scale = np.maximum(agl, 0) / camera.focal_px / 2
        rows.append(
            np.column_stack([flight.photos[:, :2], flight.course, scale * camera.width_px, scale * camera.height_px])
        )
        names.append(_strip_names(flight))
    if not rows:
        return _Shots(np.empty((0, 2)), np.empty(0), np.empty((0, 2)), np.empty(0, dtype=np.int64))
    table = np.concatenate(rows)
    strip = np.unique(np.concatenate(names), axis=0, return_inverse=True)[1].reshape(-1)
    return _Shots(table[:, :2], table[:, 2], table[:, 3:], strip.astype(np.int64))


def _strip_names(flight: _Flight) -> Array:
    """(n, 2) whole numbers that are equal for stretches on one line: a lane cut in two is one strip, not two."""
    first = np.unique(flight.line, return_index=True)[1]
    course = flight.course[first] % math.pi
    course = np.where(course > math.pi - 0.005, course - math.pi, course)
    normal = np.column_stack([-np.sin(course), np.cos(course)])
    offset = np.sum(flight.photos[first, :2] * normal, axis=1)
    table = np.column_stack([np.round(course / 0.01), np.round(offset / 4.0)])
    return table[np.searchsorted(np.unique(flight.line), flight.line)]


def _strips_seen(shots: _Shots, points: Array) -> NDArray[np.int64]:
    """In how many strips each point (n, 2) is."""
    count = np.zeros(len(points), dtype=np.int64)
    if not len(shots.place):
        return count
    radius = float(np.hypot(*shots.half.max(axis=0)))
    boxes = shapely.box(*(shots.place - radius).T, *(shots.place + radius).T)
    point, shot = shapely.STRtree(boxes).query(shapely.points(points))
    gap = points[point] - shots.place[shot]
    cosine, sine = np.cos(shots.course[shot]), np.sin(shots.course[shot])
    along = np.abs(gap[:, 0] * cosine + gap[:, 1] * sine)
    across = np.abs(-gap[:, 0] * sine + gap[:, 1] * cosine)
    inside = (across <= shots.half[shot, 0]) & (along <= shots.half[shot, 1])
    pairs = np.unique(np.column_stack([point[inside], shots.strip[shot[inside]]]), axis=0)
    np.add.at(count, pairs[:, 0], 1)
    return count


def _sampled(area: BaseGeometry, samples: int, seed: int) -> Array:
    """Random points (n, 2) in an area, evenly."""
    random = np.random.default_rng(seed)
    west, south, east, north = area.bounds
    count = math.ceil(samples * (east - west) * (north - south) / max(area.area, 1e-9))
    points = random.uniform((west, south), (east, north), (min(count, 40 * samples), 2))
    shapely.prepare(area)
    return points[shapely.contains_xy(area, points)]


def _shown(shots: _Shots, places: Sequence[BaseGeometry]) -> float:
    if not places or not len(shots.place):
        return 0.0
    union = shapely.union_all(places)
    corners = np.stack([shots.half * sign for sign in ((1, 1), (1, -1), (-1, -1), (-1, 1))], axis=1)
    cosine, sine = np.cos(shots.course)[:, None], np.sin(shots.course)[:, None]
    x = corners[..., 1] * cosine - corners[..., 0] * sine
    y = corners[..., 1] * sine + corners[..., 0] * cosine
    boxes = shapely.polygons(np.stack([x, y], axis=-1) + shots.place[:, None, :])
    near = boxes[shapely.intersects(boxes, union)]
    return float(shapely.union_all(shapely.intersection(near, union)).area) if len(near) else 0.0


def verify_plan(
    plan_dir: Path,
    area: Path,
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
        area: The area's file.
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
    place = read_area(area)
    plane = _Plane(place.centroid.x, place.centroid.y)
    rules = _Rules(read_zones(zones), read_obstacles(obstacles), plane, clearance_m)
    flights = [_fly(read_waypoints(plan_dir / sortie.files.waypoints), plane, sortie) for sortie in plan.sorties]
    ground = _Ground(Terrain.open(dem) if dem is not None else None, plane)
    closed = [fault for flight in flights for fault in rules.closed_m(flight, ground)]
    high = [fault for flight in flights for fault in _heights(flight, rules, ground)]
    shots = _shots(flights, plan, ground)
    active = {id(geometry): (zone, geometry) for flight in flights for zone, geometry in rules.active(flight)}
    hidden = [geometry for zone, geometry in active.values() if zone.kind in ("no-fly", "no-photo")]
    target = plane.geometry(place).difference(shapely.union_all(hidden))
    points = _sampled(target, samples, seed)
    count = _strips_seen(shots, points)
    edge_m = min(plan.camera.footprint_m(plan.height_agl_m)) / 2
    deep = shapely.distance(target.boundary, shapely.points(points)) > edge_m
    shown_m2 = _shown(shots, [geometry for zone, geometry in active.values() if zone.kind == "no-photo"])
    faults = [text for _, text in sorted(closed + high, reverse=True)]
    if shown_m2 > 1.0:
        faults.append(f"{shown_m2:.0f} m2 of no-photo places are inside photographs")
    return Verdict(
        area_m2=float(target.area),
        seen_once=float((count >= 1).mean()),
        seen_as_due=float((count >= np.where(deep, 2, 1)).mean()),
        closed_m=sum(metres for metres, _ in closed),
        too_high_m=sum(metres for metres, _ in high),
        shown_m2=shown_m2,
        legs_m=sum(float(np.hypot(*np.diff(flight.points[:, :2], axis=0).T).sum()) for flight in flights),
        path_m=sum(flight.path_m for flight in flights),
        photos=len(shots.place),
        faults=tuple(faults),
    )
