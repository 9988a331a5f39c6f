"""A sortie's stretches in an order that begins and ends at home: out along some lanes, back along those between them.

Lanes flown one beside the next end as far from home as there are lanes, and begin at a lane's end. Flown out along
every other one and home along the rest, with the lane nearest home cut where home is nearest, the sortie begins and
ends at home: the way aside that brings it back is the way home.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from missions.coverage import OVERRUN_M, Lanes, Strip
from missions.energy import FlightModel
from missions.frame import Array
from missions.routing import Router
from missions.sorties import Pieces
from missions.tour import link_costs

Order = NDArray[np.int64]
_LONGEST_BLOCK = 3
_EPSILON_S = 1e-6
_DETOUR_S = 20.0
# Lanes that may be cut where home is nearest: with one of them an odd number of lanes lies between its halves, with two
# an even one.
_CUT_LANES = 2
# A half shorter than this many photographs is no lane.
_LEAST_PHOTOS = 4
# Kicks of the best order: 20 take 18 ms and 5 s off a sortie of the standard city, 10 take 3.6 s off.
_KICKS, _LEAST_KICKED = 20, 4


def _feet(pieces: Pieces, home: Array) -> tuple[Array, Array]:
    """Of each stretch, how far from its start (m) home is nearest, and how near (m)."""
    along = pieces.end - pieces.start
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    unit = along / length[:, None]
    foot = np.clip(np.sum((home - pieces.start) * unit, axis=1), 0.0, length)
    return foot, np.hypot(*(pieces.start + unit * foot[:, None] - home).T)


def _halved(pieces: Pieces, home: Array, trigger_m: float, count: int) -> tuple[Pieces, NDArray[np.int64]]:
    """The stretches nearest home cut there, at a whole number of photographs; of each its other half, or -1."""
    foot, away = _feet(pieces, home)
    length = np.hypot(*(pieces.end - pieces.start).T)
    starts: list[Array] = []
    ends: list[Array] = []
    lanes: list[int] = []
    other: list[int] = []
    chosen = set(np.argsort(away, kind="stable")[:count].tolist())
    for index in range(len(pieces)):
        cut = round(foot[index] / trigger_m) * trigger_m
        least = _LEAST_PHOTOS * trigger_m
        start, end, lane = pieces.start[index], pieces.end[index], int(pieces.lane[index])
        if index in chosen and least < cut < length[index] - least:
            middle = start + (end - start) * cut / length[index]
            other += [len(starts) + 1, len(starts)]
            starts += [start, middle]
            ends += [middle, end]
            lanes += [lane, lane]
        else:
            other.append(-1)
            starts.append(start)
            ends.append(end)
            lanes.append(lane)
    return Pieces(np.array(starts), np.array(ends), np.array(lanes)), np.array(other)


class _Costs:
    """Seconds between ends of stretches (2n + 1, 2n + 1), home being the last; end 2k is stretch k's start."""

    def __init__(
        self, pieces: Pieces, home: Array, router: Router, model: FlightModel, other: NDArray[np.int64]
    ) -> None:
        lanes = Lanes(pieces.start, pieces.end, np.arange(len(pieces)), 0.0)
        between = link_costs(lanes, Router([]), model)
        for half in np.flatnonzero(other > np.arange(len(other))):  # from one half straight into the other
            a, b = 2 * int(half) + 1, 2 * int(other[half])
            between[a, b] = between[b, a] = 0.0
        ends = np.stack([pieces.start, pieces.end], axis=1).reshape(-1, 2)
        away = np.stack([pieces.start - pieces.end, pieces.end - pieces.start], axis=1).reshape(-1, 2)
        unit = away / np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-9)[:, None]
        gap = home - ends
        direct = np.maximum(np.hypot(gap[:, 0], gap[:, 1]), 1e-9)
        turn = np.sum(unit * gap, axis=1) / direct
        speed = model.profile.cruise_mps
        home_s = direct / speed + model.corner_s(turn, speed)
        count = len(ends)
        # A detour is not measured here, only shunned: ways around zones for every pair of ends took 40 times as long.
        first, second = np.triu_indices(count + 1, 1)
        places = np.concatenate([ends, home[None, :]])
        shut = ~router.clear(places[first], places[second])
        self.matrix = np.zeros((count + 1, count + 1))
        self.matrix[:count, :count] = between
        self.matrix[count, :count] = self.matrix[:count, count] = home_s
        self.matrix[first[shut], second[shut]] += _DETOUR_S
        self.matrix[second[shut], first[shut]] += _DETOUR_S
        self.home = count

    def total(self, entry: Order) -> float:
        """Seconds of all links and of the ways from and to home."""
        leave = np.append(self.home, entry ^ 1)
        return float(self.matrix[leave, np.append(entry, self.home)].sum())

    def oriented(self, order: list[int]) -> Order:
        """The best way round for each stretch of an order."""
        before: list[NDArray[np.int64]] = []
        ends = np.array([[2 * k, 2 * k + 1] for k in order])
        cost = self.matrix[self.home, ends[0]]
        for here, there in itertools.pairwise(ends):
            step = cost[:, None] + self.matrix[np.ix_(here ^ 1, there)]
            before.append(np.argmin(step, axis=0))
            cost = step.min(axis=0)
        way = [int(np.argmin(cost + self.matrix[ends[-1] ^ 1, self.home]))]
        for choice in before[::-1]:
            way.append(int(choice[way[-1]]))
        return np.array([pair[side] for pair, side in zip(ends, way[::-1], strict=True)], dtype=np.int64)

    def _reversal(self, entry: Order) -> Order | None:
        """The best run turned round, or None where none is better."""
        leave, matrix = entry ^ 1, self.matrix
        into, out = np.append(self.home, leave[:-1]), np.append(entry[1:], self.home)
        link_in, link_out = matrix[into, entry], matrix[leave, out]
        change = matrix[np.ix_(into, leave)] + matrix[np.ix_(entry, out)] - link_in[:, None] - link_out[None, :]
        change[np.tril_indices(len(entry), -1)] = np.inf
        i, j = divmod(int(np.argmin(change)), len(entry))
        if change[i, j] > -_EPSILON_S:
            return None
        return np.concatenate([entry[:i], leave[i : j + 1][::-1], entry[j + 1 :]])

    def _move(self, entry: Order) -> Order | None:
        """The best move of a few stretches to another place, either way round; None where none is better."""
        count, matrix, home = len(entry), self.matrix, self.home
        best, found = -_EPSILON_S, None
        for size in range(1, min(_LONGEST_BLOCK, count - 1) + 1):
            for i in range(count - size + 1):
                block = entry[i : i + size]
                rest = np.concatenate([entry[:i], entry[i + size :]])
                out, into = np.append(home, rest ^ 1), np.append(rest, home)
                gap = matrix[out, into]
                before = int(out[i])
                after = int(into[i])
                gain = matrix[before, block[0]] + matrix[block[-1] ^ 1, after] - gap[i]
                for first, last, turned in ((block[0], block[-1] ^ 1, False), (block[-1] ^ 1, block[0], True)):
                    change = matrix[out, first] + matrix[last, into] - gap - gain
                    at = int(np.argmin(change))
                    if change[at] < best:
                        moved = (block ^ 1)[::-1] if turned else block
                        best, found = float(change[at]), np.concatenate([rest[:at], moved, rest[at:]])
        return found

    def improved(self, entry: Order) -> Order:
        """By reversals and moves until none is better."""
        for _ in range(6 * len(entry) + 10):
            better = self._reversal(entry)
            if better is None:
                better = self._move(entry)
            if better is None:
                break
            entry = better
        return entry

    def kicked(self, entry: Order) -> Order:
        """Two neighbouring runs exchanged, chosen by chance, and improved again, as often as is worth it."""
        count, best = len(entry), self.total(entry)
        random = np.random.default_rng(count)
        for _ in range(_KICKS if count >= _LEAST_KICKED else 0):
            a, b, c = np.sort(random.choice(count + 1, 3, replace=False))
            tried = self.improved(np.concatenate([entry[:a], entry[b:c], entry[a:b], entry[c:]]))
            total = self.total(tried)
            if total < best - _EPSILON_S:
                entry, best = tried, total
        return entry


