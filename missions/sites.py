"""Where crews take off from when nobody says: open places near what they photograph."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.errors import MissionsError
from missions.frame import Array
from missions.plan import LonLat
from missions.routing import Router
from missions.vector import read_features

# Beyond this from the middle of the work, home legs cost more than a drive to a second site saves.
SITE_SPACING_M = 1200.0
_RINGS = 40
# Work hidden behind zones from every site: up to this many sites more, while more than this share of it is hidden.
_MORE_SITES, _HIDDEN_SHARE = 4, 0.02
_SAMPLED, _CANDIDATES = 120, 16


def nearest_open(wanted: Array, router: Router, step_m: float = 10.0) -> Array:
    """The open point (2,) nearest to `wanted` (2,), by widening rings.

    Raises:
        MissionsError: Nothing is open within some hundred metres.
    """
    angles = np.linspace(0, 2 * math.pi, 16, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    for radius in step_m * np.arange(_RINGS) ** 1.3:
        points = wanted + radius * ring if radius else wanted[None, :]
        free = router.open_points(points)
        if free.any():
            return points[int(np.argmax(free))]
    raise MissionsError("no open place to take off from near the area: give one with --site LON,LAT outside the zones")


def propose_sites(work: BaseGeometry, router: Router) -> Array:
    """Take-off sites (n, 2) for work spread over a place: one in the middle, or a grid of them where it is wide."""
    west, south, east, north = work.bounds
    columns = max(1, round((east - west) / SITE_SPACING_M))
    rows = max(1, round((north - south) / SITE_SPACING_M))
    x = west + (np.arange(columns) + 0.5) * (east - west) / columns
    y = south + (np.arange(rows) + 0.5) * (north - south) / rows
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    if len(grid) > 1:
        near = shapely.dwithin(work, shapely.points(grid), SITE_SPACING_M / 2)
        grid = grid[near] if near.any() else grid
    else:
        grid = shapely.get_coordinates(work.centroid)
    return np.array([nearest_open(point, router) for point in grid])


def seeing_sites(homes: Array, start: Array, end: Array, air: Router, ground: Router) -> Array:
    """Take-off sites with those added that see, in a straight line, work hidden from all of them.

    Args:
        homes: (n, 2) chosen so far.
        start: (k, 2) beginnings of the work's legs.
        end: (k, 2) their ends.
        air: What is closed at flight height.
        ground: Where nobody may take off.
    """
    hidden = np.flatnonzero(air.hidden(homes, start, end).all(axis=0))
    whole = len(start)
    for _ in range(_MORE_SITES):
        if len(hidden) <= _HIDDEN_SHARE * whole:
            break
        chosen = hidden[:: max(1, len(hidden) // _SAMPLED)]
        middles = (start[chosen] + end[chosen]) / 2
        tried = middles[:: max(1, len(middles) // _CANDIDATES)]
        places = []
        for place in tried:
            try:
                places.append(nearest_open(place, ground))
            except MissionsError:
                continue
        if not places:
            break
        seen = (~air.hidden(np.array(places), start[chosen], end[chosen])).sum(axis=1)
        best = places[int(np.argmax(seen))]
        homes = np.concatenate([homes, best[None, :]])
        hidden = hidden[air.hidden(best[None, :], start[hidden], end[hidden])[0]]
    return homes


def read_sites(path: Path) -> tuple[LonLat, ...]:
    """Reads take-off sites: the points of a vector file, in its order.

    Raises:
        MissionsError: The file cannot be read, or holds no point.
    """
    points = [feature.geometry for feature in read_features(path) if feature.geometry.geom_type == "Point"]
    if not points:
        raise MissionsError(f"{path} holds no point: a take-off site is a point")
    return tuple((point.x, point.y) for point in points)
