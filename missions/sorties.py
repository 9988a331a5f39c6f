"""A tour over lanes cut into sorties by energy: the cheapest cuts, found by dynamic programming over pieces of lanes.

A lane may be cut at multiples of its trigger distance, so a sortie flies until its battery is used and the next one
resumes with one photograph of overlap.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.coverage import Lanes, Strip
from missions.energy import FlightModel
from missions.frame import Array
from missions.routing import Router

# Finer pieces let a sortie end where a lane passes nearest to home: 32 instead of 8 a sortie took 2 to 4 % off the
# flight time of areas of 3 to 5 km2 flown by an 18-minute aircraft (benchmarks/planner.py baseline, seeds 0, 4, 10).
_PIECES_PER_SORTIE = 32
# A finite length that no battery flies: sums of it stay numbers.
_NO_WAY_M = 1e9
# A second flown where the straight way home is closed counts as this many: worth another site, not another battery.
_HIDDEN_WEIGHT = 3.0


@dataclass(frozen=True)
class Pieces:
    """Pieces of lanes in flying order: `start`, `end` (n, 2) metres, the `lane` each belongs to (n,)."""

    start: Array
    end: Array
    lane: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def reversed(self) -> Pieces:
        """The same pieces flown the other way round."""
        return Pieces(self.end[::-1], self.start[::-1], self.lane[::-1])

    def part(self, first: int, last: int) -> Pieces:
        """Pieces `first`..`last`, both included."""
        chosen = slice(first, last + 1)
        return Pieces(self.start[chosen], self.end[chosen], self.lane[chosen])


@dataclass(frozen=True)
class Cut:
    """One sortie of a split: pieces `first`..`last` (included) from home number `home`, with the energy estimated."""

    first: int
    last: int
    home: int
    energy_wh: float


def pieces_of(lanes: Lanes, entry: NDArray[np.int64], strip: Strip, longest_m: float) -> Pieces:
    """Lanes in tour order, cut into pieces no longer than `longest_m` at multiples of the trigger distance."""
    starts, ends, owners = [], [], []
    whole = max(1, int(longest_m / strip.trigger_m)) * strip.trigger_m
    for end in entry:
        lane = int(end) // 2
        a, b = (lanes.start[lane], lanes.end[lane]) if end % 2 == 0 else (lanes.end[lane], lanes.start[lane])
        length = float(np.hypot(*(b - a)))
        marks = np.append(np.arange(0.0, max(length - strip.trigger_m, 1e-9), whole), length)
        points = a + np.outer(marks / max(length, 1e-9), b - a)
        starts.append(points[:-1])
        ends.append(points[1:])
        owners.append(np.full(len(points) - 1, lane))
    if not starts:
        return Pieces(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, dtype=np.int64))
    return Pieces(np.concatenate(starts), np.concatenate(ends), np.concatenate(owners).astype(np.int64))


def longest_piece_m(model: FlightModel) -> float:
    """A piece length that gives the splitter enough places to cut."""
    cruise = np.array([model.profile.cruise_mps + model.wind_mps / 2])
    hours = model.budget_wh() / float(model.power_w(cruise)[0])
    return hours * 3600.0 * model.profile.cruise_mps / _PIECES_PER_SORTIE


@dataclass(frozen=True)
class Budget:
    """What one sortie may use.

    Attributes:
        energy_wh: From the battery, climb and descent included.
        climb_m: Height climbed after take-off.
        swap_s: Time on the ground between sorties: what a further sortie costs.
        lanes: Most lanes in one sortie: the controller's waypoint limit.
        straight_home: Whether pieces from which the straight way home is closed may not be flown at all.
    """

    energy_wh: float
    climb_m: float
    swap_s: float
    lanes: int
    straight_home: bool = False


class _Costs:
    """Prefix sums of time and energy along the pieces, and what it takes to reach and leave them."""

    def __init__(
        self,
        pieces: Pieces,
        homes: Array,
        router: Router,
        model: FlightModel,
        budget: Budget,
        dearer: Array,
        hidden: NDArray[np.bool_] | None,
    ) -> None:
        _, fly_s, fly_wh = model.straight(pieces.end - pieces.start)
        fly_wh = fly_wh * dearer
        gap = pieces.start[1:] - pieces.end[:-1]
        _, link_s, link_wh = model.straight(gap)
        direct = np.hypot(gap[:, 0], gap[:, 1])
        around = direct.copy()
        blocked = np.flatnonzero(~router.clear(pieces.end[:-1], pieces.start[1:]))
        for index in blocked:
            around[index] = _length(router.path(pieces.end[index], pieces.start[index + 1]))
        stretch = np.where(direct > 0.01, around / np.maximum(direct, 0.01), 1.0)
        corner_s = np.where(direct > 0.01, 2 * model.corner_s(np.zeros(1), model.profile.cruise_mps)[0], 0.0)
        link_s, link_wh = link_s * stretch + corner_s, link_wh * stretch + model.profile.hover_w * corner_s / 3600
        self.time = np.concatenate([[0.0], np.cumsum(fly_s + np.append(link_s, 0.0))])
        self.energy = np.concatenate([[0.0], np.cumsum(fly_wh + np.append(link_wh, 0.0))])
        self.link_s, self.link_wh = np.append(link_s, 0.0), np.append(link_wh, 0.0)
        self.out_s, self.out_wh = self._legs(homes, pieces.start, router, model)
        self.back_s, self.back_wh = self._legs(homes, pieces.end, router, model)
        self.unseen = np.zeros((len(homes), len(pieces) + 1), dtype=np.int64)
        self.hidden = np.zeros((len(homes), len(pieces) + 1))
        if hidden is not None:
            self._keep_in_sight(hidden, fly_s, budget.straight_home)
        self.lanes = np.concatenate([[0], np.cumsum(np.append(pieces.lane[1:] != pieces.lane[:-1], True))])
        up, down = model.climb(budget.climb_m), model.descent(budget.climb_m)
        self.fixed_s, self.fixed_wh = up[0] + down[0], up[1] + down[1]

    def _keep_in_sight(self, hidden: NDArray[np.bool_], fly_s: Array, strictly: bool) -> None:
        """Pieces from which the way home is not clear: forbidden, or dear where another home is better."""
        if strictly:
            self.unseen = self.unseen + np.cumsum(np.pad(hidden, ((0, 0), (1, 0))), axis=1)
            return
        seconds = np.where(hidden & ~hidden.all(axis=0), _HIDDEN_WEIGHT * fly_s, 0.0)
        self.hidden = np.concatenate([np.zeros((len(hidden), 1)), np.cumsum(seconds, axis=1)], axis=1)

    @staticmethod
    def _legs(homes: Array, ends: Array, router: Router, model: FlightModel) -> tuple[Array, Array]:
        """(homes, pieces) seconds and Wh between homes and places (pieces, 2); the dearer wind counts."""
        gap = ends[None] - homes[:, None, :]
        flat = gap.reshape(-1, 2)
        direct = np.maximum(np.hypot(flat[:, 0], flat[:, 1]), 1.0)
        way = router.distances(homes, ends)
        _, there_s, there_wh = model.straight(flat)
        _, back_s, back_wh = model.straight(-flat)
        stretch = way.reshape(-1) / direct
        corner_s = float(model.corner_s(np.array([-1.0]), model.profile.cruise_mps)[0])
        seconds = np.maximum(there_s, back_s) * stretch + corner_s
        energy = np.maximum(there_wh, back_wh) * stretch + model.profile.hover_w * corner_s / 3600.0
        return seconds.reshape(way.shape), energy.reshape(way.shape)


def _length(way: Array | None) -> float:
    return _NO_WAY_M if way is None else float(np.hypot(*np.diff(way, axis=0).T).sum())


def split(
    pieces: Pieces,
    homes: Array,
    router: Router,
    model: FlightModel,
    budget: Budget,
    dearer: Array | None = None,
    hidden: NDArray[np.bool_] | None = None,
) -> list[Cut]:
    """The cheapest cuts of a tour into sorties; pieces that no sortie can fly are left out.

    Args:
        pieces: In flying order.
        homes: (m, 2) take-off points, metres.
        router: Ways around what is closed.
        model: Time and energy.
        budget: What one sortie may use.
        dearer: (n,) factors by which pieces draw more than estimated; None: 1.
        hidden: (m, n) whether the straight way to a home is closed from a piece; None: nowhere.

    Returns:
        Sorties in order; a piece in none of them cannot be reached within the budget.
    """
    factors = np.ones(len(pieces)) if dearer is None else dearer
    costs = _Costs(pieces, homes, router, model, budget, factors, hidden)
    alone = costs.out_wh + costs.back_wh + np.diff(costs.energy) - costs.link_wh + costs.fixed_wh
    can = np.flatnonzero(((alone <= budget.energy_wh) & (np.diff(costs.unseen, axis=1) == 0)).any(axis=0))
    runs = np.split(can, np.flatnonzero(np.diff(can) > 1) + 1) if len(can) else []
    cuts: list[Cut] = []
    for run in runs:
        cuts += _split_run(int(run[0]), int(run[-1]), costs, budget)
    return cuts


def _split_run(low: int, high: int, costs: _Costs, budget: Budget) -> list[Cut]:
    count = high - low + 1
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    choice: list[tuple[int, int, float]] = [(0, 0, 0.0)] * (count + 1)
    for stop in range(1, count + 1):
        last = low + stop - 1
        reach = np.searchsorted(costs.energy, costs.energy[last + 1] - costs.link_wh[last] - budget.energy_wh)
        starts = np.arange(min(max(0, int(reach) - low), stop - 1), stop)
        starts = starts[costs.lanes[last] - costs.lanes[low + starts] < budget.lanes]
        first = low + starts
        run_s = costs.time[last + 1] - costs.time[first] - costs.link_s[last]
        run_wh = costs.energy[last + 1] - costs.energy[first] - costs.link_wh[last]
        total_s = costs.out_s[:, first] + costs.back_s[:, [last]] + run_s + costs.fixed_s
        total_wh = costs.out_wh[:, first] + costs.back_wh[:, [last]] + run_wh + costs.fixed_wh
        fits = (total_wh <= budget.energy_wh) & (costs.unseen[:, [last + 1]] == costs.unseen[:, first])
        total_s = total_s + costs.hidden[:, [last + 1]] - costs.hidden[:, first]
        total_s = np.where(fits, total_s, np.inf) + best[starts] + budget.swap_s
        home, at = divmod(int(np.argmin(total_s)), total_s.shape[1])
        if np.isfinite(total_s[home, at]):
            best[stop] = total_s[home, at]
            choice[stop] = (int(starts[at]), int(home), float(total_wh[home, at]))
    cuts, stop = [], count
    while stop > 0:
        if not np.isfinite(best[stop]):
            stop -= 1
            continue
        start, home, energy_wh = choice[stop]
        cuts.append(Cut(low + start, low + stop - 1, home, energy_wh))
        stop = start
    return cuts[::-1]


def balanced_parts(pieces: Pieces, model: FlightModel, shares: Sequence[float]) -> list[tuple[int, int]]:
    """Runs of pieces (first, last) whose times stand to one another as `shares`; empty runs are left out."""
    _, seconds, _ = model.straight(pieces.end - pieces.start)
    done = np.cumsum(seconds) / max(float(seconds.sum()), 1e-9)
    edges = np.cumsum(np.array(shares) / np.sum(shares))
    stops = np.searchsorted(done, edges[:-1], side="left") + 1
    bounds = np.concatenate([[0], np.minimum(stops, len(pieces)), [len(pieces)]])
    return [(int(a), int(b) - 1) for a, b in itertools.pairwise(bounds) if b > a]
