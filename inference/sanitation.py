"""Sanitation candidates of a patrol: heaps, spoil and litter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from inference.candidates import Candidate, Gathered, gather, weighed
from inference.context import DetectContext
from inference.engine import Model
from inference.labels import waste_label
from inference.proposals import Proposal, allowance, strongest
from inference.registration import Shift
from inference.request import DetectRequest
from inference.second_look import scores_on, waste_judge
from inference.waste import find_waste
from inference.windows import Grid, on_grid, open_raster

Progress = Callable[[int, int, str], None]
# Heaps rise about so far: enough to find them in slanted frames.
TALL_M = 1.0
# So many proposals a hectare are compared with the earlier day and the surface before the few that are worth a look in
# the frames are chosen: seven of 176 heaps in sixteen flown towns, litter and branches, were not among the first four.
PER_HECTARE = 10


def _before(
    model: Model, proposals: Sequence[Proposal], grid: Grid, request: DetectRequest, shift: Shift
) -> list[float | None] | None:
    """What the network says of the same places on the earlier day."""
    if request.baseline is None or not proposals:
        return None
    pixels = Shift(shift.dx_px / grid.gsd_m, shift.dy_px / grid.gsd_m, shift.agreement)
    with open_raster(request.baseline.mosaic) as dataset, on_grid(dataset, grid) as view:
        return scores_on([p.polygon for p in proposals], grid, view, pixels, waste_judge(model))


def _standing(proposals: Sequence[Proposal], context: DetectContext) -> list[Proposal]:
    """The same, with how far each stands above the ground beside: a heap does, old or new, a stain does not."""
    if context.surfaces is None:
        return list(proposals)
    everything = [p.polygon for p in proposals]
    out = []
    for proposal in proposals:
        height = context.surfaces.above_ground(proposal.polygon, everything)
        extra = {} if height is None else {"stands": height.median_m}
        out.append(replace(proposal, extra=proposal.extra | extra))
    return out


def find_sanitation(
    model: Model,
    request: DetectRequest,
    context: DetectContext,
    shift_m: Shift | None,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Finds waste on a mosaic, looks again in the frames, and at the same places on the earlier day.

    Args:
        model: The serving waste model.
        request: Today's mosaic, and the earlier day where there is one.
        context: The patrol.
        shift_m: From the earlier day to this one, metres.
        progress: Called by window.
    """
    everything, grid = find_waste(model, request.mosaic, progress)
    proposals = _standing(strongest(everything, allowance(context.area_m2, PER_HECTARE)), context)
    before = _before(model, proposals, grid, request, shift_m or Shift(0.0, 0.0, 1.0))
    weights, judge = model.card.calibration, waste_judge(model)
    gathered = gather("sanitation", proposals, context, grid, judge, TALL_M, weights, before, every=request.every)
    return [_candidate(g, model) for g in gathered]


def _candidate(g: Gathered, model: Model) -> Candidate:
    label = waste_label(g.proposal.extra["spoil"], g.proposal.extra["litter"])
    extra = {} if g.evidence.before is None else {"before": round(g.evidence.before, 3)}
    return weighed(g, "sanitation", label, model.card.calibration, extra)
