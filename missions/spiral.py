"""A tile seen along one way: rings a lane apart, joined into a spiral from its edge to its middle.

Of lanes flown to and fro each ends in a stop and a step aside, and the steps lead away from home; on a spiral nothing
is flown twice, and a corner of a few degrees costs no speed. Spirals instead of lanes, and what they save: Cabreira et
al., "Energy-aware spiral coverage path planning for UAV photogrammetric applications" (IEEE RA-L 3(4), 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.aircraft import AircraftProfile
from missions.coverage import Strip
from missions.frame import Array
from missions.vector import polygons_of

# Rings keep their shape to this share of the footprint: 4.4 m at 3 cm, where arcs of 64 m in steps of 30 degrees bulge
# by 2 m; a controller takes some 200 waypoints, and the outlines of zones have many corners.
_SIMPLER = 0.028
# Share of the step between two courses that costs no speed: rings are not round to the last degree.
_SPARE_STEP = 0.85
_LEAST_STEP_RAD = math.radians(25.0)
_HALVINGS = 4
# Where an area's outline turns by more, a ring as round as the aircraft turns leaves the corner unseen.
_SHARP_RAD = math.radians(50.0)
_CRUMB_M2 = 25.0
_OUTLINE_M = 3.0


@dataclass(frozen=True)
class Turning:
    """How tightly an aircraft turns at full speed: `radius_m`, and `step_rad` between two courses at a waypoint.

    Of one that slows down at every corner, as ArduCopter does, whose legs begin and end at rest and overlap only as far
    as its waypoint radius allows, the radius is 0: few corners are quicker than many.
    """

    radius_m: float
    step_rad: float

    @staticmethod
    def of(profile: AircraftProfile) -> Turning:
        """The radius that the profile's acceleration holds at cruise, and the corner at which it need not slow down."""
        step = 2.0 * math.atan(profile.corner_mps / profile.cruise_mps)
        radius_m = profile.cruise_mps**2 / profile.accel_mps2 if step > _LEAST_STEP_RAD else 0.0
        return Turning(radius_m, _SPARE_STEP * float(np.clip(step, _LEAST_STEP_RAD, math.pi / 3)))


def _rounded(place: shapely.Polygon, most_m: float, turning: Turning, simpler_m: float) -> shapely.Polygon:
    """A place with corners as round as the aircraft turns, none of which moves by more than `most_m`."""
    corners = shapely.points(shapely.get_coordinates(place.exterior))
    if turning.radius_m == 0:
        return shapely.simplify(place, simpler_m)
    segments = math.ceil(math.pi / 2 / turning.step_rad)
    for radius_m in turning.radius_m * np.array([1.0, 0.7, 0.5, 0.35, 0.2]):
        # Corners of a mitred inset stay sharp, so that what is grown again touches every side.
        inner = shapely.buffer(place, -radius_m, join_style="mitre")
        grown = shapely.buffer(inner, radius_m, quad_segs=segments)
        if not isinstance(grown, shapely.Polygon) or grown.is_empty:
            continue
        if float(shapely.distance(corners, grown).max()) <= most_m:
            return shapely.simplify(grown, simpler_m)
    return shapely.simplify(place, simpler_m)


def sharp_corners(place: BaseGeometry) -> Array:
    """Corners (n, 2) of a place's outline that a round ring does not see into."""
    found = [np.empty((0, 2))]
    for polygon in polygons_of(shapely.orient_polygons(shapely.simplify(place, _OUTLINE_M))):
        outline = shapely.get_coordinates(polygon.exterior)[:-1]
        here, there = outline - np.roll(outline, 1, axis=0), np.roll(outline, -1, axis=0) - outline
        turn = np.arctan2(here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0], np.sum(here * there, axis=1))
        found.append(outline[turn > _SHARP_RAD])
    return np.concatenate(found)


