"""The adjustment: robust rounds of Levenberg-Marquardt, wrong ties thrown out between them, the rest judged apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError

from imagery.blocks import BlockSolver
from imagery.bundle import Knowledge, State, camera_points, cost, project_points, residuals, rotation
from imagery.normal import Normal, by_frame, normal
from imagery.tracks import Ties

Floats = NDArray[np.float64]

# (Huber threshold, steps, cull above) per round, in expected tie errors; the last round's cull is relative to what
# the ties turn out to be. The first threshold is wide: a level start leaves 2 degrees of tilt in a tie.
ROUNDS = ((8.0, 8, 12.0), (3.0, 8, 4.0), (1.5, 8, 3.0), (1.5, 5, 3.0))
# A lens further from what the files say than this many sigmas is a lie that fits (a rolling shutter in turns made one
# 55 % too long): the block is adjusted again with the lens held to this share of its sigma.
BEYOND_BELIEF = 4.0
HELD_SHARE = 0.1
# Unless the free lens fits this much better: then it is the file that lies (EXIF focal lengths 2.7 times too long).
WORTH_IT = 1.25
# Once poses are good and known points have come in.
AGAIN = ((6.0, 8, 8.0), (2.0, 8, 3.5), (1.5, 6, 3.0))
# Ties are trusted as far as they turn out to fit, less this: what bends a frame (a rolling shutter, a lens beyond its
# model) bends its ties together. As stated (a pixel of the quarter-size copy, five times what they are off) they left
# the block to its GPS: on a simulated town under 2 m of it, centres were 2.5 pixels off after a similarity, by lanes;
# so 0.9, and 0.6 without the doubt. Withheld ties fit better on all photographs at hand.
DOUBT_TIES = 2.0
# A step that lowers the cost by less than this share ends a round.
ENOUGH = 1e-4


@dataclass(frozen=True)
class Adjusted:
    """Result: state, surviving ties with what is known of their points, steps, and whether the lens was held."""

    state: State
    ties: Ties
    know: Knowledge
    steps: int
    lens_held: bool = False


class Memory(Protocol):
    """Keeps what a round came to, so that a run that is killed goes on with the next one."""

    def last(self) -> tuple[int, Adjusted] | None:
        """Rounds done and what they came to."""

    def keep(self, done: int, adjusted: Adjusted) -> None:
        """Told after every round."""


def adjust(
    state: State,
    know: Knowledge,
    ties: Ties,
    ground_z: float,
    rounds: tuple[tuple[float, int, float], ...] = ROUNDS,
    memory: Memory | None = None,
) -> Adjusted:
    """Adjusts poses, lenses, points and GPS biases.

    Args:
        state: First poses; points are triangulated here.
        know: Priors (point priors belong to the points of `ties`).
        ties: Observations, renumbered as wrong ones go.
        ground_z: Level at which points start, metres from the origin.
        rounds: See `ROUNDS`.
        memory: What an earlier run left, and where rounds are kept.
    """
    stated = know.gps_sigma
    done, now = (memory.last() if memory else None) or (0, None)
    if now is None:
        started = triangulate(state, know, ties, ground_z, 0 if rounds is ROUNDS else 4)
        now = Adjusted(replace(state, X=np.where(np.isfinite(know.X_sigma), know.X, started)), ties, know, 0)
    solver = BlockSolver(state.C[:, :2], know.flight_of)
    for number, (soft, most, cull) in list(enumerate(rounds, start=1))[done:]:
        know = replace(now.know, gps_sigma=trusted_sigma(now.state, now.know, stated))
        ties = now.ties if number == 1 else trusted_ties(now.state, know, now.ties)
        state, taken = _descend(now.state, know, ties, soft, most, solver)
        ties, state, know = _drop(now.ties, state, know, _good(state, know, now.ties, cull))
        now = Adjusted(state, ties, replace(know, gps_sigma=stated), now.steps + taken)
        if memory and number < len(rounds):
            memory.keep(number, now)
    return now


def _good(state: State, know: Knowledge, ties: Ties, cull: float) -> NDArray[np.bool_]:
    """Ties that fit, and lie before the camera."""
    error = np.linalg.norm(residuals(state, know, ties), axis=1) / ties.sigma
    depth = camera_points(state, ties)[:, 2]
    typical = 1.4826 * float(np.median(error)) if len(error) else 1.0
    return np.asarray((error <= cull * max(0.25, min(1.0, typical))) & (depth > 1.0))


def adjust_soberly(
    state: State, know: Knowledge, ties: Ties, ground_z: float, memory: Memory | None = None
) -> Adjusted:
    """`adjust` from scratch; once more with the lens held where it ran away.

    Args:
        state: First poses.
        know: Priors.
        ties: Observations.
        ground_z: Level at which points start.
        memory: Keeps the rounds.
    """
    free = adjust(state, know, ties, ground_z, memory=memory)
    if float(np.max(np.abs(free.state.lens - know.lens) / know.lens_sigma)) <= BEYOND_BELIEF:
        return free
    held = adjust(state, replace(know, lens_sigma=know.lens_sigma * HELD_SHARE), ties, ground_z)
    worse = _typical(held) > WORTH_IT * _typical(free) or len(held.ties.frame) * WORTH_IT < len(free.ties.frame)
    return free if worse else replace(held, lens_held=True)


def _typical(adjusted: Adjusted) -> float:
    """Median residual in expected errors."""
    error = np.linalg.norm(residuals(adjusted.state, adjusted.know, adjusted.ties), axis=1) / adjusted.ties.sigma
    return float(np.median(error)) if len(error) else np.inf


def trusted_sigma(state: State, know: Knowledge, stated: Floats) -> Floats:
    """Position sigmas (n, 3) as the ties see them: a flight's real scatter, and one frame's gross error on top.

    A receiver that lags (10 m on one sample set) or one swapped position must bend nothing: sigmas grow to what the
    residuals show, never below what is stated; a frame beyond 2.5 of those counts less the further it is off.
    """
    residual = state.C + state.bias[know.flight_of] - know.gps
    sigma = stated.copy()
    for flight in range(len(state.bias)):
        own = (know.flight_of == flight) & np.isfinite(stated[:, 0])
        if own.sum() < 3:
            continue
        for axes in (slice(0, 2), slice(2, 3)):
            size = np.abs(residual[own, axes]) / stated[own, axes]
            size = size[np.isfinite(size)]
            scatter = max(1.0, 1.4826 * float(np.median(size))) if len(size) else 1.0
            sigma[own, axes] = stated[own, axes] * scatter
    far = np.abs(residual) / np.where(np.isfinite(sigma), sigma, np.inf)
    return sigma * np.maximum(1.0, far / 2.5)


def trusted_ties(state: State, know: Knowledge, ties: Ties) -> Ties:
    """The ties with errors as their residuals show them, never above what is stated; known points' stay as stated."""
    own = ~np.isfinite(know.X_sigma[ties.point]).any(axis=1)
    if not own.any():
        return ties
    error = np.linalg.norm(residuals(state, know, ties)[own], axis=1) / ties.sigma[own]
    # The points and poses were fitted to them: of 2m numbers only so many are left to err.
    numbers, fitted = 2 * len(error), 3 * len(np.unique(ties.point[own])) + 6 * len(state.C)
    spare = np.sqrt(numbers / max(1.0, numbers - fitted))
    # The median length of a two-dimensional normal error is 1.177 sigmas.
    share = float(np.clip(DOUBT_TIES * spare * np.median(error) / 1.177, 0.1, 1.0))
    return replace(ties, sigma=np.where(own, share * ties.sigma, ties.sigma))


