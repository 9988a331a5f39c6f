"""What a pinhole above a height field sees: the first surface along every ray.

Seen from the point below the camera, all rays run outwards. Along one azimuth a surface point at distance r and height
h appears at distance a(r) = r Hc / (Hc - h) on the datum plane, and the ray to datum distance q meets the first r
with a(r) >= q. So one running maximum of a over r, inverted, solves occlusion exactly; no marching.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.raster import Floats

# Height of the plain beyond the ground's edge above the datum plane, which lies 0.3 m below the lowest ground.
EDGE_PLAIN_M = 0.5
# Solved together: their arrays stay in a core's cache.
AZIMUTHS_AT_ONCE = 128


@dataclass(frozen=True)
class Fan:
    """Azimuths and distances (in ground pixels) that a photograph's rays span."""

    first_rad: float
    step_rad: float
    count: int
    nearest_px: float
    step_px: float
    reach: int


@dataclass(frozen=True)
class Sight:
    """Solution over a fan: `share` (reach, count) is hit distance over datum distance."""

    fan: Fan
    share: Floats

    def at(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Share for datum points (u, v) in ground pixels from the camera's foot, and its error by the fan's cells."""
        fan = self.fan
        distance, angle = cv2.cartToPolar(u, v)
        slack: Floats = np.divide(np.float32(1.3 * fan.step_px), np.maximum(distance, 1.0))
        if fan.first_rad:
            angle -= np.float32(fan.first_rad)
            np.mod(angle, np.float32(2 * math.pi), out=angle)
        angle *= np.float32(1 / fan.step_rad)
        distance -= np.float32(fan.nearest_px)
        distance *= np.float32(1 / fan.step_px)
        share = cv2.remap(self.share, angle, distance, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return share, slack


def fan_of(u: Floats, v: Floats, frame_gsd_px: float, step_px: float = 1.6) -> Fan:
    """The fan that covers datum points (u, v), fine enough for a photograph of `frame_gsd_px` ground pixels a pixel."""
    distance = np.hypot(u, v)
    far, near = float(distance.max()) + 2, float(distance.min())
    over_foot = u.min() < 0 < u.max() and v.min() < 0 < v.max() and near < 0.3 * far
    if over_foot:
        first, span, near = 0.0, 2 * math.pi, 0.0
    else:
        middle = math.atan2(float(v.mean()), float(u.mean()))
        turned = np.angle(np.exp(1j * (np.arctan2(v, u) - middle)))
        first, span = middle + float(turned.min()) - 0.01, float(turned.max() - turned.min()) + 0.02
        # Tall things stand in front of what is seen: start nearer to the foot.
        near = near * 0.55
    step = frame_gsd_px * step_px
    count = int(min(6000, max(64, span / (1.8 * step / far)))) + 2
    reach = int(min(4000, max(64, (far - near) / step))) + 2
    return Fan(first, span / (count - 2), count, near, (far - near) / (reach - 2), reach)


def look(heights: Floats, datum_m: float, foot_col: float, foot_row: float, camera_m: float, fan: Fan) -> Sight:
    """Solves what is seen.

    Args:
        heights: Surface above sea level, m, on ground pixels (rows, cols).
        datum_m: Height of the datum plane above sea level, below all of `heights` that is seen.
        foot_col: Column of the point below the camera, in pixels of `heights` (corner origin).
        foot_row: Its row.
        camera_m: Height of the camera above the datum plane.
        fan: From `fan_of`; azimuths count from the columns' axis towards falling rows.
    """
    radii = (fan.nearest_px + fan.step_px * np.arange(fan.reach)).astype(np.float32)
    share = np.empty((fan.reach, fan.count), np.float32)
    for first in range(0, fan.count, AZIMUTHS_AT_ONCE):
        count = min(AZIMUTHS_AT_ONCE, fan.count - first)
        angles = fan.first_rad + fan.step_rad * np.arange(first, first + count)
        cols = np.multiply.outer(radii, np.cos(angles).astype(np.float32))
        cols += np.float32(foot_col - 0.5)
        rows = np.multiply.outer(radii, -np.sin(angles).astype(np.float32))
        rows += np.float32(foot_row - 0.5)
        # Beyond the ground's edge lies a plain: a stretched edge would stand there as a wall.
        below = cv2.remap(
            heights, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=datum_m + EDGE_PLAIN_M
        )
        np.subtract(np.float32(camera_m + datum_m), below, out=below)
        share[:, first : first + count] = _solved(below, radii, camera_m, fan)
    if fan.nearest_px == 0:
        share[0] = share[1]
    return Sight(fan, np.minimum(share, 1, out=share))


def _solved(below: Floats, radii: Floats, camera_m: float, fan: Fan) -> Floats:
    """Shares along some azimuths (reach, n); `below` is how far under the camera the surface lies, and is used up."""
    count = below.shape[1]
    np.maximum(below, 0.5, out=below)
    apparent = np.divide((radii * np.float32(camera_m))[:, None], below, out=below)
    np.maximum.accumulate(apparent, axis=0, out=apparent)
    # In bins of the fan: sample r answers every datum distance in (apparent[r - 1], apparent[r]].
    apparent -= np.float32(fan.nearest_px - fan.step_px)
    apparent *= np.float32(1 / fan.step_px)
    np.clip(apparent, 0, fan.reach, out=apparent)
    first, order = _scatter(fan.reach, count)
    bins = apparent[:-1].astype(np.int32)
    bins *= count
    bins += first
    hit = np.zeros((fan.reach + 1, count), np.int32)
    # Ascending r: the last writer of a bin is the sample that crosses it.
    hit.ravel()[bins.ravel()] = order
    hit = hit[: fan.reach]
    np.maximum.accumulate(hit, axis=0, out=hit)
    share = hit.astype(np.float32)
    share *= np.float32(fan.step_px)
    share += np.float32(fan.nearest_px)
    share *= (1 / np.maximum(radii, 1e-3))[:, None]
    return share


@lru_cache(maxsize=4)
def _scatter(reach: int, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Column offsets of a fan, and the sample number that each cell from the second row on would write."""
    return np.arange(count, dtype=np.int32)[None, :], np.repeat(np.arange(1, reach, dtype=np.int32), count)
