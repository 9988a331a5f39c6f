"""Faces and number plates in photographs from close by: boxes to be blurred. Better one too many than one missed.

Faces: the LBP cascade that scikit-image ships (frontal faces, upright to about 15 degrees), once as the picture is and
once leaning to either side. Plates: what every plate has, whatever its colour and country: a flat, bright-and-dark row
of characters; found by the density of upright edges, and judged by shape and colour. No model has to be fetched. What
they find and what they miss is measured in `benchmarks/privacy.py`.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]
Rect = tuple[int, int, int, int]

# A larger picture is looked at in this size: the cascade takes 0.5 CPU-s for 512 x 512 and grows with the area.
SIDE_PX = 960
# A face that has fewer pixels in what is shown is nobody's.
MIN_FACE_PX = 20
# Degrees, and how many windows must agree. Four: 92 % of 24 LFW faces in real surroundings, 1.8 % of the area blurred
# for nothing; two: 100 % and 32 %; eight: 71 %. Leaning ones agree more, for each lean adds its own false ones.
LEANS = ((0.0, 4), (-22.0, 7), (22.0, 7))
# Plates are 440 x 140 mm and 480 x 140 mm (GA 36); a lorry's rear plate 440 x 220. Perspective narrows them.
MIN_PLATE_PX, MAX_PLATE_SHARE = 36, 0.9
ASPECT = (1.6, 7.0)
GROW = 0.15
# Often only the middle characters make the row; the province and the last one stand beside it.
GROW_PLATE = 0.3


@lru_cache(maxsize=1)
def _cascade() -> Any:
    import skimage
    from skimage.feature import Cascade

    return Cascade(str(Path(skimage.__file__).parent / "data" / "lbpcascade_frontalface_opencv.xml"))


def faces(image: Pixels) -> list[Rect]:
    """Boxes (x0, y0, x1, y1) around faces, grown by a little.

    Args:
        image: RGB, height x width x 3.
    """
    small, share = _reduced(image)
    if min(small.shape[:2]) < MIN_FACE_PX + 4:
        return []
    even = cv2.createCLAHE(2.0, (8, 8)).apply(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    found: list[Rect] = []
    for lean, neighbours in LEANS:
        turned, back = _turned(even, lean)
        for one in _look(turned, neighbours):
            corners = np.array([[one[0], one[1]], [one[2], one[1]], [one[2], one[3]], [one[0], one[3]]], float)
            points = np.column_stack([corners, np.ones(4)]) @ back.T
            found.append(_grown((*points.min(0), *points.max(0)), share, image.shape))
    return _without_inner(found)


def _look(gray: Pixels, neighbours: int) -> list[Rect]:
    rgb = np.repeat(gray[..., None], 3, axis=2)
    limit = min(gray.shape)
    boxes = _cascade().detect_multi_scale(
        img=rgb, scale_factor=1.15, step_ratio=1.0, min_size=(MIN_FACE_PX,) * 2, max_size=(limit, limit),
        min_neighbor_number=neighbours,
    )  # fmt: skip
    return [(b["c"], b["r"], b["c"] + b["width"], b["r"] + b["height"]) for b in boxes]


def _turned(gray: Pixels, degrees: float) -> tuple[Pixels, NDArray[np.float64]]:
    """The picture turned about its middle, nothing cut off, and the way back (2 x 3)."""
    height, width = gray.shape
    if degrees == 0.0:
        return gray, np.eye(2, 3)
    there = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    cos, sin = abs(there[0, 0]), abs(there[0, 1])
    new_w, new_h = int(height * sin + width * cos) + 1, int(height * cos + width * sin) + 1
    there[:, 2] += (new_w - width) / 2, (new_h - height) / 2
    turned = cv2.warpAffine(gray, there, (new_w, new_h), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8), np.asarray(cv2.invertAffineTransform(there), np.float64)


def plates(image: Pixels) -> list[Rect]:
    """Boxes (x0, y0, x1, y1) around number plates and rows of characters like them.

    Args:
        image: RGB, height x width x 3.
    """
    found: list[Rect] = []
    share = min(1.0, 1280 / max(image.shape[:2]))
    # A plate's characters make a row at one size only: the picture is looked at in several.
    while min(image.shape[:2]) * share >= 12 and max(image.shape[:2]) * share >= MIN_PLATE_PX:
        size = (max(round(image.shape[1] * share), 1), max(round(image.shape[0] * share), 1))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        found += [_grown(box, share, image.shape, GROW_PLATE) for box in _rows(small) if looks_like_a_plate(small, box)]
        share *= 0.6
    return _without_inner(found)


@lru_cache(maxsize=1)
def _judge() -> tuple[NDArray[np.float64], float, float]:
    told = json.loads((Path(__file__).parent / "plates.json").read_text("utf-8"))
    return np.array(told["weights"]), float(told["bias"]), float(told["threshold"])


def looks_like_a_plate(image: Pixels, box: tuple[float, float, float, float]) -> bool:
    """Whether a row of characters has a plate's shape and colours: a linear judge (`benchmarks/_train_plates.py`)."""
    weights, bias, threshold = _judge()
    return bool(plate_features(image, box) @ weights + bias >= threshold)


