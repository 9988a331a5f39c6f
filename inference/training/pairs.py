"""Free hard negatives: one place in two frames of one flight is a pair without change.

The camera stood elsewhere in between, so roofs lean, cars drive, leaves glitter: what a change network must learn to
overlook, on real photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.files import write_atomic
from inference.training.scenes import SceneCard, Truth

Image = NDArray[np.uint8]
_MATCH_SIDE = 1000
_LEAST_INLIERS = 40
# A pair must share this much of the picture to be worth its place on disk.
_LEAST_OVERLAP = 0.35


@dataclass(frozen=True)
class PhotoSet:
    """Photographs of one place and one flight.

    Attributes:
        place: Name; decides on which side of the split it falls.
        files: In the order they were taken.
        gsd_m: Ground distance of a pixel at full scale.
        licence: Of the photographs.
    """

    place: str
    files: tuple[Path, ...]
    gsd_m: float
    licence: str


def _read(path: Path, scale: float) -> Image | None:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        return None
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def homography(source: Image, target: Image) -> NDArray[np.float64] | None:
    """Pixels of `source` to pixels of `target`, or None where they do not show one place."""
    sift = cv2.SIFT_create(1500)  # type: ignore[attr-defined]  # lacks in the stubs
    shrink = min(1.0, _MATCH_SIDE / max(source.shape))
    a, b = (cv2.cvtColor(cv2.resize(i, None, fx=shrink, fy=shrink), cv2.COLOR_BGR2GRAY) for i in (source, target))
    (ka, da), (kb, db) = sift.detectAndCompute(a, None), sift.detectAndCompute(b, None)
    if da is None or db is None or len(ka) < _LEAST_INLIERS or len(kb) < _LEAST_INLIERS:
        return None
    matches = cv2.BFMatcher().knnMatch(da, db, k=2)
    good = [m for m, n in (pair for pair in matches if len(pair) == 2) if m.distance < 0.75 * n.distance]
    if len(good) < _LEAST_INLIERS:
        return None
    pa = np.array([ka[m.queryIdx].pt for m in good], np.float32)
    pb = np.array([kb[m.trainIdx].pt for m in good], np.float32)
    matrix, inliers = cv2.findHomography(pa, pb, cv2.RANSAC, 3.0)
    if matrix is None or int(inliers.sum()) < _LEAST_INLIERS:
        return None
    scaling = np.diag([shrink, shrink, 1.0])
    return np.asarray(np.linalg.inv(scaling) @ matrix @ scaling, np.float64)


def _write_scene(folder: Path, card: SceneCard, images: dict[str, Image]) -> None:
    for stem, image in images.items():
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 94])
        assert ok
        write_atomic(folder / f"{stem}.jpg", data.tobytes())
    write_atomic(folder / "truth.json", Truth().model_dump_json().encode())
    write_atomic(folder / "scene.json", card.model_dump_json(indent=1).encode())


def write_pairs(photos: PhotoSet, out: Path, gsd_m: float = 0.08, reach: Sequence[int] = (1, 2)) -> int:
    """Writes the pairs of a flight as scenes without change.

    Args:
        photos: One flight over one place.
        out: Folder of scenes.
        gsd_m: Spacing to write at.
        reach: How many frames apart the two days of a pair are.

    Returns:
        Number of scenes written.
    """
    scale = min(1.0, photos.gsd_m / gsd_m)
    written = 0
    card = SceneCard(place=photos.place, source="photograph", gsd_m=photos.gsd_m / scale, licence=photos.licence)
    for index, path in enumerate(photos.files):
        after = _read(path, scale)
        step = reach[index % len(reach)]
        if after is None or index + step >= len(photos.files):
            continue
        other = _read(photos.files[index + step], scale)
        matrix = homography(other, after) if other is not None else None
        if other is None or matrix is None:
            continue
        size = (after.shape[1], after.shape[0])
        before = cv2.warpPerspective(other, matrix, size, flags=cv2.INTER_LINEAR)
        seen = cv2.warpPerspective(np.full(other.shape[:2], 255, np.uint8), matrix, size) > 250
        if seen.mean() < _LEAST_OVERLAP:
            continue
        rows, cols = np.flatnonzero(seen.mean(axis=1) > 0.5), np.flatnonzero(seen.mean(axis=0) > 0.5)
        if not rows.size or not cols.size:
            continue
        # Outside the overlap the earlier day is unknown: the later one stands in, which is no change either.
        filled = np.where(seen[..., None], before, after).astype(np.uint8)
        cut = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        _write_scene(out / f"{photos.place}-{path.stem}", card, {"after": after[cut], "before": filled[cut]})
        written += 1
    return written
