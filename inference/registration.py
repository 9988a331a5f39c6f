"""Do the two days lie on each other? Phase correlation measures the shift, and how far to trust it.

A change network that is shown two unregistered days finds edges everywhere. So every window is registered before it is
judged; what cannot be registered is said to be so, and never judged as sure.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.windows import Mask, Rgb

# Beyond this a local shift is a false peak or lean, not misregistration left over by the stitcher (its baseline
# alignment promises 2 px); the whole-mosaic shift has been taken out before.
MAX_LOCAL_PX = 3.0
# Correlation of edges after the warp under which a window counts as badly registered. See docs/inference.md.
POOR_AGREEMENT = 0.12


@dataclass(frozen=True)
class Shift:
    """Where a point of the earlier day lies in the later one: add (`dx_px`, `dy_px`).

    `agreement` is the correlation of edge images after the shift, 0..1; `why` says what is wrong, or None.
    """

    dx_px: float
    dy_px: float
    agreement: float
    why: str | None = None


def edges(rgb: Rgb, valid: Mask) -> NDArray[np.float32]:
    """Gradient strength, compressed and free of gain: what two days under different suns share."""
    gray = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 1.0).astype(np.float32)
    local = cv2.GaussianBlur(gray, (0, 0), 12.0) + 8.0
    gx, gy = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    strength = np.sqrt(cv2.magnitude(gx, gy) / local)
    inside = cv2.erode(valid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    mean = float(strength[inside].mean()) if inside.any() else 0.0
    return np.where(inside, strength - mean, 0.0).astype(np.float32)


def _agreement(a: NDArray[np.float32], b: NDArray[np.float32], valid: Mask) -> float:
    x, y = a[valid], b[valid]
    if x.size < 1000:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / scale) if scale > 0 else 0.0


def moved(image: NDArray, dx_px: float, dy_px: float, nearest: bool = False) -> NDArray:
    """An image shifted by a part of a pixel; what comes in from outside is 0."""
    matrix = np.array([[1, 0, dx_px], [0, 1, dy_px]], np.float32)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (image.shape[1], image.shape[0]), flags=flags)


def register(before: Rgb, before_valid: Mask, after: Rgb, after_valid: Mask, limit_px: float = MAX_LOCAL_PX) -> Shift:
    """Measures the shift between two days.

    Args:
        before: (h, w, 3) the earlier day.
        before_valid: (h, w) True where it was photographed.
        after: (h, w, 3) the later day, same grid.
        after_valid: (h, w).
        limit_px: The largest shift believed.

    Returns:
        The shift; zero, with `why`, where none can be believed.
    """
    both = before_valid & after_valid
    if both.mean() < 0.05:
        return Shift(0.0, 0.0, 0.0, "too little seen on both days")
    a, b = edges(before, both), edges(after, both)
    still = _agreement(a, b, both)
    window = cv2.createHanningWindow((a.shape[1], a.shape[0]), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(a, b, window)
    best = Shift(0.0, 0.0, still)
    if np.hypot(dx, dy) <= limit_px:
        shifted = _agreement(moved(a, dx, dy), b, both)
        if shifted > still:
            best = Shift(float(dx), float(dy), shifted)
    if best.agreement < POOR_AGREEMENT:
        return Shift(best.dx_px, best.dy_px, best.agreement, "poor registration")
    return best
