"""The bundle: poses, lenses, points and GPS biases as arrays, their residuals, and one damped step by Schur complement.

Points are eliminated first (each is a 3x3 block); what is left couples frames that share ties and is sparse; lenses
and GPS biases touch every frame and are kept in a small dense border. Nothing grows with frames squared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_matrix, csr_matrix
from scipy.sparse.linalg import splu

from imagery.tracks import Ties

Floats = NDArray[np.float64]
LENS_PARAMETERS = 7


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
    for part in _parts(len(result)):
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
    cross = _cross(axis)
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


def _cross(v: Floats) -> Floats:
    matrix = np.zeros((len(v), 3, 3))
    matrix[:, 0, 1], matrix[:, 0, 2], matrix[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    return matrix - matrix.transpose(0, 2, 1)


def cost(state: State, know: Knowledge, ties: Ties, soft: float) -> float:
    """The robust objective: Huber's on ties, squares on what is known."""
    error = np.linalg.norm(residuals(state, know, ties), axis=1) / ties.sigma
    total = float(np.where(error < soft, error**2, 2.0 * soft * error - soft * soft).sum())
    gps, attitude, lens, bias, points = _known_residuals(state, know)
    return total + sum(float((term**2).sum()) for term in (gps, attitude, lens, bias, points))


def _known_residuals(state: State, know: Knowledge) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    gps = (state.C + state.bias[know.flight_of] - know.gps) / know.gps_sigma
    attitude = rotation_vector(state.R @ know.R.transpose(0, 2, 1)) / know.R_sigma
    lens = (state.lens - know.lens) / know.lens_sigma
    return gps, attitude, lens, state.bias / know.bias_sigma, (state.X - know.X) / know.X_sigma


Solver = Callable[[bsr_matrix, Floats], Floats]


def direct(matrix: bsr_matrix, right: Floats) -> Floats:
    """Solves the reduced system by sparse factorisation."""
    factor = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)
    return np.asarray(factor.solve(right))


