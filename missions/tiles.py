"""An area cut into tiles of given sizes, compact and near take-off sites: a power diagram, relaxed.

Tiles are the cells of a power diagram (Aurenhammer, SIAM J. Comput. 16, 1987) whose weights are moved until each has
the size wanted, and whose seeds are moved to their cells' middles (Balzer et al., SIGGRAPH 2009): convex but where the
area's own edge cuts them, nearly six-sided, and of any size. Sizes are counted on a grid of atoms; outlines are exact.
"""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from missions.frame import Array

_ATOMS_PER_TILE = 150
_SEED = 1
# Of a hexagonal cell the size grows by about 1.7 times its weight; a third of the gap a step does not overshoot.
_WEIGHT_STEP = 0.35
_STEPS_A_MOVE = 2
# How much of the way to its site a seed is drawn beyond the distance at which the site lies on the tile's edge, which
# is where a sortie begins. On the standard city ways out and home are 910 m a sortie at 0, 778 at 0.3, 740 at 0.6; at 1
# the sizes do not settle (they spread by 17 %).
_PULL = 0.5
_EDGE_SHARE = 0.85


class Tiling:
    """The diagram.

    Args:
        place: What is cut up, metres.
        count: How many tiles.
        sites: (m, 2) take-off points, metres.
    """

    def __init__(self, place: BaseGeometry, count: int, sites: Array) -> None:
        self._place, self._sites = place, cKDTree(sites)
        step = math.sqrt(place.area / (count * _ATOMS_PER_TILE))
        west, south, east, north = place.bounds
        x, y = np.arange(west + step / 2, east, step), np.arange(south + step / 2, north, step)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        shapely.prepare(place)
        inside = grid[shapely.contains_xy(place, grid)]
        self._atoms = inside if len(inside) >= count else np.concatenate([inside, _corners(place)])
        self._atom_m2 = place.area / len(self._atoms)
        self._random = np.random.default_rng(_SEED)
        chosen = self._random.choice(len(self._atoms), count, replace=len(self._atoms) < count)
        self.seeds: Array = self._atoms[chosen]
        self.weights: Array = np.zeros(count)

    def __len__(self) -> int:
        return len(self.seeds)

    def grow(self, count: int) -> None:
        """More tiles, begun in the middle of the largest."""
        large = np.argsort(-shapely.area(np.array(self.tiles())), kind="stable")[: count - len(self)]
        # Beside the seed that is there, or the two would be one for ever.
        self.seeds = np.concatenate([self.seeds, self.seeds[large] + self._random.uniform(1.0, 2.0, (len(large), 2))])
        self.weights = np.concatenate([self.weights, self.weights[large]])

    def _owners(self) -> NDArray[np.int64]:
        # |x - s|^2 - w is least where x lifted to (x, 0) is nearest to the seed lifted to (s, sqrt(max w - w)).
        lift = np.sqrt(np.maximum(self.weights.max() - self.weights, 0.0))
        tree = cKDTree(np.column_stack([self.seeds, lift]))
        return np.asarray(tree.query(np.column_stack([self._atoms, np.zeros(len(self._atoms))]))[1])

    def _weighed(self, sizes_m2: Array) -> NDArray[np.int64]:
        owner = self._owners()
        found = np.bincount(owner, minlength=len(self)) * self._atom_m2
        self.weights = self.weights + _WEIGHT_STEP * (sizes_m2 - found)
        return owner

    def settle(self, sizes_m2: Array, rounds: int) -> None:
        """Moves seeds to their tiles' middles, and towards sites, and weights towards the sizes (n,) wanted."""
        reach_m = _EDGE_SHARE * np.sqrt(sizes_m2 / math.pi)
        for _ in range(rounds):
            for _ in range(_STEPS_A_MOVE):
                owner = self._weighed(sizes_m2)
            count = np.bincount(owner, minlength=len(self))
            sums = [np.bincount(owner, self._atoms[:, axis], len(self)) for axis in (0, 1)]
            middle: Array = np.column_stack(sums) / np.maximum(count, 1)[:, None]
            empty = count == 0
            middle[empty] = self._atoms[self._random.choice(len(self._atoms), int(empty.sum()))]
            self.weights[empty] = float(self.weights.mean())
            away, site = self._sites.query(middle)
            share = _PULL * np.clip((away - reach_m) / np.maximum(away, 1.0), 0.0, 1.0)
            self.seeds = middle + share[:, None] * (self._sites.data[site] - middle)

    def balance(self, sizes_m2: Array, rounds: int) -> None:
        """Moves weights only, by the exact sizes of the tiles."""
        for _ in range(rounds):
            self.weights = self.weights + _WEIGHT_STEP * (sizes_m2 - shapely.area(np.array(self.tiles())))

    def tiles(self) -> list[BaseGeometry]:
        """The cells, cut by the area's outline: polygons, several where the outline parts them, empty ones among them.

        Together they are the area.
        """
        return list(shapely.intersection(self.cells(), self._place))

    def cells(self) -> NDArray[np.object_]:
        """The cells as they are, convex, the outermost far beyond the area."""
        west, south, east, north = self._place.bounds
        far = float(np.hypot(east - west, north - south)) + 1.0
        frame = np.array([(west - far, south - far), (east + far, south - far), (east + far, north + far)])
        frame = np.concatenate([frame, [(west - far, north + far)]])
        return np.array([self._cell(number, frame) for number in range(len(self))], dtype=object)

    def _cell(self, number: int, frame: Array) -> BaseGeometry:
        """One cell, its frame clipped by one neighbour after the other until no further one can reach it."""
        seed, outline = self.seeds[number], frame
        gap = self.seeds - seed
        square = np.sum(gap**2, axis=1)
        # The line on which both powers are equal, as n . (x - s) <= offset.
        offset = (square + self.weights[number] - self.weights) / 2
        length = np.sqrt(np.maximum(square, 1e-9))
        order = np.argsort(offset / length, kind="stable")
        for other in order[order != number]:
            far = float(np.hypot(*(outline - seed).T).max())
            if offset[other] / length[other] > far:
                break
            outline = _clipped(outline, gap[other], float(gap[other] @ seed + offset[other]))
            if len(outline) < 3:
                return shapely.Polygon()
        return shapely.Polygon(outline)


def _corners(place: BaseGeometry) -> Array:
    """Atoms of a place too thin for the grid."""
    return np.asarray(shapely.get_coordinates(shapely.segmentize(place.boundary, math.sqrt(place.area) / 20)))


def _clipped(outline: Array, normal: Array, offset: float) -> Array:
    """What of a convex outline (n, 2) has normal . x <= offset."""
    side = outline @ normal - offset
    inside = side <= 0
    if inside.all():
        return outline
    following = np.roll(outline, -1, axis=0)
    crossing = inside != np.roll(inside, -1)
    share = side / np.where(crossing, side - np.roll(side, -1), 1.0)
    between = outline + share[:, None] * (following - outline)
    points = np.stack([outline, between], axis=1).reshape(-1, 2)
    return points[np.stack([inside, crossing], axis=1).reshape(-1)]
