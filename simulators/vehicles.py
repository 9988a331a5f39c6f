"""Vehicles as patches of colour and height, drawn once by seed: cars and vans, and bodies with boxes on wheels."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from simulators.raster import Bytes, Floats
from simulators.sprites import Sprite
from simulators.things import RGB, VEHICLES

Rng = np.random.Generator
RES_M = 0.03
GLASS: RGB = (34.0, 40.0, 48.0)
CARGO: tuple[RGB, ...] = ((176, 60, 48), (60, 90, 150), (150, 150, 148), (110, 120, 96))
# Boxes of vans and lorries, roofs of buses: white first, as in a street.
BOXES: tuple[RGB, ...] = (
    (228, 228, 226), (214, 216, 218), (236, 236, 232), (176, 186, 196), (66, 108, 168), (150, 54, 46), (196, 160, 60),
    (70, 118, 88), (128, 130, 132),
)  # fmt: skip
ROOFS: tuple[RGB, ...] = (
    (226, 228, 226),
    (206, 210, 212),
    (232, 196, 60),
    (60, 130, 96),
    (70, 110, 176),
    (190, 70, 54),
)


class _Body:
    """A vehicle being drawn: blocks over one another, each flat at its own height."""

    def __init__(self, length: float, width: float) -> None:
        self.length, self.width = length, width
        rows, cols = int((length + 0.6) / RES_M), int((width + 0.6) / RES_M)
        self.image: Floats = np.zeros((rows, cols, 3), np.float32)
        self.cover: Floats = np.zeros((rows, cols), np.float32)
        self.height: Floats = np.zeros((rows, cols), np.float32)

    def block(self, a0: float, a1: float, b: float, z: float, colour: RGB, round_m: float, off: float = 0.0) -> None:
        """From `a0` to `a1` of the length (0 the front), `b` of the width, `z` m high; `off` of the width aside."""
        rows, cols = self.height.shape
        mask: Bytes = np.zeros((rows, cols), np.uint8)
        r0, r1 = int((0.3 + a0 * self.length) / RES_M), int((0.3 + a1 * self.length) / RES_M)
        middle = cols / 2 + off * self.width / RES_M
        c0, c1 = int(middle - b * self.width / 2 / RES_M), int(middle + b * self.width / 2 / RES_M)
        pad = max(1, int(round_m / RES_M))
        cv2.rectangle(mask, (c0 + pad, r0 + pad), (c1 - pad, r1 - pad), 255, -1)
        mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pad + 1, 2 * pad + 1)))
        self.image[mask > 0], self.height[mask > 0], self.cover[mask > 0] = colour, z, 1.0

    def sprite(self) -> Sprite:
        """The vehicle as a patch."""
        image = np.clip(self.image, 0, 255).astype(np.uint8)
        return Sprite(image, self.height.astype(np.float32), self.cover, RES_M)


@lru_cache(maxsize=512)
def car(kind: str, rgb: RGB, seed: int) -> Sprite:
    """A vehicle of `things.VEHICLES`, length along the rows, its front at row 0."""
    rng = np.random.default_rng([seed, 9])
    length, width, tall = VEHICLES[kind]
    body = _Body(length, width)
    if kind == "truck":
        _truck(body, rng, rgb, tall)
    elif kind in ("car", "van"):
        _saloon(body, rgb, tall, kind == "car")
    elif kind in ("bus", "coach"):
        _bus(body, rng, tall)
    elif kind in ("box", "lorry"):
        _box(body, rng, rgb, tall, 0.27 if kind == "box" else 0.16)
    elif kind == "digger":
        _digger(body, rng, tall)
    else:
        _open_bed(body, rng, rgb, tall, kind == "pickup")
    return body.sprite()


def _truck(body: _Body, rng: Rng, rgb: RGB, tall: float) -> None:
    cargo = tuple(float(v) for v in rng.choice([list(c) for c in CARGO]))
    body.block(0.0, 0.25, 0.95, 2.5, rgb, 0.15)
    body.block(0.02, 0.07, 0.8, 2.0, GLASS, 0.05)
    body.block(0.28, 1.0, 1.0, tall, (cargo[0], cargo[1], cargo[2]), 0.06)
    if rng.random() < 0.6:
        body.block(0.3, 0.985, 0.92, 1.6, (96, 84, 70), 0.06)


def _saloon(body: _Body, rgb: RGB, tall: float, low: bool) -> None:
    body.block(0.0, 1.0, 1.0, 0.85, rgb, 0.35)
    body.block(0.2 if low else 0.1, 0.96, 0.9, 1.1, GLASS, 0.25)
    red, green, blue = (min(250.0, c * 1.04 + 6) for c in rgb)
    body.block(0.36 if low else 0.2, 0.84 if low else 0.95, 0.82, tall, (red, green, blue), 0.22)
    body.height = cv2.GaussianBlur(body.height, (0, 0), 3.0)


def _pick(rng: Rng, colours: tuple[RGB, ...], first: float) -> RGB:
    """The first three colours `first` of the time, else any; a little off."""
    some = colours[:3] if rng.random() < first else colours
    red, green, blue = (float(np.clip(c + rng.normal(0, 6), 10, 245)) for c in some[int(rng.integers(len(some)))])
    return red, green, blue


def _bus(body: _Body, rng: Rng, tall: float) -> None:
    """A long roof with air conditioning and hatches, a stripe, the windscreen's edge."""
    roof = _pick(rng, ROOFS, 0.4)
    body.block(0.0, 1.0, 1.0, tall - 0.25, (roof[0] * 0.7, roof[1] * 0.7, roof[2] * 0.7), 0.25)
    body.block(0.004, 0.02, 0.84, tall - 0.7, GLASS, 0.05)
    body.block(0.02, 0.99, 0.9, tall, roof, 0.22)
    for at in rng.uniform(0.15, 0.8, int(rng.integers(1, 4))):
        body.block(float(at), float(at) + 0.03, 0.32, tall + 0.05, (150, 152, 152), 0.03)
    if rng.random() < 0.7:
        at = float(rng.uniform(0.3, 0.55))
        body.block(at, at + 0.2, 0.62, tall + 0.2, (206, 208, 206), 0.08)
    body.image += rng.normal(0, 3, body.height.shape)[..., None]


