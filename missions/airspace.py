"""Where an aircraft may be, and where it may photograph, at one height and time; all in the local metric frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.frame import LocalFrame
from missions.routing import Router
from missions.vector import polygons_of
from missions.zones import Obstacle, Zone, ZoneKind

LEGAL_CEILING_AGL_M = 120.0
_QUAD_SEGMENTS = 3
_SIMPLER_M = 2.0
# A buffer of straight pieces lies inside the round one; grown by this it lies outside.
_OUTSIDE = 1.0 / math.cos(math.pi / (4 * _QUAD_SEGMENTS))
EMPTY = shapely.MultiPolygon()


def grow(geometry: BaseGeometry, distance_m: float) -> BaseGeometry:
    """A buffer that holds every point within `distance_m`, with few corners: each one costs the router."""
    plain = shapely.simplify(geometry, _SIMPLER_M)
    return shapely.buffer(plain, (distance_m + _SIMPLER_M) * _OUTSIDE, quad_segs=_QUAD_SEGMENTS)


@dataclass(frozen=True)
class Clearances:
    """Distances kept, in metres.

    Attributes:
        zone_m: Beside no-fly zones and inside permitted ones: position error and cut corners.
        obstacle_m: Above and beside obstacles.
        unknown_blocks: Whether an obstacle of unknown height closes the place (else it only warns).
        straight_home: Whether lanes from which the straight flight home would meet something closed, which is what an
            aircraft flies when its link or battery fails, are left out; else they are avoided where that is cheap, and
            named.
    """

    zone_m: float = 15.0
    obstacle_m: float = 20.0
    unknown_blocks: bool = True
    straight_home: bool = False


class Airspace:
    """Zones and obstacles of one plan in metres.

    Args:
        zones: Those that hold at the time of the flights.
        obstacles: All.
        frame: The plan's metric frame.
        clearances: Distances kept.
    """

    def __init__(
        self, zones: Sequence[Zone], obstacles: Sequence[Obstacle], frame: LocalFrame, clearances: Clearances
    ) -> None:
        self.clearances = clearances
        self._zones = [(zone, frame.metric(zone.geometry)) for zone in zones]
        self._standing: dict[float, Router] = {}
        self._obstacles = [(thing, frame.metric(thing.geometry)) for thing in obstacles]

    def _of(self, kind: ZoneKind) -> list[BaseGeometry]:
        return [geometry for zone, geometry in self._zones if zone.kind == kind]

    @cached_property
    def no_fly(self) -> BaseGeometry:
        """The no-fly zones as drawn."""
        return shapely.union_all(self._of("no-fly")) if self._of("no-fly") else EMPTY

    @cached_property
    def no_photo(self) -> BaseGeometry:
        """The places that no photograph may show."""
        return shapely.union_all(self._of("no-photo")) if self._of("no-photo") else EMPTY

    @cached_property
    def permitted(self) -> BaseGeometry | None:
        """Where legs must stay, None where nothing limits them."""
        return shapely.union_all(self._of("permitted")) if self._of("permitted") else None

    @cached_property
    def ceilings(self) -> list[tuple[float, BaseGeometry]]:
        """(height above ground in m, place), lowest first."""
        found = [(zone.max_agl_m or 0.0, geometry) for zone, geometry in self._zones if zone.kind == "ceiling"]
        return sorted(found, key=lambda item: item[0])

    def ceiling_parts(self, area: BaseGeometry, height_agl_m: float) -> list[tuple[float, BaseGeometry]]:
        """The area cut by how high one may fly there: (height above ground, part)."""
        parts, rest = [], area
        for limit_m, place in self.ceilings:
            if limit_m < height_agl_m:
                parts.append((limit_m, rest.intersection(place)))
                rest = rest.difference(place)
        return [(height, part) for height, part in [*parts, (height_agl_m, rest)] if part.area > 1.0]

    def obstacles_at(self, height_agl_m: float) -> list[BaseGeometry]:
        """Grown outlines of what stands within the clearance of this height."""
        keep_m = self.clearances.obstacle_m
        closed = []
        for thing, geometry in self._obstacles:
            top_m = thing.top_agl_m
            if top_m is None:
                top_m = math.inf if self.clearances.unknown_blocks else -math.inf
            if top_m + keep_m > height_agl_m:
                closed.append(grow(geometry, keep_m))
        return closed

    def closed(self, height_agl_m: float, sag_m: float = 0.0) -> BaseGeometry:
        """Everything a leg at this height, or up to `sag_m` below it, must stay out of: one geometry, in metres."""
        keep_m = self.clearances.zone_m
        parts = [grow(geometry, keep_m) for geometry in self._of("no-fly")]
        parts += [grow(place, keep_m) for limit_m, place in self.ceilings if limit_m < height_agl_m]
        parts += self.obstacles_at(height_agl_m - sag_m)
        if self.permitted is not None:
            world = shapely.box(*self.permitted.bounds).buffer(50_000.0, join_style="mitre")
            parts.append(world.difference(shapely.buffer(self.permitted, -keep_m, quad_segs=_QUAD_SEGMENTS)))
        return shapely.union_all(parts) if parts else EMPTY

    def standing(self, height_agl_m: float) -> Router:
        """Ways clear of what stands within the clearance of this height, looked up once for each height."""
        if height_agl_m not in self._standing:
            places = self.obstacles_at(height_agl_m)
            self._standing[height_agl_m] = Router(polygons_of(shapely.union_all(places)) if places else [])
        return self._standing[height_agl_m]

    def closed_on_ground(self) -> BaseGeometry:
        """Where nobody may take off or land: zones, and obstacles of any height, which the climb must clear too."""
        standing = [grow(geometry, self.clearances.obstacle_m) for _, geometry in self._obstacles]
        return shapely.union_all([self.closed(0.0), *standing])

    def unknown_heights(self, place: BaseGeometry) -> list[str]:
        """Names of obstacles in a place whose height is not known."""
        near = [
            thing.name for thing, geometry in self._obstacles if thing.top_agl_m is None and geometry.intersects(place)
        ]
        return sorted(set(near))


def photo_closed(no_photo: BaseGeometry, across_m: float, along_m: float, direction_rad: float) -> BaseGeometry:
    """Where a nadir photograph flown in this direction would show a no-photo place: its hull plus footprint."""
    if no_photo.is_empty:
        return EMPTY
    cosine, sine = math.cos(direction_rad), math.sin(direction_rad)
    corners = np.array([(x, y) for x in (-along_m / 2, along_m / 2) for y in (-across_m / 2, across_m / 2)])
    corners = corners @ np.array([[cosine, sine], [-sine, cosine]])
    hulls = []
    for place in polygons_of(no_photo):
        outline = shapely.get_coordinates(place.convex_hull)
        summed = (outline[:, None, :] + corners[None, :, :]).reshape(-1, 2)
        hulls.append(shapely.convex_hull(shapely.multipoints(summed)))
    return shapely.union_all(hulls)
