"""A town by seed, and its days: what stands there, what moved, what was built or dumped since.

`build_town(7, (118.35, 35.05)).day(1, changes=Changes.by_seed(3)).render_ortho(0.08)`
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import CRS, Transformer
from shapely.geometry import LineString, Point, Polygon, box
from shapely.strtree import STRtree

from simulators import truth
from simulators.changes import Change, Changes, Placer
from simulators.clutter import Clutter, dressed
from simulators.layout import Layout, lay_out, street_markings, street_regions
from simulators.light import Ortho, render
from simulators.painter import Scene
from simulators.palette import Palette
from simulators.plots import Furnisher
from simulators.raster import Grid, Noise
from simulators.restyle import restyled
from simulators.sun import Sun
from simulators.surface import SEASONS, Season
from simulators.things import Building, Car, Heap, Region, Slab, Surface, Things, Wall

# Country around the town, so that frames at its edge see ground.
MARGIN_M = 90.0


@dataclass
class Town:
    """A town as it stands, without a day's cars and light.

    Attributes:
        seed: Everything follows from it.
        centre: Longitude, latitude of local (0, 0).
        size_m: East-west and north-south extent of the town proper; country surrounds it.
        base_alt_amsl_m: Height of its middle above sea level.
    """

    seed: int
    centre: tuple[float, float]
    size_m: tuple[float, float]
    base_alt_amsl_m: float
    layout: Layout
    palette: Palette
    things: Things
    noise: Noise
    relief_m: float
    clutters: dict[Clutter, list[Change]] = field(default_factory=dict, repr=False)

    @cached_property
    def crs(self) -> CRS:
        """The UTM zone of the centre."""
        zone = int((self.centre[0] + 180) // 6) + 1
        return CRS.from_epsg((32600 if self.centre[1] >= 0 else 32700) + zone)

    @cached_property
    def _to_lonlat(self) -> Transformer:
        return Transformer.from_crs(self.crs, 4326, always_xy=True)

    @cached_property
    def origin(self) -> tuple[float, float]:
        """Easting, northing of local (0, 0)."""
        east, north = Transformer.from_crs(4326, self.crs, always_xy=True).transform(*self.centre)
        return float(east), float(north)

    @property
    def half_m(self) -> tuple[float, float]:
        """Half extents with the margin."""
        return self.size_m[0] / 2 + MARGIN_M, self.size_m[1] / 2 + MARGIN_M

    def lonlat(self, x: float, y: float) -> tuple[float, float]:
        """WGS84 of a local point."""
        lon, lat = self._to_lonlat.transform(self.origin[0] + x, self.origin[1] + y)
        return float(lon), float(lat)

    def inside(self, thing: Building | Heap | Slab) -> bool:
        """Whether a thing's middle lies within the town proper, 10 m from its edge."""
        return abs(thing.x) < self.size_m[0] / 2 - 10 and abs(thing.y) < self.size_m[1] / 2 - 10

    @cached_property
    def _solid(self) -> STRtree:
        shapes: list[Polygon] = [b.polygon for b in self.things.buildings]
        shapes += [s.polygon for s in self.things.slabs] + [h.polygon for h in self.things.heaps]
        shapes += [Point(t.x, t.y).buffer(t.radius_m * 0.85) for t in self.things.trees]
        shapes += [LineString(w.points).buffer(0.6) for w in self.things.walls if len(w.points) > 1]
        shapes += [r.polygon for r in self.things.regions if r.surface == Surface.WATER]
        return STRtree(shapes)

    @cached_property
    def _roads(self) -> STRtree:
        return STRtree([s.line.buffer(s.width_m / 2 + s.walk_m) for s in self.layout.streets])

    def is_free(self, shape: Polygon, *, roads: bool) -> bool:
        """Whether nothing stands on a shape; with `roads`, the side of a street counts as free."""
        if len(self._solid.query(shape, predicate="intersects")):
            return False
        return roads or not len(self._roads.query(shape, predicate="intersects"))

    def day(
        self, k: int, *, sun: Sun | None = None, season: str = "summer", changes: Changes | None = None,
        clutter: Clutter | None = None,
    ) -> TownDay:  # fmt: skip
        """The town on day `k`: cars and light of its own, some crowns trimmed, `changes` since day 0."""
        came = Placer(self, changes, max(k, 1)).place() if changes else []
        return self.day_with(k, came, sun=sun, season=season, clutter=clutter)

    def restyled(self, seed: int) -> Town:
        """The same town under other roofs."""
        rng = np.random.default_rng([self.seed, seed, 404])
        bodies = [restyled(rng, body) for body in self.things.buildings]
        return replace(self, things=replace(self.things, buildings=bodies), clutters={})

    def day_with(
        self, k: int, came: Sequence[Change], *, sun: Sun | None = None, season: str = "summer",
        clutter: Clutter | None = None,
    ) -> TownDay:  # fmt: skip
        """`day` with changes that are already placed; `clutter` stands clear of them."""
        rng = np.random.default_rng([self.seed, 5000 + k])
        things = replace(self.things)
        things.cars = _cars(rng, self, [c.polygon for c in came])
        things.trees = [
            replace(t, radius_m=t.radius_m * 0.75, height_m=t.height_m * 0.85) if k and rng.random() < 0.06 else t
            for t in self.things.trees
        ]
        stuff: list[Change] = []
        if clutter is not None:
            stuff = clutter.on(self, k, [c.polygon for c in came])
            things.trees = clutter.turned(self, k, season, things.trees)
        new = [c.thing for c in came]
        things.buildings = self.things.buildings + [t for t in new if isinstance(t, Building)]
        things.slabs = self.things.slabs + [t for t in new if isinstance(t, Slab)]
        things.walls = self.things.walls + [t for t in new if isinstance(t, Wall)]
        things.heaps = self.things.heaps + [t for t in new if isinstance(t, Heap)]
        things.regions = self.things.regions + [t for t in new if isinstance(t, Region)]
        things = dressed(things, stuff)
        if sun is None:
            sun = Sun(float(rng.uniform(105, 255)), float(rng.uniform(36, 62)), float(rng.choice([0, 0, 0.3])))
        scene = Scene(
            things,
            self.noise,
            max(self.half_m),
            self.base_alt_amsl_m,
            self.relief_m,
            SEASONS[season],
            self.palette.soil,
        )
        scene.index()
        return TownDay(self, k, sun, SEASONS[season], scene, tuple(came), stuff=tuple(stuff))


