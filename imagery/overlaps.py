"""What overlapping photographs show of the same things: colours around ties and on cells of the ground.

Ties say it best: in a park most places are crowns that lean by metres, and a cell of the ground then compares a tree
with the lawn beside it (8 of 255 on brighton_beach after any balancing; ties under 2). But ties sit on corners and
leave lawns, water and plain roofs to guesses: balanced by ties alone, photographs' mean colours over all their common
ground differed by 5.5, 3.0, 3.6 and 0.4 of 255 (brighton, boruszyn, toledo, caliterra). With cells of the ground in the
fit, weighted down where frames disagree, it is 1.9, 1.0, 1.4 and 0.2, on cells left out of it 3.4, 2.3, 2.3 and 0.4
(by ties alone 5.7, 3.6, 4.0, 0.5), and at withheld ties 1.95, 4.12, 1.79, 0.64 (1.70, 4.06, 1.92, 0.68).

Colours are averaged over `AVERAGED_PX` of the small copy, 2.5 % of a side: the corner that made the tie says little,
what is around it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imagery.scene import MAX_VIEW_TANGENT, View
from imagery.surface import HeightGrid
from imagery.tracks import Ties

Thumb = NDArray[np.uint8]
AVERAGED_PX = 5
# Darker or lighter than this a pixel is clipped and tells no ratio; frames of dusk are dark throughout: for them it is
# `DARK_SHARE` of what they usually show.
DARKEST, LIGHTEST = 12, 243
DARK_SHARE = 0.3
# Cells of the ground along the shorter side of a typical footprint: as large as what is averaged around a tie.
CELLS_A_SIDE = 30
MOST_CELLS_A_SIDE = 300
# Samples of the ground in all, and of ties: of very many frames every so-manieth cell and tie is taken (2,000 frames
# with all their ties and 400,000 cells took 1,503 MB here).
MOST_SAMPLES = 300_000


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

    def joined(self, other: Overlaps) -> Overlaps:
        """These places and those of another sampling."""
        return Overlaps(
            np.concatenate([self.frame, other.frame]),
            np.concatenate([self.place, other.place + self.places]),
            np.vstack([self.uv, other.uv]),
            np.vstack([self.rgb, other.rgb]),
        )

    def thinned(self, most: int) -> Overlaps:
        """About so many samples at most: every so-manieth place."""
        every = -(-len(self.place) // most)
        return self if every <= 1 else self.where(self.place % every == 0)

    def where(self, keep: NDArray[np.bool_]) -> Overlaps:
        """The samples that are kept, of places that still have two; places are renumbered."""
        index = np.flatnonzero(keep)
        count = np.bincount(self.place[index], minlength=self.places)
        index = index[count[self.place[index]] >= 2]
        number = np.cumsum(np.bincount(self.place[index], minlength=self.places) > 0) - 1
        return Overlaps(self.frame[index], number[self.place[index]], self.uv[index], self.rgb[index])


@dataclass(frozen=True)
class Cells:
    """One frame on square cells of the ground.

    Attributes:
        top: Row of the window's first cells; rows run south.
        left: Column of its first cells.
        u: (h, w) pixel columns of the cells' centres; 0 where not seen.
        v: (h, w) pixel rows.
        rgb: (h, w, 3) what the small copy shows there.
        seen: (h, w) whether the frame shows the cell.
    """

    top: int
    left: int
    u: NDArray[np.float32]
    v: NDArray[np.float32]
    rgb: NDArray[np.float32]
    seen: NDArray[np.bool_]


def cell_size_m(scene: Sequence[View]) -> float:
    """The side of a cell for these frames."""
    sides = [min(view.bounds[2] - view.bounds[0], view.bounds[3] - view.bounds[1]) for view in scene]
    return max(1e-3, float(np.median(sides)) / CELLS_A_SIDE)


def on_cells(view: View, thumb: Thumb, ground: HeightGrid, cell_m: float) -> Cells:
    """A frame's small copy laid on cells of the ground."""
    west, south, east, north = view.bounds
    left, right = _span(west, east, cell_m)
    top, bottom = _span(-north, -south, cell_m)
    x, y = np.meshgrid((np.arange(left, right) + 0.5) * cell_m, -(np.arange(top, bottom) + 0.5) * cell_m)
    z = ground.at(x, y).astype(float)
    u, v = view.pixels(x, y, z)
    seen = view.sees(u, v) & (view.slant(x, y, z) <= MAX_VIEW_TANGENT)
    at_u, at_v = (np.asarray(np.where(seen, side, 0.0), np.float32) for side in (u, v))
    soft = cv2.blur(thumb, (AVERAGED_PX, AVERAGED_PX)).astype(np.float32)
    column, row = (
        (side + 0.5) * (thumb.shape[1 - k] / size) - 0.5
        for k, (side, size) in enumerate(((at_u, view.lens.width_px), (at_v, view.lens.height_px)))
    )
    rgb = cv2.remap(soft, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Cells(top, left, at_u, at_v, np.asarray(rgb, np.float32), seen)


def _span(low: float, high: float, cell_m: float) -> tuple[int, int]:
    """Cells from one edge to the other; of a footprint far wider than the others' its middle."""
    first, last = int(np.floor(low / cell_m)), int(np.ceil(high / cell_m))
    spare = max(0, last - first - MOST_CELLS_A_SIDE)
    return first + spare // 2, last - (spare - spare // 2)


def sample_ground(scene: Sequence[View], thumb_of: Callable[[int], Thumb], ground: HeightGrid) -> Overlaps:
    """Colours of cells of the ground in every matched frame that sees them.

    Args:
        scene: The views, by frame number.
        thumb_of: A small RGB copy of a frame, by its number.
        ground: What they are laid on.
    """
    matched = [number for number, view in enumerate(scene) if view.pose.placed == "matched"]
    if not matched:
        return Overlaps(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2), np.float32), np.zeros((0, 3), np.float32))
    cell_m = cell_size_m([scene[number] for number in matched])
    every = max(1, -(-len(matched) * CELLS_A_SIDE**2 * 3 // (2 * MOST_SAMPLES)))
    parts = []
    for number in matched:
        view, cells = scene[number], on_cells(scene[number], thumb_of(number), ground, cell_m)
        row, column = np.nonzero(cells.seen)
        own = (cells.top + row + 3 * (cells.left + column)) % every == 0
        row, column = row[own], column[own]
        place = (cells.top + row).astype(np.int64) * (1 << 32) + cells.left + column
        uv = np.column_stack([cells.u[row, column], cells.v[row, column]])
        uv /= np.array([max(1, view.lens.width_px - 1), max(1, view.lens.height_px - 1)], np.float32)
        parts.append((np.full(len(place), number), place, uv, cells.rgb[row, column]))
    frame, place, uv, rgb = (np.concatenate([part[k] for part in parts]) for k in range(4))
    order = np.argsort(place, kind="stable")
    rank = np.unique(place[order], return_inverse=True)[1].astype(np.int64)
    return _usable(Overlaps(frame[order], rank, uv[order], rgb[order]))


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
    return _usable(Overlaps(ties.frame, ties.point, uv, rgb))


def _usable(seen: Overlaps) -> Overlaps:
    """Samples that are neither clipped nor black."""
    rgb = seen.rgb
    darkest = min(DARKEST, DARK_SHARE * float(np.median(rgb))) if len(rgb) else DARKEST
    return seen.where(np.asarray(((rgb > darkest) & (rgb < LIGHTEST)).all(axis=1), bool))


def colours_at(thumb: Thumb, uv: NDArray[np.float32]) -> NDArray[np.float32]:
    """(s, 3) averaged colours of a small copy at places (s, 2) from 0 to 1."""
    soft = cv2.blur(thumb.astype(np.float32), (AVERAGED_PX, AVERAGED_PX))
    column, row = (np.ascontiguousarray(uv[:, k] * thumb.shape[1 - k] - 0.5)[None] for k in (0, 1))
    return np.asarray(cv2.remap(soft, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0], np.float32)
