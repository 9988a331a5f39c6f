"""Cholesky factors of a sparse system of frames by nested dissection over the map.

Frames that share ties lie near each other, so a strip of frames cuts the block in two halves that know nothing of
each other; each half is cut again. Eliminating the halves before the strips keeps fill at n log n for a block that
lies in a plane, and all arithmetic in dense products. Single precision halves memory and doubles speed; what that
costs in digits is for the caller to make good (`blocks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, get_blas_funcs, get_lapack_funcs
from scipy.sparse import bsr_matrix, csr_matrix

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

# Frames that are eliminated together at the bottom: fewer make more calls than sums.
LEAF_FRAMES = 48
# A strip that holds more than this share of what it should cut is no strip: all of it is eliminated together.
NO_STRIP = 0.6
SIX = 6


@dataclass(frozen=True)
class _Front:
    """Frames `start`..`stop` (in the order of elimination), those beyond that they touch, and their factors."""

    start: int
    stop: int
    beyond: Whole
    corner: NDArray[Any]
    side: NDArray[Any]


class Factor:
    """L L' = D A D + shift, D the scale that makes the diagonal one.

    Args:
        matrix: (6n, 6n) symmetric, in blocks of 6 x 6.
        xy: (n, 2) places of the frames.
        dtype: Of the factors.
        shift: Added to the scaled diagonal.

    Raises:
        LinAlgError: Not positive definite in this precision with this shift.
    """

    def __init__(self, matrix: bsr_matrix, xy: Floats, dtype: type, shift: float = 0.0) -> None:
        count = len(xy)
        blocks = csr_matrix((np.arange(1, len(matrix.indices) + 1), matrix.indices, matrix.indptr), (count, count))
        parts = _dissected(blocks, xy)
        self._order = np.concatenate([own for own, _ in parts]) if parts else np.zeros(0, np.int64)
        self._dtype = dtype
        permuted = blocks[self._order][:, self._order].tocsr()
        permuted.sort_indices()
        diagonal = _diagonal(matrix)[self._order]
        self._scale = (1.0 / np.sqrt(np.maximum(diagonal, 1e-300))).astype(dtype)
        self._shift = shift
        self._fronts: list[_Front] = []
        waiting: list[tuple[Whole, NDArray[Any]]] = []
        start = 0
        for own, children in parts:
            stop = start + len(own)
            came = [waiting.pop() for _ in range(children)]
            if len(own):
                waiting.append(self._eliminate(matrix, permuted, start, stop, came))
            else:
                # Halves that touch nowhere: nothing to eliminate, and what they leave goes up as it is.
                waiting.extend(came)
            start = stop

    def _eliminate(
        self, matrix: bsr_matrix, permuted: csr_matrix, start: int, stop: int, came: list[tuple[Whole, NDArray[Any]]]
    ) -> tuple[Whole, NDArray[Any]]:
        """One front: gathered, factorised, kept; what it leaves to the frames beyond."""
        first, last = permuted.indptr[start], permuted.indptr[stop]
        column, block = permuted.indices[first:last].astype(np.int64), permuted.data[first:last] - 1
        row = np.repeat(np.arange(start, stop), np.diff(permuted.indptr[start : stop + 1]))
        ahead = column >= start
        row, column, block = row[ahead], column[ahead], block[ahead]
        touched = np.unique(np.concatenate([column, *(beyond for beyond, _ in came)]))
        beyond = touched[touched >= stop]
        frames = np.concatenate([np.arange(start, stop), beyond])
        own, size = SIX * (stop - start), SIX * len(frames)
        front: NDArray[Any] = np.zeros((size, size), self._dtype, order="F")
        at = np.searchsorted(frames, column)
        values = matrix.data[block].astype(self._dtype)
        values *= self._scale[row][:, :, None] * self._scale[column][:, None, :]
        # Rows run along the frames beyond: only the lower triangle is ever read.
        front.reshape(SIX, len(frames), SIX, len(frames), order="F")[:, at, :, row - start] = values.transpose(0, 2, 1)
        for names, left in came:
            to = (SIX * np.searchsorted(frames, names)[:, None] + np.arange(SIX)).ravel()
            front[np.ix_(to, to)] += left
        front[np.arange(own), np.arange(own)] += self._shift
        corner, side = _factorised(front, own)
        self._fronts.append(_Front(start, stop, beyond, corner, side))
        left = np.asfortranarray(front[own:, own:])
        if left.size:
            (syrk,) = get_blas_funcs(("syrk",), (left,))
            left = syrk(-1.0, side, beta=1.0, c=left, lower=1, overwrite_c=1)
        return beyond, left

    def solve(self, right: Floats) -> Floats:
        """A^-1 of (6n, k) columns, to the digits of the factors."""
        columns = right.shape[1]
        x = right.reshape(-1, SIX, columns)[self._order].astype(self._dtype)
        x *= self._scale[:, :, None]
        for front in self._fronts:
            own = _solved(front, x, columns, False)
            x[front.start : front.stop] = own.reshape(-1, SIX, columns)
            if len(front.beyond):
                x[front.beyond] -= (front.side @ own).reshape(-1, SIX, columns)
        for front in reversed(self._fronts):
            if len(front.beyond):
                x[front.start : front.stop] -= (front.side.T @ x[front.beyond].reshape(-1, columns)).reshape(
                    -1, SIX, columns
                )
            x[front.start : front.stop] = _solved(front, x, columns, True).reshape(-1, SIX, columns)
        x *= self._scale[:, :, None]
        result = np.empty((len(x), SIX, columns))
        result[self._order] = x
        return result.reshape(-1, columns)


def _solved(front: _Front, x: NDArray[Any], columns: int, transposed: bool) -> NDArray[Any]:
    (trsm,) = get_blas_funcs(("trsm",), (front.corner,))
    own = np.asfortranarray(x[front.start : front.stop].reshape(-1, columns))
    return np.asarray(trsm(1.0, front.corner, own, lower=1, trans_a=int(transposed), overwrite_b=1))


def _factorised(front: NDArray[Any], own: int) -> tuple[NDArray[Any], NDArray[Any]]:
    potrf, _ = get_lapack_funcs(("potrf", "potrs"), (front,))
    corner, info = potrf(front[:own, :own], lower=1, clean=1)
    if info:
        raise LinAlgError("the reduced system is not positive definite")
    (trsm,) = get_blas_funcs(("trsm",), (front,))
    side = trsm(1.0, corner, front[own:, :own], side=1, lower=1, trans_a=1) if len(front) > own else front[own:, :own]
    return corner, np.asfortranarray(side)


def _diagonal(matrix: bsr_matrix) -> Floats:
    """(n, 6) diagonal of a block matrix."""
    rows = np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))
    found = np.flatnonzero(rows == matrix.indices)
    result = np.zeros((len(matrix.indptr) - 1, SIX))
    result[matrix.indices[found]] = np.einsum("kii->ki", matrix.data[found])
    return result


def _dissected(graph: csr_matrix, xy: Floats) -> list[tuple[Whole, int]]:
    """Frames in the order of elimination, strip by strip, each with how many parts it ties (children come before)."""
    side = np.zeros(len(xy), np.int8)
    result: list[tuple[Whole, int]] = []

    def cut(members: Whole) -> int:
        """Appends the parts of `members`; how many updates they leave to what comes after."""
        if not len(members):
            return 0
        strip, halves = _strip(graph, xy, members, side)
        below = sum(cut(half) for half in halves)
        result.append((strip, below))
        return 1 if len(strip) else below

    cut(np.arange(len(xy)))
    return result


def _strip(graph: csr_matrix, xy: Floats, members: Whole, side: NDArray[np.int8]) -> tuple[Whole, list[Whole]]:
    """The frames that part two halves, and the halves without them; all of them and nothing for a leaf."""
    if len(members) <= LEAF_FRAMES:
        return members, []
    along = int(np.argmax(np.ptp(xy[members], axis=0)))
    order = members[np.argsort(xy[members, along], kind="stable")]
    one, two = order[: len(order) // 2], order[len(order) // 2 :]
    side[one], side[two] = 1, 2
    first, second = _touching(graph, one, side, 2), _touching(graph, two, side, 1)
    side[members] = 0
    strip, thick = (
        (one[first], (one[~first], two)) if first.sum() <= second.sum() else (two[second], (one, two[~second]))
    )
    return (members, []) if len(strip) > NO_STRIP * len(members) else (strip, list(thick))


def _touching(graph: csr_matrix, members: Whole, side: NDArray[np.int8], other: int) -> NDArray[np.bool_]:
    """Which members have a neighbour on the other side."""
    rows = graph[members]
    hits = np.concatenate([[0], np.cumsum(side[rows.indices] == other)])
    return np.asarray(hits[rows.indptr[1:]] > hits[rows.indptr[:-1]])
