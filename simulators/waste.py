"""Dumps as they lie: bags, household waste, bulky things, demolition rubble, cut branches, loads of earth.

`sprites.heap` draws the simpler kinds that towns have by themselves; these are for days that ask for variety.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from simulators.raster import Bytes, Floats
from simulators.sprites import TIMBER_RGB, WASTE_RGB, Sprite, piece_outline, smooth_noise
from simulators.things import RGB

Rng = np.random.Generator

BAG_RGB: tuple[RGB, ...] = (
    (30, 31, 34), (36, 37, 40), (226, 226, 222), (204, 206, 204), (66, 104, 164), (168, 54, 52), (84, 132, 92),
    (196, 188, 160), (214, 178, 84),
)  # fmt: skip
CARD_RGB: tuple[RGB, ...] = ((182, 148, 106), (164, 130, 92), (206, 182, 146), (222, 218, 208), (138, 112, 84))
FILM_RGB: tuple[RGB, ...] = ((216, 218, 218), (190, 200, 206), (70, 120, 176), (46, 48, 50), (150, 176, 140))
CLOTH_RGB: tuple[RGB, ...] = ((70, 62, 84), (128, 50, 56), (58, 78, 112), (170, 160, 150), (190, 120, 90))
BRICK_RGB: tuple[RGB, ...] = ((166, 92, 68), (182, 112, 86), (148, 80, 62), (196, 140, 116), (130, 112, 104))
CHUNK_RGB: tuple[RGB, ...] = ((176, 172, 164), (196, 192, 184), (150, 147, 142), (206, 196, 180), (132, 128, 122))
BULKY_RGB: tuple[RGB, ...] = (
    (214, 206, 190), (142, 96, 66), (96, 70, 56), (226, 224, 218), (90, 96, 108), (160, 60, 52), (176, 164, 140),
)  # fmt: skip
TWIG_RGB: tuple[RGB, ...] = ((108, 92, 72), (132, 114, 88), (92, 100, 60), (120, 124, 72), (84, 72, 60))
STONE_RGB: tuple[RGB, ...] = ((170, 160, 146), (146, 134, 118), (190, 182, 168), (120, 106, 92))
FINES: dict[str, tuple[RGB, ...]] = {
    "household": ((112, 104, 92), (88, 82, 76), (136, 122, 100)),
    "bags": ((104, 98, 86), (124, 112, 92)),
    "bulky": ((118, 110, 92), (100, 96, 82)),
    "demolition": ((170, 154, 138), (150, 140, 130), (176, 138, 116), (140, 128, 112)),
    "earth": ((132, 102, 74), (112, 86, 62), (150, 118, 84), (166, 122, 82), (122, 108, 90), (158, 138, 110),
              (146, 92, 62)),
    "branches": ((112, 104, 72), (98, 90, 66)),
}  # fmt: skip


@dataclass(frozen=True)
class _Piece:
    """One sort of thing in a dump: how many a m², how long (m), how slender, how high of its width, which colours."""

    per_m2: float
    long_m: float
    slender: tuple[float, float]
    tall: float
    colours: tuple[RGB, ...]
    round: bool = False


MIXES: dict[str, tuple[_Piece, ...]] = {
    "household": (
        _Piece(26.0, 0.11, (0.3, 1.0), 0.3, WASTE_RGB),
        _Piece(4.0, 0.35, (0.5, 1.0), 0.1, CARD_RGB),
        _Piece(3.0, 0.55, (0.15, 0.6), 0.08, FILM_RGB + CLOTH_RGB),
        _Piece(2.2, 0.55, (0.6, 0.95), 0.6, BAG_RGB, True),
    ),
    "bags": (
        _Piece(10.0, 0.1, (0.3, 1.0), 0.3, WASTE_RGB),
        _Piece(6.0, 0.62, (0.6, 0.95), 0.65, BAG_RGB, True),
    ),
    "bulky": (
        _Piece(7.0, 0.16, (0.2, 1.0), 0.3, WASTE_RGB),
        _Piece(1.6, 1.5, (0.05, 0.16), 0.6, TIMBER_RGB),
        _Piece(0.8, 1.7, (0.4, 0.8), 0.35, BULKY_RGB),
        _Piece(1.0, 0.6, (0.6, 0.95), 0.6, BAG_RGB, True),
    ),
    "demolition": (
        _Piece(60.0, 0.09, (0.5, 1.0), 0.5, CHUNK_RGB + BRICK_RGB),
        _Piece(16.0, 0.22, (0.4, 0.7), 0.5, BRICK_RGB),
        _Piece(5.0, 0.45, (0.5, 1.0), 0.4, CHUNK_RGB),
        _Piece(0.5, 1.3, (0.03, 0.1), 0.6, TIMBER_RGB),
    ),
    "earth": (_Piece(26.0, 0.12, (0.6, 1.0), 0.5, ()), _Piece(2.5, 0.2, (0.6, 1.0), 0.5, STONE_RGB)),
    "branches": (_Piece(22.0, 0.9, (0.02, 0.07), 0.6, TWIG_RGB), _Piece(30.0, 0.12, (0.4, 0.9), 0.2, TWIG_RGB)),
}
# The family's label of each kind.
LABELS = {
    "household": "waste_heap", "bags": "waste_heap", "bulky": "waste_heap", "branches": "waste_heap",
    "demolition": "construction_waste", "earth": "spoil",
}  # fmt: skip


@lru_cache(maxsize=64)
def dump(kind: str, radius_m: float, height_m: float, stretch: float, seed: int, lobes: tuple[float, ...]) -> Sprite:
    """A dump of one of `MIXES`; arguments as `sprites.heap`."""
    rng = np.random.default_rng([seed, 33])
    res = 0.03 if radius_m < 3 else 0.05
    half = radius_m * max(stretch, 1 / stretch) * 1.5 + 0.3
    size = int(2 * half / res)
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * res - half).astype(np.float32)
    x, y = np.meshgrid(axis, -axis)
    along, across = y / stretch, x * stretch
    outline = np.interp(np.arctan2(across, along), np.linspace(-math.pi, math.pi, len(lobes)), lobes)
    rho = (np.hypot(along, across) / (radius_m * outline)).astype(np.float32)
    lump, clod, fine = (smooth_noise(rng, size, scale / res) for scale in (0.8, 0.16, 0.06))
    rho += (0.12 * lump + 0.07 * clod) * np.clip(rho, 0, 1)
    height = _body(rng, kind, rho, along / radius_m, across / radius_m, height_m, lump)
    height += np.clip(1.1 - rho, 0, 1) * (0.03 * clod + 0.012 * fine)
    image = _fines(rng, kind, size, res, clod, fine)
    fines = float(rng.uniform(0.55, 1.0)) if kind not in ("earth", "demolition") else 1.0
    cover = np.clip((fines - rho + 0.1 * clod) / 0.06, 0, 1).astype(np.float32)
    dirt = float(rng.uniform(0.08, 0.42))
    for piece in MIXES[kind]:
        lying = _strew(rng, piece, image, height, rho, res, dirt, FINES[kind])
        cover = np.maximum(cover, lying)
    return Sprite(np.clip(image, 0, 255).astype(np.uint8), np.maximum(height, 0).astype(np.float32), cover, res)


def _body(rng: Rng, kind: str, rho: Floats, u: Floats, v: Floats, height_m: float, lump: Floats) -> Floats:
    """The heap's shape: one dome, or several loads tipped beside one another."""
    edge = np.clip(1 - rho**2, 0, 1)
    if kind in ("earth", "demolition") or rng.random() < 0.3:
        peaks = int(rng.integers(2, 7)) if kind != "bags" else 2
        top: Floats = np.zeros_like(rho)
        for _ in range(peaks):
            turn, reach = float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0, 0.65))
            wide, tall = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.55, 1.0))
            far = np.hypot(u - reach * math.cos(turn), v - reach * math.sin(turn)) / wide
            np.maximum(top, tall * np.clip(1 - far, 0, 1), out=top)
        body = 0.75 * top * np.minimum(1, 3 * edge) + 0.3 * edge
    else:
        body = edge**0.9
    out: Floats = (height_m * body * (1 + 0.18 * lump)).astype(np.float32)
    return out


