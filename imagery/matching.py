"""Which keypoints of two photographs are the same thing on the ground: mutual, distinct, and agreeing on one plane."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from imagery.features import Keypoints
from imagery.files import Progress, quiet
from imagery.neighbours import Pair
from imagery.work import DescriptorStore, PairStore

# Lowe's ratio on unit vectors.
RATIO = 0.82
# MAGSAC's threshold as a share of the long side: a plane seen through an uncorrected lens bends by about this much.
PLANE_SHARE = 0.006
# Random pairs of brighton_beach and caliterra that do not overlap reach 9 at most.
MIN_INLIERS = 12
MIN_INLIER_SHARE = 0.25


@dataclass(frozen=True)
class PairMatch:
    """Verified matches of a pair: (k, 2) keypoint numbers, and how many candidates there were."""

    pair: Pair
    index: NDArray[np.int32]
    tried: int


def match_pairs(
    pairs: Sequence[Pair],
    keypoints: Sequence[Keypoints],
    store: DescriptorStore,
    workers: int = 2,
    progress: Progress = quiet,
    kept: PairStore | None = None,
) -> list[PairMatch]:
    """Matches candidate pairs; those that do not verify are left out.

    Args:
        pairs: Candidates.
        keypoints: Of all frames.
        store: Descriptors of all frames.
        workers: Threads.
        progress: Called now and then.
        kept: Results of an earlier run, and where this one's go.
    """

    def match(pair: Pair) -> PairMatch | None:
        earlier = kept.get(pair) if kept else None
        if earlier is not None:
            return PairMatch(pair, earlier, len(earlier)) if len(earlier) else None
        return match_pair(pair, keypoints[pair[0]], keypoints[pair[1]], store)

    verified = []
    with ThreadPoolExecutor(workers) as pool:
        for done, (pair, result) in enumerate(zip(pairs, pool.map(match, pairs), strict=True), start=1):
            if result is not None:
                verified.append(result)
            if kept and kept.get(pair) is None:
                kept.put(pair, np.zeros((0, 2), np.int32) if result is None else result.index)
            if done % 20 == 0 or done == len(pairs):
                progress(done, len(pairs), "matching")
    if kept:
        kept.flush()
    return verified


def match_pair(pair: Pair, first: Keypoints, second: Keypoints, store: DescriptorStore) -> PairMatch | None:
    """Matches two frames.

    Args:
        pair: Frame numbers.
        first: Keypoints of the first frame.
        second: Keypoints of the second.
        store: Descriptors of both.

    Returns:
        The verified matches, or None where there are too few to believe.
    """
    one, two = store.get(pair[0]), store.get(pair[1])
    if len(one) < MIN_INLIERS or len(two) < MIN_INLIERS:
        return None
    index = mutual_matches(one, two, RATIO)
    if len(index) < MIN_INLIERS:
        return None
    inlier = verified(first.xy[index[:, 0]], second.xy[index[:, 1]])
    count = int(inlier.sum())
    if count < MIN_INLIERS or count < MIN_INLIER_SHARE * len(index):
        return None
    return PairMatch(pair, index[inlier], len(index))


def mutual_matches(one: NDArray[np.float32], two: NDArray[np.float32], ratio: float) -> NDArray[np.int32]:
    """(k, 2) matches that are each other's best and better than the second best by `ratio`, of unit vectors."""
    likeness = one @ two.T
    rows = np.arange(len(one))
    best = likeness.argmax(axis=1)
    score = likeness[rows, best].copy()
    back = likeness.argmax(axis=0)
    likeness[rows, best] = -1.0
    second = likeness.max(axis=1)
    distinct = (1.0 - score) < ratio * ratio * (1.0 - second)
    good = (score > 0.0) & distinct & (back[best] == rows)
    return np.column_stack([rows[good], best[good]]).astype(np.int32)


def verified(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of the matches (k, 2) to (k, 2) agree on one plane, loosely: buildings and lenses bend it."""
    if len(a) < 8:
        return np.zeros(len(a), bool)
    span = float(np.ptp(b, axis=0).max())
    homography, mask = cv2.findHomography(a, b, cv2.USAC_MAGSAC, PLANE_SHARE * span, maxIters=3000, confidence=0.999)
    if homography is None or mask is None or not _believable(np.asarray(homography, float), a.mean(axis=0)):
        return np.zeros(len(a), bool)
    return mask.ravel().astype(bool)


def _believable(homography: NDArray[np.float64], at: NDArray[np.float32]) -> bool:
    """Not mirrored, not shrunk to nothing: two views of one ground by one kind of camera."""
    x, y = float(at[0]), float(at[1])
    w = homography[2] @ (x, y, 1.0)
    if abs(w) < 1e-9:
        return False
    u, v = homography[:2] @ (x, y, 1.0) / w
    jacobian = (homography[:2, :2] - np.outer((u, v), homography[2, :2])) / w
    determinant = float(np.linalg.det(jacobian))
    return 0.04 < determinant < 25.0
