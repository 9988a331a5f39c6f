"""Blocks with one global tie: the reduced system of thousands of frames solved by conjugate gradients in flat memory.

Frames are cut into blocks by place; every block is factorised apart, and a small coarse system holds what blocks do
to each other: each may move, turn and grow as a whole. The two together are the preconditioner, so the answer is that
of the whole block at once, not of parts pasted together. Factors are kept from step to step while they still help.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import bsr_matrix, csr_matrix
from scipy.sparse.linalg import splu

Floats = NDArray[np.float64]

# Up to this many frames one factorisation is quicker than iterating.
DIRECT_FRAMES = 1000
FRAMES_A_BLOCK = 100
# A Gauss-Newton step needs no more digits than this: what is left is corrected by the next.
TOLERANCE = 3e-3
MOST_ITERATIONS = 120
# Factors of an earlier step that need more iterations than this are made anew.
STALE_ITERATIONS = 45
MODES = 7


def blocks_of(xy: Floats, most: int = FRAMES_A_BLOCK) -> NDArray[np.int64]:
    """(n,) block of each frame: halves along the longer side until no block holds more than `most`."""
    block = np.zeros(len(xy), np.int64)
    waiting, number = [np.arange(len(xy))], 0
    while waiting:
        members = waiting.pop()
        if len(members) <= most:
            block[members] = number
            number += 1
            continue
        extent = np.ptp(xy[members], axis=0)
        order = members[np.argsort(xy[members, int(np.argmax(extent))], kind="stable")]
        waiting += [order[: len(order) // 2], order[len(order) // 2 :]]
    return block


class BlockSolver:
    """A solver for `bundle.step`; holds preconditioner and last answer between calls.

    Args:
        centres: (n, 3) camera centres, metres.
        rotations: (n, 3, 3) world to camera.
        ground_z: Level around which a block grows.
        most: Frames a block.
    """

    def __init__(self, centres: Floats, rotations: Floats, ground_z: float, most: int = FRAMES_A_BLOCK) -> None:
        block = blocks_of(centres[:, :2], most)
        order = np.argsort(block, kind="stable")
        self._starts = np.searchsorted(block[order], np.arange(block.max() + 2))
        self._permutation = (6 * order[:, None] + np.arange(6)).ravel()
        self._inverse = np.argsort(self._permutation)
        self._modes = _modes(centres[order], rotations[order], block[order], ground_z)
        self._factors: list[Any] = []
        self._coarse: Any = None
        self._last: Floats | None = None
        self.iterations = 0

    def __call__(self, matrix: bsr_matrix, right: Floats) -> Floats:
        """Solves for all columns of `right` together."""
        permuted = matrix.tocsr()[self._permutation][:, self._permutation].tobsr((6, 6))
        if not self._factors or self.iterations > STALE_ITERATIONS:
            self._prepare(permuted)
        solved, self.iterations = self._iterate(permuted, right[self._permutation])
        self._last = solved
        return solved[self._inverse]

    def _prepare(self, matrix: bsr_matrix) -> None:
        whole = matrix.tocsr()
        self._factors = []
        for start, stop in zip(self._starts[:-1], self._starts[1:], strict=True):
            rows = slice(6 * start, 6 * stop)
            part = whole[rows, rows].tocsc()
            options = {"SymmetricMode": True}
            self._factors.append(splu(part, permc_spec="MMD_AT_PLUS_A", options=options, diag_pivot_thresh=0.0))
        coarse = (self._modes.T @ (whole @ self._modes)).toarray()
        diagonal = np.diag_indices(len(coarse))
        coarse[diagonal] = coarse[diagonal] * (1.0 + 1e-9) + 1e-12
        self._coarse = cho_factor(coarse)

    def _precondition(self, residual: Floats) -> Floats:
        result = self._modes @ cho_solve(self._coarse, self._modes.T @ residual)
        for factor, start, stop in zip(self._factors, self._starts[:-1], self._starts[1:], strict=True):
            rows = slice(6 * start, 6 * stop)
            result[rows] += factor.solve(np.ascontiguousarray(residual[rows]))
        return np.asarray(result)

    def _iterate(self, matrix: bsr_matrix, right: Floats) -> tuple[Floats, int]:
        # Lens and bias columns change little from step to step: their last answer is a good start.
        x = np.zeros_like(right)
        if self._last is not None and self._last.shape == right.shape:
            x[:, 1:] = self._last[:, 1:]
        residual = right - matrix @ x
        scale = np.maximum(np.linalg.norm(right, axis=0), 1e-300)
        z = self._precondition(residual)
        direction, energy = z.copy(), (residual * z).sum(axis=0)
        for iteration in range(1, MOST_ITERATIONS + 1):
            image = matrix @ direction
            curvature = np.maximum((direction * image).sum(axis=0), 1e-300)
            length = energy / curvature
            x += length * direction
            residual -= length * image
            if np.all(np.linalg.norm(residual, axis=0) < TOLERANCE * scale):
                return x, iteration
            z = self._precondition(residual)
            energy, before = (residual * z).sum(axis=0), energy
            direction = z + (energy / np.maximum(before, 1e-300)) * direction
        return x, MOST_ITERATIONS


def _modes(centres: Floats, rotations: Floats, block: NDArray[np.int64], ground_z: float) -> csr_matrix:
    """(6n, 7 blocks) what moving, turning and growing a block as a whole does to its frames' unknowns."""
    count, number = len(centres), int(block.max()) + 1
    size = np.maximum(1, np.bincount(block, minlength=number))
    middle = np.column_stack([np.bincount(block, centres[:, k], number) / size for k in range(2)] + [np.zeros(number)])
    middle[:, 2] = ground_z
    arm = centres - middle[block]
    modes = np.zeros((count, 6, MODES))
    modes[:, 3:, :3] = np.eye(3)
    for axis in range(3):
        turn = np.eye(3)[axis]
        modes[:, :3, 3 + axis] = -rotations @ turn
        modes[:, 3:, 3 + axis] = np.cross(turn, arm)
    modes[:, 3:, 6] = arm
    reach = np.maximum(1.0, np.abs(arm).max())
    modes[:, :, 3:] /= reach
    rows = np.repeat(np.arange(6 * count), MODES)
    columns = (MODES * block[:, None, None] + np.arange(MODES)[None, None, :] + np.zeros((1, 6, 1), int)).ravel()
    return csr_matrix((modes.ravel(), (rows, columns)), shape=(6 * count, MODES * number))
