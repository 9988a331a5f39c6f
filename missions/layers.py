"""Ways from and to home at another height than the lanes', so that own aircraft cross above one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from missions.airspace import LEGAL_CEILING_AGL_M
from missions.follow import SAG_M
from missions.frame import Array
from missions.request import Task
from missions.result import Timed
from missions.route import Route
from missions.routing import Router
from missions.vector import polygons_of

# Between two levels: the 12 m that `separation` keeps between aircraft, and the rounding of heights to centimetres.
LAYER_M = 12.5
# Up first (nothing stands there), then down, but not among houses and trees that nobody may have listed.
_STEPS = (1, -1, 2, -2, 3, -3, 4, -4)
_LOWEST_AGL_M = 60.0


def transits(route: Route) -> tuple[int, int]:
    """The route's points at which its first lane begins and its last one ends."""
    on = np.flatnonzero(route.shooting)
    return int(on[0]), int(on[-1]) + 1


def at_level(route: Route, rise_m: float) -> Route:
    """The route with its ways from and to home so much higher; it changes height straight above its lanes' ends."""
    first, last = transits(route)
    points = np.concatenate([route.points[: first + 1], route.points[first : last + 1], route.points[last:]])
    heights = np.concatenate(
        [
            route.height_rel_m[: first + 1] + rise_m,
            route.height_rel_m[first : last + 1],
            route.height_rel_m[last:] + rise_m,
        ]
    )
    away, back = np.zeros(first + 1, dtype=bool), np.zeros(len(route.points) - last + 1, dtype=bool)
    return replace(
        route, points=points, height_rel_m=heights, shooting=np.concatenate([away, route.shooting[first:last], back])
    )


class Levels:
    """What is closed at each height that ways may be moved to.

    Args:
        task: The request, read.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._routers: dict[float, Router] = {}

    def router(self, level_agl_m: float) -> Router:
        """Ways around what is closed at a height."""
        level = round(level_agl_m, 2)
        if level not in self._routers:
            closed = self.task.airspace.closed(level, SAG_M if self.task.terrain is not None else 0.0)
            self._routers[level] = Router(polygons_of(closed))
        return self._routers[level]

    def _clear(self, route: Route, level_agl_m: float) -> bool:
        first, last = transits(route)
        points: Array = route.points
        legs = np.concatenate([np.arange(first), np.arange(last, len(points) - 1)])
        return bool(self.router(level_agl_m).clear(points[legs], points[legs + 1]).all())

    def of(self, item: Timed) -> Iterator[Timed]:
        """The sortie with its ways at other levels, the nearest first: lawful, clear, and within its battery."""
        flown = item.flown
        if flown.route.stops or not flown.route.shooting.any():
            return
        health = item.rostered.machine.battery_health if item.rostered else self.task.request.battery_health
        for step in _STEPS:
            if step < 0 and self.task.request.climb_out_m is not None:  # slopes would begin below the climb-out height
                continue
            level_m = flown.strip.height_agl_m + step * LAYER_M
            if not _LOWEST_AGL_M <= level_m <= LEGAL_CEILING_AGL_M or not self._clear(flown.route, level_m):
                continue
            route = at_level(flown.route, step * LAYER_M)
            duration_s, energy_wh = route.time_and_energy(self.task.model)
            if energy_wh <= self.task.model.budget_wh(health):
                moved = replace(flown, route=route, duration_s=duration_s, energy_wh=energy_wh)
                yield replace(item, flown=moved, transit_agl_m=level_m)
