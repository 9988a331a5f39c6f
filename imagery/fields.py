"""A smooth field a frame: hot spots, haze, a cloud's edge; what gains and the lens's vignette leave.

All frames' nodes are solved at once by conjugate gradients, each place's own colour eliminated. Frames in turn
towards their mean (the release before) did not settle: two frames' difference on toledo_two_drones was 2.27 after 16
rounds and 4.7 after 64, the fields drifting together where only the hold tells them. Solved whole and with finer nodes
it is 1.92. The hold keeps nodes that no tie saw near nothing: a field does not run on outside its support.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from imagery.overlaps import Overlaps

Floats = NDArray[np.float64]
# Nodes across and down a frame. 7 x 5 left 2.09, 4.17, 1.88 of 255 between frames at withheld ties of toledo, boruszyn
# and brighton; these leave 1.92, 4.04, 1.70.
NODES = (11, 8)
# What a step between neighbours, and a node itself, cost, in places seen: fields of 0.1 and steps of 0.05 under noise
# of 0.03 to 0.04 and, with the ground sampled, a dozen places a node. Five times these left whole overlaps of
# brighton_beach 2.9 of 255 apart where these leave 1.8, and withheld ties no nearer.
SMOOTH_BY = 0.1
HELD_BY = 0.03
MOST_LOG_FIELD = 0.35
# A place counts less when frames disagree there by more than this (log): a car, a tree seen from two sides.
DISAGREEMENT = 0.03
ROUNDS = 4
STEPS = 40
TOLERANCE = 1e-3
# Frames whose preconditioners are made together: 64 of them take 4 MB.
CHUNK = 64


def corners(across: NDArray, down: NDArray, columns: int, rows: int) -> tuple[Floats, NDArray[np.int64]]:
    """Bilinear weights (s, 4) and node numbers (s, 4) of places in a frame; beyond the edge, the edge's."""
    x = np.clip(np.asarray(across, float), 0.0, 1.0) * (columns - 1)
    y = np.clip(np.asarray(down, float), 0.0, 1.0) * (rows - 1)
    c, r = np.minimum(x.astype(np.int64), columns - 2), np.minimum(y.astype(np.int64), rows - 2)
    a, b = x - c, y - r
    weight = np.column_stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    first = r * columns + c
    return weight, np.column_stack([first, first + 1, first + columns, first + columns + 1])


def trust(left: Floats) -> Floats:
    """Weights of samples by what is left of them, (s, 3)."""
    return np.asarray(1.0 / np.maximum(1.0, np.abs(left).mean(axis=1) / DISAGREEMENT))


def fields(seen: Overlaps, even: Floats, frames: int) -> NDArray[np.float32]:
    """(frames, rows, columns, 3) log gains at nodes, for samples (s, 3) of log colours that gains have evened."""
    columns, rows = NODES
    weight_of, node = corners(seen.uv[:, 0], seen.uv[:, 1], columns, rows)
    system = _System(seen, weight_of, node, frames)
    solution = np.zeros((frames * columns * rows, 3))
    weight = np.ones(len(even))
    for _ in range(ROUNDS):
        weight = trust(system.centred(even + system.design @ solution, weight))
        solution = system.solve(even, weight, solution)
    return np.clip(solution, -MOST_LOG_FIELD, MOST_LOG_FIELD).astype(np.float32).reshape(frames, rows, columns, 3)


