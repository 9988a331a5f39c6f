"""What stands about in a real street and is no case: vehicles, goods, canopies, panels, beds, leaves; some move.

A town without it teaches a model that whatever is new is a find. `Clutter` is an argument of a day, so that towns that
are built without it stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from shapely.geometry import Polygon

from simulators.changes import Change
from simulators.palette import Palette, jitter
from simulators.props import GOODS
from simulators.things import RGB, Building, Car, Prop, Things, Tree

if TYPE_CHECKING:
    from simulators.town import Town

Rng = np.random.Generator
Item = Prop | Car | Building
Taken = tuple[tuple[float, ...], Polygon]

SHEETS: tuple[RGB, ...] = (
    (50, 96, 170), (60, 120, 80), (206, 206, 200), (58, 58, 62), (214, 120, 60), (180, 60, 54), (126, 132, 136),
    (66, 112, 96), (92, 136, 184),
)  # fmt: skip
SOILS: tuple[RGB, ...] = (
    (122, 96, 72), (140, 112, 84), (104, 82, 62), (156, 120, 84), (150, 132, 108), (164, 104, 70), (92, 78, 64),
    (170, 150, 122),
)  # fmt: skip
CLOTHS: tuple[RGB, ...] = ((60, 100, 170), (70, 130, 90), (196, 64, 54), (214, 214, 208), (92, 94, 98), (176, 160, 130))
BRICKS: tuple[RGB, ...] = ((168, 92, 66), (150, 148, 142), (184, 112, 84), (126, 126, 124))
PIPES: tuple[RGB, ...] = ((158, 156, 150), (60, 62, 66), (196, 196, 192), (120, 84, 62), (80, 120, 164))
WOODS: tuple[RGB, ...] = ((186, 152, 110), (150, 122, 92), (120, 104, 88), (128, 88, 70), (204, 176, 132))
LEAVES: tuple[RGB, ...] = ((176, 132, 54), (150, 96, 48), (128, 92, 58), (186, 150, 70), (116, 92, 66))
# Crowns that turned: gold, orange, russet, brown, lime, wine.
TURNED: tuple[RGB, ...] = (
    (190, 150, 52), (182, 108, 48), (150, 78, 46), (122, 94, 62), (150, 148, 60), (126, 62, 58), (168, 124, 70),
)  # fmt: skip
# How often each kind stands in a hectare, and the label of its truth.
FREQUENT: dict[str, float] = {
    "vehicle": 17.0, "container": 2.5, "stack": 4.0, "bricks": 1.5, "pipes": 1.5, "boards": 1.5, "awning": 4.0,
    "solar": 4.0, "solar_ground": 0.7, "bed": 6.0, "bare_earth": 4.5, "tarp": 3.5, "stall": 1.2, "leaves": 3.0,
    "grain": 1.0, "bales": 1.0, "greenhouse": 0.8, "puddle": 1.2,
}  # fmt: skip
LABELS = {"bricks": "stack", "pipes": "stack", "boards": "stack", "solar_ground": "solar"}
KINDS_OF_VEHICLE = (
    ("car", 0.38), ("van", 0.12), ("truck", 0.09), ("bus", 0.06), ("coach", 0.05), ("box", 0.11), ("lorry", 0.04),
    ("pickup", 0.06), ("tricycle", 0.06), ("digger", 0.03),
)  # fmt: skip


@dataclass(frozen=True)
class Clutter:
    """How much stands about, by seed.

    Attributes:
        seed: Places it; with a town's seed it is the same on every day of the town.
        density: Share of `FREQUENT`.
        moving: Share of it that came or went between days 0 and 1.
        turning: Share of broad crowns that are of another colour than green; None: by season.
    """

    seed: int
    density: float = 1.0
    moving: float = 0.6
    turning: float | None = None

    def on(self, town: Town, k: int, kept_free: Sequence[Polygon]) -> list[Change]:
        """What of `all` stands on day `k`."""
        return [c for c in self.all(town, kept_free) if c.day != (-1 if k else 1)]

    def all(self, town: Town, kept_free: Sequence[Polygon]) -> list[Change]:
        """What stands clear of `kept_free` on any day; `Change.day` tells fate: 0 stood, 1 came, -1 stood and left."""
        if self not in town.clutters:
            town.clutters[self] = _placed(self, town)
        return [c for c in town.clutters[self] if not any(c.polygon.intersects(shape) for shape in kept_free)]

    def turned(self, town: Town, k: int, season: str, trees: list[Tree]) -> list[Tree]:
        """The day's crowns: some golden, brown or half bare, each on its own."""
        rng = np.random.default_rng([self.seed, town.seed, 71])
        late = rng.uniform(0, 1, len(trees))
        hues = rng.integers(0, len(TURNED), len(trees))
        leaf = rng.normal(0, 9, (len(trees), 3))
        bare = rng.uniform(-0.6, 0.6, len(trees))
        share = self.turning if self.turning is not None else {"autumn": 0.65, "winter": 0.5}.get(season, 0.05)
        share = float(np.clip(share + np.random.default_rng([self.seed, k, 72]).uniform(-0.15, 0.2), 0.02, 1))
        out = []
        for n, tree in enumerate(trees):
            if tree.species == "conifer" or late[n] > share:
                out.append(tree)
                continue
            red, green, blue = (float(c + d) for c, d in zip(TURNED[int(hues[n])], leaf[n], strict=True))
            out.append(replace(tree, hue=(red, green, blue), bare_share=max(0.0, float(bare[n]))))
        return out


