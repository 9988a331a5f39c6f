"""Small things as patches of colour and height, drawn once by seed: crowns, cars, heaps of waste, litter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from simulators.raster import Bytes, Floats

Rng = np.random.Generator


@dataclass(frozen=True)
class Sprite:
    """A patch centred on its thing, y up the rows: colour (n, n, 3), height in m (n, n), cover 0..1 (n, n)."""

    rgb: Bytes
    height: Floats
    cover: Floats
    res_m: float


CROWNS = 18
CROWN_PX = 224


def smooth_noise(rng: Rng, size: int, scale_px: float) -> Floats:
    """A square of noise, about normal, with features of `scale_px`."""
    count = max(3, int(size / scale_px) + 3)
    small = rng.normal(0, 1, (count, count)).astype(np.float32)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def _index(value: float) -> int:
    """Pixel of a crown's coordinate."""
    return int(min(CROWN_PX - 1, max(0, (value + 1.15) / 2.3 * CROWN_PX)))


@lru_cache(maxsize=256)
def crown(species: str, index: int) -> tuple[Floats, Floats, Floats]:
    """A crown of radius 1: (height 0..1, brightness about 0, cover 0..1), each (CROWN_PX, CROWN_PX)."""
    rng = np.random.default_rng([index, len(species), 4711])
    size = CROWN_PX
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2.3 - 1.15
    x, y = np.meshgrid(axis, axis)
    height: Floats = np.full((size, size), -1.0, np.float32)
    tone: Floats = np.zeros((size, size), np.float32)
    count = {"broad": 85, "conifer": 70, "bush": 30}.get(species, 60)
    for _ in range(count):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 1)) * 0.86
        lump = rng.uniform(0.1, 0.24) * (1.15 - 0.35 * reach)
        if species == "conifer":
            lump *= 0.8
            top = 1.0 - reach * 0.95
        else:
            top = math.sqrt(max(0.0, 1 - reach**2)) * 0.75 + rng.uniform(-0.12, 0.12)
        cx, cy = reach * math.cos(angle), reach * math.sin(angle)
        near = np.s_[_index(cy - lump) : _index(cy + lump) + 1, _index(cx - lump) : _index(cx + lump) + 1]
        far = (x[near] - cx) ** 2 + (y[near] - cy) ** 2
        ball = np.where(far < lump * lump, top + np.sqrt(np.maximum(lump * lump - far, 0)) * 0.9, -1.0)
        shade = rng.normal(0, 0.09)
        tone[near] = np.where(ball > height[near], shade, tone[near])
        height[near] = np.maximum(height[near], ball)
    leaf = smooth_noise(rng, size, 5) * 0.5 + smooth_noise(rng, size, 2.2) * 0.7
    cover = (height > 0).astype(np.float32)
    edge = cv2.GaussianBlur(cover, (0, 0), 5.0) + 0.13 * leaf
    cover = np.clip((edge - 0.38) / 0.1, 0, 1).astype(np.float32)
    height = cv2.GaussianBlur(np.maximum(height, 0.05), (0, 0), 1.3) + 0.035 * leaf
    deep = height - cv2.GaussianBlur(height, (0, 0), 9.0)
    tone = cv2.GaussianBlur(tone, (0, 0), 2.0) + 0.9 * np.clip(deep, -0.25, 0.2) + 0.085 * leaf
    return np.clip(height, 0.02, 1.15), tone.astype(np.float32), cover


WASTE_RGB = (
    (226, 224, 218), (238, 238, 234), (206, 200, 190), (36, 36, 40), (28, 30, 34), (52, 84, 150), (64, 122, 180),
    (176, 52, 46), (200, 92, 60), (220, 180, 70), (72, 130, 84), (178, 140, 96), (150, 116, 80), (128, 106, 84),
    (188, 170, 146), (110, 104, 100), (146, 90, 70),
)  # fmt: skip
RUBBLE_RGB = ((212, 200, 190), (228, 222, 214), (196, 176, 164), (168, 120, 98), (150, 140, 132), (206, 202, 194))
TIMBER_RGB = ((176, 146, 108), (150, 122, 90), (198, 172, 132), (120, 98, 76), (164, 158, 148), (96, 84, 72))
EARTH_RGB = {
    "spoil": (138, 108, 80), "sand": (198, 176, 136), "gravel": (156, 152, 146), "rubble": (156, 144, 130),
    "garbage": (122, 112, 98), "timber": (122, 108, 90), "litter": (120, 112, 94),
}  # fmt: skip


@dataclass(frozen=True)
class Pieces:
    """What a heap's pieces are like: how many a m², how long (m), how slender, which colours, how mixed."""

    per_m2: float
    long_m: float
    slender: tuple[float, float]
    colours: tuple[tuple[int, int, int], ...]
    variety: int


PIECES = {
    "garbage": Pieces(16.0, 0.40, (0.35, 1.0), WASTE_RGB, 8),
    "rubble": Pieces(24.0, 0.26, (0.55, 1.0), RUBBLE_RGB, 3),
    "timber": Pieces(9.0, 1.5, (0.05, 0.14), TIMBER_RGB, 4),
    "litter": Pieces(1.7, 0.26, (0.4, 1.0), WASTE_RGB, 9),
    "gravel": Pieces(34.0, 0.09, (0.6, 1.0), ((168, 164, 158), (144, 140, 134), (186, 182, 174)), 3),
}