class _System:
    """Normal equations of all frames' nodes, never written out."""

    def __init__(self, seen: Overlaps, weight_of: Floats, node: NDArray[np.int64], frames: int) -> None:
        self.nodes = NODES[0] * NODES[1]
        self.frames, self.place = frames, seen.place
        self.first = np.flatnonzero(np.r_[True, np.diff(seen.place) > 0])
        column = seen.frame.astype(np.int64)[:, None] * self.nodes + node
        ends = np.arange(0, 4 * len(column) + 1, 4)
        self.design = csr_matrix((weight_of.ravel(), column.ravel(), ends), shape=(len(column), frames * self.nodes))
        self.across = self.design.T.tocsr()
        self.pull = _smoothness(*NODES)
        self.inverse = self._preconditioner(seen.frame, weight_of, node)

    def centred(self, value: Floats, weight: Floats) -> Floats:
        """Samples (s, 3) less the weighted mean of their place."""
        total = np.add.reduceat(value * weight[:, None], self.first)
        mass = np.maximum(np.add.reduceat(weight, self.first), 1e-12)
        return np.asarray(value - (total / mass[:, None])[self.place])

    def solve(self, even: Floats, weight: Floats, start: Floats) -> Floats:
        """Nodes that bring the samples together, by conjugate gradients, the three channels side by side."""
        right = -self._back(even, weight)
        solution = start.copy()
        left = right - self._times(solution, weight)
        better = self._precondition(left)
        way, now = better, (left * better).sum(axis=0)
        enough = TOLERANCE**2 * (right * self._precondition(right)).sum(axis=0)
        for _ in range(STEPS):
            if (now <= enough).all():
                break
            image = self._times(way, weight)
            step = now / np.maximum((way * image).sum(axis=0), 1e-30)
            solution += step * way
            left -= step * image
            better = self._precondition(left)
            then, now = now, (left * better).sum(axis=0)
            way = better + (now / np.maximum(then, 1e-30)) * way
        return solution

    def _back(self, value: Floats, weight: Floats) -> Floats:
        return np.asarray(self.across @ (self.centred(value, weight) * weight[:, None]))

    def _times(self, nodes: Floats, weight: Floats) -> Floats:
        return self._back(self.design @ nodes, weight) + self._each(self.pull, nodes)

    def _precondition(self, nodes: Floats) -> Floats:
        return self._each(self.inverse, nodes)

    def _each(self, matrices: NDArray, nodes: Floats) -> Floats:
        """One matrix, or one a frame, times every frame's nodes."""
        return np.asarray(np.matmul(matrices, nodes.reshape(self.frames, self.nodes, 3)), float).reshape(-1, 3)

    def _preconditioner(self, frame: NDArray, weight_of: Floats, node: NDArray[np.int64]) -> NDArray[np.float32]:
        """(frames, nodes, nodes) inverses of the frames' own equations, the other frames held."""
        inverse = np.empty((self.frames, self.nodes, self.nodes), np.float32)
        order = np.argsort(frame, kind="stable")
        starts = np.searchsorted(frame[order], np.arange(0, self.frames + CHUNK, CHUNK))
        for part, begin in enumerate(range(0, self.frames, CHUNK)):
            own = order[starts[part] : starts[part + 1]]
            count = min(CHUNK, self.frames - begin)
            normal = np.zeros(count * self.nodes * self.nodes)
            for i in range(4):
                for j in range(4):
                    at = ((frame[own] - begin) * self.nodes + node[own, i]) * self.nodes + node[own, j]
                    normal += np.bincount(at, weight_of[own, i] * weight_of[own, j], len(normal))
            whole = normal.reshape(count, self.nodes, self.nodes) + self.pull
            inverse[begin : begin + count] = np.linalg.inv(whole.astype(np.float32))
        return inverse


def _smoothness(columns: int, rows: int) -> Floats:
    """What differences of neighbouring nodes and nodes themselves cost."""
    number = np.arange(columns * rows).reshape(rows, columns)
    pairs = np.vstack(
        [
            np.column_stack([number[:, 1:].ravel(), number[:, :-1].ravel()]),
            np.column_stack([number[1:].ravel(), number[:-1].ravel()]),
        ]
    )
    steps = np.zeros((len(pairs), columns * rows))
    steps[np.arange(len(pairs)), pairs[:, 0]], steps[np.arange(len(pairs)), pairs[:, 1]] = 1.0, -1.0
    return np.asarray(SMOOTH_BY * steps.T @ steps + HELD_BY * np.eye(columns * rows))
