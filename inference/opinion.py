"""A second opinion on a candidate of change: what a person would look at, both days' pictures and heights, in one chip.

The change network sees colours and never heights; `sureness` sees heights as a number and never their shape. This small
network sees both at one candidate: a rise with the shape of a roof on ground that was bare is told from one with the
shape of a lorry on a road, from the edges of standing walls and from crowns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from inference.engine import Model
from inference.heights import Surfaces
from inference.networks import ChangeNet
from inference.registration import Shift, moved, register
from inference.windows import Grid, Rgb, Tile, View, read_rgb

Field = NDArray[np.float32]

CHIP_PX = 64
# A chip shows 16 m, or as much more as a large thing takes to fill at most this share of it.
LEAST_GSD_M, FILLED = 0.25, 0.6
# Metres that fill a channel; what lies beyond says no more.
_RISE_M, _RISES = 1.5, 2.5
_TALL_M, _TALLS = 3.0, (-0.5, 3.0)
_BATCH = 64


@dataclass(frozen=True)
class Chip:
    """What is seen of one candidate, on one square grid of `CHIP_PX` cells.

    Attributes:
        before: (n, n, 3) the earlier day's colours.
        after: Today's.
        now_m: (n, n) today's surface, NaN unknown; None without surfaces.
        then_m: The earlier one.
        mask: (n, n) 1 inside the outline.
        gsd_m: Side of a cell.
    """

    before: Rgb
    after: Rgb
    now_m: Field | None
    then_m: Field | None
    mask: NDArray[np.uint8]
    gsd_m: float


def spacing_m(polygon: BaseGeometry) -> float:
    """Side of a chip's cells for an outline."""
    west, south, east, north = polygon.bounds
    return max(LEAST_GSD_M, max(east - west, north - south) / FILLED / CHIP_PX)


def inputs(chip: Chip) -> Field:
    """A chip as the network takes it, (11, n, n): heights relative to the ground about the outline."""
    planes = [np.moveaxis(image.astype(np.float32) / 128.0 - 1.0, -1, 0) for image in (chip.before, chip.after)]
    heights = np.zeros((3, *chip.mask.shape), np.float32)
    if chip.now_m is not None and chip.then_m is not None:
        rise = chip.now_m - chip.then_m
        known = np.isfinite(rise)
        about = known & (cv2.dilate(chip.mask, np.ones((9, 9), np.uint8)) == 0)
        if about.sum() > 50:
            rise = (rise - np.median(rise[about])) / _RISE_M
            tall = (chip.then_m - np.percentile(chip.then_m[about], 30)) / _TALL_M
            heights[0] = np.where(known, np.clip(rise, -_RISES, _RISES), 0.0)
            heights[1] = np.where(known, np.clip(tall, *_TALLS), 0.0)
            heights[2] = known
    scale = np.full((1, *chip.mask.shape), np.log(chip.gsd_m / LEAST_GSD_M), np.float32)
    return np.concatenate([*planes, heights, scale, chip.mask[None].astype(np.float32)])


def _cut(tile: Tile, middle: tuple[float, float], grid: Grid, gsd_m: float) -> NDArray[np.float32]:
    """Pixels of a chip at twice its fineness -> pixels of the tile (for an inverse warp)."""
    step = gsd_m / 2 / grid.gsd_m
    col, row = (middle[0] - grid.left) / grid.gsd_m - tile.col, (grid.top - middle[1]) / grid.gsd_m - tile.row
    first = 0.5 * step - 0.5 - CHIP_PX * step
    return np.array([[step, 0, col + first], [0, step, row + first]], np.float32)


def _around(polygon: BaseGeometry, grid: Grid, gsd_m: float) -> tuple[Tile, tuple[float, float]]:
    west, south, east, north = polygon.bounds
    x, y = (west + east) / 2, (south + north) / 2
    side = int(np.ceil(CHIP_PX * gsd_m / grid.gsd_m)) + 4
    return Tile(int((x - grid.left) / grid.gsd_m) - side // 2, int((grid.top - y) / grid.gsd_m) - side // 2, side, 0), (
        x,
        y,
    )


