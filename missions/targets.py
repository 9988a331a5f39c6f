"""What a request asks to be photographed: an area, a corridor, the cells that are due, listed places, open cases."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.area import LARGEST_M2, merge_area, read_area
from missions.camera import Camera
from missions.corridor import Stretch, corridor_lines, stretches_of
from missions.duty import choose, rank, read_cells
from missions.errors import MissionsError
from missions.frame import LocalFrame
from missions.plan import Refusal
from missions.points import ListedPoint, due, read_points
from missions.vector import read_features
from missions.views import Shot, shots_of_inspection, shots_of_points

if TYPE_CHECKING:
    from missions.request import PlanRequest

Product = Literal["mosaic", "corridor", "inspection"]
_LISTED = 12
# Linyi's prefecture is 200 km across: a place farther than this from the rest is a slip of the pen, or another day's.
_FARTHEST_M = 100_000.0
_MOSAIC_TOO = "plan it with --product mosaic as well"


@dataclass(frozen=True)
class Targets:
    """What to photograph, in degrees.

    Attributes:
        area: Polygons to see all of, or None.
        lines: Middle lines of corridors.
        outlines: (place, name) to inspect.
        points: Listed places and open cases, each to be photographed once.
        notes: What was left for another day, and why.
        reasons: Why these cells, in words.
    """

    area: BaseGeometry | None = None
    lines: tuple[shapely.LineString, ...] = ()
    outlines: tuple[tuple[BaseGeometry, str], ...] = ()
    points: tuple[ListedPoint, ...] = ()
    notes: tuple[Refusal, ...] = ()
    reasons: tuple[str, ...] = field(default=())

    def everything(self) -> BaseGeometry:
        """All of it as one geometry."""
        places = [shapely.Point(point.lonlat) for point in self.points]
        parts = [*self.lines, *(outline for outline, _ in self.outlines), *places]
        return shapely.GeometryCollection([*([self.area] if self.area is not None else []), *parts])


@dataclass(frozen=True)
class MetricTargets:
    """The same in metres: polygons to see, stretches of corridors they consist of, photographs from standstills."""

    area: BaseGeometry
    stretches: tuple[Stretch, ...]
    shots: tuple[Shot, ...]
    notes: tuple[Refusal, ...]


def _points(request: PlanRequest, day: date) -> tuple[tuple[ListedPoint, ...], list[Refusal], list[ListedPoint]]:
    """Places to photograph, what waits for another day, and all known cases."""
    notes: list[Refusal] = []
    found: list[ListedPoint] = []
    if request.points is not None:
        listed = read_points(request.points)
        found = due(listed, day) if request.due_only else [point for point in listed if not point.ended]
        if request.due_only and not found and request.area is None and request.cases is None:
            raise MissionsError(
                f"{request.points}: none of {len(listed)} places is due on {day}: choose a later day with --on, "
                "or leave --due-only away"
            )
    cases = list(read_points(request.cases)) if request.cases is not None else []
    again = [case for case in cases if not case.ended]
    known = {point.point_id for point in found}
    return _together([*found, *(case for case in again if case.point_id not in known)], notes), notes, cases


def _together(points: list[ListedPoint], notes: list[Refusal]) -> tuple[ListedPoint, ...]:
    """The places of one patrol; those that lie a day's drive from the rest are left out and noted."""
    if not points:
        return ()
    lonlat = np.array([point.lonlat for point in points])
    middle = lonlat[int(np.argmin(np.hypot(*(lonlat - np.median(lonlat, axis=0)).T)))]
    away_m = np.hypot(*LocalFrame(float(middle[0]), float(middle[1])).to_xy(lonlat).T)
    for point, far_m in zip(points, away_m, strict=True):
        if not far_m <= _FARTHEST_M:
            notes.append(
                Refusal(
                    what=f"{point.point_id} at {point.lonlat[0]:.5f},{point.lonlat[1]:.5f}",
                    why=f"{far_m / 1000:,.0f} km from the other places",
                    remedy="correct its longitude and latitude, or plan it by itself",
                )
            )
    return tuple(point for point, far_m in zip(points, away_m, strict=True) if far_m <= _FARTHEST_M)


