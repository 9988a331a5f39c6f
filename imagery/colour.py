"""Evening out: a gain a frame and channel, and the lens's vignette, from the colours of ties in log space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

from imagery.poses import Lens
from imagery.tracks import Ties

Floats = NDArray[np.float64]
# Gains are held near 1 as if by this many ties, so that a chain of frames does not drift into the dark.
HELD_BY = 4.0
# Darker or lighter than this a pixel is clipped and tells no ratio.
DARKEST, LIGHTEST = 12, 243
ROUNDS = 4


@dataclass(frozen=True)
class Tone:
    """What is multiplied into a frame.

    Attributes:
        gain: Red, green, blue.
        fall: Vignette: log brightness falls by fall[0] r^2 + fall[1] r^4, r = 1 at the image's corner.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fall: tuple[float, float] = (0.0, 0.0)

    def lift(self, u: NDArray[np.float32], v: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
        """The factor that undoes the vignette at source pixels u, v; smooth, so a coarse grid of them will do."""
        radius = _radius2(u, v, lens)
        return np.exp(np.minimum(self.fall[0] * radius + self.fall[1] * radius * radius, 1.0)).astype(np.float32)


def _radius2(u: NDArray, v: NDArray, lens: Lens) -> NDArray[np.float32]:
    half_w, half_h = (lens.width_px - 1) / 2, (lens.height_px - 1) / 2
    return (((u - half_w) ** 2 + (v - half_h) ** 2) / (half_w**2 + half_h**2)).astype(np.float32)


def even_out(ties: Ties, lens_of: NDArray[np.int64], lenses: list[Lens], frames: int) -> tuple[list[Tone], float]:
    """Tones of all frames, and the median colour difference (of 255) that ties keep after them.

    Args:
        ties: Adjusted ties with colours.
        lens_of: (frames,) lens of each frame.
        lenses: Their sizes.
        frames: Number of frames.
    """
    usable = np.asarray(((ties.rgb > DARKEST) & (ties.rgb < LIGHTEST)).all(axis=1), bool)
    seen = ties.where(usable)
    if not len(seen.point):
        return [Tone()] * frames, 0.0
    value = np.log(seen.rgb.astype(float))
    radius = _radii(seen, lens_of, lenses)
    solution = _solve(seen, value, radius, lens_of, len(lenses), frames)
    gains = np.clip(np.exp(-solution[:frames]), 0.4, 2.5)
    falls = solution[frames:].mean(axis=1).reshape(-1, 2)
    tones = [
        Tone(
            (float(gains[n, 0]), float(gains[n, 1]), float(gains[n, 2])),
            (float(-falls[lens_of[n], 0]), float(-falls[lens_of[n], 1])),
        )
        for n in range(frames)
    ]
    return tones, _residual(seen, tones, radius)


def _radii(ties: Ties, lens_of: NDArray[np.int64], lenses: list[Lens]) -> Floats:
    radius = np.zeros(len(ties.point))
    for number, lens in enumerate(lenses):
        own = lens_of[ties.frame] == number
        radius[own] = _radius2(ties.uv[own, 0], ties.uv[own, 1], lens)
    return radius


def _solve(ties: Ties, value: Floats, radius: Floats, lens_of: NDArray[np.int64], lenses: int, frames: int) -> Floats:
    """(frames + 2 lenses, 3): log gain of each frame and the fall of each lens, each tie's own colour taken out."""
    m, unknowns = len(ties.point), frames + 2 * lenses
    lens = lens_of[ties.frame]
    rows = np.arange(m)
    design = coo_matrix(
        (
            np.concatenate([np.ones(m), radius, radius**2]),
            (np.tile(rows, 3), np.concatenate([ties.frame, frames + 2 * lens, frames + 2 * lens + 1])),
        ),
        shape=(m, unknowns),
    ).tocsr()
    weight = np.ones(m)
    solution = np.zeros((unknowns, 3))
    held = np.concatenate([np.full(frames, HELD_BY), np.full(2 * lenses, 30.0)])
    for _ in range(ROUNDS):
        # A tie's own colour is eliminated: rows are centred on the tie's weighted mean.
        mass = np.bincount(ties.point, weight)
        averaging = coo_matrix((weight / mass[ties.point], (ties.point, rows)), shape=(ties.points, m)).tocsr()
        centred = design - (averaging @ design)[ties.point]
        target = value - (averaging @ value)[ties.point]
        weighted = centred.multiply(weight[:, None]).tocsr()
        normal = (centred.T @ weighted).tocsc() + coo_matrix((held, (range(unknowns), range(unknowns)))).tocsc()
        solution = np.asarray(splu(normal).solve(weighted.T @ target))
        left = np.abs(target - centred @ solution).mean(axis=1)
        weight = 1.0 / np.maximum(1.0, left / 0.05)
    return solution


def _residual(ties: Ties, tones: list[Tone], radius: Floats) -> float:
    gain = np.array([tone.gain for tone in tones])[ties.frame]
    fall = np.array([tone.fall for tone in tones])[ties.frame]
    even = ties.rgb * gain * np.exp(fall[:, :1] * radius[:, None] + fall[:, 1:] * radius[:, None] ** 2)
    count = np.maximum(1, np.bincount(ties.point))
    mean = np.column_stack([np.bincount(ties.point, even[:, k]) / count for k in range(3)])
    return float(np.median(np.abs(even - mean[ties.point])))
