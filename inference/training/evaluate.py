"""Evaluation and calibration on held-out scenes, by the very pipeline that serves.

A scene folder becomes what a stitcher leaves (two GeoTIFFs, two surfaces), is judged by `detect`, and compared with its
truth. Places, never tiles, are held out, and intervals are drawn by place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from inference.candidates import UNSURE_CAP, Candidate
from inference.detect import Judged, context_of, judge_patrol
from inference.engine import ModelFamily
from inference.errors import InferenceError
from inference.files import write_atomic
from inference.fitting import fit, fit_alone
from inference.request import BaselineFiles, DetectRequest
from inference.sureness import Evidence, probability, threshold_for_recall
from inference.training.pictures import Place
from inference.training.scenes import Thing, held_out, read_card, read_scene, scene_folders
from inference.training.scoring import Case, Found, Measure, TrueThing, candidate_truth, score

Progress = Callable[[int, int, str], None]
FAMILY: dict[ModelFamily, str] = {"change": "construction", "waste": "sanitation"}
# Smaller things count neither way: below what the drone's resolution promises.
LEAST_M2 = {"construction": 6.0, "sanitation": 1.0}
# Fewer candidates than this say too little to fit a dozen weights on.
LEAST_CANDIDATES = 30
# A scene lies in pixels, nowhere on the earth; it is judged as if here.
_CRS, _LEFT, _TOP = "EPSG:32650", 500_000.0, 3_880_000.0


@dataclass(frozen=True)
class JudgedScene:
    """A held-out scene, its candidates and its truth, in metres."""

    folder: Path
    place: str
    judged: Judged
    truth: tuple[TrueThing, ...]
    area_m2: float

    def case(self) -> Case:
        """For scoring."""
        found = tuple(
            Found(c.proposal.polygon, c.family, c.probability, filed=not c.extra.get("permitted", False))
            for c in self.judged.candidates
        )
        return Case(self.place, self.area_m2, found, self.truth)


def place_of(scene: JudgedScene) -> Place:
    """A judged scene to draw: its case, and windows cut out of its pictures."""
    gsd_m = read_card(scene.folder).gsd_m
    read = read_scene(scene.folder, gsd_m, two_days=True)
    images = [image for image in (read.before, read.after) if image is not None]

    def window(west: float, north: float, side: float) -> list[NDArray[np.uint8]]:
        col, row, size = round((west - _LEFT) / gsd_m), round((_TOP - north) / gsd_m), max(1, round(side / gsd_m))
        shift = np.array([[1, 0, -col], [0, 1, -row]], np.float32)
        return [np.asarray(cv2.warpAffine(image, shift, (size, size)), np.uint8) for image in images]

    return Place(scene.case(), window)


def _write(path: Path, values: NDArray, gsd_m: float) -> Path:
    bands = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    profile = {"driver": "GTiff", "count": len(bands), "dtype": bands.dtype, "crs": _CRS, "tiled": True}
    profile |= {"width": bands.shape[2], "height": bands.shape[1]}
    with rasterio.open(path, "w", transform=Affine(gsd_m, 0, _LEFT, 0, -gsd_m, _TOP), **profile) as dataset:
        dataset.write(bands)
    return path


def _height(folder: Path, name: str, out: Path, gsd_m: float, width: int) -> Path | None:
    path = folder / f"height_{name}.tif"
    if not path.is_file():
        return None
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise InferenceError(f"{path} does not decode: write the scene again")
    return _write(out / f"dsm_{name}.tif", values.astype(np.float32), gsd_m * width / values.shape[1])


def scene_request(folder: Path, out: Path, models_dir: Path | None) -> DetectRequest:
    """Writes a scene as a patrol's files into `out` and asks for them to be judged."""
    card = read_card(folder)
    scene = read_scene(folder, card.gsd_m, two_days=True)
    width = scene.after.shape[1]
    mosaic = _write(out / "after.tif", scene.after, card.gsd_m)
    dsm = _height(folder, "after", out, card.gsd_m, width)
    baseline = None
    if scene.before is not None:
        before = _write(out / "before.tif", scene.before, card.gsd_m)
        baseline = BaselineFiles(before, _height(folder, "before", out, card.gsd_m, width))
    return DetectRequest(mosaic=mosaic, dsm=dsm, baseline=baseline, models_dir=models_dir)


def _true_thing(thing: Thing, gsd_m: float, two_days: bool) -> TrueThing | None:
    if thing.family == "none" and thing.label != "heap_spoil" and thing.kind != "ignore":
        return None
    if thing.kind == "gone" or len(thing.polygon) < 3:
        return None
    if thing.family == "construction" and (thing.kind == "existing" or not two_days):
        return None
    xy = np.asarray(thing.polygon) * (gsd_m, -gsd_m) + (_LEFT, _TOP)
    polygon = shapely.make_valid(shapely.Polygon(xy))
    neutral = thing.family == "none"
    family = "sanitation" if neutral else thing.family
    area = thing.area_m2 if thing.area_m2 is not None else polygon.area
    return TrueThing(polygon, family, wanted=thing.kind != "permitted", neutral=neutral, area_m2=area)


def scene_truth(folder: Path, two_days: bool) -> tuple[TrueThing, ...]:
    """What there is to find in a scene, in the metres of `scene_request`; structures only where there are two days."""
    gsd_m = read_card(folder).gsd_m
    truth = [_true_thing(t, gsd_m, two_days) for t in read_scene(folder, gsd_m, two_days=False).things]
    return tuple(t for t in truth if t is not None)


