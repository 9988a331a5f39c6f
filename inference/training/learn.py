"""Learning from reviews: verdicts become scenes, a new model is trained, and it serves only if it is no worse."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import shapely
from pyproj import Transformer
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from inference.engine import ModelFamily, read_card
from inference.errors import InferenceError
from inference.files import write_atomic
from inference.registry import install, promote, serving_folder
from inference.sites import Family
from inference.training.evaluate import FAMILY, JudgedScene, fit_weights, judge_held_out, reweighed
from inference.training.scenes import SceneCard, Thing, Truth
from inference.training.train import GSD_M, TrainSettings, train
from inference.training.trial import Measures, calibrating, measured, trial_registry
from inference.windows import Grid, Tile, grid_of, on_grid, open_raster, read_rgb

Progress = Callable[[int, int, str], None]
# Ground cut out around a verdict: a training crop at its smallest scale still fits in.
CROP_M = 48.0
# Of a measure that a new model must not lower; less than this is within the frozen set's own noise.
TOLERANCE = 0.005
GUARDED = ("recall", "precision", "ap50")
# Fewer real things than this in the frozen set, and "no worse" says nothing: 0.000 is no worse than 0.000.
LEAST_JUDGED = 5


@dataclass(frozen=True)
class Verdict:
    """What a reviewer said of one candidate.

    Attributes:
        candidate_id: Of the candidate; names the scene.
        family: construction or sanitation.
        label: Its finer kind, as corrected by the reviewer.
        accepted: Real, or a false alarm.
        geometry: GeoJSON polygon, WGS84.
        mosaic: Of the patrol it was found in.
        baseline: The earlier day's mosaic, where there was one.
    """

    candidate_id: str
    family: Family
    label: str
    accepted: bool
    geometry: dict[str, Any]
    mosaic: Path
    baseline: Path | None = None


@dataclass(frozen=True)
class LearnReport:
    """What came of a round of learning, for one family.

    `promoted` False leaves the old model serving; `before` and `after` are measures on the frozen set.
    """

    family: ModelFamily
    model: str
    verdicts: int
    promoted: bool
    why: str
    before: Measures
    after: Measures


def _crop(path: Path, grid: Grid, tile: Tile) -> Any:
    with open_raster(path) as dataset, on_grid(dataset, grid) as view:
        return read_rgb(view, tile)


def write_verdict(verdict: Verdict, family: ModelFamily, out: Path) -> Path:
    """Cuts the ground around a verdict out of its mosaics as a training scene.

    A rejected candidate becomes a distractor: the network is shown it as what it is not.

    Raises:
        InferenceError: The mosaic is gone or unreadable.
    """
    gsd_m = GSD_M[family]
    with open_raster(verdict.mosaic) as dataset:
        grid = grid_of(dataset, gsd_m)
    to_metres = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    polygon: BaseGeometry = shapely.transform(shape(verdict.geometry), to_metres.transform, interleaved=False)
    side = int(CROP_M / gsd_m)
    col = int((polygon.centroid.x - grid.left) / gsd_m) - side // 2
    row = int((grid.top - polygon.centroid.y) / gsd_m) - side // 2
    tile = Tile(col, row, side, 0)
    folder = out / f"verdict-{hashlib.sha256(verdict.candidate_id.encode()).hexdigest()[:16]}-{family}"
    images = {"after": _crop(verdict.mosaic, grid, tile)[0]}
    if family == "change" and verdict.baseline is not None:
        images["before"] = _crop(verdict.baseline, grid, tile)[0]
    for stem, image in images.items():
        data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 94])[1]
        write_atomic(folder / f"{stem}.jpg", data.tobytes())
    corners = shapely.get_coordinates(polygon.convex_hull)
    pixels = tuple((float((x - grid.left) / gsd_m - col), float((grid.top - y) / gsd_m - row)) for x, y in corners[:-1])
    kind = "new" if verdict.accepted else "distractor"
    thing = Thing(family=verdict.family if verdict.accepted else "none", kind=kind, label=verdict.label, polygon=pixels)
    card = SceneCard(place=f"review-{verdict.candidate_id}", source="review", gsd_m=gsd_m)
    write_atomic(folder / "truth.json", Truth(things=(thing,)).model_dump_json().encode())
    write_atomic(folder / "scene.json", card.model_dump_json(indent=1).encode())
    return folder


def no_worse(before: Measures, after: Measures) -> tuple[bool, str]:
    """Whether a new model may serve, and why or why not, in words.

    Args:
        before: What serves now, by family and measure, on the frozen set.
        after: The same with the new model in its place.
    """
    told, worse = [], []
    for family, values in before.items():
        for name in GUARDED:
            line = f"{family} {name} {values[name].value:.3f} -> {after[family][name].value:.3f}"
            told.append(line)
            if after[family][name].value < values[name].value - TOLERANCE:
                worse.append(line)
    if worse:
        return False, "worse on the frozen set: " + ", ".join(worse)
    return True, "no worse on the frozen set: " + ", ".join(told)


def need_truth(before: Measures, family: ModelFamily) -> None:
    """Refuses a frozen set that cannot tell a worse model of a family from a better one.

    Raises:
        InferenceError: It holds next to no real things of the family.
    """
    real = before[FAMILY[family]]["wanted"].value
    if real < LEAST_JUDGED:
        raise InferenceError(
            f"the frozen set holds {real:.0f} real things of {FAMILY[family]}, expected at least {LEAST_JUDGED}: give "
            "more scenes with --data; about one place in twelve is held out and judges"
        )


def _recalibrated(family: ModelFamily, scenes: Sequence[JudgedScene], folder: Path, old: Path) -> list[JudgedScene]:
    """Fits the new model's probability on the calibrating places, keeps the review threshold, weighs all anew."""
    card, before = read_card(folder), read_card(old)
    weights = fit_weights(family, [s for s in scenes if calibrating(s.place)], before.calibration)
    card = card.model_copy(update={"calibration": weights, "threshold": before.threshold})
    write_atomic(folder / "card.json", card.model_dump_json(indent=1).encode())
    return [reweighed(s, FAMILY[family], weights) for s in scenes]


