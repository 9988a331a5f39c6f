"""Dense heights: neighbouring frames laid on one level plane are a rectified pair, semi-global matching does the rest.

Two nadir frames warped to the plane z0 on a grid whose columns run along their baseline differ only by a shift along
the columns, B h / (H - h) for a point h above the plane: a stereo pair without any further rectification. Every pair
gives heights where it is sure; a cell's height is the median over the pairs that saw it, its error their scatter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from imagery.checkpoint import key_of
from imagery.features import decode
from imagery.files import Progress, appearing, quiet
from imagery.scene import View
from imagery.surface import HeightGrid

Floats = NDArray[np.float64]
Patch = NDArray[np.float32]
_PairWindow = tuple[int, int, int, int, Path]

# Heights are sought on pixels this many times the photographs' own: finer costs its cube and moved roofs by less
# than their error.
CELL_PX = 4.5
# Baseline over height: less gives no depth, more sees other sides of things.
BASE_SHARE = (0.12, 0.75)
WANTED_BASE_SHARE = 0.3
MAX_TILT_DEG = 25.0
PARTNERS = 2
# Things on the ground are looked for up to this height, or to what the ties show, but never above 60 % of the way up.
DEFAULT_TALLEST_M = 30.0
BELOW_GROUND_M = 5.0
BLOCK = 5
TILE = 256


@dataclass(frozen=True)
class Dense:
    """Heights and their error (NaN where no pair was sure), on one grid."""

    surface: HeightGrid
    sigma_m: NDArray[np.float32]
    seen: NDArray[np.uint8]


def dense_dsm(
    scene: Sequence[View],
    ground: HeightGrid,
    gsd_m: float,
    bounds: tuple[float, float, float, float],
    tallest_m: float = DEFAULT_TALLEST_M,
    workers: int = 2,
    progress: Progress = quiet,
    keep: Path | None = None,
) -> Dense:
    """Heights of everything within bounds.

    Args:
        scene: Adjusted views.
        ground: The coarse ground under them.
        gsd_m: Pixel size of the photographs on the ground; cells are `CELL_PX` times that.
        bounds: West, south, east, north to cover.
        tallest_m: Height above ground up to which things are looked for.
        workers: Threads.
        progress: Called once a pair.
        keep: Folder for heights of pairs, which a later run takes up; a temporary one by default.
    """
    cell_m = CELL_PX * gsd_m
    west, south, east, north = bounds
    columns, rows = max(1, int(np.ceil((east - west) / cell_m))), max(1, int(np.ceil((north - south) / cell_m)))
    frame = HeightGrid(west, north, cell_m, np.zeros((0, columns), np.float32))
    pairs = stereo_pairs(scene, ground, bounds)
    with tempfile.TemporaryDirectory(prefix="heights.") as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        common = key_of(ground.z, ground.left, ground.top, ground.cell_m, west, north, cell_m, rows, columns, tallest_m)
        windows: list[_PairWindow] = []
        kept = _kept(folder)

        def work(number: int) -> _PairWindow | None:
            one, two = (scene[k] for k in pairs[number])
            parts = (view.pose.model_dump_json() + view.lens.model_dump_json() for view in (one, two))
            name = key_of(common, *parts)
            if name in kept:
                return kept[name]
            found = _heights_of_pair(one, two, ground, frame, (rows, columns), tallest_m)
            if found is None:
                return None
            top, left, patch = found
            path = folder / f"{name}_{top}_{left}_{patch.shape[0]}_{patch.shape[1]}.npy"
            with appearing(path) as temporary:
                np.save(temporary, patch.astype(np.float32))
            return top, left, patch.shape[0], patch.shape[1], path

        with ThreadPoolExecutor(workers) as pool:
            for done, window in enumerate(pool.map(work, range(len(pairs))), start=1):
                if window is not None:
                    windows.append(window)
                progress(done, len(pairs), "heights")
        return _fused(windows, frame, rows, columns)


def _kept(folder: Path) -> dict[str, _PairWindow]:
    """Heights of pairs that an earlier run left: top row, left column, rows, columns and file of each, by name."""
    found = {}
    for path in folder.glob("*_*_*_*_*.npy"):
        name, *numbers = path.stem.split("_")
        top, left, height, width = (int(part) for part in numbers)
        found[name] = (top, left, height, width, path)
    return found


def stereo_pairs(
    scene: Sequence[View], ground: HeightGrid, bounds: tuple[float, float, float, float]
) -> list[tuple[int, int]]:
    """For every usable frame the `PARTNERS` neighbours whose baseline is nearest to the wanted share of the height."""
    west, south, east, north = bounds
    usable = [
        n
        for n, view in enumerate(scene)
        if view.pose.placed == "matched"
        and -float(np.asarray(view.pose.R)[2, 2]) > np.cos(np.radians(MAX_TILT_DEG))
        and view.bounds[0] < east
        and view.bounds[2] > west
        and view.bounds[1] < north
        and view.bounds[3] > south
    ]
    if len(usable) < 2:
        return []
    centre = np.array([scene[n].pose.C for n in usable])
    height = centre[:, 2] - ground.at(centre[:, 0], centre[:, 1])
    near_count = min(13, len(usable))
    distance, near = cKDTree(centre[:, :2]).query(centre[:, :2], k=near_count)
    pairs: set[tuple[int, int]] = set()
    for i in range(len(usable)):
        ranked = []
        for apart, j in zip(distance[i, 1:], near[i, 1:], strict=True):
            share = apart / max(1.0, height[i])
            alike = abs(centre[i, 2] - centre[j, 2]) < 0.12 * height[i]
            if BASE_SHARE[0] <= share <= BASE_SHARE[1] and alike:
                ranked.append((abs(share - WANTED_BASE_SHARE), int(j)))
        pairs.update((min(usable[i], usable[j]), max(usable[i], usable[j])) for _, j in sorted(ranked)[:PARTNERS])
    return sorted(pairs)


@dataclass(frozen=True)
class _Plane:
    """A level plane with columns along the baseline: the rectified pair's common geometry."""

    along: Floats
    across: Floats
    start: Floats
    z: float
    cell_m: float
    shape: tuple[int, int]

    def xy(self) -> tuple[Floats, Floats]:
        """World x and y of the grid's points, (rows, columns) each."""
        s = self.start[0] + np.arange(self.shape[1]) * self.cell_m
        t = self.start[1] + np.arange(self.shape[0]) * self.cell_m
        s, t = np.meshgrid(s, t)
        return s * self.along[0] + t * self.across[0], s * self.along[1] + t * self.across[1]


