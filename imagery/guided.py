"""The second look for frames that hardly hang on: keypoints are sought where the adjusted block says they must lie.

What repeats (furrows, roof tiles, rows of cars) has many likes in a whole photograph and few within some metres, so the
search is local and distinctness asks less of it; what is found is verified like any pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from imagery.adjust import camera_rays
from imagery.bundle import Knowledge, State, project_points
from imagery.features import Keypoints
from imagery.matching import PairMatch, match_pair
from imagery.neighbours import Pair
from imagery.tracks import Ties
from imagery.work import DescriptorStore

Floats = NDArray[np.float64]
# Frames with fewer surviving ties than this are looked at again, with this many of the nearest.
WEAK_TIES = 40
PARTNERS = 8
# How far off a frame without ties may hang: its position (m, where the files tell no better), its attitude, relief.
WORST_POSITION_M = 8.0
ATTITUDE_RAD = np.radians(3.0)
RELIEF_SHARE = 0.03


def guided_matches(
    state: State,
    know: Knowledge,
    ties: Ties,
    keypoints: Sequence[Keypoints],
    store: DescriptorStore,
    matches: Sequence[PairMatch],
    ground_z: float,
) -> list[PairMatch]:
    """Further pairs of frames that have few ties.

    Args:
        state: The adjusted block; frames without ties stand where their GPS says.
        know: Priors.
        ties: Surviving ties.
        keypoints: Of all frames.
        store: Their descriptors.
        matches: Pairs that are known already.
        ground_z: Level of the ground.
    """
    count = len(state.C)
    weak = np.flatnonzero(np.bincount(ties.frame, minlength=count) < WEAK_TIES)
    if not len(weak) or count < 2:
        return []
    tried: set[Pair] = {match.pair for match in matches}
    found = []
    _, near = cKDTree(state.C[:, :2]).query(state.C[weak, :2], k=min(PARTNERS + 1, count))
    for frame, partners in zip(weak.tolist(), np.atleast_2d(near).tolist(), strict=True):
        for other in partners:
            pair = (min(frame, other), max(frame, other))
            if frame == other or pair in tried:
                continue
            tried.add(pair)
            first, second = keypoints[pair[0]], keypoints[pair[1]]
            expected = predicted(state, know, pair, first.xy.astype(float), ground_z)
            radius = radius_px(state, know, frame, ground_z)
            match = match_pair(pair, first, second, store, expected, radius) if len(first.xy) else None
            if match is not None:
                found.append(match)
    return found


def predicted(state: State, know: Knowledge, pair: Pair, xy: Floats, ground_z: float) -> Floats:
    """(n, 2) where the second frame of a pair should show what the first shows at pixels (n, 2); NaN for not at all."""
    one, two = pair
    rays = camera_rays(np.repeat(state.lens[know.lens_of[one]][None], len(xy), 0), xy) @ state.R[one]
    down = np.where(rays[:, 2] < -0.05, rays[:, 2], np.nan)
    ground = state.C[one] + rays * ((ground_z - state.C[one, 2]) / down)[:, None]
    camera = (ground - state.C[two]) @ state.R[two].T
    camera[~(camera[:, 2] > 1.0)] = np.nan
    return project_points(camera, np.repeat(state.lens[know.lens_of[two]][None], len(xy), 0))[0]


def radius_px(state: State, know: Knowledge, frame: int, ground_z: float) -> float:
    """How far from there to look for the sake of a frame without ties."""
    height = max(1.0, float(state.C[frame, 2]) - ground_z)
    stated = 2.0 * float(know.gps_sigma[frame, 0])
    place_m = min(stated, WORST_POSITION_M) if np.isfinite(stated) else WORST_POSITION_M
    share = place_m / height + ATTITUDE_RAD + RELIEF_SHARE
    return float(state.lens[know.lens_of[frame], 0] * share)
