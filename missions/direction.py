"""Which way to sweep: candidate directions judged by a swappable objective."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.coverage import Outline, Strip, quick_lanes
from missions.energy import FlightModel
from missions.errors import MissionsError
from missions.vector import polygons_of

_EVEN_DIRECTIONS = 12
_EDGE_DIRECTIONS = 8


@dataclass(frozen=True)
class Sweep:
    """One candidate as the objectives see it.

    Attributes:
        direction_rad: Counterclockwise from east.
        length_m: All lanes.
        turns: Lanes, each of which ends in a turn.
        time_s: Lanes and turns in this wind.
        energy_wh: The same.
    """

    direction_rad: float
    length_m: float
    turns: int
    time_s: float
    energy_wh: float


Objective = Callable[[Sweep], float]
OBJECTIVES: dict[str, Objective] = {
    "time": lambda sweep: sweep.time_s,
    "energy": lambda sweep: sweep.energy_wh,
    "turns": lambda sweep: float(sweep.turns),
    "length": lambda sweep: sweep.length_m,
    # A battery swap costs minutes, so energy is worth time: hours of flight and batteries alike.
    "both": lambda sweep: sweep.time_s * math.sqrt(max(sweep.energy_wh, 1e-9) / max(sweep.time_s, 1e-9)),
}


def _edge_directions(target: BaseGeometry) -> list[float]:
    """Directions of the longest edges of the hull and of the outlines, in [0, pi)."""
    rings = [target.convex_hull.exterior, *(polygon.exterior for polygon in polygons_of(target))]
    found: dict[int, float] = {}
    for ring in rings:
        steps = np.diff(shapely.get_coordinates(shapely.simplify(ring, math.sqrt(target.area) / 50)), axis=0)
        for dx, dy in steps:
            degree = round(math.degrees(math.atan2(dy, dx))) % 180
            found[degree] = found.get(degree, 0.0) + math.hypot(dx, dy)
    longest = sorted(found, key=lambda degree: -found[degree])[:_EDGE_DIRECTIONS]
    return [math.radians(degree) for degree in longest]


def _sweep(outline: Outline, strip: Strip, model: FlightModel, direction_rad: float) -> Sweep:
    length_m, lanes = quick_lanes(outline, strip, direction_rad)
    unit = np.array([[math.cos(direction_rad), math.sin(direction_rad)]])
    both_ways = np.concatenate([unit, -unit])
    speed, time, energy = model.straight(both_ways)
    _, aside_s, aside_wh = model.straight(np.array([[-unit[0, 1], unit[0, 0]]]) * strip.lane_m)
    corners_s = 2 * float(model.corner_s(np.zeros(1), float(speed.mean()))[0])
    turn_s = float(aside_s[0]) + corners_s
    turn_wh = float(aside_wh[0]) + model.profile.hover_w * corners_s / 3600.0
    return Sweep(
        direction_rad,
        length_m,
        lanes,
        length_m * float(time.mean()) + lanes * turn_s,
        length_m * float(energy.mean()) + lanes * turn_wh,
    )


def sweeps(target: BaseGeometry, strip: Strip, model: FlightModel, objective: str = "both") -> list[Sweep]:
    """Candidate directions, best first by the objective (a key of `OBJECTIVES`)."""
    if objective not in OBJECTIVES:
        raise MissionsError(f"objective {objective!r}: choose one of {', '.join(OBJECTIVES)}")
    box = shapely.minimum_rotated_rectangle(target)
    edges = _edge_directions(target)
    if box.geom_type == "Polygon":
        (x0, y0), (x1, y1) = shapely.get_coordinates(box)[:2]
        along = math.atan2(y1 - y0, x1 - x0)
        edges += [along % math.pi, (along + math.pi / 2) % math.pi]
    even = [math.pi * step / _EVEN_DIRECTIONS for step in range(_EVEN_DIRECTIONS)]
    distinct = {round(angle, 3): angle for angle in [*even, *edges]}
    outline = Outline.of(target)
    found = [_sweep(outline, strip, model, angle) for angle in distinct.values()]
    return sorted(found, key=OBJECTIVES[objective])
