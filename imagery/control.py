"""Places that are known: points of given coordinates join the adjustment and pull the block to where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imagery.bundle import Knowledge, State
from imagery.tracks import Ties

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KnownPoints:
    """Known points and where frames see them.

    Attributes:
        xyz: (p, 3) metres from the block's origin.
        sigma: (p, 3) metres.
        frame: (m,) frame of each observation.
        point: (m,) point of each observation.
        uv: (m, 2) pixels.
        sigma_px: (m,) error of the observations.
        sure: Whether observations are measured by hand.
    """

    xyz: Floats
    sigma: Floats
    frame: NDArray[np.int64]
    point: NDArray[np.int64]
    uv: Floats
    sigma_px: Floats
    sure: bool


def join(state: State, know: Knowledge, ties: Ties, points: KnownPoints) -> tuple[State, Knowledge, Ties]:
    """The block with the known points as further ties, numbered after its own."""
    order = np.argsort(points.point, kind="stable")
    start = ties.points
    count = len(points.xyz)
    used, number = np.unique(points.point[order], return_inverse=True)
    joined = Ties(
        np.concatenate([ties.frame, points.frame[order]]),
        np.concatenate([ties.point, start + number]),
        np.vstack([ties.uv, points.uv[order]]),
        np.concatenate([ties.sigma, points.sigma_px[order]]),
        np.vstack([ties.rgb, np.zeros((len(order), 3), np.uint8)]),
    )
    if count and used.max() >= count:
        raise ValueError("an observation of a point that is not there")
    return (
        replace(state, X=np.vstack([state.X, points.xyz[used]])),
        replace(
            know,
            X=np.vstack([know.X, points.xyz[used]]),
            X_sigma=np.vstack([know.X_sigma, points.sigma[used]]),
            sure=np.concatenate([know.sure, np.full(len(used), points.sure)]),
        ),
        joined,
    )