@lru_cache(maxsize=256)
def heap(kind: str, radius_m: float, height_m: float, stretch: float, seed: int, lobes: tuple[float, ...]) -> Sprite:
    """A heap of `EARTH_RGB`'s kinds; litter is scattered flat. `lobes` is its radius by angle, -180 to 180 degrees."""
    rng = np.random.default_rng([seed, 31])
    res = 0.03 if radius_m < 4 else 0.05
    half = radius_m * max(stretch, 1 / stretch) * 1.5 + 0.3
    size = int(2 * half / res)
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * res - half).astype(np.float32)
    x, y = np.meshgrid(axis, -axis)
    along, across = y / stretch, x * stretch
    angle = np.arctan2(across, along)
    outline = np.interp(angle, np.linspace(-math.pi, math.pi, len(lobes)), lobes).astype(np.float32)
    lump, clod = smooth_noise(rng, size, 0.7 / res), smooth_noise(rng, size, 0.14 / res)
    fine = smooth_noise(rng, size, 0.05 / res)
    rho = np.hypot(along, across) / (radius_m * outline)
    rho = rho + (0.09 * lump + 0.04 * clod) * np.clip(rho, 0, 1)
    body = height_m * np.clip(1 - rho**1.7, 0, 1) ** 0.85 * (1 + 0.16 * lump)
    # Clods are of one size whatever the heap's: some centimetres.
    body += np.clip(1.1 - rho, 0, 1) * (0.025 * clod + 0.008 * fine)
    cover = np.clip((1.0 - rho) / 0.06, 0, 1).astype(np.float32)
    tone = 5 * fine + 6 * clod + 7 * lump
    hue = np.array(EARTH_RGB[kind], np.float32) + np.float32(rng.normal(0, 9)) + rng.normal(0, 3, 3).astype(np.float32)
    image: Floats = hue + tone[..., None]
    height: Floats = np.maximum(body, 0).astype(np.float32)
    if kind in PIECES:
        lying = _strewn(rng, PIECES[kind], image, height, rho, res)
        if kind == "litter":
            cover, height = lying, lying * 0.06 + 0 * height
        else:
            base = cover * (rho < float(rng.uniform(0.55, 0.95)))
            cover = np.maximum(base if kind != "gravel" else cover, lying)
    return Sprite(np.clip(image, 0, 255).astype(np.uint8), height.astype(np.float32), cover.astype(np.float32), res)


def _strewn(rng: Rng, what: Pieces, image: Floats, height: Floats, rho: Floats, res: float) -> Floats:
    """Draws pieces over a heap, thinner towards and beyond its edge; returns where they lie, 0 or 1."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.float32)
    count = int(min(3000, float((rho < 1).sum()) * res * res * what.per_m2 * rng.uniform(0.8, 1.3)))
    chosen = rng.choice(len(what.colours), min(what.variety, len(what.colours)), replace=False)
    share = rng.dirichlet(np.full(len(chosen), 1.3))
    dirt = float(rng.uniform(0.1, 0.4))
    scale = what.long_m * float(rng.uniform(0.7, 1.4))
    spots = np.argwhere(rho < 1.12)
    for row, col in spots[rng.integers(0, len(spots), int(count * 1.25))]:
        if rho[row, col] > 1.0 - abs(rng.normal(0, 0.16)):
            if rng.random() < 0.7:
                continue
        elif rho[row, col] > 1.0:
            continue
        long_m = scale * float(rng.lognormal(0, 0.4))
        wide_m = long_m * float(rng.uniform(*what.slender))
        outline = piece_outline(rng, long_m / res, max(1.6, wide_m / res))
        reach = int(np.abs(outline).max()) + 2
        top, left = max(0, row - reach), max(0, col - reach)
        part = np.s_[top : row + reach + 1, left : col + reach + 1]
        piece: Bytes = np.zeros(mask[part].shape, np.uint8)
        cv2.fillPoly(piece, [np.rint(outline + np.array([col - left, row - top])).astype(np.int32)], 255)
        hit = piece > 0
        if not hit.any():
            continue
        colour = np.array(what.colours[chosen[rng.choice(len(chosen), p=share)]], np.float32) + rng.normal(0, 12)
        colour += dirt * (118 - colour)
        image[part][hit] = colour * float(rng.uniform(0.72, 1.1)) + image[part][hit] * 0.06
        height[part][hit] = float(height[part][hit].mean()) + float(rng.uniform(0.02, 0.5 * wide_m + 0.04))
        mask[part][hit] = 1
    return mask


def piece_outline(rng: Rng, long_px: float, wide_px: float) -> Floats:
    """A turned convex piece around (0, 0): a box, a stone or a bag, (n, 2) pixels."""
    turn = rng.uniform(0, math.pi)
    corners = int(rng.choice([4, 4, 5, 6, 9]))
    if corners == 4:
        angles = np.array([0.78, 2.36, 3.93, 5.5]) + rng.normal(0, 0.12, 4)
        radius = np.full(4, 0.7)
    else:
        angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
        radius = rng.uniform(0.4, 0.55, corners)
    x, y = radius * np.cos(angles) * long_px, radius * np.sin(angles) * wide_px
    return np.stack([x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], axis=1)
