"""The trace of a rolling shutter: found where rows are sheared, not where they are only noisy or posed badly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagery.bundle import residuals
from imagery.shutter import FEWEST_TIES, ShutterTrace, shutter_trace
from imagery.tracks import Ties
from tests.imagery.claims_maker import block, grid


def trace(effect: np.ndarray, pose: np.ndarray, ties_a_frame: int = 120, noise_px: float = 0.3) -> ShutterTrace | None:
    """The trace of ties that a shutter (shear, stretch, turn along the rows) and a pose error have moved."""
    _, solution = block(grid())
    rng = np.random.default_rng(0)
    frames = len(solution.placed)
    frame = np.repeat(np.arange(frames), ties_a_frame)
    under = solution.state.C[frame, :2] + rng.uniform(-1, 1, (len(frame), 2)) * (28.0, 21.0)
    state = replace(solution.state, X=np.column_stack([under, np.full(len(frame), solution.ground_z)]))
    ties = Ties(
        frame,
        np.arange(len(frame)),
        np.zeros((len(frame), 2)),
        np.ones(len(frame)),
        np.zeros((len(frame), 3), np.uint8),
    )
    seen = residuals(state, solution.know, ties)
    assert (seen.min() > -1.0) and (seen.max() < 800.0)
    lens = state.lens[0]
    x, y = ((seen - lens[1:3]) / lens[0]).T
    du = effect[0] * y - effect[2] * y * y + pose[0] + pose[2] * x - pose[3] * y
    dv = effect[1] * y + effect[2] * x * y + pose[1] + pose[2] * y + pose[3] * x
    moved = seen + lens[0] * np.column_stack([du, dv]) + rng.normal(0, noise_px, seen.shape)
    return shutter_trace(state, solution.know, replace(ties, uv=moved))


def test_a_shear_of_the_rows_is_measured() -> None:
    """0.01 of shear moves the edge rows (0.535 off the middle) by 3 px of a 560 px lens."""
    found = trace(np.array([0.01, 0.0, 0.0]), np.zeros(4))
    assert found is not None
    assert found.edge_px == pytest.approx(3.0, rel=0.15) and found.explains > 0.5


def test_noise_and_pose_errors_are_no_shutter() -> None:
    found = trace(np.zeros(3), np.array([0.004, -0.003, 0.002, 0.002]))
    assert found is not None
    assert found.edge_px < 0.5 and found.explains < 0.1


def test_too_few_ties_tell_nothing() -> None:
    assert trace(np.array([0.01, 0.0, 0.0]), np.zeros(4), ties_a_frame=FEWEST_TIES - 1) is None
