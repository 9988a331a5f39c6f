"""Mission files flown on paper: legs and photographs in metres, in a projection that the planner does not use."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from missions.frame import Array
from missions.plan import MissionItem, Sortie
from missions.terrain import Terrain

_SAMPLE_M = 15.0
# MAV_CMD numbers, written here again on purpose: nothing of the planner's is used.
_WAYPOINT, _RETURN, _TAKEOFF, _TRIGGER, _YAW, _GIMBAL, _PHOTOGRAPH = 16, 20, 22, 206, 115, 1000, 2000


@dataclass(frozen=True)
class Flight:
    """One sortie as its mission file says: legs and photographs, metres.

    Attributes:
        sortie: Its entry in plan.json.
        points: (n, 3) east, north, height above home.
        photos: (m, 3) where it shoots.
        course: (m,) direction of flight there, radians from east.
        line: (m,) number of the stretch of shooting.
        views: (k, 5) photographs from standstills: east, north, height above home, yaw and pitch in degrees.
    """

    sortie: Sortie
    points: Array
    photos: Array
    course: Array
    line: NDArray[np.int64]
    views: Array

    @property
    def path_m(self) -> float:
        """From the first photograph to the last, along the legs between the waypoints that shoot."""
        places = np.concatenate([self.photos[:, :2], self.views[:, :2]])
        if len(places) == 0:
            return 0.0
        shot = [_progress(self.points, place) for place in (places[0], places[-1])]
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


class Plane:
    """Degrees to metres, azimuthal equidistant about a point."""

    def __init__(self, lon: float, lat: float) -> None:
        crs = f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m"
        self._to = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        self._from = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)

    def xy(self, lonlat: Array) -> Array:
        """(n, 2) degrees to metres."""
        return np.column_stack(self._to.transform(lonlat[:, 0], lonlat[:, 1]))

    def lonlat(self, xy: Array) -> Array:
        """(n, 2) metres to degrees."""
        return np.column_stack(self._from.transform(xy[:, 0], xy[:, 1]))

    def geometry(self, geometry: BaseGeometry) -> BaseGeometry:
        """A geometry in degrees as one in metres."""
        return shapely.transform(geometry, self.xy)


class _Walk:
    """Mission items one after the other, as an autopilot carries them out: places, and the camera by distance."""

    def __init__(self, home: Array) -> None:
        self.home = home
        self.points = [np.array([*home, 0.0])]
        self.photos: list[Array] = []
        self.course: list[float] = []
        self.line: list[int] = []
        self.views: list[Array] = []
        self.trigger_m = self.since_m = self.yaw_deg = self.pitch_deg = 0.0
        self.stretch = -1

    def trigger(self, every_m: float, at_once: bool) -> None:
        """Shooting by distance begins or ends."""
        self.trigger_m, self.since_m = every_m, 0.0
        self.stretch += every_m > 0
        if every_m > 0 and at_once:
            self._shoot(self.points[-1], math.nan)

    def _shoot(self, place: Array, heading: float) -> None:
        self.photos.append(place)
        self.course.append(heading)
        self.line.append(self.stretch)

    def go(self, there: Array) -> None:
        """A straight leg, shooting along it where that is on."""
        here = self.points[-1]
        length = float(np.hypot(*(there - here)[:2]))
        if self.trigger_m > 0 and length > 0:
            heading = math.atan2(*(there - here)[1::-1])
            if self.course and math.isnan(self.course[-1]):
                self.course[-1] = heading
            for done in np.arange(self.trigger_m - self.since_m, length + 1e-6, self.trigger_m):
                self._shoot(here + (there - here) * done / length, heading)
            self.since_m = (self.since_m + length) % self.trigger_m
        self.points.append(there)

    def do(self, item: MissionItem, plane: Plane) -> None:
        """Carries out one item; those that move nothing and photograph nothing pass."""
        if item.command == _TRIGGER:
            self.trigger(item.params[0], item.params[2] > 0)
        elif item.command == _TAKEOFF:
            self.points.append(np.array([*self.home, item.alt_m]))
        elif item.command == _RETURN:
            self.points += [np.array([*self.home, self.points[-1][2]]), np.array([*self.home, 0.0])]
        elif item.command == _WAYPOINT:
            self.go(np.array([*plane.xy(np.array([[item.lon, item.lat]]))[0], item.alt_m]))
        elif item.command == _YAW:
            self.yaw_deg = item.params[0]
        elif item.command == _GIMBAL:
            self.pitch_deg = item.params[0]
        elif item.command == _PHOTOGRAPH:
            self.views.append(np.array([*self.points[-1], self.yaw_deg, self.pitch_deg]))


def fly(items: Sequence[MissionItem], plane: Plane, sortie: Sortie) -> Flight:
    """Walks through mission items as an autopilot does: places in order, shooting by distance while it is on."""
    walk = _Walk(plane.xy(np.array([[items[0].lon, items[0].lat]]))[0])
    for item in items[1:]:
        walk.do(item, plane)
    course = np.array([0.0 if math.isnan(value) else value for value in walk.course])
    photos = np.array(walk.photos) if walk.photos else np.empty((0, 3))
    views = np.array(walk.views) if walk.views else np.empty((0, 5))
    return Flight(sortie, np.array(walk.points), photos, course, np.array(walk.line, dtype=np.int64), views)


class Ground:
    """Ground above the take-off point's: from a surface raster, or flat."""

    def __init__(self, terrain: Terrain | None, plane: Plane) -> None:
        self._terrain, self._plane = terrain, plane

    def above(self, home_xy: Array, xy: Array) -> Array:
        """Ground at points less the ground at home, m."""
        if self._terrain is None or not len(xy):
            return np.zeros(len(xy))
        places = self._plane.lonlat(np.concatenate([home_xy[None, :], xy]))
        heights = self._terrain.at(places)
        return heights[1:] - heights[0]


def samples(points: Array) -> tuple[Array, Array]:
    """Points along legs every few metres, and the length each stands for."""
    places, lengths = [], []
    for a, b in itertools.pairwise(points):
        length = float(np.hypot(*(b - a)[:2]))
        count = max(1, math.ceil(length / _SAMPLE_M))
        part = (np.arange(count) + 0.5) / count
        places.append(a + part[:, None] * (b - a))
        lengths.append(np.full(count, length / count))
    return np.concatenate(places), np.concatenate(lengths)
