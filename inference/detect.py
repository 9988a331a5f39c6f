"""The judge: mosaic, frames and an earlier day in; candidates out, one per real thing, with how sure we are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from imagery.poses import Poses
from inference.assemble import collect
from inference.candidates import Candidate
from inference.change import global_shift
from inference.construction import find_construction
from inference.context import DetectContext, open_context
from inference.engine import Model, file_sha256
from inference.errors import InferenceError
from inference.files import write_atomic
from inference.photos import find_in_photos
from inference.registry import serving_model
from inference.request import BaselineFiles, Budget, DetectRequest
from inference.sanitation import find_sanitation
from inference.sites import SiteCollection
from inference.standing import find_unregistered

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Judged:
    """All candidates of a patrol before any is left out, and how they were found."""

    candidates: list[Candidate]
    models: dict[str, Model]
    notes: dict[str, object]


def judge_patrol(request: DetectRequest, context: DetectContext, progress: Progress | None = None) -> Judged:
    """Finds and weighs the candidates of both families; nothing is numbered or left out yet."""
    models = {"waste": serving_model("waste", request.models_dir)}
    notes: dict[str, object] = {}
    shift = global_shift(request.mosaic, request.baseline.mosaic) if request.baseline else None
    if shift is not None and context.surfaces is not None:
        context = replace(context, surfaces=context.surfaces.shifted((shift.dx_px, -shift.dy_px)))
    found = find_sanitation(models["waste"], request, context, shift, progress)
    if shift is not None:
        models["change"] = serving_model("change", request.models_dir)
        structures, notes = find_construction(models["change"], request, context, shift, progress)
        found = [*found, *structures]
    elif request.registered is not None:
        models["change"] = serving_model("change", request.models_dir)
        structures, notes = find_unregistered(models["change"], request, context, progress)
        found = [*found, *structures]
    return Judged(found, models, notes)


def detect_patrol(request: DetectRequest, progress: Progress | None = None) -> SiteCollection:
    """Judges one patrol.

    Args:
        request: Files and settings.
        progress: Called as (done, total, what) by window.

    Returns:
        Candidates of both families above the review threshold, numbered from 1 in a stable order.

    Raises:
        InferenceError: A file is missing, unreadable or of another place; a model is corrupt.
    """
    baseline = request.baseline
    with context_of(request) as context:
        judged = judge_patrol(request, context, progress)
        features = collect(judged.candidates, request, context, judged.models)
    return SiteCollection.model_validate(
        {
            "patrol_id": request.patrol_id,
            "baseline_patrol_id": baseline.patrol_id if baseline else None,
            "mosaic_sha256": file_sha256(request.mosaic),
            "models": {family: model.card.name for family, model in judged.models.items()},
            "features": features,
            "notes": judged.notes,
        }
    )


def context_of(request: DetectRequest) -> AbstractContextManager[DetectContext]:
    """Opens the files of a request."""
    dsm_before = request.baseline.dsm if request.baseline else None
    return open_context(request.mosaic, request.dsm, dsm_before, request.poses, request.frames_dir)


def detect_photos(
    photos: Sequence[Path],
    poses: Poses,
    *,
    ground_m: float | None = None,
    patrol_id: str | None = None,
    budget: Budget | None = None,
    models_dir: Path | None = None,
    progress: Progress | None = None,
) -> SiteCollection:
    """Finds waste in single photographs (there is no earlier day to compare with).

    Args:
        photos: Hand-held or drone photographs.
        poses: Their poses, matched by file name.
        ground_m: Level of the ground in the poses' height reference; 0 above take-off, else 0 is refused.
        patrol_id: Where there is one.
        budget: Threshold and number; the model card's when None.
        models_dir: A registry of models learnt later.
        progress: Called by photograph.

    Returns:
        Candidates, each naming its photograph and `bbox_px`; a point where a picture does not look down.

    Raises:
        InferenceError: A photograph does not decode or has no pose, or the ground's level is not known.
    """
    if ground_m is None:
        if poses.height_reference != "take-off":
            raise InferenceError("the ground's level is not known: give ground_m for poses above sea level")
        ground_m = 0.0
    model = serving_model("waste", models_dir)
    features = find_in_photos(model, photos, poses, ground_m, budget or Budget(), progress)
    return SiteCollection(patrol_id=patrol_id, models={"waste": model.card.name}, features=tuple(features))


def write_sites(collection: SiteCollection, path: Path) -> None:
    """Writes `sites.geojson` whole or not at all."""
    document = collection.model_dump(mode="json")
    write_atomic(path, json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8"))


__all__ = [
    "BaselineFiles",
    "Budget",
    "DetectRequest",
    "detect_patrol",
    "detect_photos",
    "write_sites",
]
