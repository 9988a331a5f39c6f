"""Training the second opinion: chips of candidates as the line makes them, out of scenes whose truth is known.

Most chips show what a candidate may turn out to be: new structures, small ones and those of the ground's colour more
often than they are; vehicles that came or went; what is gone; edges of standing walls; crowns, heaps, bare places.
Outlines are moved, grown and cut, as those of proposals are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from shapely import STRtree
from shapely.geometry import Point, Polygon
from shapely.geometry.base import BaseGeometry

from inference.engine import Model
from inference.networks import OPINION_CLASSES, OpinionNet
from inference.opinion import CHIP_PX, Chip, drawn, finer, inputs, spacing_m
from inference.rises import LEAST_M, LEAST_WIDTH_M
from inference.training.camouflage import camouflaged
from inference.training.mining import proposed
from inference.training.opinion_learner import OpinionLearner
from inference.training.opinion_learner import OpinionSettings as OpinionSettings
from inference.training.samples import relight
from inference.training.scenes import Scene, Thing, held_out, read_card, read_scene, scene_folders

Rng = np.random.Generator
Field = NDArray[np.float32]
Image = NDArray[np.uint8]
Progress = Callable[[int, int, str], None]

GSD_M = 0.16
HEIGHT_GSD_M = 0.32
STRUCTURE, VEHICLE, OTHER = range(len(OPINION_CLASSES))
# Smaller ones are drawn as often as all larger ones: they are what is missed.
_SMALL_M2 = 20.0
# Rises smaller than this are not proposed; share of chips that show one which is no structure.
_LEAST_RISE_M2, _RISES_SHARE = 2.5, 0.16
# Of the change model's own proposals, by class; windows of a scene that it looks over.
_PROPOSED_SHARE, _WINDOWS, _WINDOWS_STITCHED = 0.25, 9, 30
# A proposal shows a thing when they share so much of the smaller one.
_SAME = 0.25
PROPOSED = "proposed"
RISING = ("new", "altered", "permitted")
VEHICLES = ("vehicle", "car", "van", "truck", "lorry", "bus")
# Share of chips with the days swapped, so that what came has gone; and without heights, as where there is no surface.
SWAPPED, BLIND = 0.25, 0.12
# Share of chips of rendered heights that keep them as sharp as they are, as a laser's surface is: without them, lorries
# on composites, whose heights are rendered, were taken for sheds.
SHARP = 0.35


@dataclass(frozen=True)
class Ground:
    """A scene with its heights: what chips are cut out of.

    `now_m` and `then_m` lie at `HEIGHT_GSD_M`; `rendered` heights are sharp, as no matching of frames gives them.
    """

    scene: Scene
    now_m: Field
    then_m: Field
    rendered: bool
    pools: tuple[tuple[float, int, tuple[Thing, ...]], ...] = field(default=())


def _heights(folder: Path, name: str, shape: tuple[int, int]) -> Field | None:
    path = folder / f"height_{name}.tif"
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if values is None:
        return None
    size = (round(shape[1] * GSD_M / HEIGHT_GSD_M), round(shape[0] * GSD_M / HEIGHT_GSD_M))
    return np.asarray(cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def read_grounds(data: Sequence[Path], held: bool | None = False, model: Model | None = None) -> list[Ground]:
    """Scenes of two days with both heights; others teach this network nothing.

    Args:
        data: Folders of scenes.
        held: False: training places; True: held-out ones; None: all.
        model: A change model whose own proposals are to be looked at, too.
    """
    out = []
    for folder in (f for root in data for f in scene_folders(root)):
        card = read_card(folder)
        if (held is not None and held_out(card.place) != held) or not (folder / "height_before.tif").is_file():
            continue
        scene = read_scene(folder, GSD_M, two_days=True)
        shape = (scene.after.shape[0], scene.after.shape[1])
        now, then = _heights(folder, "after", shape), _heights(folder, "before", shape)
        if scene.before is None or now is None or then is None:
            continue
        rendered = not (card.model_extra or {}).get("stitched", False)
        pools = [*_pools(scene), *_unexplained(scene, now - then)]
        if model is not None:
            pools += _asked_about(model, scene, _WINDOWS if rendered else _WINDOWS_STITCHED)
        out.append(Ground(scene, now, then, rendered, tuple(pools)))
    return out


def _asked_about(model: Model, scene: Scene, windows: int) -> list[tuple[float, int, tuple[Thing, ...]]]:
    """The change model's own proposals by what they show: outlines as they come, parts of roofs among them."""
    things = [t for t in scene.things if len(t.polygon) >= 3 and t.label != "container"]
    shapes = [shapely.make_valid(Polygon(t.polygon)) for t in things]
    tree = STRtree(shapes)
    found: dict[int, list[Thing]] = {STRUCTURE: [], VEHICLE: [], OTHER: []}
    for polygon in proposed(model, scene, windows):
        if polygon.area * GSD_M**2 < _LEAST_RISE_M2:
            continue
        kind = OTHER
        for i in tree.query(polygon, predicate="intersects"):
            shared = shapes[int(i)].intersection(polygon).area / min(polygon.area, shapes[int(i)].area)
            thing = things[int(i)]
            if shared > _SAME and thing.family == "construction" and thing.kind in RISING:
                kind = STRUCTURE
            elif shared > _SAME and thing.label in VEHICLES and kind == OTHER:
                kind = VEHICLE
        xy = tuple((float(x), float(y)) for x, y in polygon.exterior.coords[:-1])
        found[kind].append(Thing(family="none", kind="distractor", label=PROPOSED, polygon=xy))
    return [(_PROPOSED_SHARE, kind, tuple(some)) for kind, some in found.items() if some]


