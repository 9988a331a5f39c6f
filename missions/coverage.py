"""Coverage: parallel lanes whose photographs see a place, around what is closed. Plain geometry in metres.

The rule that lanes obey: every point of the target lies in the strip of at least one lane, and every point deeper
than half a footprint in at least two. With centre lines spaced closer than half a footprint, cut where they leave the
target, the second follows: the disc of that radius about a deep point meets two centre lines beside the point. The
first is then made true by stretching lanes, or adding short ones, over what `_unseen` still finds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from missions.camera import Camera
from missions.frame import Array
from missions.vector import polygons_of

# Shares of a footprint. Guard: what wind, tilt and position error may eat at a strip's rim (7 % of 158 m is 11 m).
# Inset: how deep the first lane may lie, 0.5 being the limit at which the edge is just seen once.
_GUARD = 0.07
SIDE_INSET = 0.30
_END_INSET = 0.35
_NEGLIGIBLE_M2 = 1.0
# Lanes end this far before what is closed, so that ways to and from them can leave its outline.
_STAND_OFF_M = 1.0
_PASSES = 4
# Lanes are whole trigger distances and this much more: a vehicle counts a waypoint as reached, and stops shooting, at
# its radius of 2 m (WPNAV_RADIUS) and some lag before it; flights lost the last photograph of every lane at 1 m.
OVERRUN_M = 4.0


@dataclass(frozen=True)
class Strip:
    """What one lane sees, and how far lanes and photographs are apart; metres.

    Attributes:
        across_m: Footprint across the lane.
        along_m: Footprint along the lane.
        lane_m: Distance between lanes.
        trigger_m: Distance between photographs.
        height_agl_m: Height above the ground that gives these.
    """

    across_m: float
    along_m: float
    lane_m: float
    trigger_m: float
    height_agl_m: float

    @staticmethod
    def of(camera: Camera, height_agl_m: float, front_overlap: float, side_overlap: float) -> Strip:
        """The strip of a camera at a height."""
        across_m, along_m = camera.footprint_m(height_agl_m)
        return Strip(
            across_m,
            along_m,
            camera.lane_m(height_agl_m, side_overlap),
            camera.trigger_m(height_agl_m, front_overlap),
            height_agl_m,
        )

    @property
    def reach_across_m(self) -> float:
        """Half the strip that may be relied on."""
        return self.across_m * (0.5 - _GUARD)

    @property
    def guard_m(self) -> float:
        """What is not relied on at the rim of a strip."""
        return self.across_m * _GUARD

    @property
    def reach_along_m(self) -> float:
        """How far beyond its end a lane may be relied on to see."""
        return self.along_m * (0.5 - _GUARD)


@dataclass(frozen=True)
class Lanes:
    """Lanes in metres: `start`, `end` (n, 2), the `row` each lies in (n,), and their direction from east."""

    start: Array
    end: Array
    row: NDArray[np.int64]
    direction_rad: float

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length_m(self) -> float:
        """Sum of all."""
        return float(np.hypot(*(self.end - self.start).T).sum())


def joined(parts: Sequence[Lanes]) -> Lanes:
    """Lanes of several pieces as one set; the direction is the first one's."""
    if not parts:
        return Lanes(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, dtype=np.int64), 0.0)
    rows = np.cumsum([0, *(int(part.row.max(initial=-1)) + 1 for part in parts[:-1])])
    return Lanes(
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.end for part in parts]),
        np.concatenate([part.row + first for part, first in zip(parts, rows, strict=True)]),
        parts[0].direction_rad,
    )


def turned(geometry: BaseGeometry, angle_rad: float) -> BaseGeometry:
    """A geometry rotated about the origin, counterclockwise."""
    matrix = _rotation(angle_rad)
    return shapely.transform(geometry, lambda xy: xy @ matrix)


def _rotation(angle_rad: float) -> Array:
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[cosine, sine], [-sine, cosine]])


