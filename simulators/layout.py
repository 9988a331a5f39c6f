"""Where streets, blocks and districts lie: cut the ground by bent streets, then give each block a use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from shapely.geometry import LineString, MultiPolygon, Polygon, box
from shapely.ops import unary_union

from simulators.things import XY, Marking, Region, Surface

Rng = np.random.Generator

USES = ("village", "flats", "industry", "field", "park", "site", "yard")


@dataclass(frozen=True)
class Street:
    """A street's middle line, its width from kerb to kerb, and whether it is paved."""

    line: LineString
    width_m: float
    paved: bool
    walk_m: float


@dataclass(frozen=True)
class Block:
    """Ground between streets, with its use."""

    polygon: Polygon
    use: str


@dataclass(frozen=True)
class Layout:
    """Streets, blocks and the ground they cover."""

    streets: tuple[Street, ...]
    blocks: tuple[Block, ...]
    extent: Polygon


@dataclass(frozen=True)
class Bend:
    """A smooth displacement of the plan, so that no street is a ruler's line."""

    amplitude_m: float
    waves: tuple[tuple[float, float, float, float, float], ...]

    @classmethod
    def drawn(cls, rng: Rng) -> Bend:
        """A bend with three long waves."""
        waves = tuple(
            (
                float(rng.normal(0, 0.012)),
                float(rng.normal(0, 0.012)),
                float(rng.uniform(0, 6.28)),
                float(rng.uniform(-1, 1)),
                float(rng.uniform(-1, 1)),
            )
            for _ in range(3)
        )
        return cls(float(rng.uniform(3, 9)), waves)

    def __call__(self, points: list[XY]) -> list[XY]:
        """Bent copies of the points."""
        out = []
        for x, y in points:
            dx = dy = 0.0
            for kx, ky, phase, ax, ay in self.waves:
                wave = math.sin(kx * x + ky * y + phase)
                dx += ax * wave
                dy += ay * wave
            out.append((x + self.amplitude_m * dx, y + self.amplitude_m * dy))
        return out


def _cuts(polygon: Polygon, rng: Rng, axis_deg: float, smallest_m: float, level: int) -> list[tuple[LineString, int]]:
    """Streets of a recursive division: (line, level)."""
    oriented = polygon.minimum_rotated_rectangle
    corners = list(oriented.exterior.coords)
    sides = [math.dist(corners[0], corners[1]), math.dist(corners[1], corners[2])]
    longest = max(sides)
    if longest < smallest_m * rng.uniform(1.25, 2.1) or level > 6:
        return []
    centre = polygon.centroid
    across = axis_deg + (0 if (_span(polygon, axis_deg) < _span(polygon, axis_deg + 90)) else 90)
    tilt = math.radians(across + rng.normal(0, 5))
    shift = rng.uniform(-0.16, 0.16) * longest
    normal = (math.cos(tilt), -math.sin(tilt))
    mx, my = centre.x + normal[0] * shift, centre.y + normal[1] * shift
    far = 3 * longest
    knife = LineString(
        [(mx - far * math.sin(tilt), my - far * math.cos(tilt)), (mx + far * math.sin(tilt), my + far * math.cos(tilt))]
    )
    line = knife.intersection(polygon)
    if line.is_empty or not isinstance(line, LineString):
        return []
    out: list[tuple[LineString, int]] = [(line, level)]
    for piece in polygon.difference(knife.buffer(0.05)).geoms:
        out += _cuts(piece, rng, axis_deg, smallest_m, level + 1)
    return out


def _span(polygon: Polygon, azimuth_deg: float) -> float:
    """Extent of a polygon along an azimuth."""
    sx, sy = math.sin(math.radians(azimuth_deg)), math.cos(math.radians(azimuth_deg))
    along = [x * sx + y * sy for x, y in polygon.exterior.coords]
    return max(along) - min(along)


def _densified(line: LineString, step_m: float = 8.0) -> list[XY]:
    count = max(2, int(line.length / step_m) + 1)
    points = [line.interpolate(k / (count - 1), normalized=True) for k in range(count)]
    return [(p.x, p.y) for p in points]


def lay_out(rng: Rng, size_m: tuple[float, float], margin_m: float) -> Layout:
    """Streets and blocks over the town and a margin of country around it."""
    half_x, half_y = size_m[0] / 2 + margin_m, size_m[1] / 2 + margin_m
    extent = box(-half_x, -half_y, half_x, half_y)
    bend = Bend.drawn(rng)
    axis = float(rng.uniform(0, 90))
    smallest = float(rng.uniform(62, 95))
    wide = box(-half_x - 40, -half_y - 40, half_x + 40, half_y + 40)
    streets = []
    for line, level in _cuts(wide, rng, axis, smallest, 0):
        bent = LineString(bend(_densified(line)))
        width = {0: 11.0, 1: 8.0}.get(level, 5.6) * float(rng.uniform(0.85, 1.15))
        paved = level < 3 or rng.random() < 0.7
        walk = float(rng.uniform(1.4, 2.4)) if level < 2 or (paved and rng.random() < 0.4) else 0.0
        streets.append(Street(bent, width if paved else width * 0.6, bool(paved), walk if paved else 0.0))
    taken = unary_union([s.line.buffer(s.width_m / 2 + s.walk_m, cap_style="flat") for s in streets])
    left = wide.difference(taken)
    pieces = list(left.geoms) if isinstance(left, MultiPolygon) else [left]
    pieces = [piece.buffer(0) for piece in pieces if piece.area > 60]
    return Layout(tuple(streets), tuple(_uses(pieces, rng, size_m)), extent)


