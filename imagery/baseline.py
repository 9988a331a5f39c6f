"""An earlier mosaic as control: its features are places that are known, and the new frames are tied to them.

The change detector lives on this: two days must agree to a pixel on the ground. Only features on the ground count
(a roof leans in a mosaic, differently every day), and a fifth of the ties is withheld to say how well it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from imagery.control import KnownPoints
from imagery.errors import ImageryError
from imagery.features import describe
from imagery.heights import Surface, read_surface
from imagery.index import Index
from imagery.matching import RATIO, mutual_matches, verified
from imagery.patches import PatchTies
from imagery.scene import ground_points
from imagery.solve import Solution, shifted, to_poses
from imagery.surface import HeightGrid
from imagery.work import DescriptorStore

Floats = NDArray[np.float64]
TILE_PX = 1000
FEATURES_A_TILE = 2500
# How far a new flight may be off the old one before matching: commodity GNSS days are 2 m apart, bad ones 10.
SEARCH_M = 15.0
# A feature higher than this above the old ground leans and is no control.
GROUND_TOLERANCE_M = 0.6
# A mosaic's feature is where it is to about this many of its pixels, and its height to this.
SIGMA_PX = 1.0
SIGMA_Z_M = 0.3
MIN_MATCHES = 40
MIN_FRAMES_SHARE = 0.05


@dataclass(frozen=True)
class Baseline:
    """Features of an earlier mosaic: (n, 3) metres in `crs`, (n, 128) descriptors, and their pixel size."""

    crs: str
    xyz: Floats
    descriptors: NDArray[np.float32]
    gsd_m: float


def baseline_crs(path: Path) -> str | None:
    """The mosaic's system where it is a projected one in metres by an EPSG code, to work in the same; else None.

    Raises:
        ImageryError: No raster there, or one without a place.
    """
    with _open(path) as source:
        if source.crs is None:
            raise ImageryError(f"the baseline {path} has no coordinate system: expected a georeferenced mosaic")
        code = source.crs.to_epsg()
        metric = source.crs.is_projected and source.crs.linear_units.lower() in {"metre", "meter"}
        return f"EPSG:{code}" if code and metric and 32600 < code < 32800 else None


def mosaic_of(path: Path) -> Path:
    """The mosaic itself where a patrol folder is given."""
    return path / "mosaic.tif" if path.is_dir() else path


def _open(path: Path) -> rasterio.io.DatasetReader:
    if not path.is_file():
        raise ImageryError(f"no baseline at {path}: give an earlier mosaic.tif or its folder")
    try:
        return rasterio.open(path)
    except RasterioError as error:
        raise ImageryError(f"the baseline {path} is not a raster that can be read: {error}") from error


def read_baseline(path: Path, crs: str, gsd_m: float, bounds: tuple[float, float, float, float]) -> Baseline:
    """Features of the part of a mosaic that new frames may see.

    Args:
        path: The mosaic; `dsm.tif` beside it tells heights.
        crs: System wanted.
        gsd_m: Pixel size at which new frames were searched for features.
        bounds: West, south, east, north in `crs`.
    """
    surface = read_surface(path.with_name("dsm.tif")) if path.with_name("dsm.tif").is_file() else None
    places, descriptors = [], []
    with _open(path) as source:
        there = Transformer.from_crs(source.crs, crs, always_xy=True)
        pixel_m = _pixel_m(source, there)
        step = max(1.0, gsd_m / pixel_m)
        size = int(TILE_PX * step)
        for top in range(0, source.height, size):
            for left in range(0, source.width, size):
                window = Window(left, top, min(size, source.width - left), min(size, source.height - top))
                found = _tile(source, window, step, there, bounds)
                if found is not None:
                    places.append(found[0])
                    descriptors.append(found[1])
    xy = np.vstack(places) if places else np.zeros((0, 2))
    words = np.vstack(descriptors) if descriptors else np.zeros((0, 128), np.float32)
    z, usable = _heights(surface, xy, crs)
    return Baseline(crs, np.column_stack([xy, z])[usable], words[usable], pixel_m)


def _pixel_m(source: rasterio.io.DatasetReader, there: Transformer) -> float:
    middle = source.transform @ (source.width / 2, source.height / 2)
    beside = source.transform @ (source.width / 2 + 1, source.height / 2)
    one, two = np.array(there.transform(*middle)), np.array(there.transform(*beside))
    return float(np.hypot(*(two - one)))


def _tile(
    source: rasterio.io.DatasetReader,
    window: Window,
    step: float,
    there: Transformer,
    bounds: tuple[float, float, float, float],
) -> tuple[Floats, NDArray[np.float32]] | None:
    """Places (n, 2) and unit descriptors of the features of one window."""
    transform = source.window_transform(window)
    corners = [
        transform @ corner for corner in ((0, 0), (window.width, 0), (window.width, window.height), (0, window.height))
    ]
    x, y = there.transform([c[0] for c in corners], [c[1] for c in corners])
    if max(x) < bounds[0] or min(x) > bounds[2] or max(y) < bounds[1] or min(y) > bounds[3]:
        return None
    shape = (max(1, int(window.height / step)), max(1, int(window.width / step)))
    bands = [1, 2, 3] if source.count >= 3 else [1, 1, 1]
    image = source.read(bands, window=window, out_shape=(3, *shape), resampling=Resampling.average)
    mask = source.read_masks(1, window=window, out_shape=shape, resampling=Resampling.nearest)
    if image.dtype != np.uint8:
        top = max(1.0, float(np.percentile(image, 99.5)))
        image = np.clip(image * (255.0 / top), 0, 255).astype(np.uint8)
    inner = cv2.erode((mask > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
    xy, descriptors = describe(np.ascontiguousarray(image.transpose(1, 2, 0)[:, :, ::-1]), FEATURES_A_TILE)
    if not len(xy):
        return None
    good = inner[np.clip(xy[:, 1].astype(int), 0, shape[0] - 1), np.clip(xy[:, 0].astype(int), 0, shape[1] - 1)] > 0
    xy, descriptors = xy[good], descriptors[good]
    column = (xy[:, 0] + 0.5) * (window.width / shape[1])
    row = (xy[:, 1] + 0.5) * (window.height / shape[0])
    east, north = transform @ (column, row)
    x, y = there.transform(east, north)
    vectors = descriptors.astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return np.column_stack([x, y]), vectors


def _heights(surface: Surface | None, xy: Floats, crs: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Ground heights of features (0 where the baseline has none), and which features lie on the ground."""
    if surface is None or not len(xy):
        return np.full(len(xy), np.nan), np.ones(len(xy), bool)
    x, y = Transformer.from_crs(crs, surface.crs, always_xy=True).transform(xy[:, 0], xy[:, 1])
    low = np.abs(surface.above_ground(x, y)) < GROUND_TOLERANCE_M
    return surface.ground.at(x, y).astype(float), low