def _drop(ties: Ties, state: State, know: Knowledge, keep: NDArray[np.bool_]) -> tuple[Ties, State, Knowledge]:
    """Drops observations and the points that lose their second; known points are never dropped."""
    fixed = np.isfinite(know.X_sigma).any(axis=1)
    keep = keep | know.sure[ties.point]
    counts = np.bincount(ties.point[keep], minlength=ties.points)
    alive = (counts >= 2) | (fixed & (counts >= 1))
    keep = keep & alive[ties.point]
    number = np.cumsum(alive) - 1
    kept = Ties(ties.frame[keep], number[ties.point[keep]], ties.uv[keep], ties.sigma[keep], ties.rgb[keep])
    return (
        kept,
        replace(state, X=state.X[alive]),
        replace(know, X=know.X[alive], X_sigma=know.X_sigma[alive], sure=know.sure[alive]),
    )


def _descend(
    state: State, know: Knowledge, ties: Ties, soft: float, most: int, solver: BlockSolver
) -> tuple[State, int]:
    damping, now = 1e-7, cost(state, know, ties, soft)
    order = by_frame(ties, know)
    for taken in range(most):
        for _ in range(6):
            tried = _stepped(state, normal(state, know, order, damping, soft), solver)
            then = np.inf if tried is None else cost(tried, know, ties, soft)
            if tried is not None and np.isfinite(then) and then < now:
                break
            damping = max(1e-6, damping) * 10.0
        else:
            return state, taken
        damping = max(1e-12, damping / 10.0)
        state, gain, now = tried, (now - then) / max(now, 1e-12), then
        if gain < ENOUGH:
            return state, taken + 1
    return state, most


