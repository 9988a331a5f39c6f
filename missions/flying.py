"""Sorties over a run of lane pieces, with their exact time and energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from missions.climbing import on_course
from missions.coverage import Strip
from missions.errors import MissionsError
from missions.follow import SAG_M, follow
from missions.frame import Array
from missions.part import Part
from missions.request import Task
from missions.route import Route, build_route
from missions.sorties import Budget, Cut, Pieces, split

SWAP_S = 240.0
# Items of a sortie beside its lanes (home, take-off, speed, return); items of a lane (2 places, 2 camera, detours).
_FIXED_ITEMS = 8
_ITEMS_PER_LANE = 5
_TRIES = 6
_CLOSE = 0.01


@dataclass(frozen=True)
class Flown:
    """One sortie before it has a number, a crew and a time.

    Attributes:
        home: (2,) metres.
        route: Its way.
        strip: Lanes at its height.
        duration_s: From take-off to landing.
        energy_wh: The same.
    """

    home: Array
    route: Route
    strip: Strip
    duration_s: float
    energy_wh: float


def _budget(task: Task, strip: Strip, limit_wh: float) -> Budget:
    return Budget(
        straight_home=task.request.clearances.straight_home,
        energy_wh=limit_wh,
        climb_m=strip.height_agl_m,
        swap_s=SWAP_S,
        lanes=max(1, (task.profile.max_waypoints - _FIXED_ITEMS) // _ITEMS_PER_LANE),
    )


def measured(task: Task, part: Part, pieces: Pieces, home: Array, *, resumes: bool = False) -> Flown | None:
    """A sortie over pieces of lanes in their order; None where there is no way to it around what is closed."""
    try:
        route = build_route(pieces, home, part.router, part.strip, resumes=resumes)
    except MissionsError:
        return None
    if task.terrain is not None:
        route = follow(route, task.frame, task.terrain)
    route = _climbed(task, route)
    duration_s, energy_wh = route.time_and_energy(task.model)
    return Flown(home, route, part.strip, duration_s, energy_wh)


def _climbed(task: Task, route: Route) -> Route:
    """The route climbed on course, where that is asked for."""
    climb_out_m, profile = task.request.climb_out_m, task.profile
    if climb_out_m is None:
        return route
    lowest_m = climb_out_m - (SAG_M if task.terrain is not None else 0.0)
    rates_mps = (profile.cruise_mps, profile.climb_mps, profile.descent_mps)
    low = task.airspace.standing(lowest_m)
    return on_course(route, climb_out_m, rates_mps, lambda a, b: bool(low.clear(a, b).all()), task.frame, task.terrain)


def _one(task: Task, part: Part, work: Pieces, cut: Cut, homes: Array) -> Flown | None:
    """A sortie of a split, measured."""
    resumes = cut.first > 0 and work.lane[cut.first - 1] == work.lane[cut.first]
    return measured(task, part, work.part(cut.first, cut.last), homes[cut.home], resumes=bool(resumes))


def items_of(route: Route) -> int:
    """Mission items of a route: home, take-off, speed, return, waypoints, camera on and off, what a stop takes."""
    return len(route.points) + 3 + 2 * len(route.runs_m()) + 5 * len(route.stops)


def drawn_wh(task: Task, sortie: Flown, limit_wh: float) -> float:
    """A sortie's energy; more than its battery where hills make more items of it than the controller takes."""
    crowded = items_of(sortie.route) / task.profile.max_waypoints
    return sortie.energy_wh if crowded <= 1.0 else max(sortie.energy_wh, limit_wh * crowded)


def fly(task: Task, part: Part, work: Pieces, homes: Array, *, health: float | None = None) -> tuple[list[Flown], int]:
    """The cheapest sorties over a run of pieces, and how many pieces none of them reaches.

    The splitter estimates corners and knows no hills: it is asked again with what its first sorties really draw, and
    once more where one is still over the battery.

    Args:
        task: The request, read.
        part: Where the pieces lie.
        work: Pieces in flying order.
        homes: (m, 2) take-off points.
        health: Share of the nominal capacity that the batteries hold; None: the request's.
    """
    limit_wh = task.model.budget_wh(task.request.battery_health if health is None else health)
    budget = _budget(task, part.strip, limit_wh)
    dearer = np.ones(len(work))
    hidden = part.router.hidden(homes, work.start, work.end)
    best: list[tuple[Flown, Cut]] = []
    for number in range(_TRIES):
        cuts = split(work, homes, part.router, task.model, budget, dearer, hidden)
        tried = [(cut, _one(task, part, work, cut, homes)) for cut in cuts]
        best = [
            (sortie, cut)
            for cut, sortie in tried
            if sortie is not None and drawn_wh(task, sortie, limit_wh) <= limit_wh
        ]
        wrong = np.array(
            [drawn_wh(task, sortie, limit_wh) / cut.energy_wh if sortie is not None else 9.0 for cut, sortie in tried]
        )
        close = np.abs(wrong - 1).max(initial=0.0) < _CLOSE
        if len(best) == len(tried) and (number > 0 or len(tried) == 1 or close):
            break
        for factor, (cut, sortie) in zip(wrong, tried, strict=True):
            # First learn from every sortie, cheap or dear; then only take from those that are over the battery.
            if number == 0 or sortie is None or drawn_wh(task, sortie, limit_wh) > limit_wh:
                dearer[cut.first : cut.last + 1] *= factor * (1.0 if number == 0 else 1.003)
    reached = sum(cut.last - cut.first + 1 for _, cut in best)
    return [sortie for sortie, _ in best], len(work) - reached
