"""Waste of no particular make, drawn into crops as they are cut, so that the network cannot learn one renderer's heaps.

What tells dumped things from ground, crowns and roofs is disorder: many small pieces of unlike colours, turned anyhow,
with their own small shadows, ending nowhere in particular. Everything else (colours, sizes, density, sun, sharpness)
is drawn far wider than any real heap is. The same strokes make what is *not* waste: shrubs, gravel over a whole field,
one tidy thing alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Image = NDArray[np.uint8]
Plane = NDArray[np.float32]

KINDS = ("rubble", "mixed", "litter", "timber", "spoil")
# Metres: radius of the place, and length of a piece (median, spread of its logarithm).
_RADIUS_M = {"rubble": (0.7, 5.0), "mixed": (0.6, 4.0), "litter": (1.5, 6.0), "timber": (0.9, 3.5), "spoil": (0.9, 4.5)}
_PIECE_M = {
    "rubble": (0.26, 0.5),
    "mixed": (0.3, 0.6),
    "litter": (0.2, 0.5),
    "timber": (1.1, 0.4),
    "spoil": (0.14, 0.4),
}
# Pieces for each square metre of the place.
_DENSITY = {
    "rubble": (5.0, 16.0),
    "mixed": (5.0, 14.0),
    "litter": (0.5, 2.2),
    "timber": (1.5, 5.0),
    "spoil": (0.0, 2.0),
}
_MOST_PIECES = 420
_LEAST_CONTRAST = 22.0
NOT_WASTE = ("shrubs", "stones", "thing", "shade", "weeds")


@dataclass(frozen=True)
class Junk:
    """What was drawn: its kind and where it lies (0 or 1, the crop's size)."""

    kind: str
    mask: Plane


def _blob(rng: Rng, centre: NDArray[np.float64], radius: float, rough: float) -> NDArray[np.float64]:
    """A closed outline around a point: a circle with four waves and a stretch."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    reach = 1.0 + sum(rough / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 6.28)) for k in (1, 2, 3, 5))
    reach = np.clip(reach, 0.35, 1.8)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None] * radius
    ring[:, 0] *= rng.uniform(0.55, 1.0)
    turn = rng.uniform(0, np.pi)
    c, s = np.cos(turn), np.sin(turn)
    return np.asarray(ring @ np.array([[c, s], [-s, c]]) + centre)


def _filled(outline: NDArray[np.float64], size: int) -> Plane:
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, shift=4, lineType=cv2.LINE_AA)
    return np.asarray(mask / 255.0, np.float32)


def _palette(rng: Rng, kind: str, ground: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two to six colours of a place: stone and brick, plastics and cloth, wood, or earth; 0..255."""
    grey = rng.uniform(60, 235)
    if kind == "rubble":
        base = [grey + rng.normal(0, 8, 3), [rng.uniform(120, 205), rng.uniform(65, 115), rng.uniform(50, 95)]]
        base += [ground + rng.normal(0, 25, 3), np.full(3, rng.uniform(150, 245))]
    elif kind == "timber":
        wood = np.array([rng.uniform(90, 215), 0, 0])
        wood[1], wood[2] = wood[0] * rng.uniform(0.75, 0.95), wood[0] * rng.uniform(0.5, 0.85)
        base = [wood, wood * rng.uniform(0.5, 0.9), np.full(3, grey)]
    elif kind == "spoil":
        red = rng.uniform(70, 200)
        base = [[red, red * rng.uniform(0.55, 0.95), red * rng.uniform(0.35, 0.85)]]
    else:
        white = rng.uniform(170, 252)
        base = [np.full(3, white), np.full(3, rng.uniform(15, 70)), np.full(3, grey)]
        base += [rng.uniform(20, 240, 3) for _ in range(int(rng.integers(1, 5)))]
    table = np.array([np.asarray(b, float) for b in base])
    keep = rng.permutation(len(table))[: max(1, int(rng.integers(1, len(table) + 1)))]
    return np.clip(table[keep], 8, 250)


def _pieces(rng: Rng, kind: str, spots: NDArray[np.float64], gsd_m: float) -> list[NDArray[np.int32]]:
    """Corners of each piece, in sixteenths of a pixel."""
    median, spread = _PIECE_M[kind]
    long = median * np.exp(rng.normal(0, spread, len(spots))) * rng.uniform(0.7, 1.4) / gsd_m
    slender = rng.uniform(0.06, 0.2, len(spots)) if kind == "timber" else rng.uniform(0.4, 1.0, len(spots))
    lean = rng.uniform(0, np.pi) + rng.normal(0, rng.choice([0.25, 2.0]), len(spots))
    corners = 4 if kind == "timber" else int(rng.integers(4, 7))
    out = []
    for spot, a, thin, turn in zip(spots, long, slender, lean, strict=True):
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + np.pi / corners
        ring = np.stack([np.cos(angle), np.sin(angle) * thin], 1)
        if kind != "timber":
            ring *= rng.uniform(0.6, 1.25, (corners, 1))
        c, s = np.cos(turn), np.sin(turn)
        out.append(np.round((ring * a / 2 @ np.array([[c, s], [-s, c]]) + spot) * 16).astype(np.int32))
    return out


def _spots(rng: Rng, mask: Plane, count: int, packed: float) -> NDArray[np.float64]:
    """Points inside a mask, denser towards its middle as `packed` grows."""
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    weight = np.where(inside > 0, (inside / max(1.0, float(inside.max()))) ** packed, 0.0).ravel()
    if weight.sum() == 0:
        return np.zeros((0, 2))
    at = np.searchsorted(np.cumsum(weight) / weight.sum(), rng.random(count))
    size = mask.shape[1]
    return np.stack([at % size, at // size], 1) + rng.random((count, 2))


def _mound(image: Plane, mask: Plane, rng: Rng, sun: NDArray[np.float64], colour: NDArray[np.float64]) -> Plane:
    """Loose earth: a smooth hump lit from one side, with grains."""
    size = image.shape[0]
    soft = float(rng.uniform(0.12, 0.3)) * np.sqrt(float(mask.sum()))
    bumps = cv2.resize(rng.normal(0, 1, (size // 6, size // 6)).astype(np.float32), (size, size))
    height = cv2.GaussianBlur(mask, (0, 0), max(1.0, soft)) + bumps * rng.uniform(0.0, 0.05)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) * sun[0] + cv2.Sobel(height, cv2.CV_32F, 0, 1) * sun[1]
    slope /= max(1e-4, float(np.abs(slope[mask > 0.5]).max(initial=1e-4)))
    grain = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), float(rng.uniform(0.5, 1.5)))
    light = 1.0 - slope * rng.uniform(0.1, 0.5) + grain * rng.uniform(0.02, 0.2)
    edge = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 1.6)))[..., None]
    return np.asarray(image * (1 - edge) + light[..., None] * colour * edge, np.float32)


