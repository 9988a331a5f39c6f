"""What changed between two days: register each window, let network and surfaces propose, outline what they saw."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import transform_bounds
from shapely import STRtree
from shapely.geometry import box

from inference.engine import Model, sigmoid
from inference.errors import InferenceError
from inference.proposals import Field, Proposal, find, join, sides_m
from inference.registration import Shift, moved, register
from inference.rises import Rises, open_rises
from inference.windows import Grid, Mask, Rgb, Tile, View, grid_of, metric_crs, on_grid, open_raster, read_rgb, tiles

Progress = Callable[[int, int, str], None]

CORE_PX, HALO_PX = 384, 64
# Proposals are cut low; the calibrated probability decides afterwards, with height and second looks.
LOW, HIGH, TIGHT = 0.30, 0.45, 0.5
# What the network hardly believes is proposed, too, where nothing stronger lies: a roof of the ground's own colour gets
# a word of 0.2 in parts. The second opinion, with the heights, lets most of it go again.
FAINT_LOW, FAINT_HIGH, FAINT_TIGHT = 0.12, 0.25, 0.2
# A new structure smaller than this is noise at 0.16 m (the smallest that must be found is 6 m2).
MIN_AREA_M2 = 2.5
# Two pieces nearer than this are one structure.
REACH_M = 0.7
# What rose without the network's word must be more than a hedge or a bin.
MIN_RISEN_M2 = 3.0
# A rise that shares so much of itself with what the network proposed is that thing.
SAME_SHARE = 0.4
COMPACT_SHARE = 0.6
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


def _greenness(rgb: Rgb) -> Field:
    """Excess green, -1..1, on the output's cells: leaves lie above 0.1, most of what is built near 0."""
    r, g, b = np.moveaxis(rgb[::_OUT, ::_OUT].astype(np.float32), -1, 0)
    return np.asarray((2 * g - r - b) / (r + g + b + 1.0), np.float32)


def _roughness(metres: Field) -> Field:
    """Spread of a surface's rise within a metre: a roof is smooth, a wrong match and a crown are not."""
    filled = np.nan_to_num(metres, nan=0.0).astype(np.float32)
    mean = cv2.blur(filled, (3, 3))
    return np.asarray(np.sqrt(np.maximum(cv2.blur(filled * filled, (3, 3)) - mean * mean, 0.0)), np.float32)


