from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.registration import moved, register
from tests.inference.conftest import ground_texture

ALL = np.ones((256, 256), bool)


@settings(max_examples=15, deadline=None)
@given(st.floats(-2.5, 2.5), st.floats(-1.5, 1.5), st.floats(0.8, 1.25))
def test_a_shift_is_found_whatever_the_gain(dx: float, dy: float, gain: float) -> None:
    after = ground_texture(256)
    before = np.clip(moved(after, -dx, -dy).astype(float) * gain, 0, 255).astype(np.uint8)
    shift = register(before, ALL, after, ALL)
    assert shift.why is None
    assert (shift.dx_px, shift.dy_px) == pytest.approx((dx, dy), abs=0.35)


def test_another_place_is_poor() -> None:
    assert register(ground_texture(256, 1), ALL, ground_texture(256, 2), ALL).why == "poor registration"


def test_a_shift_beyond_the_limit_is_not_believed() -> None:
    after = ground_texture(256)
    shift = register(moved(after, -20, 0), ALL, after, ALL)
    assert np.hypot(shift.dx_px, shift.dy_px) <= 3.0
    assert shift.why == "poor registration"


def test_too_little_overlap_is_said() -> None:
    none = np.zeros((256, 256), bool)
    assert register(ground_texture(256), none, ground_texture(256), ALL).why == "too little seen on both days"
