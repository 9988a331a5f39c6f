"""The normal equations of a bundle, its points eliminated, made in runs: derivatives never exist all at once.

Ties are taken frame by frame: all that belongs to a frame is then one small product of dense matrices. Of a tie only
its coupling of frame and point stays (18 numbers); the reduced system itself is never formed but for its factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_matrix, csr_matrix

from imagery.bundle import LENS_PARAMETERS, Knowledge, State, cross_matrix, known_residuals, project_points
from imagery.tracks import Ties

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
# Ties worked on at a time.
RUN = 40_000


@dataclass(frozen=True)
class Order:
    """Ties frame by frame, which they are not stored in: made once for all steps over the same ties.

    Attributes:
        frame: (m,) frames, ascending.
        point: (m,) their points.
        uv: (m, 2) pixels.
        sigma: (m,) their error.
        pointer: (n + 1,) where each frame's ties begin.
        by_point: (p, m) ones that sum ties by point.
        lens_of: (m,) lenses.
    """

    frame: NDArray[np.int32]
    point: NDArray[np.int32]
    uv: Floats
    sigma: Floats
    pointer: Whole
    by_point: csr_matrix
    lens_of: NDArray[np.int32]


def by_frame(ties: Ties, know: Knowledge) -> Order:
    """Ties in the order of frames."""
    frames, points = len(know.lens_of), len(know.X)
    order = np.argsort(ties.frame, kind="stable").astype(np.int32)
    frame = ties.frame[order].astype(np.int32)
    pointer = np.concatenate([[0], np.cumsum(np.bincount(ties.frame, minlength=frames))])
    # Ties are stored point by point: where they went is the matrix's index as it stands.
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum(np.bincount(ties.point, minlength=points))]).astype(np.int32)
    sums = csr_matrix((np.ones(len(order), np.float32), place, starts), shape=(points, len(order)))
    lens_of = know.lens_of[frame].astype(np.int32)
    return Order(frame, ties.point[order].astype(np.int32), ties.uv[order], ties.sigma[order], pointer, sums, lens_of)


@dataclass(frozen=True)
class Normal:
    """S x = r with S = [U - Y Y', B; B', K], of frames and of a border of lenses and GPS biases.

    Attributes:
        own: (n, 6, 6) frames' own blocks U.
        coupling: (6n, 3p) Y, a block a tie.
        border: (6n, k) B, points eliminated.
        corner: (k, k) K, points eliminated.
        frames_right: (6n,).
        border_right: (k,).
        lens_coupling: (3p, 7 lenses).
        root: (p, 3, 3) inverse factors of the points' own blocks.
        eliminated: (3p,) the points' gradient behind them.
    """

    own: Floats
    coupling: bsr_matrix
    order: Order
    border: Floats
    corner: Floats
    frames_right: Floats
    border_right: Floats
    lens_coupling: Floats
    root: Floats
    eliminated: Floats

    def to_points(self, x: Floats) -> Floats:
        """Y' x, (3p, c) of (6n, c)."""
        # A column at a time: what ties give to points is the widest thing there is.
        return np.column_stack([self._to_points(column) for column in x.T])

    def _to_points(self, x: Floats) -> Floats:
        data, order = self.coupling.data, self.order
        blocks = x.reshape(-1, 6)
        result = np.empty((len(data), 3))
        for part in runs(len(data)):
            result[part] = np.einsum("mij,mi->mj", data[part], blocks[order.frame[part]])
        return np.asarray(order.by_point @ result).ravel()

    def times(self, x: Floats) -> Floats:
        """(U - Y Y') x for (6n, c) columns."""
        blocks = x.reshape(-1, 6, x.shape[1])
        return (self.own @ blocks).reshape(x.shape) - self.coupling @ self.to_points(x)

    def reduced(self, dtype: type) -> bsr_matrix:
        """U - Y Y' itself, in blocks of 6 x 6."""
        coupling = self.coupling if dtype is np.float64 else self.coupling.astype(dtype)
        product = (coupling @ coupling.T.tobsr((3, 6))).tobsr((6, 6))
        product.data *= -1.0
        add_own(product, self.own.astype(dtype))
        return product

    def points(self, frames: Floats, border: Floats) -> Floats:
        """(p, 3) how points move when frames and border do."""
        width = self.lens_coupling.shape[1]
        inner = -self.eliminated - self._to_points(frames) - self.lens_coupling @ border[:width]
        return np.einsum("pji,pj->pi", self.root, inner.reshape(-1, 3))


