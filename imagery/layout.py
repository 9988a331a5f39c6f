"""The first guess of every pose: sparse linear solves, no incremental reconstruction.

A nadir photograph (or one levelled by its gimbal angles) is a similarity of the ground: with q the levelled ray of a
pixel as a complex number, ground = w q + t, where |w| is the height above ground and -arg w the heading. Pairs tell
the ratios w_i / w_j, which are first brought into agreement over the whole block (magnitudes and angles apart, so
that noise cannot shrink them); then one scale, one turn and all places t follow from ties and GPS together. A nadir
block is a critical configuration for reconstruction from scratch; this is not one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.sparse.linalg import splu

from imagery.features import Keypoints
from imagery.matching import PairMatch
from imagery.neighbours import connected

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

# Matches of a pair that enter: a similarity needs few, and the solve stays small for thousands of frames.
PER_PAIR = 32
# Robust scales: a tie as a share of the height (tilt of 2 degrees and relief move a levelled ray by this much), the
# ratio of two heights, and the angle between two headings.
TIE_SHARE = 0.04
RATIO_SIGMA = 0.05
ANGLE_SIGMA_RAD = 0.05
ROUNDS = 8
# Heights above ground where nothing tells one: photographs of one spot without any height.
GUESSED_HEIGHT_M = 80.0
HEIGHT_SHARE = 0.15


@dataclass(frozen=True)
class Prior:
    """What is known of one frame before matching.

    Attributes:
        xy_m: Position in the local frame, or NaN.
        sigma_m: Its standard deviation.
        height_m: Height above ground, or NaN.
        heading_rad: Clockwise from grid north, or NaN.
        level: (3, 3) rotation world to camera at heading 0: from pitch and roll, nadir where unknown.
    """

    xy_m: tuple[float, float]
    sigma_m: float
    height_m: float
    heading_rad: float
    level: Floats


@dataclass(frozen=True)
class Layout:
    """Per frame: centre (n, 2), height above ground (n,), heading (n,) radians; `disagrees` names pairs left out."""

    xy_m: Floats
    height_m: Floats
    heading_rad: Floats
    disagrees: tuple[tuple[int, int], ...]


def look(heading_rad: float, pitch_deg: float = -90.0, roll_deg: float = 0.0) -> Floats:
    """World to camera rotation (x east, y north, z up to x right, y down, z forward) of a gimbal's angles."""
    sin_h, cos_h = np.sin(heading_rad), np.cos(heading_rad)
    sin_p, cos_p = np.sin(np.radians(pitch_deg)), np.cos(np.radians(pitch_deg))
    forward = np.array([cos_p * sin_h, cos_p * cos_h, sin_p])
    right = np.array([cos_h, -sin_h, 0.0])
    down = np.cross(forward, right)
    sin_r, cos_r = np.sin(np.radians(roll_deg)), np.cos(np.radians(roll_deg))
    return np.array([cos_r * right + sin_r * down, cos_r * down - sin_r * right, forward])


def levelled(rays: Floats, level: Floats) -> Floats:
    """(n, 2) where camera rays (n, 3) meet the plane one metre below; NaN above the horizon."""
    world = rays @ level
    down = np.where(world[:, 2] < -0.05, -world[:, 2], np.nan)
    return world[:, :2] / down[:, None]


def lay_out(
    priors: Sequence[Prior],
    rays: Sequence[Floats],
    keypoints: Sequence[Keypoints],
    matches: Sequence[PairMatch],
) -> Layout:
    """Solves for all frames at once.

    Args:
        priors: One a frame.
        rays: Camera rays (n, 3) of each frame's keypoints.
        keypoints: For their number only; so that rays and matches cannot be mixed up.
        matches: Verified pairs.
    """
    if any(len(ray) != len(points.xy) for ray, points in zip(rays, keypoints, strict=True)):
        raise ValueError("one ray a keypoint is expected")
    pairs = np.array([match.pair for match in matches], int).reshape(-1, 2)
    rows = [_tie_rows(priors, rays, match) for match in matches]
    component = connected(len(priors), [match.pair for match in matches])
    ratio = np.array([_ratio(one, two) for one, two in rows], complex)
    support = np.array([float(match.tried and len(match.index)) for match in matches])
    good = np.isfinite(ratio) & (np.abs(ratio) > 0)
    turn, trust = _agree(len(priors), pairs[good], ratio[good], support[good])
    weight = np.zeros(len(matches))
    weight[good] = trust
    w, t = _place(priors, pairs, rows, weight, turn, component)
    bad = tuple(match.pair for match, value in zip(matches, weight, strict=True) if value < 0.1)
    return Layout(np.column_stack([t.real, t.imag]), np.abs(w), -np.angle(w), bad)


