"""Evening out: what each photograph is multiplied by, so that overlapping ones show the ground in one colour.

Two steps, both in log space and both with the ground's own colour taken out. First a gain a frame and channel and the
lens's vignette, solved over the whole block at once: that carries exposure and white balance over frames, flights and
days. Then a smooth field a frame (`fields`): hot spots, haze, a cloud's edge.
Difference of two frames at withheld ties, of 255: brighton_beach 8.3 as taken, 2.8 by gains, 1.7 by fields; boruszyn
(a kite's obliques) 10.0, 4.9, 4.0. What is left is no colour of a frame's: hardly any of it reaches from one tie to the
next (`smooth_difference`: 0.4 of 2.8 RMS on brighton, 0.5 of 6.7 on boruszyn) and it grows with the angle between the
views (boruszyn: 3.0 below 2 degrees, 7.8 at 20). A tone curve a frame explained 5 % of it and a full colour matrix 6 %,
beyond what any shrinking of contrast does; both were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

from imagery.fields import corners, fields, trust
from imagery.overlaps import Overlaps
from imagery.poses import Lens

Floats = NDArray[np.float64]
# Gains are held near 1 as if by this many places (a frame has some 1,000): what every frame does alike, brighter
# towards the sun, else adds up over the block. Held by 2, a field at one end of seneca burnt out (13 % of all pixels
# clipped; 1 % held by 60), withheld ties agreeing no better; true steps of exposure are told by hundreds of places.
HELD_BY = 60.0
VIGNETTE_HELD_BY = 30.0
ROUNDS = 4
MOST_LOG_GAIN = 0.9
# What is left is told apart by ties of one pair of frames this far apart (frame sides): nearer their patches overlap.
SMOOTH_REACH = (0.03, 0.1)
FEWEST_NEIGHBOURS = 200


@dataclass(frozen=True)
class Tone:
    """What is multiplied into a frame.

    Attributes:
        gain: Red, green, blue.
        fall: Vignette: log brightness falls by fall[0] r^2 + fall[1] r^4, r = 1 at the image's corner.
        field: (rows, columns, 3) log gains at nodes spread evenly from corner to corner, or None.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fall: tuple[float, float] = (0.0, 0.0)
    field: NDArray[np.float32] | None = None

    def lift(self, u: NDArray[np.float32], v: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
        """(h, w, 3) factors for source pixels u, v (h, w); smooth, so a coarse grid of them will do."""
        across, down = u / max(1, lens.width_px - 1), v / max(1, lens.height_px - 1)
        aspect = lens.height_px / lens.width_px
        radius = _radius2(across, down, aspect)
        log = np.minimum(self.fall[0] * radius + self.fall[1] * radius * radius, 1.0)[..., None] + np.log(self.gain)
        if self.field is not None:
            weight, node = corners(across.ravel(), down.ravel(), self.field.shape[1], self.field.shape[0])
            nodes = self.field.reshape(-1, 3)
            log = log + np.einsum("sk,skc->sc", weight, nodes[node]).reshape(*u.shape, 3)
        return np.exp(log).astype(np.float32)


def _radius2(across: NDArray, down: NDArray, aspect: float | Floats) -> NDArray[np.float64]:
    """Squared distance from the middle, 1 at the corners."""
    a, b = 2.0 * across - 1.0, (2.0 * down - 1.0) * aspect
    return np.asarray((a * a + b * b) / (1.0 + aspect * aspect), float)


def even_out(fit: Overlaps, lens_of: NDArray[np.int64], lenses: list[Lens], frames: int) -> list[Tone]:
    """Tones of all frames.

    Args:
        fit: Colours of shared places.
        lens_of: (frames,) lens of each frame.
        lenses: Their sizes.
        frames: Number of frames.
    """
    if not len(fit.place):
        return [Tone()] * frames
    value = np.log(fit.rgb.astype(float))
    aspect = np.array([lens.height_px / lens.width_px for lens in lenses])[lens_of[fit.frame]]
    radius = _radius2(fit.uv[:, 0], fit.uv[:, 1], aspect)
    solution = _gains(fit, value, radius, lens_of, len(lenses), frames)
    log_gain = -np.clip(solution[:frames], -MOST_LOG_GAIN, MOST_LOG_GAIN)
    fall = -solution[frames:].mean(axis=1).reshape(-1, 2)
    own_fall = fall[lens_of[fit.frame]]
    even = value + log_gain[fit.frame] + (own_fall[:, 0] * radius + own_fall[:, 1] * radius**2)[:, None]
    field = fields(fit, even, frames)
    return [
        Tone(
            (float(np.exp(g[0])), float(np.exp(g[1])), float(np.exp(g[2]))),
            (float(fall[lens_of[n], 0]), float(fall[lens_of[n], 1])),
            field[n],
        )
        for n, g in enumerate(log_gain)
    ]


def difference(overlaps: Overlaps, tones: Sequence[Tone], lens_of_frame: Sequence[Lens]) -> float | None:
    """Median over places and channels of what two frames that see the same place differ by, of 255.

    A place is a patch of 2.5 % of a frame's side around a tie (`overlaps.AVERAGED_PX`).
    """
    if not len(overlaps.place):
        return None
    even = _evened(overlaps, tones, lens_of_frame)
    same = np.flatnonzero(np.diff(overlaps.place) == 0)
    return float(np.median(np.abs(even[same + 1] - even[same])))


def smooth_difference(overlaps: Overlaps, tones: Sequence[Tone], lens_of_frame: Sequence[Lens]) -> float | None:
    """The part of the difference that reaches over more than one patch, RMS of 255: what the eye sees as a step.

    Two frames' differences at neighbouring ties have only their common part in their mean product; what a tie's own
    things do (a crown seen from two sides, a glint) is not common. None where too few ties are neighbours.
    """
    if not len(overlaps.place):
        return None
    even = _evened(overlaps, tones, lens_of_frame).mean(axis=1)
    same = np.flatnonzero(np.diff(overlaps.place) == 0)
    off = even[same + 1] - even[same]
    sound = np.abs(off) <= np.quantile(np.abs(off), 0.95)
    same, off = same[sound], off[sound]
    pair = overlaps.frame[same].astype(np.int64) * len(tones) + overlaps.frame[same + 1]
    order = np.argsort(pair, kind="stable")
    total, count = 0.0, 0
    for own in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1):
        place = overlaps.uv[same[own]]
        far = np.linalg.norm(place[:, None] - place[None], axis=2)
        near = (far >= SMOOTH_REACH[0]) & (far <= SMOOTH_REACH[1])
        total += float((np.outer(off[own], off[own]) * near).sum())
        count += int(near.sum())
    return None if count < FEWEST_NEIGHBOURS else float(np.sqrt(max(0.0, total / count)))


