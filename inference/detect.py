"""The judge: mosaic, frames and an earlier day in; candidates out, one per real thing, with how sure we are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from inference.assemble import collect
from inference.construction import find_construction
from inference.context import open_context
from inference.engine import file_sha256
from inference.files import write_atomic
from inference.registry import serving_model
from inference.request import BaselineFiles, Budget, DetectRequest
from inference.sanitation import find_sanitation
from inference.sites import SiteCollection

Progress = Callable[[int, int, str], None]


def detect_patrol(request: DetectRequest, progress: Progress | None = None) -> SiteCollection:
    """Judges one patrol.

    Args:
        request: Files and settings.
        progress: Called as (done, total, what) by window.

    Returns:
        Candidates of both families, numbered from 1 in a stable order, surest first within the review threshold.

    Raises:
        InferenceError: A file is missing, unreadable or of another place; a model is corrupt.
    """
    models = {"waste": serving_model("waste", request.models_dir)}
    baseline = request.baseline
    notes: dict[str, object] = {}
    dsm_before = baseline.dsm if baseline else None
    with open_context(request.mosaic, request.dsm, dsm_before, request.poses, request.frames_dir) as context:
        found = find_sanitation(models["waste"], request.mosaic, context, progress)
        if baseline is not None:
            models["change"] = serving_model("change", request.models_dir)
            structures, notes = find_construction(models["change"], request, context, progress)
            found = [*found, *structures]
        features = collect(found, request, context, models)
    return SiteCollection.model_validate(
        {
            "patrol_id": request.patrol_id,
            "baseline_patrol_id": baseline.patrol_id if baseline else None,
            "mosaic_sha256": file_sha256(request.mosaic),
            "models": {family: model.card.name for family, model in models.items()},
            "features": features,
            "notes": notes,
        }
    )


def write_sites(collection: SiteCollection, path: Path) -> None:
    """Writes `sites.geojson` whole or not at all."""
    document = collection.model_dump(mode="json")
    write_atomic(path, json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8"))


__all__ = [
    "BaselineFiles",
    "Budget",
    "DetectRequest",
    "detect_patrol",
    "write_sites",
]