def _placed(clutter: Clutter, town: Town) -> list[Change]:
    rng = np.random.default_rng([clutter.seed, town.seed, 70])
    hectares = town.size_m[0] * town.size_m[1] / 10_000
    out: list[Change] = []
    taken: list[Taken] = []
    for kind, often in FREQUENT.items():
        for _ in range(int(rng.poisson(often * hectares * clutter.density))):
            item = _find(rng, town, kind, taken)
            if item is None:
                continue
            fate = int(rng.choice([0, 1, -1], p=(1 - clutter.moving, clutter.moving * 0.6, clutter.moving * 0.4)))
            shape = item.polygon
            taken.append((shape.bounds, shape))
            tall = item.top_m if isinstance(item, Building) else item.height_m
            label = LABELS.get(kind, kind)
            out.append(Change(0, label, "none", label, item, shape, tall, day=fate))
    return out


def _find(rng: Rng, town: Town, kind: str, taken: list[Taken]) -> Item | None:
    """A place for one thing: on a roof, against a house, beside a street or on open ground; None after 40 tries."""
    half_x, half_y = town.size_m[0] / 2 - 4, town.size_m[1] / 2 - 4
    at_house = kind in ("solar", "awning")
    make = None if at_house else _maker(rng, town, kind)
    roads = kind in ("stall", "grain", "puddle", "leaves") or (kind == "vehicle" and rng.random() < 0.3)
    for _ in range(40):
        if make is None:
            found = _at_house(rng, town, kind)
            if found is None:
                return None
            item, ground = found
        else:
            item = make(float(rng.uniform(-half_x, half_x)), float(rng.uniform(-half_y, half_y)))
            ground = item.polygon.buffer(0.2)
        shape = item.polygon
        # Distances between outlines are dear: most are far apart by their bounds alone.
        west, south, east, north = shape.buffer(0.5, quad_segs=1).bounds
        near = [o for (x0, y0, x1, y1), o in taken if x0 < east and x1 > west and y0 < north and y1 > south]
        if any(shape.distance(other) < 0.5 for other in near):
            continue
        if ground.is_empty or town.is_free(ground, roads=roads):
            return item
    return None


def _seed(rng: Rng) -> int:
    return int(rng.integers(1, 2**31 - 1))


def _of(rng: Rng, colours: tuple[RGB, ...], spread: float = 9.0) -> RGB:
    return jitter(rng, colours[int(rng.integers(len(colours)))], spread)


def _at_house(rng: Rng, town: Town, kind: str) -> tuple[Item, Polygon] | None:
    """Panels on a roof, or a canopy before a front; and the ground that must be free for it."""
    hosts = [b for b in town.things.buildings if b.use != "container"]
    if kind == "awning":
        hosts = [b for b in hosts if b.use in ("house", "hall", "shed")]
    if not hosts:
        return None
    host = hosts[int(rng.integers(len(hosts)))]
    turn = math.radians(host.azimuth_deg)
    if kind == "solar":
        side = float(rng.choice([-1.0, 1.0])) if host.roof != "flat" else 0.0
        wide = host.width_m * (0.38 if side else 0.8) * float(rng.uniform(0.6, 1))
        long = host.length_m * float(rng.uniform(0.35, 0.92))
        across, along = side * host.width_m * 0.25, float(rng.uniform(-0.5, 0.5)) * (host.length_m * 0.95 - long)
        rgb = _of(rng, ((30, 40, 74), (22, 26, 38), (44, 58, 104)), 4)
        tall = 0.12 if side else 0.25
        place = (across, along, long, wide, tall)
    else:
        deep, long = float(rng.uniform(1.4, 4.5)), float(rng.uniform(0.3, 1.0)) * host.length_m
        across = float(rng.choice([-1.0, 1.0])) * (host.width_m / 2 + deep / 2)
        along = float(rng.uniform(-0.5, 0.5)) * (host.length_m - long)
        rgb = _of(rng, CLOTHS)
        place = (across, along, long, deep, float(rng.uniform(2.3, 3.0)))
    across, along, long, wide, tall = place
    x = host.x + along * math.sin(turn) + across * math.cos(turn)
    y = host.y + along * math.cos(turn) - across * math.sin(turn)
    body = Prop(x, y, long, wide, host.azimuth_deg, tall, kind, rgb, _seed(rng), on_top=kind == "solar")
    return body, Polygon() if kind == "solar" else body.polygon.difference(host.polygon.buffer(0.3))


