"""Hard negatives: where the last model was wrong on training places, the next one looks more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import shapely
from rasterio.transform import Affine

from inference import change, waste
from inference.engine import Model
from inference.proposals import Field, find
from inference.training.samples import MINED
from inference.training.scenes import Scene, Thing

# The most that one scene may add, worst first: a single car park must not become the whole lesson.
_MOST_A_SCENE = 25
_WINDOW_PX = 512
_LOW, _HIGH = 0.25, 0.4
# Windows looked over in each scene: enough for the common mistakes, at a tenth of the cost of all.
_WINDOWS_A_SCENE = 5
# Photographs are few, and real: all of each.
_WINDOWS_A_PHOTOGRAPH = 30


def _window(image: np.ndarray, row: int, col: int) -> tuple[np.ndarray, np.ndarray]:
    cut = image[row : row + _WINDOW_PX, col : col + _WINDOW_PX]
    out = np.zeros((_WINDOW_PX, _WINDOW_PX, 3), np.uint8)
    out[: cut.shape[0], : cut.shape[1]] = cut
    valid = np.zeros((_WINDOW_PX, _WINDOW_PX), bool)
    valid[: cut.shape[0], : cut.shape[1]] = True
    return out, valid


def _fields(model: Model, scene: Scene) -> list[tuple[Field, Affine]]:
    height, width = scene.after.shape[:2]
    before = scene.before if scene.before is not None else scene.after
    corners = [(row, col) for row in range(0, height, _WINDOW_PX) for col in range(0, width, _WINDOW_PX)]
    rng = np.random.default_rng(len(scene.things))
    out = []
    most = _WINDOWS_A_PHOTOGRAPH if scene.card.source == "photograph" else _WINDOWS_A_SCENE
    for index in rng.permutation(len(corners))[:most]:
        row, col = corners[int(index)]
        now, valid = _window(scene.after, row, col)
        at = Affine.translation(col, row) @ Affine.scale(2)
        if model.card.family == "waste":
            out.append((waste.probabilities(model, now, valid).shape, at))
            continue
        then, _ = _window(before, row, col)
        new, gone, _, _ = change.probabilities(model, then, now, valid)
        out.append((np.maximum(new, gone), at))
    return out


def mined(model: Model, scene: Scene) -> Scene:
    """A scene with the model's false finds added as distractors, worst first.

    Args:
        model: Of the family that will be trained on.
        scene: At that family's spacing.
    """
    family = "sanitation" if model.card.family == "waste" else "construction"
    real = [t for t in scene.things if (t.family == family and t.kind not in ("existing",)) or t.kind == "ignore"]
    if family == "sanitation":
        real = [t for t in scene.things if t.family == family or t.kind == "ignore" or t.label == "heap_spoil"]
    shapes = [shapely.make_valid(shapely.Polygon(t.polygon)).buffer(4) for t in real if len(t.polygon) >= 3]
    found = []
    for field, at in _fields(model, scene):
        found += find(field, at, _LOW, _HIGH, {})
    false = [p for p in found if not any(p.polygon.intersects(s) for s in shapes)]
    false.sort(key=lambda p: -p.mean * np.sqrt(p.area_m2))
    things = tuple(
        Thing(family="none", kind="distractor", label=MINED, polygon=tuple(p.polygon.convex_hull.exterior.coords[:-1]))
        for p in false[:_MOST_A_SCENE]
        if p.polygon.convex_hull.geom_type == "Polygon"
    )
    return replace(scene, things=(*scene.things, *things))


def mine(model: Model, scenes: Sequence[Scene]) -> list[Scene]:
    """All scenes with their hard negatives."""
    cv2.setNumThreads(1)
    return [mined(model, scene) for scene in scenes]


def proposed(model: Model, scene: Scene, windows: int) -> list[shapely.Polygon]:
    """Outlines of what a change model calls new in a scene, faint ones too, in pixels: what it will be asked about.

    Args:
        model: Of change.
        scene: Two days at its spacing.
        windows: Looked over at most.
    """
    assert scene.before is not None
    height, width = scene.after.shape[:2]
    corners = [(row, col) for row in range(0, height, _WINDOW_PX) for col in range(0, width, _WINDOW_PX)]
    found = []
    for index in np.random.default_rng(len(scene.things)).permutation(len(corners))[:windows]:
        row, col = corners[int(index)]
        now, valid = _window(scene.after, row, col)
        then, _ = _window(scene.before, row, col)
        new = change.probabilities(model, then, now, valid & (now.max(axis=2) > 0) & (then.max(axis=2) > 0))[0]
        at = Affine.translation(col, row) @ Affine.scale(2)
        for low, high, tight in (
            (change.LOW, change.HIGH, change.TIGHT),
            (change.FAINT_LOW, change.FAINT_HIGH, change.FAINT_TIGHT),
        ):
            found += [p.polygon for p in find(new, at, low, high, {}, tight=tight)]
    return [p for p in found if p.geom_type == "Polygon"]
