"""What two neighbouring photographs differ by over all the ground that both show: the eye's first look at a mosaic.

Each photograph is balanced as the mosaic will show it and laid on the coarse ground; of every two that overlap, the
mean colours of their common ground are compared. Leaves, cars and walls seen from two sides hardly count in a mean over
thousands of square metres; what a photograph is too bright, too red or too hazy by counts in full. (The stricter look
is `colour.difference`: patch by patch around withheld ties, parallax and leaves included.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imagery.colour import Tone
from imagery.overlaps import Cells, cell_size_m, on_cells
from imagery.scene import View
from imagery.surface import HeightGrid

Thumb = NDArray[np.uint8]
# Two frames overlap where they share at least this part of the smaller one's cells.
LEAST_SHARE = 0.05
# Pairs compared, evenly chosen where there are more: 2,000 frames have 30,000, and the median is told by fewer.
MOST_PAIRS = 4000


@dataclass(frozen=True)
class OverlapColours:
    """Differences of mean colours over common ground, of 255.

    Attributes:
        median: Over pairs and channels.
        p95: 95th percentile.
        pairs: Pairs compared.
    """

    median: float
    p95: float
    pairs: int


def overlap_colours(
    scene: Sequence[View], tones: Sequence[Tone], thumb_of: Callable[[int], Thumb], ground: HeightGrid
) -> OverlapColours | None:
    """Compares all pairs of matched frames that overlap.

    Args:
        scene: The views.
        tones: What each is multiplied by.
        thumb_of: A small RGB copy of a view, by number.
        ground: What they are laid on.

    Returns:
        What they differ by, or None where no two overlap.
    """
    chosen = [number for number, view in enumerate(scene) if view.pose.placed == "matched"]
    if len(chosen) < 2:
        return None
    cell_m = cell_size_m([scene[n] for n in chosen])
    laid = [_balanced(on_cells(scene[n], thumb_of(n), ground, cell_m), scene[n], tones[n]) for n in chosen]
    pairs = _touching(laid)
    step = max(1, -(-len(pairs) // MOST_PAIRS))
    found = [off for one, two in pairs[::step] if (off := _apart(laid[one], laid[two])) is not None]
    if not found:
        return None
    each = np.abs(np.array(found))
    return OverlapColours(float(np.median(each)), float(np.percentile(each, 95)), len(found))


def _balanced(cells: Cells, view: View, tone: Tone) -> Cells:
    """Colours as the mosaic shows them."""
    return replace(cells, rgb=np.clip(cells.rgb * tone.lift(cells.u, cells.v, view.lens), 0.0, 255.0))


def _touching(laid: Sequence[Cells]) -> list[tuple[int, int]]:
    """Pairs whose windows overlap."""
    low = np.array([(part.top, part.left) for part in laid])
    high = low + np.array([part.seen.shape for part in laid])
    pairs = []
    for one in range(len(laid) - 1):
        rest = slice(one + 1, None)
        near = ((low[rest] < high[one]) & (high[rest] > low[one])).all(axis=1)
        pairs += [(one, one + 1 + two) for two in np.flatnonzero(near).tolist()]
    return pairs


def _apart(one: Cells, two: Cells) -> NDArray[np.float32] | None:
    """(3,) the first's mean colour less the second's over what both show; None where that is too little."""
    top, left = max(one.top, two.top), max(one.left, two.left)
    bottom = min(one.top + one.seen.shape[0], two.top + two.seen.shape[0])
    right = min(one.left + one.seen.shape[1], two.left + two.seen.shape[1])
    areas = [
        (slice(top - part.top, bottom - part.top), slice(left - part.left, right - part.left)) for part in (one, two)
    ]
    both = one.seen[areas[0]] & two.seen[areas[1]]
    if both.sum() < max(4.0, LEAST_SHARE * min(one.seen.sum(), two.seen.sum())):
        return None
    return np.asarray((one.rgb[areas[0]][both] - two.rgb[areas[1]][both]).mean(axis=0), np.float32)
