"""Sanitation candidates of a patrol: heaps, spoil and litter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inference.candidates import Candidate, gather, weighed
from inference.context import DetectContext
from inference.engine import Model
from inference.labels import waste_label
from inference.second_look import waste_judge
from inference.waste import find_waste

Progress = Callable[[int, int, str], None]
# Heaps rise about so far: enough to find them in slanted frames.
TALL_M = 1.0


def find_sanitation(
    model: Model, mosaic: Path, context: DetectContext, progress: Progress | None = None
) -> list[Candidate]:
    """Finds waste on a mosaic and looks again in the frames.

    Args:
        model: The serving waste model.
        mosaic: Today's mosaic.
        context: The patrol.
        progress: Called by window.
    """
    proposals, grid = find_waste(model, mosaic, progress)
    gathered = gather(proposals, context, grid, waste_judge(model), TALL_M)
    return [
        weighed(
            g,
            "sanitation",
            waste_label(g.proposal.extra["spoil"], g.proposal.extra["litter"]),
            model.card.calibration,
        )
        for g in gathered
    ]
