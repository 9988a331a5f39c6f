"""A block without angles that leans as a whole is turned to where its cameras are told to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.bundle import Knowledge, State, rotation
from imagery.layout import look
from imagery.priors import Setting
from imagery.upright import turned_upright
from tests.imagery.claims_maker import block, grid

ALL = np.ones(12, bool)


def leaning(lean: np.ndarray, scale: float = 1.0, noise_m: float = 0.5) -> tuple[State, Knowledge, Setting, State]:
    """A block of oblique views as it fits itself, turned as a whole by a vector; and the truth."""
    _, solution = block(grid())
    rng = np.random.default_rng(0)
    truth = replace(
        solution.state,
        R=np.array([look(0.0, -50.0, 0.0)] * 12),
        X=rng.uniform(-10, 80, (50, 3)) * (1.0, 1.0, 0.0),
    )
    setting = replace(solution.setting, gps=truth.C + rng.normal(0, noise_m, truth.C.shape))
    turn = rotation(lean[None])[0]
    middle = truth.C.mean(axis=0)
    state = replace(
        truth,
        R=truth.R @ turn.T,
        C=scale * (truth.C - middle) @ turn.T + middle,
        X=scale * (truth.X - middle) @ turn.T + middle,
    )
    return state, solution.know, setting, truth


@given(st.floats(0.2, 0.9), st.floats(-3.14, 3.14), st.floats(0.7, 1.4))
@settings(max_examples=25, deadline=None)
def test_a_lean_of_any_direction_is_taken_out(angle: float, towards: float, scale: float) -> None:
    state, know, setting, truth = leaning(np.array([np.cos(towards), np.sin(towards), 0.0]) * angle, scale)
    turned = turned_upright(state, know, setting, ALL)
    assert turned is not None
    assert np.abs(turned[0].C - truth.C).max() < 1.5
    apart = np.einsum("nij,nkj->nik", turned[0].R, truth.R)
    assert np.degrees(np.arccos(np.clip((np.trace(apart, axis1=1, axis2=2) - 1) / 2, -1, 1))).max() < 2.0
    assert np.allclose(turned[1].R, turned[0].R)


def test_what_stands_upright_is_left_alone() -> None:
    assert turned_upright(*leaning(np.array([0.02, 0.0, 0.0]))[:3], ALL) is None


@pytest.mark.parametrize("why", ["one lane", "no heights", "heights of GPS alone", "loose frames"])
def test_where_the_files_do_not_tell_gravity_nothing_is_turned(why: str) -> None:
    state, know, setting, truth = leaning(np.array([0.5, 0.0, 0.0]))
    matched = ALL
    if why == "one lane":
        setting = replace(setting, gps=truth.C * (1.0, 0.0, 1.0) + (0.0, 5.0, 0.0))
    elif why == "no heights":
        setting = replace(setting, gps=setting.gps * (1.0, 1.0, np.nan))
    elif why == "heights of GPS alone":
        setting = replace(setting, gps_sigma=np.full_like(setting.gps_sigma, 30.0))
    else:
        matched = np.arange(12) < 4
    assert turned_upright(state, know, setting, matched) is None
