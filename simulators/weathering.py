"""What lies between a scene and its file: blur, sharpening, haze, tone, noise, resampling and JPEG, each day its own.

Ranges are wider than the sample photographs' own, so that a model meets nothing new in them.
"""

from __future__ import annotations

import cv2
import numpy as np

from simulators.raster import Bytes, Floats

Rng = np.random.Generator


def weathered(rgb: Bytes, rng: Rng) -> Bytes:
    """A picture (rows, cols, 3) as another camera, air and mosaic would have given it."""
    picture: Floats = rgb.astype(np.float32)
    picture = _toned(picture, rng)
    pick = rng.random()
    if pick < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.3)))
    elif pick < 0.55:
        picture = _resampled(picture, float(rng.uniform(0.5, 0.85)))
    elif pick < 0.65:
        picture = _smeared(picture, rng)
    if rng.random() < 0.5:
        soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.8, 2.0)))
        picture += float(rng.uniform(0.2, 0.9)) * (picture - soft)
    picture += _noise(picture.shape[:2], rng)
    out: Bytes = np.clip(picture, 0, 255).astype(np.uint8)
    return out


def quality(rng: Rng) -> int:
    """A JPEG's quality: mostly a drone's own, at times a mosaic's or a messenger's."""
    return int(rng.integers(86, 97) if rng.random() < 0.6 else rng.integers(55, 86))


def _toned(picture: Floats, rng: Rng) -> Floats:
    """Exposure, white balance, gamma, saturation and haze."""
    picture = picture * np.float32(rng.uniform(0.75, 1.2)) * (1 + rng.normal(0, 0.045, 3)).astype(np.float32)
    gamma = float(rng.uniform(0.8, 1.25))
    picture = 255 * np.clip(picture / 255, 0, 1) ** gamma
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * np.float32(rng.uniform(0.55, 1.2))
    if rng.random() < 0.3:
        haze = float(rng.uniform(0.05, 0.25))
        picture = picture * (1 - haze) + np.array((196, 204, 212), np.float32) * haze
    return picture.astype(np.float32)


def _resampled(picture: Floats, scale: float) -> Floats:
    """Taken coarser and enlarged, as mosaics and zooms do."""
    rows, cols = picture.shape[:2]
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (cols, rows), interpolation=cv2.INTER_CUBIC)


def _smeared(picture: Floats, rng: Rng) -> Floats:
    """Motion while the shutter was open, 2 to 5 pixels."""
    size = int(rng.integers(2, 6))
    kernel: Floats = np.zeros((size + 2, size + 2), np.float32)
    middle, turn = (size + 1) / 2, float(rng.uniform(0, np.pi))
    offset = np.array((np.cos(turn), np.sin(turn))) * size / 2
    first, last = (tuple(int(v) for v in np.rint(middle + s * offset)) for s in (-1, 1))
    cv2.line(kernel, first, last, 1.0)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def _noise(shape: tuple[int, int], rng: Rng) -> Floats:
    """A sensor's grain, of brightness and of colour, coarser where the camera smoothed it."""
    # Normal noise for every pixel costs more than the picture: a tile of it is shifted over the picture.
    side = 257
    tile: Floats = rng.standard_normal((side, side, 3), np.float32) * np.float32(rng.uniform(0, 2.5))
    tile += rng.standard_normal((side, side, 1), np.float32) * np.float32(rng.uniform(0, 5))
    if rng.random() < 0.5:
        tile = cv2.GaussianBlur(tile, (0, 0), 0.7)
    repeats = (-(-shape[0] // side), -(-shape[1] // side), 1)
    return np.tile(tile, repeats)[: shape[0], : shape[1]]