def _stepped(state: State, system: Normal, solver: BlockSolver) -> State | None:
    """A state after one step; None where the system is beyond factorising and needs more damping."""
    try:
        return moved(state, system, *solver(system))
    except LinAlgError:
        return None


def moved(state: State, system: Normal, frames: Floats, border: Floats) -> State:
    """A state after one step: frames by (6n,), lenses and biases by the border's (k,), points by what follows."""
    by_frames = frames.reshape(-1, 6)
    lens = state.lens.size
    return State(
        rotation(by_frames[:, :3]) @ state.R,
        state.C + by_frames[:, 3:],
        state.lens + border[:lens].reshape(state.lens.shape),
        state.X + system.points(frames, border),
        state.bias + border[lens:].reshape(state.bias.shape),
    )


def triangulate(state: State, know: Knowledge, ties: Ties, ground_z: float, steps: int = 6) -> Floats:
    """Points (p, 3) of ties under given poses: on the ground plane first, then by Gauss-Newton, each on its own."""
    rays = np.einsum("mji,mj->mi", state.R[ties.frame], camera_rays(state.lens[know.lens_of[ties.frame]], ties.uv))
    centre = state.C[ties.frame]
    reach = (ground_z - centre[:, 2]) / np.minimum(rays[:, 2], -0.05)
    on_ground = centre + rays * reach[:, None]
    count = np.maximum(1, np.bincount(ties.point, minlength=ties.points))
    points = np.column_stack(
        [np.bincount(ties.point, on_ground[:, axis], ties.points) / count for axis in range(3)]
    ).reshape(-1, 3)
    current = replace(state, X=points)
    for _ in range(steps):
        current = replace(current, X=_point_step(current, know, ties))
    return current.X


def camera_rays(lens: Floats, uv: Floats) -> Floats:
    """(m, 3) rays (x, y, 1) of pixels (m, 2) through lenses (m, 7), the distortion undone by fixed-point iteration."""
    f, cx, cy, k1, k2, p1, p2 = lens.T
    xd, yd = (uv[:, 0] - cx) / f, (uv[:, 1] - cy) / f
    x, y = xd, yd
    for _ in range(5):
        r2 = x * x + y * y
        radial = np.maximum(0.2, 1.0 + r2 * (k1 + r2 * k2))
        x, y = (
            (xd - 2.0 * p1 * x * y - p2 * (r2 + 2.0 * x * x)) / radial,
            (yd - p1 * (r2 + 2.0 * y * y) - 2.0 * p2 * x * y) / radial,
        )
    return np.column_stack([x, y, np.ones(len(x))])


def _point_step(state: State, know: Knowledge, ties: Ties) -> Floats:
    uv, by_point, _ = project_points(camera_points(state, ties), state.lens[know.lens_of[ties.frame]])
    weight = 1.0 / ties.sigma
    r = (uv - ties.uv) * weight[:, None]
    b = np.einsum("mki,mij->mkj", by_point, state.R[ties.frame]) * weight[:, None, None]
    count = ties.points
    h = np.stack(
        [np.bincount(ties.point, (b[:, :, i] * b[:, :, j]).sum(1), count) for i in range(3) for j in range(3)], 1
    )
    g = np.stack([np.bincount(ties.point, (b[:, :, i] * r).sum(1), count) for i in range(3)], 1)
    h = h.reshape(-1, 3, 3)
    diagonal = np.arange(3)
    h[:, diagonal, diagonal] += 1e-3 * np.trace(h, axis1=1, axis2=2)[:, None] + 1e-9
    return np.asarray(state.X - np.linalg.solve(h, g[:, :, None])[:, :, 0])


def judge(
    state: State, know: Knowledge, ties: Ties, ground_z: float, limit_sigmas: float = 6.0
) -> tuple[float | None, Floats]:
    """RMS of withheld ties in full-scale pixels, and each one's error.

    A withheld tie is triangulated with the adjusted poses; what remains is what neighbours disagree by. Ties beyond
    `limit_sigmas` expected errors are wrong matches, as in the adjustment, and are left out.
    """
    if not len(ties.point):
        return None, np.zeros(0)
    held = replace(state, X=triangulate(state, know, ties, ground_z, 10))
    error = np.linalg.norm(residuals(held, know, ties), axis=1)
    typical = 1.4826 * float(np.median(error / ties.sigma))
    worst = np.zeros(ties.points)
    np.maximum.at(worst, ties.point, error / ties.sigma)
    good = worst[ties.point] <= min(limit_sigmas, max(1.0, 4.0 * typical))
    if not good.any():
        return None, error
    return float(np.sqrt(np.mean(error[good] ** 2))), error
