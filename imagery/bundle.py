"""The bundle: poses, lenses, points and GPS biases as arrays, what is known of them, and their residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagery.tracks import Ties

Floats = NDArray[np.float64]
LENS_PARAMETERS = 7
# Ties worked on at a time.
RUN = 40_000


@dataclass(frozen=True)
class State:
    """What is solved for.

    Attributes:
        R: (n, 3, 3) world to camera.
        C: (n, 3) centres, metres from the block's origin.
        lens: (l, 7) focal px, cx, cy, k1, k2, p1, p2.
        X: (p, 3) points, metres from the origin.
        bias: (f, 3) GPS minus truth of each flight.
    """

    R: Floats
    C: Floats
    lens: Floats
    X: Floats
    bias: Floats


@dataclass(frozen=True)
class Knowledge:
    """What is known beforehand; an infinite sigma is no knowledge.

    Attributes:
        lens_of: (n,) lens number of a frame.
        flight_of: (n,) flight number of a frame.
        gps: (n, 3) positions, metres from the origin.
        gps_sigma: (n, 3).
        R: (n, 3, 3) attitude from the gimbal.
        R_sigma: (n, 3) radians about the camera's axes.
        lens: (l, 7) parameters as believed.
        lens_sigma: Of the lens.
        bias_sigma: (f, 3).
        X: (p, 3) where a point is known to be (ground control, baseline), and X_sigma (p, 3).
        X_sigma: Of the points.
        sure: (p,) whether a point's observations were measured by hand and are never thrown out.
    """

    lens_of: NDArray[np.int64]
    flight_of: NDArray[np.int64]
    gps: Floats
    gps_sigma: Floats
    R: Floats
    R_sigma: Floats
    lens: Floats
    lens_sigma: Floats
    bias_sigma: Floats
    X: Floats
    X_sigma: Floats
    sure: NDArray[np.bool_]


def camera_points(state: State, ties: Ties) -> Floats:
    """(m, 3) tie points in camera axes."""
    offset = state.X[ties.point] - state.C[ties.frame]
    return np.einsum("mij,mj->mi", state.R[ties.frame], offset)


def residuals(state: State, know: Knowledge, ties: Ties) -> Floats:
    """(m, 2) projected minus measured, pixels."""
    result = np.empty_like(ties.uv)
    # In runs: derivatives come along, and of all ties at once they would be the largest thing in memory.
    for start in range(0, len(result), RUN):
        part = slice(start, start + RUN)
        frame = ties.frame[part]
        points = np.einsum("mij,mj->mi", state.R[frame], state.X[ties.point[part]] - state.C[frame])
        result[part] = project_points(points, state.lens[know.lens_of[frame]])[0] - ties.uv[part]
    return result


def project_points(points: Floats, lens: Floats) -> tuple[Floats, Floats, Floats]:
    """Pixels (m, 2), their derivatives by the camera point (m, 2, 3) and by the lens (m, 2, 7)."""
    z = np.where(np.abs(points[:, 2]) > 1e-3, points[:, 2], 1e-3)
    x, y = points[:, 0] / z, points[:, 1] / z
    f, cx, cy, k1, k2, p1, p2 = lens.T
    r2 = x * x + y * y
    radial = 1.0 + r2 * (k1 + r2 * k2)
    slope = 2.0 * (k1 + 2.0 * k2 * r2)
    u = radial * x + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x)
    v = radial * y + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y
    by_x = np.empty((len(x), 2, 2))
    by_x[:, 0, 0] = f * (radial + slope * x * x + 2.0 * p1 * y + 6.0 * p2 * x)
    by_x[:, 0, 1] = by_x[:, 1, 0] = f * (slope * x * y + 2.0 * p1 * x + 2.0 * p2 * y)
    by_x[:, 1, 1] = f * (radial + slope * y * y + 6.0 * p1 * y + 2.0 * p2 * x)
    by_point = np.empty((len(x), 2, 3))
    by_point[:, :, :2] = by_x / z[:, None, None]
    by_point[:, :, 2] = -(by_x[:, :, 0] * x[:, None] + by_x[:, :, 1] * y[:, None]) / z[:, None]
    by_lens = np.zeros((len(x), 2, LENS_PARAMETERS))
    by_lens[:, 0, 0], by_lens[:, 1, 0] = u, v
    by_lens[:, 0, 1] = by_lens[:, 1, 2] = 1.0
    for row, q in ((0, x), (1, y)):
        by_lens[:, row, 3] = f * r2 * q
        by_lens[:, row, 4] = f * r2 * r2 * q
    by_lens[:, 0, 5] = by_lens[:, 1, 6] = 2.0 * f * x * y
    by_lens[:, 0, 6], by_lens[:, 1, 5] = f * (r2 + 2.0 * x * x), f * (r2 + 2.0 * y * y)
    return np.column_stack([f * u + cx, f * v + cy]), by_point, by_lens


def rotation(vector: Floats) -> Floats:
    """(n, 3) rotation vectors to (n, 3, 3) matrices."""
    angle = np.linalg.norm(vector, axis=1)
    axis = vector / np.maximum(angle, 1e-12)[:, None]
    cross = cross_matrix(axis)
    sin, cos = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.asarray(np.eye(3) + sin * cross + (1.0 - cos) * (cross @ cross))


def rotation_vector(matrix: Floats) -> Floats:
    """(n, 3) rotation vectors of (n, 3, 3) matrices, for angles below pi."""
    trace = np.trace(matrix, axis1=1, axis2=2)
    angle = np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0))
    skew = np.stack(
        [matrix[:, 2, 1] - matrix[:, 1, 2], matrix[:, 0, 2] - matrix[:, 2, 0], matrix[:, 1, 0] - matrix[:, 0, 1]], 1
    )
    factor = np.where(angle < 1e-6, 0.5, angle / np.maximum(2.0 * np.sin(angle), 1e-9))
    return np.asarray(skew * factor[:, None])


def cross_matrix(v: Floats) -> Floats:
    """(n, 3, 3) matrices that multiply like the cross product with vectors (n, 3)."""
    matrix = np.zeros((len(v), 3, 3))
    matrix[:, 0, 1], matrix[:, 0, 2], matrix[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    return matrix - matrix.transpose(0, 2, 1)


def cost(state: State, know: Knowledge, ties: Ties, soft: float) -> float:
    """The robust objective: Huber's on ties, squares on what is known."""
    error = np.linalg.norm(residuals(state, know, ties), axis=1) / ties.sigma
    total = float(np.where(error < soft, error**2, 2.0 * soft * error - soft * soft).sum())
    gps, attitude, lens, bias, points = known_residuals(state, know)
    return total + sum(float((term**2).sum()) for term in (gps, attitude, lens, bias, points))


def known_residuals(state: State, know: Knowledge) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Positions, attitudes, lenses, biases and known points against what is known, in sigmas."""
    gps = (state.C + state.bias[know.flight_of] - know.gps) / know.gps_sigma
    attitude = rotation_vector(state.R @ know.R.transpose(0, 2, 1)) / know.R_sigma
    lens = (state.lens - know.lens) / know.lens_sigma
    return gps, attitude, lens, state.bias / know.bias_sigma, (state.X - know.X) / know.X_sigma
