"""Terrain following: heights along a route so that the ground below is never nearer or farther than the lanes allow."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from missions.frame import Array, LocalFrame
from missions.route import Route
from missions.terrain import Terrain

# The way between two waypoints is straight: it leaves the ground's shape by at most this much to either side. 3 m of
# 112 m change the footprint by 2.7 %.
_TOLERANCE_M = 3.0
# So the aircraft flies between the wanted height and this much below it, never above: resolution and the law hold.
SAG_M = 2 * _TOLERANCE_M
_SAMPLE_M = 30.0


def _sampled(points: Array) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Points every few metres along a polyline, the leg each begins or lies on, and which are its own corners."""
    legs = np.hypot(*np.diff(points, axis=0).T)
    counts = np.maximum(1, np.ceil(legs / _SAMPLE_M).astype(int))
    leg = np.append(np.repeat(np.arange(len(legs)), counts), len(legs))
    within = np.arange(len(leg) - 1) - np.repeat(np.cumsum(counts) - counts, counts)
    share = np.append(within / np.repeat(counts, counts), 0.0)
    step = np.vstack([np.diff(points, axis=0), np.zeros((1, 2))])
    return points[leg] + share[:, None] * step[leg], leg, share == 0.0


def _kept(done: Array, wanted: Array, corner: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which samples become waypoints: all corners, and as few others as the tolerance allows (Douglas-Peucker)."""
    keep = corner.copy()
    corners = np.flatnonzero(corner)
    spans = list(itertools.pairwise(corners))
    while spans:
        low, high = spans.pop()
        if high - low < 2:
            continue
        inside = slice(low + 1, high)
        straight = np.interp(done[inside], [done[low], done[high]], [wanted[low], wanted[high]])
        off = np.abs(wanted[inside] - straight)
        worst = int(np.argmax(off))
        if off[worst] > _TOLERANCE_M:
            middle = low + 1 + worst
            keep[middle] = True
            spans += [(low, middle), (middle, high)]
    return keep


def follow(route: Route, frame: LocalFrame, terrain: Terrain) -> Route:
    """The route with heights above home's ground that follow the terrain, and waypoints where the ground bends.

    Args:
        route: With one height above the ground throughout.
        frame: Its metric frame.
        terrain: Ground heights.
    """
    places, leg, corner = _sampled(route.points)
    ground = terrain.at(frame.to_lonlat(places))
    wanted = ground - ground[0] + route.height_rel_m[0]
    done = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(places, axis=0).T))])
    keep = _kept(done, wanted, corner)
    lowered = wanted[keep] - _TOLERANCE_M
    return replace(route, points=places[keep], height_rel_m=lowered, shooting=route.shooting[leg[keep]])


def highest_agl_m(route: Route, frame: LocalFrame, terrain: Terrain | None) -> float:
    """The most that a route's own points are above the ground beneath them, metres."""
    if terrain is None:
        return float(route.height_rel_m.max())
    ground = terrain.at(frame.to_lonlat(route.points))
    return float((route.height_rel_m - ground + ground[0]).max())
