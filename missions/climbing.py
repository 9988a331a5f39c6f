"""Climbing and descending on course: straight up to a climb-out height only, the rest on the way to the first lane.

The way home is the same, reversed. What is saved is the time that straight climbs and descents above that height take;
what is flown lower is the first and the last hundred and some metres, about a take-off site that the pilot sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from missions.frame import Array, LocalFrame
from missions.route import Route
from missions.terrain import Terrain

Clear = Callable[[Array, Array], bool]
# Slopes are flown a little flatter than the aircraft climbs, so that they cost no speed.
_FLATTER = 1.05
# A slope that saves less than a second is not worth a waypoint.
_LEAST_M = 6.0
_SAMPLE_M = 15.0


def run_up_m(height_m: float, climb_out_m: float, speed_mps: float, vertical_mps: float) -> float:
    """Metres along that a slope from the climb-out height to `height_m` takes."""
    return max(height_m - climb_out_m, 0.0) * _FLATTER * speed_mps / vertical_mps


def _ground_rise(points: Array, frame: LocalFrame, terrain: Terrain | None) -> Array:
    """How much the ground at points is above that at the first of them."""
    if terrain is None:
        return np.zeros(len(points))
    ground = terrain.at(frame.to_lonlat(points))
    return np.asarray(ground - ground[0])


def _begin_m(
    way: Array, heights: Array, done: Array, reach_m: float, climb_out_m: float, rise: Callable[[Array], Array]
) -> float:
    """The lowest height above home's ground to begin a slope of `reach_m` at that keeps the climb-out height."""
    along = np.append(np.arange(0.0, reach_m, _SAMPLE_M), reach_m)
    places = np.column_stack([np.interp(along, done, way[:, axis]) for axis in (0, 1)])
    ground = rise(places)
    top_m = float(np.interp(reach_m, done, heights))
    share = along / reach_m
    # begin * (1 - share) + top * share must be climb_out above the ground everywhere.
    with np.errstate(divide="ignore"):
        needed = (climb_out_m + ground - top_m * share) / np.maximum(1.0 - share, 1e-9)
    return max(climb_out_m, float(needed[:-1].max()))


def _sloped_out(
    route: Route, climb_out_m: float, m_per_m: float, clear: Clear, rise: Callable[[Array], Array]
) -> Route:
    """The way from home to the first photograph climbed on course."""
    count = int(np.flatnonzero(route.shooting)[0]) + 1
    way, heights = route.points[:count], route.height_rel_m[:count]
    done = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    full_m = float(heights[0])
    reach_m = min((full_m - climb_out_m) * m_per_m, float(done[-1]))
    if reach_m < _LEAST_M * m_per_m:
        return route
    lowest_m = _begin_m(way, heights, done, reach_m, climb_out_m, rise)
    begin_m = max(lowest_m, float(np.interp(reach_m, done, heights)) - reach_m / m_per_m)
    inner = done < reach_m - 0.5
    end = np.array([[np.interp(reach_m, done, way[:, axis]) for axis in (0, 1)]])
    slope = np.concatenate([way[inner], end])
    if full_m - begin_m < _LEAST_M or not clear(slope[:-1], slope[1:]):
        return route
    top_m = float(np.interp(reach_m, done, heights))
    climbed = begin_m + np.append(done[inner], reach_m) / reach_m * (top_m - begin_m)
    rest = done > reach_m + 0.5
    first = int(np.flatnonzero(rest)[0]) if rest.any() else count - 1 + int(done[-1] <= reach_m + 0.5)
    shooting = np.append(np.zeros(len(slope) - 1, dtype=bool), first >= count)
    return replace(
        route,
        points=np.concatenate([slope, route.points[first:]]),
        height_rel_m=np.concatenate([climbed, route.height_rel_m[first:]]),
        shooting=np.concatenate([shooting, route.shooting[first:]]),
    )


def _turned(route: Route) -> Route:
    """The same way flown from its end."""
    shooting = np.append(route.shooting[:-1][::-1], False)
    return replace(route, points=route.points[::-1], height_rel_m=route.height_rel_m[::-1], shooting=shooting)


def on_course(
    route: Route,
    climb_out_m: float,
    rates_mps: tuple[float, float, float],
    clear: Clear,
    frame: LocalFrame,
    terrain: Terrain | None,
) -> Route:
    """A route whose climb and descent above `climb_out_m` are flown on the way, as far as the ways are long and clear.

    Args:
        route: Straight up and down at home, without photographs from standstills.
        climb_out_m: Least height above the ground beneath, from where slopes begin and end.
        rates_mps: Cruise, climb and descent speed.
        clear: Whether legs (n, 2) to (n, 2) keep clear of what stands higher than the climb-out height allows.
        frame: The route's metric frame.
        terrain: Ground heights; None: flat.
    """
    if not route.shooting.any() or route.stops:
        return route
    speed, climb, descent = rates_mps

    def rise(points: Array) -> Array:
        return _ground_rise(np.concatenate([route.points[:1], points]), frame, terrain)[1:]

    out = _sloped_out(route, climb_out_m, _FLATTER * speed / climb, clear, rise)
    return _turned(_sloped_out(_turned(out), climb_out_m, _FLATTER * speed / descent, clear, rise))
