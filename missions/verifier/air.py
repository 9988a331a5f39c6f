"""Whether flights keep out of where nobody may be: zones, obstacles, the permitted area, heights above ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.frame import Array
from missions.verifier.flight import Flight, Ground, Plane, samples
from missions.zones import Obstacle, Zone

LEGAL_AGL_M = 120.0
# Heights above ground: the surface model's own error; the check of 120 m must not fail on rounding.
_HEIGHT_SLACK_M = 0.5


def line_inside(points: Array, place: BaseGeometry) -> float:
    """Metres of legs strictly inside a place; a point on its outline is outside, a climb inside counts as one metre."""
    line = shapely.linestrings(points[:, :2])
    if not shapely.intersects(line, place):
        return 0.0
    inside = float(shapely.length(shapely.intersection(line, place)))
    if inside == 0.0 and shapely.relate_pattern(shapely.points(points[0, :2]), place, "T********"):
        return 1.0
    return inside


class Rules:
    """Zones and obstacles in the verifier's plane."""

    def __init__(self, zones: Sequence[Zone], obstacles: Sequence[Obstacle], plane: Plane, clearance_m: float) -> None:
        self.zones = [(zone, plane.geometry(zone.geometry)) for zone in zones]
        self.obstacles = [
            (thing, plane.geometry(thing.geometry).buffer(clearance_m, quad_segs=16)) for thing in obstacles
        ]
        self.clearance_m = clearance_m
        allowed = [geometry for zone, geometry in self.zones if zone.kind == "permitted"]
        self.permitted = shapely.union_all(allowed) if allowed else None

    def active(self, flight: Flight) -> list[tuple[Zone, BaseGeometry]]:
        """Zones that hold while a flight lasts."""
        begin = flight.sortie.start_utc
        end = begin + timedelta(seconds=flight.sortie.duration_s)
        return [(zone, geometry) for zone, geometry in self.zones if zone.active(begin, end)]

    def closed_m(self, flight: Flight, ground: Ground) -> list[tuple[float, str]]:
        """(metres, line) of every breach in the plane."""
        found = []
        for zone, geometry in self.active(flight):
            if zone.kind == "no-fly" and (metres := line_inside(flight.points, geometry)) > 0:
                found.append((metres, f"{flight.sortie.id}: {metres:.1f} m inside no-fly zone {zone.name}"))
        if self.permitted is not None:
            line = shapely.linestrings(flight.points[:, :2])
            metres = float(shapely.length(shapely.difference(line, self.permitted)))
            if metres > 0:
                found.append((metres, f"{flight.sortie.id}: {metres:.1f} m outside the permitted area"))
        for thing, geometry in self.obstacles:
            metres = self._too_near(flight, thing, geometry, ground)
            if metres > 0:
                what = f"{flight.sortie.id}: {metres:.1f} m within {self.clearance_m:g} m of {thing.name}"
                found.append((metres, what))
        return found

    def top_m(self, thing: Obstacle, grown: BaseGeometry, home: Array, ground: Ground) -> float:
        """The least height above home at which something may be passed over."""
        foot = float(ground.above(home, shapely.get_coordinates(grown.centroid))[0])
        return foot + (math.inf if thing.top_agl_m is None else thing.top_agl_m) + self.clearance_m

    def _too_near(self, flight: Flight, thing: Obstacle, grown: BaseGeometry, ground: Ground) -> float:
        line = shapely.linestrings(flight.points[:, :2])
        if not shapely.intersects(line, grown):
            return 0.0
        top_m = self.top_m(thing, grown, flight.points[0, :2], ground)
        near = 0.0
        for a, b in zip(flight.points[:-1], flight.points[1:], strict=True):
            if min(a[2], b[2]) < top_m - 0.01:
                near += line_inside(np.array([a, b]), grown)
        return near


def heights(flight: Flight, rules: Rules, ground: Ground) -> list[tuple[float, str]]:
    """(metres, line) of legs above the law's height or a ceiling."""
    places, lengths = samples(flight.points)
    agl = places[:, 2] - ground.above(flight.points[0, :2], places[:, :2])
    found = []
    limits: list[tuple[float, BaseGeometry | None, str]] = [(LEGAL_AGL_M, None, "120 m above ground")]
    for zone, geometry in rules.active(flight):
        if zone.kind == "ceiling":
            limits.append((zone.max_agl_m or 0.0, geometry, f"the ceiling of {zone.name}"))
    for limit_m, place, what in limits:
        over = agl > limit_m + _HEIGHT_SLACK_M
        if place is not None:
            over &= shapely.contains_xy(place, places[:, :2])
        metres = float(lengths[over].sum())
        if metres > 0:
            top_m = float(agl[over].max())
            found.append((metres, f"{flight.sortie.id}: {metres:.0f} m above {what} (up to {top_m:.1f} m)"))
    return found


def returns(flight: Flight, rules: Rules, ground: Ground) -> tuple[float, str] | None:
    """Metres of a flight from which the straight way home, at the height of the moment, is not clear.

    That is the way an aircraft takes by itself when its link or battery fails. None where it is clear from everywhere.
    """
    home = flight.points[0, :2]
    places, lengths = samples(flight.points)
    ways = shapely.linestrings(np.stack([places[:, :2], np.broadcast_to(home, (len(places), 2))], axis=1))
    bad = np.zeros(len(places), dtype=bool)
    names: list[str] = []
    hull = shapely.convex_hull(shapely.multipoints(flight.points[:, :2]))
    for zone, geometry in rules.active(flight):
        if zone.kind == "no-fly" and hull.intersects(geometry):
            shapely.prepare(geometry)
            hit = shapely.intersects(geometry, ways)
            names += [zone.name] if hit.any() else []
            bad |= hit
    if rules.permitted is not None:
        outside = ~shapely.covers(rules.permitted, ways)
        names += ["the edge of the permitted area"] if outside.any() else []
        bad |= outside
    for thing, grown in rules.obstacles:
        if hull.intersects(grown):
            low = places[:, 2] < rules.top_m(thing, grown, home, ground) - 0.01
            shapely.prepare(grown)
            hit = low & shapely.intersects(grown, ways)
            names += [thing.name] if hit.any() else []
            bad |= hit
    metres = float(lengths[bad].sum())
    if metres == 0.0:
        return None
    said = ", ".join(dict.fromkeys(names))
    return metres, f"{flight.sortie.id}: from {metres:.0f} m of its way the straight flight home crosses {said}"