def step(state: State, know: Knowledge, ties: Ties, damping: float, soft: float, solve: Solver = direct) -> State:
    """One Levenberg-Marquardt step.

    Args:
        state: Where we are.
        know: Priors.
        ties: Observations.
        damping: Added to the diagonal, as a share of it.
        soft: Huber's threshold in sigmas.
        solve: Solves the sparse reduced system for several right-hand sides.
    """
    frames, points = len(state.C), len(state.X)
    lenses, flights = len(state.lens), len(state.bias)
    a, b, q, r = _linearised(state, know, ties, soft)
    gps, attitude, lens, bias, known = _known_residuals(state, know)
    by_frame = _selector(ties.frame, frames)
    by_point = _selector(ties.point, points)
    # Frames' and points' own blocks.
    u = _own_squares(by_frame, a)
    g_c = by_frame @ np.einsum("mki,mk->mi", a, r)
    diagonal = np.arange(3)
    u[:, diagonal, diagonal] += 1.0 / know.R_sigma**2
    u[:, 3 + diagonal, 3 + diagonal] += 1.0 / know.gps_sigma**2
    g_c[:, :3] += attitude / know.R_sigma
    g_c[:, 3:] += gps / know.gps_sigma
    v = _own_squares(by_point, b)
    g_p = by_point @ np.einsum("mki,mk->mi", b, r) + known / know.X_sigma
    v[:, diagonal, diagonal] += 1.0 / know.X_sigma**2
    v[:, diagonal, diagonal] *= 1.0 + damping
    v[:, diagonal, diagonal] += 1e-7 * np.trace(v, axis1=1, axis2=2)[:, None] + 1e-12
    root = np.linalg.inv(np.linalg.cholesky(v))
    # Elimination of the points.
    six = np.arange(6)
    u[:, six, six] *= 1.0 + damping
    # A frame of which nothing is known any more must not make the whole system singular.
    u[:, six, six] += 1e-12 * float(np.trace(u, axis1=1, axis2=2).mean()) + 1e-15
    z, border, corner, g_b = _border(know, ties, a, b, q, r, root, (lenses, flights))
    del q, by_point
    order = np.argsort(ties.frame, kind="stable")
    y = np.empty((len(r), 6, 3))
    for part in _parts(len(r)):
        own = order[part]
        y[part] = np.einsum("mki,mkj->mij", a[own], np.einsum("mkj,mij->mki", b[own], root[ties.point[own]]))
    pointer = np.concatenate([[0], np.cumsum(np.bincount(ties.frame, minlength=frames))])
    coupling = bsr_matrix((y, ties.point[order], pointer), shape=(6 * frames, 3 * points))
    eliminated = np.einsum("pij,pj->pi", root, g_p).ravel()
    border[:, : LENS_PARAMETERS * lenses] -= coupling @ z
    # A third of all memory: gone before the products that need the rest.
    del a, b, y
    reduced = (coupling @ coupling.T.tobsr((3, 6))).tobsr((6, 6))
    reduced.data *= -1.0
    _add_own(reduced, u)
    own_lens = slice(0, LENS_PARAMETERS * lenses)
    corner[np.diag_indices(len(corner))] += np.concatenate(
        [(1 / know.lens_sigma**2).ravel(), (1 / know.bias_sigma**2).ravel()]
    )
    g_b += np.concatenate([(lens / know.lens_sigma).ravel(), (bias / know.bias_sigma).ravel()])
    _add_gps(know, gps, border, corner, g_b, lenses)
    g_b[own_lens] -= z.T @ eliminated
    corner[own_lens, own_lens] -= z.T @ z
    right = -(g_c.ravel() - coupling @ eliminated)
    solved = solve(reduced, np.column_stack([right, border]))
    size = corner - border.T @ solved[:, 1:]
    d_b = np.linalg.solve(size + 1e-12 * np.eye(len(size)), -g_b - border.T @ solved[:, 0])
    d_c = solved[:, 0] - solved[:, 1:] @ d_b
    inner = -eliminated - coupling.T @ d_c - z @ d_b[own_lens]
    d_p = np.einsum("pji,pj->pi", root, inner.reshape(-1, 3))
    d_c = d_c.reshape(-1, 6)
    return replace(
        state,
        R=rotation(d_c[:, :3]) @ state.R,
        C=state.C + d_c[:, 3:],
        X=state.X + d_p,
        lens=state.lens + d_b[own_lens].reshape(-1, LENS_PARAMETERS),
        bias=state.bias + d_b[LENS_PARAMETERS * lenses :].reshape(-1, 3),
    )


def _own_squares(selector: csr_matrix, jacobian: Floats) -> Floats:
    """Sums of J'J (n, k, k) over the ties of each frame or point, in runs: all products at once are a third of memory.

    Args:
        selector: (n, m) ones where a tie belongs.
        jacobian: (m, 2, k) of each tie.
    """
    k = jacobian.shape[2]
    squares = np.zeros((selector.shape[0], k * k))
    for part in _parts(len(jacobian)):
        products = np.einsum("mki,mkj->mij", jacobian[part], jacobian[part])
        squares += selector[:, part] @ products.reshape(-1, k * k)
    return squares.reshape(-1, k, k)


def _add_own(reduced: bsr_matrix, own: Floats) -> None:
    """Adds frames' own blocks (n, 6, 6) to the diagonal, in place where it is there."""
    rows = np.repeat(np.arange(len(own)), np.diff(reduced.indptr))
    diagonal = np.flatnonzero(rows == reduced.indices)
    if len(diagonal) == len(own):
        reduced.data[diagonal] += own[reduced.indices[diagonal]]
        return
    # A frame without ties has no block yet.
    n = len(own)
    whole = reduced + bsr_matrix((own, np.arange(n), np.arange(n + 1)), shape=reduced.shape)
    reduced.data, reduced.indices, reduced.indptr = whole.data, whole.indices, whole.indptr


