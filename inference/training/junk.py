"""Waste of no particular make, drawn into crops as they are cut, so that the network cannot learn one renderer's heaps.

What tells dumped things from ground, crowns and roofs is disorder: many small pieces of unlike colours, turned anyhow,
with their own small shadows, ending nowhere in particular. Everything else (colours, sizes, density, sun, sharpness)
is drawn far wider than any real heap is. The same strokes make what is *not* waste (`inference.training.tidy`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.training.strokes import Image, Plane, Rng, a_sun, blob, filled, shadowed, softened, spots_in, strewn


@dataclass(frozen=True)
class _Make:
    """One make of waste.

    Attributes:
        share: How often.
        radius_m: Of the place.
        piece_m: Length of a piece: median, spread of its logarithm.
        per_m2: Pieces.
        slender: A piece's width over its length.
        corners: Of a piece, the upper end not drawn.
    """

    share: float
    radius_m: tuple[float, float]
    piece_m: tuple[float, float]
    per_m2: tuple[float, float]
    slender: tuple[float, float] = (0.4, 1.0)
    corners: tuple[int, int] = (4, 7)


_MAKES = {
    "rubble": _Make(0.22, (0.6, 5.0), (0.26, 0.5), (5.0, 16.0)),
    "mixed": _Make(0.24, (0.5, 4.0), (0.3, 0.6), (5.0, 14.0)),
    "litter": _Make(0.14, (1.5, 6.0), (0.2, 0.5), (0.5, 2.2)),
    "timber": _Make(0.1, (0.8, 3.5), (1.1, 0.4), (1.5, 5.0), (0.06, 0.2), (4, 5)),
    "spoil": _Make(0.14, (0.8, 4.5), (0.14, 0.4), (0.0, 2.0)),
    "sacks": _Make(0.08, (0.5, 2.6), (0.6, 0.25), (2.0, 6.0), (0.6, 0.95), (9, 12)),
    "bulky": _Make(0.05, (0.6, 2.5), (1.2, 0.4), (0.8, 2.5), (0.3, 0.9), (4, 5)),
    "cuttings": _Make(0.03, (0.6, 2.5), (0.7, 0.4), (14.0, 30.0), (0.05, 0.15), (4, 5)),
}
KINDS = tuple(_MAKES)
# Where several sorts lie together: what may lie among a make's own pieces, and how often something does.
_AMONG = {"rubble": ("timber", "sacks"), "mixed": ("timber", "sacks", "bulky", "rubble"), "bulky": ("mixed", "sacks"),
          "sacks": ("mixed", "litter"), "timber": ("mixed", "bulky")}  # fmt: skip
_OFTEN_AMONG = 0.45
_MOST_PIECES = 420
_LEAST_CONTRAST = 22.0


@dataclass(frozen=True)
class Junk:
    """What was drawn: its kind and where it lies (0 or 1, the crop's size)."""

    kind: str
    mask: Plane


def _palette(rng: Rng, kind: str, ground: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two to six colours of a place: stone and brick, plastics and cloth, wood, or earth; 0..255."""
    grey = rng.uniform(60, 235)
    if kind == "rubble":
        base = [grey + rng.normal(0, 8, 3), [rng.uniform(120, 205), rng.uniform(65, 115), rng.uniform(50, 95)]]
        base += [ground + rng.normal(0, 25, 3), np.full(3, rng.uniform(150, 245))]
    elif kind == "cuttings":
        dry = rng.uniform(55, 170)
        base = [[dry, dry * rng.uniform(0.8, 1.1), dry * rng.uniform(0.4, 0.8)], [dry * 0.7, dry * 0.65, dry * 0.5]]
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
    make = _MAKES[kind]
    median, spread = make.piece_m
    long = median * np.exp(rng.normal(0, spread, len(spots))) * rng.uniform(0.7, 1.4) / gsd_m
    slender = rng.uniform(*make.slender, len(spots))
    lean = rng.uniform(0, np.pi) + rng.normal(0, rng.choice([0.25, 2.0]), len(spots))
    corners = int(rng.integers(*make.corners))
    uneven = (0.85, 1.1) if kind == "sacks" else (0.6, 1.25)
    out = []
    for spot, a, thin, turn in zip(spots, long, slender, lean, strict=True):
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + np.pi / corners
        ring = np.stack([np.cos(angle), np.sin(angle) * thin], 1)
        if kind not in ("timber", "cuttings", "bulky"):
            ring *= rng.uniform(*uneven, (corners, 1))
        c, s = np.cos(turn), np.sin(turn)
        out.append(np.round((ring * a / 2 @ np.array([[c, s], [-s, c]]) + spot) * 16).astype(np.int32))
    return out


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


def _colours(rng: Rng, kind: str, ground: NDArray[np.float64], light: float) -> NDArray[np.float64]:
    """A palette in the crop's light; a mound of the ground's own colour would teach that any ground may be one."""
    colours = _palette(rng, kind, ground) * light
    for _ in range(4):
        if kind != "spoil" or np.abs(colours[0] - ground).max() > _LEAST_CONTRAST:
            break
        colours = _palette(rng, kind, ground) * light
    return colours


def _body(
    drawn: Plane, place: Plane, kind: str, rng: Rng, sun: NDArray[np.float64], radius_px: float,
    ground: NDArray[np.float64], colour: NDArray[np.float64],
) -> Plane:  # fmt: skip
    """What the pieces lie on: loose earth, or dirtied ground."""
    if kind != "spoil" and (kind not in ("rubble", "mixed", "bulky") or rng.random() >= 0.6):
        return drawn
    if kind == "spoil" or rng.random() < 0.5:
        drawn = shadowed(drawn, place, sun, radius_px * float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.1, 0.5)))
    return _mound(drawn, place, rng, sun, colour if kind == "spoil" else ground * rng.uniform(0.45, 1.05))


def _lying(
    rng: Rng, kind: str, place: Plane, gsd_m: float, ground: NDArray[np.float64], light: float,
    colours: NDArray[np.float64],
) -> list[tuple[list[NDArray[np.int32]], NDArray[np.float64]]]:  # fmt: skip
    """The pieces of a place with their colours: its own sort, and often another among them."""
    area_m2 = float(place.sum()) * gsd_m**2
    sorts = [(kind, 1.0, colours)]
    if kind in _AMONG and rng.random() < _OFTEN_AMONG:
        other = str(rng.choice(_AMONG[kind]))
        sorts.append((other, float(rng.uniform(0.15, 0.6)), _colours(rng, other, ground, light)))
    out = []
    for sort, part, tones in sorts:
        count = int(min(_MOST_PIECES, area_m2 * part * rng.uniform(*_MAKES[sort].per_m2)))
        if kind != "spoil":
            count = max(count, 5 if sort == kind else 1)
        spots = spots_in(rng, place, count, 0.0 if kind == "litter" else float(rng.uniform(0.1, 1.2)))
        out.append((_pieces(rng, sort, spots, gsd_m), tones))
    return out


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
    kind = str(rng.choice(KINDS, p=[make.share for make in _MAKES.values()]))
    low, high = _MAKES[kind].radius_m
    radius = float(np.exp(rng.uniform(np.log(low), np.log(high)))) / gsd_m
    place = filled(blob(rng, rng.uniform(0.1, 0.9, 2) * size, radius, 0.22), size)
    sun, ground = a_sun(rng), image[place > 0.5].mean(axis=0) if (place > 0.5).any() else np.full(3, 120.0)
    light = float(np.clip(image.mean() / 115.0, 0.4, 1.25))
    colours = _colours(rng, kind, ground, light)
    drawn = _body(image.astype(np.float32), place, kind, rng, sun, radius, ground, colours[0])
    worn = cloth if rng.random() < 0.5 else None
    mask = place
    lying = np.zeros((size, size), np.uint8)
    for pieces, tones in _lying(rng, kind, place, gsd_m, ground, light, colours):
        drawn = strewn(drawn, rng, pieces, tones, sun, worn)
        cv2.fillPoly(lying, pieces, 255, shift=4)
    if kind != "spoil" and lying.any():
        # What sticks out belongs to it; what a thin heap leaves bare at its rim does not.
        reach = max(3, int((1.7 if kind == "litter" else 0.7) / gsd_m)) | 1
        round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        mask = np.asarray(cv2.morphologyEx(lying, cv2.MORPH_CLOSE, round_) / 255.0, np.float32)
    return softened(image, drawn, rng), Junk(kind, mask)
