"""In which order, and which way round, to fly lanes: one tour over all, by nearest neighbour, 2-opt and Or-opt.

Costs are times between lane ends, detours and corners included, so that a hole needs no case of its own: the tour flies
one side of it and then the other where that is shorter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from missions.coverage import Lanes
from missions.energy import FlightModel
from missions.frame import Array
from missions.routing import Router

_LONGEST_BLOCK = 3
_EPSILON_S = 1e-6
_FAR_S = 1e7


def link_costs(lanes: Lanes, router: Router, model: FlightModel) -> Array:
    """Seconds (2n, 2n) from leaving lane end i to entering lane end j; end 2k is lane k's start, 2k+1 its end."""
    ends = np.stack([lanes.start, lanes.end], axis=1).reshape(-1, 2)
    away = np.stack([lanes.start - lanes.end, lanes.end - lanes.start], axis=1).reshape(-1, 2)
    unit = away / np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-9)[:, None]
    gap = ends[None, :, :] - ends[:, None, :]
    length = np.maximum(np.hypot(gap[..., 0], gap[..., 1]), 1e-9)
    leave = np.einsum("ik,ijk->ij", unit, gap) / length
    # Entering at end j means flying from it towards the lane's other end, against its outward direction.
    enter = -np.einsum("jk,ijk->ij", unit, gap) / length
    speed = model.profile.cruise_mps
    corners = model.corner_s(leave, speed) + model.corner_s(enter, speed)
    way = router.distances(ends, ends)
    cost = np.where(np.isfinite(way), way / speed + corners, _FAR_S)
    return (cost + cost.T) / 2


def _nearest(cost: Array, first: int) -> NDArray[np.int64]:
    """Entry ends in flying order, from entry end `first`."""
    count = len(cost) // 2
    free = np.ones(2 * count, dtype=bool)
    order = [first]
    free[[first, first ^ 1]] = False
    for _ in range(count - 1):
        leaving = cost[order[-1] ^ 1].copy()
        leaving[~free] = np.inf
        best = int(np.argmin(leaving))
        order.append(best)
        free[[best, best ^ 1]] = False
    return np.array(order, dtype=np.int64)


def _total(cost: Array, entry: NDArray[np.int64]) -> float:
    return float(cost[entry[:-1] ^ 1, entry[1:]].sum())


def _two_opt(cost: Array, entry: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """The best reversal of a run of lanes; both run ends may be the tour's own ends."""
    count = len(entry)
    leave = entry ^ 1
    # Row i, column j: reverse lanes i..j. Before i stands i-1, after j stands j+1; outside the tour the cost is none.
    before = np.zeros((count, count))
    before[1:, :] = cost[leave[:-1]][:, leave] - cost[leave[:-1], entry[1:]][:, None]
    after = np.zeros((count, count))
    after[:, :-1] = cost[entry][:, entry[1:]] - cost[leave[:-1], entry[1:]][None, :]
    change = np.triu(before + after) + np.tril(np.full((count, count), np.inf), -1)
    change[0, count - 1] = np.inf
    at = int(np.argmin(change))
    i, j = divmod(at, count)
    if change[i, j] > -_EPSILON_S:
        return entry, 0.0
    return np.concatenate([entry[:i], leave[i : j + 1][::-1], entry[j + 1 :]]), float(change[i, j])


def _or_opt(cost: Array, entry: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], float]:
    """The best move of a run of `size` lanes to another place, either way round."""
    count = len(entry)
    if count <= size + 1:
        return entry, 0.0
    best, change, where = entry, -_EPSILON_S, None
    leave = entry ^ 1
    link = cost[leave[:-1], entry[1:]]
    for i in range(count - size + 1):
        j = i + size - 1
        gain = 0.0
        if i > 0:
            gain += link[i - 1]
        if j < count - 1:
            gain += link[j]
        if i > 0 and j < count - 1:
            gain -= cost[leave[i - 1], entry[j + 1]]
        rest = np.concatenate([entry[:i], entry[j + 1 :]])
        out = rest ^ 1
        joint = np.concatenate([[0.0], cost[out[:-1], rest[1:]], [0.0]])
        for first, last in ((entry[i], leave[j]), (leave[j], entry[i])):
            into = np.concatenate([[0.0], cost[out, first]])
            away = np.concatenate([cost[last, rest], [0.0]])
            delta = into + away - joint - gain
            at = int(np.argmin(delta))
            if delta[at] < change:
                change, where = float(delta[at]), (i, j, at, bool(first != entry[i]))
    if where is None:
        return best, 0.0
    i, j, at, reverse = where
    block = leave[i : j + 1][::-1] if reverse else entry[i : j + 1]
    rest = np.concatenate([entry[:i], entry[j + 1 :]])
    return np.concatenate([rest[:at], block, rest[at:]]), change


def _improved(cost: Array, entry: NDArray[np.int64]) -> NDArray[np.int64]:
    for _ in range(4 * len(entry) + 20):
        entry, change = _two_opt(cost, entry)
        if change == 0.0:
            for size in range(1, _LONGEST_BLOCK + 1):
                entry, change = _or_opt(cost, entry, size)
                if change < 0.0:
                    break
        if change == 0.0:
            break
    return entry


def best_tour(cost: Array, starts: int = 4) -> NDArray[np.int64]:
    """Entry ends of all lanes in flying order: entry 2k flies lane k from its start, 2k+1 from its end.

    Args:
        cost: (2n, 2n) seconds as `link_costs` gives them.
        starts: How many first lanes are tried.
    """
    count = len(cost) // 2
    if count == 0:
        return np.empty(0, dtype=np.int64)
    firsts = {0, 1, 2 * count - 2, 2 * count - 1}
    tours = sorted((_nearest(cost, first) for first in firsts), key=lambda tour: _total(cost, tour))
    better = [_improved(cost, tour) for tour in tours[: max(1, starts)]]
    return min(better, key=lambda tour: _total(cost, tour))
