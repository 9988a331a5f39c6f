"""The adjustment on blocks whose truth is known to the last digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery import blocks, dissect
from imagery.adjust import DOUBT_TIES, Adjusted, adjust, camera_rays, judge, trusted_sigma, trusted_ties
from imagery.bundle import Knowledge, State, project_points, residuals, rotation, rotation_vector
from imagery.checkpoint import Rounds
from imagery.layout import look
from imagery.similarity import similarity
from imagery.tracks import Ties, withhold

angles = st.lists(st.floats(-0.8, 0.8), min_size=3, max_size=3)
LENS = np.array([[1000.0, 500.0, 400.0, -0.02, 0.01, 0.001, -0.002]])


@given(angles)
@settings(deadline=None)
def test_rotation_vectors_come_back(vector: list[float]) -> None:
    there = rotation(np.array([vector]))
    assert np.allclose(there @ there.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(rotation_vector(there)[0], vector, atol=1e-9)


@given(st.floats(-20, 20), st.floats(-15, 15), st.floats(20, 90))
@settings(max_examples=40, deadline=None)
def test_derivatives_are_those_of_the_projection(x: float, y: float, z: float) -> None:
    point = np.array([[x, y, z]])
    _, by_point, by_lens = project_points(point, LENS)
    for k in range(3):
        nudge = np.eye(3)[k] * 1e-5
        slope = (project_points(point + nudge, LENS)[0] - project_points(point - nudge, LENS)[0]) / 2e-5
        assert np.allclose(slope, by_point[:, :, k], rtol=1e-4, atol=1e-3)
    for k in range(7):
        nudge = np.eye(7)[k] * 1e-6
        slope = (project_points(point, LENS + nudge)[0] - project_points(point, LENS - nudge)[0]) / 2e-6
        assert np.allclose(slope, by_lens[:, :, k], rtol=1e-4, atol=1e-3)


@given(st.floats(0, 1000), st.floats(0, 800))
@settings(max_examples=40, deadline=None)
def test_rays_go_through_the_pixels_they_came_from(u: float, v: float) -> None:
    uv = np.array([[u, v]])
    assert np.allclose(project_points(camera_rays(LENS, uv) * 50.0, LENS)[0], uv, atol=0.05)


def made_block(side: int = 6, pixel_noise: float = 0.4, gps_noise: float = 1.0, seed: int = 0):
    """A serpentine block with tilts, lens, GPS bias and noise; truth apart."""
    rng = np.random.default_rng(seed)
    count, many, height = side * side, 14 * side * side, 90.0
    gx, gy = np.meshgrid(np.arange(side) * 46.0, np.arange(side) * 25.0)
    centre = np.column_stack([gx.ravel(), gy.ravel(), np.full(count, height)]) + rng.normal(0, 1, (count, 3))
    heading = np.where(np.arange(count) % side % 2 == 0, 0.0, np.pi) + rng.normal(0, 0.03, count)
    turn = rotation(rng.normal(0, 0.02, (count, 3))) @ np.array([look(h) for h in heading])
    lens = np.array([[1088.0, 818.0, 610.0, -0.012, 0.01, 4e-4, -3e-4]])
    points = np.column_stack(
        [rng.uniform(-40, side * 46 + 40, many), rng.uniform(-40, side * 25 + 40, many), rng.normal(0, 2.5, many)]
    )
    frame, point = (index.ravel() for index in np.meshgrid(np.arange(count), np.arange(many), indexing="ij"))
    camera = np.einsum("mij,mj->mi", turn[frame], points[point] - centre[frame])
    uv = project_points(camera, np.repeat(lens, len(frame), 0))[0]
    seen = (uv > 0).all(axis=1) & (uv[:, 0] < 1632) & (uv[:, 1] < 1224) & (np.hypot(camera[:, 0], camera[:, 1]) < 90)
    order = np.argsort(point[seen], kind="stable")
    frame, point, uv = frame[seen][order], point[seen][order], uv[seen][order]
    uv = uv + rng.normal(0, pixel_noise, uv.shape)
    ones = np.ones(len(frame))
    ties = Ties(frame, point, uv, ones, np.zeros((len(frame), 3), np.uint8)).where(ones > 0)
    gps = centre + rng.normal(0, gps_noise, centre.shape) + (2.0, -3.0, 40.0)
    know = Knowledge(
        lens_of=np.zeros(count, np.int64),
        flight_of=np.zeros(count, np.int64),
        gps=gps,
        gps_sigma=np.full((count, 3), gps_noise),
        R=np.array([look(h) for h in heading]),
        R_sigma=np.full((count, 3), 0.05),
        lens=np.array([[1100.0, 815.5, 611.5, 0.0, 0.0, 0.0, 0.0]]),
        lens_sigma=np.array([[30.0, 16.0, 16.0, 0.15, 0.15, 0.003, 0.003]]),
        bias_sigma=np.array([[4.0, 4.0, 100.0]]),
        X=np.zeros((ties.points, 3)),
        X_sigma=np.full((ties.points, 3), np.inf),
        sure=np.zeros(ties.points, bool),
    )
    start = State(know.R.copy(), gps - (0, 0, 40.0), know.lens.copy(), know.X.copy(), np.array([[0.0, 0.0, 40.0]]))
    return start, know, ties, centre


def horizontal_rms(state: State, truth: np.ndarray) -> float:
    offset = (state.C - truth)[:, :2]
    return float(np.sqrt(((offset - offset.mean(axis=0)) ** 2).sum(axis=1).mean()))


def test_a_block_is_recovered_far_below_its_gps_noise() -> None:
    start, know, ties, truth = made_block()
    fit, held = withhold(ties)
    know = replace(
        know, X=np.zeros((fit.points, 3)), X_sigma=np.full((fit.points, 3), np.inf), sure=np.zeros(fit.points, bool)
    )
    result = adjust(replace(start, X=know.X), know, fit, 0.0)
    assert horizontal_rms(result.state, truth) < 0.35  # of 1.4 m GPS noise
    assert result.state.lens[0, 0] == pytest.approx(1088.0, rel=0.03)
    rms, _ = judge(result.state, result.know, held, 0.0)
    assert rms is not None and rms < 0.75  # 0.4 px of noise a coordinate


def test_wrong_ties_and_a_wrong_position_bend_nothing() -> None:
    start, know, ties, truth = made_block(seed=3)
    rng = np.random.default_rng(1)
    wrong = rng.random(len(ties.frame)) < 0.05
    ties.uv[wrong] += rng.uniform(-200, 200, (int(wrong.sum()), 2))
    know.gps[7, :2] += (80.0, -60.0)
    start.C[7, :2] += (10.0, -10.0)
    result = adjust(start, know, ties, 0.0)
    assert horizontal_rms(result.state, truth) < 0.5
    remaining = np.linalg.norm(residuals(result.state, result.know, result.ties), axis=1)
    assert remaining.max() < 6.0
    assert len(result.ties.frame) > 0.85 * len(ties.frame)


def test_an_adjustment_goes_on_with_the_round_that_it_was_killed_in(tmp_path: Path) -> None:
    start, know, ties, _ = made_block(side=4, seed=4)
    whole = adjust(start, know, ties, 0.0)
    kept = Rounds(tmp_path / "adjusted-x.npz", know)

    class KilledError(Exception):
        pass

    class Dying(Rounds):
        def keep(self, done: int, adjusted: Adjusted) -> None:
            super().keep(done, adjusted)
            if done == 2:
                raise KilledError

    with pytest.raises(KilledError):
        adjust(start, know, ties, 0.0, memory=Dying(tmp_path / "adjusted-x.npz", know))
    last = kept.last()
    assert last is not None and last[0] == 2 and len(list(tmp_path.iterdir())) == 1
    again = adjust(start, know, ties, 0.0, memory=kept)
    assert np.array_equal(again.state.C, whole.state.C) and again.steps == whole.steps
    kept.forget()
    assert not list(tmp_path.iterdir())


def test_single_precision_factors_give_the_answer_of_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    start, know, ties, _ = made_block(side=8, seed=2)
    whole = adjust(start, know, ties, 0.0)
    monkeypatch.setattr(blocks, "EXACT_FRAMES", 20)
    monkeypatch.setattr(dissect, "LEAF_FRAMES", 8)
    parts = adjust(start, know, ties, 0.0)
    off = whole.state.C - parts.state.C
    assert np.abs(off[:, :2]).max() < 0.03
    # Next to nothing says how far the whole block is off its GPS in height: it may end a little elsewhere.
    assert np.abs(off[:, 2] - off[:, 2].mean()).max() < 0.03 and abs(off[:, 2].mean()) < 0.3
    assert np.abs(off.mean(axis=0) + (whole.state.bias - parts.state.bias)[0]).max() < 0.03
    assert whole.state.lens[0, 0] == pytest.approx(parts.state.lens[0, 0], rel=1e-3)


def test_a_lagging_receiver_is_believed_less() -> None:
    start, know, _, _ = made_block(side=4)
    shifted = replace(start, C=start.C + np.random.default_rng(0).normal(0, 12.0, start.C.shape))
    sigma = trusted_sigma(shifted, know, know.gps_sigma)
    assert np.median(sigma[:, :2]) > 6.0 * np.median(know.gps_sigma[:, :2])
    assert (sigma >= know.gps_sigma).all()


def in_shape_rms(state: State, truth: np.ndarray) -> float:
    """Horizontal RMS after a similarity fit."""
    scale, turn, shift = similarity(state.C, truth)
    off = scale * state.C @ turn.T + shift - truth
    return float(np.sqrt((off[:, :2] ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("seed", [1, 5])
def test_ties_that_are_better_than_they_say_hold_the_block_against_its_receiver(seed: int) -> None:
    start, know, ties, truth = made_block(seed=seed, gps_noise=2.0)
    modest = replace(ties, sigma=np.full(len(ties.sigma), 3.0))
    honest = in_shape_rms(adjust(start, know, ties, 0.0).state, truth)
    assert in_shape_rms(adjust(start, know, modest, 0.0).state, truth) < 1.2 * honest + 0.02


def test_ties_are_trusted_as_far_as_they_fit() -> None:
    start, know, ties, _ = made_block(side=4)
    fitted = adjust(start, know, ties, 0.0)
    fitted.know.X_sigma[:5] = 0.1
    modest = replace(fitted.ties, sigma=np.full(len(fitted.ties.sigma), 3.0))
    told = trusted_ties(fitted.state, fitted.know, modest)
    control = np.isfinite(fitted.know.X_sigma[modest.point]).all(axis=1)
    assert control.any() and (told.sigma[control] == 3.0).all()
    # 0.4 px of noise a coordinate.
    assert np.unique(told.sigma[~control]) == pytest.approx([DOUBT_TIES * 0.4], rel=0.15)
    strict = replace(modest, sigma=np.full(len(modest.sigma), 0.1))
    assert (trusted_ties(fitted.state, fitted.know, strict).sigma == 0.1).all()