def _shadowed(image: Plane, shape: Plane, sun: NDArray[np.float64], length: float, depth: float) -> Plane:
    moved = np.array([[1, 0, sun[0] * length], [0, 1, sun[1] * length]], np.float32)
    shade = cv2.warpAffine(shape, moved, shape.shape[::-1])
    shade = np.maximum(0.0, cv2.GaussianBlur(shade, (0, 0), 0.6 + 0.15 * length))
    return np.asarray(image * (1 - depth * shade[..., None]), np.float32)


def _strewn(image: Plane, rng: Rng, pieces: Sequence[NDArray[np.int32]], colours: NDArray[np.float64],
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
        image = _shadowed(image, shape, sun, float(rng.uniform(0.8, 2.5)), float(rng.uniform(0.2, 0.6)))
        over: Plane = paint.astype(np.float32)
        if cloth is not None:
            over = np.asarray(
                over * (0.55 + 0.45 * cloth.astype(np.float32) / max(30.0, float(cloth.mean()))), np.float32
            )
        image = np.asarray(image * (1 - shape[..., None]) + over * shape[..., None], np.float32)
    return np.asarray(image, np.float32)


def _sun(rng: Rng) -> NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _softened(before: Image, after: Plane, rng: Rng) -> Image:
    """What was drawn, as sharp as a photograph is."""
    soft = cv2.GaussianBlur(np.clip(after, 0, 255), (0, 0), float(rng.uniform(0.45, 0.95)))
    touched = cv2.dilate((np.abs(after - before).max(axis=2) > 2).astype(np.float32), np.ones((3, 3), np.uint8))
    blend = cv2.GaussianBlur(touched, (0, 0), 0.7)[..., None]
    return np.clip(before * (1 - blend) + soft * blend, 0, 255).astype(np.uint8)


def dump(image: Image, rng: Rng, gsd_m: float, cloth: Image | None = None) -> tuple[Image, Junk]:
    """Lays one heap, field of litter or mound into a crop.

    Args:
        image: (n, n, 3).
        rng: Draws everything.
        gsd_m: Metres a pixel.
        cloth: A crop of another picture (n, n, 3), whose texture the pieces may wear.

    Returns:
        The image with it, and what it is.
    """
    size = image.shape[0]
    kind = str(rng.choice(KINDS, p=(0.28, 0.28, 0.14, 0.12, 0.18)))
    low, high = _RADIUS_M[kind]
    radius = float(np.exp(rng.uniform(np.log(low), np.log(high)))) / gsd_m
    place = _filled(_blob(rng, rng.uniform(0.1, 0.9, 2) * size, radius, 0.22), size)
    sun, ground = _sun(rng), image[place > 0.5].mean(axis=0) if (place > 0.5).any() else np.full(3, 120.0)
    light = float(np.clip(image.mean() / 115.0, 0.45, 1.25))
    colours = _palette(rng, kind, ground) * light
    for _ in range(4):
        # A mound of the ground's own colour teaches that any ground may be one.
        if kind != "spoil" or np.abs(colours[0] - ground).max() > _LEAST_CONTRAST:
            break
        colours = _palette(rng, kind, ground) * light
    drawn = image.astype(np.float32)
    if kind == "spoil" or (kind in ("rubble", "mixed") and rng.random() < 0.6):
        if kind == "spoil" or rng.random() < 0.5:
            drawn = _shadowed(drawn, place, sun, radius * float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.1, 0.5)))
        base = colours[0] if kind == "spoil" else ground * rng.uniform(0.45, 1.05)
        drawn = _mound(drawn, place, rng, sun, base)
    area_m2 = float(place.sum()) * gsd_m**2
    count = int(min(_MOST_PIECES, area_m2 * rng.uniform(*_DENSITY[kind])))
    if kind != "spoil":
        count = max(count, 5)
    spots = _spots(rng, place, count, 0.0 if kind == "litter" else float(rng.uniform(0.1, 1.2)))
    pieces = _pieces(rng, kind, spots, gsd_m)
    drawn = _strewn(drawn, rng, pieces, colours, sun, cloth if rng.random() < 0.5 else None)
    mask = place
    if pieces and kind != "spoil":
        # What sticks out belongs to it; what a thin heap leaves bare at its rim does not.
        lying = np.zeros((size, size), np.uint8)
        cv2.fillPoly(lying, pieces, 255, shift=4)
        reach = max(3, int((1.7 if kind == "litter" else 0.7) / gsd_m)) | 1
        round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        mask = np.asarray(cv2.morphologyEx(lying, cv2.MORPH_CLOSE, round_) / 255.0, np.float32)
    return _softened(image, drawn, rng), Junk(kind, mask)


