"""A brigade's work: an area in tiles, each as large as one sortie of the crew that comes there sees.

How large that is depends on the way from its site, on its shape, the wind and the hills, and on whose batteries they
are: each round sweeps the tiles, deals them to crews along a tour of the sites, and sizes them anew by what was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.errors import MissionsError
from missions.flying import Flown, drawn_wh, fly
from missions.frame import Array
from missions.part import Part
from missions.request import Task
from missions.roster import Crew, Roster
from missions.sites import propose_sites
from missions.sorties import Pieces
from missions.swept import swept, swept_place
from missions.tiles import Tiling
from missions.timetable import drive_s
from missions.tour import best_tour

Tell = Callable[[int, int, str], None]
# What a sortie flies beside what it sees, to begin with: climb, descent, ways from and to home.
_BESIDE_S = 150.0
# Rounds of moving seeds, and of sizes alone; rounds of sweeping and sizing, at least and at most.
_SETTLING, _RESETTLING, _BALANCING, _LEAST_SIZINGS, _SIZINGS = 60, 15, 5, 2, 9
_BISECTIONS = 24
# Share of tiles that may still be too large when sizing ends: their sorties are cut in two.
_CUT_AT_LAST = 0.04
# Fewer tiles than this many a crew are evened out: a crew more or less of them is a day's finish.
_FEW = 3
_CRUMB, _CRUMB_M2 = 1e-6, 25.0
# Share of a battery that tiles are sized to: the next round's shapes differ a little.
_FULL = 0.925
# Late rounds add tiles where all need so much more than there is, and fill tiles no faster than the second.
_TIGHT = 1.01
_SLOWLY = 1.02
# From one round to the next no tile grows or shrinks by more.
_CHANGE = (0.8, 1.25)
# A metre out of sight counts as so many flown; sites that are weighed for a tile.
_BEYOND, _NEAR_SITES = 3.0, 6
# What a site counts farther from which the straight way home is closed from all of a tile's outline.
_HIDDEN_M = 1000.0


@dataclass(frozen=True)
class Work:
    """One sortie of the day before it has a time, with the crew whose battery it was measured for."""

    crew: int
    flown: Flown


@dataclass(frozen=True)
class _Tile:
    """A tile as it was last swept: tile `number` of field `field`."""

    field: int
    number: int
    pieces: Pieces
    flown: Flown

    @property
    def key(self) -> tuple[int, int]:
        """Which tile it is, from round to round."""
        return self.field, self.number

    def lanes_share(self) -> float:
        """Share of the sortie's way with the camera on."""
        route = self.flown.route
        return sum(route.runs_m()) / max(route.distance_m, 1.0)


class _Field:
    """One part with its tiling, sized round by round."""

    def __init__(self, task: Task, roster: Roster, part: Part, health: float, crews: int) -> None:
        self.task, self.part, self.range_m = task, part, roster.line_of_sight_m
        self.place = swept_place(task, part)
        self.sites = _sites(task, part)
        self._lay(_to_begin_with(task, part, self.place.area, health, crews))

    def _lay(self, count: int) -> None:
        """Equal tiles, relaxed."""
        self.sizes_m2 = np.full(count, self.place.area / count)
        self.tiling = Tiling(self.place, count, self.sites)
        self.tiling.settle(self.sizes_m2, _SETTLING)
        self.tiling.balance(self.sizes_m2, _BALANCING)

    def _home(self, tile: BaseGeometry) -> Array:
        """The site for a tile: near its edge and its middle, and with all of it in sight."""
        middle = shapely.get_coordinates(tile.centroid)[0]
        near = np.argsort(np.hypot(*(self.sites - middle).T))[:_NEAR_SITES]
        places = self.sites[near]
        points = shapely.points(places)
        hull = shapely.convex_hull(tile)
        outline = shapely.get_coordinates(hull)
        hidden = self.part.router.hidden(places, outline[:-1], outline[1:]).mean(axis=1)
        beyond_m = np.maximum(shapely.hausdorff_distance(hull, points) - self.range_m, 0.0)
        cost = shapely.distance(tile, points) + np.hypot(*(places - middle).T) + _BEYOND * beyond_m + _HIDDEN_M * hidden
        return np.asarray(places[int(np.argmin(cost))])

    def swept(self, field: int) -> tuple[list[_Tile], float]:
        """All tiles as they are now, and the square metres that no way leads to."""
        found, lost_m2 = [], 0.0
        cells = self.tiling.cells()
        tiles = shapely.intersection(cells, self.place)
        # Beside a border between tiles the neighbour's outermost ring sees what the own one does not.
        duties = shapely.intersection(shapely.buffer(cells, -self.part.strip.lane_m / 4), self.part.target)
        self.sizes_m2 = np.maximum(shapely.area(tiles), 1.0)
        for number, (tile, duty) in enumerate(zip(tiles, duties, strict=True)):
            if tile.area < _CRUMB_M2 and duty.area < _CRUMB_M2:
                continue
            one = swept(self.task, self.part, tile, duty, self._home(tile if tile.area else duty))
            if one is None:
                lost_m2 += tile.area
            else:
                found.append(_Tile(field, number, *one))
        return found, lost_m2

    def size(self, wanted: dict[int, float], late: bool) -> None:
        """Sizes tiles anew, in other numbers where they then do not fill the place.

        Args:
            wanted: By number, the share of its size that each should have.
            late: Whether tiles that fit stay, and others take what those leave that do not.
        """
        factor = np.clip([wanted.get(number, 1.0) for number in range(len(self.tiling))], *_CHANGE)
        if late:
            factor = np.where(factor < _FULL, factor, np.clip(factor, 1.0, _SLOWLY))
        sizes = self.sizes_m2 * factor
        share = self.place.area / sizes.sum()
        count = max(1, math.ceil(len(sizes) * share - _CRUMB))
        if not late and count < len(sizes):
            self._lay(count)
        elif count > len(sizes) and (not late or share > _TIGHT):
            more = min(count, 2 * len(sizes))
            self.tiling.grow(more)
            sizes = np.concatenate([sizes, np.full(more - len(sizes), sizes.mean())])
            self.tiling.settle(sizes * self.place.area / sizes.sum(), _RESETTLING)
            self.tiling.balance(sizes * self.place.area / sizes.sum(), _BALANCING)
        else:
            self.tiling.balance(sizes * share, _BALANCING)


