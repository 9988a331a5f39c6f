"""One tile swept from one site: by spirals, or by lanes along a corridor and where no spiral fits."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.airspace import photo_closed
from missions.coverage import SIDE_INSET, Strip, joined
from missions.direction import sweeps
from missions.flying import Flown, measured
from missions.frame import Array
from missions.loops import looped
from missions.part import Part, lanes_over
from missions.request import Task
from missions.sorties import Pieces
from missions.spiral import Turning, long_axis_rad, sharp_corners, spirals
from missions.vector import polygons_of

# Rings beside a no-photo place are flown along its outline, but their corners show more of it than their sides.
_CORNERS_M = 6.0
_STAND_OFF_M = 1.0
_CRUMB_M2 = 25.0
# Rings of a convex tile leave nothing unseen; of another one it is looked at. Smaller crumbs are let be.
_CONVEX, _LEAST_MISSED_M2 = 0.97, 100.0
_NOTHING = Pieces(np.empty((0, 2)), np.empty((0, 2)), np.empty(0, dtype=np.int64))


def _inset_m(strip: Strip) -> float:
    """How far within the area its tiles end: their outermost ring lies half a lane further in, as a first lane does."""
    return max(SIDE_INSET * strip.across_m - strip.lane_m / 2, 0.0)


def swept_place(task: Task, part: Part) -> BaseGeometry:
    """What of a part is cut into tiles: as much as must be flown over for all of it to be seen."""
    if task.stretches:
        return part.target
    # Where another part goes on at another height, nothing is left out between the two.
    whole = task.area.difference(shapely.union_all([task.airspace.no_fly, task.airspace.no_photo]))
    place = shapely.buffer(whole, -_inset_m(part.strip)).intersection(part.target)
    if not task.airspace.no_photo.is_empty:
        keep_m = (part.strip.across_m - part.strip.lane_m) / 2 + _CORNERS_M
        place = place.difference(shapely.buffer(task.airspace.no_photo, keep_m))
    place = place.difference(shapely.buffer(part.closed, _STAND_OFF_M))
    return place if place.area > _CRUMB_M2 else part.target


def _allowed(task: Task, part: Part, start: Array, end: Array) -> Pieces:
    """Legs less those that meet something closed, and less what of them would show a no-photo place."""
    clear = part.router.clear(start, end)
    start, end = start[clear], end[clear]
    hidden, strip = task.airspace.no_photo, part.strip
    lines = shapely.linestrings(np.stack([start, end], axis=1))
    near = shapely.dwithin(lines, hidden, float(np.hypot(strip.across_m, strip.along_m)) / 2 + _STAND_OFF_M)
    if not near.any():
        return Pieces(start, end, np.zeros(len(start), dtype=np.int64))
    legs = np.stack([start, end], axis=1)
    kept = [legs[index][None] if not near[index] else _unseen(hidden, strip, legs[index]) for index in range(len(legs))]
    left = np.concatenate(kept)
    return Pieces(left[:, 0], left[:, 1], np.zeros(len(left), dtype=np.int64))


def _unseen(hidden: BaseGeometry, strip: Strip, leg: Array) -> Array:
    """What of a leg (2, 2) may be photographed from without showing a hidden place, as legs (n, 2, 2)."""
    course = float(np.arctan2(*(leg[1] - leg[0])[::-1]))
    shown = shapely.buffer(photo_closed(hidden, strip.across_m, strip.along_m, course), _STAND_OFF_M)
    rest = shapely.get_parts(shapely.linestrings(leg).difference(shown))
    found = [shapely.get_coordinates(line)[[0, -1]] for line in rest if line.length > _STAND_OFF_M]
    return np.array(found).reshape(-1, 2, 2)


def _in_lanes(task: Task, part: Part, tile: BaseGeometry, home: Array) -> Pieces:
    """The tile in lanes, in an order that ends where it began."""
    if task.stretches:
        places = [(stretch.place.intersection(tile), stretch.direction_rad) for stretch in task.stretches]
    else:
        target = shapely.buffer(tile, _inset_m(part.strip)).intersection(part.target)
        places = [(target, sweeps(target, part.strip, task.model)[0].direction_rad)]
    lanes = joined([lanes_over(task, part, place, along) for place, along in places if place.area > _CRUMB_M2])
    pieces = Pieces(lanes.start, lanes.end, np.arange(len(lanes)))
    return looped(pieces, home, part.router, task.model, part.strip)


def _strips(pieces: Pieces, strip: Strip) -> BaseGeometry:
    """What legs may be relied on to see."""
    along = pieces.end - pieces.start
    unit = along / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    side = np.column_stack([-unit[:, 1], unit[:, 0]]) * strip.reach_across_m
    ahead = unit * strip.reach_along_m
    start, end = pieces.start - ahead, pieces.end + ahead
    return shapely.union_all(shapely.polygons(np.stack([start - side, end - side, end + side, start + side], axis=1)))


def _is_plain(tile: BaseGeometry, duty: BaseGeometry, strip: Strip, corners: Array) -> bool:
    """Whether rings leave nothing unseen: the tile is convex, its duty without sharp corners and within their sight."""
    if len(corners) and (shapely.distance(duty, shapely.points(corners)) < _STAND_OFF_M).any():
        return False
    if not isinstance(tile, shapely.Polygon) or tile.area < _CONVEX * tile.convex_hull.area:
        return False
    reach = shapely.buffer(tile, _inset_m(strip) + _STAND_OFF_M, join_style="mitre")
    return bool(duty.difference(reach).area < _CRUMB_M2)


def _missed(task: Task, part: Part, pieces: Pieces, duty: BaseGeometry) -> Pieces:
    """Lanes over what rings leave unseen: arms too narrow for one, ends beside notches, holes and zones."""
    rest = duty.difference(_strips(pieces, part.strip)) if len(pieces) else duty
    # The rim of a no-photo place is seen by the outermost pixels only: no lane is added for it.
    rest = rest.difference(shapely.buffer(task.airspace.no_photo, part.strip.across_m / 4))
    lanes = []
    for place in polygons_of(rest):
        if place.area > _LEAST_MISSED_M2:
            lanes.append(lanes_over(task, part, place, long_axis_rad(place)))
    found = joined(lanes)
    return Pieces(found.start, found.end, np.arange(1, len(found) + 1))


def _together(one: Pieces, other: Pieces) -> Pieces:
    """Pieces one after the other, those of the second in the order nearest to where the first end."""
    left, order, turned = list(range(len(other))), [], []
    here = one.end[-1] if len(one) else other.start[0]
    while left:
        ends = np.stack([other.start[left], other.end[left]])
        side, at = divmod(int(np.argmin(np.hypot(*(ends - here).transpose(2, 0, 1)))), len(left))
        order.append(left.pop(at))
        turned.append(side == 1)
        here = other.start[order[-1]] if side == 1 else other.end[order[-1]]
    back = np.array(turned, dtype=bool)[:, None]
    start = np.where(back, other.end[order], other.start[order])
    end = np.where(back, other.start[order], other.end[order])
    lane = np.concatenate([one.lane, other.lane[order]])
    return Pieces(np.concatenate([one.start, start]), np.concatenate([one.end, end]), lane)


def _in_spirals(task: Task, part: Part, tile: BaseGeometry, duty: BaseGeometry, home: Array) -> Pieces | None:
    turning, here, corners = Turning.of(task.profile), home, sharp_corners(part.target)
    ways: list[Array] = []
    for polygon in polygons_of(tile):
        if polygon.area < _CRUMB_M2:
            continue
        found = spirals(polygon, part.strip, turning, here, corners)
        if found is None:
            return None
        ways += found
        here = ways[-1][-1]
    pieces = _NOTHING
    if ways:
        start = np.concatenate([way[:-1] for way in ways])
        pieces = _allowed(task, part, start, np.concatenate([way[1:] for way in ways]))
    if _is_plain(tile, duty, part.strip, corners):
        return pieces
    more = _missed(task, part, pieces, duty)
    return _together(pieces, more) if len(more) else pieces


def swept(task: Task, part: Part, tile: BaseGeometry, duty: BaseGeometry, home: Array) -> tuple[Pieces, Flown] | None:
    """What sees a tile, in flying order, and the sortie over it from `home`; None where there is no way to it.

    Args:
        task: The request, read.
        part: Where the tile lies.
        tile: Polygons, metres, that rings are laid in.
        duty: What of the area this sortie alone may see.
        home: (2,) take-off point.
    """
    pieces = None if task.stretches else _in_spirals(task, part, tile, duty, home)
    if pieces is None:
        pieces = _in_lanes(task, part, tile, home)
    if task.request.clearances.straight_home:
        seen = np.flatnonzero(~part.router.hidden(home[None], pieces.start, pieces.end)[0])
        pieces = Pieces(pieces.start[seen], pieces.end[seen], pieces.lane[seen])
    if not len(pieces):
        return None
    flown = measured(task, part, pieces, home)
    return (pieces, flown) if flown is not None else None
