"""Construction candidates of a patrol: what rose since the earlier day."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from inference.candidates import Candidate, Gathered, gather, weighed
from inference.change import ChangeResult, find_changes
from inference.context import DetectContext
from inference.engine import Model
from inference.gone import gone_structures
from inference.labels import construction_label
from inference.opinion import chip_of, has_opinion, opinions
from inference.proposals import Proposal, allowance, strongest
from inference.registration import Shift
from inference.request import DetectRequest
from inference.second_look import change_judge
from inference.windows import Grid, View, grid_of, on_grid, open_raster

Progress = Callable[[int, int, str], None]
# New structures are mostly of one or two storeys; frames must show them whole.
TALL_M = 6.0
# Comparing two surfaces at a place costs milliseconds: so many proposals a hectare are weighed before the few that are
# worth a look in the frames are chosen. Edges of walls and crowns rise by the dozen.
PER_HECTARE = 40


def _opined(
    model: Model,
    proposals: list[Proposal],
    grid: Grid,
    days: tuple[View, View],
    slip: Shift,
    context: DetectContext,
) -> list[Proposal]:
    """The proposals with a second opinion on each, where the model has one."""
    if not has_opinion(model):
        return proposals
    now, then = days
    chips = (chip_of(p.polygon, grid, now, then, slip, context.surfaces) for p in proposals)
    said = opinions(model, chips)
    return [
        p if o is None else replace(p, extra={**p.extra, "opinion": o}) for p, o in zip(proposals, said, strict=True)
    ]


def find_construction(
    model: Model, request: DetectRequest, context: DetectContext, shift: Shift, progress: Progress | None = None
) -> tuple[list[Candidate], dict[str, object]]:
    """Finds new structures against the baseline, confirms them by height and looks again in the frames.

    Args:
        model: The serving change model.
        request: With a baseline.
        context: The patrol.
        shift: The whole-mosaic shift from the earlier day to this one, metres.
        progress: Called by window.

    Returns:
        Candidates, and notes: how the days were compared, and outlines of what is gone.
    """
    assert request.baseline is not None
    surfaces = (request.dsm, request.baseline.dsm) if request.dsm and request.baseline.dsm else None
    result = find_changes(model, request.mosaic, request.baseline.mosaic, shift, progress, surfaces)
    gathered = _gathered(model, request, context, result)
    found = []
    for g in gathered:
        rise = g.evidence.height_m
        extra = g.proposal.extra
        label = construction_label(g.proposal.polygon, rise, extra["built_before"], extra["beside"])
        found.append(weighed(g, "construction", label, model.card.calibration))
    return found, _notes(result, context)


def _gathered(model: Model, request: DetectRequest, context: DetectContext, result: ChangeResult) -> list[Gathered]:
    """The proposals with all that is known of them: a second opinion, heights, frames."""
    assert request.baseline is not None
    with ExitStack() as stack:
        today = stack.enter_context(open_raster(request.mosaic))
        grid = grid_of(today, model.card.gsd_m)
        then = stack.enter_context(on_grid(stack.enter_context(open_raster(request.baseline.mosaic)), grid))
        east, north = result.shift_m
        slip = Shift(east / grid.gsd_m, -north / grid.gsd_m, 1.0)
        judge = change_judge(model, then, slip)
        proposals = strongest(result.new, allowance(context.area_m2, PER_HECTARE, 10 * PER_HECTARE))
        now = stack.enter_context(on_grid(today, grid))
        proposals = _opined(model, proposals, grid, (now, then), slip, context)
        return gather(
            "construction", proposals, context, grid, judge, TALL_M, model.card.calibration, every=request.every
        )


def _notes(result: ChangeResult, context: DetectContext) -> dict[str, object]:
    """How the days were compared, and outlines of what is gone."""
    east, north = result.shift_m
    notes: dict[str, object] = {
        "baseline_shift_m": [round(east, 2), round(north, 2)],
        "poorly_registered_share": round(result.poor, 3),
        "gone_structures": gone_structures(strongest(result.gone, allowance(context.area_m2)), context),
    }
    if result.note:
        notes["registration"] = result.note
    return notes
