"""Strokes for junk and for what is none: outlines, scattered pieces, shadows, a photograph's softness."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Image = NDArray[np.uint8]
Plane = NDArray[np.float32]


def blob(rng: Rng, centre: NDArray[np.float64], radius: float, rough: float) -> NDArray[np.float64]:
    """A closed outline around a point: a circle with four waves and a stretch."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    reach = 1.0 + sum(rough / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 6.28)) for k in (1, 2, 3, 5))
    reach = np.clip(reach, 0.35, 1.8)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None] * radius
    ring[:, 0] *= rng.uniform(0.55, 1.0)
    turn = rng.uniform(0, np.pi)
    c, s = np.cos(turn), np.sin(turn)
    return np.asarray(ring @ np.array([[c, s], [-s, c]]) + centre)


def filled(outline: NDArray[np.float64], size: int) -> Plane:
    """An outline as a mask of 0..1, (size, size)."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, shift=4, lineType=cv2.LINE_AA)
    return np.asarray(mask / 255.0, np.float32)


def spots_in(rng: Rng, mask: Plane, count: int, packed: float) -> NDArray[np.float64]:
    """Points inside a mask, denser towards its middle as `packed` grows."""
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    weight = np.where(inside > 0, (inside / max(1.0, float(inside.max()))) ** packed, 0.0).ravel()
    if weight.sum() == 0:
        return np.zeros((0, 2))
    at = np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(count))
    size = mask.shape[1]
    return np.stack([at % size, at // size], 1) + rng.random((count, 2))


def shadowed(image: Plane, shape: Plane, sun: NDArray[np.float64], length: float, depth: float) -> Plane:
    """The image under the shadow of a shape, `length` pixels away from the sun."""
    moved = np.array([[1, 0, sun[0] * length], [0, 1, sun[1] * length]], np.float32)
    shade = cv2.warpAffine(shape, moved, shape.shape[::-1])
    shade = np.maximum(0.0, cv2.GaussianBlur(shade, (0, 0), 0.6 + 0.15 * length))
    return np.asarray(image * (1 - depth * shade[..., None]), np.float32)


def strewn(image: Plane, rng: Rng, pieces: Sequence[NDArray[np.int32]], colours: NDArray[np.float64],
            sun: NDArray[np.float64], cloth: Image | None) -> Plane:  # fmt: skip
    """Pieces one on another, each with a shadow on what lies below."""
    size = image.shape[0]
    layers = np.array_split(np.arange(len(pieces)), 3)
    for layer in layers:
        paint = np.zeros((size, size, 3), np.uint8)
        cover = np.zeros((size, size), np.uint8)
        for index in layer:
            tone = colours[int(rng.integers(len(colours)))] * np.exp(rng.normal(0, 0.18)) + rng.normal(0, 8, 3)
            cv2.fillPoly(paint, [pieces[index]], np.clip(tone, 3, 254).tolist(), shift=4, lineType=cv2.LINE_AA)
            cv2.fillPoly(cover, [pieces[index]], 255, shift=4, lineType=cv2.LINE_AA)
        shape = np.asarray(cover / 255.0, np.float32)
        image = shadowed(image, shape, sun, float(rng.uniform(0.8, 2.5)), float(rng.uniform(0.2, 0.6)))
        over: Plane = paint.astype(np.float32)
        if cloth is not None:
            over = np.asarray(
                over * (0.55 + 0.45 * cloth.astype(np.float32) / max(30.0, float(cloth.mean()))), np.float32
            )
        image = np.asarray(image * (1 - shape[..., None]) + over * shape[..., None], np.float32)
    return np.asarray(image, np.float32)


def a_sun(rng: Rng) -> NDArray[np.float64]:
    """Where shadows fall to, a unit vector."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def softened(before: Image, after: Plane, rng: Rng) -> Image:
    """What was drawn, as sharp as a photograph is."""
    soft = cv2.GaussianBlur(np.clip(after, 0, 255), (0, 0), float(rng.uniform(0.45, 0.95)))
    touched = cv2.dilate((np.abs(after - before).max(axis=2) > 2).astype(np.float32), np.ones((3, 3), np.uint8))
    blend = cv2.GaussianBlur(touched, (0, 0), 0.7)[..., None]
    return np.clip(before * (1 - blend) + soft * blend, 0, 255).astype(np.uint8)