def _cells(
    request: PlanRequest, area: BaseGeometry | None, day: date, cases: list[ListedPoint], most_m2: float
) -> tuple[BaseGeometry, list[Refusal], tuple[str, ...]]:
    """The cells of the day, of those in the area, as one geometry, those left for another, and the reasons."""
    grid = request.grid
    assert grid is not None
    cells = read_cells(grid, day)
    waiting = rank(cells, day, cases)
    if not waiting:
        soonest = min(turn for turn in (cell.due_on() for cell in cells) if turn is not None)
        raise MissionsError(
            f"{grid}: none of {len(cells)} cells is due on {day}: the next is on {soonest}; give that day with --on, "
            "or leave --due-only away"
        )
    if area is not None:
        waiting = [item for item in waiting if item.cell.geometry.intersects(area)]
        if not waiting:
            raise MissionsError(f"no cell of {grid} that is due lies in {request.area}: choose another day or area")
    chosen, left = choose(waiting, most_m2)
    notes = []
    if left:
        codes = ", ".join(item.cell.code for item in left[:_LISTED]) + (" and others" if len(left) > _LISTED else "")
        notes.append(
            Refusal(
                what=f"{len(left)} cells that are due ({codes})",
                why=f"a day reaches {most_m2 / 1e6:.1f} km2, and others are more pressing or lie together",
                remedy="fly them the next day, or add a crew",
            )
        )
    reasons = (
        f"{len(chosen)} of {len(waiting)} cells that are due on {day}, of {len(cells)}: "
        f"{sum(item.area_m2 for item in chosen) / 1e6:.1f} km2",
        *(item.why(day) for item in chosen[:_LISTED]),
    )
    return shapely.union_all([item.cell.geometry for item in chosen]), notes, reasons


def read_targets(request: PlanRequest, day: date, most_m2: float = LARGEST_M2) -> Targets:
    """Reads what is to be photographed.

    Args:
        request: As asked.
        day: The day that "due" is judged by.
        most_m2: What a day reaches: the cells of the day are as many as fit.

    Raises:
        MissionsError: Nothing is asked for, nothing is due, or a file does not hold what it should.
    """
    if request.product not in get_args(Product):
        raise MissionsError(f"product {request.product!r}: choose one of {', '.join(get_args(Product))}")
    if request.due_only and request.grid is None and request.points is None:
        raise MissionsError("due-only asks what is due: give a grid with --grid, or a ledger with --points")
    points, notes, cases = _points(request, day)
    area: BaseGeometry | None = None
    lines: tuple[shapely.LineString, ...] = ()
    outlines: tuple[tuple[BaseGeometry, str], ...] = ()
    reasons: tuple[str, ...] = ()
    if request.area is not None:
        features = read_features(request.area)
        if request.product == "corridor":
            lines = tuple(corridor_lines(features, request.area))
        elif request.product == "inspection":
            outlines = tuple(
                (feature.geometry, str(feature.properties.get("name") or f"place {number}"))
                for number, feature in enumerate(features, start=1)
            )
        else:
            area = merge_area(features, request.area)
    elif request.product == "inspection":
        outlines = tuple((shapely.Point(point.lonlat), point.point_id) for point in points)
        points = ()
    elif request.product == "corridor":
        raise MissionsError("a corridor needs its middle line: give it with --area LINE.geojson and --width-m")
    if request.grid is not None and request.due_only:
        cells, more, reasons = _cells(request, area, day, cases, most_m2)
        area = cells if area is None else area.intersection(cells)
        notes += more
    elif request.grid is not None and area is None and not (lines or outlines):
        area = read_area(request.grid)
    if area is None and not (lines or outlines or points):
        raise MissionsError("nothing to photograph: give --area, --points, --cases, or --grid with --due-only")
    return Targets(area, lines, outlines, points, tuple(notes), reasons)


def in_metres(
    targets: Targets, frame: LocalFrame, camera: Camera, height_agl_m: float, width_m: float
) -> MetricTargets:
    """Targets in a metric frame: corridors as polygons, places as photographs.

    Args:
        targets: What to photograph.
        frame: The metric frame.
        camera: What photographs it.
        height_agl_m: Of nadir photographs of listed places.
        width_m: Of corridors.
    """
    stretches = stretches_of(list(targets.lines), frame, width_m) if targets.lines else []
    places = [stretch.place for stretch in stretches]
    if targets.area is not None:
        places.append(frame.metric(targets.area))
    shots = shots_of_points(targets.points, frame, height_agl_m)
    notes = list(targets.notes)
    for outline, name in targets.outlines:
        views, cut = shots_of_inspection(frame.metric(outline), name, camera)
        shots += views
        if cut:
            notes.append(Refusal(what=f"details of {name}", why="too wide for single photographs", remedy=_MOSAIC_TOO))
    area = shapely.union_all(places) if places else shapely.MultiPolygon()
    return MetricTargets(area, tuple(stretches), tuple(shots), tuple(notes))
