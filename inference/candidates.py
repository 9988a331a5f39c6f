"""One candidate per real thing: outline, evidence from mosaic, heights and frames, and how sure that makes us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inference.context import DetectContext
from inference.frames import Look
from inference.heights import HeightChange
from inference.proposals import Proposal, allowance, sides_m
from inference.second_look import Judge, look_again
from inference.sites import Family
from inference.sureness import Evidence, before_frames, probability
from inference.windows import Grid

# A frame in which the network gives at least this shows the thing.
SEEN = 0.5
# What cannot be compared properly is never called sure.
UNSURE_CAP = 0.49
BEST_FRAMES = 3
# Before frames are opened: what the mosaic, the heights and the earlier day make less likely than this is let go. Waste
# is hard to tell without frames: from 0.08 down to 0.02 costs one look a town and finds two heaps more of 176.
WORTH_A_LOOK: dict[Family, float] = {"construction": 0.08, "sanitation": 0.02}
# For fitting probabilities, so many proposals of a patrol are looked at again, however unlikely.
LOOKS_TO_FIT = 90
# A place that fewer frames could show lies at the survey's edge, where one picture's lean passes for a change.
FEWEST_VIEWS = 3


@dataclass(frozen=True)
class Candidate:
    """One thing before it is numbered and filed."""

    family: Family
    label: str
    proposal: Proposal
    evidence: Evidence
    probability: float
    looks: tuple[Look, ...] = ()
    seen: int = 0
    looked: int = 0
    height: HeightChange | None = None
    unsure: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gathered:
    """A proposal and all that is known of it."""

    proposal: Proposal
    evidence: Evidence
    height: HeightChange | None
    looks: tuple[Look, ...]
    seen: int
    looked: int


def gather(
    family: Family,
    proposals: Sequence[Proposal],
    context: DetectContext,
    grid: Grid,
    judge: Judge,
    tall_m: float,
    weights: dict[str, float],
    before: Sequence[float | None] | None = None,
    heights: Sequence[HeightChange | None] | None = None,
    every: bool = False,
) -> list[Gathered]:
    """Measures heights and looks again in frames.

    Args:
        family: Of what is looked for.
        proposals: Outlines in the context's CRS.
        context: The patrol.
        grid: The model's grid.
        judge: The network for single frames.
        tall_m: Things of this kind may rise so far.
        weights: Calibration, to leave out early what no second look will save. What no frame has looked at is doubted;
            what frames will look at is not doubted before they have.
        before: What the network said of each place on the earlier day.
        heights: How far each rises, where it is not the change since the earlier day.
        every: Look again at what is unlikely, too: probabilities are fitted on what comes of it.

    Returns:
        The same, with evidence.
    """
    surfaces = context.surfaces
    everything = [p.polygon for p in proposals]
    rises = heights or [surfaces.change(p, everything) if surfaces else None for p in everything]
    earlier = before if before is not None else [None] * len(proposals)
    first = [_evidence(p, h, (), b) for p, h, b in zip(proposals, rises, earlier, strict=True)]
    hopeful = weights if context.frames is None else before_frames(weights)
    keep = worth_a_look(family, first, hopeful, context.area_m2, every)
    kept = [(proposals[i], rises[i], earlier[i]) for i in keep]
    seen = _looked_at([p for p, _, _ in kept], context, grid, judge, tall_m)
    return [
        _gathered(p, h, looks, again, b, posed) for (p, h, b), (looks, again, posed) in zip(kept, seen, strict=True)
    ]


def _looked_at(
    proposals: Sequence[Proposal], context: DetectContext, grid: Grid, judge: Judge, tall_m: float
) -> list[tuple[list[Look], list[tuple[Look, float]], bool]]:
    """Each proposal's frames, what the network says in those looked at, and whether there are frames at all."""
    surfaces = context.surfaces
    polygons = [p.polygon for p in proposals]
    if context.frames is None or not polygons:
        return [([], [], False)] * len(polygons)
    grounds = [(surfaces.ground(p) if surfaces else None) or context.ground_m for p in polygons]
    looks = context.frames.looks(polygons, grounds, tall_m)
    again = look_again(polygons, looks, grounds, grid, context.frames, surfaces, judge)
    posed = any(g is not None for g in grounds)
    return [(a, b, posed) for a, b in zip(looks, again, strict=True)]


def worth_a_look(
    family: Family, first: Sequence[Evidence], weights: dict[str, float], area_m2: float, every: bool
) -> list[int]:
    """Which proposals the frames are opened for, by what is known without them.

    Args:
        family: Of what is looked for.
        first: Evidence of each proposal, without looks.
        weights: Calibration.
        area_m2: Ground photographed.
        every: Take the unlikely ones, too.

    Returns:
        Indices, in order.
    """
    hopes = [probability(e, weights) for e in first]
    keep = [i for i in range(len(first)) if every or hopes[i] >= WORTH_A_LOOK[family]]
    most = LOOKS_TO_FIT if every else allowance(area_m2)
    return sorted(sorted(keep, key=lambda i: -hopes[i])[:most])


def _gathered(
    proposal: Proposal,
    height: HeightChange | None,
    looks: Sequence[Look],
    again: Sequence[tuple[Look, float]],
    before: float | None,
    posed: bool,
) -> Gathered:
    seen_in = [look for look, p in again if p >= SEEN]
    ordered = seen_in + [look for look in looks if look not in seen_in]
    evidence = _evidence(proposal, height, tuple(p for _, p in again), before)
    if posed and proposal.unsure is None and len(looks) < FEWEST_VIEWS:
        proposal = replace(proposal, unsure=f"edge of the survey: {len(looks)} frames show it")
        evidence = replace(evidence, edge=True)
    return Gathered(proposal, evidence, height, tuple(ordered[:BEST_FRAMES]), len(seen_in), len(again))


def _evidence(
    proposal: Proposal, height: HeightChange | None, looks: tuple[float, ...], before: float | None
) -> Evidence:
    rise, noise = (height.median_m, height.noise_m) if height else (None, 0.3)
    extra = proposal.extra
    return Evidence(
        proposal.mean,
        proposal.peak,
        proposal.area_m2,
        looks,
        rise,
        noise,
        before,
        sides_m=sides_m(proposal.polygon),
        built=(extra["built_before"], extra["built_now"]) if "built_now" in extra else None,
        beside=extra.get("beside"),
        green=extra.get("green"),
        rough_m=extra.get("rough"),
        risen=bool(extra.get("risen")),
        stands_m=extra.get("stands"),
        both=extra.get("both"),
        opinion=extra.get("opinion"),
    )


def weighed(
    gathered: Gathered, family: Family, label: str, weights: dict[str, float], extra: dict[str, Any] | None = None
) -> Candidate:
    """Turns evidence into a candidate with a calibrated probability."""
    sure = probability(gathered.evidence, weights)
    unsure = gathered.proposal.unsure
    return Candidate(
        family,
        label,
        gathered.proposal,
        gathered.evidence,
        min(sure, UNSURE_CAP) if unsure else sure,
        gathered.looks,
        gathered.seen,
        gathered.looked,
        gathered.height,
        unsure,
        extra or {},
    )
