"""The photographs behind a place: which frames could show it, where it lies in each, and the ground seen by one frame.

A mosaic shows every place once; the frames show it five or ten times. Looking again at a candidate in single frames
is what tells a heap from a passing shadow, and gives the reviewer photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from imagery.poses import FramePose, Lens, Poses, project
from inference.sites import FrameBox
from inference.windows import Rgb

# A place counts as looked at when it lies this far inside the picture (share of the width).
MARGIN = 0.01
# The lens polynomial is only fitted inside the picture; beyond this factor of the corner's radius it folds back.
_FOLD = 1.15
_LATTICE_PX = 4


@dataclass(frozen=True)
class Look:
    """One frame that could show a thing."""

    pose: FramePose
    lens: Lens
    bbox_px: tuple[float, float, float, float]
    off_centre: float

    def box(self) -> FrameBox:
        """As it stands in `sites.geojson`."""
        x0, y0, x1, y1 = (round(v, 1) for v in self.bbox_px)
        return FrameBox(id=self.pose.id, file=self.pose.file, bbox_px=(x0, y0, x1, y1))


def visible(lens: Lens, pose: FramePose, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Projects points, and says which fall into the picture.

    Args:
        lens: Of the frame.
        pose: Of the frame.
        points: (n, 3) metres in the poses' CRS.

    Returns:
        (n, 2) pixels and (n,) True inside.
    """
    rotation = np.asarray(pose.R, dtype=float)
    camera = (points - np.asarray(pose.C, dtype=float)) @ rotation.T
    with np.errstate(divide="ignore", invalid="ignore"):
        radius = np.hypot(camera[:, 0], camera[:, 1]) / camera[:, 2]
    corner = np.hypot(max(lens.cx, lens.width_px - lens.cx) / lens.fx, max(lens.cy, lens.height_px - lens.cy) / lens.fy)
    ahead = (camera[:, 2] > 0.5) & (radius < corner * _FOLD)
    pixels = project(lens, pose, points)
    margin = MARGIN * lens.width_px
    with np.errstate(invalid="ignore"):
        inside = (pixels[:, 0] >= margin) & (pixels[:, 0] <= lens.width_px - 1 - margin)
        inside &= (pixels[:, 1] >= margin) & (pixels[:, 1] <= lens.height_px - 1 - margin)
    return pixels, ahead & inside


class FrameSet:
    """All posed frames of a patrol, asked by place."""

    def __init__(self, poses: Poses, frames_dir: Path | None, crs: str) -> None:
        self.poses = poses
        self.frames_dir = frames_dir
        self._to_poses = Transformer.from_crs(crs, poses.crs, always_xy=True) if crs != poses.crs else None
        # A frame placed by GPS alone may be metres off: its box would show the wrong thing.
        self._frames = [f for f in poses.frames if f.placed != "gps"] or list(poses.frames)

    def to_poses(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) metres in the grid's CRS to the poses' CRS."""
        if self._to_poses is None:
            return xy
        x, y = self._to_poses.transform(xy[:, 0], xy[:, 1])
        return np.column_stack([x, y])

    def looks(
        self, polygons: Sequence[BaseGeometry], grounds: Sequence[float | None], tall_m: float
    ) -> list[list[Look]]:
        """For each outline, the frames that could show all of it, most central first.

        Args:
            polygons: Outlines in the grid's CRS.
            grounds: Level of the ground at each, in the poses' height reference; None: unknown, no looks.
            tall_m: The things may rise this far above it.
        """
        corners = [_corners(p) for p in polygons]
        counts = [len(c) for c in corners]
        known = np.repeat([g is not None for g in grounds], counts)
        levels = np.repeat([g if g is not None else 0.0 for g in grounds], counts)
        flat = self.to_poses(np.vstack(corners)) if corners else np.zeros((0, 2))
        low = np.column_stack([flat, levels])
        points = np.vstack([low, low + np.array([0.0, 0.0, tall_m])])
        owner = np.tile(np.repeat(np.arange(len(corners)), counts), 2)
        found: list[list[Look]] = [[] for _ in polygons]
        if not len(points):
            return found
        for pose in self._frames:
            lens = self.poses.lenses[pose.lens]
            pixels, inside = visible(lens, pose, points)
            inside &= np.tile(known, 2)
            whole = np.bincount(owner, inside, len(corners)) == np.bincount(owner, minlength=len(corners))
            for index in np.flatnonzero(whole):
                found[index].append(_look(pose, lens, pixels[owner == index]))
        for looks in found:
            looks.sort(key=lambda look: look.off_centre)
        return found

    def path(self, pose: FramePose) -> Path | None:
        """The photograph's file, or None where it is not at hand."""
        if self.frames_dir is None:
            return None
        path = self.frames_dir / pose.file
        return path if path.is_file() else None