def _unexplained(scene: Scene, rise: Field) -> list[tuple[float, int, tuple[Thing, ...]]]:
    """What rises and is no structure: wrong matches, crowns, edges of walls; the line proposes all of it."""
    high = (np.nan_to_num(rise, nan=0.0) > LEAST_M).astype(np.uint8)
    cells = round(LEAST_WIDTH_M / HEIGHT_GSD_M)
    high = np.asarray(cv2.morphologyEx(high, cv2.MORPH_OPEN, np.ones((cells, cells), np.uint8)), np.uint8)
    explained = [
        shapely.make_valid(Polygon(t.polygon)).buffer(0.5 / GSD_M)
        for t in scene.things
        if len(t.polygon) >= 3 and ((t.family == "construction" and t.kind != "existing") or t.label in VEHICLES)
    ]
    tree, found = STRtree(explained), []
    for ring in cv2.findContours(high, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
        if cv2.contourArea(ring) * HEIGHT_GSD_M**2 < _LEAST_RISE_M2:
            continue
        polygon = shapely.make_valid(Polygon((ring[:, 0].astype(float) + 0.5) * HEIGHT_GSD_M / GSD_M))
        if polygon.geom_type == "Polygon" and not len(tree.query(polygon, predicate="intersects")):
            xy = tuple((float(x), float(y)) for x, y in polygon.exterior.coords[:-1])
            thing = Thing(family="none", kind="distractor", label="rise", polygon=xy)
            if _photographed(scene, thing):
                found.append(thing)
    return [(_RISES_SHARE, OTHER, tuple(found))] if found else []


def _area_m2(thing: Thing) -> float:
    return float(Polygon(thing.polygon).area) * GSD_M**2


def _pools(scene: Scene) -> tuple[tuple[float, int, tuple[Thing, ...]], ...]:
    """(share, class, things) of what there is to look at."""
    fate = {id(t): str((t.model_extra or {}).get("fate", "")) for t in scene.things}
    things = [t for t in scene.things if len(t.polygon) >= 3 and _photographed(scene, t)]
    built = [t for t in things if t.family == "construction"]
    rising = [t for t in built if t.kind in RISING]
    small = [t for t in rising if _area_m2(t) < _SMALL_M2 and t.label not in ("wall", "foundation")]
    thin = [t for t in rising if t.label in ("wall", "foundation", "extension")]
    gone = [t for t in built if t.kind == "gone"]
    standing = [t for t in built if t.kind == "existing"]
    none = [t for t in things if t.family == "none" and t.label != "container"]
    cars = [t for t in none if t.label in VEHICLES]
    lorries = [t for t in cars if _area_m2(t) > 13.0]
    rest = [t for t in none if t not in cars and fate[id(t)] != "existing"]
    heaps = [t for t in things if t.family == "sanitation"]
    shares = [
        (0.14, STRUCTURE, rising), (0.2, STRUCTURE, small), (0.1, STRUCTURE, thin), (0.07, OTHER, gone),
        (0.14, OTHER, standing), (0.07, VEHICLE, cars), (0.14, VEHICLE, lorries), (0.08, OTHER, rest),
        (0.03, OTHER, heaps),
    ]  # fmt: skip
    return tuple((share, kind, tuple(some)) for share, kind, some in shares if some)


def _photographed(scene: Scene, thing: Thing) -> bool:
    x, y = (int(v) for v in np.mean(thing.polygon, axis=0))
    height, width = scene.after.shape[:2]
    return 0 <= x < width and 0 <= y < height and bool(scene.after[y, x].any())


def _outline(polygon: BaseGeometry, rng: Rng, edge: bool) -> BaseGeometry:
    """An outline as proposals draw it: grown or shrunk, moved, at times a part only; `edge`: a strip along it."""
    if edge and rng.random() < 0.75:
        wide = polygon.buffer(rng.uniform(0.3, 1.2)).difference(polygon.buffer(-rng.uniform(0.3, 1.2)))
        x, y = polygon.exterior.interpolate(rng.random(), normalized=True).coords[0]
        polygon = _largest(wide.intersection(Point(x, y).buffer(rng.uniform(1.5, 5.0), 2)))
    grown = polygon.buffer(rng.uniform(-0.35, 0.8), join_style="mitre" if rng.random() < 0.5 else "round")
    polygon = _largest(grown) if not grown.is_empty else polygon
    if rng.random() < 0.15:
        west, south, east, north = polygon.bounds
        cut = rng.uniform(0.4, 0.8)
        part = shapely.box(west, south, west + cut * (east - west), north) if rng.random() < 0.5 else shapely.box(
            west, south, east, south + cut * (north - south))  # fmt: skip
        polygon = _largest(polygon.intersection(part)) or polygon
    slip = rng.normal(0, 0.2, 2)
    return shapely.affinity.translate(polygon, *slip)


def _largest(polygon: BaseGeometry) -> BaseGeometry:
    parts = [p for p in getattr(polygon, "geoms", [polygon]) if p.geom_type == "Polygon"]
    return max(parts, key=lambda p: p.area) if parts else polygon


def _somewhere(ground: Ground, rng: Rng) -> BaseGeometry:
    """A place of no note."""
    height, width = ground.scene.after.shape[:2]
    x, y = rng.uniform(0, width) * GSD_M, rng.uniform(0, height) * GSD_M
    a, b = np.exp(rng.uniform(np.log(1.2), np.log(7), 2))
    box = shapely.box(x - a / 2, y - b / 2, x + a / 2, y + b / 2)
    return shapely.affinity.rotate(box, rng.uniform(0, 180))


def _built_there(ground: Ground, polygon: BaseGeometry) -> bool:
    """Whether a new structure lies in an outline after all."""
    for share, kind, things in ground.pools:
        if kind == STRUCTURE and share > 0.1:
            for thing in things:
                other = shapely.make_valid(Polygon(np.asarray(thing.polygon) * GSD_M))
                if other.intersects(polygon) and other.intersection(polygon).area > 0.1 * min(other.area, polygon.area):
                    return True
    return False


def _metres(thing: Thing) -> BaseGeometry:
    return _largest(shapely.make_valid(Polygon(np.asarray(thing.polygon) * GSD_M)))


def _drawn_place(ground: Ground, rng: Rng) -> tuple[BaseGeometry, int, Thing | None]:
    shares = np.array([p[0] for p in ground.pools] + [0.05])
    at = int(rng.choice(len(shares), p=shares / shares.sum()))
    if at == len(ground.pools):
        return _somewhere(ground, rng), OTHER, None
    _, kind, things = ground.pools[at]
    thing = things[int(rng.integers(len(things)))]
    standing = thing.family == "construction" and thing.kind == "existing"
    return _outline(_metres(thing), rng, standing), kind, thing


def _matched_heights(values: Field, rng: Rng, rendered: bool, gsd_m: float) -> Field:
    """Heights as matching of frames gives them: edges run out, waves, noise; more of it where they were rendered."""
    reach = (rng.uniform(0.25, 0.8) if rendered else rng.uniform(0.0, 0.25)) / gsd_m
    out = cv2.GaussianBlur(values, (0, 0), reach) if reach > 0.3 else values
    waves = cv2.resize(rng.normal(0, 0.08, (4, 4)).astype(np.float32), out.shape[::-1], interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 1, out.shape).astype(np.float32), (0, 0), 1.5) * rng.uniform(0.0, 0.6)
    return np.asarray(out + waves + grain, np.float32)


