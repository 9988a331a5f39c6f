"""Scenes to learn from: one place on one or two days with its truth, as a folder.

A scene folder holds `scene.json`, `after.*` and perhaps `before.*` (RGB, one pixel grid), perhaps `height_after.tif`
and `height_before.tif`, and `truth.json` with polygons in pixels of `after`. The simulator writes them, composites on
photographs are the same, and so are crops that reviewers judged.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from inference.errors import InferenceError

Family = Literal["construction", "sanitation", "none"]
# One place in this many is kept out of training to watch it by.
HOLD_OUT_EVERY = 6
# These sets are for testing alone, whatever a folder says.
NEVER = ("toledo", "dump_scenes", "caliterra-test")


class Thing(BaseModel):
    """One thing in a scene; `kind` is new, gone, altered, permitted, existing, distractor or ignore."""

    model_config = ConfigDict(frozen=True, extra="allow")

    family: Family
    kind: str
    label: str = ""
    polygon: tuple[tuple[float, float], ...]
    area_m2: float | None = None
    height_m: float | None = None


class SceneCard(BaseModel):
    """`scene.json`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: Literal[1] = 1
    place: str
    source: str
    gsd_m: float
    licence: str = ""


class Truth(BaseModel):
    """`truth.json`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    units: Literal["px"] = "px"
    things: tuple[Thing, ...] = ()


@dataclass(frozen=True)
class Scene:
    """A scene at the spacing a network wants; polygons in pixels of `after` at that spacing."""

    card: SceneCard
    gsd_m: float
    after: NDArray[np.uint8]
    before: NDArray[np.uint8] | None
    things: tuple[Thing, ...]


def held_out(place: str) -> bool:
    """Whether a place is kept out of training: by a hash of its name, so that it never changes sides."""
    return int(hashlib.sha256(place.encode()).hexdigest(), 16) % HOLD_OUT_EVERY == 0


def scene_folders(data: Path) -> list[Path]:
    """The scene folders below `data`, in order of name.

    Raises:
        InferenceError: None there.
    """
    found = sorted(p.parent for p in data.rglob("scene.json"))
    if not found:
        raise InferenceError(f"no scenes below {data}: expected folders with scene.json, after.jpg and truth.json")
    return found


def _parse(model: type[SceneCard] | type[Truth], path: Path) -> SceneCard | Truth:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError, json.JSONDecodeError) as error:
        raise InferenceError(f"{path} cannot be read as a training scene: {str(error).splitlines()[0]}") from error


def _image(folder: Path, stem: str) -> NDArray[np.uint8] | None:
    for suffix in (".jpg", ".png", ".tif"):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise InferenceError(f"{path} does not decode: write the scene again")
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return None


def read_card(folder: Path) -> SceneCard:
    """Reads `scene.json`.

    Raises:
        InferenceError: Missing, malformed, or a set that must never be trained on.
    """
    card = _parse(SceneCard, folder / "scene.json")
    assert isinstance(card, SceneCard)
    if any(card.place.startswith(name) for name in NEVER):
        raise InferenceError(f"{folder}: {card.place} is for testing only; take it out of the training data")
    return card


def read_scene(folder: Path, gsd_m: float, two_days: bool) -> Scene:
    """Reads a scene at a network's spacing.

    Args:
        folder: The scene.
        gsd_m: Spacing wanted.
        two_days: Read `before` too.

    Raises:
        InferenceError: Malformed.
    """
    card = read_card(folder)
    truth = _parse(Truth, folder / "truth.json")
    assert isinstance(truth, Truth)
    after = _image(folder, "after")
    if after is None:
        raise InferenceError(f"{folder} holds no after.jpg, .png or .tif")
    before = _image(folder, "before") if two_days else None
    scale = card.gsd_m / gsd_m
    if before is not None and before.shape != after.shape:
        raise InferenceError(f"{folder}: before and after differ in size: {before.shape[:2]} and {after.shape[:2]}")
    things = tuple(
        t.model_copy(update={"polygon": tuple((x * scale, y * scale) for x, y in t.polygon)}) for t in truth.things
    )
    return Scene(card, gsd_m, _scaled(after, scale), None if before is None else _scaled(before, scale), things)


def _scaled(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if abs(scale - 1) < 1e-3:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(
        cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )
