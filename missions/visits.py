"""Sorties that stop for photographs: listed places and inspections, in a short order, split by energy.

Between places the aircraft flies at the height of the plan and goes straight down to each; where places are near one
another it stays at the higher of their two heights. Every leg begins and ends at rest, so the sum of its legs is a
sortie's exact time and energy, and one dynamic programme gives the cheapest cuts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from missions.airspace import grow
from missions.coverage import Lanes, Strip
from missions.errors import MissionsError
from missions.flying import SWAP_S, Flown
from missions.follow import SAG_M, follow
from missions.frame import Array
from missions.plan import Refusal
from missions.request import Task
from missions.route import STOP_S, Route, Stop
from missions.routing import Router
from missions.sites import propose_sites
from missions.tour import best_tour, link_costs
from missions.vector import polygons_of
from missions.views import Shot, ground_seen, lowered

# Places nearer than this are flown between without climbing to the height of the plan.
_NEAR_M = 150.0
_LOWEST_AGL_M = 10.0
# Of a stop beside its way: a waypoint or three; where photographs are mission items too, five more.
_WAYPOINTS_PER_STOP, _ITEMS_PER_PHOTO = 3, 5
_FIXED_ITEMS = 8
# A tour over more places than this is improved district by district: its cost grows with the square.
_TOUR_AT_ONCE = 160
_HOMES_TRIED = 4


@dataclass(frozen=True)
class Visits:
    """Sorties over places, and what was left out."""

    flown: list[Flown]
    refused: list[Refusal]
    shots: int


class _Air:
    """Ways between places at the heights they are flown at."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._routers: dict[float, Router] = {}
        self.sag_m = SAG_M if task.terrain is not None else 0.0
        self.ground = Router(polygons_of(shapely.union_all([task.airspace.closed_on_ground(), self._closed(30.0)])))

    def _closed(self, height_agl_m: float) -> BaseGeometry:
        return self.task.airspace.closed(height_agl_m, self.sag_m)

    def router(self, height_agl_m: float) -> Router:
        """Ways at a height above ground."""
        key = round(height_agl_m, 1)
        if key not in self._routers:
            self._routers[key] = Router(polygons_of(self._closed(key)))
        return self._routers[key]

    def ground_m(self, xy: Array) -> Array:
        """Ground heights (n,) at points (n, 2); 0 where the land is taken as flat."""
        if self.task.terrain is None:
            return np.zeros(len(xy))
        return self.task.terrain.at(self.task.frame.to_lonlat(xy))

    def leg(self, start: Array, end: Array, heights: tuple[float, float]) -> tuple[Array, Array] | None:
        """A way from one standstill to another: points (n, 2), heights above sea (n,); None where there is none.

        Args:
            start: (2,) metres.
            end: (2,).
            heights: Above the ground, at both.
        """
        near = float(np.hypot(*(end - start))) < _NEAR_M
        level = max(heights)
        cruise = max(level, self.task.strip.height_agl_m)
        for height in (level, cruise) if near else (cruise, level):
            way = self.router(height).path(start, end)
            if way is None:
                continue
            ground = self.ground_m(np.array([start, end]))
            first_m = float(ground[0]) + height
            flat = Route(way, np.full(len(way), first_m), np.zeros(len(way), dtype=bool), 1.0)
            if self.task.terrain is not None:
                flat = follow(flat, self.task.frame, self.task.terrain)
            points = np.concatenate([start[None, :], flat.points, end[None, :]])
            ends = ground + np.array(heights)
            rel = np.concatenate([ends[:1], flat.height_rel_m, ends[1:]])
            keep = np.append(True, np.hypot(np.hypot(*np.diff(points, axis=0).T), np.diff(rel)) > 0.01)
            return points[keep], rel[keep]
        return None


def _refusal(shot: Shot, why: str, remedy: str) -> Refusal:
    return Refusal(what=f"{shot.what} of {shot.place}", why=why, remedy=remedy)


def _allowed(air: _Air, shots: list[Shot]) -> tuple[list[Shot], list[Refusal]]:
    """Photographs that may be taken from where they are to be taken, and why the others may not."""
    task = air.task
    keep_m = task.request.clearances.zone_m
    limits = [(top - 0.5, grow(place, keep_m)) for top, place in task.airspace.ceilings]
    hidden = task.airspace.no_photo
    good, refused = [], []
    for shot in lowered(shots, limits):
        if shot.height_agl_m < _LOWEST_AGL_M:
            refused.append(_refusal(shot, "a ceiling leaves no height to fly at", "photograph it on foot"))
        elif not air.router(shot.height_agl_m).open_points(np.array([shot.xy]))[0]:
            why = f"{shot.height_agl_m:.0f} m above ground there is inside or too near a zone or obstacle"
            refused.append(_refusal(shot, why, "give another viewpoint, or apply for a permission"))
        elif not hidden.is_empty and ground_seen(shot, task.profile.camera).intersects(hidden):
            refused.append(_refusal(shot, "its picture would show a no-photo place", "give another viewpoint"))
        else:
            good.append(shot)
    return good, refused