def _core(values: Field, tile: Tile) -> Field:
    edge = tile.halo // _OUT
    return values[edge : edge + tile.size // _OUT, edge : edge + tile.size // _OUT]


@dataclass
class _Found:
    """Pieces of outlines, window by window; how many windows did not register."""

    new: list[Proposal] = field(default_factory=list)
    faint: list[Proposal] = field(default_factory=list)
    gone: list[Proposal] = field(default_factory=list)
    risen: list[Proposal] = field(default_factory=list)
    poor: int = 0

    def add(self, part: _Found, poor: bool) -> None:
        """One more window's."""
        self.new += part.new
        self.faint += part.faint
        self.gone += part.gone
        self.risen += part.risen
        self.poor += poor


def _look_over(model: Model, pair: _Windowed, tile: Tile, grid: Grid, rises: Rises | None, why: str | None) -> _Found:
    """Outlines of one window's core: what the network says is new and gone, and what rose."""
    new, gone, before, now = probabilities(model, pair.rgb_before, pair.rgb_after, pair.both)
    maps = {"new": new, "built_before": before, "built_now": now, "beside": _beside(before)}
    maps |= {"agreement": np.full_like(new, pair.shift.agreement), "green": _greenness(pair.rgb_after)}
    rise = rises.over(Tile(tile.col // _OUT, tile.row // _OUT, tile.size // _OUT, tile.halo // _OUT)) if rises else None
    if rise is not None:
        maps["rough"] = _roughness(rise.metres)
    extra = {name: _core(values, tile) for name, values in maps.items()}
    at = grid.at(tile.col, tile.row) @ Affine.scale(_OUT)
    found = _Found(
        find(_core(new, tile), at, LOW, HIGH, extra, why, TIGHT),
        find(_core(new, tile), at, FAINT_LOW, FAINT_HIGH, extra, why, FAINT_TIGHT),
        find(_core(gone, tile), at, LOW, HIGH, extra, why),
    )
    if rise is not None:
        thing = _core(np.where(pair.both[::_OUT, ::_OUT], rise.thing, 0.0).astype(np.float32), tile)
        found.risen = find(thing, at, 0.5, 0.5, extra, why)
    return found


def _fused(risen: list[Proposal], proposed: list[Proposal]) -> list[Proposal]:
    """One proposal a thing: what the network and the surfaces propose, laid together.

    Where the network outlined most of what rose, its outline stands. Where it saw but patches of one compact thing
    that rose, the whole takes their place. Where it saw nothing, what rose stands alone.
    """
    tree = STRtree([p.polygon for p in proposed])
    gone: set[int] = set()
    out = []
    for rise in risen:
        near = [int(i) for i in tree.query(rise.polygon, predicate="intersects") if int(i) not in gone]
        shared = {i: proposed[i].polygon.intersection(rise.polygon).area for i in near}
        if sum(shared.values()) > SAME_SHARE * rise.area_m2:
            continue
        patches = [i for i in near if shared[i] > 0.5 * proposed[i].area_m2]
        if len(patches) < len(near) or (patches and not _compact(rise)):
            continue
        gone.update(patches)
        word = rise.extra["new"]
        peak = max([word, *(proposed[i].peak for i in patches)])
        out.append(replace(rise, mean=word, peak=peak, extra={**rise.extra, "risen": 1.0}))
    return [p for i, p in enumerate(proposed) if i not in gone] + out


def _compact(proposal: Proposal) -> bool:
    """Whether an outline fills its box like a building; a wrong match of surfaces straggles."""
    sides = sides_m(proposal.polygon)
    return sides is not None and proposal.area_m2 > COMPACT_SHARE * sides[0] * sides[1]


def _together(found: _Found, cell_m: float, result: ChangeResult) -> None:
    """Welds the pieces of all windows into whole things."""
    result.new = [p for p in join(found.new, cell_m, REACH_M) if p.area_m2 >= MIN_AREA_M2]
    result.gone = [p for p in join(found.gone, cell_m, REACH_M) if p.area_m2 >= MIN_AREA_M2]
    risen = [p for p in join(found.risen, cell_m, cell_m) if p.area_m2 >= MIN_RISEN_M2]
    result.new = _fused(risen, result.new)
    # Faint patches are parts of things as a rule: what the surface outlined whole goes before them.
    taken = STRtree([p.polygon for p in result.new])
    faint = [p for p in join(found.faint, cell_m, REACH_M) if p.area_m2 >= MIN_AREA_M2]
    result.new += [p for p in faint if not len(taken.query(p.polygon, predicate="intersects"))]


def find_changes(
    model: Model,
    after: Path,
    before: Path,
    shift: Shift,
    progress: Progress | None = None,
    surfaces: tuple[Path, Path] | None = None,
) -> ChangeResult:
    """Compares two mosaics, and the two days' surfaces where there are both.

    Args:
        model: A change model.
        after: Today's mosaic.
        before: The earlier day's; other spacing, CRS and extent are fine.
        shift: `global_shift` of the two.
        progress: Called by window.
        surfaces: Today's and the earlier day's surface; what rose is proposed, too (`extra["risen"]` 1).

    Returns:
        New and gone structures as outlines in the metric CRS of `after`.

    Raises:
        InferenceError: Unreadable, or of different places.
    """
    grid = _overlap_grid(after, before, model.card.gsd_m)
    result = ChangeResult(shift_m=(shift.dx_px, -shift.dy_px), note=shift.why)
    cells = Grid(
        grid.crs, grid.gsd_m * _OUT, grid.left, grid.top, -(-grid.width_px // _OUT), -(-grid.height_px // _OUT)
    )
    with ExitStack() as stack:
        now = stack.enter_context(open_raster(after))
        then = stack.enter_context(open_raster(before))
        todo = tiles(now, grid, CORE_PX, HALO_PX)
        views = [stack.enter_context(on_grid(day, grid, Resampling.bilinear)) for day in (now, then)]
        rises = stack.enter_context(open_rises(*surfaces, cells, result.shift_m) if surfaces else nullcontext())
        whole = _Found()
        for done, tile in enumerate(todo):
            if progress:
                progress(done, len(todo), "change")
            pair = _read_pair(views[0], views[1], tile, grid, shift)
            if pair is not None:
                why = shift.why or pair.shift.why
                whole.add(_look_over(model, pair, tile, grid, rises, why), why is not None)
    _together(whole, cells.gsd_m, result)
    result.poor = whole.poor / max(1, len(todo))
    return result
