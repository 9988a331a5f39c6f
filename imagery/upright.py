"""Blocks that no file tells the angles of: turned until their cameras lie where receiver and barometer say.

Without angles every photograph starts out looking down, and a flight of oblique views comes out as a block that fits
itself and leans as a whole (views of 40 degrees at 10, the cameras on a slope of 23 m). The cameras' places tell the
lean: heights above take-off are good to a metre, so the turn that lays the cameras on them is gravity. Only where they
spread over an area, not along one line: a line leaves the turn about itself open.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imagery.bundle import Knowledge, State
from imagery.priors import BAROMETER_SIGMA_M, Setting
from imagery.similarity import similarity

Floats = NDArray[np.float64]
FEWEST_FRAMES = 6
# Attitudes of a turned block are held to what they became by this, so that frames of few ties do not tumble.
LOOSE_RAD = 0.5
# The narrower spread of the cameras over the wider one; a single lane has some hundredths.
WIDTH_SHARE = 0.2
# A lean below this is a lens's or a receiver's error, and nothing to turn a block for.
LEAST_LEAN_RAD = np.radians(4.0)
# The turned block must lie on the told heights this much better.
BETTER = 0.5


def turned_upright(
    state: State, know: Knowledge, setting: Setting, matched: NDArray[np.bool_]
) -> tuple[State, Knowledge] | None:
    """The block laid on its told places by a similarity, its attitudes free to follow; None where that tells nothing.

    Args:
        state: The block as it fits itself.
        know: Its priors.
        setting: What the files tell.
        matched: Which frames hang together.

    Returns:
        A state to start from, and priors in which attitudes are no longer pulled to the vertical.
    """
    told = setting.gps + 0.0
    known = matched & np.isfinite(told).all(axis=1) & (setting.gps_sigma[:, 2] <= 2.0 * BAROMETER_SIGMA_M)
    if setting.frame.is_local or setting.flights > 1 or known.sum() < FEWEST_FRAMES:
        return None
    spread = np.linalg.svd(told[known, :2] - told[known, :2].mean(axis=0), compute_uv=False)
    if spread[1] < WIDTH_SHARE * spread[0]:
        return None
    scale, turn, shift = similarity(state.C[known], told[known])
    lean = float(np.arccos(np.clip(turn[2, 2], -1.0, 1.0)))
    before = np.std(state.C[known, 2] - told[known, 2])
    places = scale * state.C @ turn.T + shift
    if lean < LEAST_LEAN_RAD or np.std(places[known, 2] - told[known, 2]) > BETTER * before:
        return None
    attitude = state.R @ turn.T
    start = State(attitude, places, state.lens, scale * state.X @ turn.T + shift, np.zeros_like(state.bias))
    return start, replace(know, R=attitude, R_sigma=np.full_like(know.R_sigma, LOOSE_RAD))