def tidy(image: Image, rng: Rng, gsd_m: float, kinds: Sequence[str] = NOT_WASTE) -> Image:
    """Draws what is not waste, however busy: one of `NOT_WASTE`.

    Args:
        image: (n, n, 3).
        rng: Draws everything.
        gsd_m: Metres a pixel.
        kinds: Of which to draw one.
    """
    size, sun = image.shape[0], _sun(rng)
    drawn = image.astype(np.float32)
    kind = str(rng.choice(list(kinds)))
    if kind == "shrubs":
        for _ in range(int(rng.integers(2, 9))):
            crown = _filled(_blob(rng, rng.uniform(0, 1, 2) * size, rng.uniform(0.4, 2.2) / gsd_m, 0.3), size)
            green = rng.uniform(45, 150)
            colour = np.array([green * rng.uniform(0.55, 1.35), green, green * rng.uniform(0.2, 0.6)])
            drawn = _shadowed(drawn, crown, sun, float(rng.uniform(0.3, 1.5)) / gsd_m, float(rng.uniform(0.2, 0.6)))
            drawn = _leafy(drawn, crown, rng, sun, colour)
    elif kind == "stones":
        everywhere = np.ones((size, size), np.float32)
        count = int(size * size * gsd_m**2 * rng.uniform(0.5, 3.0))
        pale = drawn.mean(axis=(0, 1)) * rng.uniform(0.9, 1.5) + rng.normal(0, 4, 3)
        spots = _spots(rng, everywhere, min(count, _MOST_PIECES), 0.0)
        drawn = _strewn(drawn, rng, _pieces(rng, "litter", spots, gsd_m), np.clip(pale, 10, 240)[None], sun, None)
    elif kind == "shade":
        for _ in range(int(rng.integers(1, 4))):
            place = _filled(_blob(rng, rng.uniform(0, 1, 2) * size, rng.uniform(1.0, 7.0) / gsd_m, 0.4), size)
            soft = cv2.GaussianBlur(place, (0, 0), float(rng.uniform(0.6, 5.0)))[..., None]
            drawn = np.asarray(drawn * (1 - soft * rng.uniform(0.45, 0.92)), np.float32)
    elif kind == "weeds":
        place = _filled(_blob(rng, rng.uniform(0, 1, 2) * size, rng.uniform(1.0, 8.0) / gsd_m, 0.5), size)
        dry = rng.uniform(40, 170)
        colour = np.array([dry * rng.uniform(0.7, 1.3), dry, dry * rng.uniform(0.35, 0.8)])
        drawn = _leafy(drawn, place * float(rng.uniform(0.4, 1.0)), rng, sun, colour)
    else:
        middle, length = rng.uniform(0.1, 0.9, 2) * size, rng.uniform(0.8, 6.0) / gsd_m
        box = cv2.boxPoints((middle.tolist(), (length, length * rng.uniform(0.3, 1.0)), rng.uniform(0, 180)))
        shape = _filled(np.asarray(box, float), size)
        drawn = _shadowed(drawn, shape, sun, float(rng.uniform(0, 1.2)) / gsd_m, float(rng.uniform(0.2, 0.6)))
        plain = rng.uniform(20, 240, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(20, 245))
        drawn = np.asarray(drawn * (1 - shape[..., None]) + plain * shape[..., None], np.float32)
    return _softened(image, np.asarray(drawn, np.float32), rng)


def _leafy(image: Plane, crown: Plane, rng: Rng, sun: NDArray[np.float64], colour: NDArray[np.float64]) -> Plane:
    size = image.shape[0]
    grain = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), float(rng.uniform(0.8, 2.2)))
    fine = np.asarray(grain / max(1e-3, float(np.std(grain))), np.float32)
    side = cv2.GaussianBlur(crown, (0, 0), 4.0)
    slope = cv2.Sobel(side, cv2.CV_32F, 1, 0) * sun[0] + cv2.Sobel(side, cv2.CV_32F, 0, 1) * sun[1]
    light = np.clip(1.0 + fine * rng.uniform(0.15, 0.4) - slope * 1.5, 0.25, 2.0)
    edge = cv2.GaussianBlur(crown * (fine > -1.2), (0, 0), 0.7)[..., None]
    return np.asarray(image * (1 - edge) + light[..., None] * colour * edge, np.float32)