def _side(numbers: list[int]) -> list[int]:
    """Out along every other one and back along those between."""
    return numbers[::2] + numbers[1::2][::-1]


def _patterns(pieces: Pieces, home: Array, other: NDArray[np.int64]) -> list[list[int]]:
    """Orders worth beginning the search with."""
    along = (pieces.end - pieces.start)[int(np.argmax(np.hypot(*(pieces.end - pieces.start).T)))]
    unit = along / max(float(np.hypot(*along)), 1e-9)
    across = ((pieces.start + pieces.end) / 2 - home) @ np.array([-unit[1], unit[0]])
    inward = np.argsort(np.abs(across), kind="stable")
    given = list(range(len(pieces)))
    cut = [int(k) for k in inward if other[k] >= 0]
    ends = cut[:2] if len(cut) >= 2 else []
    rest = [int(k) for k in inward if int(k) not in ends]
    above, below = [k for k in rest if across[k] >= 0], [k for k in rest if across[k] < 0]
    loop = _side(above) + _side(below)
    found = [given]
    if not ends:
        found.append(loop)
    else:
        found += [[ends[0], *loop, ends[1]], [ends[0], *_side(below), *_side(above), ends[1]]]
    if len(cut) >= 4:
        inner = [k for k in rest if k not in cut[2:4]]
        above, below = [k for k in inner if across[k] >= 0], [k for k in inner if across[k] < 0]
        back = _side(above) + _side(below)
        found.append([ends[0], *back, cut[2], ends[1], cut[3]])
        found.append([ends[0], *back[:1], cut[2], ends[1], *back[1:], cut[3]])
    return found