@dataclass(frozen=True)
class BaselineTies:
    """Known points to adjust with, and withheld ones to judge by; how many frames have them."""

    fit: KnownPoints
    held: KnownPoints
    frames: int


def tie_to_baseline(
    solution: Solution, index: Index, store: DescriptorStore, baseline: Baseline, ground: HeightGrid
) -> BaselineTies:
    """Matches every frame to the baseline's features around its footprint.

    Raises:
        ImageryError: Too little matches to believe that both show the same place.
    """
    origin = solution.setting.origin
    poses = to_poses(solution, index)
    rows: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]] = []
    for number, pose in enumerate(poses.frames):
        if pose.placed != "matched":
            continue
        points = index.keypoints[number]
        guess = ground_points(poses.lenses[pose.lens], pose, ground, points.xy.astype(float))
        if not len(guess):
            continue
        lower, upper = guess[:, :2].min(axis=0) - SEARCH_M, guess[:, :2].max(axis=0) + SEARCH_M
        near = np.flatnonzero(((baseline.xyz[:, :2] > lower) & (baseline.xyz[:, :2] < upper)).all(axis=1))
        if len(near) < 8:
            continue
        found = mutual_matches(store.get(number), baseline.descriptors[near], RATIO)
        close = np.hypot(*(guess[found[:, 0], :2] - baseline.xyz[near[found[:, 1]], :2]).T) < 2 * SEARCH_M
        found = found[close]
        # Rows run south as in a photograph: a mirrored match is no match.
        local = ((baseline.xyz[near[found[:, 1]], :2] - lower) * (1.0, -1.0) / baseline.gsd_m).astype(np.float32)
        good = verified(points.xy[found[:, 0]], local)
        if good.sum() < 8:
            continue
        chosen = found[good]
        sigma = np.full(len(chosen), points.sigma_px)
        rows.append((np.full(len(chosen), number), near[chosen[:, 1]], points.xy[chosen[:, 0]].astype(float), sigma))
    total = sum(len(row[0]) for row in rows)
    matched = sum(how == "matched" for how in solution.placed)
    if total < MIN_MATCHES or len(rows) < MIN_FRAMES_SHARE * matched:
        raise ImageryError(
            f"the baseline does not match: {len(rows)} of {matched} frames found {total} common features, expected "
            f"at least {MIN_MATCHES}; is it the same place at a similar pixel size? stitch without it, or give control"
        )
    return _split(rows, baseline, origin, solution.ground_z)


def _split(
    rows: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]],
    baseline: Baseline,
    origin: Floats,
    ground_z: float,
) -> BaselineTies:
    frame, feature, uv, sigma = (np.concatenate([row[k] for row in rows]) for k in range(4))
    used, point = np.unique(feature, return_inverse=True)
    xyz = baseline.xyz[used] - origin
    unknown = ~np.isfinite(xyz[:, 2])
    xyz[unknown, 2] = ground_z
    flat = SIGMA_PX * baseline.gsd_m
    spread = np.column_stack([np.full(len(used), flat)] * 2 + [np.where(unknown, 1e3, SIGMA_Z_M)])
    withheld = (np.random.default_rng(0).permutation(len(used)) % 5 == 0)[point]

    def part(keep: NDArray[np.bool_]) -> KnownPoints:
        return KnownPoints(xyz, spread, frame[keep], point[keep], uv[keep], sigma[keep], sure=False)

    return BaselineTies(part(~withheld), part(withheld), len(rows))


