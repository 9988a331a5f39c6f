"""What happens between two days: built with and without permits, dumped, cleared; placed by seed on free ground."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from shapely.affinity import translate
from shapely.geometry import Polygon

from simulators import variety
from simulators.errors import SimulatorError
from simulators.palette import Palette, jitter
from simulators.restyle import restyled
from simulators.things import RGB, Building, Car, Heap, Prop, Region, Slab, Surface, Wall, rectangle
from simulators.waste import LABELS

if TYPE_CHECKING:
    from simulators.town import Town

Rng = np.random.Generator
Thing = Building | Slab | Wall | Heap | Region | Car | Prop
TARPS: tuple[RGB, ...] = ((50, 96, 170), (60, 120, 80), (190, 190, 186), (60, 60, 62), (214, 120, 60))
STACKS: tuple[RGB, ...] = ((164, 92, 68), (150, 148, 142), (178, 140, 96), (110, 112, 114))
POOLS: tuple[RGB, ...] = ((84, 160, 190), (70, 140, 170))


@dataclass(frozen=True)
class Changes:
    """How many of each kind come, and the seed that places them.

    Attributes:
        buildings: Unpermitted new buildings and sheds, 6 to 200 m².
        extensions, foundations, walls: Unpermitted, too.
        permitted: New buildings that have a permit.
        over_permit: New buildings larger than their permit.
        garbage: Heaps of mixed garbage or rubble, at least 1 m², 0.3 to 1.5 m high.
        spoil: Heaps of earth dumped outside building sites.
        litter: Fields of litter.
        distractors: What is new and no case: tarpaulins, stacked bricks, pools, dug soil, fresh paving.
        stages: Foundations of the town's building sites that have become shells, all with a permit.
        smallest_m2, largest_m2: Range of new buildings' area.
        lenient: What finds no free ground is left out instead of refused.
        rich: `waste`'s dumps, `restyle`'s roofs and `variety`'s lean-tos and walls among the plain ones.
    """

    seed: int
    buildings: int = 0
    permitted: int = 0
    over_permit: int = 0
    extensions: int = 0
    foundations: int = 0
    walls: int = 0
    garbage: int = 0
    spoil: int = 0
    litter: int = 0
    distractors: int = 0
    stages: int = 0
    smallest_m2: float = 6.0
    largest_m2: float = 200.0
    lenient: bool = False
    rich: bool = False

    @classmethod
    def by_seed(cls, seed: int, **counts: int | float) -> Changes:
        """The demo's day: three unpermitted new buildings, one permitted, four heaps; `counts` override.

        A new building of the demo is at least 20 m², as in a first look at a simulated town.
        """
        values: dict[str, int | float] = {"buildings": 3, "permitted": 1, "garbage": 4, "smallest_m2": 20.0}
        return cls(seed, **{**values, **counts})  # type: ignore[arg-type]

    @classmethod
    def many(cls, seed: int) -> Changes:
        """A busy day for training and for benchmarks: every kind, numbers by seed."""
        rng = np.random.default_rng([seed, 606])
        return cls(
            seed,
            buildings=int(rng.integers(5, 11)),
            permitted=int(rng.integers(1, 4)),
            over_permit=int(rng.integers(0, 2)),
            extensions=int(rng.integers(1, 4)),
            foundations=int(rng.integers(1, 3)),
            walls=int(rng.integers(1, 3)),
            garbage=int(rng.integers(6, 14)),
            spoil=int(rng.integers(1, 4)),
            litter=int(rng.integers(1, 4)),
            distractors=int(rng.integers(6, 14)),
            stages=int(rng.integers(0, 3)),
        )


@dataclass(frozen=True)
class Change:
    """One thing that came: what was built or dumped, its outline, and whether a permit covers it."""

    number: int
    kind: str
    family: str
    label: str
    thing: Thing
    polygon: Polygon
    height_m: float
    permitted: bool | None = None
    permit: Polygon | None = None
    permit_height_m: float | None = None
    day: int = 1

    @property
    def area_m2(self) -> float:
        """Ground area."""
        return float(self.polygon.area)


class Placer:
    """Finds free ground in a town and puts changes there."""

    def __init__(self, town: Town, changes: Changes, day: int = 1, standing: Sequence[Change] = ()) -> None:
        self.town = town
        self.changes = changes
        self.day = day
        self.standing = tuple(standing)
        self.rng = np.random.default_rng([town.seed, changes.seed, 1213, *([day] if day > 1 else [])])
        self.out: list[Change] = []

    def place(self) -> list[Change]:
        """All changes, unpermitted structures first."""
        wanted = self.changes
        makers: list[tuple[int, Callable[[], None]]] = [
            (wanted.buildings, lambda: self._building("new_building", False)),
            (wanted.permitted, lambda: self._building("new_building", True)),
            (wanted.over_permit, lambda: self._building("over_permit", True)),
            (wanted.extensions, self._addition if wanted.rich else self._extension),
            (wanted.foundations, self._foundation),
            (wanted.walls, self._any_wall if wanted.rich else self._wall),
            (wanted.garbage, lambda: self._heap("garbage")),
            (wanted.spoil, lambda: self._heap("spoil")),
            (wanted.litter, lambda: self._heap("litter")),
            (wanted.distractors, self._distractor),
            (wanted.stages, self._stage),
        ]
        for count, make in makers:
            for _ in range(count):
                try:
                    make()
                except SimulatorError:
                    if not wanted.lenient:
                        raise
        return self.out

    def _add(
        self,
        kind: str,
        family: str,
        thing: Thing,
        polygon: Polygon,
        tall: float,
        permitted: bool | None = None,
        permit: Polygon | None = None,
        cap: float | None = None,
    ) -> None:
        label = {"garbage": "waste_heap", "timber": "waste_heap", "rubble": "construction_waste", **LABELS}.get(
            kind, kind
        )
        number = len(self.standing) + len(self.out) + 1
        change = Change(number, kind, family, label, thing, polygon, tall, permitted, permit, cap, self.day)
        self.out.append(change)

    def _spot(
        self, shape_at: Callable[[float, float], Polygon], gap_m: float, *, roads: bool = False, tries: int = 3000
    ) -> Polygon:
        """A shape on free ground, from a maker of (x, y) -> polygon."""
        half_x, half_y = self.town.size_m[0] / 2 - 12, self.town.size_m[1] / 2 - 12
        if self.changes.lenient:
            tries //= 6
        for attempt in range(tries):
            x, y = float(self.rng.uniform(-half_x, half_x)), float(self.rng.uniform(-half_y, half_y))
            shape = shape_at(x, y)
            slack = gap_m if attempt < tries / 2 else gap_m / 2
            if self.town.is_free(shape.buffer(slack), roads=roads) and not any(
                shape.distance(other.polygon) < max(4.0, slack) for other in (*self.standing, *self.out)
            ):
                return shape
        raise SimulatorError(
            f"no free ground for {shape.area:.0f} m² in town {self.town.seed} after {tries} tries:"
            " ask for fewer changes or a larger town"
        )

    def _building(self, kind: str, permitted: bool) -> None:
        rng, palette = self.rng, self.town.palette
        small, large = self.changes.smallest_m2, self.changes.largest_m2
        area = math.exp(rng.uniform(math.log(small), math.log(large)))
        ratio = float(rng.uniform(1.0, 2.2))
        length, width = math.sqrt(area * ratio), math.sqrt(area / ratio)
        azimuth = float(rng.uniform(0, 180))
        shape = self._spot(lambda x, y: rectangle(x, y, length, width, azimuth), 1.5)
        body = _new_body(rng, palette, shape, length, width, azimuth)
        if self.changes.rich:
            body = restyled(rng, body)
        if not permitted:
            self._add("shed" if area < 25 else kind, "construction", body, shape, body.top_m, False)
            return
        grown = shape.buffer(1.0, join_style="mitre")
        if kind == "over_permit":
            grown = rectangle(body.x, body.y, length * 0.6, width + 2, azimuth)
        cap = math.ceil(body.top_m + 1)
        self._add(kind, "construction", body, shape, body.top_m, kind != "over_permit", grown, cap)

    def _addition(self) -> None:
        """A lean-to of any kind, or at times a storey on a flat roof."""
        for _ in range(300):
            needs: Polygon | None = None
            if self.rng.random() < 0.2:
                body = variety.roof_room(self.rng, self.town)
            else:
                body, needs = variety.lean_to(self.rng, self.town) or (None, None)
            if body is None or any(body.polygon.distance(c.polygon) < 4 for c in (*self.standing, *self.out)):
                continue
            if needs is None or self.town.is_free(needs, roads=False):
                self._add("extension", "construction", body, body.polygon, body.top_m, False)
                return
        raise SimulatorError(
            f"no building in town {self.town.seed} has room for an addition: ask for fewer, or for a larger town"
        )

    def _any_wall(self) -> None:
        body, shape = variety.wall(self.rng)
        spot = self._spot(lambda x, y: translate(shape, x, y), 0.8)
        dx, dy = spot.centroid.x - shape.centroid.x, spot.centroid.y - shape.centroid.y
        body = replace(body, points=tuple((x + dx, y + dy) for x, y in body.points))
        self._add("wall", "construction", body, spot, body.height_m, False)

    def _extension(self) -> None:
        """A lean-to against a house that stands."""
        rng = self.rng
        hosts = [b for b in self.town.things.buildings if b.use in ("house", "flats", "hall") and self.town.inside(b)]
        for _ in range(600 if hosts else 0):
            host = hosts[int(rng.integers(len(hosts)))]
            long, deep = float(rng.uniform(3, min(9, host.length_m))), float(rng.uniform(2.2, 5))
            side = float(rng.choice([-1.0, 1.0])) * (host.width_m / 2 + deep / 2)
            slide = float(rng.uniform(-0.5, 0.5)) * (host.length_m - long)
            turn = math.radians(host.azimuth_deg)
            x = host.x + slide * math.sin(turn) + side * math.cos(turn)
            y = host.y + slide * math.cos(turn) - side * math.sin(turn)
            shape = rectangle(x, y, long, deep, host.azimuth_deg)
            other = shape.difference(host.polygon.buffer(0.3))
            if not self.town.is_free(other, roads=False) or any(
                shape.distance(c.polygon) < 4 for c in (*self.standing, *self.out)
            ):
                continue
            body = Building(
                x, y, long, deep, host.azimuth_deg, float(rng.uniform(2.3, 3)), 0.4, "mono", "steel",
                self.town.palette.steel(rng), host.wall_rgb, "shed", int(rng.integers(1, 2**31)),
            )  # fmt: skip
            self._add("extension", "construction", body, shape, body.top_m, False)
            return
        raise SimulatorError(
            f"no house in town {self.town.seed} has room for an extension: ask for fewer, or for a larger town"
        )

    def _foundation(self) -> None:
        rng = self.rng
        length, width, azimuth = float(rng.uniform(5, 14)), float(rng.uniform(4, 10)), float(rng.uniform(0, 180))
        shape = self._spot(lambda x, y: rectangle(x, y, length, width, azimuth), 1.5)
        tall, rgb = float(rng.uniform(0.3, 0.6)), jitter(rng, (164, 160, 152), 14)
        seed = int(rng.integers(1, 2**31))
        body = Slab(shape.centroid.x, shape.centroid.y, length, width, azimuth, tall, rgb, seed)
        self._add("foundation", "construction", body, shape, body.height_m, False)

    def _wall(self) -> None:
        rng = self.rng
        length, azimuth = float(rng.uniform(25, 45)), float(rng.uniform(0, 180))
        shape = self._spot(lambda x, y: rectangle(x, y, length, 0.3, azimuth), 0.8)
        ring = list(shape.minimum_rotated_rectangle.exterior.coords)
        first = ((ring[0][0] + ring[1][0]) / 2, (ring[0][1] + ring[1][1]) / 2)
        last = ((ring[2][0] + ring[3][0]) / 2, (ring[2][1] + ring[3][1]) / 2)
        if math.dist(first, last) < 5:
            first = ((ring[1][0] + ring[2][0]) / 2, (ring[1][1] + ring[2][1]) / 2)
            last = ((ring[3][0] + ring[0][0]) / 2, (ring[3][1] + ring[0][1]) / 2)
        tall = float(rng.uniform(1.8, 2.6))
        self._add("wall", "construction", Wall((first, last), 0.3, tall, (176, 140, 124)), shape, tall, False)

    def _stage(self) -> None:
        """A building site's foundation grows into a shell."""
        taken = [c.polygon for c in (*self.standing, *self.out)]
        open_slabs = [s for s in self.town.things.slabs if self.town.inside(s)]
        open_slabs = [s for s in open_slabs if not any(s.polygon.intersects(polygon) for polygon in taken)]
        if not open_slabs:
            raise SimulatorError(f"no open foundation in town {self.town.seed}: ask for fewer stages or another seed")
        slab = open_slabs[int(self.rng.integers(len(open_slabs)))]
        eave = 3.1 * int(self.rng.integers(1, 4))
        body = Building(
            slab.x, slab.y, slab.length_m - 0.6, slab.width_m - 0.6, slab.azimuth_deg, eave, 0.3, "flat", "concrete",
            jitter(self.rng, (164, 160, 152)), (150, 140, 130), "shell", slab.seed,
        )  # fmt: skip
        permit = slab.polygon.buffer(2.0, join_style="mitre")
        self._add("building_stage", "construction", body, body.polygon, body.top_m, True, permit, eave + 6)

    def _distractor(self) -> None:
        rng = self.rng
        kind = str(rng.choice(["tarp", "stack", "stack", "pool", "soil", "paving"]))
        low, high = {"stack": (1.0, 3.0), "pool": (3.0, 7.0)}.get(kind, (2.0, 8.0))
        length, width, azimuth = (
            float(rng.uniform(low, high)),
            float(rng.uniform(low, high)),
            float(rng.uniform(0, 180)),
        )
        shape = self._spot(lambda x, y: rectangle(x, y, length, width, azimuth), 0.5)
        x, y = shape.centroid.x, shape.centroid.y
        if kind in ("soil", "paving"):
            surface = Surface.SOIL if kind == "soil" else Surface.PAVING
            self._add(kind, "none", Region(shape, surface), shape, 0.0)
            return
        tall = {"tarp": 0.06, "stack": float(rng.uniform(0.5, 1.3)), "pool": 0.05}[kind]
        colours = {"tarp": TARPS, "stack": STACKS, "pool": POOLS}[kind]
        rgb = jitter(rng, colours[int(rng.integers(len(colours)))])
        slab = Slab(x, y, length, width, azimuth, tall, rgb, int(rng.integers(1, 2**31)), columns=False)
        self._add(kind, "none", slab, shape, tall)

    def _heap(self, kind: str) -> None:
        rng = self.rng
        low, high = {"garbage": (0.65, 2.6), "spoil": (1.8, 4.5), "litter": (2.5, 6.0)}[kind]
        if kind == "garbage" and rng.random() < 0.12:
            low, high = 2.6, 4.2
        radius = float(rng.uniform(low, high))
        tall = {"garbage": min(1.5, max(0.3, radius * float(rng.uniform(0.35, 0.7)))), "spoil": radius * 0.38}.get(
            kind, 0.06
        )
        stretch, azimuth, seed = float(rng.uniform(1, 1.5)), float(rng.uniform(0, 180)), int(rng.integers(1, 2**31))
        if kind == "garbage":
            kind = str(rng.choice(["garbage", "garbage", "garbage", "rubble", "timber"]))
        if self.changes.rich and kind != "litter" and rng.random() < 0.75:
            richer = ["earth"] if kind == "spoil" else ["household", "household", "bags", "bulky", "demolition"]
            kind = str(rng.choice([*richer, *(["branches", "demolition"] if kind != "spoil" else [])]))
            tall = tall * float(rng.uniform(0.5, 1.1)) if kind != "earth" else tall

        def heap_at(x: float, y: float) -> Heap:
            return Heap(x, y, radius, tall, kind, seed, stretch, azimuth)

        shape = self._spot(lambda x, y: heap_at(x, y).polygon, 0.6, roads=rng.random() < 0.25)
        offset = heap_at(0, 0).polygon.centroid
        heap = heap_at(shape.centroid.x - offset.x, shape.centroid.y - offset.y)
        self._add(kind, "sanitation", heap, heap.polygon, tall)


def _new_body(rng: Rng, palette: Palette, shape: Polygon, length: float, width: float, azimuth: float) -> Building:
    """A new building: mostly light ones with steel roofs, some of brick with tiles or a concrete top."""
    x, y = shape.centroid.x, shape.centroid.y
    seed = int(rng.integers(1, 2**31))
    pick = rng.random()
    eave = float(rng.uniform(2.2, 3.2)) if length * width < 40 else float(rng.uniform(2.8, 6.2))
    if pick < 0.6:
        roof, rise = ("gable", width * 0.14) if rng.random() < 0.5 else ("mono", 0.5)
        return Building(
            x, y, length, width, azimuth, eave, rise, roof, "steel", palette.steel(rng), palette.wall(rng), "shed", seed
        )
    if pick < 0.8:
        rgb = palette.tile(rng)
        return Building(
            x, y, length, width, azimuth, eave, width * 0.25, "gable", "tile", rgb, palette.wall(rng), "house", seed
        )
    rgb = palette.membrane(rng)
    return Building(x, y, length, width, azimuth, eave, 0.3, "flat", "concrete", rgb, palette.wall(rng), "shed", seed)