@dataclass
class TownDay:
    """One day of a town, ready to be painted."""

    town: Town
    k: int
    sun: Sun
    season: Season
    scene: Scene = field(repr=False)
    changes: tuple[Change, ...] = ()
    grounds: dict[float, Any] = field(default_factory=dict, repr=False)
    stuff: tuple[Change, ...] = ()

    @property
    def margin_m(self) -> float:
        """Country around the town."""
        return MARGIN_M

    def grid(self, gsd_m: float, margin_m: float = MARGIN_M) -> Grid:
        """The raster over the town and `margin_m` around it."""
        west, north = -self.town.size_m[0] / 2 - margin_m, self.town.size_m[1] / 2 + margin_m
        return Grid(west, north, gsd_m, math.ceil(-2 * west / gsd_m), math.ceil(2 * north / gsd_m))

    def render_ortho(
        self, gsd_m: float, *, margin_m: float = 0.0, folder: Path | None = None, processes: int = 1,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> Ortho:  # fmt: skip
        """Orthophoto, surface heights and classes at once; into memory-mapped files where a `folder` is given.

        More than one process needs a folder.
        """
        return render(self.scene, self.grid(gsd_m, margin_m), self.sun, self.town.origin, folder, processes, progress)

    def then(
        self,
        k: int,
        changes: Changes | None = None,
        *,
        cleared: Sequence[int] = (),
        sun: Sun | None = None,
        season: str | None = None,
    ) -> TownDay:
        """A later day: what came up to this one still stands, but for the changes numbered in `cleared`."""
        kept = [change for change in self.changes if change.number not in cleared]
        came = Placer(self.town, changes, k, self.changes).place() if changes else []
        return self.town.day_with(k, [*kept, *came], sun=sun, season=season or self.season.name)

    def write_truth(self, path: Path) -> None:
        """`truth.write_truth`."""
        truth.write_truth(self, path)

    def write_permits(self, path: Path, now: datetime | None = None) -> None:
        """`truth.write_permits`."""
        truth.write_permits(self, path, now)

    def write_dem(self, path: Path, gsd_m: float = 2.0) -> None:
        """`truth.write_dem`."""
        truth.write_dem(self, path, gsd_m)

    def write_area(self, path: Path) -> None:
        """`truth.write_area`."""
        truth.write_area(self, path)

    @property
    def area(self) -> Polygon:
        """The town proper, local metres."""
        half_x, half_y = self.town.size_m[0] / 2, self.town.size_m[1] / 2
        return box(-half_x, -half_y, half_x, half_y)


def build_town(
    seed: int,
    centre: tuple[float, float] = (118.3500, 35.0500),
    size_m: tuple[float, float] = (400.0, 400.0),
    base_alt_amsl_m: float = 60.0,
) -> Town:
    """A town that follows from its seed alone: streets, plots, houses, trees, water, fields, building sites."""
    rng = np.random.default_rng([seed, 20])
    palette = Palette.drawn(rng)
    layout = lay_out(rng, size_m, MARGIN_M)
    things = Things()
    furnisher = Furnisher(rng, palette, things)
    for block in layout.blocks:
        furnisher.furnish(block)
    things.regions += street_regions(layout)
    things.markings += street_markings(layout, rng)
    half = max(size_m) / 2 + MARGIN_M + 60
    relief = float(rng.uniform(0.6, 2.6))
    return Town(seed, centre, size_m, base_alt_amsl_m, layout, palette, things, Noise(seed, half), relief)


def _cars(rng: np.random.Generator, town: Town, kept_free: list[Polygon]) -> list[Car]:
    """Parked along streets and in car parks, driving in lanes."""
    out: list[Car] = []
    blocked = STRtree(kept_free) if kept_free else None

    def put(x: float, y: float, azimuth: float) -> None:
        kind = str(rng.choice(["car", "car", "car", "car", "van", "truck"]))
        spot = Point(x, y).buffer(2.4)
        if len(town._solid.query(spot, predicate="intersects")):
            return
        if blocked is not None and len(blocked.query(spot, predicate="intersects")):
            return
        rgb = Palette.car(rng)
        out.append(Car(x, y, azimuth % 360, kind, rgb, int(rng.integers(1, 2**20))))

    for street in town.layout.streets:
        at = float(rng.uniform(0, 20))
        while at < street.line.length - 4:
            here, ahead = street.line.interpolate(at), street.line.interpolate(at + 2)
            heading = math.degrees(math.atan2(ahead.x - here.x, ahead.y - here.y))
            side = float(rng.choice([-1.0, 1.0]))
            off = side * (street.width_m / 2 - 1.15 if rng.random() < 0.6 else street.width_m * 0.25)
            turn = math.radians(heading)
            put(here.x + off * math.cos(turn), here.y - off * math.sin(turn), heading + (180 if side < 0 else 0))
            at += float(rng.exponential(26)) + 7
    for mark in town.things.markings:
        if len(mark.points) == 2 and mark.width_m == 0.12 and mark.alpha == 0.75 and rng.random() < 0.55:
            (x0, y0), (x1, y1) = mark.points
            azimuth = math.degrees(math.atan2(x1 - x0, y1 - y0))
            side = math.radians(azimuth + 90)
            put((x0 + x1) / 2 + 1.3 * math.sin(side), (y0 + y1) / 2 + 1.3 * math.cos(side), azimuth)
    return out
