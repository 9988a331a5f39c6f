from __future__ import annotations

import torch

from inference.training.losses import texture_loss


def heap(size: int, at: int = 16) -> torch.Tensor:
    """One square heap in a crop of 64 cells."""
    target = torch.zeros(1, 1, 64, 64)
    target[..., at : at + size, at : at + size] = 1.0
    return target


def test_what_is_right_costs_less_than_what_is_wrong() -> None:
    target = heap(16)
    right, wrong = 8.0 * (2 * target - 1), -8.0 * (2 * target - 1)
    everywhere = torch.ones_like(target)
    assert texture_loss(right, target, everywhere) < 0.01 < texture_loss(wrong, target, everywhere)


def test_a_heap_s_rim_counts_neither_way() -> None:
    """Texture is smooth over two metres: it cannot and need not end where the heap does."""
    target, everywhere = heap(16), torch.ones(1, 1, 64, 64)
    said = 8.0 * (2 * target - 1)
    blurred = said.clone()
    blurred[..., 8:40, 8:16] = 8.0
    assert texture_loss(blurred, target, everywhere) == texture_loss(said, target, everywhere)


def test_what_is_not_known_does_not_count() -> None:
    target = torch.zeros(1, 1, 64, 64)
    known = torch.ones_like(target)
    said = torch.full_like(target, -8.0)
    said[..., :16] = 8.0
    assert texture_loss(said, target, known) > 1.0
    known[..., :16] = 0.0
    assert texture_loss(said, target, known) < 0.01


def test_a_small_heap_counts_beside_a_large_plain() -> None:
    """One square of waste among sixty of none: missing it costs a good part of what missing everything else would."""
    target, known = heap(8), torch.ones(1, 1, 64, 64)
    missed = texture_loss(torch.full_like(target, -4.0), target, known)
    all_false = texture_loss(torch.full_like(target, 4.0), target, known)
    assert missed > all_false / 15


def test_a_crop_of_nothing_known_is_no_division_by_zero() -> None:
    empty = torch.zeros(1, 1, 64, 64)
    assert float(texture_loss(empty, empty, empty)) == 0.0