def _rows(bounds: Array, strip: Strip) -> Array:
    """Heights of the rows: as few as the inset allows, evenly spread."""
    low, high = bounds[1], bounds[3]
    depth = high - low
    spare = depth - 2 * SIDE_INSET * strip.across_m
    count = max(1, math.ceil(spare / strip.lane_m - 1e-9) + 1)
    spacing = min(strip.lane_m, depth / count)
    return (low + high) / 2 + spacing * (np.arange(count) - (count - 1) / 2)


class _Rows:
    """Intervals `low`..`high` along rows in the frame where lanes run east; `y` of each row, `row` of each interval."""

    def __init__(self, y: Array, low: Array, high: Array, row: NDArray[np.int64]) -> None:
        self.y, self.low, self.high, self.row = y, low, high, row

    @staticmethod
    def crossing(y: Array, usable: BaseGeometry, bounds: Array) -> _Rows:
        """The parts of each row inside `usable`."""
        ends = np.array([bounds[0] - 1.0, bounds[2] + 1.0])
        lines = shapely.linestrings(np.stack([np.tile(ends, (len(y), 1)), np.repeat(y[:, None], 2, axis=1)], axis=2))
        parts, row = shapely.get_parts(shapely.intersection(lines, usable), return_index=True)
        inside = (shapely.get_dimensions(parts) == 1) & ~shapely.is_empty(parts)
        box = shapely.bounds(parts[inside])
        return _Rows(y, box[:, 0], box[:, 2], row[inside])

    def boxes(self, strip: Strip) -> Array:
        """What each interval can be relied on to see."""
        y = self.y[self.row]
        across, along = strip.reach_across_m, strip.reach_along_m
        return shapely.box(self.low - along, y - across, self.high + along, y + across)

    def shrunk(self, strip: Strip, target: BaseGeometry | None = None) -> _Rows:
        """Ends drawn in, since photographs see beyond them, to whole trigger distances where the room is there.

        Args:
            strip: What a lane sees.
            target: What must be seen; an end that something closed has cut, where the target goes on, stays.
        """
        inset = _END_INSET * strip.along_m
        first, last = np.full(len(self.row), inset), np.full(len(self.row), inset)
        if target is not None:
            y = self.y[self.row]
            for room, end, sign in ((first, self.low, -1.0), (last, self.high, 1.0)):
                room[shapely.contains_xy(target, end + sign, y)] *= 0.5
                room[shapely.contains_xy(target, end + sign * inset, y)] = 0.0
        full = self.high - self.low
        tight = first + last > full - strip.trigger_m
        scale = np.where(tight, np.maximum(full - strip.trigger_m, 0.0) / np.maximum(first + last, 1e-9), 1.0)
        first, last = first * scale, last * scale
        length = full - first - last
        wanted = np.minimum(np.ceil(length / strip.trigger_m - 1e-9) * strip.trigger_m + OVERRUN_M, full)
        share = first / np.maximum(first + last, 1e-9)
        grown = wanted - length
        return _Rows(self.y, self.low + first - grown * share, self.high - last + grown * (1 - share), self.row)

    def whole(self, strip: Strip, closed: BaseGeometry) -> None:
        """Lengthens what mending left between two triggers to the next whole one, where nothing closed hinders."""
        for index in range(len(self.row)):
            length = self.high[index] - self.low[index]
            missing = math.ceil((length - OVERRUN_M) / strip.trigger_m - 1e-6) * strip.trigger_m + OVERRUN_M - length
            if missing < 1e-6:
                continue
            y = self.y[self.row[index]]
            for low, high in ((0.0, missing), (missing, 0.0), (missing / 2, missing / 2)):
                ends = [(self.low[index] - low, y), (self.high[index] + high, y)]
                if not closed.intersects(shapely.linestrings(ends)):
                    self.low[index], self.high[index] = ends[0][0], ends[1][0]
                    break


