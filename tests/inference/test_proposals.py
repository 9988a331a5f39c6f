from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
from rasterio.transform import Affine

from inference.proposals import Proposal, allowance, find, join, strongest

AT = Affine(0.16, 0, 100.0, 0, -0.16, 200.0)


def _field(*blocks: tuple[int, int, int, int, float]) -> np.ndarray:
    field = np.full((120, 120), 0.02, np.float32)
    for r0, c0, r1, c1, p in blocks:
        field[r0:r1, c0:c1] = p
    return field


def test_a_region_is_outlined_where_it_lies() -> None:
    found = find(_field((10, 20, 40, 60, 0.9)), AT, 0.3, 0.5, {})
    assert len(found) == 1
    assert found[0].polygon.bounds == pytest.approx((103.2, 193.6, 109.6, 198.4))
    assert found[0].area_m2 == pytest.approx(30 * 40 * 0.16**2)
    assert found[0].mean == pytest.approx(0.9, abs=1e-4)


def test_a_region_must_somewhere_be_sure() -> None:
    assert find(_field((10, 20, 40, 60, 0.4)), AT, 0.3, 0.5, {}) == []
    assert len(find(_field((10, 20, 40, 60, 0.4), (20, 30, 25, 35, 0.8)), AT, 0.3, 0.5, {})) == 1


def test_pieces_cut_by_a_seam_become_one_and_keep_their_area() -> None:
    left = find(_field((10, 100, 40, 120, 0.9)), AT, 0.3, 0.5, {"x": np.full((120, 120), 1.0, np.float32)})
    beyond = AT @ Affine.translation(120, 0)
    right = find(_field((10, 0, 40, 30, 0.7)), beyond, 0.3, 0.5, {"x": np.full((120, 120), 0.0, np.float32)})
    whole = join([*left, *right], 0.16, 0.4)
    assert len(whole) == 1
    assert whole[0].area_m2 == pytest.approx(30 * 50 * 0.16**2, rel=0.03)
    assert whole[0].mean == pytest.approx((20 * 0.9 + 30 * 0.7) / 50, abs=0.01)
    assert whole[0].extra["x"] == pytest.approx(0.4, abs=0.01)


def test_things_apart_stay_apart() -> None:
    found = find(_field((10, 10, 30, 30, 0.9), (10, 60, 30, 80, 0.9)), AT, 0.3, 0.5, {})
    assert len(join(found, 0.16, 0.7)) == 2
    assert join([], 0.16, 0.7) == []


def test_a_town_of_noise_is_outlined_in_seconds() -> None:
    """An untrained network's map, holes upon holes, kept `yunxun train` in one call of GEOS for eight minutes."""
    started = time.process_time()
    noise = cv2.GaussianBlur(np.random.default_rng(1).random((1000, 1000), np.float32), (0, 0), 1.2)
    found = find(noise, AT, 0.5, 0.51, {})
    assert len(found) > 1000
    whole = join(found, 0.16, 0.4)
    assert time.process_time() - started < 20
    assert all(p.polygon.is_valid and p.area_m2 > 0 for p in whole)
    assert max(shapely.get_num_coordinates(p.polygon) for p in whole) <= 5_000


def test_a_chessboard_is_one_place_and_not_none() -> None:
    """Coarser, each of its thousands of cells vanishes."""
    board = (np.indices((200, 200)).sum(axis=0) % 2).astype(np.float32)
    (whole,) = join(find(board, AT, 0.5, 0.6, {}), 0.16, 0.4)
    assert whole.polygon.is_valid and whole.area_m2 == pytest.approx(32.0**2, rel=0.02)


def test_unsureness_is_passed_on() -> None:
    found = find(_field((10, 10, 30, 30, 0.9)), AT, 0.3, 0.5, {}, "poor registration")
    assert join(found, 0.16, 0.5)[0].unsure == "poor registration"


def test_a_weak_model_is_bounded_by_the_hectare() -> None:
    many = find(_field((10, 10, 30, 30, 0.9)), AT, 0.3, 0.5, {}) * 500
    weak = [Proposal(p.polygon, p.area_m2, i / 500, p.peak, {}) for i, p in enumerate(many)]
    kept = strongest(weak, allowance(160_000))
    assert len(kept) == 64
    assert min(p.mean for p in kept) == pytest.approx(436 / 500)
    assert len(strongest(weak, allowance(100))) == 40


def test_the_word_of_both_branches_ranks_where_there_is_one() -> None:
    """Shape alone ranks them the other way."""
    one = find(_field((10, 10, 30, 30, 0.9)), AT, 0.3, 0.5, {})[0]
    proposals = [replace(one, mean=0.9, extra={"both": 0.2}), replace(one, mean=0.6, extra={"both": 0.8})]
    assert strongest(proposals, 1) == [proposals[1]]
