"""Blocks with one global tie: the reduced system of any number of frames solved in flat memory.

Nested dissection (`dissect`) cuts the frames into small blocks and the strips between them. Up to a thousand frames its
factors are exact and made anew for every step. Beyond, they are in single precision and kept from step to step, and
conjugate gradients on the system itself, in double precision, make good what that costs.

The border (lenses, GPS biases) is taken out by a change of variables: a bias moves its whole flight, exactly; a lens
moves the frames by what the factors say. What couples frames and border after that is next to nothing, and nothing
that is weakly known (how far the whole block lies from its GPS) has to be found by iteration.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from imagery.bundle import LENS_PARAMETERS
from imagery.dissect import Factor
from imagery.normal import Normal

Floats = NDArray[np.float64]

# Up to this many frames factors are exact.
EXACT_FRAMES = 1000
# Energy that may be left of what there was: a step need not be better than what its linearisation is worth.
TOLERANCE = 3e-3
MOST_ITERATIONS = 60
# Factors of an earlier step that need more iterations than this are made anew for the next.
STALE_ITERATIONS = 14
# Tried in turn until factors exist: in single precision the softest bends of a large block are below rounding.
EXACT_SHIFTS, ROUGH_SHIFTS = (0.0, 1e-12, 1e-9, 1e-6), (1e-6, 1e-5, 1e-4, 1e-3)


class BlockSolver:
    """Solves the normal equations of one adjustment; keeps factors between its steps.

    Args:
        xy: (n, 2) places of the frames.
        flight_of: (n,) flights, whose biases move them as a whole.
        exact: Whether to factorise every system in double precision; by the number of frames when None.
    """

    def __init__(self, xy: Floats, flight_of: NDArray[np.int64], exact: bool | None = None) -> None:
        self._xy, self._flight_of = np.asarray(xy, float), flight_of
        self._exact = len(xy) <= EXACT_FRAMES if exact is None else exact
        self._factor: Factor | None = None
        self._moves: Floats = np.zeros((0, 0))
        self.iterations = 0

    def __call__(self, normal: Normal) -> tuple[Floats, Floats]:
        """Frames' (6n,) and border's (k,) unknowns."""
        if self._factor is None or self._exact or self.iterations > STALE_ITERATIONS:
            self._prepare(normal)
        frames, border = self._iterate(normal)
        if self.iterations >= MOST_ITERATIONS:
            self._prepare(normal)
            frames, border = self._iterate(normal)
        return frames, border

    def _prepare(self, normal: Normal) -> None:
        self._factor = None
        _give_back()
        dtype: type = np.float64 if self._exact else np.float32
        matrix = normal.reduced(dtype)
        for shift in EXACT_SHIFTS if self._exact else ROUGH_SHIFTS:
            try:
                self._factor = Factor(matrix, self._xy, dtype, shift)
                break
            except LinAlgError:
                continue
        if self._factor is None:
            raise LinAlgError("the adjustment's normal equations are not positive definite")
        flights = int(self._flight_of.max()) + 1
        width = normal.border.shape[1] - 3 * flights
        assert width % LENS_PARAMETERS == 0
        lens = self._factor.solve(normal.border[:, :width])
        lens += self._factor.solve(normal.border[:, :width] - normal.times(lens))
        bias = np.zeros((len(self._xy), 6, flights, 3))
        for axis in range(3):
            bias[np.arange(len(self._xy)), 3 + axis, self._flight_of, axis] = 1.0
        self._moves = np.hstack([lens, bias.reshape(len(lens), -1)])

    def _iterate(self, normal: Normal) -> tuple[Floats, Floats]:
        """Conjugate gradients on frames and border after the change of variables x = x' - moves b."""
        assert self._factor is not None
        moves, count = self._moves, len(normal.frames_right)
        between = normal.border - normal.times(moves)
        corner = normal.corner - moves.T @ normal.border - between.T @ moves
        corner = 0.5 * (corner + corner.T)
        corner[np.diag_indices(len(corner))] += 1e-12
        held = cho_factor(corner)
        right = np.concatenate([normal.frames_right, normal.border_right - moves.T @ normal.frames_right])

        def precondition(r: Floats) -> Floats:
            assert self._factor is not None
            return np.concatenate([self._factor.solve(r[:count, None])[:, 0], cho_solve(held, r[count:])])

        def times(x: Floats) -> Floats:
            frames = normal.times(x[:count, None])[:, 0] + between @ x[count:]
            return np.concatenate([frames, between.T @ x[:count] + corner @ x[count:]])

        x, self.iterations = conjugate_gradients(times, precondition, right)
        return x[:count] - moves @ x[count:], x[count:]


def _give_back() -> None:
    """Hands what factors held back to the system: the allocator would keep their hundreds of pieces for itself."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def conjugate_gradients(
    times: Callable[[Floats], Floats], precondition: Callable[[Floats], Floats], right: Floats
) -> tuple[Floats, int]:
    """Solves A x = right; stops where the energy of what is left has fallen to `TOLERANCE`^2 of the first."""
    x, residual = np.zeros_like(right), right.copy()
    z = precondition(residual)
    direction, energy = z, float(residual @ z)
    first = energy
    for iteration in range(1, MOST_ITERATIONS + 1):
        if not energy > 0.0:
            return x, iteration
        image = times(direction)
        length = energy / max(float(direction @ image), 1e-300)
        x = x + length * direction
        residual = residual - length * image
        z = precondition(residual)
        energy, before = float(residual @ z), energy
        if energy <= TOLERANCE**2 * first:
            return x, iteration
        direction = z + (energy / before) * direction
    return x, MOST_ITERATIONS