def _heights_of_pair(
    one: View, two: View, ground: HeightGrid, frame: HeightGrid, shape: tuple[int, int], tallest_m: float
) -> tuple[int, int, Patch] | None:
    """Heights that a pair sees, as a window of the result: its top row, left column and heights (NaN unknown)."""
    box = _shared(one.bounds, two.bounds)
    if box is None:
        return None
    plane, low, high = _plane(one, two, ground, box, frame.cell_m)
    if min(plane.shape) < 24:
        return None
    disparity, floor = _match(one, two, plane, low, min(high + tallest_m, 0.6 * (one.pose.C[2] - plane.z)))
    known = disparity > floor
    if not known.any():
        return None
    x, y, z = _to_world(one, two, plane, disparity, known)
    column = ((x - frame.left) / frame.cell_m).astype(int)
    row = ((frame.top - y) / frame.cell_m).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < shape[1]) & (row < shape[0])
    if inside.sum() < 50:
        return None
    column, row, z = column[inside], row[inside], z[inside]
    top, left = int(row.min()), int(column.min())
    patch = np.full((int(row.max()) - top + 1, int(column.max()) - left + 1), np.nan, np.float32)
    # Where a roof's edge and the ground fall into one cell, the roof is what a vertical view sees.
    order = np.argsort(z, kind="stable")
    patch[row[order] - top, column[order] - left] = z[order]
    return top, left, patch


def _shared(
    one: tuple[float, float, float, float], two: tuple[float, float, float, float]
) -> tuple[float, float, float, float] | None:
    west, south, east, north = max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])
    return (west, south, east, north) if west < east and south < north else None


