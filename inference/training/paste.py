"""Things cut out of one scene and laid into another: rendered heaps and sheds on real photographs.

Photographs with labelled waste or building change may not be had; photographs without are. A cut-out is turned and
scaled, its brightness is brought towards the ground it now lies on, and it casts a shadow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.training.scenes import Scene, Thing

Rng = np.random.Generator
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Donor:
    """A thing that may be cut out of its scene."""

    scene: Scene
    thing: Thing
    side_px: float


# Without an outline of their own worth cutting along, or of no clear class.
_UNCUT = ("wall", "heap_spoil", "container", "mined")


def donors(scenes: Sequence[Scene], family: str, least_px: float = 5.0, most_px: float = 130.0) -> list[Donor]:
    """What can be cut out: things of a family that are fully inside a simulated scene, on its later day."""
    found = []
    for scene in scenes:
        if scene.card.source == "photograph":
            continue
        height, width = scene.after.shape[:2]
        for thing in scene.things:
            gone = thing.kind == "gone" or (thing.model_extra or {}).get("fate") == "gone"
            if thing.family != family or gone or thing.label in _UNCUT:
                continue
            points = np.asarray(thing.polygon)
            low, high = points.min(axis=0), points.max(axis=0)
            side = float((high - low).max())
            inside = low.min() > 4 and high[0] < width - 4 and high[1] < height - 4
            if inside and least_px <= side <= most_px:
                found.append(Donor(scene, thing, side))
    return found


def _placing(donor: Donor, rng: Rng, size: int) -> NDArray[np.float64]:
    # More often smaller than larger: small things are what is missed.
    angle, scale = rng.uniform(0, 2 * np.pi), float(np.exp(rng.uniform(-0.6, 0.3)))
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[c, -s], [s, c]])
    to = rng.uniform(0.12, 0.88, 2) * size
    return np.column_stack([turn, to - turn @ np.mean(donor.thing.polygon, axis=0)])


def _outline(donor: Donor, matrix: NDArray[np.float64], size: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    points = np.asarray(donor.thing.polygon) @ matrix[:, :2].T + matrix[:, 2]
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, shift=4, lineType=cv2.LINE_AA)
    return points, np.asarray(mask / 255.0, np.float32)


def _matched(
    patch: NDArray[np.float32], ground: NDArray[np.float32], around: NDArray[np.bool_], rng: Rng
) -> NDArray[np.float32]:
    """Brightness and tint of a cut-out brought part of the way to the ground it lies on."""
    here, there = ground[around].mean(axis=0) + 4, patch[around].mean(axis=0) + 4
    gain = np.exp(np.log(here / there) * rng.uniform(0.2, 0.8))
    brightness = gain.mean()
    return np.asarray(patch * (0.6 * brightness + 0.4 * gain), np.float32)


def paste(image: Image, donor: Donor, rng: Rng, shadow_px: float) -> tuple[Image, Thing] | None:
    """Lays one thing into an image.

    Args:
        image: (n, n, 3).
        donor: What.
        rng: Where, how turned, how lit.
        shadow_px: Length of the shadow at most.

    Returns:
        The image with it, and the thing in pixels of the image; None where its ground is unknown.
    """
    size = image.shape[0]
    matrix = _placing(donor, rng, size)
    points, mask = _outline(donor, matrix, size)
    wide = cv2.dilate(mask, np.ones((9, 9), np.uint8))
    ring = (wide > 0) & (mask == 0)
    if ring.sum() < 12 or mask.sum() < 12:
        return None
    flags = cv2.INTER_LINEAR
    patch = cv2.warpAffine(donor.scene.after, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    ground = image.astype(np.float32)
    moved = _matched(patch.astype(np.float32), ground, ring, rng)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.0) * shadow_px
    slide = np.array([[1, 0, np.cos(angle) * length], [0, 1, np.sin(angle) * length]], np.float32)
    soft = float(rng.uniform(0.5, 1.6))
    shade = np.maximum.reduce([_slid(mask, slide, part) for part in (0.25, 0.5, 0.75, 1.0)])
    shade = cv2.GaussianBlur(shade, (0, 0), soft)[..., None] * rng.uniform(0.2, 0.6)
    edge = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.4, 0.9)))[..., None]
    out = ground * (1 - shade) * (1 - edge) + moved * edge
    thing = donor.thing.model_copy(update={"polygon": tuple((float(x), float(y)) for x, y in points)})
    return np.clip(out, 0, 255).astype(np.uint8), thing


def _slid(mask: NDArray[np.float32], slide: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    matrix = slide.copy()
    matrix[:, 2] *= part
    return np.asarray(cv2.warpAffine(mask, matrix, (mask.shape[1], mask.shape[0])), np.float32)