def add_own(reduced: bsr_matrix, own: NDArray[Any]) -> None:
    """Adds frames' own blocks (n, 6, 6) to the diagonal, in place where it is there."""
    rows = np.repeat(np.arange(len(own)), np.diff(reduced.indptr))
    diagonal = np.flatnonzero(rows == reduced.indices)
    if len(diagonal) == len(own):
        reduced.data[diagonal] += own[reduced.indices[diagonal]]
        return
    # A frame without ties has no block yet.
    n = len(own)
    whole = (reduced + bsr_matrix((own, np.arange(n), np.arange(n + 1)), shape=reduced.shape)).tobsr((6, 6))
    reduced.data, reduced.indices, reduced.indptr = whole.data, whole.indices, whole.indptr


def runs(count: int, most: int = RUN) -> list[slice]:
    """Runs of ties."""
    return [slice(start, min(count, start + most)) for start in range(0, count, most)]


@dataclass
class _Sums:
    """What ties add up to on the way."""

    own: Floats
    coupling: Floats
    frames_gradient: Floats
    border: Floats
    corner: Floats
    border_gradient: Floats
    points: Floats
    points_gradient: Floats
    lens_points: Floats


def normal(state: State, know: Knowledge, order: Order, damping: float, soft: float) -> Normal:
    """The damped normal equations at a state.

    Args:
        state: Where we are.
        know: Priors.
        order: Observations.
        damping: Added to the diagonal, as a share of it.
        soft: Huber's threshold in sigmas.
    """
    n, p, lenses, flights = len(state.C), len(state.X), len(state.lens), len(state.bias)
    width = LENS_PARAMETERS * lenses
    size = width + 3 * flights
    sums = _Sums(
        np.zeros((n, 6, 6)), np.empty((len(order.frame), 6, 3)), np.zeros((n, 6)), np.zeros((n, 6, size)),
        np.zeros((size, size)), np.zeros(size), np.zeros((p, 9)), np.zeros((p, 3)), np.zeros((p, 3, width)),
    )  # fmt: skip
    firsts = np.unique(
        np.concatenate([[0], np.searchsorted(order.pointer, np.arange(RUN, len(order.frame), RUN)), [n]])
    )
    for first, last in zip(firsts[:-1].tolist(), firsts[1:].tolist(), strict=True):
        _add_run(sums, state, know, order, soft, (first, last))
    _add_known(sums, state, know, lenses)
    v = sums.points.reshape(-1, 3, 3)
    three, six = np.arange(3), np.arange(6)
    v[:, three, three] *= 1.0 + damping
    v[:, three, three] += 1e-7 * np.trace(v, axis1=1, axis2=2)[:, None] + 1e-12
    root = np.linalg.inv(np.linalg.cholesky(v)) if p else v
    sums.own[:, six, six] *= 1.0 + damping
    # A frame of which nothing is known any more must not make the whole system singular.
    sums.own[:, six, six] += 1e-12 * float(np.trace(sums.own, axis1=1, axis2=2).mean()) + 1e-15
    return _without_points(sums, order, root, (n, p, width))


def _without_points(sums: _Sums, order: Order, root: Floats, sizes: tuple[int, int, int]) -> Normal:
    n, p, width = sizes
    y = sums.coupling
    for part in runs(len(y)):
        y[part] = y[part] @ root[order.point[part]].transpose(0, 2, 1)
    coupling = bsr_matrix((y, order.point, order.pointer), shape=(6 * n, 3 * p))
    z = (root @ sums.lens_points).reshape(3 * p, width)
    eliminated = np.einsum("pij,pj->pi", root, sums.points_gradient).ravel()
    border = sums.border.reshape(6 * n, -1)
    border[:, :width] -= coupling @ z
    sums.corner[:width, :width] -= z.T @ z
    sums.border_gradient[:width] -= z.T @ eliminated
    right = coupling @ eliminated - sums.frames_gradient.ravel()
    return Normal(
        sums.own, coupling, order, border, sums.corner, right, -sums.border_gradient, z, root, eliminated
    )  # fmt: skip


