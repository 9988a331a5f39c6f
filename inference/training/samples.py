"""Crops to learn from: cut, turned, scaled, relit and shifted, with their targets drawn in the same frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.training.camouflage import camouflaged
from inference.training.junk import dump
from inference.training.paste import Donor, paste
from inference.training.scenes import Scene, Thing
from inference.training.tidy import tidy

Rng = np.random.Generator
Image = NDArray[np.uint8]
Target = NDArray[np.float32]

CROP_PX = 192
# Cameras, heights and lenses differ: a crop's scale is drawn from this range around the model's spacing.
SCALES = (0.75, 1.35)
# Two days never lie on each other exactly; the guard takes out what is beyond this (pixels of the change model).
MISREGISTRATION_PX = 2.5
_OUT = 2
# Below this a structure is small: the network misses most of those, so they are a kind of their own when drawing.
_SMALL_M2 = 15.0
# A cell of a thing this large weighs 1; of a smaller one more, so that a shed of 6 m2 is not a rounding error beside a
# hall of 300; at most so much more.
_WEIGHTY_M2, _MOST_WEIGHT = 40.0, 3.0
# The same for heaps, milder: every second missed one had less than 4 m2.
_HEAP_WEIGHTY_M2, _HEAP_MOST_WEIGHT = 16.0, 2.5
# Longer than any car.
_LARGE_M = 5.5
# Share of crops in which things take the ground's colour: those are what is missed.
_CAMOUFLAGE = 0.4
# The label of hard negatives (`inference.training.mining`).
MINED = "mined"


@dataclass(frozen=True)
class Sample:
    """One crop: the day or days, (c, h / 2, w / 2) targets, and where they count."""

    images: tuple[Image, ...]
    target: Target
    weight: Target


def _similarity(rng: Rng, centre: tuple[float, float], size: int) -> NDArray[np.float64]:
    """Source pixels to crop pixels: any turn, a flip, a scale, `centre` near the middle."""
    angle, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(*np.log(SCALES)))
    flip = rng.choice([-1.0, 1.0])
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[c, -s], [s, c]]) @ np.diag([flip, 1.0])
    offset = np.array([size / 2, size / 2]) - turn @ np.array(centre)
    return np.column_stack([turn, offset])


def _warp(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    return np.asarray(
        cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )


def relight(image: Image, rng: Rng, strength: float = 1.0) -> Image:
    """Another camera and another sky: gain, tint, gamma, haze, blur, noise, JPEG."""
    x: NDArray = image.astype(np.float32) / 255.0
    x = x ** np.exp(rng.normal(0, 0.22 * strength))
    x = x * np.exp(rng.normal(0, 0.15 * strength)) * np.exp(rng.normal(0, 0.05 * strength, 3))
    gray = x.mean(axis=2, keepdims=True)
    x = gray + (x - gray) * np.exp(rng.normal(0, 0.25 * strength))
    x = x + rng.normal(0, 0.03 * strength)
    if rng.random() < 0.35:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.3))))
    if rng.random() < 0.5:
        x = x + rng.normal(0, rng.uniform(0.005, 0.03), x.shape)
    out = np.clip(x * 255.0, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 92))])
        if ok:
            out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return out


def coarsened(image: Image, rng: Rng) -> Image:
    """A fifth of the crops as a coarser camera or a higher flight gives them: brought up from fewer pixels."""
    if rng.random() >= 0.2:
        return image
    size, part = image.shape[:2], float(rng.uniform(0.45, 0.9))
    few = cv2.resize(image, (round(size[1] * part), round(size[0] * part)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(few, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), np.uint8)


def cast_shadow(images: tuple[Image, ...], rng: Rng) -> tuple[Image, ...]:
    """A soft or hard shadow over a part of one day only: a shadow is no building."""
    index = int(rng.integers(len(images)))
    size = images[index].shape[0]
    corners = rng.uniform(-0.2, 1.2, (int(rng.integers(3, 6)), 2)) * size
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [cv2.convexHull(corners.astype(np.float32)).astype(np.int32)], 1.0)
    soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.6, 4.0)))
    dark = 1.0 - soft[..., None] * rng.uniform(0.25, 0.65)
    shaded = np.clip(images[index] * dark, 0, 255).astype(np.uint8)
    return tuple(shaded if i == index else image for i, image in enumerate(images))


def _draw(things: Sequence[Thing], matrix: NDArray[np.float64], size: int) -> Target:
    mask = np.zeros((size // _OUT, size // _OUT), np.uint8)
    for thing in things:
        points = np.asarray(thing.polygon) @ matrix[:, :2].T + matrix[:, 2]
        if points.max() < 0 or points.min() > size:
            continue
        # Half a pixel: cell centres, in fillPoly's fixed point of 1/16.
        cells = np.round((points / _OUT - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(mask, [cells], 1, shift=4)
    return mask.astype(np.float32)


def _size_m2(thing: Thing, gsd_m: float) -> float:
    """Area of a thing's outline."""
    x, y = np.asarray(thing.polygon).T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 * gsd_m**2)


