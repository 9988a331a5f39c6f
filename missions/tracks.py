"""Neighbouring lanes two by two: a sortie of whole pairs goes out along one lane and home along the other.

Of an odd number of lanes flown side by side, one lane's end is left over on either side, from which the way home is
half a lane longer; so sites and sorties are dealt pairs, cut across both lanes at one place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.coverage import OVERRUN_M, Lanes, Strip
from missions.frame import Array
from missions.sorties import Pieces

_LANES = 2


@dataclass(frozen=True)
class Tracks:
    """Lanes of a part by pairs, in the frame where lanes run along the first axis.

    Attributes:
        low: (n,) where each lane begins, metres along.
        high: (n,) where it ends.
        across: (n,) metres across.
        track: (n,) number of the pair that it belongs to.
        middle: (m,) metres across, of each pair.
        direction_rad: Of the lanes.
        trigger_m: Distance between photographs: lanes are cut at whole multiples of it.
    """

    low: Array
    high: Array
    across: Array
    track: NDArray[np.int64]
    middle: Array
    direction_rad: float
    trigger_m: float

    @staticmethod
    def of(lanes: Lanes, strip: Strip) -> Tracks:
        """Pairs the lanes from one side to the other."""
        unit, normal = _axes(lanes.direction_rad)
        low, high, across = lanes.start @ unit, lanes.end @ unit, lanes.start @ normal
        rows = np.unique(across.round(3))
        gaps = np.diff(rows)
        regular = gaps[gaps > 0.5 * strip.lane_m]
        spacing = float(np.median(regular[regular < 1.5 * strip.lane_m])) if len(regular) else strip.lane_m
        track = np.floor((across - across.min()) / (_LANES * spacing) + 0.5 / _LANES).astype(np.int64)
        base = float(across.min()) + spacing * (_LANES - 1) / 2
        middle: Array = base + _LANES * spacing * np.arange(int(track.max()) + 1, dtype=np.float64)
        return Tracks(low, high, across, track, middle, lanes.direction_rad, strip.trigger_m)

    def spans(self, number: int) -> list[tuple[float, float]]:
        """Where any lane of a pair goes, metres along."""
        mine = self.track == number
        return _merged(self.low[mine], self.high[mine])

    def points(self, number: int, along_m: Array) -> Array:
        """Places (n, 2) on the line of a pair."""
        unit, normal = _axes(self.direction_rad)
        return along_m[:, None] * unit + self.middle[number] * normal

    def flat(self, points: Array) -> Array:
        """Points (n, 2) in the frame where lanes run along the first axis."""
        return points @ np.stack(_axes(self.direction_rad), axis=1)

    def along(self, pieces: Pieces) -> tuple[NDArray[np.int64], Array, Array]:
        """Of pieces of the pairs' lines: the pair, and where they begin and end, metres along."""
        a, b = self._along(pieces.start), self._along(pieces.end)
        return self._number(pieces.start), np.minimum(a, b), np.maximum(a, b)

    def lanes(self) -> Lanes:
        """One line along each pair, as far as any of its lanes goes."""
        unit, normal = _axes(self.direction_rad)
        spans: list[tuple[float, float]] = []
        row: list[int] = []
        for number in range(len(self.middle)):
            spans += self.spans(number)
            row += [number] * (len(spans) - len(row))
        along, across = np.array(spans), self.middle[np.array(row)]
        start = along[:, :1] * unit + across[:, None] * normal
        end = along[:, 1:] * unit + across[:, None] * normal
        return Lanes(start, end, np.array(row, dtype=np.int64), self.direction_rad)

    def _along(self, points: Array) -> Array:
        return points @ _axes(self.direction_rad)[0]

    def _number(self, points: Array) -> NDArray[np.int64]:
        across = points @ _axes(self.direction_rad)[1]
        return np.abs(across[:, None] - self.middle[None, :]).argmin(axis=1)

    def _cut(self, lane: int, low: float, high: float) -> tuple[float, float] | None:
        """The stretch of a lane between two places along; both sides of a cut take the photograph at it."""
        length = float(self.high[lane] - self.low[lane])
        first = round((low - self.low[lane]) / self.trigger_m) * self.trigger_m
        last = round((high - self.low[lane]) / self.trigger_m) * self.trigger_m + OVERRUN_M
        first, last = max(first, 0.0), min(last, length)
        if high >= self.high[lane]:
            last = length
        whole = first <= 0.0 and last >= length
        if last - first <= OVERRUN_M + 0.5 and not whole:
            return None
        return float(self.low[lane]) + first, float(self.low[lane]) + last

    def load(self, pieces: Pieces) -> Array:
        """Metres of lanes per metre of each piece of a pair's line, (n,)."""
        number, low, high = self.along(pieces)
        both = np.minimum(high[:, None], self.high[None, :]) - np.maximum(low[:, None], self.low[None, :])
        both = np.where(self.track[None, :] == number[:, None], np.maximum(both, 0.0), 0.0)
        return both.sum(axis=1) / np.maximum(high - low, 1e-9)

    def stretches(self, pieces: Pieces) -> Pieces:
        """The stretches of lanes that pieces of the pairs' lines stand for, pair by pair."""
        unit, normal = _axes(self.direction_rad)
        new = np.flatnonzero(np.append(True, pieces.lane[1:] != pieces.lane[:-1]))
        last = np.append(new[1:] - 1, len(pieces) - 1)
        number = self._number(pieces.start[new])
        ends = np.stack([self._along(pieces.start[new]), self._along(pieces.end[last])], axis=1)
        starts: list[Array] = []
        stops: list[Array] = []
        lanes: list[int] = []
        for track, (a, b) in zip(number, ends, strict=True):
            for lane in np.flatnonzero((self.track == track) & (self.high > min(a, b)) & (self.low < max(a, b))):
                span = self._cut(int(lane), float(min(a, b)), float(max(a, b)))
                if span is None:
                    continue
                starts.append(span[0] * unit + self.across[lane] * normal)
                stops.append(span[1] * unit + self.across[lane] * normal)
                lanes.append(len(lanes))
        if not starts:
            return Pieces(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, dtype=np.int64))
        return Pieces(np.array(starts), np.array(stops), np.array(lanes, dtype=np.int64))


def _axes(direction_rad: float) -> tuple[Array, Array]:
    cosine, sine = np.cos(direction_rad), np.sin(direction_rad)
    return np.array([cosine, sine]), np.array([-sine, cosine])


def _merged(low: Array, high: Array) -> list[tuple[float, float]]:
    """Intervals that overlap as one."""
    spans: list[tuple[float, float]] = []
    for a, b in sorted(zip(low.tolist(), high.tolist(), strict=True)):
        if spans and a <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], b)
        else:
            spans.append((a, b))
    return spans
