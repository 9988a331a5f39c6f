"""Which photographs may see the same ground: never all pairs.

With positions: the nearest ones and the triangulation's edges (which tie strips together and leave nobody alone).
Without: what was taken before and after, and what looks alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError, cKDTree

from imagery.work import DescriptorStore

Pair = tuple[int, int]

# At 75/65 overlap the 8 nearest are two along the strip on either side and two on each neighbouring strip.
NEAREST = 8
# Frames further apart than this many footprint diagonals cannot overlap, whatever the yaw.
REACH = 1.05
SEQUENCE_STEPS = 3
LOOKALIKES = 8
VOCABULARY = 64


def pairs_by_position(xy_m: NDArray[np.float64], diagonal_m: NDArray[np.float64] | None = None) -> list[Pair]:
    """Candidate pairs from camera positions.

    Args:
        xy_m: (n, 2) metres.
        diagonal_m: (n,) expected footprint diagonals, or None where no height is known.

    Returns:
        Pairs (i, j) with i < j, sorted.
    """
    count = len(xy_m)
    if count < 2:
        return []
    reach = np.full(count, np.inf) if diagonal_m is None else np.asarray(diagonal_m, float)
    pairs: set[Pair] = {(i, i + 1) for i in range(count - 1)}
    _, near = cKDTree(xy_m).query(xy_m, k=min(NEAREST + 1, count))
    for i, row in enumerate(np.atleast_2d(near)):
        pairs.update((min(i, int(j)), max(i, int(j))) for j in row if int(j) != i)
    pairs |= _edges(xy_m)
    apart = {pair: float(np.hypot(*(xy_m[pair[0]] - xy_m[pair[1]]))) for pair in pairs}
    return sorted(p for p in pairs if apart[p] <= REACH * 0.5 * (reach[p[0]] + reach[p[1]]))


def _edges(xy_m: NDArray[np.float64]) -> set[Pair]:
    if len(xy_m) < 4:
        return {(i, j) for i in range(len(xy_m)) for j in range(i + 1, len(xy_m))}
    try:
        triangles = Delaunay(xy_m, qhull_options="QJ Pp").simplices
    except QhullError:
        return set()
    edges = np.sort(np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]]), axis=1)
    return {(int(i), int(j)) for i, j in np.unique(edges, axis=0)}


def pairs_without_position(store: DescriptorStore, count: int, seed: int = 0) -> list[Pair]:
    """Candidate pairs from the order of taking and from likeness (VLAD over the descriptors).

    Args:
        store: Descriptors by frame.
        count: Number of frames, in order of taking.
        seed: Of the vocabulary's clustering.
    """
    pairs = {(i, j) for i in range(count) for j in range(i + 1, min(count, i + 1 + SEQUENCE_STEPS))}
    signature = _signatures(store, count, seed)
    likeness = signature @ signature.T
    np.fill_diagonal(likeness, -np.inf)
    for i in range(count):
        for j in np.argsort(-likeness[i])[: min(LOOKALIKES, count - 1)]:
            pairs.add((min(i, int(j)), max(i, int(j))))
    return sorted(pairs)


def _signatures(store: DescriptorStore, count: int, seed: int) -> NDArray[np.float32]:
    """(count, VOCABULARY x 128) unit vectors: sums of residuals to the nearest word, power- and length-normalised."""
    rng = np.random.default_rng(seed)
    sample = []
    for frame in range(count):
        descriptors = store.get(frame)
        sample.append(descriptors[rng.permutation(len(descriptors))[:200]])
    words = _cluster(np.vstack(sample), rng)
    result = np.zeros((count, words.size), np.float32)
    for frame in range(count):
        descriptors = store.get(frame)
        nearest = np.argmax(descriptors @ words.T - 0.5 * (words**2).sum(axis=1), axis=1)
        vector = np.zeros_like(words)
        np.add.at(vector, nearest, descriptors - words[nearest])
        vector = np.sign(vector) * np.sqrt(np.abs(vector))
        result[frame] = vector.ravel() / max(1e-9, float(np.linalg.norm(vector)))
    return result


def _cluster(sample: NDArray[np.float32], rng: np.random.Generator, rounds: int = 8) -> NDArray[np.float32]:
    words = sample[rng.permutation(len(sample))[:VOCABULARY]].copy()
    for _ in range(rounds):
        nearest = np.argmax(sample @ words.T - 0.5 * (words**2).sum(axis=1), axis=1)
        for word in np.unique(nearest):
            words[word] = sample[nearest == word].mean(axis=0)
    return words


def connected(count: int, pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """Component number of each of `count` frames under the pairs, the largest component being 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    index = np.array(list(pairs), int).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(index)), (index[:, 0], index[:, 1])), shape=(count, count))
    number, label = connected_components(graph, directed=False)
    order = np.argsort(-np.bincount(label, minlength=number), kind="stable")
    rank = np.empty(number, np.int64)
    rank[order] = np.arange(number)
    return rank[label]
