"""What is busy and no waste, drawn into crops: shrubs, gravel, stained roofs, stacks in rows, dappled shade, beds.

What the network took for waste on photographs that it had not seen stood model for these (a farm village, a river
bank): weathered concrete and slate, silage bales, the sun through crowns, waves, stained paving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.training.strokes import Image, Plane, Rng, a_sun, blob, filled, shadowed, softened, spots_in, strewn

Vector = NDArray[np.float64]


def _grain(rng: Rng, size: int, soft: float) -> Plane:
    """Noise of unit spread, `soft` pixels wide."""
    grain = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), soft)
    return np.asarray(grain / max(1e-3, float(np.std(grain))), np.float32)


def _leafy(image: Plane, crown: Plane, rng: Rng, sun: Vector, colour: Vector) -> Plane:
    fine = _grain(rng, image.shape[0], float(rng.uniform(0.8, 2.2)))
    side = cv2.GaussianBlur(crown, (0, 0), 4.0)
    slope = cv2.Sobel(side, cv2.CV_32F, 1, 0) * sun[0] + cv2.Sobel(side, cv2.CV_32F, 0, 1) * sun[1]
    light = np.clip(1.0 + fine * rng.uniform(0.15, 0.4) - slope * 1.5, 0.25, 2.0)
    edge = cv2.GaussianBlur(crown * (fine > -1.2), (0, 0), 0.7)[..., None]
    return np.asarray(image * (1 - edge) + light[..., None] * colour * edge, np.float32)


def _box(rng: Rng, size: int, long_px: float, slender: float) -> Vector:
    """Corners of a rectangle somewhere in the crop."""
    middle = rng.uniform(0.1, 0.9, 2) * size
    return np.asarray(cv2.boxPoints((middle.tolist(), (long_px, long_px * slender), rng.uniform(0, 180))), float)


def _plain(rng: Rng) -> Vector:
    return rng.uniform(20, 240, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(20, 245))


def _leaf(rng: Rng) -> Vector:
    """A crown's colour: mostly some green; gold, russet, wine or withered brown for a third."""
    green = rng.uniform(45, 150)
    if rng.random() < 0.65:
        return np.array([green * rng.uniform(0.55, 1.35), green, green * rng.uniform(0.2, 0.6)])
    return np.array([green * rng.uniform(1.0, 2.2), green * rng.uniform(0.7, 1.1), green * rng.uniform(0.3, 0.9)])


