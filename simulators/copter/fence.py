"""Where the vehicle may be: ceiling, circle about home, polygons and circles of an uploaded fence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simulators.copter import items as it
from simulators.copter.geodesy import LocalFrame
from simulators.copter.items import Item

Point = tuple[float, float]

ALT_MAX, CIRCLE, POLYGON, ALT_MIN = 1, 2, 4, 8
# FENCE_BREACH of MAVLink: none, minimum altitude, maximum altitude, boundary.
BREACH_NONE, BREACH_MIN, BREACH_MAX, BREACH_BOUNDARY = 0, 1, 2, 3


@dataclass(frozen=True)
class Area:
    """A polygon or circle in local metres (north, east), to stay inside or outside of."""

    keep_in: bool
    ring: tuple[Point, ...] = ()
    centre: Point = (0.0, 0.0)
    radius_m: float = 0.0

    def depth_m(self, at: Point) -> float:
        """How far past the border on the forbidden side; negative is the distance still to it."""
        if self.ring:
            distance = _border_distance(self.ring, at)
            inside = _contains(self.ring, at)
        else:
            distance = abs(math.dist(at, self.centre) - self.radius_m)
            inside = math.dist(at, self.centre) <= self.radius_m
        return -distance if inside == self.keep_in else distance


def _border_distance(ring: Sequence[Point], at: Point) -> float:
    best = math.inf
    for (n0, e0), (n1, e1) in zip(ring, (*ring[1:], ring[0]), strict=True):
        dn, de = n1 - n0, e1 - e0
        length2 = dn * dn + de * de
        t = max(0.0, min(1.0, ((at[0] - n0) * dn + (at[1] - e0) * de) / length2)) if length2 > 0 else 0.0
        best = min(best, math.hypot(at[0] - n0 - t * dn, at[1] - e0 - t * de))
    return best


def _contains(ring: Sequence[Point], at: Point) -> bool:
    inside = False
    n, e = at
    for (n0, e0), (n1, e1) in zip(ring, (*ring[1:], ring[0]), strict=True):
        if (e0 > e) != (e1 > e) and n < (n1 - n0) * (e - e0) / (e1 - e0) + n0:
            inside = not inside
    return inside


def areas(plan: Sequence[Item], frame: LocalFrame) -> list[Area]:
    """The areas of a complete fence plan."""
    out: list[Area] = []
    index = 0
    while index < len(plan):
        item = plan[index]
        if item.command in (it.FENCE_INCLUSION, it.FENCE_EXCLUSION):
            count = int(item.p1)
            ring = tuple(frame.north_east(v.lon, v.lat) for v in plan[index : index + count])
            out.append(Area(item.command == it.FENCE_INCLUSION, ring))
            index += count
            continue
        if item.command in (it.FENCE_CIRCLE_INCLUSION, it.FENCE_CIRCLE_EXCLUSION):
            centre = frame.north_east(item.lon, item.lat)
            out.append(Area(item.command == it.FENCE_CIRCLE_INCLUSION, (), centre, item.p1))
        index += 1
    return out


@dataclass
class Fence:
    """The fence in force.

    Attributes:
        enabled: FENCE_ENABLE.
        types: FENCE_TYPE, a mask of ALT_MAX, CIRCLE, POLYGON, ALT_MIN.
        alt_max_m: Ceiling above home.
        alt_min_m: Floor above home.
        radius_m: Of the circle about home.
        areas: Of the uploaded fence.
        home: North and east of home, metres.
    """

    enabled: bool = False
    types: int = 7
    alt_max_m: float = 100.0
    alt_min_m: float = -10.0
    radius_m: float = 300.0
    areas: tuple[Area, ...] = ()
    home: Point = (0.0, 0.0)

    def depths(self, at: Point, height_m: float) -> dict[int, float]:
        """Metres past each fence that is in force (negative: still inside)."""
        if not self.enabled:
            return {}
        out: dict[int, float] = {}
        if self.types & ALT_MAX:
            out[ALT_MAX] = height_m - self.alt_max_m
        if self.types & ALT_MIN:
            out[ALT_MIN] = self.alt_min_m - height_m
        if self.types & CIRCLE:
            out[CIRCLE] = math.dist(at, self.home) - self.radius_m
        if self.types & POLYGON and self.areas:
            out[POLYGON] = self.boundary_depth(at)
        return out

    def boundary_depth(self, at: Point) -> float:
        """Metres past the uploaded fence: within any keep-in area will do, every keep-out area counts."""
        keep_in = [area.depth_m(at) for area in self.areas if area.keep_in]
        keep_out = [area.depth_m(at) for area in self.areas if not area.keep_in]
        return max([*([min(keep_in)] if keep_in else []), *keep_out], default=-math.inf)

    def breaches(self, at: Point, height_m: float) -> int:
        """Mask of the fences that are breached."""
        return sum(kind for kind, depth in self.depths(at, height_m).items() if depth > 0)


def mavlink_breach(mask: int) -> int:
    """FENCE_BREACH for a mask of breached fences."""
    if mask & ALT_MAX:
        return BREACH_MAX
    if mask & (CIRCLE | POLYGON):
        return BREACH_BOUNDARY
    return BREACH_MIN if mask & ALT_MIN else BREACH_NONE
