"""Where a plan's flight time goes: along lanes, beside them, from and to home, up and down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from missions.energy import FlightModel
from missions.result import PlannedSortie
from missions.route import STOP_S


@dataclass(frozen=True)
class Spent:
    """Seconds of flight by what they are spent on; their sum is the flight time.

    Attributes:
        lanes_s: Along lanes with the camera on, at full speed.
        links_s: Between lanes, at full speed.
        home_s: From home to the first photograph and from the last one back, at full speed.
        corners_s: Lost to slowing down and speeding up at corners, starts and stops, and where slopes are steep.
        vertical_s: Climb, descent and touch-down.
        stops_s: Standing still for photographs.
    """

    lanes_s: float = 0.0
    links_s: float = 0.0
    home_s: float = 0.0
    corners_s: float = 0.0
    vertical_s: float = 0.0
    stops_s: float = 0.0

    @property
    def total_s(self) -> float:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))

    def __add__(self, other: Spent) -> Spent:
        """The sum of two flights."""
        return Spent(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def spent(sortie: PlannedSortie, model: FlightModel) -> Spent:
    """What one sortie's time goes to."""
    route = sortie.route
    _, leg_s, _ = model.straight(np.diff(route.points, axis=0))
    on = route.shooting[:-1]
    marks = [*np.flatnonzero(on), *(np.flatnonzero(on) + 1), *(stop.index for stop in route.stops)]
    first, last = (int(min(marks)), int(max(marks))) if marks else (len(leg_s), len(leg_s))
    lanes_s = float(leg_s[on].sum())
    between_s = float(leg_s[first:last].sum())
    vertical_s = model.climb(float(route.height_rel_m[0]))[0] + model.descent(float(route.height_rel_m[-1]))[0]
    stops_s = STOP_S * len(route.stops)
    level_s = float(leg_s.sum())
    corners_s = sortie.duration_s - level_s - vertical_s - stops_s
    return Spent(lanes_s, between_s - lanes_s, level_s - between_s, corners_s, vertical_s, stops_s)


def spent_by_all(sorties: Sequence[PlannedSortie], model: FlightModel) -> Spent:
    """The same, summed."""
    return sum((spent(sortie, model) for sortie in sorties), Spent())
