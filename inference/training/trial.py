"""A new model on trial: in its family's place, on places that no model learnt from, beside the one that serves."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from inference.engine import ModelFamily, read_card
from inference.errors import InferenceError
from inference.registry import install, promote, serving_folder
from inference.training.evaluate import (
    FAMILY,
    LEAST_CANDIDATES,
    JudgedScene,
    Progress,
    calibrate,
    evaluate,
    judge_held_out,
    reweighed,
)
from inference.training.scoring import Measure

# By family, by name of the measure.
Measures = dict[str, dict[str, Measure]]


def calibrating(place: str) -> bool:
    """Of the held-out places, whether this one fits probabilities; the others are the frozen set, and judge alone."""
    return hashlib.sha256(f"calibrate {place}".encode()).digest()[0] % 2 == 0


def measured(scenes: Sequence[JudgedScene], models_dir: Path | None) -> Measures:
    """All measures on the frozen set among judged scenes, at the thresholds of the models that serve."""
    thresholds = {name: read_card(serving_folder(model, models_dir)).threshold for model, name in FAMILY.items()}
    return evaluate([s for s in scenes if not calibrating(s.place)], thresholds)


def trial_registry(family: ModelFamily, new: Path, models_dir: Path | None, trial: Path) -> Path:
    """A registry in `trial` in which the new model serves its family, and today's models the others.

    Raises:
        InferenceError: The new model does not load or is of another family.
    """
    shutil.rmtree(trial, ignore_errors=True)
    for other in FAMILY:
        source = new if other == family else serving_folder(other, models_dir)
        promote(other, install(source, trial), trial, "trial")
    return trial


def calibrate_new(
    family: ModelFamily,
    folder: Path,
    data: Sequence[Path],
    models_dir: Path | None,
    work: Path,
    progress: Progress | None = None,
) -> dict[str, Measure]:
    """Fits a new model's probability and review threshold on half of the held-out places, measures it on the others.

    Args:
        family: Of the model.
        folder: The model folder; its card is rewritten.
        data: Folders of scenes that it was trained beside.
        models_dir: The registry that serves the other family; the packaged models when None.
        work: A folder of this trial's own.
        progress: Called by scene.

    Returns:
        Its measures on the places that fitted nothing.

    Raises:
        InferenceError: No place is held out, or too few candidates on them; the card is left as it was.
    """
    trial = trial_registry(family, folder, models_dir, work)
    scenes = judge_held_out(data, trial, progress, unlikely=True)
    weights = calibrate(family, [s for s in scenes if calibrating(s.place)], folder)
    if not weights:
        raise InferenceError(
            f"half of the {len(scenes)} held-out scenes hold fewer than {LEAST_CANDIDATES} candidates of {family}, or "
            "all true, or all false: make more scenes"
        )
    others = [reweighed(s, FAMILY[family], weights) for s in scenes if not calibrating(s.place)]
    name = FAMILY[family]
    return evaluate(others, {name: read_card(folder).threshold}, [name])[name]