def _add_run(sums: _Sums, state: State, know: Knowledge, order: Order, soft: float, frames: tuple[int, int]) -> None:
    """Adds the ties of frames first..last."""
    first, last = frames
    part = slice(int(order.pointer[first]), int(order.pointer[last]))
    if part.start == part.stop:
        return
    a, b, q, r = _linearised(state, order, part, soft)
    # Everything of a frame at once: [A Q r]' [A Q r].
    wide = np.concatenate([a, q, r[:, :, None]], axis=2).reshape(-1, 7 + LENS_PARAMETERS)
    starts = 2 * (order.pointer[first : last + 1] - part.start)
    grams = np.stack([wide[i:j].T @ wide[i:j] for i, j in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)])
    sums.own[first:last] += grams[:, :6, :6]
    sums.frames_gradient[first:last] += grams[:, :6, -1]
    for number in np.unique(know.lens_of[first:last]).tolist():
        own = np.flatnonzero(know.lens_of[first:last] == number)
        columns = slice(LENS_PARAMETERS * number, LENS_PARAMETERS * (number + 1))
        sums.border[first + own, :, columns] += grams[own, :6, 6:-1]
        sums.corner[columns, columns] += grams[own, 6:-1, 6:-1].sum(axis=0)
        sums.border_gradient[columns] += grams[own, 6:-1, -1].sum(axis=0)
    back = b.transpose(0, 2, 1)
    sums.coupling[part] = a.transpose(0, 2, 1) @ b
    _add_points(sums, order, part, back, np.concatenate([b, r[:, :, None], q], axis=2))


def _add_points(sums: _Sums, order: Order, part: slice, back: Floats, rest: Floats) -> None:
    """Adds B'[B r Q] of a run to its points."""
    point, index = np.unique(order.point[part], return_inverse=True)
    product = (back @ rest).reshape(len(index), -1)
    ones = np.ones(len(index))
    gather = csr_matrix((ones, (index, np.arange(len(index)))), shape=(len(point), len(index)))
    lens_of = order.lens_of[part]
    added = np.asarray(gather @ product).reshape(len(point), 3, -1)
    sums.points[point] += added[:, :, :3].reshape(-1, 9)
    sums.points_gradient[point] += added[:, :, 3]
    present = np.unique(lens_of).tolist()
    for number in present:
        columns = slice(LENS_PARAMETERS * number, LENS_PARAMETERS * (number + 1))
        if len(present) > 1:
            mine = product * (lens_of == number)[:, None]
            added = np.asarray(gather @ mine).reshape(len(point), 3, -1)
        sums.lens_points[point, :, columns] += added[:, :, 4:]


def _linearised(state: State, order: Order, part: slice, soft: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Weighted derivatives by frame (m, 2, 6), point (m, 2, 3), lens (m, 2, 7), and residuals (m, 2)."""
    frame, sigma = order.frame[part], order.sigma[part]
    turn = state.R[frame]
    points = np.einsum("mij,mj->mi", turn, state.X[order.point[part]] - state.C[frame])
    uv, by_point, by_lens = project_points(points, state.lens[order.lens_of[part]])
    off = uv - order.uv[part]
    error = np.hypot(off[:, 0], off[:, 1]) / sigma
    weight = np.sqrt(np.minimum(1.0, soft / np.maximum(error, 1e-12))) / sigma
    by_point *= weight[:, None, None]
    by_lens *= weight[:, None, None]
    b = by_point @ turn
    a = np.concatenate([-(by_point @ cross_matrix(points)), -b], axis=2)
    return a, b, by_lens, off * weight[:, None]


def _add_known(sums: _Sums, state: State, know: Knowledge, lenses: int) -> None:
    """Adds what is known beforehand: positions (with their flight's bias), attitudes, lenses, biases, points."""
    gps, attitude, lens, bias, known = known_residuals(state, know)
    three = np.arange(3)
    information = 1.0 / know.gps_sigma**2
    sums.own[:, three, three] += 1.0 / know.R_sigma**2
    sums.own[:, 3 + three, 3 + three] += information
    sums.frames_gradient[:, :3] += attitude / know.R_sigma
    sums.frames_gradient[:, 3:] += gps / know.gps_sigma
    v = sums.points.reshape(-1, 3, 3)
    v[:, three, three] += 1.0 / know.X_sigma**2
    sums.points_gradient += known / know.X_sigma
    width = LENS_PARAMETERS * lenses
    diagonal = np.concatenate([(1 / know.lens_sigma**2).ravel(), (1 / know.bias_sigma**2).ravel()])
    sums.corner[np.diag_indices(len(diagonal))] += diagonal
    sums.border_gradient += np.concatenate([(lens / know.lens_sigma).ravel(), (bias / know.bias_sigma).ravel()])
    every = np.arange(len(gps))
    for axis in range(3):
        column = width + 3 * know.flight_of + axis
        sums.border[every, 3 + axis, column] += information[:, axis]
        np.add.at(sums.corner, (column, column), information[:, axis])
        np.add.at(sums.border_gradient, column, gps[:, axis] / know.gps_sigma[:, axis])
