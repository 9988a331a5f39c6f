"""What each block holds: houses along its edges, blocks of flats, halls, fields, parks, building sites."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from shapely.geometry import LineString, Point, Polygon
from shapely.prepared import prep
from shapely.strtree import STRtree

from simulators.layout import Block
from simulators.palette import Palette
from simulators.things import XY, Building, Heap, Marking, Region, Slab, Surface, Things, Tree, Wall, rectangle

Rng = np.random.Generator


class Furnisher:
    """Fills blocks; keeps what is taken so that nothing stands in another."""

    def __init__(self, rng: Rng, palette: Palette, things: Things) -> None:
        self.rng = rng
        self.palette = palette
        self.things = things
        self.taken: list[Polygon] = []

    def furnish(self, block: Block) -> None:
        """Adds the block's ground and things."""
        makers: dict[str, Callable[[Polygon], None]] = {
            "village": self._village,
            "flats": self._flats,
            "industry": self._industry,
            "field": self._field,
            "park": self._park,
            "site": self._site,
            "yard": self._yard,
        }
        self.taken = []
        makers[block.use](block.polygon)

    # -- helpers

    def seed(self) -> int:
        """A seed for one thing."""
        return int(self.rng.integers(1, 2**31 - 1))

    def _free(self, shape: Polygon, gap_m: float) -> bool:
        grown = shape.buffer(gap_m, cap_style="square")
        return not any(grown.intersects(other) for other in self.taken)

    def _try(self, ground: Polygon, building: Building, gap_m: float, edge_m: float = 0.5) -> bool:
        shape = building.polygon
        if not ground.contains(shape.buffer(edge_m)) or not self._free(shape, gap_m):
            return False
        self.things.buildings.append(building)
        self.taken.append(shape)
        return True

    def _trees(self, ground: Polygon, count: int, size: tuple[float, float], species: str | None = None) -> None:
        if ground.is_empty:
            return
        x0, y0, x1, y1 = ground.bounds
        inside = prep(ground)
        blocked = STRtree(self.taken) if self.taken else None
        for _ in range(count):
            x, y = float(self.rng.uniform(x0, x1)), float(self.rng.uniform(y0, y1))
            radius = float(self.rng.uniform(*size))
            spot = Point(x, y)
            if not inside.contains(spot):
                continue
            if blocked is not None and len(blocked.query(spot.buffer(radius * 0.7), predicate="intersects")):
                continue
            kind = species or str(self.rng.choice(["broad", "broad", "broad", "conifer", "bush"]))
            if kind == "bush":
                radius = min(radius, 1.3)
            tall = radius * float(self.rng.uniform(1.5, 2.6)) if kind != "bush" else radius * 1.1
            self.things.trees.append(Tree(x, y, radius, tall, kind, self.seed()))

    def _house(self, x: float, y: float, azimuth: float, length: float, width: float) -> Building:
        rng, palette = self.rng, self.palette
        floors = float(rng.choice([1, 1, 2, 2, 3]))
        pick = rng.random()
        if pick < palette.flat_share:
            return Building(
                x, y, length, width, azimuth, 3.1 * floors, 0.5, "flat", "membrane",
                palette.membrane(rng), palette.wall(rng), "house", self.seed(),
            )  # fmt: skip
        steel = rng.random() < palette.steel_share
        roof = "gable" if rng.random() < 0.75 else "hip"
        return Building(
            x, y, length, width, azimuth, 3.0 * floors, width * float(rng.uniform(0.18, 0.32)), roof,
            "steel" if steel else "tile", palette.steel(rng) if steel else palette.tile(rng),
            palette.wall(rng), "house", self.seed(),
        )  # fmt: skip

    def _shed(self, x: float, y: float, azimuth: float, length: float, width: float) -> Building:
        rng = self.rng
        steel = rng.random() < 0.6
        return Building(
            x, y, length, width, azimuth, float(rng.uniform(2.0, 2.9)), float(rng.uniform(0.25, 0.7)),
            "mono" if rng.random() < 0.6 else "gable", "steel" if steel else "tile",
            self.palette.steel(rng) if steel else self.palette.tile(rng), self.palette.wall(rng), "shed", self.seed(),
        )  # fmt: skip

    # -- uses

    def _village(self, ground: Polygon) -> None:
        rng, things = self.rng, self.things
        surface = Surface.GARDEN if rng.random() < 0.6 else Surface.LAWN
        things.regions.append(Region(ground, surface))
        for (px, py), azimuth in _fronts(ground, float(rng.uniform(13, 19)), rng):
            inward = azimuth + 90
            sx, sy = math.sin(math.radians(inward)), math.cos(math.radians(inward))
            length, width = float(rng.uniform(8, 14)), float(rng.uniform(6.5, 9.5))
            back = width / 2 + float(rng.uniform(2, 6))
            turned = rng.random() < 0.25
            house = self._house(
                px + sx * back, py + sy * back, azimuth + (90 if turned else 0) + rng.normal(0, 1.5), length, width
            )
            if not self._try(ground, house, 2.2):
                continue
            self._yard_of(house, ground, azimuth, (sx, sy))
        self._trees(ground, int(ground.area / 95), (1.2, 3.6))
        self._trees(ground, int(ground.area / 140), (0.5, 1.2), "bush")

    def _yard_of(self, house: Building, ground: Polygon, azimuth: float, inward: XY) -> None:
        """Drive, pad, shed, wing, fence and beds around one house."""
        rng, things = self.rng, self.things
        sx, sy = inward
        tx, ty = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
        pad = rectangle(house.x - sx * 4 + tx * 3, house.y - sy * 4 + ty * 3, 5 + rng.uniform(0, 5), 4, azimuth)
        hard = [Surface.CONCRETE, Surface.PAVING, Surface.GRAVEL, Surface.SOIL][int(rng.integers(4))]
        apron = rectangle(
            house.x, house.y, house.length_m + 2 * rng.uniform(0.6, 2), house.width_m + 2 * rng.uniform(0.6, 2.5),
            house.azimuth_deg,
        )  # fmt: skip
        for shape in (pad, apron):
            things.regions.append(Region(shape.intersection(ground), hard))
        if rng.random() < 0.75:
            back = house.width_m / 2 + rng.uniform(5, 11)
            side = rng.uniform(-6, 6)
            size = (float(rng.uniform(2.5, 7)), float(rng.uniform(2.2, 4)))
            self._try(
                ground,
                self._shed(house.x + sx * back + tx * side, house.y + sy * back + ty * side, azimuth, *size),
                1.2,
            )
        if rng.random() < 0.5:
            back = house.width_m / 2 + rng.uniform(6, 12)
            bed = rectangle(house.x + sx * back, house.y + sy * back, rng.uniform(4, 9), rng.uniform(3, 6), azimuth)
            crop = Surface.PLOUGHED if rng.random() < 0.4 else Surface.CROP
            things.regions.append(
                Region(bed.intersection(ground), crop, (0, 0, 0), azimuth, float(rng.uniform(0.5, 0.9)))
            )
        if rng.random() < 0.6:
            reach = house.length_m / 2 + float(rng.uniform(1.5, 3))
            a = (house.x + tx * reach - sx * 5, house.y + ty * reach - sy * 5)
            b = (house.x + tx * reach + sx * 15, house.y + ty * reach + sy * 15)
            cut = LineString([a, b]).intersection(ground.buffer(-0.4))
            if isinstance(cut, LineString) and cut.length > 3 and not any(cut.intersects(t) for t in self.taken):
                hedge = rng.random() < 0.4
                rgb = (78, 100, 52) if hedge else (170, 160, 146)
                points = tuple((float(x), float(y)) for x, y in cut.coords)
                things.walls.append(Wall(points, 0.8 if hedge else 0.24, float(rng.uniform(1.2, 2)), rgb, hedge))

    def _flats(self, ground: Polygon) -> None:
        rng, things = self.rng, self.things
        things.regions.append(Region(ground, Surface.LAWN))
        azimuth = _main_azimuth(ground)
        floors = int(rng.integers(4, 9))
        x0, y0, x1, y1 = ground.bounds
        step = float(rng.uniform(26, 34))
        for gx in np.arange(x0 + 6, x1, 9.0):
            for gy in np.arange(y0 + 6, y1, 9.0):
                length, width = float(rng.uniform(24, 46)), float(rng.uniform(11, 14))
                tall = 3.0 * (floors + int(rng.integers(-1, 2)))
                body = Building(
                    float(gx), float(gy), length, width, azimuth, tall, 0.6, "flat",
                    "membrane" if rng.random() < 0.7 else "concrete", self.palette.membrane(rng),
                    self.palette.wall(rng), "flats", self.seed(),
                )  # fmt: skip
                if self._try(ground, body, step - width, 3.0):
                    self._parking_beside(body, ground)
        for (px, py), front in _fronts(ground, 17.0, rng):
            if rng.random() < 0.3:
                sx, sy = math.sin(math.radians(front + 90)), math.cos(math.radians(front + 90))
                shop = self._house(px + sx * 6, py + sy * 6, front, float(rng.uniform(9, 16)), 7.0)
                self._try(ground, shop, 4.0)
        self._trees(ground, int(ground.area / 75), (1.6, 3.8))
        self._paths(ground, azimuth)

    def _parking_beside(self, body: Building, ground: Polygon) -> None:
        rng = self.rng
        side = math.radians(body.azimuth_deg + 90)
        reach = body.width_m / 2 + 8.0
        lot = rectangle(
            body.x + reach * math.sin(side),
            body.y + reach * math.cos(side),
            body.length_m * 0.9,
            10.5,
            body.azimuth_deg,
        )
        apron = rectangle(body.x, body.y, body.length_m + 3, body.width_m + 3, body.azimuth_deg)
        self.things.regions.append(Region(apron.intersection(ground), Surface.PAVING))
        lot = lot.intersection(ground.buffer(-1))
        if lot.is_empty or not isinstance(lot, Polygon):
            return
        self.things.regions.append(Region(lot, Surface.ASPHALT if rng.random() < 0.6 else Surface.PAVING))
        tx, ty = math.sin(math.radians(body.azimuth_deg)), math.cos(math.radians(body.azimuth_deg))
        nx, ny = math.sin(side), math.cos(side)
        cx, cy = body.x + (reach + 2.6) * nx, body.y + (reach + 2.6) * ny
        count = int(body.length_m * 0.9 / 2.6)
        for k in range(count):
            along = (k - count / 2) * 2.6
            points = tuple((cx + along * tx + s * nx, cy + along * ty + s * ny) for s in (-2.4, 2.4))
            if lot.contains(LineString(points)):
                self.things.markings.append(Marking(points, 0.12, (214, 212, 204), 0.75))

    def _paths(self, ground: Polygon, azimuth: float) -> None:
        for _ in range(3):
            x, y = ground.representative_point().coords[0]
            strip = rectangle(
                x + self.rng.uniform(-25, 25),
                y + self.rng.uniform(-25, 25),
                200,
                1.8,
                azimuth + self.rng.choice([0, 90]),
            ).intersection(ground)
            for built in self.taken:
                strip = strip.difference(built.buffer(0.3))
            if not strip.is_empty:
                self.things.regions.append(Region(strip, Surface.PAVING))

    def _industry(self, ground: Polygon) -> None:
        rng, things = self.rng, self.things
        things.regions.append(Region(ground, Surface.CONCRETE if rng.random() < 0.65 else Surface.GRAVEL))
        azimuth = _main_azimuth(ground)
        x0, y0, x1, y1 = ground.bounds
        for gx in np.arange(x0 + 5, x1, 10.0):
            for gy in np.arange(y0 + 5, y1, 10.0):
                length, width = float(rng.uniform(18, 48)), float(rng.uniform(11, 22))
                steel = rng.random() < 0.8
                hall = Building(
                    float(gx), float(gy), length, width, azimuth + float(rng.choice([0, 90])), float(rng.uniform(5, 9)),
                    width * 0.09 if steel else 0.5, "gable" if steel else "flat", "steel" if steel else "concrete",
                    self.palette.steel(rng) if steel else self.palette.membrane(rng), self.palette.wall(rng), "hall",
                    self.seed(),
                )  # fmt: skip
                self._try(ground, hall, 7.0, 3.0)
        for _ in range(int(ground.area / 420)):
            x, y = rng.uniform((x0, y0), (x1, y1))
            box = Building(
                float(x), float(y), float(rng.choice([6.06, 12.2])), 2.44, azimuth + float(rng.choice([0, 90])), 2.6,
                0.02, "flat", "steel", self.palette.steel(rng), (120, 120, 120), "container", self.seed(),
            )  # fmt: skip
            self._try(ground, box, 0.6, 1.0)
        self._joints(ground, azimuth)
        edge = ground.difference(ground.buffer(-5))
        self._trees(edge, int(edge.area / 70), (1.2, 3.0))
        ring = ground.buffer(-1.0)
        if isinstance(ring, Polygon) and not ring.is_empty:
            points = [(float(x), float(y)) for x, y in ring.exterior.coords]
            things.walls.append(Wall(tuple(points[:-2]), 0.24, 2.2, (178, 170, 158)))

    def _joints(self, ground: Polygon, azimuth: float) -> None:
        """Joints between concrete slabs."""
        reach = math.hypot(ground.bounds[2] - ground.bounds[0], ground.bounds[3] - ground.bounds[1])
        cx, cy = ground.centroid.x, ground.centroid.y
        for turn, step in ((azimuth, 5.0), (azimuth + 90, 4.0)):
            tx, ty = math.sin(math.radians(turn)), math.cos(math.radians(turn))
            for off in np.arange(-reach / 2, reach / 2, step):
                line = LineString(
                    [
                        (cx + off * ty - reach * tx, cy - off * tx - reach * ty),
                        (cx + off * ty + reach * tx, cy - off * tx + reach * ty),
                    ]
                ).intersection(ground)
                if isinstance(line, LineString) and not line.is_empty:
                    points = tuple((float(x), float(y)) for x, y in line.coords)
                    self.things.markings.append(Marking(points, 0.07, (96, 92, 86), 0.5))

    def _field(self, ground: Polygon) -> None:
        rng, things = self.rng, self.things
        azimuth = _main_azimuth(ground)
        things.regions.append(Region(ground, Surface.ROUGH))
        tx, ty = math.sin(math.radians(azimuth)), math.cos(math.radians(azimuth))
        at = -120.0
        while at < 120:
            wide = float(rng.uniform(9, 26))
            strip = rectangle(
                ground.centroid.x + (at + wide / 2) * ty,
                ground.centroid.y - (at + wide / 2) * tx,
                400,
                wide - 0.7,
                azimuth,
            ).intersection(ground.buffer(-1.2))
            at += wide
            surface = [Surface.CROP, Surface.CROP, Surface.STUBBLE, Surface.PLOUGHED, Surface.ROUGH][
                int(rng.integers(5))
            ]
            tint = tuple(float(v) for v in rng.normal(0, 9, 3))
            if not strip.is_empty:
                row = float(rng.uniform(0.4, 1.1))
                things.regions.append(Region(strip, surface, (tint[0], tint[1], tint[2]), azimuth, row))
        self._trees(ground.difference(ground.buffer(-3)), int(ground.length / 12), (1.2, 3.4))
        if rng.random() < 0.25:
            self._trees(ground, int(ground.area / 40), (1.8, 4.2))

    def _park(self, ground: Polygon) -> None:
        rng, things = self.rng, self.things
        things.regions.append(Region(ground, Surface.LAWN))
        centre = ground.representative_point()
        pond = Heap(centre.x, centre.y, math.sqrt(ground.area) * 0.2, 0, "pond", self.seed(), 1.3).polygon
        rim = pond.buffer(1.4).intersection(ground)
        things.regions += [Region(rim, Surface.ROUGH), Region(pond.intersection(ground), Surface.WATER)]
        self.taken.append(pond)
        walk = pond.buffer(6).exterior.buffer(0.9).intersection(ground)
        things.regions.append(Region(walk, Surface.GRAVEL if rng.random() < 0.5 else Surface.PAVING))
        self._trees(ground, int(ground.area / 45), (1.8, 4.8))

    def _yard(self, ground: Polygon) -> None:
        surface = [Surface.LAWN, Surface.ROUGH, Surface.SOIL, Surface.GRAVEL][int(self.rng.integers(4))]
        self.things.regions.append(Region(ground, surface))
        self._trees(ground, int(ground.area / 35), (1.0, 3.2))

    def _site(self, ground: Polygon) -> None:
        """A building site: soil, a foundation, a shell, materials, spoil, a hoarding."""
        rng, things = self.rng, self.things
        things.regions.append(Region(ground, Surface.SOIL))
        azimuth = _main_azimuth(ground)
        centre = ground.representative_point()
        wheel = (140.0, 122.0, 98.0)
        for _ in range(6):
            turn = rng.uniform(0, 6.28)
            points = [(centre.x + float(rng.uniform(-20, 20)), centre.y + float(rng.uniform(-20, 20)))]
            for _ in range(14):
                turn += rng.normal(0, 0.25)
                points.append((points[-1][0] + 3 * math.cos(turn), points[-1][1] + 3 * math.sin(turn)))
            if ground.contains(LineString(points)):
                things.markings.append(Marking(tuple(points), 0.5, wheel, 0.5))
        for _ in range(3):
            x, y = centre.x + float(rng.uniform(-18, 18)), centre.y + float(rng.uniform(-18, 18))
            length, width = float(rng.uniform(10, 26)), float(rng.uniform(8, 14))
            slab = Slab(x, y, length, width, azimuth, float(rng.uniform(0.2, 0.5)), (158, 154, 146), self.seed())
            if ground.contains(slab.polygon.buffer(1.5)) and self._free(slab.polygon, 3):
                things.slabs.append(slab)
                self.taken.append(slab.polygon)
        for kind, count in (("sand", 2), ("gravel", 2), ("spoil", 2)):
            for _ in range(count):
                x, y = centre.x + float(rng.uniform(-28, 28)), centre.y + float(rng.uniform(-28, 28))
                heap = Heap(x, y, float(rng.uniform(1.5, 4.2)), float(rng.uniform(0.8, 2)), kind, self.seed(), 1.15)
                if ground.contains(heap.polygon.buffer(1)) and self._free(heap.polygon, 1):
                    things.heaps.append(heap)
                    self.taken.append(heap.polygon)
        x0, y0, x1, y1 = ground.bounds
        for _ in range(12):
            x, y = (float(v) for v in rng.uniform((x0, y0), (x1, y1)))
            cabin = Building(
                x, y, 6.06, 2.44, azimuth, 2.7, 0.02, "flat", "steel", (205, 208, 210), (190, 190, 190), "container",
                self.seed(),
            )  # fmt: skip
            self._try(ground, cabin, 0.8, 1.0)
        ring = ground.buffer(-0.8)
        if isinstance(ring, Polygon) and not ring.is_empty:
            points = [(float(x), float(y)) for x, y in ring.exterior.coords]
            things.walls.append(Wall(tuple(points[: max(2, len(points) - 3)]), 0.1, 2.0, (92, 130, 158)))


def _main_azimuth(ground: Polygon) -> float:
    """Direction of the longer side of the smallest rectangle, clockwise from north."""
    corners = list(ground.minimum_rotated_rectangle.exterior.coords)
    a, b = (corners[0], corners[1]), (corners[1], corners[2])
    (x0, y0), (x1, y1) = max((a, b), key=lambda e: math.dist(*e))
    return math.degrees(math.atan2(x1 - x0, y1 - y0)) % 180


def _fronts(ground: Polygon, step_m: float, rng: Rng) -> list[tuple[XY, float]]:
    """Points along the edge every `step_m` with the azimuth of the edge; the inside lies to the right."""
    ring = ground.exterior if not ground.exterior.is_ccw else LineString(list(ground.exterior.coords)[::-1])
    out: list[tuple[XY, float]] = []
    at = float(rng.uniform(3, step_m))
    while at < ring.length - 3:
        here, ahead = ring.interpolate(at - 2), ring.interpolate(at + 2)
        spot = ring.interpolate(at)
        azimuth = math.degrees(math.atan2(ahead.x - here.x, ahead.y - here.y))
        out.append(((spot.x, spot.y), azimuth))
        at += step_m * float(rng.uniform(0.85, 1.3))
    return out