def _tie_rows(priors: Sequence[Prior], rays: Sequence[Floats], match: PairMatch) -> tuple[Complex, Complex]:
    """Levelled rays of a few well spread ties of a pair, as complex numbers."""
    i, j = match.pair
    chosen = np.unique(np.linspace(0, len(match.index) - 1, PER_PAIR).astype(int))
    q_i = levelled(rays[i][match.index[chosen, 0]], priors[i].level) @ (1.0, 1.0j)
    q_j = levelled(rays[j][match.index[chosen, 1]], priors[j].level) @ (1.0, 1.0j)
    good = np.isfinite(q_i) & np.isfinite(q_j)
    return q_i[good], q_j[good]


def _ratio(one: Complex, two: Complex) -> complex:
    """w_i / w_j of a pair: least squares either way, their geometric mean, so that noise favours neither."""
    if len(one) < 4:
        return complex(np.nan)
    a, b = one - one.mean(), two - two.mean()
    cross = complex(np.vdot(a, b))
    size = float(np.sqrt((np.abs(b) ** 2).sum() / max(1e-12, (np.abs(a) ** 2).sum())))
    return size * cross / max(1e-12, abs(cross))


def _agree(count: int, pairs: NDArray[np.int64], ratio: Complex, support: Floats) -> tuple[Complex, Floats]:
    """Brings pairwise ratios into agreement: (n,) relative w of every frame, and the trust in each pair."""
    log_size, angle = np.log(np.abs(ratio)), np.angle(ratio)
    start = _along_tree(count, pairs, angle, support)
    # Angles are made continuous around the tree's solution, then solved like magnitudes.
    angle = angle + 2 * np.pi * np.round((start[pairs[:, 0]] - start[pairs[:, 1]] - angle) / (2 * np.pi))
    weight = np.ones(len(pairs))
    size, turn = np.zeros(count), start
    for _ in range(ROUNDS):
        size, turn = (
            _differences(count, pairs, value, weight, pull) for value, pull in ((log_size, 0 * start), (angle, start))
        )
        error = np.hypot(
            (size[pairs[:, 0]] - size[pairs[:, 1]] - log_size) / RATIO_SIGMA,
            (turn[pairs[:, 0]] - turn[pairs[:, 1]] - angle) / ANGLE_SIGMA_RAD,
        )
        weight = 1.0 / (1.0 + (error / 2.0) ** 2) ** 2
    return np.exp(size + 1j * turn), weight


