"""Which marks can be believed: a list typed by hand holds wrong photographs, swapped names and slips of the mouse.

Sightings are held against each other first (rays of one mark cross, whatever its coordinates), marks then against the
shape of the block (all but a few fit one similarity). What does not fit is left out by name, never averaged in: one
sighting copied to a wrong line shrank a whole block to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from imagery.adjust import triangulate
from imagery.bundle import residuals
from imagery.gcp import Mark, seen_places, sightings
from imagery.index import Index
from imagery.projection import utm_frame
from imagery.similarity import similarity
from imagery.solve import Solution
from imagery.tracks import Ties

Floats = NDArray[np.float64]
# Rays of one mark that miss by more than this, and by more than `WORSE` times what marks usually miss by, are wrong.
MISS_PX = 12.0
WORSE = 4.0
# A mark off the others' similarity by more than this many times their median misfit, and by a share of the extent.
FAR_TIMES = 6.0
FAR_SHARE = 0.02
MOST_TRIPLES = 300
# With fewer marks than this there is no saying which of them is wrong.
FEWEST = 7


@dataclass(frozen=True)
class Believed:
    """Marks that agree, and what was left out and why."""

    marks: tuple[Mark, ...]
    left_out: tuple[str, ...]


def believe(marks: Sequence[Mark], solution: Solution, index: Index) -> Believed:
    """Marks whose sightings and places agree with each other and the block."""
    crossing, notes = _crossing(marks, solution, index)
    fitting, more = _fitting(crossing, solution, index)
    return Believed(tuple(fitting), (*notes, *more))


def _crossing(marks: Sequence[Mark], solution: Solution, index: Index) -> tuple[list[Mark], list[str]]:
    """Marks without the sightings whose rays pass the others by."""
    misses = [_miss_px(mark, solution, index) for mark in marks]
    known = [miss for miss in misses if np.isfinite(miss)]
    limit = max(MISS_PX, WORSE * float(np.median(known))) if known else MISS_PX
    kept, notes = [], []
    for mark, miss in zip(marks, misses, strict=True):
        if not np.isfinite(miss) or miss <= limit:
            kept.append(mark)
            continue
        fewer = [replace(mark, seen=mark.seen[:k] + mark.seen[k + 1 :]) for k in range(len(mark.seen))]
        trials = [(_miss_px(one, solution, index), k) for k, one in enumerate(fewer)]
        best, which = min((trial for trial in trials if np.isfinite(trial[0])), default=(np.inf, -1))
        if best <= limit:
            kept.append(fewer[which])
            notes.append(f"{mark.name} in {mark.seen[which][0]}: {miss:.0f} px beside where others see it")
        else:
            notes.append(f"{mark.name}: its photographs see it {miss:.0f} px apart")
    return kept, notes


def _miss_px(mark: Mark, solution: Solution, index: Index) -> float:
    """RMS by which a mark's rays miss their crossing; NaN with fewer than two usable sightings."""
    frame, _, uv = sightings([mark], index, required=False)
    good = np.array([solution.placed[int(n)] == "matched" for n in frame], bool)
    frame, uv = frame[good], uv[good]
    if len(frame) < 2:
        return float("nan")
    one = np.zeros(len(frame), np.int64)
    ties = Ties(frame, one, uv, np.ones(len(frame)), np.zeros((len(frame), 3), np.uint8))
    start = replace(solution.state, X=np.zeros((1, 3)))
    crossed = replace(start, X=triangulate(start, solution.know, ties, solution.ground_z, 12))
    return float(np.sqrt(np.mean(np.sum(residuals(crossed, solution.know, ties) ** 2, axis=1))))


def _fitting(marks: Sequence[Mark], solution: Solution, index: Index) -> tuple[list[Mark], list[str]]:
    """Marks that most others' similarity brings near to where they are said to be; all of them when they are few."""
    local, seen = seen_places(solution, marks, index)
    if len(seen) < FEWEST:
        return list(marks), []
    target = _metres([marks[n] for n in seen])
    off = robust_misfit(local, target)
    extent = float(np.linalg.norm(np.ptp(target[:, :2], axis=0)))
    limit = max(FAR_TIMES * float(np.median(off)), FAR_SHARE * extent)
    wrong = {seen[k]: float(off[k]) for k in np.flatnonzero(off > limit)}
    # Where a third does not fit there is no saying which are right.
    if not wrong or len(wrong) > len(seen) // 3:
        return list(marks), []
    notes = [f"{marks[n].name}: {m:.1f} m from where the other marks put it" for n, m in wrong.items()]
    return [mark for n, mark in enumerate(marks) if n not in wrong], notes


def _metres(marks: Sequence[Mark]) -> Floats:
    """East, north, up in the marks' UTM zone."""
    lon, lat = [mark.lon for mark in marks], [mark.lat for mark in marks]
    return np.column_stack([utm_frame(lon, lat).to_metres(lon, lat), [mark.z_m for mark in marks]])


def robust_misfit(source: Floats, target: Floats) -> Floats:
    """(n,) horizontal distances to the target after the similarity that most points agree on."""
    triples = list(combinations(range(len(source)), 3))
    if len(triples) > MOST_TRIPLES:
        chosen = np.random.default_rng(0).permutation(len(triples))[:MOST_TRIPLES]
        triples = [triples[int(k)] for k in chosen]
    if len(source) < FEWEST:
        scale, turn, shift = similarity(source, target)
        return np.asarray(np.linalg.norm((scale * source @ turn.T + shift - target)[:, :2], axis=1))
    best, least = np.full(len(source), np.inf), np.inf
    for triple in triples:
        rows = list(triple)
        scale, turn, shift = similarity(source[rows], target[rows])
        off = np.linalg.norm((scale * source @ turn.T + shift - target)[:, :2], axis=1)
        # The three fit themselves: what the others say counts.
        middle = float(np.median(np.delete(off, rows)))
        if np.isfinite(off).all() and middle < least:
            best, least = off, middle
    good = best <= 3.0 * least
    if good.sum() >= 4:
        scale, turn, shift = similarity(source[good], target[good])
        best = np.linalg.norm((scale * source @ turn.T + shift - target)[:, :2], axis=1)
    return best


def precision_m(marks: Sequence[Mark], solution: Solution, index: Index) -> float | None:
    """How well marks fit the unbent shape of a block, horizontally: their own precision, when the block is rigid.

    None with fewer than four that are seen twice: three fit anything.
    """
    twice = [mark for mark in marks if np.isfinite(_miss_px(mark, solution, index))]
    if len(twice) < 4:
        return None
    local, seen = seen_places(solution, twice, index)
    off = robust_misfit(local, _metres([twice[n] for n in seen]))
    # Seven parameters were fitted to three coordinates each.
    spare = max(0.2, 1.0 - 7.0 / (3.0 * len(off)))
    return float(np.sqrt(np.mean(off**2) / spare))