def _unseen(target: BaseGeometry, rows: _Rows, strip: Strip) -> list[shapely.Polygon]:
    if not len(rows.row):
        return polygons_of(target)
    rest = target.difference(shapely.union_all(rows.boxes(strip)))
    return [part for part in polygons_of(rest) if part.area > _NEGLIGIBLE_M2]


def _stretch(rows: _Rows, bounds: Array, strip: Strip, closed: BaseGeometry) -> bool:
    """Lengthens the interval that can see a box (x0, y0, x1, y1) for the least added length; False where none can."""
    offset = np.abs(rows.y[rows.row] - (bounds[1] + bounds[3]) / 2) + (bounds[3] - bounds[1]) / 2
    low = np.minimum(rows.low, bounds[0] + strip.reach_along_m)
    high = np.maximum(rows.high, bounds[2] - strip.reach_along_m)
    added = (rows.low - low) + (high - rows.high)
    added[offset > strip.reach_across_m] = np.inf
    for index in np.argsort(added)[:3]:
        if not added[index] < 2 * strip.lane_m + (bounds[2] - bounds[0]):
            return False
        y = rows.y[rows.row[index]]
        line = shapely.linestrings([(low[index], y), (high[index], y)])
        if not closed.intersects(line):
            rows.low[index], rows.high[index] = low[index], high[index]
            return True
    return False


def _add_short(rows: _Rows, bounds: Array, strip: Strip, closed: BaseGeometry) -> _Rows | None:
    """A row of its own for a box that no other sees, at the free place nearest its middle; None where all is closed."""
    reach = max(0.0, strip.reach_across_m - (bounds[3] - bounds[1]) / 2)
    middle_x, middle_y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    half = max((bounds[2] - bounds[0]) / 2 - strip.reach_along_m, 1.0)
    for step in np.linspace(0, 1, 9):
        for y in {middle_y + step * reach, middle_y - step * reach}:
            for shift in (0.0, strip.reach_along_m - 1.0, 1.0 - strip.reach_along_m):
                low, high = middle_x - half + shift, middle_x + half + shift
                if not closed.intersects(shapely.linestrings([(low, y), (high, y)])):
                    return _Rows(
                        np.append(rows.y, y),
                        np.append(rows.low, low),
                        np.append(rows.high, high),
                        np.append(rows.row, len(rows.y)),
                    )
    return None


def _mended(rows: _Rows, target: BaseGeometry, closed: BaseGeometry, strip: Strip) -> _Rows:
    """Stretches and adds until everything that can be seen is."""
    for _ in range(_PASSES):
        changed = False
        for part in _unseen(target, rows, strip):
            for piece in _pieces(part, strip):
                bounds = np.array(piece.bounds)
                if len(rows.row) and _stretch(rows, bounds, strip, closed):
                    changed = True
                elif (wider := _add_short(rows, bounds, strip, closed)) is not None:
                    rows, changed = wider, True
        if not changed:
            break
    return rows


def _pieces(part: shapely.Polygon, strip: Strip) -> list[shapely.Polygon]:
    """A part cut into slices that one lane can see whole."""
    low, high = part.bounds[1], part.bounds[3]
    # A ring about something closed, or a bent rest, is cut finer: no lane sees both of its sides.
    bent = part.area < 0.7 * part.convex_hull.area
    count = math.ceil((high - low) / ((0.5 if bent else 1.6) * strip.reach_across_m))
    if count <= 1:
        return [part]
    edges = np.linspace(low, high, count + 1)
    slices = shapely.box(part.bounds[0] - 1, edges[:-1], part.bounds[2] + 1, edges[1:])
    return [piece for cut in shapely.intersection(part, slices) for piece in polygons_of(cut)]