def learn(
    family: ModelFamily,
    verdicts: Sequence[Verdict],
    data: Sequence[Path],
    models_dir: Path,
    work: Path,
    settings: TrainSettings | None = None,
    progress: Progress | None = None,
) -> LearnReport:
    """Retrains a family with reviewers' verdicts and promotes the result where it is no worse on every family.

    Args:
        family: change or waste.
        verdicts: Of that family's candidates; others are left out.
        data: Scenes to train on beside them; their held-out places are the frozen set and its calibration.
        models_dir: The registry.
        work: Scenes and checkpoints of this round.
        settings: Steps and rates; 300 steps (about 10 minutes on two cores) when None.
        progress: Called by step.

    Returns:
        What came of it. The new model is kept in the registry either way.

    Raises:
        InferenceError: No verdict of this family, or a frozen set too small to judge by.
    """
    mine = [v for v in verdicts if v.family == FAMILY[family]]
    if not mine:
        raise InferenceError(f"no verdicts for {family}: review some {FAMILY[family]} candidates first")
    before = measured(judge_held_out(data, models_dir, progress, unlikely=True), models_dir)
    need_truth(before, family)
    for verdict in mine:
        write_verdict(verdict, family, work / "scenes")
    old = serving_folder(family, models_dir)
    chosen = replace(settings or TrainSettings(steps=300, rate=8e-4, mine=False), start=old)
    new = work / f"{family}-model"
    train(family, [*data, work / "scenes"], new, chosen, resume=True, progress=progress)
    trial = trial_registry(family, new, models_dir, work / "trial")
    folder = serving_folder(family, trial)
    scenes = _recalibrated(family, judge_held_out(data, trial, progress, unlikely=True), folder, old)
    after = measured(scenes, trial)
    good, why = no_worse(before, after)
    name = install(folder, models_dir)
    if good:
        promote(family, name, models_dir, f"{len(mine)} reviews; {why}")
    return LearnReport(family, name, len(mine), good, why, before, after)