def _weighed(
    things: Sequence[Thing], matrix: NDArray[np.float64], size: int, gsd_m: float, weighty_m2: float = _WEIGHTY_M2,
    most: float = _MOST_WEIGHT,
) -> Target:  # fmt: skip
    """1 everywhere, more on and about small things."""
    weight = np.ones((size // _OUT, size // _OUT), np.float32)
    for thing in things:
        more = min(most, float(np.sqrt(weighty_m2 / max(_size_m2(thing, gsd_m), 1.0))))
        if more > 1.0:
            about = cv2.dilate(_draw([thing], matrix, size), np.ones((5, 5), np.uint8))
            weight = np.maximum(weight, 1.0 + (more - 1.0) * about)
    return weight


def _side(thing: Thing) -> float:
    """Longest side of a thing's box, pixels."""
    return float(np.ptp(np.asarray(thing.polygon), axis=0).max())


def _neutral(thing: Thing) -> bool:
    """Neither waste nor not: piles that always stood on a building site."""
    return thing.kind == "ignore" or thing.label == "heap_spoil"


def _went(thing: Thing) -> bool:
    """Whether what is no structure stood there on the earlier day only, where a scene says so."""
    return (thing.model_extra or {}).get("fate") == "gone"


def _family(scene: Scene, family: str, kinds: tuple[str, ...]) -> list[Thing]:
    return [t for t in scene.things if t.family == family and t.kind in kinds]


def centre_of(scene: Scene, rng: Rng, focus: Sequence[Thing], share: float) -> tuple[float, float]:
    """Where to cut: near one of `focus` for a `share` of the crops, else anywhere."""
    height, width = scene.after.shape[:2]
    if focus and rng.random() < share:
        thing = focus[int(rng.integers(len(focus)))]
        x, y = np.mean(thing.polygon, axis=0) + rng.uniform(-0.35, 0.35, 2) * CROP_PX
        return float(np.clip(x, 0, width)), float(np.clip(y, 0, height))
    return float(rng.uniform(0, width)), float(rng.uniform(0, height))


def _with_pasted(
    image: Image, bank: Sequence[Donor], rng: Rng, chance: float, shadow_px: float
) -> tuple[Image, list[Thing]]:
    """Up to three things of a bank laid into a crop."""
    added: list[Thing] = []
    if not bank or rng.random() >= chance:
        return image, added
    for _ in range(int(rng.integers(1, 4))):
        done = paste(image, bank[int(rng.integers(len(bank)))], rng, shadow_px)
        if done is not None:
            image = done[0]
            added.append(done[1])
    return image, added


def _cloth(scene: Scene | None, rng: Rng) -> Image | None:
    """A piece of another picture, for things to wear."""
    if scene is None or min(scene.after.shape[:2]) < CROP_PX:
        return None
    row, col = (int(rng.integers(0, n - CROP_PX + 1)) for n in scene.after.shape[:2])
    return np.ascontiguousarray(np.rot90(scene.after[row : row + CROP_PX, col : col + CROP_PX], int(rng.integers(4))))


@dataclass(frozen=True)
class _Strewn:
    """A crop with junk drawn into it, and where its kinds lie."""

    image: Image
    waste: Target
    spoil: Target
    litter: Target
    heed: Target


def _with_junk(image: Image, scene: Scene, other: Scene | None, rng: Rng, chance: float, bare: bool) -> _Strewn:
    """Junk in a `chance` of crops; what is tidy only where no labelled waste could come to lie below it (`bare`)."""
    half = CROP_PX // _OUT
    empty = np.zeros((half, half), np.float32)
    masks = {"waste": empty, "spoil": empty, "litter": empty}
    heed = np.ones_like(empty)
    for _ in range(int(rng.choice([0, 1, 2], p=(0.5, 0.35, 0.15))) if bare else 0):
        image = tidy(image, rng, scene.gsd_m)
    if rng.random() < chance:
        for _ in range(int(rng.integers(1, 4))):
            image, junk = dump(image, rng, scene.gsd_m, _cloth(other, rng))
            small = cv2.resize(junk.mask, (half, half), interpolation=cv2.INTER_AREA)
            mask = np.asarray(small >= 0.5, np.float32)
            for name in ("waste", {"spoil": "spoil", "rubble": "spoil", "litter": "litter"}.get(junk.kind, "waste")):
                masks[name] = np.maximum(masks[name], mask)
            heed = np.maximum(heed, _heed_of(mask, scene.gsd_m))
    return _Strewn(image, masks["waste"], masks["spoil"], masks["litter"], heed)


def _heed_of(mask: Target, gsd_m: float) -> Target:
    """1 everywhere, more on and about a small drawn heap."""
    area_m2 = max(float(mask.sum()) * (gsd_m * _OUT) ** 2, 1.0)
    more = float(np.clip(np.sqrt(_HEAP_WEIGHTY_M2 / area_m2), 1.0, _HEAP_MOST_WEIGHT))
    return np.asarray(1.0 + (more - 1.0) * cv2.dilate(mask, np.ones((5, 5), np.uint8)), np.float32)


_HERE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def _waste_focus(scene: Scene, real: Sequence[Thing], rng: Rng) -> list[Thing]:
    """One sort of thing to cut near; kinds first: cars are many, litter is rare."""
    trap = [t for t in scene.things if t.family == "none" and not _neutral(t)]
    hard = [t for t in trap if t.label == MINED]
    roofs = _family(scene, "construction", ("existing", "new", "permitted"))
    pool = [[t for t in real if t.label == name] for name in sorted({t.label for t in real})] * 2
    pool += [part for part in (trap, roofs, hard, hard) if part]
    return pool[int(rng.integers(len(pool)))] if pool else []


def waste_sample(scene: Scene, rng: Rng, bank: Sequence[Donor] = (), other: Scene | None = None) -> Sample:
    """One crop for the waste network: channels waste, spoil, litter (the last two count only on waste).

    Args:
        scene: Any; one without waste gets some from `bank` in a half of the crops.
        rng: Draws everything.
        bank: Heaps to lay in.
        other: Lends textures to what is drawn.
    """
    real = _family(scene, "sanitation", ("new", "existing", "altered"))
    matrix = _similarity(rng, centre_of(scene, rng, _waste_focus(scene, real, rng), 0.75), CROP_PX)
    image = _warp(scene.after, matrix, CROP_PX)
    lying = _draw(real, matrix, CROP_PX)
    strewn = _with_junk(image, scene, other, rng, 0.6 if not real else 0.25, not lying.any())
    image, laid = _with_pasted(strewn.image, bank, rng, 0.35 if not real else 0.1, 8.0)

    def kind(labels: tuple[str, ...], drawn: Target) -> Target:
        there = _draw([t for t in real if t.label in labels], matrix, CROP_PX)
        return np.maximum.reduce([there, _draw([t for t in laid if t.label in labels], _HERE, CROP_PX), drawn])

    waste = np.maximum.reduce([lying, _draw(laid, _HERE, CROP_PX), strewn.waste])
    kinds = [kind(("spoil", "construction_waste"), strewn.spoil), kind(("litter",), strewn.litter)]
    images: tuple[Image, ...] = (image,)
    if rng.random() < 0.2:
        images = cast_shadow(images, rng)
    ignore = _draw([t for t in scene.things if _neutral(t)], matrix, CROP_PX)
    small = [_small_heaps(things, at, scene.gsd_m) for things, at in ((real, matrix), (laid, _HERE))]
    counts = (1.0 - ignore * (1 - waste)) * np.maximum.reduce([strewn.heed, *small])
    return Sample(
        (relight(coarsened(images[0], rng), rng),),
        np.stack([waste, *kinds]),
        np.stack([counts, 0.3 * waste, 0.3 * waste]),
    )


def _small_heaps(things: Sequence[Thing], matrix: NDArray[np.float64], gsd_m: float) -> Target:
    return _weighed(things, matrix, CROP_PX, gsd_m, _HEAP_WEIGHTY_M2, _HEAP_MOST_WEIGHT)


def _with_traps(
    before: Image, after: Image, traps: Sequence[Donor], scene: Scene, other: Scene | None, rng: Rng
) -> tuple[Image, Image]:
    """What comes and goes and is no structure, on one day only: vehicles and the like, junk, shrubs, stones."""
    days = [before, after]
    share = 0.45 if scene.card.source == "photograph" else 0.15
    for index in (0, 1):
        days[index], _ = _with_pasted(days[index], traps, rng, share, 10.0)
        if rng.random() < share / 3:
            days[index], _ = dump(days[index], rng, scene.gsd_m, _cloth(other, rng))
        elif rng.random() < share / 4:
            days[index] = tidy(days[index], rng, scene.gsd_m, ("shrubs", "stones", "shade", "weeds"))
    return days[0], days[1]


def _worth_seeing(
    scene: Scene, rng: Rng, built: tuple[list[Thing], list[Thing], list[Thing]], others: list[Thing]
) -> list[Thing]:
    """One kind of thing to look at: kinds are drawn first, so that many distractors do not crowd out a few new ones."""
    rising, falling, standing = built
    hard = [t for t in others if t.label == MINED]
    # New things by kind, too: extensions and walls are fewer than houses, and harder.
    sizes = {(t.label, _size_m2(t, scene.gsd_m) < _SMALL_M2) for t in rising}
    kinds = [[t for t in rising if (t.label, _size_m2(t, scene.gsd_m) < _SMALL_M2) == one] for one in sorted(sizes)]
    risen = kinds[int(rng.integers(len(kinds)))] if kinds else []
    # Of what is no structure, large and small by turns: a lorry passes for a shed, of a hundred cars none does.
    sorts = {(t.label, _large(t, scene)) for t in others}
    traps_here = [[t for t in others if (t.label, _large(t, scene)) == one] for one in sorted(sorts)]
    trap = traps_here[int(rng.integers(len(traps_here)))] if traps_here else []
    pool = [p for p in (risen, risen, risen, falling, trap, standing, hard, hard) if p]
    return pool[int(rng.integers(len(pool)))] if pool else []


def _large(thing: Thing, scene: Scene) -> bool:
    return _side(thing) > _LARGE_M / scene.gsd_m


def _counting(matrix: NDArray[np.float64], others: list[Thing], changed: Target) -> Target:
    """1 where change counts: a container may be a lorry's load or a man's home, so neither way."""
    return 1.0 - _draw([t for t in others if t.label == "container"], matrix, CROP_PX) * (1 - changed)


def _heeded(scene: Scene, matrix: NDArray[np.float64], things: list[Thing], laid: list[Thing]) -> Target:
    """More weight on small structures, and on what is large and none."""
    heavy = [t for t in things if t.family == "construction" or (_large(t, scene) and t.label != "container")]
    return np.maximum(_weighed(heavy, matrix, CROP_PX, scene.gsd_m), _weighed(laid, _HERE, CROP_PX, scene.gsd_m))


def change_sample(
    scene: Scene, rng: Rng, bank: Sequence[Donor] = (), traps: Sequence[Donor] = (), other: Scene | None = None
) -> Sample:
    """One crop for the change network: channels new, gone, built before, built after.

    A scene of one day gives a pair without change; days are swapped in a half of the crops, so that what is new here
    is gone there.

    Args:
        scene: Any; one without new structures gets some from `bank` in a half of the crops.
        rng: Draws everything.
        bank: Structures to lay in.
        traps: What comes and goes and is no structure, to lay into either day.
        other: Lends textures to what is drawn.
    """
    rising = _family(scene, "construction", ("new", "altered", "permitted"))
    falling = _family(scene, "construction", ("gone",))
    standing = _family(scene, "construction", ("existing",))
    others = [t for t in scene.things if t.family != "construction"]
    same = scene.before is None or rng.random() < 0.12
    focus = _worth_seeing(scene, rng, (rising, falling, standing), others)
    matrix = _similarity(rng, centre_of(scene, rng, focus, 0.8), CROP_PX)
    after = _warp(scene.after, matrix, CROP_PX)
    slip = matrix.copy()
    slip[:, 2] += rng.uniform(-1, 1, 2) * rng.uniform(0, MISREGISTRATION_PX)
    slip[:, :2] *= 1 + rng.normal(0, 0.002)
    source = scene.after if same or scene.before is None else scene.before
    before = _warp(source, slip, CROP_PX)
    after, laid = _with_pasted(after, bank, rng, 0.55 if not rising else 0.2, 16.0)
    if rng.random() < _CAMOUFLAGE:
        # Lorries, too: a thing of the ground's colour is not therefore a house.
        large = [t for t in others if _large(t, scene) and not _went(t)]
        after = camouflaged(camouflaged(after, [*rising, *large], matrix, rng), laid, _HERE, rng)
    pasted = _draw(laid, _HERE, CROP_PX)
    before, after = _with_traps(before, after, traps, scene, other, rng)
    built_after = _draw([*standing, *rising], matrix, CROP_PX)
    if same:
        new = gone = np.zeros_like(built_after)
        built_before = built_after
    else:
        new, gone = _draw(rising, matrix, CROP_PX), _draw(falling, matrix, CROP_PX)
        built_before = _draw([*standing, *falling], matrix, CROP_PX)
    new, built_after = np.maximum(new, pasted), np.maximum(built_after, pasted)
    images: tuple[Image, ...] = (before, after)
    maps = [new, gone, built_before, built_after]
    if rng.random() < 0.5:
        images, maps = (after, before), [gone, new, built_after, built_before]
    if rng.random() < 0.3:
        images = cast_shadow(images, rng)
    images = tuple(relight(image, rng) for image in images)
    known = 0.25 if standing or scene.card.source == "simulator" else 0.0
    there = [] if same else [*rising, *falling]
    counts = _counting(matrix, others, np.maximum(new, gone))
    heed = _heeded(scene, matrix, [*there, *others], laid)
    weight = np.stack([counts * heed] * 2 + [np.full_like(new, known) * counts] * 2)
    return Sample(images, np.stack(maps), weight)