def _plane(
    one: View, two: View, ground: HeightGrid, box: tuple[float, float, float, float], cell_m: float
) -> tuple[_Plane, float, float]:
    """The plane of a pair, and the lowest and highest ground above it within the shared box."""
    x, y = np.meshgrid(np.linspace(box[0], box[2], 9), np.linspace(box[1], box[3], 9))
    z = ground.at(x, y)
    level = float(np.median(z))
    base = np.asarray(two.pose.C[:2]) - np.asarray(one.pose.C[:2])
    along = base / np.linalg.norm(base)
    across = np.array([-along[1], along[0]])
    # The tight box of what both see, in the plane's own axes: from the footprints' outlines.
    s0 = max(float(_outline(view, level, along).min()) for view in (one, two))
    s1 = min(float(_outline(view, level, along).max()) for view in (one, two))
    t0 = max(float(_outline(view, level, across).min()) for view in (one, two))
    t1 = min(float(_outline(view, level, across).max()) for view in (one, two))
    shape = (max(0, int((t1 - t0) / cell_m)), max(0, int((s1 - s0) / cell_m)))
    plane = _Plane(along, across, np.array([s0, t0]), level, cell_m, shape)
    return plane, float(z.min()) - level - BELOW_GROUND_M, float(z.max()) - level


def _outline(view: View, level: float, axis: Floats) -> Floats:
    """The footprint's corners on a level plane, along an axis."""
    width, height = view.lens.width_px - 1.0, view.lens.height_px - 1.0
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    plane = (corners - (view.lens.cx, view.lens.cy)) / view.lens.fx
    rays = np.column_stack([plane, np.ones(4)]) @ np.asarray(view.pose.R)
    reach = (view.pose.C[2] - level) / np.maximum(0.2, -rays[:, 2])
    return (np.asarray(view.pose.C[:2]) + rays[:, :2] * reach[:, None]) @ axis


