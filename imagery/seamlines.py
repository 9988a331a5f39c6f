"""Where one photograph ends and the next begins: seams that walk around what stands or has moved.

Where the second best view is hardly worse than the best, either may speak. There the difference of the two is
flooded from its peaks down, from the places that are settled: a house, a car, a crown is a peak and goes as a whole to
whichever photograph reaches it first, and the floods meet in the valleys, where both photographs agree (the
morphological compositing of Soille 2006). Windows are flooded apart, so memory does not grow with the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import watershed_ift

# A seam may move to where the worse view's angle is this much (tangent) flatter: 12 cm more lean a metre of height.
BAND_TANGENT = 0.12
# Colour differences (of 255) count in steps of `STEP` up to `MOST_STEPS`: below one step both show the same.
STEP = 4.0
MOST_STEPS = 24
# Higher than this above the ground a thing leans visibly; it costs as a colour difference of so many steps.
STANDS_M = 0.8
STANDING_STEPS = 12
WINDOW = 1024
MARGIN = 128
# Fragments smaller than this many cells go back to what surrounds them.
FRAGMENT = 24

Area = tuple[int, int, int, int]
Window = tuple[slice, slice]


@dataclass
class Choice:
    """The two best views of every cell so far.

    Attributes:
        first: (rows, columns) best view, -1 for none.
        second: The next best, -1 for none.
        best: Score of the first, inf for none.
        next: Score of the second.
        colour: (rows, columns, 3) what the first shows.
        other: What the second shows.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    best: NDArray[np.float32]
    next: NDArray[np.float32]
    colour: NDArray[np.uint8]
    other: NDArray[np.uint8]

    @classmethod
    def empty(cls, rows: int, columns: int) -> Choice:
        """No view anywhere."""
        none, far = np.full((rows, columns), -1, np.int32), np.full((rows, columns), np.inf, np.float32)
        black = np.zeros((rows, columns, 3), np.uint8)
        return cls(none, none.copy(), far, far.copy(), black, black.copy())

    def offer(self, window: Window, number: int, score: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
        """Takes a view where it is better than one of the two."""
        first, second, best = self.first[window], self.second[window], self.best[window]
        runner, colour, other = self.next[window], self.colour[window], self.other[window]
        wins = score < best
        places = ~wins & (score < runner)
        second[wins], runner[wins], other[wins] = first[wins], best[wins], colour[wins]
        first[wins], best[wins], colour[wins] = number, score[wins], rgb[wins]
        second[places], runner[places], other[places] = number, score[places], rgb[places]


def reroute(choice: Choice, above: Callable[[Area], NDArray[np.float32]] | None = None, unsure: float = np.inf) -> None:
    """Moves seams within their bands; `first` and `best` of the choice are changed in place.

    Args:
        choice: The two best views everywhere.
        above: Heights above ground of the cells of an area (top, bottom, left, right).
        unsure: Views of this score and more never gain ground.
    """
    rows, columns = choice.first.shape
    moved = np.zeros((rows, columns), bool)
    for area, inner in _windows(rows, columns):
        window = (slice(area[0], area[1]), slice(area[2], area[3]))
        free = (choice.next[window] < choice.best[window] + BAND_TANGENT) & (choice.next[window] < unsure)
        if not free.any():
            continue
        height = _cost(choice.colour[window], choice.other[window])
        if above is not None:
            height = np.where(above(area) > STANDS_M, np.minimum(height + STANDING_STEPS, MOST_STEPS), height)
        settled = np.where(free, 0, choice.first[window] + 1)
        # What nobody sees floods last and gains nothing.
        settled[choice.first[window] < 0] = -1
        if not (settled > 0).any():
            continue
        flooded = watershed_ift((MOST_STEPS - height).astype(np.uint8), settled) - 1
        change = free & (flooded == choice.second[window]) & (flooded != choice.first[window])
        change = _without_fragments(change) & free
        moved[inner] = change[inner[0].start - area[0] :, inner[1].start - area[2] :][
            : inner[0].stop - inner[0].start, : inner[1].stop - inner[1].start
        ]
    choice.first[moved] = choice.second[moved]
    choice.best[moved] = choice.next[moved]


def _windows(rows: int, columns: int) -> Iterator[tuple[Area, Window]]:
    """Areas to flood, and the part of each that counts."""
    for top in range(0, rows, WINDOW):
        for left in range(0, columns, WINDOW):
            bottom, right = min(rows, top + WINDOW), min(columns, left + WINDOW)
            area = (
                max(0, top - MARGIN),
                min(rows, bottom + MARGIN),
                max(0, left - MARGIN),
                min(columns, right + MARGIN),
            )
            yield area, (slice(top, bottom), slice(left, right))


def _cost(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Steps of difference of what two views show; a step wider than the thing, so that the seam keeps off its rim."""
    apart = cv2.absdiff(one, two).max(axis=2)
    wide = cv2.dilate(cv2.blur(apart, (3, 3)), np.ones((3, 3), np.uint8))
    return np.minimum(np.floor(wide / STEP), MOST_STEPS).astype(np.float32)


def _without_fragments(change: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Changes that are too small to see go, and so do unchanged specks within changes."""
    mask = change.astype(np.uint8)
    for value in (1, 0):
        count, label, stats, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=4)
        small = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < FRAGMENT)
        small = small[small > 0]
        if len(small) and count:
            mask[np.isin(label, small)] = 1 - value
    return np.asarray(mask > 0)