def judge_scene(folder: Path, models_dir: Path | None, unlikely: bool = False) -> JudgedScene:
    """Judges one scene by the serving pipeline.

    Args:
        folder: The scene.
        models_dir: The registry; the packaged models when None.
        unlikely: Keep also what serving drops, unseen by a reviewer: other weights may think more of it.

    Raises:
        InferenceError: A malformed scene.
    """
    card = read_card(folder)
    with tempfile.TemporaryDirectory(prefix="yunxun-scene-") as temporary:
        request = replace(scene_request(folder, Path(temporary), models_dir), every=unlikely)
        with context_of(request) as context:
            judged = judge_patrol(request, context)
            area = context.area_m2
    return JudgedScene(folder, card.place, judged, scene_truth(folder, request.baseline is not None), area)


def judge_held_out(
    data: Sequence[Path],
    models_dir: Path | None,
    progress: Progress | None = None,
    every: bool = False,
    unlikely: bool = False,
) -> list[JudgedScene]:
    """Judges the held-out scenes of data folders (or every scene), `unlikely` candidates too as `judge_scene` does.

    Raises:
        InferenceError: None is held out.
    """
    folders = [f for root in data for f in scene_folders(root)]
    folders = [f for f in folders if every or held_out(read_card(f).place)]
    if not folders:
        raise InferenceError(f"no held-out places in {', '.join(map(str, data))}: expected about one in six")
    out = []
    for done, folder in enumerate(folders):
        if progress:
            progress(done, len(folders), folder.name)
        out.append(judge_scene(folder, models_dir, unlikely))
    return out


def evaluate(
    scenes: Sequence[JudgedScene],
    thresholds: dict[str, float],
    families: Sequence[str] = ("construction", "sanitation"),
) -> dict[str, dict[str, Measure]]:
    """All measures by family, with 95 % intervals by place.

    Args:
        scenes: Judged held-out scenes.
        thresholds: Frozen review threshold by family.
        families: Which to measure.
    """
    cases = [s.case() for s in scenes]
    return {f: score(cases, f, thresholds.get(f, 0.5), LEAST_M2[f]) for f in families}


def labelled(case: Case, evidence: Sequence[Evidence], family: str) -> tuple[list[Evidence], list[bool], int]:
    """Evidence of a place's candidates of a family, which of them are real, and how many true things have none.

    Args:
        case: The place; its `found` of this family are in the order of `evidence`.
        evidence: Of each candidate of the family; what counts neither way is left out.
        family: construction or sanitation.
    """
    truth, missed = candidate_truth(case, family, LEAST_M2[family])
    known = [(e, real) for e, real in zip(evidence, truth, strict=True) if real is not None]
    return [e for e, _ in known], [real for _, real in known], missed


def _labelled(scenes: Sequence[JudgedScene], family: str) -> tuple[list[Evidence], list[bool], int]:
    parts = [
        labelled(scene.case(), [c.evidence for c in scene.judged.candidates if c.family == family], family)
        for scene in scenes
    ]
    return [e for part in parts for e in part[0]], [r for part in parts for r in part[1]], sum(p[2] for p in parts)


def fit_weights(family: ModelFamily, scenes: Sequence[JudgedScene], before: dict[str, float]) -> dict[str, float]:
    """Weights of the probability fitted on scenes.

    Scenes have no frames: what frames' looks are worth stays as it was.

    Args:
        family: Of the model.
        scenes: Judged with this model.
        before: Its weights until now, or those of the model that it was trained from; may be empty.

    Returns:
        The weights; as before where the scenes hold too few candidates to tell.
    """
    evidence, real, _ = _labelled(scenes, FAMILY[family])
    return _fitted(evidence, real, before)


def _fitted(evidence: Sequence[Evidence], real: Sequence[bool], before: dict[str, float]) -> dict[str, float]:
    if len(evidence) < LEAST_CANDIDATES or len(set(real)) < 2:
        return dict(before)
    return fit_alone(evidence, real, before or fit(evidence, real))


def reweighed(scene: JudgedScene, family: str, weights: dict[str, float]) -> JudgedScene:
    """The same scene with a family's probabilities by other weights."""

    def weigh(candidate: Candidate) -> Candidate:
        if candidate.family != family:
            return candidate
        sure = probability(candidate.evidence, weights)
        return replace(candidate, probability=min(sure, UNSURE_CAP) if candidate.unsure else sure)

    judged = replace(scene.judged, candidates=[weigh(c) for c in scene.judged.candidates])
    return replace(scene, judged=judged)


def calibrate(
    family: ModelFamily, scenes: Sequence[JudgedScene], folder: Path, promise: float = 0.9, least: float = 0.5
) -> dict[str, float]:
    """Fits the probability of a model on held-out scenes and freezes its review threshold in the card.

    The threshold is `least`, or lower where a recall of `promise` (lower 95 % bound) needs it and can have it.

    Args:
        family: Of the model.
        scenes: Judged with this model.
        folder: The model folder; its `card.json` is rewritten.
        promise: Recall to promise.
        least: Threshold where the promise leaves a choice.

    Returns:
        The fitted weights; none, and the card as it was, where the scenes hold too few candidates.
    """
    from inference.engine import read_card as read_model

    evidence, real, missed = _labelled(scenes, FAMILY[family])
    card = read_model(folder)
    weights = _fitted(evidence, real, card.calibration)
    if not weights:
        return {}
    scores = [probability(e, weights) for e in evidence]
    promised = threshold_for_recall(scores, real, missed, promise)
    threshold = round(min(least, promised) if promised > 0.2 else least, 3)
    updated = card.model_copy(update={"calibration": weights, "threshold": threshold})
    write_atomic(folder / "card.json", updated.model_dump_json(indent=1).encode())
    return weights
