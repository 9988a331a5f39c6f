"""What overlapping photographs show of the same things: colours around ties, averaged on small copies.

Ties rather than places on the ground: in a park most places are crowns that lean by metres, and a map cell then
compares a tree with the lawn beside it (8 of 255 on brighton_beach after any balancing; ties under 2). Averaged over
`AVERAGED_PX` of the small copy, 2.5 % of a side: the corner that made the tie says little, what is around it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imagery.scene import View
from imagery.tracks import Ties

Thumb = NDArray[np.uint8]
AVERAGED_PX = 5
# Darker or lighter than this a pixel is clipped and tells no ratio; frames of dusk are dark throughout: for them it is
# `DARK_SHARE` of what they usually show.
DARKEST, LIGHTEST = 12, 243
DARK_SHARE = 0.3


@dataclass(frozen=True)
class Overlaps:
    """Colours of places as frames show them, sorted by place; places that one frame alone sees are left out.

    Attributes:
        frame: (s,) frame numbers.
        place: (s,) place numbers, ascending.
        uv: (s, 2) where in the frame, 0 to 1 from corner to corner.
        rgb: (s, 3) colours, 0 to 255.
    """

    frame: NDArray[np.int64]
    place: NDArray[np.int64]
    uv: NDArray[np.float32]
    rgb: NDArray[np.float32]

    @property
    def places(self) -> int:
        """Number of places."""
        return int(self.place[-1]) + 1 if len(self.place) else 0

    def where(self, keep: NDArray[np.bool_]) -> Overlaps:
        """The samples that are kept, of places that still have two; places are renumbered."""
        index = np.flatnonzero(keep)
        count = np.bincount(self.place[index], minlength=self.places)
        index = index[count[self.place[index]] >= 2]
        number = np.cumsum(np.bincount(self.place[index], minlength=self.places) > 0) - 1
        return Overlaps(self.frame[index], number[self.place[index]], self.uv[index], self.rgb[index])


def sample_overlaps(ties: Ties, scene: Sequence[View], thumb_of: Callable[[int], Thumb]) -> Overlaps:
    """Colours around ties in every frame that sees them.

    Args:
        ties: Adjusted (or withheld) ties.
        scene: The views, by frame number.
        thumb_of: A small RGB copy of a frame, by its number.
    """
    uv = np.zeros((len(ties.frame), 2), np.float32)
    rgb = np.zeros((len(ties.frame), 3), np.float32)
    order = np.argsort(ties.frame, kind="stable")
    ends = np.cumsum(np.bincount(ties.frame, minlength=len(scene)))
    for number, view in enumerate(scene):
        own = order[ends[number - 1] if number else 0 : ends[number]]
        if len(own):
            uv[own] = ties.uv[own] / (max(1, view.lens.width_px - 1), max(1, view.lens.height_px - 1))
            rgb[own] = colours_at(thumb_of(number), uv[own])
    darkest = min(DARKEST, DARK_SHARE * float(np.median(rgb))) if len(rgb) else DARKEST
    usable = np.asarray(((rgb > darkest) & (rgb < LIGHTEST)).all(axis=1), bool)
    return Overlaps(ties.frame, ties.point, uv, rgb).where(usable)


def colours_at(thumb: Thumb, uv: NDArray[np.float32]) -> NDArray[np.float32]:
    """(s, 3) averaged colours of a small copy at places (s, 2) from 0 to 1."""
    soft = cv2.blur(thumb.astype(np.float32), (AVERAGED_PX, AVERAGED_PX))
    column, row = (np.ascontiguousarray(uv[:, k] * thumb.shape[1 - k] - 0.5)[None] for k in (0, 1))
    return np.asarray(cv2.remap(soft, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0], np.float32)