def plate_features(image: Pixels, box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """What the judge sees of a box: how edges run in each of 12 x 4 cells, and how colours are shared out."""
    x0, y0, x1, y1 = (int(value) for value in box)
    dx, dy = (x1 - x0) // 8, (y1 - y0) // 4
    piece = image[max(y0 - dy, 0) : y1 + dy + 1, max(x0 - dx, 0) : x1 + dx + 1]
    piece = cv2.resize(piece, (72, 24), interpolation=cv2.INTER_LINEAR)
    gray = cv2.cvtColor(piece, cv2.COLOR_RGB2GRAY).astype(np.float64)
    gy, gx = np.gradient(gray)
    size, way = np.hypot(gx, gy), ((np.arctan2(gy, gx) % np.pi) / np.pi * 6).astype(int) % 6
    cells = np.stack([np.where(way == k, size, 0.0).reshape(4, 6, 12, 6).sum((1, 3)) for k in range(6)])
    cells = np.sqrt(cells / (cells.sum() + 1.0)).ravel()
    hue, saturation, value = (plane.ravel() for plane in cv2.split(cv2.cvtColor(piece, cv2.COLOR_RGB2HSV)))
    colours = np.histogram(hue[saturation > 70], bins=12, range=(0, 180))[0] / hue.size
    pale = [float((saturation < 45).mean()), float(value.std()) / 64.0, float(value.mean()) / 255.0]
    return np.concatenate([cells, colours, pale])


def _rows(image: Pixels) -> list[tuple[float, float, float, float]]:
    """Rows of characters 36 to 160 pixels long."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    soft = cv2.GaussianBlur(gray, (3, 3), 0)
    upright = np.abs(cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3))
    flat = np.abs(cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3))
    # Strong against its surroundings, so that shade and glare do not matter.
    level = cv2.boxFilter(upright, -1, (61, 61)) * 1.6 + 12.0
    edges = ((upright > level) & (upright > 0.6 * flat)).astype(np.uint8)
    boxes = []
    for reach in (9, 17):
        joined = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((3, reach), np.uint8))
        joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((5, 9), np.uint8))
        contours, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes += [box for contour in contours if (box := _like_a_plate(contour, gray)) is not None]
    return boxes


def _like_a_plate(contour: Any, gray: Pixels) -> tuple[float, float, float, float] | None:
    (_, _), (w, h), _ = cv2.minAreaRect(contour)
    long, short = max(w, h), max(min(w, h), 1.0)
    x, y, box_w, box_h = cv2.boundingRect(contour)
    if not MIN_PLATE_PX * 0.7 <= long <= 200 or not ASPECT[0] <= long / short <= ASPECT[1] or short < 7:
        return None
    if box_w < box_h or cv2.contourArea(contour) < 0.45 * long * short:
        return None
    # Seven characters: the middle row goes from dark to bright and back many times.
    middle = gray[y + box_h // 2, x : x + box_w].astype(np.float32)
    middle = middle - cv2.blur(middle[None, :], (max(box_w // 3, 3), 1))[0]
    crossings = int(np.count_nonzero(np.diff(np.signbit(middle))))
    return (x, y, x + box_w, y + box_h) if crossings >= 6 else None


def _reduced(image: Pixels) -> tuple[Pixels, float]:
    share = min(1.0, SIDE_PX / max(image.shape[:2]))
    if share == 1.0:
        return image, 1.0
    size = (max(round(image.shape[1] * share), 1), max(round(image.shape[0] * share), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), share


def _grown(box: tuple[float, float, float, float], share: float, shape: tuple[int, ...], by: float = GROW) -> Rect:
    dx, dy = by * (box[2] - box[0]), by * (box[3] - box[1])
    x0, y0 = math.floor((box[0] - dx) / share), math.floor((box[1] - dy) / share)
    x1, y1 = math.ceil((box[2] + dx) / share), math.ceil((box[3] + dy) / share)
    return max(x0, 0), max(y0, 0), min(max(x1, 1), shape[1]), min(max(y1, 1), shape[0])


def _without_inner(boxes: list[Rect]) -> list[Rect]:
    """Boxes that lie in none of the others."""
    kept: list[Rect] = []
    for box in sorted(set(boxes), key=lambda b: (b[0] - b[2]) * (b[3] - b[1])):
        if not any(o[0] <= box[0] and o[1] <= box[1] and o[2] >= box[2] and o[3] >= box[3] for o in kept):
            kept.append(box)
    return kept
