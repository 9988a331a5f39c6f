"""Claims of place and height: believed where they can be, corrected or refused where they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagery.claims import misfit_m, refuse_contradiction, scaled_by_height, strays
from imagery.errors import ImageryError
from imagery.index import thawed
from tests.imagery.claims_maker import HEIGHT_M, block, grid, photo


def height_m(solution: object) -> float:
    return float(np.median(solution.state.C[:, 2]) - solution.ground_z)  # type: ignore[attr-defined]


def test_a_wide_block_keeps_the_scale_that_gps_gives_it() -> None:
    """The ground lies 30 % lower than the place of take-off: GPS knows better than the barometer."""
    index, solution = block(grid(), told_height_m=HEIGHT_M / 1.3)
    assert scaled_by_height(index, solution) is solution


@pytest.mark.parametrize("scale", [0.3, 0.9, 3.0])
def test_frames_of_one_spot_take_their_scale_from_the_told_height(scale: float) -> None:
    index, solution = block(np.random.default_rng(0).normal(0, 0.2, (6, 2)), scale=scale)
    mended = scaled_by_height(index, solution)
    assert height_m(mended) == pytest.approx(HEIGHT_M, rel=0.03)
    # What is kept: the height of the cameras, and every ray.
    assert np.median(mended.state.C[:, 2]) == pytest.approx(np.median(solution.state.C[:, 2]), abs=1e-6)


def test_without_told_heights_nothing_is_scaled() -> None:
    index, solution = block(np.zeros((4, 2)), told_height_m=None, scale=2.0)
    assert scaled_by_height(index, solution) is solution


def test_positions_of_another_flight_are_refused() -> None:
    truth = grid()
    claims = np.random.default_rng(1).permutation(truth * 8.0)
    _, solution = block(truth, claims)
    # Photographs know their shape; the claims' middle is all that is left of them.
    offset = np.nanmean(solution.setting.gps[:, :2], axis=0) - solution.state.C[:, :2].mean(axis=0)
    moved = replace(solution, state=replace(solution.state, C=solution.state.C + np.array([*offset, 0.0])))
    with pytest.raises(ImageryError, match="contradict the photographs") as caught:
        refuse_contradiction(moved)
    assert "log" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("noise_m", [1.5, 10.0])
def test_a_bad_receiver_and_a_swapped_pair_are_no_reason_to_refuse(noise_m: float) -> None:
    truth = grid(step_m=30.0)
    claims = truth + np.random.default_rng(2).normal(0, noise_m / 2**0.5, truth.shape)
    claims[[0, 7]] = claims[[7, 0]]
    _, solution = block(truth, claims)
    refuse_contradiction(solution)
    assert np.nanmax(misfit_m(solution)) > 60.0


def test_a_receiver_that_lags_on_a_small_site_is_no_reason_to_refuse() -> None:
    """Half a real card was refused: to and fro over 40 m, the receiver always as far behind."""
    truth = grid(columns=6, rows=6, step_m=12.0)
    back = np.where(np.arange(36) // 6 % 2, 1.0, -1.0)
    claims = truth + np.column_stack([13.0 * back, np.zeros(36)])
    _, solution = block(truth, claims)
    off, spread = np.median(misfit_m(solution)), np.median(np.hypot(*(claims - np.median(claims, axis=0)).T))
    assert off > 10.0 and off > 0.35 * spread
    refuse_contradiction(solution)


def test_a_frame_far_from_all_that_match_is_named() -> None:
    truth = grid()
    claims = truth.copy()
    claims[5] = (30_000.0, 0.0)
    index, solution = block(truth, claims, unmatched=(5,))
    found = strays(index, solution)
    assert list(found) == [5] and "29.9 km" in found[5]
    near, beside = block(truth, unmatched=(5,))
    assert strays(near, beside) == {}
    nothing = block(truth, claims, unmatched=tuple(range(12)))
    assert strays(*nothing) == {}


def test_a_stopped_receiver_is_no_receiver() -> None:
    stuck = [photo(n, (0.0, 0.0)) for n in range(12)]
    told = thawed(stuck)
    assert all(one.lon is None and "same position" in one.distrust for one in told)
    # A lane with one repeated place, and two photographs of one place, are left alone.
    lane = [photo(n, (float(n // 2), 0.0)) for n in range(12)]
    assert thawed(lane) is lane
    assert thawed(stuck[:2]) == stuck[:2]