def _merged(rows: _Rows, closed: BaseGeometry, gap_m: float) -> _Rows:
    """Joins neighbours in a row across gaps shorter than a turn would be, where nothing is closed between them."""
    order = np.lexsort((rows.low, rows.row))
    low, high, row = rows.low[order], rows.high[order], rows.row[order]
    join = (row[1:] == row[:-1]) & (low[1:] - high[:-1] < gap_m)
    for index in np.flatnonzero(join):
        y = rows.y[row[index]]
        if low[index + 1] > high[index] and closed.intersects(
            shapely.linestrings([(high[index], y), (low[index + 1], y)])
        ):
            join[index] = False
    first = np.concatenate([[True], ~join])
    return _Rows(rows.y, low[first], np.maximum.reduceat(high, np.flatnonzero(first)), row[first])


def cover(target: BaseGeometry, closed: BaseGeometry, strip: Strip, direction_rad: float) -> Lanes:
    """Lanes in one direction that see all of a target, as far as what is closed allows.

    Args:
        target: What must be seen (polygons, metres).
        closed: Where no lane may lie (polygons, metres).
        strip: What a lane sees.
        direction_rad: Direction of the lanes, counterclockwise from east.

    Returns:
        Lanes by row from one side to the other; none where the target is empty.
    """
    flat = turned(target, -direction_rad)
    barred = turned(shapely.buffer(closed, _STAND_OFF_M, join_style="mitre"), -direction_rad)
    shapely.prepare(barred)
    shapely.prepare(flat)
    bounds = np.array(flat.bounds)
    if flat.is_empty:
        return Lanes(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, dtype=np.int64), direction_rad)
    usable = flat.difference(barred) if barred.intersects(flat) else flat
    rows = _Rows.crossing(_rows(bounds, strip), usable, bounds)
    rows = _merged(rows, barred, 2 * strip.lane_m) if len(rows.row) else rows
    rows = _mended(rows.shrunk(strip, flat), flat, barred, strip)
    rows.whole(strip, barred)
    rows = _merged(rows, barred, 1.0) if len(rows.row) else rows
    order = np.lexsort((rows.low, rows.y[rows.row]))
    y = rows.y[rows.row][order]
    back = _rotation(direction_rad)
    start = np.column_stack([rows.low[order], y]) @ back
    end = np.column_stack([rows.high[order], y]) @ back
    return Lanes(start, end, np.unique(y, return_inverse=True)[1].astype(np.int64), direction_rad)


@dataclass(frozen=True)
class Outline:
    """Edges of rings, `start` to `end` (n, 2) metres; outer rings run one way, holes the other."""

    start: Array
    end: Array

    @staticmethod
    def of(target: BaseGeometry) -> Outline:
        """Collects the rings of polygons."""
        rings = []
        for polygon in polygons_of(shapely.orient_polygons(target)):
            rings += [polygon.exterior, *polygon.interiors]
        coordinates = [shapely.get_coordinates(ring) for ring in rings]
        return Outline(np.concatenate([c[:-1] for c in coordinates]), np.concatenate([c[1:] for c in coordinates]))


def quick_lanes(outline: Outline, strip: Strip, direction_rad: float) -> tuple[float, int]:
    """Length of all lanes (m) and their number in one direction, without mending: to compare directions by.

    Along a row, edges going up and edges going down alternate: the signed sum of their crossings is the length inside.
    """
    matrix = _rotation(-direction_rad)
    start, end = outline.start @ matrix, outline.end @ matrix
    rows = _rows(np.array([0.0, start[:, 1].min(), 0.0, start[:, 1].max()]), strip)
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    # Each edge meets the rows from `first` up to, not including, `last`.
    first, last = np.searchsorted(rows, low), np.searchsorted(rows, high)
    count = last - first
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    rise = end[edge, 1] - start[edge, 1]
    x = start[edge, 0] + (rows[row] - start[edge, 1]) / rise * (end[edge, 0] - start[edge, 0])
    lanes = len(edge) // 2
    inside = abs(float(np.sum(np.sign(rise) * x)))
    return max(0.0, inside - 2 * _END_INSET * strip.along_m * lanes), lanes
