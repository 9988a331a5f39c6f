"""One thing, one outline: pieces cut by window seams and boxes seen twice are joined.

Joining is by a spatial index and union-find, so that it stays near-linear: 100,000 boxes take well under a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from shapely import STRtree
from shapely.geometry.base import BaseGeometry

Boxes = NDArray[np.float64]


def groups(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers the connected groups of `count` things joined by `pairs` (2, m)."""
    ones = np.ones(pairs.shape[1], np.int8)
    graph = coo_matrix((ones, (pairs[0], pairs[1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def touching(shapes: Sequence[BaseGeometry], reach_m: float) -> NDArray[np.int64]:
    """Group number of each shape; shapes nearer than `reach_m` share one."""
    tree = STRtree(shapes)
    pairs = tree.query(shapes, predicate="dwithin", distance=reach_m)
    return groups(len(shapes), np.asarray(pairs, np.int64))


def _overlaps(boxes: Boxes, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over the smaller box, for each pair: a box inside another is the same thing."""
    a, b = boxes[pairs[0]], boxes[pairs[1]]
    wide = np.clip(np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0]), 0, None)
    high = np.clip(np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1]), 0, None)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return wide * high / np.maximum(np.minimum(area[pairs[0]], area[pairs[1]]), 1e-9)


def merge_boxes(
    boxes: Boxes, scores: NDArray[np.float64], overlap: float = 0.5
) -> tuple[Boxes, NDArray[np.float64], NDArray[np.int64]]:
    """Joins boxes that overlap by at least `overlap` of the smaller one (also through a third).

    Args:
        boxes: (n, 4) x0, y0, x1, y1.
        scores: (n,) the best of a group is kept.
        overlap: Share of the smaller box.

    Returns:
        (k, 4) boxes around the groups, (k,) scores, and (n,) the group of each input box.
    """
    if len(boxes) == 0:
        return boxes.reshape(0, 4), scores, np.zeros(0, np.int64)
    shapes = shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3])
    pairs = np.asarray(STRtree(shapes).query(shapes), np.int64)
    pairs = pairs[:, pairs[0] < pairs[1]]
    pairs = pairs[:, _overlaps(boxes, pairs) >= overlap]
    group = groups(len(boxes), pairs)
    merged = np.empty((group.max() + 1, 4))
    merged[:, :2], merged[:, 2:] = np.inf, -np.inf
    best = np.full(len(merged), -np.inf)
    for corner, ufunc in ((0, np.minimum), (1, np.minimum), (2, np.maximum), (3, np.maximum)):
        ufunc.at(merged[:, corner], group, boxes[:, corner])
    np.maximum.at(best, group, scores)
    return merged, best, group
