"""What a rolling shutter left in the residuals: rows are read one after the other while the aircraft moves and turns.

Poses and lens absorb what is common to a flight's frames; what is not, shows as a shear, a stretch and a bend along
the rows of single frames. It is measured on the ties after the adjustment and told, not taken out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagery.bundle import Knowledge, State, residuals
from imagery.tracks import Ties

Floats = NDArray[np.float64]
FEWEST_TIES = 40
# A few hundred frames tell; thousands tell no more.
MOST_FRAMES = 300


@dataclass(frozen=True)
class ShutterTrace:
    """Median over frames.

    Attributes:
        edge_px: What the effect moves the first or last row by, full-scale pixels.
        explains: Share of the ties' median residual that it explains.
    """

    edge_px: float
    explains: float


def shutter_trace(state: State, know: Knowledge, ties: Ties) -> ShutterTrace | None:
    """Fits shear, stretch and turn along the rows to every frame's residuals; None with too few ties."""
    count = np.bincount(ties.frame, minlength=len(state.C))
    chosen = np.flatnonzero(count >= FEWEST_TIES)
    if not len(chosen):
        return None
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, MOST_FRAMES).astype(int))]
    error = residuals(state, know, ties)
    order = np.argsort(ties.frame, kind="stable")
    ends = np.cumsum(count)
    edges, without, remaining = [], [], []
    for frame in chosen:
        own = order[ends[frame] - count[frame] : ends[frame]]
        lens = state.lens[know.lens_of[frame]]
        xy = (ties.uv[own] - lens[1:3]) / lens[0]
        effect, before, after = _of_frame(xy, error[own] / lens[0])
        y = float(np.abs(xy[:, 1]).max())
        edges.append(lens[0] * (np.hypot(effect[0], effect[1]) * y + abs(effect[2]) * y * y))
        without.append(before)
        remaining.append(after)
    explained = 1.0 - float(np.sum(remaining)) / max(1e-12, float(np.sum(without)))
    return ShutterTrace(round(float(np.median(edges)), 2), round(max(0.0, explained), 3))


def _of_frame(xy: Floats, error: Floats) -> tuple[Floats, float, float]:
    """Shear, stretch and turn of one frame, and the median residual without and with them, the pose free in both."""
    x, y = xy.T
    one, none = np.ones_like(x), np.zeros_like(x)
    pose_u, pose_v = np.column_stack([one, none, x, -y, x * x, x * y]), np.column_stack([none, one, y, x, x * y, y * y])
    roll_u, roll_v = np.column_stack([y, none, -y * y]), np.column_stack([none, y, x * y])
    pose, roll = np.vstack([pose_u, pose_v]), np.vstack([roll_u, roll_v])
    right = np.concatenate([error[:, 0], error[:, 1]])
    _, before = _robust(pose, right)
    solved, after = _robust(np.hstack([roll, pose]), right)
    return solved[:3], before, after


def _robust(matrix: Floats, right: Floats) -> tuple[Floats, float]:
    weight = np.ones(len(right))
    solved: Floats = np.zeros(matrix.shape[1])
    left: Floats = right
    for _ in range(4):
        solved = np.asarray(np.linalg.lstsq(matrix * weight[:, None], right * weight, rcond=None)[0])
        left = right - matrix @ solved
        weight = 1.0 / np.sqrt(np.maximum(1.0, np.abs(left) / (1.5 * float(np.median(np.abs(left))) + 1e-12)))
    # Fitted parameters shrink residuals by themselves.
    spare = max(0.1, 1.0 - matrix.shape[1] / len(right))
    return solved, float(np.median(np.abs(left))) / spare**0.5