def _box(body: _Body, rng: Rng, rgb: RGB, tall: float, cab: float) -> None:
    """A cab and a box body, seen from above a small flat roof on wheels."""
    box = _pick(rng, BOXES, 0.6)
    body.block(0.0, cab, 0.92, tall - 0.9, rgb, 0.18)
    body.block(0.012, cab * 0.3, 0.8, tall - 1.3, GLASS, 0.05)
    body.block(cab + 0.02, 1.0, 1.0, tall, box, 0.03)
    inner = (box[0] * 0.96 + 4, box[1] * 0.96 + 4, box[2] * 0.96 + 4)
    body.block(cab + 0.035, 0.985, 0.93, tall + 0.01, inner, 0.03)
    for at in np.arange(cab + 0.1, 0.97, 0.6 / body.length):
        if rng.random() < 0.8:
            body.block(float(at), float(at) + 0.006, 0.9, tall + 0.02, (box[0] * 0.9, box[1] * 0.9, box[2] * 0.9), 0.01)
    body.image += cv2.GaussianBlur(rng.normal(0, 26, body.height.shape).astype(np.float32), (0, 0), 6)[..., None]


def _open_bed(body: _Body, rng: Rng, rgb: RGB, tall: float, pickup: bool) -> None:
    """A pickup or a cargo tricycle: an open bed, empty, loaded or under a sheet."""
    cab = 0.62 if pickup else 0.42
    body.block(0.0, 1.0 if pickup else 0.5, 1.0 if pickup else 0.7, 0.8, rgb, 0.2)
    if pickup or rng.random() < 0.6:
        body.block(cab * 0.42, cab, 0.86, tall, (rgb[0] * 0.95 + 8, rgb[1] * 0.95 + 8, rgb[2] * 0.95 + 8), 0.15)
        body.block(cab * 0.36, cab * 0.46, 0.78, tall - 0.25, GLASS, 0.05)
    else:
        body.block(0.22, 0.36, 0.45, tall, (66, 60, 58), 0.12)
    load: RGB = [(58.0, 58.0, 60.0), (150.0, 120.0, 84.0), (60.0, 104.0, 160.0), (196.0, 192.0, 184.0)][
        int(rng.integers(4))
    ]
    body.block(cab + 0.02, 0.99, 0.95, 0.95, (rgb[0] * 0.7, rgb[1] * 0.7, rgb[2] * 0.7), 0.05)
    body.block(cab + 0.04, 0.97, 0.82, 0.7 if rng.random() < 0.5 else 1.15, load, 0.05)
    body.image += cv2.GaussianBlur(rng.normal(0, 40, body.height.shape).astype(np.float32), (0, 0), 2)[..., None]


def _digger(body: _Body, rng: Rng, tall: float) -> None:
    """Tracks, a house and an arm, yellow or orange."""
    paint = _pick(rng, ((222.0, 170.0, 46.0), (226.0, 178.0, 60.0), (214.0, 120.0, 44.0), (196.0, 196.0, 190.0)), 0.9)
    for side in (-0.38, 0.38):
        body.block(0.42, 1.0, 0.24, 0.9, (62, 58, 54), 0.1, side)
    body.block(0.5, 0.97, 0.8, 2.0, paint, 0.15)
    body.block(0.52, 0.7, 0.3, tall, GLASS, 0.08, -0.2)
    body.block(0.02, 0.6, 0.16, 2.4, (paint[0] * 0.9, paint[1] * 0.9, paint[2] * 0.9), 0.06, 0.06)
    body.block(0.0, 0.09, 0.34, 0.8, (92, 88, 84), 0.08, 0.06)
    body.image += rng.normal(0, 5, body.height.shape)[..., None]