def _fines(rng: Rng, kind: str, size: int, res: float, clod: Floats, fine: Floats) -> Floats:
    """What lies between the pieces: two or three soils in patches, with the grain of the ground."""
    colours = FINES[kind]
    chosen = rng.choice(len(colours), min(3, len(colours)), replace=False)
    image: Floats = np.empty((size, size, 3), np.float32)
    image[:] = colours[int(chosen[0])]
    image += rng.normal(0, 10)
    for other in chosen[1:]:
        patch = smooth_noise(rng, size, float(rng.uniform(0.4, 1.6)) / res) + 0.5 * clod
        share = np.clip((patch - float(rng.uniform(0.1, 0.9))) / 0.5, 0, 1)[..., None]
        image += share * (np.array(colours[int(other)], np.float32) - image)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), 0.7)
    strength = float(rng.uniform(8, 20))
    image += (strength * grain + 8 * clod + 8 * fine)[..., None]
    return image


def _strew(
    rng: Rng, what: _Piece, image: Floats, height: Floats, rho: Floats, res: float, dirt: float, fines: tuple[RGB, ...]
) -> Floats:
    """Draws one sort over a heap; clustered, thinner towards the edge and beyond; returns where they lie, 0 or 1."""
    size = image.shape[0]
    mask: Floats = np.zeros((size, size), np.float32)
    colours = np.array(what.colours or fines, np.float32)
    weight = rng.dirichlet(np.full(len(colours), 0.9))
    crowd = smooth_noise(rng, size, 0.9 / res)
    count = int(min(2600, float((rho < 1).sum()) * res * res * what.per_m2 * rng.uniform(0.6, 1.4)))
    spots = np.argwhere(rho < 1.12)
    if not len(spots):
        return mask
    keep = rng.random((count * 2, 2))
    for (row, col), (chance, stray) in zip(spots[rng.integers(0, len(spots), count * 2)], keep, strict=True):
        if chance > 0.5 + 0.3 * crowd[row, col] or (rho[row, col] > 0.92 and stray < 0.7):
            continue
        long_m = what.long_m * float(rng.lognormal(0, 0.4))
        wide_m = long_m * float(rng.uniform(*what.slender))
        corners = (
            _ring(rng, long_m / res, max(1.4, wide_m / res))
            if what.round
            else piece_outline(rng, long_m / res, max(1.4, wide_m / res))
        )
        colour = colours[int(rng.choice(len(colours), p=weight))] + rng.normal(0, 10, 1) + rng.normal(0, 4, 3)
        colour = (colour + dirt * (np.array(fines[0]) - colour)) * float(rng.uniform(0.75, 1.12))
        _lay(image, height, mask, (int(row), int(col)), corners, colour, what.tall * min(wide_m, 0.7), what.round)
    return mask


