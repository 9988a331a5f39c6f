"""Seams walk around what two photographs show differently, and never leave what both see."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.seamlines import BAND_TANGENT, Choice, reroute

ROWS, COLUMNS = 90, 120


def two_views(differ: np.ndarray) -> Choice:
    """The left half is seen best by view 0, the right by view 1; they show the same but where told."""
    choice = Choice.empty(ROWS, COLUMNS)
    everywhere = (slice(0, ROWS), slice(0, COLUMNS))
    x = np.broadcast_to(np.arange(COLUMNS), (ROWS, COLUMNS)).astype(np.float32)
    ground = np.full((ROWS, COLUMNS, 3), 90, np.uint8)
    choice.offer(everywhere, 0, 0.002 * x, ground)
    other = ground.copy()
    other[differ] = 200
    choice.offer(everywhere, 1, (0.002 * (COLUMNS - 1 - x)).astype(np.float32), other)
    return choice


def seam_cells(first: np.ndarray) -> np.ndarray:
    edge = np.zeros(first.shape, bool)
    edge[:, 1:] |= first[:, 1:] != first[:, :-1]
    edge[1:] |= first[1:] != first[:-1]
    return edge


def test_a_house_on_the_seam_is_not_cut() -> None:
    house = np.zeros((ROWS, COLUMNS), bool)
    house[30:55, 52:70] = True
    choice = two_views(house)
    assert (seam_cells(choice.first) & house).any()
    reroute(choice)
    assert not (seam_cells(choice.first) & house).any()
    assert set(np.unique(choice.first)) == {0, 1}


def test_what_stands_is_not_cut_though_both_show_it_alike() -> None:
    roof = np.zeros((ROWS, COLUMNS), bool)
    roof[20:50, 50:72] = True
    choice = two_views(np.zeros_like(roof))
    reroute(choice, lambda area: np.where(roof[area[0] : area[1], area[2] : area[3]], 4.0, 0.0))
    assert not (seam_cells(choice.first) & roof).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_seam_stays_where_the_worse_view_is_hardly_worse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    choice = two_views(rng.random((ROWS, COLUMNS)) < 0.3)
    before, best, runner = choice.first.copy(), choice.best.copy(), choice.next.copy()
    reroute(choice)
    moved = choice.first != before
    assert (runner[moved] - best[moved] < BAND_TANGENT).all()
    assert np.array_equal(choice.best[moved], runner[moved])
    assert np.array_equal(choice.best[~moved], best[~moved])


def test_frames_that_hang_on_gps_gain_no_ground() -> None:
    choice = two_views(np.ones((ROWS, COLUMNS), bool))
    choice.next += 10.0
    before = choice.first.copy()
    reroute(choice, None, unsure=10.0)
    assert np.array_equal(before, choice.first)


def test_unseen_cells_stay_unseen() -> None:
    choice = Choice.empty(40, 40)
    choice.offer((slice(0, 40), slice(0, 15)), 3, np.full((40, 15), 0.1, np.float32), np.zeros((40, 15, 3), np.uint8))
    reroute(choice)
    assert (choice.first[:, :15] == 3).all() and (choice.first[:, 15:] == -1).all()
