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


def _smooth(rng: Rng, size: int, scale_px: float) -> Floats:
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
    leaf = _smooth(rng, size, 5) * 0.5 + _smooth(rng, size, 2.2) * 0.7
    cover = (height > 0).astype(np.float32)
    edge = cv2.GaussianBlur(cover, (0, 0), 5.0) + 0.13 * leaf
    cover = np.clip((edge - 0.38) / 0.1, 0, 1).astype(np.float32)
    height = cv2.GaussianBlur(np.maximum(height, 0.05), (0, 0), 1.3) + 0.035 * leaf
    deep = height - cv2.GaussianBlur(height, (0, 0), 9.0)
    tone = cv2.GaussianBlur(tone, (0, 0), 2.0) + 0.9 * np.clip(deep, -0.25, 0.2) + 0.085 * leaf
    return np.clip(height, 0.02, 1.15), tone.astype(np.float32), cover


@lru_cache(maxsize=512)
def car(kind: str, rgb: tuple[float, float, float], seed: int) -> Sprite:
    """A vehicle, length along the rows."""
    rng = np.random.default_rng([seed, 9])
    length, width, tall = {"car": (4.5, 1.8, 1.45), "van": (5.2, 2.0, 2.1), "truck": (8.5, 2.4, 3.1)}[kind]
    res = 0.03
    rows, cols = int((length + 0.6) / res), int((width + 0.6) / res)
    image = np.zeros((rows, cols, 3), np.float32)
    cover: Floats = np.zeros((rows, cols), np.float32)
    height: Floats = np.zeros((rows, cols), np.float32)

    def block(a0: float, a1: float, b: float, z: float, colour: tuple[float, float, float], round_m: float) -> None:
        mask: Bytes = np.zeros((rows, cols), np.uint8)
        r0, r1 = int((0.3 + a0 * length) / res), int((0.3 + a1 * length) / res)
        c0, c1 = int(cols / 2 - b * width / 2 / res), int(cols / 2 + b * width / 2 / res)
        pad = max(1, int(round_m / res))
        cv2.rectangle(mask, (c0 + pad, r0 + pad), (c1 - pad, r1 - pad), 255, -1)
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pad + 1, 2 * pad + 1)))
        image[mask > 0], height[mask > 0], cover[mask > 0] = colour, z, 1.0

    glass = (34.0, 40.0, 48.0)
    if kind == "truck":
        cargo = tuple(float(v) for v in rng.choice([[176, 60, 48], [60, 90, 150], [150, 150, 148], [110, 120, 96]]))
        block(0.0, 0.25, 0.95, 2.5, rgb, 0.15)
        block(0.02, 0.07, 0.8, 2.0, glass, 0.05)
        block(0.28, 1.0, 1.0, tall, (cargo[0], cargo[1], cargo[2]), 0.06)
        if rng.random() < 0.6:
            block(0.3, 0.985, 0.92, 1.6, (96, 84, 70), 0.06)
    else:
        block(0.0, 1.0, 1.0, 0.85, rgb, 0.35)
        block(0.2 if kind == "car" else 0.1, 0.96, 0.9, 1.1, glass, 0.25)
        roof = tuple(min(250.0, c * 1.04 + 6) for c in rgb)
        block(
            0.36 if kind == "car" else 0.2,
            0.84 if kind == "car" else 0.95,
            0.82,
            tall,
            (roof[0], roof[1], roof[2]),
            0.22,
        )
        height = cv2.GaussianBlur(height, (0, 0), 3.0)
    return Sprite(np.clip(image, 0, 255).astype(np.uint8), height.astype(np.float32), cover, res)


WASTE_RGB = (
    (226, 224, 218), (238, 238, 234), (206, 200, 190), (36, 36, 40), (28, 30, 34), (52, 84, 150), (64, 122, 180),
    (176, 52, 46), (200, 92, 60), (220, 180, 70), (72, 130, 84), (178, 140, 96), (150, 116, 80), (128, 106, 84),
    (188, 170, 146), (110, 104, 100), (146, 90, 70),
)  # fmt: skip
RUBBLE_RGB = ((172, 164, 154), (192, 186, 176), (150, 96, 76), (168, 110, 86), (132, 124, 116), (206, 202, 194))