def looped(pieces: Pieces, home: Array, router: Router, model: FlightModel, strip: Strip) -> Pieces:
    """The stretches of one sortie in an order and with a way round that are quick from home and back.

    Args:
        pieces: Whole stretches of lanes, of one direction, that the sortie photographs.
        home: (2,) take-off point, metres.
        router: Ways around what is closed.
        model: Time.
        strip: What a lane sees.
    """
    if not len(pieces):
        return pieces
    best: tuple[float, _Costs, Order, Pieces, NDArray[np.int64]] | None = None
    for count in range(_CUT_LANES + 1):
        tried, other = _halved(pieces, home, strip.trigger_m, count)
        if count and len(tried) == len(pieces):
            continue
        costs = _Costs(tried, home, router, model, other)
        starts = {tuple(costs.oriented(order)) for order in _patterns(tried, home, other)}
        ranked = sorted((np.array(entry) for entry in starts), key=costs.total)[:2]
        entry = min((costs.improved(start) for start in ranked), key=costs.total)
        total = costs.total(entry)
        if best is None or total < best[0] - _EPSILON_S:
            best = total, costs, entry, tried, other
    assert best is not None
    _, costs, entry, tried, other = best
    return _flown(tried, costs.kicked(entry), other)


def _flown(pieces: Pieces, entry: Order, other: NDArray[np.int64]) -> Pieces:
    """Stretches as flown; a half that does not go on into the other one flies its run-out beyond the cut."""
    start, end = pieces.start.copy(), pieces.end.copy()
    follows = {int(a) // 2: int(b) // 2 for a, b in itertools.pairwise(entry)}
    for half in np.flatnonzero(other > np.arange(len(other))):
        first, second = int(half), int(other[half])
        if follows.get(first) != second and follows.get(second) != first:
            unit = (end[first] - start[first]) / max(float(np.hypot(*(end[first] - start[first]))), 1e-9)
            end[first] = end[first] + unit * OVERRUN_M
    turned = entry % 2 == 1
    lane = entry // 2
    return Pieces(
        np.where(turned[:, None], end[lane], start[lane]),
        np.where(turned[:, None], start[lane], end[lane]),
        pieces.lane[lane],
    )
