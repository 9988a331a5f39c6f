"""Sorties over a run of lane pieces, with their exact time and energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.coverage import Strip
from missions.errors import MissionsError
from missions.follow import follow
from missions.frame import Array
from missions.loops import looped
from missions.part import Part
from missions.request import Task
from missions.route import Route, build_route
from missions.sorties import Budget, Cut, Pieces, split
from missions.tracks import Tracks

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
        first: Its first piece in the run it was cut from.
        last: Its last piece there.
    """

    home: Array
    route: Route
    strip: Strip
    duration_s: float
    energy_wh: float
    first: int = 0
    last: int = 0


def _budget(task: Task, strip: Strip, limit_wh: float, exact_ways: bool, *, in_loops: bool) -> Budget:
    return Budget(
        looped=in_loops,
        straight_home=task.request.clearances.straight_home,
        exact_ways=exact_ways,
        energy_wh=limit_wh,
        climb_m=strip.height_agl_m,
        swap_s=SWAP_S,
        lanes=max(1, (task.profile.max_waypoints - _FIXED_ITEMS) // _ITEMS_PER_LANE // (2 if in_loops else 1)),
    )


def _one(task: Task, part: Part, work: Pieces, cut: Cut, homes: Array, tracks: Tracks | None) -> Flown | None:
    """A sortie of a split, measured; None where there is no way to it around what is closed."""
    resumes = cut.first > 0 and work.lane[cut.first - 1] == work.lane[cut.first]
    pieces = work.part(cut.first, cut.last)
    if tracks is not None:
        pieces = looped(tracks.stretches(pieces), homes[cut.home], part.router, task.model, part.strip)
        resumes = False
    try:
        route = build_route(pieces, homes[cut.home], part.router, part.strip, resumes=bool(resumes))
    except MissionsError:
        return None
    if task.terrain is not None:
        route = follow(route, task.frame, task.terrain)
    duration_s, energy_wh = route.time_and_energy(task.model)
    return Flown(homes[cut.home], route, part.strip, duration_s, energy_wh, cut.first, cut.last)


def _beyond(homes: Array, work: Pieces, range_m: float) -> NDArray[np.bool_]:
    """(homes, pieces): whether an end of a piece is farther from a home than the line of sight."""
    ends = np.stack([work.start, work.end])
    away = np.hypot(*(ends[None] - homes[:, None, None, :]).transpose(3, 0, 1, 2))
    return np.asarray(away.max(axis=1) > range_m)


def fly(
    task: Task,
    part: Part,
    work: Pieces,
    homes: Array,
    *,
    health: float | None = None,
    range_m: float = np.inf,
    exact_ways: bool = True,
    own: NDArray[np.int64] | None = None,
    tracks: Tracks | None = None,
) -> tuple[list[Flown], int]:
    """The cheapest sorties over a run of pieces, and how many pieces none of them reaches.

    The splitter estimates corners and knows no hills: it is asked again with what its first sorties really draw, and
    once more where one is still over the battery.

    Args:
        task: The request, read.
        part: Where the pieces lie.
        work: Pieces in flying order.
        homes: (m, 2) take-off points.
        health: Share of the nominal capacity that the batteries hold; None: the request's.
        range_m: Line of sight from home.
        exact_ways: See `Budget`.
        own: (n,) number of the home that each piece was dealt to, and may be flown from however far it is.
        tracks: Where the pieces are of pairs of lanes: the lanes, which are put in an order that ends where it began.
    """
    limit_wh = task.model.budget_wh(task.request.battery_health if health is None else health)
    budget = _budget(task, part.strip, limit_wh, exact_ways, in_loops=tracks is not None)
    dearer = np.ones(len(work))
    load = tracks.load(work) if tracks is not None else None
    hidden = part.router.hidden(homes, work.start, work.end)
    far = _beyond(homes, work, range_m)
    if own is not None:
        far[own, np.arange(len(work))] = False
    best: list[tuple[Flown, Cut]] = []
    for number in range(_TRIES):
        cuts = split(work, homes, part.router, task.model, budget, dearer, hidden, far, load)
        tried = [(cut, _one(task, part, work, cut, homes, tracks)) for cut in cuts]
        best = [(sortie, cut) for cut, sortie in tried if sortie is not None and sortie.energy_wh <= limit_wh]
        wrong = np.array([sortie.energy_wh / cut.energy_wh if sortie is not None else 9.0 for cut, sortie in tried])
        close = np.abs(wrong - 1).max(initial=0.0) < _CLOSE
        if len(best) == len(tried) and (number > 0 or len(tried) == 1 or close):
            break
        for factor, (cut, sortie) in zip(wrong, tried, strict=True):
            # First learn from every sortie, cheap or dear; then only take from those that are over the battery.
            if number == 0 or sortie is None or sortie.energy_wh > limit_wh:
                dearer[cut.first : cut.last + 1] *= factor * (1.0 if number == 0 else 1.003)
    reached = sum(cut.last - cut.first + 1 for _, cut in best)
    return [sortie for sortie, _ in best], len(work) - reached
