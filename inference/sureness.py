"""How sure: evidence about one candidate becomes one calibrated probability.

Log-odds add: what the network said of the mosaic, what it said of each frame that looked again, how far the surface
rose, how large the thing is. The weights are fitted on places that no network was trained on (`inference.fitting`),
kept in the model card, and are few, so that they cannot learn a place by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Evidence is clipped: no single cue may outweigh all others.
_LOGIT = 5.0
# Cars rise so far at most (a car is 1.5 m high, a smooth surface shows less).
CAR_HEIGHT_M = 1.7
# Lorries, buses, containers: 2.5 m wide (GB 1589-2016: 2.55 m at most), drawn up to half a metre wider each side.
LORRY_WIDTH_M = (1.6, 3.4)
# Heaps are lower, crowns and roofs higher.
TALL_HEAP_M = 2.2
# Weights used until a fit exists: the network's own word, tempered.
DEFAULT = {
    "bias": 0.0,
    "mean": 1.0,
    "peak": 0.0,
    "area": 0.0,
    "looks": 0.6,
    "looked": 0.0,
    "height": 0.0,
    "flat": 0.0,
    "rise": 0.0,
    "before": 0.0,
    "compared": 0.0,
    "measured": 0.0,
    "risen": 0.0,
    "tall": 0.0,
    "built": 0.0,
    "appeared": 0.0,
    "beside": 0.0,
    "green": 0.0,
    "rough": 0.0,
    "narrow": 0.0,
    "lorry": 0.0,
    "size": 0.0,
    "edge": 0.0,
    "stands": 0.0,
    "tower": 0.0,
    "surveyed": 0.0,
    "opinion": 0.0,
    "opined": 0.0,
    "texture": 0.5,
}
# The network's word, the frames, the rise and the size can only speak for a thing; flatness and an earlier day that
# looked the same only against it.
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "mean": (0.3, 3),
    "peak": (0, 3),
    "area": (0, 2),
    # Never less: few of the places fitted on had frames, and a frame that does not show a thing must count against it.
    "looks": (0.4, 3),
    "looked": (None, None),
    "height": (0, 4),
    "flat": (-6, 0),
    "rise": (0, 3),
    "before": (-3, 0),
    "compared": (None, None),
    "measured": (None, None),
    "risen": (None, None),
    "tall": (0, 4),
    "built": (0, 2),
    "appeared": (0, 4),
    "beside": (None, None),
    "green": (-4, 0),
    "rough": (-4, 0),
    "narrow": (-4, 0),
    "lorry": (-4, 0),
    "size": (0, 3),
    "edge": (-4, 0),
    "stands": (0, 3),
    "tower": (-4, 0),
    "surveyed": (None, None),
    "opinion": (0, 3),
    "opined": (None, None),
    # Never less: the waste of every place fitted on is drawn like what was learnt from, and shape alone tells it; on
    # real ground texture is the better judge (docs/decisions/0009).
    "texture": (0.5, 3),
}
FEATURES = tuple(name for name in DEFAULT if name != "bias")
# Weights by this prefix are added where no frame looked: what mosaic, surface and second opinion say is worth another
# amount there, as nothing contradicts it.
ALONE = "alone_"
# What there is to weigh without frames.
ALONE_CUES = (
    "bias", "mean", "peak", "area", "height", "flat", "rise", "before", "compared", "measured", "risen", "tall",
    "built", "beside", "green", "rough", "lorry", "stands", "tower", "surveyed", "opinion", "texture",
    "standing_m", "peak_stands", "area_stands", "before_stands", "peak_area", "area_area",
)  # fmt: skip
# Log-odds that everything is given there besides, so that the one threshold of a family keeps its recall where less
# tells waste from ground. No fit finds it: it is set, and a probability with it is no share of real ones.
FAVOUR = "alone_favour"

# Weights by this prefix are added, too, where one picture is all there is: no frames, no surface, no earlier day. The
# network's word is then worth more than beside all else that speaks of a place, and nothing is favoured.
BARE = "bare_"
BARE_CUES = ("bias", "mean", "peak", "area", "texture")


@dataclass(frozen=True)
class Evidence:
    """What is known of a candidate.

    Attributes:
        mean: Mean network probability inside the outline, on the mosaic.
        peak: Its 95th percentile.
        area_m2: Ground area.
        looks: Probability in each frame that looked again.
        height_m: Rise of the surface, or None where unknown.
        height_noise_m: What no change looks like there.
        before: What the network said of the same place on the earlier day, or None.
        sides_m: Short and long side of the smallest box around it, or None.
        built: What the network says is built there, on the earlier day and today, or None.
        beside: What was built close by on the earlier day, or None.
        green: Excess green inside, or None.
        rough_m: Spread of the rise within a metre, or None.
        risen: The surface alone proposed it.
        edge: Too few frames could show it: it lies at the survey's edge, where one picture's lean passes for a thing.
        opinion: Log-odds of the second opinion (`inference.opinion`), or None.
        stands_m: How far today's surface stands above the ground beside, or None.
        both: Mean probability inside by shape and texture together (waste only), or None; `mean` is by shape.
    """

    mean: float
    peak: float
    area_m2: float
    looks: tuple[float, ...] = ()
    height_m: float | None = None
    height_noise_m: float = 0.3
    before: float | None = None
    sides_m: tuple[float, float] | None = None
    built: tuple[float, float] | None = None
    beside: float | None = None
    green: float | None = None
    rough_m: float | None = None
    risen: bool = False
    edge: bool = False
    opinion: float | None = None
    stands_m: float | None = None
    both: float | None = None


def logit(p: float) -> float:
    """Clipped log-odds."""
    q = min(max(p, 1e-4), 1 - 1e-4)
    return float(np.clip(np.log(q / (1 - q)), -_LOGIT, _LOGIT))


def features(evidence: Evidence) -> dict[str, float]:
    """Evidence as numbers, one for each name in `FEATURES`.

    `looks` is the mean log-odds over the frames; `height` how far the rise stands above 0.7 m, in units of its noise;
    `flat` 1 where the surface is known not to have risen half a metre; `rise` 1 where it rose at all (a heap does);
    `before` the log-odds on the earlier day: what fires on both days is mostly a texture; `edge` 1 at the
    survey's edge; `stands` 1 where today's surface stands above the ground beside, as `rise`, and `tower` 1 where it
    stands higher than heaps do. `risen` and what follows weigh what the surface proposes: `tall` how a rise stands to
    a car's, `built` and `appeared` what the network says is built there now and was not then, `green` leaves, `rough`
    wrong matches and crowns, `narrow` the edges of standing walls, `lorry` a vehicle's measures away from any house,
    `size` the area of what rose.
    `texture` is by how much shape and texture together are surer of waste than shape alone.
    """
    rise = evidence.height_m
    noise = max(0.3, evidence.height_noise_m)
    steady = 1.5 * max(0.15, evidence.height_noise_m)
    return {
        "mean": logit(evidence.mean),
        "peak": logit(evidence.peak),
        "area": float(np.clip(np.log(max(evidence.area_m2, 0.1) / 10.0), -3.0, 3.0)),
        "looks": float(np.mean([logit(p) for p in evidence.looks])) if evidence.looks else 0.0,
        "looked": 1.0 if evidence.looks else 0.0,
        "height": 0.0 if rise is None else float(np.clip((rise - 0.7) / (2 * noise), 0.0, 3.0)),
        "flat": 1.0 if rise is not None and rise < 0.5 else 0.0,
        "rise": 0.0 if rise is None else float(np.clip((rise - 0.1) / steady, -1, 1)),
        "before": 0.0 if evidence.before is None else logit(evidence.before),
        "compared": 0.0 if evidence.before is None else 1.0,
        "measured": 0.0 if rise is None else 1.0,
        "edge": float(evidence.edge),
        "opinion": 0.0 if evidence.opinion is None else float(np.clip(evidence.opinion, -_LOGIT, _LOGIT)),
        "opined": 0.0 if evidence.opinion is None else 1.0,
        "texture": 0.0 if evidence.both is None else logit(evidence.both) - logit(evidence.mean),
        **_features_of_standing(evidence.stands_m),
    } | _features_of_what_rose(evidence)


def _features_of_standing(stands_m: float | None) -> dict[str, float]:
    if stands_m is None:
        return {"stands": 0.0, "tower": 0.0, "surveyed": 0.0}
    up, tower = np.clip((stands_m - 0.15) / 0.3, -1, 1), np.clip((stands_m - TALL_HEAP_M) / 1.0, 0, 1)
    return {"stands": float(up), "tower": float(tower), "surveyed": 1.0}


def _crossed(evidence: Evidence, values: dict[str, float]) -> dict[str, float]:
    """What one cue of a heap says of another, where today's surface is known: litter lies flat, a large thing does not.

    On 160 composites of training photographs, left out by sixths, these took the loss from 0.220 to 0.185 a candidate.
    """
    if evidence.stands_m is None:
        return {}
    return {
        "standing_m": float(np.clip(evidence.stands_m, -1.0, 3.0)),
        "peak_stands": values["peak"] * values["stands"],
        "area_stands": values["area"] * values["stands"],
        "before_stands": values["before"] * values["stands"],
        "peak_area": values["peak"] * values["area"],
        "area_area": values["area"] ** 2,
    }


def _cues_alone(evidence: Evidence) -> dict[str, float]:
    """What there is to weigh without frames, by the names of `ALONE_CUES`; those that nothing is known of are 0."""
    values = features(evidence)
    known = values | _crossed(evidence, values) | {"bias": 1.0}
    return {name: known.get(name, 0.0) for name in ALONE_CUES}


def _features_of_what_rose(evidence: Evidence) -> dict[str, float]:
    rise = evidence.height_m
    then, now = evidence.built or (0.0, 0.0)
    short, long = evidence.sides_m or (3.0, 3.0)
    known, risen = evidence.built is not None, evidence.risen
    tall = 0.0 if rise is None or not risen else float(np.clip((rise - CAR_HEIGHT_M) / 0.6, -1.5, 2.0))
    return {
        "risen": float(risen),
        "tall": tall,
        "built": logit(now) if known else 0.0,
        "appeared": now - then if known else 0.0,
        "beside": evidence.beside or 0.0,
        "green": float(np.clip(((evidence.green or 0.0) - 0.06) / 0.12, 0.0, 2.0)),
        "rough": float(np.clip(((evidence.rough_m or 0.0) - 0.5) / 0.5, 0.0, 3.0)) if risen else 0.0,
        "narrow": float(np.clip((2.6 - short) / 0.8, 0.0, 2.0)) if risen else 0.0,
        "lorry": _lorry(short, long, rise, evidence.beside or 0.0),
        "size": float(np.clip(np.log(max(evidence.area_m2, 0.1) / 10.0), -1.0, 2.0)) if risen else 0.0,
    }


def _lorry(short_m: float, long_m: float, rise_m: float | None, beside: float) -> float:
    """1 for what has a lorry's or a container's measures and no house beside it, falling off outside them."""
    if rise_m is None:
        return 0.0
    width = np.clip((LORRY_WIDTH_M[1] + 0.5 - short_m) / 0.5, 0, 1) * (short_m > LORRY_WIDTH_M[0])
    length = np.clip((long_m - 4.0) / 1.0, 0, 1) * np.clip((18.0 - long_m) / 3.0, 0, 1)
    height = np.clip((4.6 - rise_m) / 0.4, 0, 1) * np.clip((rise_m - 0.9) / 0.3, 0, 1)
    return float(width * length * height * np.clip((0.55 - beside) / 0.2, 0, 1))


def probability(evidence: Evidence, weights: dict[str, float]) -> float:
    """Calibrated probability that the candidate is what it is said to be."""
    return float(1.0 / (1.0 + np.exp(-log_odds(evidence, weights or DEFAULT))))


def log_odds(evidence: Evidence, weights: dict[str, float]) -> float:
    """Log-odds of a candidate, with what is added where less is known."""
    z = weights.get("bias", 0.0) + sum(weights.get(name, 0.0) * value for name, value in features(evidence).items())
    for prefix, cues in added_cues(evidence):
        z += sum(weights.get(prefix + name, 0.0) * value for name, value in cues.items())
    return float(z)


def added_cues(evidence: Evidence) -> list[tuple[str, dict[str, float]]]:
    """What is weighed besides where less is known: prefixes and cues."""
    if evidence.looks:
        return []
    cues = _cues_alone(evidence)
    if (evidence.height_m, evidence.stands_m, evidence.before) != (None, None, None):
        return [(ALONE, cues | {FAVOUR.removeprefix(ALONE): 1.0})]
    return [(ALONE, cues), (BARE, {name: cues[name] for name in BARE_CUES})]


def before_frames(weights: dict[str, float]) -> dict[str, float]:
    """Weights for what frames will look at, before they have: as if they said neither yes nor no."""
    return of_frames(weights) | {"bias": weights.get("bias", 0.0) + weights.get("looked", 0.0)}


def of_frames(weights: dict[str, float]) -> dict[str, float]:
    """The weights that count where frames looked."""
    return {name: weight for name, weight in weights.items() if not name.startswith((ALONE, BARE))}


def expected_calibration_error(probabilities: NDArray[np.float64], truth: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean gap between promised and observed shares over equally filled bins, weighted by their size."""
    if len(probabilities) == 0:
        return 0.0
    order = np.argsort(probabilities)
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [len(p) * abs(float(probabilities[p].mean()) - float(truth[p].mean())) for p in parts]
    return float(sum(gaps) / len(order))


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson)."""
    if total == 0:
        return 0.0, 1.0
    p = hits / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * np.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return min(p, max(0.0, float(centre - half))), max(p, min(1.0, float(centre + half)))


def threshold_for_recall(probabilities: Sequence[float], real: Sequence[bool], missed: int, recall: float) -> float:
    """The highest threshold whose recall's lower 95 % bound still reaches `recall`.

    Args:
        probabilities: Of candidates on held-out places.
        real: Whether each was real.
        missed: Real things with no candidate at all.
        recall: The promise.

    Returns:
        The threshold; 0 where even keeping everything does not support the promise.
    """
    found = sorted((p for p, r in zip(probabilities, real, strict=True) if r), reverse=True)
    total = len(found) + missed
    for hits in range(1, len(found) + 1):
        if wilson(hits, total)[0] >= recall:
            return found[hits - 1]
    return 0.0
