"""The similarity between two sets of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def similarity(source: Floats, target: Floats) -> tuple[float, Floats, Floats]:
    """Scale, rotation and shift that take (n, 3) source to target in the least squares sense (Umeyama 1991)."""
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    u, d, vt = np.linalg.svd((target - mean_t).T @ (source - mean_s))
    sign = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(u @ vt)))])
    turn = u @ sign @ vt
    scale = float((d * np.diag(sign)).sum() / max(1e-12, float(((source - mean_s) ** 2).sum())))
    return scale, turn, mean_t - scale * turn @ mean_s