def finer(values: NDArray, matrix: NDArray[np.float32], unknown: float | None = None) -> NDArray:
    """Samples a raster for a chip, at twice its fineness and then averaged by two.

    Args:
        values: (h, w) or (h, w, 3).
        matrix: Chip pixels at twice the fineness -> raster pixels.
        unknown: What lies outside; the edge is repeated when None.
    """
    size = (2 * CHIP_PX, 2 * CHIP_PX)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if unknown is None:
        fine = cv2.warpAffine(values, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    else:
        fine = cv2.warpAffine(values, matrix, size, flags=flags, borderValue=unknown)
    return np.asarray(cv2.resize(fine, (CHIP_PX, CHIP_PX), interpolation=cv2.INTER_AREA))


def drawn(polygon: BaseGeometry, middle: tuple[float, float], gsd_m: float) -> NDArray[np.uint8]:
    """An outline on its chip."""
    mask = np.zeros((CHIP_PX, CHIP_PX), np.uint8)
    for part in getattr(polygon, "geoms", [polygon]):
        if part.geom_type != "Polygon":
            continue
        xy = (np.asarray(part.exterior.coords) - middle) / gsd_m * (1, -1) + CHIP_PX / 2 - 0.5
        cv2.fillPoly(mask, [np.round(xy * 16).astype(np.int32)], 1, shift=4)
    return mask


def chip_of(
    polygon: BaseGeometry, grid: Grid, now: View, then: View, shift: Shift, surfaces: Surfaces | None
) -> Chip | None:
    """Cuts a candidate's chip out of both days; None where either shows nothing.

    Args:
        polygon: In the grid's CRS.
        grid: The change model's.
        now: Today's mosaic on it.
        then: The earlier day's.
        shift: From the earlier day to this one, in grid pixels.
        surfaces: Both days' heights, or None.
    """
    gsd_m = spacing_m(polygon)
    tile, middle = _around(polygon, grid, gsd_m)
    after, valid_after = read_rgb(now, tile)
    # Whole pixels by reading elsewhere, so that a large shift brings no black edge in.
    right, down = round(shift.dx_px), round(shift.dy_px)
    before, valid_before = read_rgb(then, Tile(tile.col - right, tile.row - down, tile.size, 0))
    before = moved(before, shift.dx_px - right, shift.dy_px - down)
    if valid_after.mean() < 0.5 or valid_before.mean() < 0.5:
        return None
    # A chip may be mostly new roof: where it does not register, the mosaic's own shift has to do.
    local = register(before, valid_before, after, valid_after)
    if local.why is None:
        before = moved(before, local.dx_px, local.dy_px)
    matrix = _cut(tile, middle, grid, gsd_m)
    heights = surfaces.both(middle, gsd_m, CHIP_PX) if surfaces is not None else None
    return Chip(
        np.asarray(finer(before, matrix), np.uint8),
        np.asarray(finer(after, matrix), np.uint8),
        heights[0] if heights else None,
        heights[1] if heights else None,
        drawn(polygon, middle, gsd_m),
        gsd_m,
    )


def has_opinion(model: Model) -> bool:
    """Whether a change model has one: those before 2026-11-23 have not."""
    return isinstance(model.network, ChangeNet) and model.network.opinion is not None


def opinions(model: Model, chips: Iterable[Chip | None]) -> list[float | None]:
    """The log-odds that each chip shows a new structure; None for what cannot be shown, or by a model without.

    Args:
        model: A change model.
        chips: Of candidates; taken a few at a time, as they may be thousands.
    """
    out: list[float | None] = []
    source = iter(chips)
    while part := list(islice(source, _BATCH)):
        out += _batch(model, part)
    return out


def _batch(model: Model, chips: Sequence[Chip | None]) -> list[float | None]:
    network = model.network
    assert isinstance(network, ChangeNet)
    shown = [chip for chip in chips if chip is not None]
    if network.opinion is None or not shown:
        return [None] * len(chips)
    batch = torch.from_numpy(np.stack([inputs(chip) for chip in shown])).to(model.device)
    with torch.inference_mode():
        logits = network.opinion(batch).float().cpu()
    said = iter((logits[:, 0] - torch.logsumexp(logits[:, 1:], 1)).tolist())
    return [None if chip is None else float(next(said)) for chip in chips]