def _match(one: View, two: View, plane: _Plane, low_m: float, high_m: float) -> tuple[NDArray[np.float32], float]:
    """Disparities (pixels of the plane, below `floor` where unknown) of the first view's image."""
    base = float(np.linalg.norm(np.asarray(two.pose.C[:2]) - np.asarray(one.pose.C[:2])))
    height = one.pose.C[2] - plane.z

    def shift(h: float) -> float:
        return base * h / max(1.0, height - h) / plane.cell_m

    lowest = int(np.floor(shift(low_m))) - 1
    count = int(np.ceil((shift(high_m) - lowest) / 16.0)) * 16
    left, seen_left = _laid(one, plane)
    right, seen_right = _laid(two, plane)
    # The matcher has no answer in the first `lowest + count` columns: they are given, then cut.
    pad = max(0, lowest + count)
    left_wide = cv2.copyMakeBorder(left, 0, 0, pad, 0, cv2.BORDER_REPLICATE)
    right_wide = cv2.copyMakeBorder(right, 0, 0, pad, 0, cv2.BORDER_REPLICATE)
    matcher = cv2.StereoSGBM.create(
        minDisparity=lowest,
        numDisparities=max(16, count),
        blockSize=BLOCK,
        P1=6 * BLOCK * BLOCK,
        P2=40 * BLOCK * BLOCK,
        disp12MaxDiff=1,
        preFilterCap=31,
        uniquenessRatio=6,
        speckleWindowSize=40,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    disparity = matcher.compute(left_wide, right_wide)[:, pad:].astype(np.float32) / 16.0
    rows, columns = np.indices(disparity.shape)
    partner = np.clip(np.rint(columns - disparity).astype(int), 0, disparity.shape[1] - 1)
    both = seen_left & seen_right[rows, partner] & (columns - disparity >= 0)
    return np.where(both, disparity, lowest - 2.0).astype(np.float32), lowest - 0.5


def _laid(view: View, plane: _Plane) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A view warped to the plane, in grey, and where it sees the plane."""
    x, y = plane.xy()
    step = 8
    u, v = view.pixels(x[::step, ::step], y[::step, ::step], np.full_like(x[::step, ::step], plane.z))
    size = (x.shape[1], x.shape[0])
    u_fine, v_fine = (_stretch(np.asarray(side, np.float32), step, size) for side in (u, v))
    seen = view.sees(u_fine, v_fine, 2.0)
    image, scale = _grey(view, plane.cell_m)
    warped = cv2.remap(
        image,
        (u_fine + 0.5) * scale[0] - 0.5,
        (v_fine + 0.5) * scale[1] - 0.5,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.uint8), seen


def _stretch(coarse: NDArray[np.float32], step: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Values at every `step`-th point to every point, linearly, the last cell extrapolated."""
    column = np.arange(size[0], dtype=np.float32) / step
    row = np.arange(size[1], dtype=np.float32) / step
    right = 2 * coarse[:, -1:] - coarse[:, -2:-1] if coarse.shape[1] > 1 else coarse
    wide = np.hstack([coarse, right])
    below = 2 * wide[-1:] - wide[-2:-1] if wide.shape[0] > 1 else wide
    whole = np.vstack([wide, below])
    columns, rows = np.meshgrid(column, row)
    return np.asarray(cv2.remap(whole, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _grey(view: View, cell_m: float) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """The photograph in grey at about the plane's resolution, and its size relative to the full one."""
    gsd_m = (view.bounds[2] - view.bounds[0]) / max(view.lens.width_px, view.lens.height_px)
    share = min(1.0, gsd_m / cell_m * 1.3)
    long_side = max(view.lens.width_px, view.lens.height_px)
    target = max(200, int(long_side * share))
    image = decode(view.path.read_bytes(), target)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    size = (round(view.lens.width_px * target / long_side), round(view.lens.height_px * target / long_side))
    if grey.shape[1] > size[0]:
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    return grey, (grey.shape[1] / view.lens.width_px, grey.shape[0] / view.lens.height_px)


def _to_world(
    one: View, two: View, plane: _Plane, disparity: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Points in the world where two rays of a pair cross, exact for unequal camera heights along the baseline."""
    row, column = np.nonzero(known)
    s = plane.start[0] + column * plane.cell_m
    t = plane.start[1] + row * plane.cell_m
    shift = disparity[known].astype(float) * plane.cell_m
    c_one, c_two = np.asarray(one.pose.C), np.asarray(two.pose.C)
    h_one, h_two = c_one[2] - plane.z, c_two[2] - plane.z
    s_one, s_two = float(c_one[:2] @ plane.along), float(c_two[:2] @ plane.along)
    h = shift / ((s_two - (s - shift)) / h_two - (s_one - s) / h_one)
    x = s * plane.along[0] + t * plane.across[0]
    y = s * plane.along[1] + t * plane.across[1]
    x, y = x + (c_one[0] - x) * h / h_one, y + (c_one[1] - y) * h / h_one
    return x, y, plane.z + h


def _fused(windows: list[_PairWindow], frame: HeightGrid, rows: int, columns: int) -> Dense:
    """Median and scatter over pairs, tile by tile."""
    z = np.full((rows, columns), np.nan, np.float32)
    sigma = np.full((rows, columns), np.nan, np.float32)
    seen = np.zeros((rows, columns), np.uint8)
    for top in range(0, rows, TILE):
        for left in range(0, columns, TILE):
            bottom, right = min(rows, top + TILE), min(columns, left + TILE)
            stack = [_part(window, (top, bottom, left, right)) for window in windows]
            layers = np.array([layer for layer in stack if layer is not None], np.float32)
            if not len(layers):
                continue
            area = (slice(top, bottom), slice(left, right))
            z[area], sigma[area], seen[area] = _middle(layers)
    return Dense(HeightGrid(frame.left, frame.top, frame.cell_m, z), sigma, seen)


def _part(window: tuple[int, int, int, int, Path], area: tuple[int, int, int, int]) -> Patch | None:
    top, left, height, width, path = window
    a_top, a_bottom, a_left, a_right = area
    r0, r1, c0, c1 = max(top, a_top), min(top + height, a_bottom), max(left, a_left), min(left + width, a_right)
    if r0 >= r1 or c0 >= c1:
        return None
    layer = np.full((a_bottom - a_top, a_right - a_left), np.nan, np.float32)
    patch = np.load(path, mmap_mode="r")
    layer[r0 - a_top : r1 - a_top, c0 - a_left : c1 - a_left] = patch[r0 - top : r1 - top, c0 - left : c1 - left]
    return layer


def _middle(layers: NDArray[np.float32]) -> tuple[Patch, Patch, NDArray[np.uint8]]:
    """Per cell: the median of known heights, the error of that median, and how many there were."""
    ordered = np.sort(layers, axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    rows, columns = np.indices(count.shape)

    def at(share: float) -> Patch:
        return np.asarray(ordered[np.clip((share * (count - 1)).astype(int), 0, len(ordered) - 1), rows, columns])

    low, high = np.floor((count - 1) / 2).astype(int).clip(0), np.ceil((count - 1) / 2).astype(int).clip(0)
    middle = (ordered[low, rows, columns] + ordered[high, rows, columns]) / 2
    spread = (at(0.84) - at(0.16)) / 2
    sigma = np.where(count >= 3, np.maximum(spread, 0.05) / np.sqrt(np.maximum(1, count)) * 1.25, np.nan)
    return middle.astype(np.float32), sigma.astype(np.float32), np.minimum(count, 255).astype(np.uint8)