def _sharpened(ring: shapely.Polygon, inset: shapely.Polygon, corners: Array, reach_m: float) -> shapely.Polygon:
    """A rounded ring with the inset's own corners where the area has one: nobody else sees into it."""
    for corner in corners:
        at = shapely.points(corner)
        if shapely.distance(inset, at) < reach_m:
            ring = shapely.union(ring, shapely.intersection(inset, shapely.buffer(at, 3 * reach_m)))
    return ring


@dataclass(frozen=True)
class _Stack:
    """Rings from a tile's edge inwards, and the line (2, 2) along what the last one leaves, where that needs one."""

    rings: list[shapely.Polygon]
    core: Array | None


def _stack(tile: shapely.Polygon, strip: Strip, turning: Turning, corners: Array) -> _Stack | None:
    """Rings, each a lane within the last; None where the tile is no single stack of them."""
    # What is left within a ring and no farther from it than this is seen from it, but from one side only.
    slack_m = max(strip.reach_across_m - strip.lane_m, 0.0)
    most_m = max(strip.reach_across_m - strip.lane_m / 2, 0.0)
    rings: list[shapely.Polygon] = []
    inset = shapely.buffer(tile, -strip.lane_m / 2, join_style="mitre")
    while True:
        if inset.is_empty or inset.area < _CRUMB_M2:
            return _Stack(rings, None)
        deep = shapely.buffer(inset, -slack_m if rings else 0.0, join_style="mitre")
        if deep.is_empty:
            left = max(polygons_of(inset), key=lambda part: part.area)
            return _Stack(rings, _spine(shapely.buffer(left, strip.lane_m / 4)))
        left_over = [part for part in polygons_of(inset) if part.intersects(deep)]
        if len(left_over) != 1 or len(left_over[0].interiors):
            return None
        rings.append(_ring(left_over[0], strip, turning, most_m, np.empty((0, 2)) if rings else corners))
        # Step by step: GEOS 3.14.1 takes some tiles' middles for gone when they are shrunk by all of it at once.
        inset = shapely.buffer(left_over[0], -strip.lane_m, join_style="mitre")


def _ring(inset: shapely.Polygon, strip: Strip, turning: Turning, most_m: float, corners: Array) -> shapely.Polygon:
    ring = _rounded(inset, most_m, turning, _SIMPLER * strip.across_m)
    sharpened = _sharpened(ring, inset, corners, strip.reach_across_m)
    return sharpened if isinstance(sharpened, shapely.Polygon) else ring


class _Loop:
    """A ring to be flown round from any place on it, counterclockwise."""

    def __init__(self, ring: shapely.Polygon) -> None:
        corners = shapely.get_coordinates(shapely.orient_polygons(ring).exterior)
        self.line = shapely.linestrings(corners)
        self.length_m = float(self.line.length)
        self._corners = corners[:-1]
        self._done = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])[:-1]

    def nearest_m(self, place: Array) -> float:
        """How far along the ring a place is nearest."""
        return float(shapely.line_locate_point(self.line, shapely.points(place)))

    def at(self, along_m: float) -> Array:
        """A place on the ring."""
        return shapely.get_coordinates(shapely.line_interpolate_point(self.line, along_m % self.length_m))[0]

    def way(self, begin_m: float, end_m: float) -> Array:
        """The corners between two places, and these; `end_m` beyond `begin_m`, by no more than a round."""
        done = np.concatenate([self._done, self._done + self.length_m])
        corners = np.concatenate([self._corners, self._corners])
        within = (done > begin_m + 1.0) & (done < end_m - 1.0)
        return np.concatenate([[self.at(begin_m)], corners[within], [self.at(end_m)]])


def _joined(stack: _Stack, strip: Strip, turning: Turning, start: Array) -> Array:
    """Rings as one way, begun where `start` is nearest; each is left early, on a slant to the next."""
    rings = stack.rings
    slant_m = strip.lane_m / math.tan(turning.step_rad)
    ways, here = [], start
    for number, ring in enumerate(rings):
        loop = _Loop(ring)
        begin_m = loop.nearest_m(here)
        early_m = min(slant_m, loop.length_m / 3) if number < len(rings) - 1 else 0.0
        ways.append(loop.way(begin_m, begin_m + loop.length_m - early_m))
        here = loop.at(begin_m)
    if stack.core is not None:
        gap = stack.core - ways[-1][-1]
        nearer = int(np.argmin(np.hypot(gap[:, 0], gap[:, 1])))
        ways.append(stack.core if nearer == 0 else stack.core[::-1])
    return np.concatenate(ways)


