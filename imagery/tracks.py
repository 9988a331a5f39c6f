"""Ties: one thing on the ground seen in several photographs, chained from pairs, and some of them withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from imagery.features import Keypoints
from imagery.matching import PairMatch

# One tie in five never enters the adjustment; the residuals that are reported are theirs.
WITHHELD_EVERY = 5


@dataclass(frozen=True)
class Ties:
    """Observations sorted by point.

    Attributes:
        frame: (m,) frame numbers.
        point: (m,) point numbers 0..points-1, ascending.
        uv: (m, 2) pixels at full scale.
        sigma: (m,) expected error in pixels.
        rgb: (m, 3) colours.
    """

    frame: NDArray[np.int64]
    point: NDArray[np.int64]
    uv: NDArray[np.float64]
    sigma: NDArray[np.float64]
    rgb: NDArray[np.uint8]

    @property
    def points(self) -> int:
        """Number of points."""
        return int(self.point[-1]) + 1 if len(self.point) else 0

    def where(self, keep: NDArray[np.bool_]) -> Ties:
        """The observations that are kept, of points that still have two; points are renumbered."""
        index = np.flatnonzero(keep)
        counts = np.bincount(self.point[index], minlength=self.points)
        index = index[counts[self.point[index]] >= 2]
        number = np.cumsum(np.bincount(self.point[index], minlength=self.points) > 0) - 1
        return Ties(self.frame[index], number[self.point[index]], self.uv[index], self.sigma[index], self.rgb[index])


def build_ties(matches: Sequence[PairMatch], keypoints: Sequence[Keypoints]) -> Ties:
    """Chains pair matches into ties; a chain that meets a frame twice is torn up (it is wrong somewhere)."""
    offset = np.concatenate([[0], np.cumsum([len(points.xy) for points in keypoints])]).astype(np.int64)
    total = int(offset[-1])
    if not matches:
        return _empty()
    one = np.concatenate([match.index[:, 0] + offset[match.pair[0]] for match in matches])
    two = np.concatenate([match.index[:, 1] + offset[match.pair[1]] for match in matches])
    graph = coo_matrix((np.ones(len(one), np.int8), (one, two)), shape=(total, total))
    _, label = connected_components(graph, directed=False)
    used = np.unique(np.concatenate([one, two]))
    frame = np.searchsorted(offset, used, side="right") - 1
    point = label[used]
    order = np.lexsort((frame, point))
    used, frame, point = used[order], frame[order], point[order]
    twice = np.zeros(int(label.max()) + 1, bool)
    twice[point[1:][(point[1:] == point[:-1]) & (frame[1:] == frame[:-1])]] = True
    keep = ~twice[point]
    used, frame, point = used[keep], frame[keep], point[keep]
    _, point = np.unique(point, return_inverse=True)
    xy, rgb = np.concatenate([k.xy for k in keypoints]), np.concatenate([k.rgb for k in keypoints])
    sigma = np.array([k.sigma_px for k in keypoints])
    return Ties(frame, point, xy[used].astype(float), sigma[frame], rgb[used])


def _empty() -> Ties:
    none = np.zeros(0, np.int64)
    return Ties(none, none, np.zeros((0, 2)), np.zeros(0), np.zeros((0, 3), np.uint8))


def withhold(ties: Ties, seed: int = 0) -> tuple[Ties, Ties]:
    """Splits ties into those to adjust with and those to judge by."""
    chosen = np.random.default_rng(seed).permutation(ties.points) % WITHHELD_EVERY == 0
    held = chosen[ties.point] if len(ties.point) else np.zeros(0, bool)
    return ties.where(~held), ties.where(held)


def thin(ties: Ties, per_frame: int) -> Ties:
    """At most about `per_frame` observations a frame, the longest chains first, spread over cells of the frame."""
    if not len(ties.point):
        return ties
    length = np.bincount(ties.point)
    span = ties.uv.max(axis=0) + 1.0
    cell = (ties.uv / span * 6).astype(np.int64)
    key = ties.frame * 36 + cell[:, 1] * 6 + cell[:, 0]
    order = np.lexsort((ties.point, -length[ties.point], key))
    starts = np.r_[0, np.flatnonzero(np.diff(key[order])) + 1]
    rank = np.empty(len(key), np.int64)
    rank[order] = np.arange(len(key)) - np.repeat(starts, np.diff(np.r_[starts, len(key)]))
    wanted = np.zeros(ties.points, bool)
    wanted[ties.point[rank < max(1, per_frame // 36)]] = True
    return ties.where(wanted[ties.point])