def _lay(
    image: Floats, height: Floats, mask: Floats, at: tuple[int, int], corners: Floats, colour: Floats, tall: float,
    domed: bool,
) -> None:  # fmt: skip
    """Puts one piece on the heap: a slab of its own tilt, or a dome that shines on top."""
    row, col = at
    reach = int(np.abs(corners).max()) + 2
    top, left = max(0, row - reach), max(0, col - reach)
    part = np.s_[top : row + reach + 1, left : col + reach + 1]
    piece: Bytes = np.zeros(mask[part].shape, np.uint8)
    cv2.fillPoly(piece, [np.rint(corners + np.array([col - left, row - top])).astype(np.int32)], 255)
    hit = piece > 0
    if not hit.any():
        return
    bow: Floats = np.ones(int(hit.sum()), np.float32)
    if domed:
        far = cv2.distanceTransform(piece, cv2.DIST_L2, 3)
        bow = np.sqrt(np.clip(far[hit] / max(1.0, float(far.max())), 0, 1)).astype(np.float32)
    image[part][hit] = colour * (0.72 + 0.32 * bow)[:, None] + image[part][hit] * 0.05
    height[part][hit] = float(height[part][hit].mean()) + tall * bow * 0.8 + 0.02
    mask[part][hit] = 1


def _ring(rng: Rng, long_px: float, wide_px: float) -> Floats:
    """A round, dented piece: a bag, (12, 2) pixels."""
    angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
    radius = 0.5 * (1 + rng.normal(0, 0.1, 12))
    turn = float(rng.uniform(0, math.pi))
    x, y = radius * np.cos(angles) * long_px, radius * np.sin(angles) * wide_px
    return np.stack([x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], axis=1)
