"""A camera's rays: pinhole, Brown's distortion, attitude, rolling shutter; on a coarse grid, then enlarged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from missions.camera import Camera
from simulators.raster import Floats

# Rays are smooth: every 16th pixel is enough, the rest is interpolated (error below 0.02 px at 84° field of view).
STRIDE_PX = 16
# Rays nearer to the horizon than this see no ground (share of down in a unit vector).
LOWEST_DOWN = 0.06


@dataclass(frozen=True)
class Lens:
    """Brown's coefficients as OpenCV orders them, and the principal point's offset from the middle."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0
    cx_offset_px: float = 0.0
    cy_offset_px: float = 0.0

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """(k1, k2, p1, p2, k3)."""
        return np.array([self.k1, self.k2, self.p1, self.p2, self.k3])

    def matrix(self, camera: Camera) -> NDArray[np.float64]:
        """The 3×3 camera matrix; pixel centres have integer coordinates."""
        focal = camera.focal_px
        return np.array(
            [
                [focal, 0, (camera.width_px - 1) / 2 + self.cx_offset_px],
                [0, focal, (camera.height_px - 1) / 2 + self.cy_offset_px],
                [0, 0, 1.0],
            ]
        )

    @classmethod
    def like_dji(cls) -> Lens:
        """A wide lens like that of a Mavic 3E or a Phantom 4 RTK: a few per mille to two per cent at the corners."""
        return cls(k1=-0.0112, k2=0.0102, p1=0.0004, p2=-0.0003, k3=-0.0035, cx_offset_px=3.1, cy_offset_px=-2.4)


def coarse_positions(count_px: int) -> NDArray[np.float64]:
    """Pixel positions of the coarse grid along one side; the half pixel suits `enlarged`."""
    return np.arange(0, count_px + STRIDE_PX, STRIDE_PX, dtype=np.float64) - 0.5


def rays(camera: Camera, lens: Lens) -> Floats:
    """Unit-depth directions in the camera's frame (x right, y down, z ahead) on the coarse grid: (m, n, 3)."""
    cols, rows = coarse_positions(camera.width_px), coarse_positions(camera.height_px)
    grid = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 1, 2)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-10)
    flat = cv2.undistortPoints(grid, lens.matrix(camera), lens.coefficients, criteria=criteria)
    out = np.ones((len(rows), len(cols), 3))
    out[..., :2] = flat.reshape(len(rows), len(cols), 2)
    return out.astype(np.float32)


def camera_to_enu(roll_deg: float, pitch_deg: float, yaw_deg: float) -> NDArray[np.float64]:
    """Rotation from the camera's frame (x right, y down, z ahead) to east, north, up; yaw from the frame's north."""
    r, p, y = (math.radians(v) for v in (roll_deg, pitch_deg, yaw_deg))
    cr, sr, cp, sp, cy, sy = math.cos(r), math.sin(r), math.cos(p), math.sin(p), math.cos(y), math.sin(y)
    body_to_ned = np.array(
        [
            [cp * cy, sr * sp * cy - cr * sy, cr * sp * cy + sr * sy],
            [cp * sy, sr * sp * sy + cr * cy, cr * sp * sy - sr * cy],
            [-sp, sr * cp, cr * cp],
        ]
    )
    camera_to_body = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=np.float64)
    ned_to_enu = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]], dtype=np.float64)
    out: NDArray[np.float64] = ned_to_enu @ body_to_ned @ camera_to_body
    return out


def enlarged(coarse: Floats, camera: Camera, step: int = 1) -> Floats:
    """A coarse-grid field at every pixel (height, width[, c]), or at the middle of every `step` × `step` pixels."""
    pad = cv2.copyMakeBorder(coarse, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    times = STRIDE_PX // step
    full = cv2.resize(pad, (pad.shape[1] * times, pad.shape[0] * times), interpolation=cv2.INTER_LINEAR)
    # resize puts sample k of `pad` at pixel (k + 0.5) times - 0.5; without `first`, coarse k is at k times - 0.5.
    first = times + times // 2
    return full[first : first - (-camera.height_px // step), first : first - (-camera.width_px // step)]