def _evened(overlaps: Overlaps, tones: Sequence[Tone], lens_of_frame: Sequence[Lens]) -> NDArray[np.float32]:
    """(s, 3) colours as the mosaic shows them."""
    even = overlaps.rgb.copy()
    for number in np.unique(overlaps.frame):
        own, lens = overlaps.frame == number, lens_of_frame[int(number)]
        u, v = overlaps.uv[own, 0] * (lens.width_px - 1), overlaps.uv[own, 1] * (lens.height_px - 1)
        even[own] *= tones[int(number)].lift(u[None], v[None], lens)[0]
    return even


def _gains(
    seen: Overlaps, value: Floats, radius: Floats, lens_of: NDArray[np.int64], lenses: int, frames: int
) -> Floats:
    """(frames + 2 lenses, 3): log gain of each frame and the fall of each lens, each place's own colour taken out."""
    m, unknowns = len(seen.place), frames + 2 * lenses
    lens, rows = lens_of[seen.frame], np.arange(len(seen.place))
    columns = np.concatenate([seen.frame, frames + 2 * lens, frames + 2 * lens + 1])
    entries = np.concatenate([np.ones(m), radius, radius**2])
    design = coo_matrix((entries, (np.tile(rows, 3), columns)), shape=(m, unknowns)).tocsr()
    weight = np.ones(m)
    solution = np.zeros((unknowns, 3))
    held = np.concatenate([np.full(frames, HELD_BY), np.full(2 * lenses, VIGNETTE_HELD_BY)])
    for _ in range(ROUNDS):
        # A place's own colour is eliminated: rows are centred on the place's weighted mean.
        mass = np.bincount(seen.place, weight)
        averaging = coo_matrix((weight / mass[seen.place], (seen.place, rows)), shape=(seen.places, m)).tocsr()
        centred = design - (averaging @ design)[seen.place]
        target = value - (averaging @ value)[seen.place]
        weighted = centred.multiply(weight[:, None]).tocsr()
        normal = (centred.T @ weighted).tocsc() + coo_matrix((held, (range(unknowns), range(unknowns)))).tocsc()
        solution = np.asarray(splu(normal).solve(weighted.T @ target))
        weight = trust(target - centred @ solution)
    return solution
