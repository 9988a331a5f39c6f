"""Crops drawn ahead are those that would be drawn here, in the same order."""

import threading

import numpy as np
import pytest

from inference.training.ahead import drawn_ahead


def draw(step: int) -> tuple[int, int, float]:
    return step, threading.get_ident(), float(np.random.default_rng([3, step]).random())


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_every_step_comes_once_and_in_order(ahead):
    got = list(drawn_ahead(draw, 5, 17, ahead))
    assert [step for step, _, _ in got] == list(range(5, 17))
    assert [value for _, _, value in got] == [draw(step)[2] for step in range(5, 17)]


def test_another_thread_draws_ahead():
    assert {thread for _, thread, _ in drawn_ahead(draw, 0, 3)} != {threading.get_ident()}
    assert {thread for _, thread, _ in drawn_ahead(draw, 0, 3, ahead=0)} == {threading.get_ident()}


def test_nothing_to_draw():
    assert list(drawn_ahead(draw, 4, 4)) == []


def fails(step: int) -> int:
    if step == 2:
        raise ValueError("step 2 cannot be drawn")
    return step


def test_what_cannot_be_drawn_is_told():
    drawn = drawn_ahead(fails, 0, 5)
    assert [next(drawn), next(drawn)] == [0, 1]
    with pytest.raises(ValueError, match="step 2"):
        next(drawn)