def ties_of_patches(
    found: Sequence[tuple[int, PatchTies]], ground: HeightGrid, gsd_m: float, origin: Floats
) -> BaselineTies:
    """Patches as known points: each its own, known in the plane to a pixel of the baseline."""
    sizes = [len(ties.xy) for _, ties in found]
    frame = np.repeat([number for number, _ in found], sizes).astype(np.int64)
    xy, uv = np.vstack([ties.xy for _, ties in found]), np.vstack([ties.uv for _, ties in found])
    xyz = np.column_stack([xy, ground.at(xy[:, 0], xy[:, 1])]) - origin
    spread = np.column_stack([np.full(len(xy), SIGMA_PX * gsd_m)] * 2 + [np.full(len(xy), SIGMA_Z_M)])
    withheld = np.random.default_rng(0).permutation(len(xy)) % 5 == 0

    def part(keep: NDArray[np.bool_]) -> KnownPoints:
        index = np.flatnonzero(keep)
        return KnownPoints(
            xyz[keep], spread[keep], frame[keep], np.arange(len(index)), uv[keep], np.ones(len(index)), sure=False
        )

    return BaselineTies(part(~withheld), part(withheld), len(found))


@dataclass(frozen=True)
class Registration:
    """How a mosaic fits its baseline: `median_px` and `p95_px` of withheld ties, in mosaic pixels on the ground.

    Attributes:
        frames: Frames tied.
        ties: Ties used.
        median_px: Median distance of withheld ties.
        p95_px: Their 95th percentile.
        shift_m: How far the block moved to fit, east and north: the difference of the two days' GPS.
        field: Mean residual (east, north, metres) of withheld ties by cell: x, y, dx, dy, count.
    """

    frames: int
    ties: int
    median_px: float
    p95_px: float
    shift_m: tuple[float, float]
    field: tuple[tuple[float, float, float, float, int], ...]


def judge_registration(
    before: Solution, after: Solution, ties: BaselineTies, ground: HeightGrid, index: Index, gsd_m: float
) -> Registration:
    """Residuals of withheld ties on the ground; matches off by more than a metre or 8 px are wrong ones, left out."""
    held = ties.held
    known = held.xyz[held.point] + after.setting.origin
    offset = _offsets(after, held, ground, index)[:, :2]
    distance = np.hypot(offset[:, 0], offset[:, 1])
    good = distance < max(1.0, 8.0 * gsd_m)
    moved = (after.state.C - before.state.C)[:, :2]
    if not good.any():
        return Registration(ties.frames, len(ties.fit.frame), np.inf, np.inf, _pair(np.median(moved, axis=0)), ())
    return Registration(
        frames=ties.frames,
        ties=len(ties.fit.frame),
        median_px=round(float(np.median(distance[good])) / gsd_m, 3),
        p95_px=round(float(np.percentile(distance[good], 95)) / gsd_m, 3),
        shift_m=_pair(np.median(moved, axis=0)),
        field=_field(known[good, :2], offset[good]),
    )


def _offsets(solution: Solution, points: KnownPoints, ground: HeightGrid, index: Index) -> Floats:
    """(m, 3) where frames' sightings meet the ground, less where the points are known to be."""
    poses = to_poses(solution, index)
    offset = np.full((len(points.frame), 3), np.nan)
    for number in np.unique(points.frame):
        own = points.frame == number
        pose = poses.frames[int(number)]
        seen = ground_points(poses.lenses[pose.lens], pose, ground, points.uv[own])
        offset[own] = seen - points.xyz[points.point[own]] - solution.setting.origin
    return offset


def shift_onto(solution: Solution, ties: BaselineTies, ground: HeightGrid, index: Index) -> Solution:
    """The block moved as it is to where most of its ties to the baseline are; in height only where that tells any."""
    points = ties.fit
    offset = _offsets(solution, points, ground, index)
    told = points.sigma[points.point, 2] <= SIGMA_Z_M
    up = float(np.median(offset[told, 2])) if told.any() else 0.0
    return shifted(solution, -np.array([*np.median(offset[:, :2], axis=0), up]))


def _pair(values: Floats) -> tuple[float, float]:
    return round(float(values[0]), 3), round(float(values[1]), 3)


def _field(xy: Floats, offset: Floats, cells: int = 8) -> tuple[tuple[float, float, float, float, int], ...]:
    low, high = xy.min(axis=0), xy.max(axis=0)
    size = max(1e-6, float((high - low).max()) / cells)
    cell = np.floor((xy - low) / size).astype(int)
    result = []
    for key in np.unique(cell, axis=0):
        own = (cell == key).all(axis=1)
        middle, mean = low + (key + 0.5) * size, np.median(offset[own], axis=0)
        result.append((*(round(float(v), 3) for v in (*middle, *mean)), int(own.sum())))
    return tuple(result)  # type: ignore[arg-type]