def _uses(pieces: list[Polygon], rng: Rng, size_m: tuple[float, float]) -> list[Block]:
    """Uses by distance and by neighbourhood: a core of one kind, country outside."""
    kinds = ("village", "flats", "industry")
    seeds = [(rng.uniform(-0.5, 0.5, 2) * size_m, kinds[k % 3] if k < 3 else str(rng.choice(kinds))) for k in range(5)]
    weights = dict(zip(kinds, rng.uniform(0.6, 1.6, 3), strict=True))
    out: list[Block] = []
    for piece in pieces:
        centre = np.array([piece.centroid.x, piece.centroid.y])
        outside = max(abs(centre[0]) / (size_m[0] / 2), abs(centre[1]) / (size_m[1] / 2))
        chance = rng.random()
        if piece.area < 500:
            use = "yard"
        elif chance < 0.10 + 0.75 * max(0.0, outside - 0.85):
            use = "field"
        elif chance > 0.93:
            use = "park"
        elif chance > 0.87:
            use = "site"
        else:
            use = min(seeds, key=lambda s: float(np.hypot(*(centre - s[0]))) * weights[s[1]])[1]
        out.append(Block(piece, use))
    if not any(block.use == "site" for block in out):
        inner = [k for k, b in enumerate(out) if b.polygon.area > 1200 and b.use != "yard"]
        if inner:
            pick = min(inner, key=lambda k: math.hypot(out[k].polygon.centroid.x, out[k].polygon.centroid.y))
            out[pick] = Block(out[pick].polygon, "site")
    return out


def street_regions(layout: Layout) -> list[Region]:
    """Ground of pavements and carriageways, in painting order."""
    out = [
        Region(s.line.buffer(s.width_m / 2 + s.walk_m, cap_style="flat"), Surface.PAVING)
        for s in layout.streets
        if s.walk_m > 0
    ]
    out += [
        Region(s.line.buffer(s.width_m / 2, cap_style="flat"), Surface.ASPHALT if s.paved else Surface.TRACK)
        for s in sorted(layout.streets, key=lambda s: s.paved)
    ]
    return out


def street_markings(layout: Layout, rng: Rng) -> list[Marking]:
    """Kerbs, lane lines, wheel paths, cracks, repairs and manholes."""
    out: list[Marking] = []
    for street in layout.streets:
        line = street.line
        if not street.paved:
            for side in (-0.75, 0.75):
                out.append(Marking(_offset(line, side), 0.4, (150, 132, 105), 0.35))
            continue
        for side in (-0.5, 0.5):
            kerb = _offset(line, side * street.width_m)
            out.append(Marking(kerb, 0.18 if street.walk_m else 0.5, (168, 166, 158), 0.8 if street.walk_m else 0.25))
            for wheel in (-0.8, 0.8):
                out.append(Marking(_offset(line, side * street.width_m / 2 + wheel), 0.5, (92, 92, 92), 0.12))
        if street.width_m > 7:
            out.append(Marking(_offset(line, 0.0), 0.14, (222, 220, 210), 0.85, dash_m=4.0))
            for side in (-0.44, 0.44):
                out.append(Marking(_offset(line, side * street.width_m), 0.12, (215, 214, 208), 0.7))
        out += _wear(street, rng)
    return out


def _wear(street: Street, rng: Rng) -> list[Marking]:
    """Cracks, repair patches and manholes of a paved street."""
    out: list[Marking] = []
    length = street.line.length
    for _ in range(int(length / 7)):
        at = rng.uniform(0, length)
        here = street.line.interpolate(at)
        there = street.line.interpolate(min(length, at + 0.5))
        heading = math.atan2(there.y - here.y, there.x - here.x)
        side = rng.uniform(-0.42, 0.42) * street.width_m
        x, y = here.x - side * math.sin(heading), here.y + side * math.cos(heading)
        kind = rng.random()
        if kind < 0.55:
            turn = heading + rng.choice([0.0, math.pi / 2]) + rng.normal(0, 0.35)
            points = [(x, y)]
            for _ in range(int(rng.integers(4, 12))):
                turn += rng.normal(0, 0.4)
                points.append((points[-1][0] + 0.5 * math.cos(turn), points[-1][1] + 0.5 * math.sin(turn)))
            out.append(Marking(tuple(points), 0.06, (58, 56, 54), 0.6))
        elif kind < 0.85:
            reach = rng.uniform(0.6, 4.0)
            end = (x + reach * math.cos(heading), y + reach * math.sin(heading))
            grey = float(rng.uniform(62, 128))
            out.append(Marking(((x, y), end), float(rng.uniform(0.7, 2.2)), (grey, grey, grey), 0.55))
        else:
            out.append(Marking(((x, y), (x + 0.02, y)), 0.75, (88, 82, 76), 0.8))
    return out


def _offset(line: LineString, distance_m: float) -> tuple[XY, ...]:
    moved = line.offset_curve(distance_m) if distance_m else line
    if moved.is_empty or not isinstance(moved, LineString):
        return ()
    return tuple((float(x), float(y)) for x, y in moved.coords)
