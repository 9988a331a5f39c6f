"""Corridors: a road or river line with a width, swept along itself, one piece for each of its straight stretches."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.errors import MissionsError
from missions.frame import LocalFrame
from missions.vector import Feature

WIDEST_M = 2000.0
_DIMENSION = 1
# A bend smaller than this share of the width is flown straight: the lanes beside it see it all the same.
_BEND = 0.25


@dataclass(frozen=True)
class Stretch:
    """A piece of a corridor: its `place` (polygon, metres) and the direction its lanes run in, from east."""

    place: BaseGeometry
    direction_rad: float


def corridor_lines(features: list[Feature], path: Path) -> list[shapely.LineString]:
    """The lines of a file, in degrees, those that touch end to end joined.

    Raises:
        MissionsError: A feature is not a line.
    """
    for feature in features:
        if shapely.get_dimensions(feature.geometry) != _DIMENSION:
            raise MissionsError(
                f"{feature.label} is a {feature.geometry.geom_type}: a corridor is a line with a width; "
                "draw its middle line, or plan the polygon with --product mosaic"
            )
    merged = shapely.line_merge(shapely.union_all([shapely.force_2d(feature.geometry) for feature in features]))
    lines = [part for part in shapely.get_parts(merged) if part.length > 0]
    if not lines:
        raise MissionsError(f"{path} holds no line with a length: draw the middle line of the corridor")
    return lines


def stretches_of(lines: list[shapely.LineString], frame: LocalFrame, width_m: float) -> list[Stretch]:
    """A corridor cut into pieces about its straight stretches.

    Args:
        lines: Middle lines, degrees.
        frame: Metric frame.
        width_m: Of the whole corridor, both sides together.

    Raises:
        MissionsError: The width is none, or no corridor's.
    """
    if not 1 <= width_m <= WIDEST_M:
        raise MissionsError(
            f"corridor width is {width_m:g} m: expected 1 to {WIDEST_M:g} m for both sides together; give --width-m"
        )
    pieces: list[Stretch] = []
    taken: BaseGeometry = shapely.MultiPolygon()
    for line in lines:
        metric, slack_m = frame.metric(line), max(1.0, _BEND * width_m)
        whole = shapely.buffer(metric, width_m / 2, quad_segs=8)
        simple = shapely.simplify(metric, slack_m)
        for start, end in itertools.pairwise(shapely.get_coordinates(simple)):
            around = shapely.buffer(shapely.linestrings([start, end]), width_m / 2 + slack_m, quad_segs=8)
            place = around.intersection(whole).difference(taken)
            taken = shapely.union_all([taken, around])
            if place.area > 1.0:
                dx, dy = np.asarray(end) - np.asarray(start)
                pieces.append(Stretch(place, math.atan2(float(dy), float(dx))))
    return pieces
