"""Adjusted photographs over a surface: the one thing that rendering, heights and reports look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagery.poses import FramePose, Lens, Poses, project
from imagery.surface import HeightGrid

Floats = NDArray[np.float64]
# A frame seen this far off the vertical adds nothing to a map: tangent of the view angle (63 degrees).
MAX_VIEW_TANGENT = 2.0


@dataclass(frozen=True)
class View:
    """One frame ready to be looked through.

    Attributes:
        pose: Its pose.
        lens: Its lens.
        path: The file.
        bounds: West, south, east, north of its footprint on the ground.
    """

    pose: FramePose
    lens: Lens
    path: Path
    bounds: tuple[float, float, float, float]

    def pixels(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Pixel columns and rows of ground points of any shape; NaN behind the camera."""
        points = np.column_stack([np.ravel(x), np.ravel(y), np.ravel(z)])
        uv = project(self.lens, self.pose, points)
        return uv[:, 0].reshape(np.shape(x)), uv[:, 1].reshape(np.shape(x))

    def sees(self, u: NDArray, v: NDArray, margin_px: float = 0.0) -> NDArray[np.bool_]:
        """Whether pixels lie within the image, `margin_px` away from its edge."""
        with np.errstate(invalid="ignore"):
            return np.asarray(
                (u >= margin_px)
                & (v >= margin_px)
                & (u <= self.lens.width_px - 1 - margin_px)
                & (v <= self.lens.height_px - 1 - margin_px)
            )

    def slant(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Tangent of the view angle from the vertical at ground points."""
        east, north, up = self.pose.C
        return np.hypot(x - east, y - north) / np.maximum(1e-3, up - z)


def undistorted_rays(lens: Lens, uv: Floats) -> Floats:
    """(n, 3) camera rays (x, y, 1) of pixels (n, 2), by fixed-point iteration on the distortion."""
    xd = (uv[:, 0] - lens.cx) / lens.fx
    yd = (uv[:, 1] - lens.cy) / lens.fy
    x, y = xd.copy(), yd.copy()
    for _ in range(8):
        r2 = x * x + y * y
        radial = 1.0 + r2 * (lens.k1 + r2 * (lens.k2 + r2 * lens.k3))
        x = (xd - 2.0 * lens.p1 * x * y - lens.p2 * (r2 + 2.0 * x * x)) / radial
        y = (yd - lens.p1 * (r2 + 2.0 * y * y) - 2.0 * lens.p2 * x * y) / radial
    return np.column_stack([x, y, np.ones(len(x))])


def footprint(lens: Lens, pose: FramePose, surface: HeightGrid, per_side: int = 4) -> Floats:
    """(n, 2) outline of what a frame sees of the surface, rays near the horizon cut at `MAX_VIEW_TANGENT`."""
    u = np.linspace(0, lens.width_px - 1, per_side + 1)[:-1]
    v = np.linspace(0, lens.height_px - 1, per_side + 1)[:-1]
    right, bottom = lens.width_px - 1.0, lens.height_px - 1.0
    edge = np.vstack(
        [
            np.column_stack([u, np.zeros_like(u)]),
            np.column_stack([np.full_like(v, right), v]),
            np.column_stack([right - u, np.full_like(u, bottom)]),
            np.column_stack([np.zeros_like(v), bottom - v]),
        ]
    )
    return ground_points(lens, pose, surface, edge)[:, :2]


def ground_points(lens: Lens, pose: FramePose, surface: HeightGrid, uv: Floats) -> Floats:
    """(n, 3) where pixels (n, 2) meet the surface; rays flatter than `MAX_VIEW_TANGENT` are cut there."""
    rays = undistorted_rays(lens, uv) @ np.asarray(pose.R, float)
    centre = np.asarray(pose.C, float)
    flat = np.hypot(rays[:, 0], rays[:, 1])
    down = np.maximum(-rays[:, 2], flat / MAX_VIEW_TANGENT)
    down = np.maximum(down, 1e-6)
    z = np.full(len(uv), float(surface.at(centre[:1], centre[1:2])[0]))
    for _ in range(6):
        reach = np.maximum(0.0, centre[2] - z) / down
        x, y = centre[0] + rays[:, 0] * reach, centre[1] + rays[:, 1] * reach
        z = surface.at(x, y).astype(float)
    return np.column_stack([x, y, z])


def views(poses: Poses, frames_dir: Path, surface: HeightGrid) -> list[View]:
    """The poses' frames with their footprints."""
    result = []
    for pose in poses.frames:
        lens = poses.lenses[pose.lens]
        outline = footprint(lens, pose, surface)
        west, south = outline.min(axis=0)
        east, north = outline.max(axis=0)
        result.append(View(pose, lens, frames_dir / pose.file, (float(west), float(south), float(east), float(north))))
    return result


def union_bounds(boxes: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """West, south, east, north around all boxes."""
    array = np.array(boxes, float)
    return float(array[:, 0].min()), float(array[:, 1].min()), float(array[:, 2].max()), float(array[:, 3].max())


def native_gsd_m(scene: Sequence[View], surface: HeightGrid) -> float:
    """Median ground size of a pixel at the frames' centres."""
    sizes = []
    for view in scene:
        middle = np.array([[(view.lens.width_px - 1) / 2, (view.lens.height_px - 1) / 2]])
        ground = ground_points(view.lens, view.pose, surface, middle)[0]
        sizes.append(float(np.linalg.norm(ground - np.asarray(view.pose.C))) / view.lens.fx)
    return float(np.median(sizes))
