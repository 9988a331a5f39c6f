"""Found against true: event recall, precision, AP50, false candidates, duplicates, calibration; intervals by place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from inference.sureness import expected_calibration_error

# A candidate is a thing when they share this much of the smaller one, after a slack for the drawing of edges.
_SHARE = 0.25
_SLACK_M = 0.5
BOX_IOU = 0.5
_DRAWS = 400


@dataclass(frozen=True)
class TrueThing:
    """One thing that is really there, in metres; neutral ones count neither way.

    `wanted` False: it must not be filed (permitted work, demolished ones), but finding it is not a false alarm.
    """

    polygon: BaseGeometry
    family: str
    wanted: bool = True
    neutral: bool = False
    area_m2: float = 0.0


@dataclass(frozen=True)
class Found:
    """One candidate, in the same metres; `filed` False: judged permitted."""

    polygon: BaseGeometry
    family: str
    probability: float
    filed: bool = True


@dataclass(frozen=True)
class Case:
    """One place: what was found and what is there."""

    place: str
    area_m2: float
    found: tuple[Found, ...]
    truth: tuple[TrueThing, ...]


@dataclass
class Tally:
    """Counts of one place and family."""

    wanted: int = 0
    hit: int = 0
    candidates_on_hits: int = 0
    false: int = 0
    true: int = 0
    filed_permitted: int = 0
    area_m2: float = 0.0
    scored: list[tuple[float, bool]] = field(default_factory=list)
    boxes: list[tuple[float, bool]] = field(default_factory=list)


def _matches(found: Sequence[Found], truth: Sequence[TrueThing]) -> list[list[int]]:
    """For each candidate, the true things it shows."""
    if not truth:
        return [[] for _ in found]
    shapes = [t.polygon.buffer(_SLACK_M) for t in truth]
    tree = STRtree(shapes)
    out: list[list[int]] = []
    for candidate in found:
        hits = []
        for index in tree.query(candidate.polygon, predicate="intersects"):
            shared = shapes[int(index)].intersection(candidate.polygon).area
            least = min(candidate.polygon.area, truth[int(index)].polygon.area)
            if shared >= _SHARE * max(least, 1e-6):
                hits.append(int(index))
        out.append(hits)
    return out


def _box_iou(a: BaseGeometry, b: BaseGeometry) -> float:
    one, two = shapely.box(*a.bounds), shapely.box(*b.bounds)
    shared = one.intersection(two).area
    return float(shared / (one.area + two.area - shared)) if shared else 0.0


def _box_hits(found: Sequence[Found], truth: Sequence[TrueThing]) -> list[tuple[float, bool]]:
    """Score and whether a box of a wanted thing, not yet taken by a surer candidate, overlaps enough."""
    taken: set[int] = set()
    out = []
    for candidate in sorted(found, key=lambda f: -f.probability):
        best = max(
            ((_box_iou(candidate.polygon, t.polygon), i) for i, t in enumerate(truth) if i not in taken),
            default=(0.0, -1),
        )
        hit = best[0] >= BOX_IOU
        if hit:
            taken.add(best[1])
            if truth[best[1]].neutral or not truth[best[1]].wanted:
                continue
        out.append((candidate.probability, hit))
    return out


def tally(case: Case, family: str, threshold: float, least_m2: float = 0.0) -> Tally:
    """Counts one place.

    Args:
        case: The place.
        family: construction or sanitation.
        threshold: Candidates below it are not reviewed; they count for calibration and AP only.
        least_m2: Smaller true things count neither way.
    """
    truth = [
        t if t.area_m2 >= least_m2 else TrueThing(t.polygon, t.family, t.wanted, True, t.area_m2)
        for t in case.truth
        if t.family == family
    ]
    found = [f for f in case.found if f.family == family]
    matches = _matches(found, truth)
    result = Tally(wanted=sum(t.wanted and not t.neutral for t in truth), area_m2=case.area_m2)
    hit: dict[int, int] = {}
    for candidate, hits in zip(found, matches, strict=True):
        real = [i for i in hits if not truth[i].neutral]
        if hits and not real:
            continue
        result.scored.append((candidate.probability, bool(real)))
        if candidate.probability < threshold:
            continue
        wanted = [i for i in real if truth[i].wanted]
        if candidate.filed:
            result.false += not real
            result.true += bool(wanted)
            result.filed_permitted += bool(real) and not wanted
        for i in wanted:
            hit[i] = hit.get(i, 0) + candidate.filed
    result.hit = sum(n > 0 for n in hit.values())
    result.candidates_on_hits = sum(hit.values())
    result.boxes = _box_hits(found, truth)
    return result


def candidate_truth(case: Case, family: str, least_m2: float = 0.0) -> tuple[list[bool | None], int]:
    """For each candidate of a family whether it is real (None: neutral), and how many wanted things have none."""
    truth = [t for t in case.truth if t.family == family]
    found = [f for f in case.found if f.family == family]
    matches = _matches(found, truth)
    labels: list[bool | None] = []
    for hits in matches:
        real = [i for i in hits if not truth[i].neutral]
        labels.append(None if hits and not real else bool(real))
    hit = {i for hits in matches for i in hits}
    missed = sum(t.wanted and not t.neutral and t.area_m2 >= least_m2 and i not in hit for i, t in enumerate(truth))
    return labels, missed


@dataclass(frozen=True)
class Mistake:
    """A thing that no reviewed candidate shows (`missed`), or a reviewed candidate that shows no thing (`false`).

    `probability` is the candidate's; of a missed thing, that of the surest candidate below the threshold, or None.
    """

    kind: str
    polygon: BaseGeometry
    area_m2: float
    probability: float | None


def mistakes(case: Case, family: str, threshold: float, least_m2: float = 0.0) -> list[Mistake]:
    """What `tally` counts against the model on one place, thing by thing."""
    truth = [t for t in case.truth if t.family == family]
    found = [f for f in case.found if f.family == family]
    best: dict[int, float] = {}
    out = []
    for candidate, hits in zip(found, _matches(found, truth), strict=True):
        for i in hits:
            best[i] = max(best.get(i, 0.0), candidate.probability)
        if not hits and candidate.filed and candidate.probability >= threshold:
            out.append(Mistake("false", candidate.polygon, candidate.polygon.area, candidate.probability))
    for i, thing in enumerate(truth):
        counts = thing.wanted and not thing.neutral and thing.area_m2 >= least_m2
        if counts and best.get(i, -1.0) < threshold:
            out.append(Mistake("missed", thing.polygon, thing.area_m2, best.get(i)))
    return out


def average_precision(boxes: Sequence[tuple[float, bool]], wanted: int) -> float:
    """Area under the precision-recall curve (precision made to fall), over all places together."""
    if wanted == 0:
        return 0.0
    ordered = sorted(boxes, key=lambda b: -b[0])
    hits = np.cumsum([h for _, h in ordered]) if ordered else np.zeros(0)
    precision = hits / np.arange(1, len(ordered) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = hits / wanted
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision)) if len(ordered) else 0.0


MEASURES: dict[str, Callable[[Sequence[Tally]], float]] = {
    "recall": lambda ts: sum(t.hit for t in ts) / max(1, sum(t.wanted for t in ts)),
    "precision": lambda ts: sum(t.true for t in ts) / max(1, sum(t.true + t.false for t in ts)),
    "false_per_km2": lambda ts: sum(t.false for t in ts) / max(1e-9, sum(t.area_m2 for t in ts) / 1e6),
    "ap50": lambda ts: average_precision([b for t in ts for b in t.boxes], sum(t.wanted for t in ts)),
    "ece": lambda ts: _ece([s for t in ts for s in t.scored]),
    "duplicates": lambda ts: sum(t.candidates_on_hits for t in ts) / max(1, sum(t.hit for t in ts)),
    "permitted_filed": lambda ts: float(sum(t.filed_permitted for t in ts)),
    "wanted": lambda ts: float(sum(t.wanted for t in ts)),
}


def _ece(scored: Sequence[tuple[float, bool]]) -> float:
    p = np.array([s for s, _ in scored], float)
    return expected_calibration_error(p, np.array([r for _, r in scored], bool))


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval, drawn by place."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def score(cases: Sequence[Case], family: str, threshold: float, least_m2: float = 0.0) -> dict[str, Measure]:
    """All measures of one family over many places.

    Args:
        cases: One a place.
        family: construction or sanitation.
        threshold: The frozen review threshold.
        least_m2: Smaller true things count neither way.

    Returns:
        Each measure with an interval from drawing places with replacement (tiles of one place are not independent).
    """
    tallies = [tally(case, family, threshold, least_m2) for case in cases]
    rng = np.random.default_rng(0)
    draws = [[tallies[int(i)] for i in rng.integers(len(tallies), size=len(tallies))] for _ in range(_DRAWS)]
    out = {}
    for name, measure in MEASURES.items():
        values: NDArray[np.float64] = np.array([measure(d) for d in draws])
        low, high = np.percentile(values, [2.5, 97.5])
        out[name] = Measure(measure(tallies), float(low), float(high))
    return out