def _linearised(
    state: State, know: Knowledge, ties: Ties, soft: float
) -> tuple[Floats, Floats, NDArray[np.float32], Floats]:
    """Weighted derivatives by frame (m, 2, 6), point (m, 2, 3), lens (m, 2, 7), and residuals (m, 2).

    In runs, so that what is only needed on the way never exists all at once; the lens's part, which goes into sums
    over many ties, in single precision.
    """
    m = len(ties.frame)
    a, b, r = np.empty((m, 2, 6)), np.empty((m, 2, 3)), np.empty((m, 2))
    q = np.empty((m, 2, LENS_PARAMETERS), np.float32)
    for part in _parts(m):
        frame = ties.frame[part]
        turn = state.R[frame]
        points = np.einsum("mij,mj->mi", turn, state.X[ties.point[part]] - state.C[frame])
        uv, by_point, by_lens = project_points(points, state.lens[know.lens_of[frame]])
        off = uv - ties.uv[part]
        error = np.linalg.norm(off, axis=1) / ties.sigma[part]
        root = np.sqrt(np.minimum(1.0, soft / np.maximum(error, 1e-12))) / ties.sigma[part]
        by_point *= root[:, None, None]
        b[part] = by_point @ turn
        a[part, :, :3] = -(by_point @ _cross(points))
        a[part, :, 3:] = -b[part]
        q[part] = by_lens * root[:, None, None]
        r[part] = off * root[:, None]
    return a, b, q, r


def _parts(count: int, most: int = 50_000) -> list[slice]:
    """Runs of observations that are worked on at a time, so that products of derivatives never exist all at once."""
    return [slice(start, start + most) for start in range(0, count, most)]


def _selector(index: NDArray[np.int64], size: int) -> csr_matrix:
    """(size, m) matrix that sums rows by `index`."""
    m = len(index)
    return csr_matrix((np.ones(m), (index, np.arange(m))), shape=(size, m))


def _border(
    know: Knowledge,
    ties: Ties,
    a: Floats,
    b: Floats,
    q: NDArray[np.float32],
    r: Floats,
    root: Floats,
    counts: tuple[int, int],
) -> tuple[Floats, Floats, Floats, Floats]:
    """Lens columns: their coupling to points, to frames (points not eliminated), to themselves, and their gradient."""
    lenses, flights = counts
    frames, points = len(know.lens_of), len(root)
    width = LENS_PARAMETERS * lenses
    border = np.zeros((6 * frames, width + 3 * flights))
    corner = np.zeros((width + 3 * flights, width + 3 * flights))
    gradient = np.zeros(width + 3 * flights)
    z = np.zeros((3 * points, width))
    lens_of = know.lens_of[ties.frame]
    by_point, by_frame = _selector(ties.point, points), _selector(ties.frame, frames)
    for number in range(lenses):
        columns = slice(LENS_PARAMETERS * number, LENS_PARAMETERS * (number + 1))
        for part in _parts(len(lens_of)):
            mine = q[part].astype(float) * (lens_of[part] == number)[:, None, None]
            by_root = np.einsum("mkj,mij->mik", b[part], root[ties.point[part]])
            product = (by_root @ mine).reshape(-1, 3 * LENS_PARAMETERS)
            z[:, columns] += (by_point[:, part] @ product).reshape(-1, LENS_PARAMETERS)
            product = np.einsum("mki,mkl->mil", a[part], mine).reshape(-1, 6 * LENS_PARAMETERS)
            border[:, columns] += (by_frame[:, part] @ product).reshape(-1, LENS_PARAMETERS)
            corner[columns, columns] += np.einsum("mki,mkj->ij", mine, mine)
            gradient[columns] += np.einsum("mki,mk->i", mine, r[part])
    return z, border, corner, gradient


def _add_gps(know: Knowledge, gps: Floats, border: Floats, corner: Floats, gradient: Floats, lenses: int) -> None:
    """Flights' biases in the border: every position observation holds a centre plus its flight's bias."""
    start = LENS_PARAMETERS * lenses
    for axis in range(3):
        row = 6 * np.arange(len(gps)) + 3 + axis
        column = start + 3 * know.flight_of + axis
        information = 1.0 / know.gps_sigma[:, axis] ** 2
        border[row, column] += information
        np.add.at(corner, (column, column), information)
        np.add.at(gradient, column, gps[:, axis] / know.gps_sigma[:, axis])
