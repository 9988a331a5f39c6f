"""What photographs see of the ground, one by one, at the height above the ground beneath each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from missions.frame import Array
from missions.plan import Plan
from missions.verifier.flight import Flight, Ground

# A lane's photographs keep this course, radians; a run of them that does not is bent.
_STRAIGHT_RAD = 0.02
# A bent run passes a place anew when so many photographs in between did not see it: about a corner one or two may not.
_PASS_GAP = 3


@dataclass(frozen=True)
class Shots:
    """All photographs in the order taken.

    Attributes:
        place: (n, 2) metres.
        course: (n,) of flight, radians.
        half: (n, 2) half footprints across and along.
        strip: (n,) number of the line that it was taken on.
        bent: (n,) whether that line is bent, as a spiral is: then each pass along it is a strip of its own.
    """

    place: Array
    course: Array
    half: Array
    strip: NDArray[np.int64]
    bent: NDArray[np.bool_]


def shots(flights: Sequence[Flight], plan: Plan, ground: Ground) -> Shots:
    """Every photograph shot along a lane, with its footprint at the height above the ground beneath it."""
    camera = plan.camera
    rows, names = [], []
    for number, flight in enumerate(flights):
        if not len(flight.photos):
            continue
        agl = flight.photos[:, 2] - ground.above(flight.points[0, :2], flight.photos[:, :2])
        scale = np.maximum(agl, 0) / camera.focal_px / 2
        rows.append(
            np.column_stack([flight.photos[:, :2], flight.course, scale * camera.width_px, scale * camera.height_px])
        )
        names.append(_strip_names(flight, number))
    if not rows:
        nothing = np.empty(0, dtype=np.int64)
        return Shots(np.empty((0, 2)), np.empty(0), np.empty((0, 2)), nothing, nothing.astype(bool))
    table, named = np.concatenate(rows), np.concatenate(names)
    strip = np.unique(named, axis=0, return_inverse=True)[1].reshape(-1)
    return Shots(table[:, :2], table[:, 2], table[:, 3:], strip.astype(np.int64), named[:, 0] > 0)


def _bent(flight: Flight) -> NDArray[np.bool_]:
    """(m,) whether each of a flight's lines turns."""
    lines, which = np.unique(flight.line, return_inverse=True)
    first = np.unique(flight.line, return_index=True)[1]
    turned = np.abs((flight.course - flight.course[first][which] + math.pi) % (2 * math.pi) - math.pi)
    return np.bincount(which, weights=turned > _STRAIGHT_RAD, minlength=len(lines)) > 0


def _strip_names(flight: Flight, number: int) -> Array:
    """(n, 3) whole numbers that are equal for stretches on one line: a lane cut in two is one strip, not two.

    The first is 0, but the flight's number and one more for a bent line, which is like no other.
    """
    lines, first = np.unique(flight.line, return_index=True)
    course = flight.course[first] % math.pi
    course = np.where(course > math.pi - 0.005, course - math.pi, course)
    normal = np.column_stack([-np.sin(course), np.cos(course)])
    offset = np.sum(flight.photos[first, :2] * normal, axis=1)
    zero = np.zeros(len(lines))
    straight = np.column_stack([zero, np.round(course / 0.01), np.round(offset / 4.0)])
    table = np.where(_bent(flight)[:, None], np.column_stack([zero + number + 1, lines, zero]), straight)
    return np.asarray(table[np.searchsorted(lines, flight.line)])


def strips_seen(shots: Shots, points: Array) -> NDArray[np.int64]:
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
    seen = np.unique(np.column_stack([point[inside], shots.strip[shot[inside]], shot[inside]]), axis=0)
    other = np.any(np.diff(seen[:, :2], axis=0) != 0, axis=1)
    again = (np.diff(seen[:, 2]) > _PASS_GAP) & shots.bent[seen[1:, 2]]
    first = np.append(True, other | again) if len(seen) else np.empty(0, dtype=bool)
    np.add.at(count, seen[first, 0], 1)
    # About a narrow turn a place may stay in sight: there and back are two strips.
    begun = np.flatnonzero(first)
    since = shots.course[seen[:, 2]] - shots.course[seen[begun[np.cumsum(first) - 1], 2]]
    turned = np.abs(np.sin(since / 2))
    back = shots.bent[seen[:, 2]] & (turned > math.sin(math.pi / 4))
    both = np.logical_or.reduceat(back, begun) if len(seen) else back
    np.add.at(count, seen[begun[both], 0], 1)
    return count


def sampled(area: BaseGeometry, samples: int, seed: int) -> Array:
    """Random points (n, 2) in an area, evenly."""
    random = np.random.default_rng(seed)
    west, south, east, north = area.bounds
    count = math.ceil(samples * (east - west) * (north - south) / max(area.area, 1e-9))
    points = random.uniform((west, south), (east, north), (min(count, 40 * samples), 2))
    shapely.prepare(area)
    return points[shapely.contains_xy(area, points)]


def shown(shots: Shots, places: Sequence[BaseGeometry]) -> float:
    """Square metres of places that nobody may photograph, inside photographs."""
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
