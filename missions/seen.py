"""How much of an area a plan's own strips see: samples on a grid, counted by strip."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.coverage import Strip
from missions.frame import Array
from missions.plan import Coverage
from missions.route import Route

_SAMPLES = 40_000


def strip_polygons(route: Route, strip: Strip) -> list[shapely.Polygon]:
    """What each stretch with the camera on sees, metres."""
    found = []
    for index in np.flatnonzero(route.shooting):
        start, end = route.points[index], route.points[index + 1]
        unit = (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
        side = np.array([-unit[1], unit[0]]) * strip.across_m / 2
        ahead = unit * strip.along_m / 2
        found.append(
            shapely.Polygon([start - ahead - side, end + ahead - side, end + ahead + side, start - ahead + side])
        )
    return found


def grid_points(area: BaseGeometry, samples: int = _SAMPLES) -> Array:
    """Points (n, 2) on a square grid inside an area, about `samples` of them."""
    west, south, east, north = area.bounds
    step = math.sqrt(max(area.area, 1e-6) / samples)
    x, y = np.arange(west + step / 2, east, step), np.arange(south + step / 2, north, step)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    shapely.prepare(area)
    return grid[shapely.contains_xy(area, grid)]


def measure(area: BaseGeometry, flown: Sequence[tuple[Route, Strip]]) -> Coverage:
    """Shares of an area seen in at least one and at least two strips.

    Args:
        area: What should be seen, metres.
        flown: Routes with what their lanes see.
    """
    polygons = [polygon for route, strip in flown for polygon in strip_polygons(route, strip)]
    points = grid_points(area)
    count = np.zeros(len(points), dtype=int)
    hits = shapely.STRtree(shapely.points(points)).query(polygons, predicate="contains")[1]
    np.add.at(count, hits, 1)
    total = max(len(points), 1)
    return Coverage(
        area_m2=round(float(area.area), 1),
        seen_once=round(float((count >= 1).sum()) / total, 5),
        seen_twice=round(float((count >= 2).sum()) / total, 5),
    )
