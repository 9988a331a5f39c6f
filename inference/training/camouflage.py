"""Things given the colour of the ground about them: what then tells a roof is its shadow, its edges and its height."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.training.scenes import Thing

Image = NDArray[np.uint8]
# Of the things in a crop that takes part, this share wears the ground's colour.
CAMOUFLAGED = 0.7
# The ground about a thing: between these distances from it, pixels.
_NEAR_PX, _FAR_PX = 3, 15
_LEAST_PX = 12


def camouflaged(image: Image, things: Sequence[Thing], matrix: NDArray[np.float64], rng: np.random.Generator) -> Image:
    """Repaints things in the colour of the ground beside them, keeping their texture and shadow.

    Args:
        image: (n, n, 3), a crop.
        things: In pixels of the scene.
        matrix: (2, 3), scene to crop.
        rng: Which of them, and how far.
    """
    out = image.astype(np.float32)
    for thing in things:
        if rng.random() > CAMOUFLAGED:
            continue
        points = np.asarray(thing.polygon) @ matrix[:, :2].T + matrix[:, 2]
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, shift=4, lineType=cv2.LINE_AA)
        near, far = (cv2.dilate(mask, np.ones((2 * px + 1, 2 * px + 1), np.uint8)) for px in (_NEAR_PX, _FAR_PX))
        inside, about = out[mask > 128], out[(far > 128) & (near == 0)]
        if len(inside) < _LEAST_PX or len(about) < _LEAST_PX:
            continue
        # The lit half of what lies about: its own shadow is not the ground's colour.
        light = about.sum(axis=1)
        there = np.median(about[light >= np.median(light)], axis=0)
        gain = np.clip((there + 6) / (inside.mean(axis=0) + 6), 0.2, 5.0) ** rng.uniform(0.6, 1.05)
        soft = (mask / 255.0)[..., None].astype(np.float32)
        out = out * (1 - soft) + np.clip(out * gain, 0, 255).astype(np.float32) * soft
    return np.clip(out, 0, 255).astype(np.uint8)
