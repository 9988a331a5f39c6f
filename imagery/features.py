"""What two photographs can recognise in each other: keypoints found on a reduced copy, descriptors spilled to disk.

Scale: on trees the same budget of keypoints matched better at a quarter than at half scale, and SIFT costs with the
area (1000 px long side 0.16 s of CPU, 640 px 0.06 s; ORB 0.015 s but without sub-pixel places). So frames are
reduced to a quarter, never below 560 px, never above 1000.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imagery.errors import ImageryError

MIN_LONG_SIDE_PX = 560
MAX_LONG_SIDE_PX = 1000
# Kept a frame of the largest reduced size after spreading, and of the smallest; 2000 gave 1.6 times the verified ties
# of 1000 on brighton_beach (4000 px wide, trees) for 12 ms more a pair; smaller frames have ties to spare.
KEYPOINTS = 1500
FEWEST_KEYPOINTS = 1000
SPREAD_COLUMNS = 8
# Long side of the small copy that colours are evened and seams are laid on: 2 % of a side tells a car from the road.
THUMB_PX = 200
_DESCRIPTOR_SCALE = 512.0

_local = threading.local()


@dataclass(frozen=True)
class Keypoints:
    """Where a frame's features are.

    Attributes:
        xy: (n, 2) float32 pixels at full scale, pixel centres at integers.
        rgb: (n, 3) uint8 colour around each.
        sigma_px: One pixel of the reduced copy, in pixels at full scale.
    """

    xy: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    sigma_px: float


def decode(data: bytes, long_side_px: int | None = None) -> NDArray[np.uint8]:
    """Decodes to (h, w, 3) BGR as stored (no EXIF rotation), at the cheapest JPEG scale not below `long_side_px`.

    Raises:
        ImageryError: The bytes do not decode.
    """
    buffer = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if long_side_px is not None:
        size = _jpeg_long_side(data)
        for factor, flag in (
            (8, cv2.IMREAD_REDUCED_COLOR_8),
            (4, cv2.IMREAD_REDUCED_COLOR_4),
            (2, cv2.IMREAD_REDUCED_COLOR_2),
        ):
            if size >= factor * long_side_px:
                flags = flag | cv2.IMREAD_IGNORE_ORIENTATION
                break
    image = cv2.imdecode(buffer, flags)
    if image is None:
        raise ImageryError("the image data are damaged")
    return np.asarray(image, dtype=np.uint8)


def _jpeg_long_side(data: bytes) -> int:
    """Long side from the start-of-frame segment; 0 where this is not a JPEG."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return max(int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big"))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if marker != 0xFF else 1
    return 0


def feature_long_side_px(width_px: int, height_px: int) -> int:
    """Long side of the copy that features are found on."""
    long_side = max(width_px, height_px)
    return min(long_side, max(MIN_LONG_SIDE_PX, min(MAX_LONG_SIDE_PX, long_side // 4)))


def find_features(
    data: bytes, width_px: int, height_px: int, count: int | None = None
) -> tuple[Keypoints, NDArray[np.uint8], NDArray[np.uint8]]:
    """Finds keypoints and their descriptors on a reduced copy, and keeps a smaller one.

    Args:
        data: The file's bytes.
        width_px: Full width.
        height_px: Full height.
        count: Keypoints to keep; by the size of the reduced copy when None.

    Returns:
        Keypoints, (n, 128) uint8 root-SIFT descriptors, and a small RGB copy (`THUMB_PX` on its long side).
    """
    target = feature_long_side_px(width_px, height_px)
    image = decode(data, target)
    scale = target / max(image.shape[:2])
    if scale < 0.999:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    wanted = count or max(FEWEST_KEYPOINTS, KEYPOINTS * target // MAX_LONG_SIDE_PX)
    xy, descriptors = describe(image, wanted)
    height, width = image.shape[:2]
    small = cv2.blur(image, (5, 5))
    column = np.clip(np.rint(xy[:, 0]).astype(int), 0, width - 1)
    row = np.clip(np.rint(xy[:, 1]).astype(int), 0, height - 1)
    factor = np.array([width_px / width, height_px / height], np.float32)
    full = ((xy + 0.5) * factor - 0.5).astype(np.float32)
    points = Keypoints(full, np.ascontiguousarray(small[row, column][:, ::-1]), float(factor[0]))
    return points, descriptors, thumb_of(image)


def thumb_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The small RGB copy of a BGR image: `THUMB_PX` on its long side."""
    share = min(1.0, THUMB_PX / max(image.shape[:2]))
    size = (max(2, round(image.shape[1] * share)), max(2, round(image.shape[0] * share)))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[:, :, ::-1])


def describe(image: NDArray[np.uint8], count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Keypoints (n, 2) of a BGR image, spread over it, and their (n, 128) root-SIFT descriptors."""
    gray = _stretched(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))
    found, descriptors = _sift(count * 3 // 2).detectAndCompute(gray, None)
    if descriptors is None or len(found) == 0:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
    xy = np.array([point.pt for point in found], np.float32)
    response = np.array([point.response for point in found], np.float32)
    keep = spread(xy, response, gray.shape[1], gray.shape[0], count)
    root = np.sqrt(descriptors[keep] / np.maximum(descriptors[keep].sum(axis=1, keepdims=True), 1e-9))
    return xy[keep], np.minimum(root * _DESCRIPTOR_SCALE, 255.0).astype(np.uint8)


def _sift(count: int) -> cv2.SIFT:
    """One detector a thread: the object is not safe to share."""
    if getattr(_local, "count", None) != count:
        _local.sift, _local.count = (
            cv2.SIFT.create(nfeatures=count, contrastThreshold=0.015, enable_precise_upscale=True),
            count,
        )
    return _local.sift


def _stretched(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spreads a dark or flat frame over the grey scale, so that the detector's contrast threshold means the same."""
    low, high = np.percentile(gray[::4, ::4], (1, 99))
    if high - low < 4 or (high > 180 and low < 60):
        return gray
    return np.clip((gray.astype(np.float32) - low) * (235.0 / (high - low)) + 10.0, 0, 255).astype(np.uint8)


def spread(
    xy: NDArray[np.float32], response: NDArray[np.float32], width: int, height: int, count: int
) -> NDArray[np.intp]:
    """Indices of at most `count` points: the strongest of every cell of a grid in turn, so that no corner is bare."""
    if len(xy) <= count:
        return np.arange(len(xy))
    rows = max(1, round(SPREAD_COLUMNS * height / width))
    cell = (
        np.clip(xy[:, 0] * SPREAD_COLUMNS / width, 0, SPREAD_COLUMNS - 1).astype(int)
        + np.clip(xy[:, 1] * rows / height, 0, rows - 1).astype(int) * SPREAD_COLUMNS
    )
    order = np.lexsort((-response, cell))
    starts = np.r_[0, np.flatnonzero(np.diff(cell[order])) + 1]
    rank = np.arange(len(xy)) - np.repeat(starts, np.diff(np.r_[starts, len(xy)]))
    return np.sort(order[np.argsort(rank, kind="stable")[:count]])
