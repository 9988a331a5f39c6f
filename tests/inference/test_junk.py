"""What is drawn into crops: inside them, where its mask says, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from inference.training.junk import KINDS, dump
from inference.training.tidy import NOT_WASTE, tidy
from tests.inference.conftest import ground_texture

GROUND = ground_texture(192, 4)


@pytest.mark.parametrize("seed", range(12))
def test_a_dump_changes_the_picture_where_its_mask_lies(seed: int) -> None:
    drawn, junk = dump(GROUND, np.random.default_rng(seed), 0.08)
    changed = np.abs(drawn.astype(int) - GROUND).max(axis=2) > 6
    assert junk.kind in KINDS
    assert drawn.shape == GROUND.shape and drawn.dtype == np.uint8
    assert junk.mask.shape == (192, 192) and set(np.unique(junk.mask > 0.5)) <= {False, True}
    inside = junk.mask > 0.5
    if inside.sum() > 100:
        assert changed[inside].mean() > 0.3
        assert changed[inside].mean() > changed[~inside].mean()


def test_every_kind_comes_and_the_same_seed_draws_the_same() -> None:
    kinds = {dump(GROUND, np.random.default_rng(seed), 0.08)[1].kind for seed in range(120)}
    assert kinds == set(KINDS)
    one, two = (dump(GROUND, np.random.default_rng(5), 0.16, GROUND)[0] for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("kind", NOT_WASTE)
def test_what_is_tidy_is_drawn_too(kind: str) -> None:
    drawn = tidy(GROUND, np.random.default_rng(3), 0.08, (kind,))
    assert drawn.shape == GROUND.shape and (drawn != GROUND).any()
