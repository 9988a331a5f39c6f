"""Marks typed by hand: one wrong line must not move a block."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.bundle import rotation
from imagery.marks import robust_misfit


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 8))
def test_one_mark_far_off_is_told_from_the_rest(seed: int, wrong: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.uniform(-60, 60, (9, 3)) * (1, 1, 0.05)
    turn = rotation(rng.normal(0, 1, (1, 3)))[0]
    source = 0.02 * (target + rng.normal(0, 0.03, target.shape)) @ turn.T + rng.normal(0, 5, 3)
    # A mark whose rays hardly crossed lies anywhere: kilometres off, in the block's own measure.
    source[wrong] += rng.normal(0, 400, 3)
    off = robust_misfit(source, target)
    assert int(np.argmax(off)) == wrong
    assert np.delete(off, wrong).max() < 0.5 < off[wrong]


def test_few_marks_are_fitted_together() -> None:
    """With four there is no saying which is wrong: all share the misfit."""
    target = np.array([[0, 0, 0], [50, 0, 1], [50, 50, 0], [0, 50, 1.0]])
    source = target.copy()
    source[2, 0] += 4.0
    off = robust_misfit(source, target)
    assert off.min() > 0.01 and off.max() < 3.9