def chip_sample(ground: Ground, rng: Rng) -> tuple[Field, int]:
    """One chip with its class: turned, relit, at times with the days swapped or without heights."""
    polygon, kind, thing = _drawn_place(ground, rng)
    if polygon.is_empty or polygon.area < 1.0:
        polygon, kind, thing = _somewhere(ground, rng), OTHER, None
    swapped = rng.random() < SWAPPED
    gone = thing is not None and _went(thing)
    if swapped:
        structure = gone and thing is not None and thing.family == "construction"
        kind = STRUCTURE if structure else OTHER if kind == STRUCTURE else kind
    elif kind != STRUCTURE and _built_there(ground, polygon):
        kind = STRUCTURE
    cut = _Cut.drawn(polygon, rng)
    whole = thing is not None and not gone and thing.label != PROPOSED
    pictures = _pictures(ground, cut, thing if whole else None, rng)
    heights = _both_heights(ground, cut, rng) if rng.random() > BLIND else [None, None]
    if swapped:
        pictures, heights = pictures[::-1], heights[::-1]
    return inputs(Chip(pictures[1], pictures[0], heights[0], heights[1], cut.mask, cut.gsd_m)), kind


def _went(thing: Thing) -> bool:
    return thing.kind == "gone" or (thing.model_extra or {}).get("fate") == "gone"


