"""Evening out: what each photograph is multiplied by, so that overlapping ones show the ground in one colour.

Two steps, both in log space and both with the ground's own colour taken out. First a gain a frame and channel and the
lens's vignette, solved over the whole block at once: that carries exposure and white balance over frames, flights and
days. Then a smooth field a frame, node by node towards what all frames agree on: hot spots, haze, a cloud's edge.
Difference of two frames at withheld ties, of 255: brighton_beach 8.3 as taken, 2.8 by gains, 1.9 by fields; boruszyn
(a kite's obliques) 10.0, 4.8, 4.2. A contrast a frame explained 8 % of the rest and was left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

from imagery.overlaps import Overlaps
from imagery.poses import Lens

Floats = NDArray[np.float64]
# Gains are held near 1 as if by this many places, so that a chain of frames does not drift into the dark.
HELD_BY = 2.0
VIGNETTE_HELD_BY = 30.0
ROUNDS = 4
# A place counts less when frames disagree there by more than this (log): a car, a tree seen from two sides.
DISAGREEMENT = 0.03
# The field: nodes across and down a frame, its smoothness and hold in places, and how often it is renewed.
NODES = (7, 5)
SMOOTH_BY = 0.5
FIELD_HELD_BY = 0.05
FIELD_ROUNDS = 16
MOST_LOG_FIELD = 0.35
MOST_LOG_GAIN = 0.9


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
            weight, node = _corners(across.ravel(), down.ravel(), self.field.shape[1], self.field.shape[0])
            nodes = self.field.reshape(-1, 3)
            log = log + np.einsum("sk,skc->sc", weight, nodes[node]).reshape(*u.shape, 3)
        return np.exp(log).astype(np.float32)


def _radius2(across: NDArray, down: NDArray, aspect: float | Floats) -> NDArray[np.float64]:
    """Squared distance from the middle, 1 at the corners."""
    a, b = 2.0 * across - 1.0, (2.0 * down - 1.0) * aspect
    return np.asarray((a * a + b * b) / (1.0 + aspect * aspect), float)


def _corners(across: NDArray, down: NDArray, columns: int, rows: int) -> tuple[Floats, NDArray[np.int64]]:
    """Bilinear weights (s, 4) and node numbers (s, 4) of places in a frame; beyond the edge, the edge's."""
    x = np.clip(np.asarray(across, float), 0.0, 1.0) * (columns - 1)
    y = np.clip(np.asarray(down, float), 0.0, 1.0) * (rows - 1)
    c, r = np.minimum(x.astype(np.int64), columns - 2), np.minimum(y.astype(np.int64), rows - 2)
    a, b = x - c, y - r
    weight = np.column_stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])
    first = r * columns + c
    return weight, np.column_stack([first, first + 1, first + columns, first + columns + 1])


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
    field = _fields(fit, even, frames)
    return [
        Tone(
            (float(np.exp(g[0])), float(np.exp(g[1])), float(np.exp(g[2]))),
            (float(fall[lens_of[n], 0]), float(fall[lens_of[n], 1])),
            field[n],
        )
        for n, g in enumerate(log_gain)
    ]


def difference(overlaps: Overlaps, tones: Sequence[Tone], lens_of_frame: Sequence[Lens]) -> float | None:
    """Median over places and channels of what two frames that see the same place differ by, of 255."""
    if not len(overlaps.place):
        return None
    even = overlaps.rgb.copy()
    for number in np.unique(overlaps.frame):
        own, lens = overlaps.frame == number, lens_of_frame[int(number)]
        u, v = overlaps.uv[own, 0] * (lens.width_px - 1), overlaps.uv[own, 1] * (lens.height_px - 1)
        even[own] *= tones[int(number)].lift(u[None], v[None], lens)[0]
    same = np.flatnonzero(np.diff(overlaps.place) == 0)
    return float(np.median(np.abs(even[same + 1] - even[same])))


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
        weight = _trust(target - centred @ solution)
    return solution


def _trust(left: Floats) -> Floats:
    """Weights of samples by what is left of them."""
    return np.asarray(1.0 / np.maximum(1.0, np.abs(left).mean(axis=1) / DISAGREEMENT))


def _fields(seen: Overlaps, even: Floats, frames: int) -> NDArray[np.float32]:
    """(frames, rows, columns, 3) log gains at nodes: every frame in turn towards what all together show.

    Alternating between the ground's colour and the frames' fields keeps memory at a small matrix a frame; the slow
    modes of such a scheme are whole frames' gains, and those are solved already.
    """
    columns, rows = NODES
    nodes = columns * rows
    weight_of, node = _corners(seen.uv[:, 0], seen.uv[:, 1], columns, rows)
    smooth = _smoothness(columns, rows)
    field = np.zeros((frames, nodes, 3))
    trust = _trust(even - _agreed(seen, even, np.ones(len(even)))[seen.place])
    for turn in range(FIELD_ROUNDS):
        if turn % 4 == 0:
            normal = np.zeros(frames * nodes * nodes)
            for i in range(4):
                for j in range(4):
                    at = (seen.frame.astype(np.int64) * nodes + node[:, i]) * nodes + node[:, j]
                    normal += np.bincount(at, trust * weight_of[:, i] * weight_of[:, j], len(normal))
            inverse = np.linalg.inv((normal.reshape(frames, nodes, nodes) + smooth).astype(np.float32))
        own = np.einsum("sk,skc->sc", weight_of, field[seen.frame[:, None], node])
        agreed = _agreed(seen, even + own, trust)[seen.place]
        wanted = (agreed - even) * trust[:, None]
        right = np.zeros((frames * nodes, 3))
        for k in range(4):
            at = seen.frame.astype(np.int64) * nodes + node[:, k]
            for band in range(3):
                right[:, band] += np.bincount(at, weight_of[:, k] * wanted[:, band], frames * nodes)
        field = np.einsum("fij,fjc->fic", inverse, right.reshape(frames, nodes, 3))
        trust = _trust(even + own - agreed)
    return np.clip(field, -MOST_LOG_FIELD, MOST_LOG_FIELD).astype(np.float32).reshape(frames, rows, columns, 3)


def _agreed(seen: Overlaps, even: Floats, trust: Floats) -> Floats:
    """(places, 3) weighted mean colours."""
    mass = np.maximum(np.bincount(seen.place, trust, seen.places), 1e-12)
    return np.column_stack([np.bincount(seen.place, trust * even[:, k], seen.places) / mass for k in range(3)])


def _smoothness(columns: int, rows: int) -> Floats:
    """What differences of neighbouring nodes and nodes themselves cost."""
    number = np.arange(columns * rows).reshape(rows, columns)
    pairs = np.vstack(
        [
            np.column_stack([number[:, 1:].ravel(), number[:, :-1].ravel()]),
            np.column_stack([number[1:].ravel(), number[:-1].ravel()]),
        ]
    )
    steps = np.zeros((len(pairs), columns * rows))
    steps[np.arange(len(pairs)), pairs[:, 0]], steps[np.arange(len(pairs)), pairs[:, 1]] = 1.0, -1.0
    return np.asarray(SMOOTH_BY * steps.T @ steps + FIELD_HELD_BY * np.eye(columns * rows))
