"""Paints a window of a town: ground, then everything that stands on it, the higher over the lower."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LineString, Polygon, box
from shapely.ops import substring
from shapely.strtree import STRtree

from simulators import props, roofs, sprites, vehicles, waste
from simulators.raster import SUBPIXEL_BITS, Floats, Grid, Noise, Tile, fill
from simulators.surface import Season, ground
from simulators.things import (
    RGB,
    VEHICLES,
    Building,
    Car,
    Heap,
    Marking,
    Prop,
    Region,
    Slab,
    Surface,
    Things,
    Tree,
    Wall,
)

Thing = Marking | Slab | Wall | Building | Heap | Car | Tree | Prop
PIECE_M = 14.0
HEAP_CLASS = {
    "garbage": Surface.WASTE, "rubble": Surface.WASTE, "timber": Surface.WASTE, "litter": Surface.LITTER,
    **{kind: Surface.SPOIL if label == "spoil" else Surface.WASTE for kind, label in waste.LABELS.items()},
}  # fmt: skip


@dataclass
class Scene:
    """A town of one day, indexed for painting.

    Attributes:
        things: What stands there.
        noise: Its ground texture.
        half_m: Half of the side of the square that noise covers.
        relief_m: Terrain amplitude; `base_m` the height of its middle above sea level.
    """

    things: Things
    noise: Noise
    half_m: float
    base_m: float
    relief_m: float
    season: Season
    soil: RGB
    _regions: STRtree | None = field(default=None, repr=False)
    _stack: list[tuple[Thing, Polygon]] = field(default_factory=list, repr=False)
    _tree: STRtree | None = field(default=None, repr=False)
    _level: dict[tuple[float, float], float] = field(default_factory=dict, repr=False)

    def terrain(self, grid: Grid) -> Floats:
        """Height of the bare ground above sea level, m."""
        wide = self.noise.field(grid, 140.0, 11) * 0.75 + self.noise.field(grid, 55.0, 12) * 0.2
        return (self.base_m + self.relief_m * wide).astype(np.float32)

    def terrain_at(self, x: float, y: float) -> float:
        """Height of the bare ground at a point."""
        if (x, y) not in self._level:
            self._level[x, y] = float(self.terrain(Grid(x - 0.5, y + 0.5, 1.0, 1, 1))[0, 0])
        return self._level[x, y]

    def index(self) -> None:
        """Builds the spatial indexes; called once after `things` are complete."""
        self._regions = STRtree([region.polygon for region in self.things.regions])
        things = self.things
        ordered: list[Thing] = [
            *(piece for marking in things.markings for piece in _pieces(marking)),
            *things.slabs,
            *things.walls,
            *things.buildings,
            *things.heaps,
            *things.props,
            *things.cars,
            *things.trees,
        ]
        self._stack = [(thing, box(*_bounds(thing))) for thing in ordered if not _empty(thing)]
        self._tree = STRtree([shape for _, shape in self._stack])

    def paint(self, grid: Grid) -> Tile:
        """Colour without light, heights and classes of a window of at most one noise block."""
        assert self._regions is not None and self._tree is not None
        area = box(*grid.bounds)
        surface = np.full((grid.rows, grid.cols), Surface.ROUGH, np.uint8)
        region = np.zeros(surface.shape, np.uint16)
        used: list[Region] = []
        for k in sorted(self._regions.query(area)):
            item = self.things.regions[k]
            fill(surface, grid, item.polygon, int(item.surface))
            used.append(item)
            fill(region, grid, item.polygon, len(used) if (item.row_m or any(item.tint)) else 0)
        rgb, rough = ground(grid, surface, region, used, self.noise, self.season, self.soil)
        terrain = self.terrain(grid)
        canvas = _Canvas(grid, rgb, terrain + rough, surface, np.zeros(surface.shape, np.uint16), terrain, self)
        for k in sorted(self._tree.query(area)):
            canvas.draw(self._stack[k][0], k, self._stack[k][1].bounds)
        return Tile(
            grid, np.clip(canvas.rgb, 0, 255).astype(np.uint8), canvas.height, canvas.surface, canvas.owner, terrain
        )

    def walls(self) -> tuple[Floats, dict[int, tuple[float, ...]]]:
        """Facades by `Tile.owner`: colours (n, 3); x, y, length, width, azimuth, storey, eave above the sea."""
        colours = np.zeros((len(self._stack) + 1, 3), np.float32)
        bodies: dict[int, tuple[float, ...]] = {}
        for k, (thing, _) in enumerate(self._stack, start=1):
            if isinstance(thing, Building):
                plain = thing.use == "container"
                colours[k] = thing.rgb if plain else thing.wall_rgb
                storey = 3.0 if thing.use in ("house", "flats") else 0.0
                eave = self.terrain_at(thing.x, thing.y) + thing.eave_m
                bodies[k] = (thing.x, thing.y, thing.length_m, thing.width_m, thing.azimuth_deg, storey, eave)
        return colours, bodies


def _pieces(marking: Marking) -> list[Marking]:
    """A long line as short ones, its dashes cut out: small windows are cheap to paint."""
    if len(marking.points) < 2:
        return []
    whole = LineString(marking.points)
    step, gap = (marking.dash_m, 1.2 * marking.dash_m) if marking.dash_m > 0 else (PIECE_M, 0.0)
    if whole.length <= step * 1.5 and marking.dash_m == 0:
        return [marking]
    out = []
    for start in np.arange(0, whole.length, step + gap):
        part = substring(whole, start, min(whole.length, start + step))
        if part.length > 0:
            points = tuple((float(x), float(y)) for x, y in part.coords)
            out.append(replace(marking, points=points, dash_m=0.0))
    return out


def _empty(thing: Thing) -> bool:
    return isinstance(thing, Marking | Wall) and len(thing.points) < 2


def _bounds(thing: Thing) -> tuple[float, float, float, float]:
    if isinstance(thing, Marking | Wall):
        width = thing.width_m if isinstance(thing, Marking) else thing.thickness_m
        xs, ys = [p[0] for p in thing.points], [p[1] for p in thing.points]
        grow = width / 2 + 0.2
        bounds = (min(xs) - grow, min(ys) - grow, max(xs) + grow, max(ys) + grow)
    elif isinstance(thing, Tree):
        bounds = _square(thing.x, thing.y, thing.radius_m * 1.2)
    elif isinstance(thing, Car):
        bounds = _square(thing.x, thing.y, 5.0 if VEHICLES[thing.kind][0] < 9 else 7.0)
    elif isinstance(thing, Heap):
        bounds = thing.polygon.buffer(thing.radius_m * 0.5 + 0.3).bounds
    else:
        bounds = thing.polygon.bounds
    return bounds[0], bounds[1], bounds[2], bounds[3]


def _square(x: float, y: float, half: float) -> tuple[float, float, float, float]:
    return x - half, y - half, x + half, y + half


@dataclass
class _Canvas:
    grid: Grid
    rgb: Floats
    height: Floats
    surface: NDArray[np.uint8]
    owner: NDArray[np.uint16]
    terrain: Floats
    scene: Scene

    def draw(self, thing: Thing, index: int, bounds: tuple[float, float, float, float]) -> None:
        row0, row1, col0, col1 = self.grid.window(bounds)
        if row1 <= row0 or col1 <= col0:
            return
        part = np.s_[row0:row1, col0:col1]
        sub = self.grid.sub(row0, row1, col0, col1)
        if isinstance(thing, Marking):
            self._marking(thing, part, sub)
        elif isinstance(thing, Building):
            # A body stands level on the lowest ground under its middle.
            height, rgb, inside = roofs.roof(sub, thing)
            height += self.scene.terrain_at(thing.x, thing.y)
            self._over(part, height, rgb, inside, int(roofs.COVERS[thing.cover]))
            self.owner[part][inside & (self.height[part] <= height + 1e-3)] = index + 1
        elif isinstance(thing, Slab):
            height, rgb, inside = roofs.slab(sub, thing)
            height += self.scene.terrain_at(thing.x, thing.y)
            self._over(part, height, rgb, inside, int(Surface.SLAB))
        elif isinstance(thing, Prop):
            height, rgb, inside = props.prop(sub, thing, self.rgb[part])
            under = self.height[part] if thing.on_top else self.terrain[part]
            self._over(part, under + height, rgb, inside, int(Surface.PROP))
        elif isinstance(thing, Wall):
            self._wall(thing, part, sub)
        elif isinstance(thing, Tree):
            self._crown(thing, part, sub)
        elif isinstance(thing, Car):
            self._sprite(vehicles.car(thing.kind, thing.rgb, thing.seed), thing, part, sub, int(Surface.CAR))
        else:
            lobes = tuple(thing.lobes(math.radians(k)) for k in range(-180, 181, 10))
            draw = waste.dump if thing.kind in waste.MIXES else sprites.heap
            patch = draw(thing.kind, thing.radius_m, thing.height_m, thing.stretch, thing.seed, lobes)
            self._sprite(patch, thing, part, sub, int(HEAP_CLASS.get(thing.kind, Surface.SPOIL)))

    def _over(
        self, part: tuple[slice, slice], height: Floats, rgb: Floats, inside: NDArray[np.bool_], surface: int
    ) -> None:
        """Puts a body where it is higher than what is there."""
        mask = inside & (height > self.height[part])
        self.rgb[part][mask] = rgb[mask]
        self.height[part][mask] = height[mask]
        self.surface[part][mask] = surface
        self.owner[part][mask] = 0

    def _marking(self, thing: Marking, part: tuple[slice, slice], sub: Grid) -> None:
        mask = np.zeros((sub.rows, sub.cols), np.uint8)
        # Thin lines keep their share of a coarse pixel through `share` below.
        width_px = thing.width_m / self.grid.gsd_m
        pixels = sub.pixels(thing.points)
        cv2.polylines(mask, [pixels], False, 255, max(1, round(width_px)), cv2.LINE_AA, SUBPIXEL_BITS)
        hit = np.nonzero(mask)
        if not len(hit[0]):
            return
        share = mask[hit].astype(np.float32) * np.float32(thing.alpha * min(1.0, max(width_px, 0.25)) / 255)
        view = self.rgb[part]
        texture = view[hit]
        light = texture.mean(axis=1, keepdims=True)
        colour = np.array(thing.rgb, np.float32) + 0.35 * (light - light.mean())
        view[hit] = texture + share[:, None] * (colour - texture)

    def _wall(self, thing: Wall, part: tuple[slice, slice], sub: Grid) -> None:
        mask = np.zeros((sub.rows, sub.cols), np.uint8)
        width = max(1, round(thing.thickness_m / sub.gsd_m))
        cv2.polylines(mask, [sub.pixels(thing.points)], False, 255, width, cv2.LINE_8, SUBPIXEL_BITS)
        inside = mask > 0
        texture = self.scene.noise.field(sub, 0.35, 8)
        height: Floats = self.terrain[part] + np.float32(thing.height_m)
        rgb: Floats = np.empty((sub.rows, sub.cols, 3), np.float32)
        rgb[:] = thing.rgb
        rgb += (texture * (16 if thing.hedge else 7))[..., None]
        if thing.hedge:
            height = height + 0.25 * texture
        self._over(part, height, rgb, inside, int(Surface.TREE if thing.hedge else Surface.WALL))

    def _crown(self, tree: Tree, part: tuple[slice, slice], sub: Grid) -> None:
        top, tone, cover = sprites.crown(tree.species, tree.seed % sprites.CROWNS)
        rng = np.random.default_rng(tree.seed)
        turn = math.radians(float(rng.uniform(0, 360)))
        scale = sprites.CROWN_PX / (2.3 * tree.radius_m)
        warped = self._warp((top, tone, cover), sub, tree.x, tree.y, turn, scale, sprites.CROWN_PX / 2)
        base: RGB = {"broad": (82, 104, 52), "conifer": (60, 84, 56), "bush": (96, 112, 58)}[tree.species]
        crown = np.array(self.scene.season.crown) * (1.0 if tree.species != "conifer" else 0.15)
        if tree.hue is not None:
            base, crown = tree.hue, np.zeros(3)
        hue = rng.normal(0, (10, 9, 6)) + rng.normal(0, 8)
        if rng.random() < 0.05:
            hue += (46, 4, 10)
        fine = self.scene.noise.field(sub, 0.12, 9) * 10 + self.scene.noise.field(sub, 0.3, 9) * 7
        colour = (np.array(base) + crown + hue).astype(np.float32)
        light = 1.0 + 1.05 * warped[1]
        rgb = colour * light[..., None] + (fine * light)[..., None] * np.array((0.9, 1.0, 0.6), np.float32)
        thin = max(self.scene.season.bare_share if tree.species == "broad" else 0.0, tree.bare_share)
        inside = warped[2] > 0.5
        if thin > 0:
            inside &= self.scene.noise.field(sub, 0.3, 10) > (thin - 0.5)
        height = self.scene.terrain_at(tree.x, tree.y) + tree.height_m * (0.45 + 0.55 * warped[0]) + 0.012 * fine
        self._over(part, height.astype(np.float32), rgb.astype(np.float32), inside, int(Surface.TREE))

    def _sprite(
        self, patch: sprites.Sprite, thing: Car | Heap, part: tuple[slice, slice], sub: Grid, surface: int
    ) -> None:
        turn = math.radians(thing.azimuth_deg)
        rows, cols = patch.height.shape
        centre = (cols / 2, rows / 2)
        scale = 1 / patch.res_m
        height, cover = self._warp((patch.height, patch.cover), sub, thing.x, thing.y, turn, scale, *centre)
        rgb = self._warp((patch.rgb,), sub, thing.x, thing.y, turn, scale, *centre)[0].astype(np.float32)
        inside = cover > 0.45
        self._over(part, self.terrain[part] + height + 0.04, rgb, inside, surface)

    def _warp(
        self, layers: tuple[NDArray, ...], sub: Grid, x: float, y: float, turn: float, scale: float, cx: float,
        cy: float | None = None,
    ) -> list[NDArray]:  # fmt: skip
        """Layers of a sprite (rows point away from `turn`) seen by a window."""
        step = sub.gsd_m * scale
        cos, sin = math.cos(turn), math.sin(turn)
        # Sprite column = across, row = -along: (dx, dy) in metres, dy = -row * gsd.
        matrix = np.array([[cos * step, sin * step, 0.0], [-sin * step, cos * step, 0.0]])
        dx, dy = (sub.x0 + 0.5 * sub.gsd_m - x) * scale, (sub.y_top - 0.5 * sub.gsd_m - y) * scale
        matrix[0, 2] = dx * cos - dy * sin + cx - 0.5
        matrix[1, 2] = -(dx * sin + dy * cos) + (cx if cy is None else cy) - 0.5
        size = (sub.cols, sub.rows)
        return [cv2.warpAffine(k, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) for k in layers]