def _along_tree(count: int, pairs: NDArray[np.int64], angle: Floats, support: Floats) -> Floats:
    """Angles along the spanning tree of the best supported pairs; 0 at every component's root."""
    result = np.zeros(count)
    if not len(pairs):
        return result
    graph = coo_matrix((1.0 / (1.0 + support), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    tree = minimum_spanning_tree(graph).tocoo()
    number = {(int(i), int(j)): k for k, (i, j) in enumerate(pairs)}
    seen = np.zeros(count, bool)
    for root in range(count):
        if seen[root]:
            continue
        order, before = breadth_first_order(tree.tocsr(), root, directed=False)
        seen[order] = True
        for node in order[1:]:
            parent = int(before[node])
            forward = number.get((int(node), parent))
            result[node] = result[parent] + (
                angle[forward] if forward is not None else -angle[number[(parent, int(node))]]
            )
    return result


def _differences(count: int, pairs: NDArray[np.int64], value: Floats, weight: Floats, pull: Floats) -> Floats:
    """Solves x_i - x_j = value in the weighted least squares sense, pulled weakly to `pull`."""
    rows = np.arange(len(pairs))
    matrix = coo_matrix(
        (np.r_[np.ones(len(pairs)), -np.ones(len(pairs))], (np.r_[rows, rows], np.r_[pairs[:, 0], pairs[:, 1]])),
        shape=(len(pairs), count),
    ).tocsr()
    weak = 1e-6
    weighted = matrix.multiply(weight[:, None]).tocsr()
    normal = (matrix.T @ weighted).tocsc() + weak * coo_matrix((np.ones(count), (range(count), range(count)))).tocsc()
    return np.asarray(_factor(normal).solve(weighted.T @ value + weak * pull))


def _factor(normal: coo_matrix) -> Any:
    return splu(normal, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}, diag_pivot_thresh=0.0)


def _place(
    priors: Sequence[Prior],
    pairs: NDArray[np.int64],
    rows: Sequence[tuple[Complex, Complex]],
    weight: Floats,
    turn: Complex,
    component: NDArray[np.int64],
) -> tuple[Complex, Complex]:
    """Scale and turn of every component and all places, by complex least squares on ties, GPS, heights, headings."""
    count, parts = len(priors), int(component.max()) + 1
    typical = _typical_height(priors)
    entry_row: list[int] = []
    entry_column: list[int] = []
    entry_value: list[complex] = []
    right: list[complex] = []

    def row(columns: Sequence[int], values: Sequence[complex], target: complex) -> None:
        entry_row.extend([len(right)] * len(columns))
        entry_column.extend(columns)
        entry_value.extend(values)
        right.append(target)

    for number, (i, j) in enumerate(pairs):
        if weight[number] < 1e-3 or not len(rows[number][0]):
            continue
        # The pair's mean tie says all about t_i - t_j; its spread has said all about w_i / w_j.
        q_i, q_j = (complex(np.median(side.real), np.median(side.imag)) for side in rows[number])
        stiff = np.sqrt(weight[number]) / (TIE_SHARE * typical)
        lever = (turn[i] * q_i - turn[j] * q_j) * stiff
        row((i, j, count + component[i]), (stiff, -stiff, lever), 0.0)
    for number, prior in enumerate(priors):
        if np.isfinite(prior.xy_m[0]):
            row((number,), (1.0 / prior.sigma_m,), complex(*prior.xy_m) / prior.sigma_m)
        else:
            row((number,), (1e-6 / typical,), 0.0)
    _scale_rows(priors, turn, component, row, typical)
    matrix = coo_matrix(
        (entry_value, (entry_row, entry_column)), shape=(len(right), count + parts), dtype=complex
    ).tocsr()
    normal = (matrix.conj().T @ matrix).tocsc()
    solution = np.asarray(_factor(normal).solve(matrix.conj().T @ np.array(right)))
    return solution[count + component] * turn, solution[:count]


def _scale_rows(
    priors: Sequence[Prior], turn: Complex, component: NDArray[np.int64], row: object, typical: float
) -> None:
    """One row a component: what heights and headings say of its scale and turn; else a guess, very weakly."""
    count, parts = len(priors), int(component.max()) + 1
    gps = any(np.isfinite(prior.xy_m[0]) for prior in priors)
    for part in range(parts):
        own = np.flatnonzero(component == part)
        heights = np.array([priors[int(n)].height_m for n in own])
        told = np.isfinite(heights)
        size = float(np.median(np.abs(turn[own])))
        scale = float(np.median(heights[told] / np.abs(turn[own][told]))) if told.any() else typical / size
        headings = np.array([priors[int(n)].heading_rad for n in own])
        known = np.isfinite(headings)
        # A compass error is common to a flight, so many frames know no more than one.
        mean = (
            np.sum(np.exp(-1j * headings[known]) / (turn[own][known] / np.abs(turn[own][known])))
            if known.any()
            else 1.0
        )
        share = HEIGHT_SHARE if told.any() and known.any() else 0.3 if known.any() else 1e3
        if not gps:
            share = 1e-3 if part == 0 else share
        stiff = 1.0 / (share * scale * size)
        row((count + part,), (stiff * size,), stiff * size * scale * mean / max(1e-12, abs(mean)))  # type: ignore[operator]


def _typical_height(priors: Sequence[Prior]) -> float:
    known = [prior.height_m for prior in priors if np.isfinite(prior.height_m)]
    return float(np.median(known)) if known else GUESSED_HEIGHT_M
