"""Ways around what is closed: shortest paths among polygons by visibility, and distances between many points.

Only the polygons in the way are looked at (and those that the way around them meets), so a city's zones cost nothing
where they are far.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from missions.frame import Array

# Corners of a way keep this far off the closed polygons, so that writing degrees with 8 decimals cannot touch them.
_STAND_OFF_M = 0.5
_ROUNDS = 8


def _nodes(polygon: shapely.Polygon) -> Array:
    """Corner points just outside a closed polygon, (n, 2) metres."""
    grown = shapely.buffer(polygon, _STAND_OFF_M, join_style="mitre", mitre_limit=3.0)
    return shapely.get_coordinates(shapely.simplify(grown, _STAND_OFF_M / 10))


class Router:
    """Shortest ways that stay out of closed polygons.

    Args:
        closed: Polygons in metres; their outlines are closed too.
    """

    def __init__(self, closed: Sequence[shapely.Polygon]) -> None:
        self.closed = np.array(list(closed), dtype=object)
        shapely.prepare(self.closed)  # the same few polygons meet many thousand legs
        self._tree = shapely.STRtree(self.closed)

    @cached_property
    def _corners(self) -> list[Array]:
        return [_nodes(polygon) for polygon in self.closed]

    def clear(self, start: Array, end: Array) -> NDArray[np.bool_]:
        """Whether straight legs from `start` (n, 2) to `end` (n, 2) stay out of everything closed."""
        free = np.ones(len(start), dtype=bool)
        if len(self.closed) and len(start):
            lines = shapely.linestrings(np.stack([start, end], axis=1))
            line, polygon = self._tree.query(lines)
            hit = shapely.intersects(self.closed[polygon], lines[line])
            free[line[hit]] = False
        return free

    def hidden(self, homes: Array, start: Array, end: Array) -> NDArray[np.bool_]:
        """From which legs the straight flight home may meet something closed.

        Args:
            homes: (m, 2).
            start: (n, 2) beginnings of legs.
            end: (n, 2) their ends.

        Returns:
            (m, n): whether the triangle of home and leg meets a closed polygon.
        """
        found = np.zeros((len(homes), len(start)), dtype=bool)
        if not len(self.closed) or not len(start):
            return found
        for number, home in enumerate(homes):
            corners = np.stack([np.broadcast_to(home, start.shape), start, end], axis=1)
            fans = shapely.convex_hull(shapely.multipoints(corners))  # a point or a line where the corners are in line
            fan, polygon = self._tree.query(fans)
            found[number, fan[shapely.intersects(self.closed[polygon], fans[fan])]] = True
        return found

    def open_points(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (n, 2) lie outside everything closed."""
        free = np.ones(len(points), dtype=bool)
        if len(self.closed) and len(points):
            places = shapely.points(points)
            place, polygon = self._tree.query(places)
            free[place[shapely.intersects(self.closed[polygon], places[place])]] = False
        return free

    def _near(self, points: Array) -> list[int]:
        """Closed polygons that meet the hull of points."""
        hull = shapely.convex_hull(shapely.multipoints(points))
        return [int(index) for index in self._tree.query(hull, predicate="intersects")]

    def _grown(self, points: Array) -> list[int]:
        """Polygons in the hull of the points, and those that the ways around them would meet."""
        chosen = self._near(points)
        while chosen:
            around = np.concatenate([points, *(self._corners[index] for index in chosen)])
            wider = self._near(around)
            if len(wider) == len(chosen):
                break
            chosen = wider
        return chosen

    def _graph(self, points: Array) -> tuple[Array, Array]:
        """Nodes (the points first) and the matrix of straight clear distances between them, inf where blocked."""
        chosen = self._grown(points)
        corners = np.concatenate([self._corners[index] for index in chosen]) if chosen else np.empty((0, 2))
        nodes = np.concatenate([points, corners[self.open_points(corners)]])
        first, second = np.triu_indices(len(nodes), 1)
        lengths = np.hypot(*(nodes[first] - nodes[second]).T)
        lengths[~self.clear(nodes[first], nodes[second])] = np.inf
        matrix = np.zeros((len(nodes), len(nodes)))
        matrix[first, second] = lengths
        return nodes, np.maximum(matrix, matrix.T)

    def path(self, start: Array, end: Array) -> Array | None:
        """The shortest way (k, 2) from `start` (2,) to `end` (2,), both included; None where there is none."""
        ends = np.array([start, end], dtype=float)
        if bool(self.clear(ends[:1], ends[1:])[0]):
            return ends
        if not self.open_points(ends).all():
            return None
        nodes, matrix = self._graph(ends)
        finite = np.where(np.isfinite(matrix), matrix, 0.0)
        cost, before = dijkstra(csr_matrix(finite), indices=0, return_predecessors=True)
        if not np.isfinite(cost[1]):
            return None
        way = [1]
        while way[-1] != 0:
            way.append(int(before[way[-1]]))
        return nodes[way[::-1]]

    def distances(self, start: Array, end: Array) -> Array:
        """Shortest ways' lengths between every `start` (n, 2) and every `end` (m, 2): (n, m) metres, inf where none."""
        gap = start[:, None, :] - end[None, :, :]
        direct = np.hypot(gap[..., 0], gap[..., 1])
        if not self._near(np.concatenate([start, end])):
            return direct
        rows, columns = np.indices(direct.shape).reshape(2, -1)
        blocked = ~self.clear(start[rows], end[columns]).reshape(direct.shape)
        if not blocked.any():
            return direct
        return np.where(blocked, self._around(start, end), direct)

    def _around(self, start: Array, end: Array) -> Array:
        chosen = self._grown(np.concatenate([start, end]))
        corners = np.concatenate([self._corners[index] for index in chosen])
        corners = corners[self.open_points(corners)]
        between = self._graph_of(corners)
        first = self._seen(start, corners)
        last = self._seen(end, corners)
        via = np.min(first[:, :, None] + between[None, :, :], axis=1) if len(corners) else first
        return np.stack([np.min(via + row[None, :], axis=1) for row in last], axis=1)

    def _graph_of(self, corners: Array) -> Array:
        seen = self._seen(corners, corners)
        np.fill_diagonal(seen, 0.0)
        return dijkstra(csr_matrix(np.where(np.isfinite(seen), seen, 0.0)))

    def _seen(self, points: Array, corners: Array) -> Array:
        """Straight clear distances (n, m), inf where blocked."""
        gap = points[:, None, :] - corners[None, :, :]
        lengths = np.hypot(gap[..., 0], gap[..., 1])
        rows, columns = np.indices(lengths.shape).reshape(2, -1)
        free = self.clear(points[rows], corners[columns]).reshape(lengths.shape)
        return np.where(free, lengths, np.inf)
