"""What training makes small: of a network that outlines, and of a branch that only says whether there is waste."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# The texture branch is judged on squares of so many cells (1.3 m at 8 cm), those at a heap's rim left out; at most so
# many squares of either sort count in a crop, so that a large heap teaches no more than a small one.
_SQUARE, _MOST_SQUARES = 8, 12.0
_FULL = 0.4


def loss_of(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy where it counts (hard cells more), and overlap of the first channels: few cells are positive.

    Args:
        logits: (b, c, h, w).
        target: The same shape, 0 or 1.
        weight: The same shape; 0 where unknown.
    """
    plain = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = torch.sigmoid(logits)
    hard = (p - target).abs().detach() + 0.1
    # A change channel holds a percent of positives: without more weight the network first learns "never".
    positive = 1.0 + 3.0 * target
    entropy = (plain * hard * positive * weight).sum() / weight.sum().clamp(min=1.0)
    main, truth, counts = p[:, :1], target[:, :1], (weight[:, :1] > 0).float()
    both = (main * truth * counts).sum((0, 2, 3))
    dice = 1 - (2 * both + 20) / (((main + truth) * counts).sum((0, 2, 3)) + 20)
    return 4.0 * entropy + 0.5 * dice.mean()


def _at_most(part: Tensor) -> Tensor:
    """Squares of one sort, weighed down where a crop has too many."""
    return part * (_MOST_SQUARES / part.sum((1, 2, 3), keepdim=True).clamp(min=1.0)).clamp(max=1.0)


def texture_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy over whole squares of waste and of none, each sort counting alike in every crop.

    Args:
        logits: (b, 1, h, w), sides multiples of 8.
        target: The same shape, 0 or 1.
        weight: The same shape; 0 where unknown.
    """
    there, known = functional.avg_pool2d(target, _SQUARE), functional.avg_pool2d((weight > 0).float(), _SQUARE)
    near = functional.max_pool2d((there > 0).float(), 3, 1, 1)
    full, empty = (there > _FULL).float(), ((near == 0) & (known > 0.99)).float()
    counts = _at_most(full) + _at_most(empty)
    wide = [functional.interpolate(x, scale_factor=float(_SQUARE), mode="nearest") for x in (full, counts)]
    entropy = functional.binary_cross_entropy_with_logits(logits, wide[0], reduction="none")
    return (entropy * wide[1]).sum() / wide[1].sum().clamp(min=1.0)
