"""Heaps and litter on one day: the waste network over halo windows of a mosaic, or over single photographs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rasterio.transform import Affine

from inference.engine import Model, sigmoid
from inference.proposals import Field, Proposal, find, join
from inference.windows import Grid, Mask, Rgb, Tile, grid_of, on_grid, open_raster, read_rgb, tiles

Progress = Callable[[int, int, str], None]

CORE_PX, HALO_PX = 512, 64
# Regions are told apart at even odds of the network, outlines are drawn in to even odds of the truth: training weighs a
# cell of waste four times, so that those lie at 0.8. At 0.3 and 0.5 outlines were 1.5 times too large in the median.
LOW, HIGH, TIGHT = 0.5, 0.5, 0.8
MIN_AREA_M2 = 0.5
REACH_M = 0.5
_OUT = 2


class Said(NamedTuple):
    """What the network says of a window, (h / 2, w / 2) each.

    Attributes:
        waste: P(waste) by shape and texture together: it ranks places. Zero where nothing was photographed.
        spoil: P(spoil | waste).
        litter: P(litter | waste).
        shape: P(waste) by the branches that outline; zero like `waste`.
    """

    waste: Field
    spoil: Field
    litter: Field
    shape: Field


def probabilities(model: Model, rgb: Rgb, valid: Mask) -> Said:
    """Network on one window."""
    values = sigmoid(model.logits(rgb[None])[0])
    inside = cv2.erode(valid.astype(np.uint8), np.ones((5, 5), np.uint8))[::_OUT, ::_OUT] > 0
    waste, shape = (np.where(inside, values[k], 0.0).astype(np.float32) for k in (0, 3))
    return Said(waste, values[1], values[2], shape)


def _outlined(said: Said, at: Affine) -> list[Proposal]:
    """Outlines by shape, as texture is smooth over two metres; what shape and texture say together goes with them."""
    means = {"spoil": said.spoil, "litter": said.litter, "both": said.waste}
    return find(said.shape, at, LOW, HIGH, means, tight=TIGHT)


def _core(said: Said, tile: Tile) -> Said:
    edge = tile.halo // _OUT
    return Said(*(v[edge : edge + tile.size // _OUT, edge : edge + tile.size // _OUT] for v in said))


def find_waste(model: Model, mosaic: Path, progress: Progress | None = None) -> tuple[list[Proposal], Grid]:
    """Looks over a mosaic.

    Args:
        model: A waste model.
        mosaic: Any georeferenced 8-bit RGB raster.
        progress: Called by window.

    Returns:
        Proposals as outlines in the grid's CRS, and the grid.

    Raises:
        InferenceError: Unreadable.
    """
    found: list[Proposal] = []
    with ExitStack() as stack:
        dataset = stack.enter_context(open_raster(mosaic))
        grid = grid_of(dataset, model.card.gsd_m)
        todo = tiles(dataset, grid, CORE_PX, HALO_PX)
        vrt = stack.enter_context(on_grid(dataset, grid))
        for done, tile in enumerate(todo):
            if progress:
                progress(done, len(todo), "waste")
            rgb, valid = read_rgb(vrt, tile)
            if not valid.any():
                continue
            at = grid.at(tile.col, tile.row) @ Affine.scale(_OUT)
            found += _outlined(_core(probabilities(model, rgb, valid), tile), at)
    return [p for p in join(found, grid.gsd_m * _OUT, REACH_M) if p.area_m2 >= MIN_AREA_M2], grid


def find_in_image(model: Model, rgb: Rgb) -> list[Proposal]:
    """Looks over one photograph that is at the model's spacing already.

    Args:
        model: A waste model.
        rgb: (h, w, 3), small enough to hold; windows are cut as on a mosaic.

    Returns:
        Proposals whose polygons are in pixels of `rgb` (x right, y down); areas in square pixels.
    """
    height, width = rgb.shape[:2]
    found: list[Proposal] = []
    for row in range(0, height, CORE_PX):
        for col in range(0, width, CORE_PX):
            tile = Tile(col, row, CORE_PX, HALO_PX)
            window, valid = _cut(rgb, tile)
            at = Affine.translation(col, row) @ Affine.scale(_OUT)
            found += _outlined(_core(probabilities(model, window, valid), tile), at)
    least = MIN_AREA_M2 / model.card.gsd_m**2
    return [p for p in join(found, _OUT, REACH_M / model.card.gsd_m) if p.area_m2 >= least]


def _cut(rgb: Rgb, tile: Tile) -> tuple[Rgb, Mask]:
    height, width = rgb.shape[:2]
    window = np.zeros((tile.full, tile.full, 3), np.uint8)
    valid = np.zeros((tile.full, tile.full), bool)
    r0, c0 = max(0, tile.row - tile.halo), max(0, tile.col - tile.halo)
    r1, c1 = min(height, tile.row + tile.size + tile.halo), min(width, tile.col + tile.size + tile.halo)
    at = (
        slice(r0 - tile.row + tile.halo, r1 - tile.row + tile.halo),
        slice(c0 - tile.col + tile.halo, c1 - tile.col + tile.halo),
    )
    window[at], valid[at] = rgb[r0:r1, c0:c1], True
    return window, valid