def _corners(polygon: BaseGeometry) -> NDArray[np.float64]:
    hull = polygon.convex_hull
    if hull.geom_type != "Polygon":
        return np.asarray(hull.coords, float)
    return np.asarray(hull.exterior.coords, float)[:, :2]


def _look(pose: FramePose, lens: Lens, pixels: NDArray[np.float64]) -> Look:
    x0, y0 = pixels.min(axis=0)
    x1, y1 = pixels.max(axis=0)
    off = float(np.hypot((x0 + x1) / 2 - lens.width_px / 2, (y0 + y1) / 2 - lens.height_px / 2) / lens.width_px)
    return Look(pose, lens, (float(x0), float(y0), float(x1), float(y1)), off)


def frame_gsd_m(lens: Lens, pose: FramePose, ground: float) -> float:
    """Metres a pixel at the ground below, for a camera looking about straight down."""
    return float(max(pose.C[2] - ground, 1.0)) / lens.fx


def read_photo(path: Path, shrink: int) -> tuple[Rgb, int] | None:
    """Decodes a photograph at 1/1, 1/2 or 1/4 (cheap in JPEG).

    Returns:
        RGB and the factor used; None where the file does not decode.
    """
    factor = 4 if shrink >= 4 else 2 if shrink >= 2 else 1
    flag = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}[factor]
    image = cv2.imread(str(path), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if image is None else (np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), factor)


def ground_chip(
    photo: Rgb, factor: int, lens: Lens, pose: FramePose, points: NDArray[np.float64]
) -> tuple[Rgb, NDArray[np.bool_]]:
    """The ground as one frame sees it.

    Args:
        photo: The frame, decoded at 1 / `factor`.
        factor: Its reduction.
        lens: Full-scale lens.
        pose: The frame's pose.
        points: (h, w, 3) ground points, metres in the poses' CRS.

    Returns:
        (h, w, 3) colours and (h, w) True where the frame saw it.
    """
    height, width = points.shape[:2]
    # Projecting a lattice and filling in between is exact to a tenth of a pixel and 16 times cheaper.
    rows, cols = _lattice(height), _lattice(width)
    pixels, inside = visible(lens, pose, points[np.ix_(rows, cols)].reshape(-1, 3))
    pixels = np.nan_to_num((pixels + 0.5) / factor - 0.5, nan=-1e4).reshape(len(rows), len(cols), 2).astype(np.float32)
    # Where each fine pixel lies among the lattice points.
    at_x = np.interp(np.arange(width), cols, np.arange(len(cols))).astype(np.float32)
    at_y = np.interp(np.arange(height), rows, np.arange(len(rows))).astype(np.float32)
    where = np.meshgrid(at_x, at_y)
    fine = cv2.remap(pixels, where[0], where[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    known = inside.reshape(len(rows), len(cols)).astype(np.uint8)
    seen = cv2.remap(known, where[0], where[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    chip = cv2.remap(photo, fine[..., 0], fine[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(chip, np.uint8), np.asarray(seen > 0)


def _lattice(count: int) -> NDArray[np.int64]:
    return np.unique(np.append(np.arange(0, count, _LATTICE_PX), count - 1))