def _to_begin_with(task: Task, part: Part, area_m2: float, health: float, crews: int) -> int:
    """How many tiles a part needs by what a battery lasts; of few, as many for each crew."""
    profile = task.profile
    watts = float(task.model.power_w(np.array([profile.cruise_mps]))[0])
    lasts_s = max(_FULL * task.model.budget_wh(health) * 3600.0 / watts - _BESIDE_S, _BESIDE_S)
    lanes_s = area_m2 / part.strip.lane_m / profile.cruise_mps
    count = max(1, math.ceil(lanes_s / lasts_s))
    even = crews * math.ceil(count / crews)
    return even if count < _FEW * crews and lanes_s > even * _BESIDE_S else count


def _sites(task: Task, part: Part) -> Array:
    if not task.request.sites:
        return propose_sites(part.target, part.ground)
    given = task.frame.to_xy(task.request.sites)
    usable = given[part.ground.open_points(given)]
    if not len(usable):
        raise MissionsError("all take-off sites lie inside or too near zones or obstacles: give others with --site")
    return usable


def _on_tour(homes: Array) -> list[int]:
    """Sorties in an order that is short to drive, those of one site together."""
    places, which = np.unique(homes, axis=0, return_inverse=True)
    gap = np.hypot(*(places[:, None, :] - places[None, :, :]).transpose(2, 0, 1))
    tour = best_tour(np.repeat(np.repeat(gap, 2, axis=0), 2, axis=1), starts=1)
    rank = np.argsort([int(end) // 2 for end in tour])
    return [int(index) for index in np.argsort(rank[which.reshape(-1)], kind="stable")]


def _runs(flown: Sequence[Flown], roster: Roster, count: int, limit_s: float) -> list[int] | None:
    """The crew of each sortie when each takes as many in order as its limit allows; None where crews do not suffice."""
    crew, spent = 0, 0.0
    found: list[int] = []
    for index, one in enumerate(flown):
        seconds = one.duration_s + roster.swap_s
        road_s = drive_s(roster, flown[index - 1].home, one.home) if spent else 0.0
        if spent and spent + road_s + seconds > limit_s:
            crew, spent, road_s = crew + 1, 0.0, 0.0
            if crew == count:
                return None
        found.append(crew)
        spent += road_s + seconds
    return found


def balanced(flown: Sequence[Flown], roster: Roster, count: int) -> list[int]:
    """The crew (0 to `count` - 1) of each sortie: runs of a tour over their sites with the least latest finish."""
    order = _on_tour(np.array([one.home for one in flown]))
    toured = [flown[index] for index in order]
    total = sum(one.duration_s + roster.swap_s for one in flown)
    low, high = total / count, 4.0 * total
    best = _runs(toured, roster, count, math.inf)
    assert best is not None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = _runs(toured, roster, count, middle)
        if found is None:
            low = middle
        else:
            best, high = found, middle
    crew = [0] * len(flown)
    for index, chosen in zip(order, best, strict=True):
        crew[index] = chosen
    return crew


class Dealing:
    """The day's sorties over all parts, and over listed places, dealt to crews.

    Args:
        task: The request, read.
        roster: Who and what there is.
        crews: Made of it.
        parts: The area by height.
        visits: Sorties over listed places, within anybody's battery.
    """

    def __init__(
        self, task: Task, roster: Roster, crews: Sequence[Crew], parts: Sequence[Part], visits: Sequence[Flown]
    ) -> None:
        self.task, self.roster, self.visits = task, roster, visits
        self.limits_wh = [task.model.budget_wh(crew.machine.battery_health) for crew in crews]
        self.healths = [crew.machine.battery_health for crew in crews]
        self.fields = [_Field(task, roster, part, float(np.mean(self.healths)), len(crews)) for part in parts]
        self.lost_m2 = 0.0
        self._visitors: list[int] = []

    def _swept(self, settled: dict[tuple[int, int], int]) -> tuple[list[_Tile], list[int]]:
        """All tiles, and the crew of each of them and then of each visit; tiles in `settled` keep theirs."""
        tiles: list[_Tile] = []
        self.lost_m2 = 0.0
        for number, field in enumerate(self.fields):
            found, lost_m2 = field.swept(number)
            tiles += found
            self.lost_m2 += lost_m2
        if not tiles and not self.visits:
            return [], []
        if tiles and settled.keys() == {tile.key for tile in tiles}:
            return tiles, [*(settled[tile.key] for tile in tiles), *self._visitors]
        crew = balanced([*(tile.flown for tile in tiles), *self.visits], self.roster, len(self.limits_wh))
        self._visitors = crew[len(tiles) :]
        return tiles, crew

    def _share(self, tile: _Tile, limit_wh: float) -> float:
        """By what a tile must grow for its sortie to fill a battery: ways from and to home do not grow with it."""
        drawn = drawn_wh(self.task, tile.flown, limit_wh)
        lanes_wh = tile.lanes_share() * drawn
        return (_FULL * limit_wh - (drawn - lanes_wh)) / lanes_wh

    def sized(self, tell: Tell) -> list[Work]:
        """Sorties with their crews, each within its crew's battery; what no battery sees adds to `lost_m2`."""
        settled: dict[tuple[int, int], int] = {}
        tiles, crew = self._swept(settled)
        for number in range(_SIZINGS):
            tell(number, _SIZINGS, "tiles")
            if number >= _LEAST_SIZINGS and len(self._over(tiles, crew)) <= _CUT_AT_LAST * len(tiles):
                break
            for index, field in enumerate(self.fields):
                mine = [(tile, who) for tile, who in zip(tiles, crew, strict=False) if tile.field == index]
                shares = {tile.number: self._share(tile, self.limits_wh[who]) for tile, who in mine}
                field.size(shares, late=number >= _LEAST_SIZINGS)
            # Crews have better and worse batteries: who flies where is settled, or tiles would never fit.
            if number >= 1:
                settled = {tile.key: who for tile, who in zip(tiles, crew, strict=False)}
            tiles, crew = self._swept(settled)
        return self._within(tiles, crew)

    def _over(self, tiles: list[_Tile], crew: list[int]) -> list[int]:
        """Tiles whose sorties draw more than their crews' batteries."""
        limits = [self.limits_wh[who] for who in crew]
        return [
            index
            for index, (tile, limit_wh) in enumerate(zip(tiles, limits, strict=False))
            if drawn_wh(self.task, tile.flown, limit_wh) > limit_wh
        ]

    def _within(self, tiles: list[_Tile], crew: list[int]) -> list[Work]:
        """The sorties; what is over its battery even now as two or more."""
        over = set(self._over(tiles, crew))
        work = []
        for index, (tile, who) in enumerate(zip(tiles, crew, strict=False)):
            if index not in over:
                work.append(Work(who, tile.flown))
                continue
            part, home = self.fields[tile.field].part, tile.flown.home
            flown, lost = fly(self.task, part, tile.pieces, home[None, :], health=self.healths[who])
            work += [Work(who, one) for one in flown]
            self.lost_m2 += lost / len(tile.pieces) * float(self.fields[tile.field].sizes_m2[tile.number])
        return work + [Work(who, one) for who, one in zip(crew[len(tiles) :], self.visits, strict=True)]