# Length, width and height of each kind of prop: least and most, m; then its colours.
SIZES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[RGB, ...]]] = {
    "stack": ((1.2, 9.0), (1.1, 5.0), (0.5, 2.2), GOODS),
    "bricks": ((1.0, 6.0), (1.0, 4.0), (0.5, 1.4), BRICKS),
    "pipes": ((3.0, 9.0), (1.2, 4.0), (0.3, 1.1), PIPES),
    "boards": ((2.5, 6.0), (0.8, 3.0), (0.2, 1.2), WOODS),
    "solar_ground": ((4.0, 16.0), (2.4, 9.6), (0.8, 1.6), ((30, 40, 74), (24, 28, 40))),
    "bed": ((2.5, 12.0), (1.5, 7.0), (0.10, 0.16), SOILS),
    "bare_earth": ((3.0, 14.0), (2.5, 9.0), (0.08, 0.10), SOILS),
    "tarp": ((2.0, 9.0), (1.8, 6.0), (0.06, 1.3), SHEETS),
    "stall": ((2.6, 21.0), (2.6, 5.2), (2.1, 2.4), CLOTHS),
    "leaves": ((2.0, 9.0), (2.0, 7.0), (0.09, 0.12), LEAVES),
    "grain": ((5.0, 18.0), (2.5, 5.0), (0.08, 0.10), ((214, 178, 104), (206, 160, 76), (220, 196, 140))),
    "bales": ((1.4, 9.0), (1.4, 5.0), (1.0, 1.5), ((196, 172, 112), (178, 158, 116))),
    "greenhouse": ((10.0, 30.0), (5.0, 8.0), (2.0, 2.8), ((206, 210, 208), (190, 196, 196), (216, 216, 208))),
    "puddle": ((1.5, 7.0), (1.0, 4.0), (0.08, 0.09), ((70, 74, 72), (110, 104, 90), (150, 162, 172))),
}


def _maker(rng: Rng, town: Town, kind: str) -> Callable[[float, float], Item]:
    """Draws a thing of a kind; returns what puts it at (x, y)."""
    azimuth, seed = float(rng.uniform(0, 360)), _seed(rng)
    if kind == "vehicle":
        names, weights = zip(*KINDS_OF_VEHICLE, strict=True)
        chosen = str(rng.choice(names, p=weights))
        paint = Palette.car(rng)
        return lambda x, y: Car(x, y, azimuth, chosen, paint, seed % 2**20)
    if kind == "container":
        long, rgb = float(rng.choice([6.06, 6.06, 12.2, 3.0])), town.palette.steel(rng)
        return lambda x, y: Building(
            x, y, long, 2.44, azimuth, 2.6, 0.02, "flat", "steel", rgb, (120, 120, 120), "container", seed
        )
    long_m, wide_m, tall_m, colours = SIZES[kind]
    long = math.exp(rng.uniform(math.log(long_m[0]), math.log(long_m[1])))
    wide = min(long, math.exp(rng.uniform(math.log(wide_m[0]), math.log(wide_m[1]))))
    tall, rgb = float(rng.uniform(*tall_m)), _of(rng, colours, 11)
    if kind == "tarp" and rng.random() < 0.6:
        tall = 0.07
    name = "solar" if kind == "solar_ground" else kind
    return lambda x, y: Prop(x, y, long, wide, azimuth, tall, name, rgb, seed)


def dressed(things: Things, items: Sequence[Change]) -> Things:
    """`things` with what stands about."""
    stuff = [c.thing for c in items]
    return replace(
        things,
        cars=things.cars + [t for t in stuff if isinstance(t, Car)],
        props=things.props + [t for t in stuff if isinstance(t, Prop)],
        buildings=things.buildings + [t for t in stuff if isinstance(t, Building)],
    )