@dataclass(frozen=True)
class _Cut:
    """Where a chip lies in a scene: its middle (scene metres, y down), how it is turned, its cells and its outline."""

    middle: NDArray[np.float64]
    turn: NDArray[np.float64]
    gsd_m: float
    mask: NDArray[np.uint8]

    @classmethod
    def drawn(cls, polygon: BaseGeometry, rng: Rng) -> _Cut:
        """About an outline, turned and mirrored at random, a little larger or smaller than it would be served."""
        gsd_m = spacing_m(polygon) * float(np.exp(rng.uniform(-0.12, 0.12)))
        angle, flip = rng.uniform(0, 2 * np.pi), float(rng.choice([-1.0, 1.0]))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([flip, 1.0])
        west, south, east, north = polygon.bounds
        middle = np.array([(west + east) / 2, (south + north) / 2])
        # Scene metres have y down, outlines as served have it up.
        turned = shapely.transform(polygon, lambda xy: (xy - middle) @ turn * (1, -1))
        return cls(middle, turn, gsd_m, drawn(turned, (0.0, 0.0), gsd_m))

    def of(self, spacing_m: float, slip_m: NDArray[np.float64] | float = 0.0) -> NDArray[np.float32]:
        """Chip pixels at twice the fineness -> pixels of a raster of this spacing, off by a slip."""
        step = self.turn * (self.gsd_m / 2 / spacing_m)
        offset = (self.middle + slip_m) / spacing_m - 0.5 - step @ np.array([CHIP_PX - 0.5, CHIP_PX - 0.5])
        return np.column_stack([step, offset]).astype(np.float32)


def _pictures(ground: Ground, cut: _Cut, thing: Thing | None, rng: Rng) -> list[Image]:
    """Today's and the earlier day's colours; `thing` may take the colour of its ground."""
    out, slip = [], rng.normal(0, 0.12, 2)
    for day, image in enumerate((ground.scene.after, ground.scene.before)):
        assert image is not None
        picture = np.asarray(finer(image, cut.of(GSD_M, slip if day else 0.0)), np.uint8)
        if day == 0 and thing is not None and rng.random() < 0.3:
            back = np.asarray(cv2.invertAffineTransform(cut.of(GSD_M)), float) / 2
            picture = camouflaged(picture, [thing], back - [[0, 0, 0.25]] * 2, rng)
        out.append(relight(picture, rng, 0.8))
    return out


def _both_heights(ground: Ground, cut: _Cut, rng: Rng) -> list[Field | None]:
    out: list[Field | None] = []
    sharp = ground.rendered and rng.random() < SHARP
    for day, values in enumerate((ground.now_m, ground.then_m)):
        slip = rng.normal(0, 0.15, 2) if ground.rendered and day else 0.0
        there = np.asarray(finer(values, cut.of(HEIGHT_GSD_M, slip), float("nan")), np.float32)
        out.append(there if sharp else _matched_heights(there, rng, ground.rendered, cut.gsd_m))
    return out


def batch_of(grounds: Sequence[Ground], rng: Rng, settings: OpinionSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch of chips and their classes; stitched scenes make up their share where there are any."""
    stitched, rendered = [g for g in grounds if not g.rendered], [g for g in grounds if g.rendered]
    rows = []
    for _ in range(settings.batch):
        pool = stitched if stitched and (not rendered or rng.random() < settings.stitched) else rendered
        rows.append(chip_sample(pool[int(rng.integers(len(pool)))], rng))
    return torch.from_numpy(np.stack([r[0] for r in rows])), torch.tensor([r[1] for r in rows])


def train_opinion(
    data: Sequence[Path],
    settings: OpinionSettings | None = None,
    progress: Progress | None = None,
    model: Model | None = None,
    start: OpinionNet | None = None,
) -> OpinionNet | None:
    """Trains the second opinion; None where no scene has two days with both heights.

    Args:
        data: Folders of scenes; those of two days with heights are used, held-out places left out.
        settings: How long and how.
        progress: Called by step.
        model: The change model that it will serve beside.
        start: An opinion to go on from; from nothing where None.
    """
    settings = settings or OpinionSettings()
    grounds = read_grounds(data, model=model)
    if not grounds:
        return None
    torch.manual_seed(settings.seed)
    learner = OpinionLearner(settings, start)
    smooth = 0.0
    for step in range(settings.steps):
        rng = np.random.default_rng([settings.seed, step, 77])
        loss = learner.step(step, *batch_of(grounds, rng, settings))
        smooth = loss if step == 0 else 0.97 * smooth + 0.03 * loss
        if progress:
            progress(step + 1, settings.steps, f"loss {smooth:.4f}")
    return learner.learnt()
