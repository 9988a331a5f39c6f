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


@dataclass(frozen=True)
class Shots:
    """All photographs: place (n, 2), course (n,), half footprints (n, 2) across and along, strip number (n,)."""

    place: Array
    course: Array
    half: Array
    strip: NDArray[np.int64]


def shots(flights: Sequence[Flight], plan: Plan, ground: Ground) -> Shots:
    """Every photograph shot along a lane, with its footprint at the height above the ground beneath it."""
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
        return Shots(np.empty((0, 2)), np.empty(0), np.empty((0, 2)), np.empty(0, dtype=np.int64))
    table = np.concatenate(rows)
    strip = np.unique(np.concatenate(names), axis=0, return_inverse=True)[1].reshape(-1)
    return Shots(table[:, :2], table[:, 2], table[:, 3:], strip.astype(np.int64))


def _strip_names(flight: Flight) -> Array:
    """(n, 2) whole numbers that are equal for stretches on one line: a lane cut in two is one strip, not two."""
    first = np.unique(flight.line, return_index=True)[1]
    course = flight.course[first] % math.pi
    course = np.where(course > math.pi - 0.005, course - math.pi, course)
    normal = np.column_stack([-np.sin(course), np.cos(course)])
    offset = np.sum(flight.photos[first, :2] * normal, axis=1)
    table = np.column_stack([np.round(course / 0.01), np.round(offset / 4.0)])
    return table[np.searchsorted(np.unique(flight.line), flight.line)]


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
    pairs = np.unique(np.column_stack([point[inside], shots.strip[shot[inside]]]), axis=0)
    np.add.at(count, pairs[:, 0], 1)
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
