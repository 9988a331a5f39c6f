"""What changed between two days: register each window, let the Siamese network propose, outline what it saw."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import transform_bounds
from shapely.geometry import box

from inference.engine import Model, sigmoid
from inference.errors import InferenceError
from inference.proposals import Field, Proposal, find, join
from inference.registration import Shift, moved, register
from inference.windows import Grid, Mask, Rgb, Tile, View, grid_of, metric_crs, on_grid, open_raster, read_rgb, tiles

Progress = Callable[[int, int, str], None]

CORE_PX, HALO_PX = 384, 64
# Proposals are cut low; the calibrated probability decides afterwards, with height and second looks.
LOW, HIGH = 0.30, 0.45
# A new structure smaller than this is noise at 0.16 m (the smallest that must be found is 6 m2).
MIN_AREA_M2 = 2.5
# Two pieces nearer than this are one structure.
REACH_M = 0.7
# Two days that disagree by more than this over the whole mosaic do not show one place.
MAX_GLOBAL_M = 8.0
_PROBE_GSD_M, _PROBE_PX, _PROBES = 0.4, 512, 9
_OUT = 2


@dataclass
class ChangeResult:
    """New and gone structures, and how well the days lay on each other.

    `shift_m` is the whole-mosaic shift (east, north) taken out; `poor` the share of windows badly registered.
    """

    new: list[Proposal] = field(default_factory=list)
    gone: list[Proposal] = field(default_factory=list)
    shift_m: tuple[float, float] = (0.0, 0.0)
    poor: float = 0.0
    note: str | None = None


@dataclass(frozen=True)
class _Windowed:
    rgb_before: Rgb
    rgb_after: Rgb
    both: Mask
    shift: Shift


def _overlap_grid(after: Path, before: Path, gsd_m: float) -> Grid:
    with open_raster(after) as now, open_raster(before) as then:
        grid = grid_of(now, gsd_m)
        mine = box(*transform_bounds(now.crs, grid.crs, *now.bounds))
        theirs = box(*transform_bounds(then.crs, grid.crs, *then.bounds))
        shared = mine.intersection(theirs).area
        if shared < 0.05 * min(mine.area, theirs.area) or shared == 0:
            raise InferenceError(
                f"{before} and {after} overlap by {shared:.0f} m2 of {mine.area:.0f} m2: "
                "expected a baseline of the same place; give another --baseline, or none"
            )
        metric_crs(then)
        return grid


def global_shift(after: Path, before: Path) -> Shift:
    """The whole-mosaic shift between two days in metres (east, south), from a few probes.

    Returns:
        Median of the probes that found one; `why` is set where none did.
    """
    grid = _overlap_grid(after, before, _PROBE_GSD_M)
    with ExitStack() as stack:
        now = stack.enter_context(open_raster(after))
        then = stack.enter_context(open_raster(before))
        probes = tiles(now, grid, _PROBE_PX, 0)
        step = max(1, len(probes) // _PROBES)
        views = (stack.enter_context(on_grid(now, grid)), stack.enter_context(on_grid(then, grid)))
        found = []
        for tile in probes[::step]:
            rgb_after, valid_after = read_rgb(views[0], tile)
            rgb_before, valid_before = read_rgb(views[1], tile)
            shift = register(rgb_before, valid_before, rgb_after, valid_after, MAX_GLOBAL_M / _PROBE_GSD_M)
            if shift.why is None:
                found.append((shift.dx_px, shift.dy_px, shift.agreement))
    if not found:
        return Shift(0.0, 0.0, 0.0, "poor registration: the two days could not be laid on each other")
    dx, dy, agreement = np.median(np.array(found), axis=0)
    return Shift(float(dx) * _PROBE_GSD_M, float(dy) * _PROBE_GSD_M, float(agreement))


def _read_pair(now: View, then: View, tile: Tile, grid: Grid, global_m: Shift) -> _Windowed | None:
    rgb_after, valid_after = read_rgb(now, tile)
    rgb_before, valid_before = read_rgb(then, tile)
    gx, gy = global_m.dx_px / grid.gsd_m, global_m.dy_px / grid.gsd_m
    if abs(gx) > 0.05 or abs(gy) > 0.05:
        rgb_before = moved(rgb_before, gx, gy)
        valid_before = moved(valid_before.astype(np.uint8), gx, gy, nearest=True) > 0
    if not (valid_after & valid_before).any():
        return None
    local = register(rgb_before, valid_before, rgb_after, valid_after)
    if local.dx_px or local.dy_px:
        rgb_before = moved(rgb_before, local.dx_px, local.dy_px)
        valid_before = moved(valid_before.astype(np.uint8), local.dx_px, local.dy_px, nearest=True) > 0
    both = cv2.erode((valid_after & valid_before).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return _Windowed(rgb_before, rgb_after, both, local)


def probabilities(model: Model, before: Rgb, after: Rgb, both: Mask) -> tuple[Field, Field, Field, Field]:
    """Network on one registered window.

    Returns:
        P(new), P(gone), P(built before), P(built after), (h / 2, w / 2); change is zero where either day is missing.
    """
    logits = sigmoid(model.logits(before[None], after[None])[0])
    seen = both[::_OUT, ::_OUT]
    new, gone = np.where(seen, logits[0], 0.0), np.where(seen, logits[1], 0.0)
    return new.astype(np.float32), gone.astype(np.float32), logits[2], logits[3]


def _beside(built_before: Field) -> Field:
    """What was built within about a metre and a half of each cell."""
    return np.asarray(cv2.dilate(built_before, np.ones((9, 9), np.uint8)), np.float32)


def _core(values: Field, tile: Tile) -> Field:
    edge = tile.halo // _OUT
    return values[edge : edge + tile.size // _OUT, edge : edge + tile.size // _OUT]


def find_changes(
    model: Model, after: Path, before: Path, shift: Shift, progress: Progress | None = None
) -> ChangeResult:
    """Compares two mosaics.

    Args:
        model: A change model.
        after: Today's mosaic.
        before: The earlier day's; other spacing, CRS and extent are fine.
        shift: `global_shift` of the two.
        progress: Called by window.

    Returns:
        New and gone structures as outlines in the metric CRS of `after`.

    Raises:
        InferenceError: Unreadable, or of different places.
    """
    gsd_m = model.card.gsd_m
    grid = _overlap_grid(after, before, gsd_m)
    result = ChangeResult(shift_m=(shift.dx_px, -shift.dy_px), note=shift.why)
    new: list[Proposal] = []
    gone: list[Proposal] = []
    with ExitStack() as stack:
        now = stack.enter_context(open_raster(after))
        then = stack.enter_context(open_raster(before))
        todo = tiles(now, grid, CORE_PX, HALO_PX)
        now_vrt = stack.enter_context(on_grid(now, grid, Resampling.bilinear))
        then_vrt = stack.enter_context(on_grid(then, grid, Resampling.bilinear))
        poor = 0
        for done, tile in enumerate(todo):
            if progress:
                progress(done, len(todo), "change")
            pair = _read_pair(now_vrt, then_vrt, tile, grid, shift)
            if pair is None:
                continue
            why = shift.why or pair.shift.why
            poor += why is not None
            p_new, p_gone, built, _ = probabilities(model, pair.rgb_before, pair.rgb_after, pair.both)
            at = grid.at(tile.col, tile.row) @ Affine.scale(_OUT)
            agreement = np.full_like(p_new, pair.shift.agreement)
            maps = {"built_before": built, "beside": _beside(built), "agreement": agreement}
            extra = {name: _core(values, tile) for name, values in maps.items()}
            new += find(_core(p_new, tile), at, LOW, HIGH, extra, why)
            gone += find(_core(p_gone, tile), at, LOW, HIGH, extra, why)
    cell_m = grid.gsd_m * _OUT
    result.new = [p for p in join(new, cell_m, REACH_M) if p.area_m2 >= MIN_AREA_M2]
    result.gone = [p for p in join(gone, cell_m, REACH_M) if p.area_m2 >= MIN_AREA_M2]
    result.poor = poor / max(1, len(todo))
    return result