def _axis(tile: shapely.Polygon) -> tuple[Array, Array]:
    """Middle and long direction of the smallest rectangle about a tile."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(tile))
    sides = np.diff(corners[:3], axis=0)
    long = sides[int(np.argmax(np.hypot(sides[:, 0], sides[:, 1])))]
    return corners[:4].mean(axis=0), long / max(float(np.hypot(*long)), 1e-9)


def long_axis_rad(place: shapely.Polygon) -> float:
    """Direction of a place's length, counterclockwise from east."""
    long = _axis(place)[1]
    return math.atan2(float(long[1]), float(long[0]))


def _spine(tile: shapely.Polygon) -> Array | None:
    """The line along the middle of a tile narrower than a lane; None where it does not stay within."""
    middle, long = _axis(tile)
    reach = float(np.hypot(*(np.array(tile.bounds[2:]) - tile.bounds[:2])))
    within = shapely.intersection(shapely.linestrings([middle - reach * long, middle + reach * long]), tile)
    if not isinstance(within, shapely.LineString) or within.is_empty:
        return None
    return shapely.get_coordinates(within)


def _halves(tile: shapely.Polygon) -> list[shapely.Polygon]:
    """A tile cut across its length: through its largest hole, or in the middle."""
    middle, long = _axis(tile)
    if len(tile.interiors):
        hole = max(tile.interiors, key=lambda ring: shapely.Polygon(ring).area)
        middle = shapely.get_coordinates(shapely.Polygon(hole).centroid)[0]
    reach = 2 * float(np.hypot(*(np.array(tile.bounds[2:]) - tile.bounds[:2])))
    side = np.array([-long[1], long[0]]) * reach
    found: list[shapely.Polygon] = []
    for way in (long * reach, -long * reach):
        half = shapely.Polygon([middle - side, middle + side, middle + side + way, middle - side + way])
        found += [part for part in polygons_of(shapely.intersection(tile, half)) if part.area > _CRUMB_M2]
    return found


def spirals(tile: shapely.Polygon, strip: Strip, turning: Turning, start: Array, corners: Array) -> list[Array] | None:
    """Ways (n, 2) that see a tile, in the order flown from `start`; what is no stack of rings is cut in two and again.

    Points within half a footprint of the tile's edge may be in one strip only: the neighbour's outermost ring, or
    nobody's where the area ends, is the other. Legs lie within the tile, but for slants across a notch of it.

    Args:
        tile: Metres.
        strip: What a way sees.
        turning: Of the aircraft.
        start: (2,) where the aircraft comes from.
        corners: (n, 2) of the whole area (`sharp_corners`): rings are flown into those.

    Returns:
        None where pieces stay that are neither rings nor a line.
    """
    return _swept([tile], strip, turning, start, corners, _HALVINGS)


def _swept(
    tiles: list[shapely.Polygon], strip: Strip, turning: Turning, start: Array, corners: Array, halvings: int
) -> list[Array] | None:
    ways: list[Array] = []
    left = list(tiles)
    while left:
        here = ways[-1][-1] if ways else start
        away = shapely.distance(shapely.points(here), np.array(left))
        tile = left.pop(int(np.argmin(away)))
        stack = _stack(tile, strip, turning, corners)
        if stack is None:
            halves = _halves(tile)
            if not halvings or len(halves) < 2:
                return None
            more = _swept(halves, strip, turning, here, corners, halvings - 1)
        elif stack.rings:
            more = [_joined(stack, strip, turning, here)]
        else:
            line = _spine(tile)
            more = [line] if line is not None else None
        if more is None:
            return None
        ways += more
    return ways