def _ordered(air: _Air, shots: list[Shot]) -> list[Shot]:
    """Photographs in a short order: a tour over their places, by districts where there are many."""
    groups: dict[tuple[float, float], list[Shot]] = {}
    for shot in shots:
        groups.setdefault((round(shot.xy[0], 1), round(shot.xy[1], 1)), []).append(shot)
    places = np.array(list(groups))
    rows = [chunk for chunk in _districts(places, np.arange(len(places))) if len(chunk)]
    found: list[Shot] = []
    router = air.router(air.task.strip.height_agl_m)
    for chunk in rows:
        xy = places[chunk]
        lanes = Lanes(xy, xy, np.arange(len(xy)), 0.0)
        tour = best_tour(link_costs(lanes, router, air.task.model), starts=1)
        for end in tour:
            # From high to low at one place: its overview first.
            found += sorted(groups[tuple(xy[int(end) // 2])], key=lambda shot: -shot.height_agl_m)
    return found


def _districts(places: Array, chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Halves along the longer side until each is small enough for one tour; neighbours stay neighbours."""
    if len(chosen) <= _TOUR_AT_ONCE:
        return [chosen]
    axis = int(np.argmax(np.ptp(places[chosen], axis=0)))
    order = chosen[np.argsort(places[chosen, axis], kind="stable")]
    half = len(order) // 2
    return _districts(places, order[:half]) + _districts(places, order[half:])


@dataclass(frozen=True)
class _Leg:
    """A way between standstills: points (n, 2), heights above sea level (n,), seconds and Wh from rest to rest."""

    points: Array
    heights: Array
    seconds: float
    energy_wh: float


class _Legs:
    """Legs between photographs in order, and from and to every home; None where there is no way."""

    def __init__(self, air: _Air, shots: list[Shot], homes: Array) -> None:
        self.air, self.shots, self.homes = air, shots, homes
        self.xy = np.array([shot.xy for shot in shots])
        self.home_m = air.ground_m(homes)
        self.away = np.hypot(*(self.xy[:, None] - homes[None]).transpose(2, 0, 1))
        self._cache: dict[tuple[int, int, int], _Leg | None] = {}

    def between(self, before: int) -> _Leg | None:
        """From a photograph to the next one."""
        return self._kept(-1, before, before + 1)

    def out(self, home: int, shot: int) -> _Leg | None:
        """From home, the climb included, to a photograph."""
        return self._kept(home, -1, shot)

    def back(self, shot: int, home: int) -> _Leg | None:
        """From a photograph to home, the descent included."""
        return self._kept(home, shot, -1)

    def _kept(self, home: int, before: int, after: int) -> _Leg | None:
        key = (home, before, after)
        if key not in self._cache:
            self._cache[key] = self._made(*key)
        return self._cache[key]

    def _made(self, home: int, before: int, after: int) -> _Leg | None:
        air = self.air
        ends = [self.shots[index] if index >= 0 else None for index in (before, after)]
        xy = [self.homes[home] if shot is None else np.array(shot.xy) for shot in ends]
        tops = [shot.height_agl_m for shot in ends if shot is not None]
        way = None
        # Home is left and reached at the plan's height, or at the first place's where a ceiling keeps that out.
        for home_height in (max(air.task.strip.height_agl_m, *tops), max(tops)):
            heights = [home_height if shot is None else shot.height_agl_m for shot in ends]
            way = air.leg(xy[0], xy[1], (heights[0], heights[1]))
            if way is not None:
                break
        if way is None:
            return None
        if len(way[0]) == 1:  # above home itself, or one place photographed twice: a way has a beginning and an end
            way = np.repeat(way[0], 2, axis=0), np.repeat(way[1], 2)
        seconds, energy_wh = air.task.model.route(*way)
        if before < 0:
            up = air.task.model.climb(float(way[1][0] - self.home_m[home]))
            seconds, energy_wh = seconds + up[0], energy_wh + up[1]
        if after < 0:
            down = air.task.model.descent(float(way[1][-1] - self.home_m[home]))
            seconds, energy_wh = seconds + down[0], energy_wh + down[1]
        return _Leg(way[0], way[1], seconds, energy_wh)


@dataclass(frozen=True)
class _Limits:
    """What one sortie may use: Wh, photographs, metres from home."""

    energy_wh: float
    shots: int
    range_m: float


def _reaches(legs: _Legs, first: int, home: int, limits: _Limits) -> Iterator[tuple[int, float]]:
    """(last photograph, seconds) of every sortie from a home that begins with a photograph and keeps the limits."""
    out = legs.out(home, first) if legs.away[first, home] <= limits.range_m else None
    if out is None:
        return
    hover_wh = legs.air.task.profile.hover_w * STOP_S / 3600.0
    seconds, energy = out.seconds, out.energy_wh
    for last in range(first, min(first + limits.shots, len(legs.shots))):
        if last > first:
            leg = legs.between(last - 1)
            if leg is None or legs.away[last, home] > limits.range_m:
                return
            seconds, energy = seconds + leg.seconds, energy + leg.energy_wh
        seconds, energy = seconds + STOP_S, energy + hover_wh
        if energy > limits.energy_wh:
            return
        back = legs.back(last, home)
        if back is not None and energy + back.energy_wh <= limits.energy_wh:
            yield last, seconds + back.seconds


def _cut(legs: _Legs, limits: _Limits) -> tuple[list[tuple[int, int, int]], list[int]]:
    """The cheapest sorties (first, last, home) over photographs in order, and the photographs that none reaches."""
    count = len(legs.shots)
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    choice: list[tuple[int, int] | None] = [None] * (count + 1)
    for first in range(count):
        for home in map(int, np.argsort(legs.away[first], kind="stable")[:_HOMES_TRIED]):
            for last, seconds in _reaches(legs, first, home, limits):
                total = best[first] + seconds + SWAP_S
                if total < best[last + 1]:
                    best[last + 1], choice[last + 1] = total, (first, home)
        if not np.isfinite(best[first + 1]):
            best[first + 1] = best[first]  # nothing reaches this one: it is left out
    cuts, lost, stop = [], [], count
    while stop > 0:
        chosen = choice[stop]
        if chosen is None:
            lost.append(stop - 1)
            stop -= 1
            continue
        cuts.append((chosen[0], stop - 1, chosen[1]))
        stop = chosen[0]
    return cuts[::-1], lost[::-1]


def _sortie(legs: _Legs, first: int, last: int, home: int) -> Flown:
    task = legs.air.task
    chain = [legs.out(home, first), *(legs.between(index) for index in range(first, last)), legs.back(last, home)]
    points: list[Array] = []
    heights: list[Array] = []
    stops: list[Stop] = []
    for number, leg in enumerate(chain):
        assert leg is not None  # the cut was made of these very legs
        skip = 0 if number == 0 else 1
        points.append(leg.points[skip:])
        heights.append(leg.heights[skip:])
        if number < len(chain) - 1:
            shot = legs.shots[first + number]
            where = sum(len(part) for part in points) - 1
            stops.append(Stop(where, shot.yaw_deg, shot.pitch_deg, f"{shot.place} {shot.what}"))
    joined, rel = np.concatenate(points), np.concatenate(heights) - legs.home_m[home]
    route = Route(joined, rel, np.zeros(len(joined), dtype=bool), task.strip.trigger_m, tuple(stops))
    duration_s, energy_wh = route.time_and_energy(task.model)
    height_m = max(task.strip.height_agl_m, *(shot.height_agl_m for shot in legs.shots[first : last + 1]))
    return Flown(legs.homes[home], route, _strip(task, height_m), duration_s, energy_wh)


def _strip(task: Task, height_m: float) -> Strip:
    request = task.request
    return Strip.of(task.profile.camera, height_m, request.front_overlap, request.side_overlap)


def plan_visits(
    task: Task,
    shots: list[Shot],
    *,
    homes: Array | None = None,
    health: float | None = None,
    range_m: float = np.inf,
) -> Visits:
    """Sorties that take photographs from standstills; what cannot be taken is named with the reason.

    Args:
        task: The request, read.
        shots: What to photograph.
        homes: (m, 2) take-off points, metres; None: the request's, or chosen ones.
        health: Share of the nominal capacity that the batteries hold; None: the request's.
        range_m: Line of sight from home.

    Raises:
        MissionsError: No take-off site is open.
    """
    air = _Air(task)
    good, refused = _allowed(air, shots)
    if not good:
        return Visits([], refused, 0)
    ordered = _ordered(air, good)
    legs = _Legs(air, ordered, _homes(air, ordered) if homes is None else homes)
    limit_wh = task.model.budget_wh(task.request.battery_health if health is None else health)
    items = _WAYPOINTS_PER_STOP + (0 if task.profile.dji is not None else _ITEMS_PER_PHOTO)
    most = max(1, (task.profile.max_waypoints - _FIXED_ITEMS) // items)
    cuts, lost = _cut(legs, _Limits(limit_wh, most, range_m))
    refused += [
        _refusal(ordered[index], "no battery reaches it from any take-off site", "give a site nearer with --site")
        for index in lost
    ]
    flown = [_sortie(legs, *cut) for cut in cuts]
    return Visits(flown, refused, len(good) - len(lost))


def _homes(air: _Air, shots: list[Shot]) -> Array:
    task = air.task
    if task.request.sites:
        given = task.frame.to_xy(task.request.sites)
        usable = given[air.ground.open_points(given)]
        if not len(usable):
            raise MissionsError("all take-off sites lie inside or too near zones or obstacles: give others with --site")
        return usable
    hull = shapely.convex_hull(shapely.multipoints(np.array([shot.xy for shot in shots]))).buffer(1.0)
    return propose_sites(hull, air.ground)
