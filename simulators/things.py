"""What stands in a town, as vectors in local metres (x east, y north, centre 0, 0); the painter draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

from shapely.geometry import Point, Polygon

RGB = tuple[float, float, float]
XY = tuple[float, float]


class Surface(IntEnum):
    """The class of each painted pixel; below 40 ground, above things that stand on it."""

    LAWN = 0
    ROUGH = 1
    SOIL = 2
    ASPHALT = 3
    CONCRETE = 4
    PAVING = 5
    CROP = 6
    STUBBLE = 7
    PLOUGHED = 8
    WATER = 9
    GRAVEL = 10
    GARDEN = 11
    TRACK = 12
    ROOF_TILE = 40
    ROOF_STEEL = 41
    ROOF_FLAT = 42
    TREE = 45
    CAR = 46
    PROP = 47
    WALL = 48
    SLAB = 49
    WASTE = 50
    SPOIL = 51
    LITTER = 52
    SITE = 53


@dataclass(frozen=True)
class Region:
    """A piece of ground of one surface; rows of crops run at `azimuth_deg` every `row_m`."""

    polygon: Polygon
    surface: Surface
    tint: RGB = (0.0, 0.0, 0.0)
    azimuth_deg: float = 0.0
    row_m: float = 0.0


@dataclass(frozen=True)
class Marking:
    """A painted or worn line on the ground: kerbs, lanes, joints, cracks, tyre tracks, patches."""

    points: tuple[XY, ...]
    width_m: float
    rgb: RGB
    alpha: float = 1.0
    dash_m: float = 0.0


@dataclass(frozen=True)
class Building:
    """A rectangular body under one roof.

    Attributes:
        x, y: Centre.
        length_m, width_m: The ridge runs along the length.
        azimuth_deg: Direction of the length, clockwise from north.
        eave_m, rise_m: Height of the walls, and of the ridge above them.
        roof: gable, hip, mono or flat.
        cover: tile, steel, membrane or concrete.
        rgb: Colour of the roof.
        wall_rgb: Colour of the walls.
        use: house, shed, flats, hall, ...
        seed: Of its texture.
    """

    x: float
    y: float
    length_m: float
    width_m: float
    azimuth_deg: float
    eave_m: float
    rise_m: float
    roof: str
    cover: str
    rgb: RGB
    wall_rgb: RGB
    use: str
    seed: int

    @property
    def polygon(self) -> Polygon:
        """Footprint."""
        return rectangle(self.x, self.y, self.length_m, self.width_m, self.azimuth_deg)

    @property
    def top_m(self) -> float:
        """Height of the ridge above the ground."""
        return self.eave_m + self.rise_m


@dataclass(frozen=True)
class Tree:
    """A crown: species broad, conifer or bush; one that turned has a hue of its own and may be half bare."""

    x: float
    y: float
    radius_m: float
    height_m: float
    species: str
    seed: int
    hue: RGB | None = None
    bare_share: float = 0.0

    @property
    def polygon(self) -> Polygon:
        """Outline of the crown."""
        return Point(self.x, self.y).buffer(self.radius_m, quad_segs=4)


# Length, width and height of each kind of vehicle, m.
VEHICLES: dict[str, tuple[float, float, float]] = {
    "car": (4.5, 1.8, 1.45), "van": (5.2, 2.0, 2.1), "truck": (8.5, 2.4, 3.1), "bus": (11.2, 2.5, 3.1),
    "coach": (7.6, 2.2, 2.8), "box": (6.2, 2.15, 3.0), "lorry": (12.6, 2.5, 3.8), "pickup": (5.1, 1.85, 1.75),
    "tricycle": (3.0, 1.15, 1.5), "digger": (7.2, 2.7, 2.9),
}  # fmt: skip


@dataclass(frozen=True)
class Car:
    """A vehicle: its kind is one of `VEHICLES`."""

    x: float
    y: float
    azimuth_deg: float
    kind: str
    rgb: RGB
    seed: int

    @property
    def polygon(self) -> Polygon:
        """Footprint."""
        long_m, wide_m, _ = VEHICLES[self.kind]
        return rectangle(self.x, self.y, long_m, wide_m, self.azimuth_deg)

    @property
    def height_m(self) -> float:
        """Height of its roof above the ground."""
        return VEHICLES[self.kind][2]


@dataclass(frozen=True)
class Prop:
    """What lies about or stands lightly: goods, canopies, panels, beds, sheets; `props` says which kinds there are.

    Attributes:
        height_m: Of its top above what it stands on: the ground, or with `on_top` whatever is there (a roof).
    """

    x: float
    y: float
    length_m: float
    width_m: float
    azimuth_deg: float
    height_m: float
    kind: str
    rgb: RGB
    seed: int
    on_top: bool = False

    @property
    def polygon(self) -> Polygon:
        """Footprint."""
        return rectangle(self.x, self.y, self.length_m, self.width_m, self.azimuth_deg)


@dataclass(frozen=True)
class Heap:
    """Something dumped or piled: garbage, rubble, timber, spoil, sand or gravel; litter is flat and scattered.

    `waste` has more kinds, of mixed pieces.
    """

    x: float
    y: float
    radius_m: float
    height_m: float
    kind: str
    seed: int
    stretch: float = 1.0
    azimuth_deg: float = 0.0

    @property
    def polygon(self) -> Polygon:
        """Outline: an ellipse with lobes, the same that the painter fills."""
        angles = [2 * math.pi * k / 40 for k in range(40)]
        turn = math.radians(self.azimuth_deg)
        points = []
        for angle in angles:
            radius = self.radius_m * self.lobes(angle)
            along, across = radius * math.cos(angle) * self.stretch, radius * math.sin(angle) / self.stretch
            points.append(
                (
                    self.x + along * math.sin(turn) + across * math.cos(turn),
                    self.y + along * math.cos(turn) - across * math.sin(turn),
                )
            )
        return Polygon(points).buffer(0)

    def lobes(self, angle: float) -> float:
        """Radius at an angle, as a share of `radius_m`."""
        phase = self.seed % 97 / 97 * 6.28
        return 1.0 + 0.16 * math.sin(2 * angle + phase) + 0.1 * math.sin(3 * angle + 2 * phase)


@dataclass(frozen=True)
class Slab:
    """A low flat body: a foundation with stub columns, or a paved pad."""

    x: float
    y: float
    length_m: float
    width_m: float
    azimuth_deg: float
    height_m: float
    rgb: RGB
    seed: int
    columns: bool = True

    @property
    def polygon(self) -> Polygon:
        """Footprint."""
        return rectangle(self.x, self.y, self.length_m, self.width_m, self.azimuth_deg)


@dataclass(frozen=True)
class Wall:
    """A wall, fence or hedge along a line."""

    points: tuple[XY, ...]
    thickness_m: float
    height_m: float
    rgb: RGB
    hedge: bool = False


@dataclass
class Things:
    """All that stands in a town on one day."""

    regions: list[Region] = field(default_factory=list)
    markings: list[Marking] = field(default_factory=list)
    slabs: list[Slab] = field(default_factory=list)
    walls: list[Wall] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    heaps: list[Heap] = field(default_factory=list)
    cars: list[Car] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    props: list[Prop] = field(default_factory=list)


def rectangle(x: float, y: float, length_m: float, width_m: float, azimuth_deg: float) -> Polygon:
    """A rectangle whose length points to `azimuth_deg` clockwise from north."""
    turn = math.radians(azimuth_deg)
    along = (math.sin(turn), math.cos(turn))
    across = (math.cos(turn), -math.sin(turn))
    corners = []
    for a, b in ((0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5)):
        corners.append(
            (
                x + a * length_m * along[0] + b * width_m * across[0],
                y + a * length_m * along[1] + b * width_m * across[1],
            )
        )
    return Polygon(corners)