@lru_cache(maxsize=256)
def heap(kind: str, radius_m: float, height_m: float, stretch: float, seed: int, lobes: tuple[float, ...]) -> Sprite:
    """A heap: garbage, rubble, spoil, sand, gravel; or litter, scattered flat. `lobes` is its radius by angle."""
    rng = np.random.default_rng([seed, 31])
    res = 0.03 if radius_m < 4 else 0.05
    half = radius_m * max(stretch, 1 / stretch) * 1.5 + 0.3
    size = int(2 * half / res)
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * res - half).astype(np.float32)
    x, y = np.meshgrid(axis, -axis)
    along, across = y / stretch, x * stretch
    angle = np.arctan2(across, along)
    outline = np.interp(angle, np.linspace(-math.pi, math.pi, len(lobes)), lobes).astype(np.float32)
    rho = np.hypot(along, across) / (radius_m * outline)
    rough = _smooth(rng, size, 0.5 / res) * 0.5 + _smooth(rng, size, 0.16 / res) * 0.35
    body = height_m * np.clip(1 - rho**1.6, 0, 1) ** 0.8 * (1 + 0.28 * rough)
    cover = np.clip((1.0 - rho + 0.08 * rough) / 0.06, 0, 1).astype(np.float32)
    fine = _smooth(rng, size, 0.06 / res) * 8 + rough * 9
    earth = {
        "spoil": (138, 108, 80), "sand": (198, 176, 136), "gravel": (156, 152, 146),
        "rubble": (160, 148, 136), "garbage": (122, 112, 98), "litter": (120, 112, 94),
    }[kind]  # fmt: skip
    image = np.array(earth, np.float32) + rng.normal(0, 7, 3).astype(np.float32) + fine[..., None]
    height = np.maximum(body, 0).astype(np.float32)
    if kind in ("garbage", "rubble", "litter", "gravel"):
        pieces = _debris(rng, kind, image, height, rho, res)
        if kind == "litter":
            cover = pieces * (rho < 1.1)
            height = pieces * 0.06
        else:
            cover = np.maximum(cover, pieces * (rho < 1.25))
    return Sprite(np.clip(image, 0, 255).astype(np.uint8), height.astype(np.float32), cover.astype(np.float32), res)


def _debris(rng: Rng, kind: str, image: Floats, height: Floats, rho: Floats, res: float) -> Floats:
    """Draws bags, boards, boxes, bricks over the heap; returns where they lie."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.uint8)
    area = float((rho < 1).sum()) * res * res
    density = {"garbage": 13.0, "rubble": 22.0, "litter": 1.6, "gravel": 30.0}[kind]
    colours = WASTE_RGB if kind in ("garbage", "litter") else RUBBLE_RGB
    small = {"garbage": 0.42, "rubble": 0.22, "litter": 0.28, "gravel": 0.1}[kind]
    for _ in range(int(min(area * density, 2500))):
        where = rng.uniform(0, size, 2)
        near = rho[int(where[1]), int(where[0])]
        if near > (1.0 if rng.random() < 0.9 else 1.25):
            continue
        long_m = small * float(rng.lognormal(0, 0.45))
        wide_m = long_m * float(rng.uniform(0.25, 1.0)) if rng.random() < 0.7 else 0.08
        piece = np.zeros((size, size), np.uint8) if size < 80 else None
        colour = np.array(colours[int(rng.integers(len(colours)))], np.float32) + rng.normal(0, 10)
        turn = float(rng.uniform(0, 180))
        box = ((float(where[0]), float(where[1])), (long_m / res, wide_m / res), turn)
        lift = float(rng.uniform(0.03, 0.55 * wide_m + 0.04))
        reach = int(long_m / res) + 3
        x0, y0 = max(0, int(where[0]) - reach), max(0, int(where[1]) - reach)
        part = np.s_[y0 : int(where[1]) + reach, x0 : int(where[0]) + reach]
        piece = np.zeros(mask[part].shape, np.uint8)
        local = ((box[0][0] - x0, box[0][1] - y0), box[1], turn)
        if rng.random() < 0.4 and wide_m > 0.15:
            cv2.ellipse(piece, local, 255, -1)
        else:
            cv2.fillConvexPoly(piece, np.rint(cv2.boxPoints(local)).astype(np.int32), 255)
        hit = piece > 0
        image[part][hit] = colour * float(rng.uniform(0.85, 1.1)) + image[part][hit] * 0.08 - 8
        height[part][hit] = height[part][hit].mean() + lift if hit.any() else 0
        mask[part][hit] = 1
    return mask.astype(np.float32)