def shrubs(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Bushes and small trees, each of its own colour."""
    size = image.shape[0]
    for _ in range(int(rng.integers(2, 9))):
        radius_m = float(np.exp(rng.uniform(np.log(0.4), np.log(3.2))))
        crown = filled(blob(rng, rng.uniform(0, 1, 2) * size, radius_m / gsd_m, 0.3), size)
        colour = np.minimum(_leaf(rng), 235.0)
        image = shadowed(image, crown, sun, float(rng.uniform(0.3, 1.5)) / gsd_m, float(rng.uniform(0.2, 0.6)))
        image = _leafy(image, crown, rng, sun, colour)
    return image


def stones(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Stones of one colour over all of the ground, however dense."""
    size = image.shape[0]
    spots = spots_in(rng, np.ones((size, size), np.float32), min(420, int(size**2 * gsd_m**2 * rng.uniform(0.5, 3))), 0)
    pale = image.mean(axis=(0, 1)) * rng.uniform(0.9, 1.5) + rng.normal(0, 4, 3)
    long = 0.2 * np.exp(rng.normal(0, 0.5, len(spots))) * rng.uniform(0.7, 1.4) / gsd_m
    turn = rng.uniform(0, np.pi, len(spots))
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    pieces = [
        np.round((np.stack([np.cos(angle + t), np.sin(angle + t) * 0.7], 1) * a / 2 + spot) * 16).astype(np.int32)
        for spot, a, t in zip(spots, long, turn, strict=True)
    ]
    return strewn(image, rng, pieces, np.clip(pale, 10, 240)[None], sun, None)


def thing(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """One to five whole plain things: a car, a crate, a sheet."""
    size = image.shape[0]
    for _ in range(int(rng.choice([1, 1, 2, 3, 5]))):
        shape = filled(_box(rng, size, rng.uniform(0.6, 6.0) / gsd_m, rng.uniform(0.3, 1.0)), size)
        image = shadowed(image, shape, sun, float(rng.uniform(0, 1.2)) / gsd_m, float(rng.uniform(0.2, 0.6)))
        image = np.asarray(image * (1 - shape[..., None]) + _plain(rng) * shape[..., None], np.float32)
    return image


def shade(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Soft or hard shadow in patches."""
    size = image.shape[0]
    for _ in range(int(rng.integers(1, 4))):
        place = filled(blob(rng, rng.uniform(0, 1, 2) * size, rng.uniform(1.0, 7.0) / gsd_m, 0.4), size)
        soft = cv2.GaussianBlur(place, (0, 0), float(rng.uniform(0.6, 5.0)))[..., None]
        image = np.asarray(image * (1 - soft * rng.uniform(0.45, 0.92)), np.float32)
    return image


def dappled(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Sun through crowns: shadow full of bright specks."""
    size = image.shape[0]
    place = filled(blob(rng, rng.uniform(0.1, 0.9, 2) * size, rng.uniform(1.5, 6.0) / gsd_m, 0.4), size)
    rough = _grain(rng, size, float(rng.uniform(1.2, 3.5))) + 0.5 * _grain(rng, size, float(rng.uniform(5, 12)))
    dark = 1 / (1 + np.exp(-(rough + rng.uniform(-0.6, 1.0)) * rng.uniform(2, 6)))
    cover = cv2.GaussianBlur(place, (0, 0), float(rng.uniform(1, 4))) * dark
    return np.asarray(image * (1 - (cover * rng.uniform(0.4, 0.85))[..., None]), np.float32)


def weeds(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Rank growth in a patch."""
    size = image.shape[0]
    place = filled(blob(rng, rng.uniform(0, 1, 2) * size, rng.uniform(1.0, 8.0) / gsd_m, 0.5), size)
    dry = rng.uniform(40, 170)
    colour = np.array([dry * rng.uniform(0.7, 1.3), dry, dry * rng.uniform(0.35, 0.8)])
    return _leafy(image, place * float(rng.uniform(0.4, 1.0)), rng, sun, colour)


def worn(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Bare ground in a lawn or a field: earth's colour and grain, but no relief and no shadow."""
    size = image.shape[0]
    for _ in range(int(rng.integers(1, 4))):
        place = filled(blob(rng, rng.uniform(0, 1, 2) * size, rng.uniform(0.6, 5.0) / gsd_m, 0.4), size)
        earth = rng.uniform(80, 210)
        colour = np.array([earth, earth * rng.uniform(0.7, 0.97), earth * rng.uniform(0.45, 0.9)])
        grain = _grain(rng, size, float(rng.uniform(0.6, 2.5))) * rng.uniform(0.02, 0.12)
        blotch = _grain(rng, size, float(rng.uniform(4, 14))) * rng.uniform(0.0, 0.12)
        soft = cv2.GaussianBlur(place, (0, 0), float(rng.uniform(0.8, 6.0)))[..., None] * rng.uniform(0.5, 1.0)
        image = np.asarray(
            image * (1 - soft) + np.clip(1 + grain + blotch, 0.4, 1.6)[..., None] * colour * soft, np.float32
        )
    return image


def stained(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """A weathered flat thing, roof or paving: blotches and grain on one colour, often in slabs."""
    size = image.shape[0]
    shape = filled(_box(rng, size, rng.uniform(3.0, 16.0) / gsd_m, rng.uniform(0.3, 1.0)), size)
    if rng.random() < 0.25:
        shape = filled(blob(rng, rng.uniform(0.1, 0.9, 2) * size, rng.uniform(2.0, 8.0) / gsd_m, 0.3), size)
    base = np.full(3, rng.uniform(60, 235)) + rng.normal(0, 8, 3)
    spots = _grain(rng, size, float(rng.uniform(0.8, 2.5))) * rng.uniform(0.02, 0.14)
    wide = _grain(rng, size, float(rng.uniform(3, 10)))
    blotch = np.clip(wide - rng.uniform(0.2, 1.4), 0, 1.5) * rng.uniform(0.05, 0.45)
    light = np.clip(1 + spots - blotch, 0.15, 1.4)
    if rng.random() < 0.5:
        turn, pitch = rng.uniform(0, np.pi), rng.uniform(0.4, 2.5) / gsd_m
        y, x = np.mgrid[:size, :size]
        for angle in (turn, turn + np.pi / 2)[: int(rng.integers(1, 3))]:
            joint = np.abs((x * np.cos(angle) + y * np.sin(angle)) % pitch - pitch / 2) > pitch / 2 - 0.7
            light = light * (1 - joint * rng.uniform(0.05, 0.3))
    image = shadowed(image, shape, sun, float(rng.uniform(0, 2.0)) / gsd_m, float(rng.uniform(0, 0.6)))
    edge = shape[..., None] * rng.uniform(0.7, 1.0)
    return np.asarray(image * (1 - edge) + light[..., None] * base * edge, np.float32)


def array(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Alike things in rows: bales, pipes, pallets, panels, graves, stalls."""
    size = image.shape[0]
    long, thin = rng.uniform(0.5, 2.5) / gsd_m, rng.uniform(0.4, 1.0)
    step = np.array([long * rng.uniform(1.0, 1.5), long * thin * rng.uniform(1.0, 1.6)])
    many, round_ = rng.integers(2, 9, 2), rng.random() < 0.4
    turn, middle = rng.uniform(0, np.pi), rng.uniform(0.15, 0.85, 2) * size
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    angle = np.linspace(0, 2 * np.pi, 12 if round_ else 4, endpoint=False) + (0 if round_ else np.pi / 4)
    ring = np.stack([np.cos(angle), np.sin(angle) * thin], 1) * long / (2 if round_ else np.sqrt(2))
    at = (np.stack(np.meshgrid(*map(np.arange, many)), -1).reshape(-1, 2) - (many - 1) / 2) * step
    at = at[rng.random(len(at)) < rng.choice([1.0, 1.0, 0.85])] + rng.normal(0, 0.04 * long, (1, 2))
    pieces = [np.round(((ring + p) @ spin + middle) * 16).astype(np.int32) for p in at]
    tones = np.clip(_plain(rng) + rng.normal(0, 6, (int(rng.integers(1, 3)), 3)), 8, 250)
    if not pieces:
        return image
    inner = [np.round(((ring * 0.5 + p) @ spin + middle) * 16).astype(np.int32) for p in at]
    image = strewn(image, rng, pieces, tones, sun, None)
    if rng.random() < 0.5:
        # Pipes and crates are hollow, bales shine on top.
        image = strewn(image, rng, inner, np.clip(tones * rng.choice([0.35, 0.6, 1.3]), 5, 252), sun, None)
    return image


def rows(image: Plane, rng: Rng, gsd_m: float, sun: Vector) -> Plane:
    """Garden beds and furrows: stripes of leaves and soil, or waves."""
    size = image.shape[0]
    shape = filled(_box(rng, size, rng.uniform(3.0, 14.0) / gsd_m, rng.uniform(0.4, 1.0)), size)
    turn, pitch = rng.uniform(0, np.pi), rng.uniform(0.3, 1.6) / gsd_m
    y, x = np.mgrid[:size, :size]
    bend = _grain(rng, size, 6.0) * rng.uniform(0, 0.25) * pitch
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn) + bend) * 2 * np.pi / pitch)
    stripe = np.asarray(shape * (1 / (1 + np.exp(-4 * (wave + rng.uniform(-0.6, 0.6))))), np.float32)
    green = rng.uniform(50, 150)
    colour = np.array([green * rng.uniform(0.6, 1.2), green, green * rng.uniform(0.4, 1.1)])
    if rng.random() < 0.6:
        return _leafy(image, stripe, rng, sun, colour)
    return np.asarray(image * (1 + (stripe * rng.uniform(-0.3, 0.3))[..., None]), np.float32)


_PAINTERS: dict[str, Callable[[Plane, Rng, float, Vector], Plane]] = {
    "shrubs": shrubs,
    "stones": stones,
    "thing": thing,
    "shade": shade,
    "weeds": weeds,
    "worn": worn,
    "stained": stained,
    "array": array,
    "dappled": dappled,
    "rows": rows,
}
NOT_WASTE = tuple(_PAINTERS)


def tidy(image: Image, rng: Rng, gsd_m: float, kinds: Sequence[str] = NOT_WASTE) -> Image:
    """Draws what is not waste, however busy: one of `NOT_WASTE`.

    Args:
        image: (n, n, 3).
        rng: Draws everything.
        gsd_m: Metres a pixel.
        kinds: Of which to draw one.
    """
    drawn = _PAINTERS[str(rng.choice(list(kinds)))](image.astype(np.float32), rng, gsd_m, a_sun(rng))
    return softened(image, np.asarray(drawn, np.float32), rng)
