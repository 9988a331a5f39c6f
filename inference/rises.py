"""What rose: where two days' surfaces differ by more than chance, whatever the pictures show.

A shed of the ground's own colour, or in a hall's shadow, escapes a network that sees colours; it does not escape the
surface. Trees, lorries and stacks rise, too: what a rise is worth is for `sureness` to say, from the network's word,
the shape and the size together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from inference.heights import read_surface
from inference.windows import Grid, Tile, View, on_grid, open_raster

Field = NDArray[np.float32]

# Lower than any room; the rises of ten towns' surfaces that no change explains stay below it (noise 0.2 m).
LEAST_M = 1.0
# So many times the surfaces' own noise.
TIMES_NOISE = 3.0
# Two surfaces from frames disagree along every standing wall, by a cell or two of the surface: a strip narrower than
# this is an edge, not a thing.
LEAST_WIDTH_M = 1.2
# Within a window two surfaces differ by a plane (bias and tilt) and by slow waves of this reach and more.
_WAVES_M = 40.0
_FIT_STEP = 4


@dataclass(frozen=True)
class Rise:
    """Over one window: metres risen relative to the ground about (NaN unknown), and 1 where that is a thing."""

    metres: Field
    thing: Field


class Rises:
    """Two days' surfaces, compared window by window on a grid."""

    def __init__(self, grid: Grid, after: View, before: View, shift_m: tuple[float, float]) -> None:
        self._grid, self._after, self._before = grid, after, before
        self._slip = (round(shift_m[0] / grid.gsd_m), round(shift_m[1] / grid.gsd_m))

    def over(self, tile: Tile) -> Rise:
        """Compares the surfaces over core and halo of a window of the grid."""
        east, north = self._slip
        then_tile = Tile(tile.col - east, tile.row + north, tile.size, tile.halo)
        (now, sigma_now), (then, sigma_then) = read_surface(self._after, tile), read_surface(self._before, then_tile)
        metres, noise = levelled(now - then, self._grid.gsd_m)
        own = np.nan_to_num(np.hypot(sigma_now, sigma_then), nan=0.0)
        risen = np.nan_to_num(metres, nan=0.0) > np.maximum(LEAST_M, TIMES_NOISE * np.maximum(noise, own))
        return Rise(metres, _opened(risen.astype(np.uint8), max(2, round(LEAST_WIDTH_M / self._grid.gsd_m))))


def _opened(cells: NDArray[np.uint8], width: int) -> Field:
    """Without what is narrower than `width` cells; with mirrored anchors, as an even width else moves what stays."""
    square, at = np.ones((width, width), np.uint8), width // 2
    thin = cv2.erode(cells, square, anchor=(at, at))
    back = width - 1 - at
    return np.asarray(cv2.dilate(thin, square, anchor=(back, back)), np.float32)


def levelled(difference: Field, cell_m: float) -> tuple[Field, float]:
    """A difference of surfaces without what two flights differ by everywhere.

    Args:
        difference: (h, w) metres, NaN unknown.
        cell_m: Side of a cell.

    Returns:
        The difference less a robust plane and slow waves, and its noise (1.48 MAD); NaN everywhere where hardly
        anything is known.
    """
    known = np.isfinite(difference)
    if known.sum() < 400:
        return np.full_like(difference, np.nan), 0.0
    rows, cols = np.nonzero(known[::_FIT_STEP, ::_FIT_STEP])
    values = difference[::_FIT_STEP, ::_FIT_STEP][rows, cols].astype(float)
    table = np.column_stack([np.ones(len(rows)), rows, cols]).astype(float)
    plane = np.array([float(np.median(values)), 0.0, 0.0])
    for _ in range(4):
        off = values - table @ plane
        near = np.abs(off) <= max(0.3, 2.5 * 1.48 * float(np.median(np.abs(off))))
        if near.sum() < 50:
            break
        plane = np.linalg.lstsq(table[near], values[near], rcond=None)[0]
    y, x = np.mgrid[: difference.shape[0], : difference.shape[1]].astype(np.float32) / _FIT_STEP
    rest = (difference - (plane[0] + plane[1] * y + plane[2] * x)).astype(np.float32)
    spread = 1.48 * float(np.median(np.abs(rest[known])))
    # Slow waves: the mean of what is near the plane, over a reach that no single building fills.
    calm = (known & (np.abs(rest) < max(0.5, 3 * spread))).astype(np.float32)
    sigma = _WAVES_M / cell_m / 4
    weight = cv2.GaussianBlur(calm, (0, 0), sigma)
    waves = cv2.GaussianBlur(np.where(calm > 0, rest, 0).astype(np.float32), (0, 0), sigma) / np.maximum(weight, 0.05)
    rest = rest - np.where(weight > 0.05, waves, 0.0).astype(np.float32)
    return rest, 1.48 * float(np.median(np.abs(rest[known])))


@contextmanager
def open_rises(after: Path, before: Path, grid: Grid, shift_m: tuple[float, float]) -> Iterator[Rises]:
    """Opens two surfaces to be compared.

    Args:
        after: Today's surface.
        before: The earlier day's.
        grid: Cells to compare on.
        shift_m: From the earlier day to this one, (east, north).

    Raises:
        InferenceError: Either is missing or not georeferenced.
    """
    with ExitStack() as stack:
        views = []
        for path in (after, before):
            dataset = stack.enter_context(open_raster(path))
            views.append(stack.enter_context(on_grid(dataset, grid, Resampling.bilinear)))
        yield Rises(grid, views[0], views[1], shift_m)
