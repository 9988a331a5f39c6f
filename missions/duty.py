"""What is due over the management grid: which cells to fly on a day, and why these.

A cell's turn comes when its interval has passed. Among those whose turn it is, the first are those that are longest
overdue for their interval, of the higher tier, with open cases to look at again, and where most was found before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.errors import MissionsError
from missions.frame import Array, LocalFrame
from missions.points import ListedPoint, parse_day
from missions.vector import Feature, polygons_of, read_features

_INTERVALS = {1: 7, 2: 15, 3: 30}
_LOWEST_TIER = 3
# Weights of the score beside "days since the last visit over interval", which is 1 on the day a cell falls due: a first
# tier cell comes before a third tier one that is half an interval later; an open case brings a cell forward by half an
# interval, at most two; twice the mean density of past cases by a quarter.
_TIER = {1: 1.5, 2: 1.2}
_PER_OPEN_CASE, _MOST_FOR_CASES = 0.5, 2.0
_PER_DENSITY, _MOST_FOR_DENSITY = 0.25, 1.0
# A cell this far from the others of the day costs a drive of its own: two lines of sight, and no site sees both. That
# weighs as much as half an interval, an open case.
_FAR_M, _PER_FAR = 3000.0, 0.5


@dataclass(frozen=True)
class Cell:
    """A cell of the grid.

    Attributes:
        code: Its number.
        geometry: Polygons, WGS84 degrees.
        tier: 1 is the first.
        interval_days: How often it is flown.
        last_visit: When it was last; None: never.
        past_cases: Cases found there, by its own property `past_cases`.
    """

    code: str
    geometry: BaseGeometry
    tier: int
    interval_days: int
    last_visit: date | None
    past_cases: float = 0.0

    def due_on(self) -> date | None:
        """The day its turn comes; None: it was never flown."""
        return None if self.last_visit is None else self.last_visit + timedelta(days=self.interval_days)

    def lateness(self, day: date) -> float:
        """Days since the last visit over the interval: 1 when it falls due; a cell never flown counts 2."""
        return 2.0 if self.last_visit is None else (day - self.last_visit).days / self.interval_days


@dataclass(frozen=True)
class Due:
    """One cell on a day.

    Attributes:
        cell: Which.
        score: What it is ordered by.
        open_cases: Cases to look at again.
        density: Past cases per km2 over the grid's mean.
        area_m2: Its size.
    """

    cell: Cell
    score: float
    open_cases: int
    density: float
    area_m2: float

    def why(self, day: date) -> str:
        """The reason in words."""
        late = "never flown" if self.cell.last_visit is None else f"{self.cell.lateness(day):.1f} intervals since"
        cases = f", {self.open_cases} open cases" if self.open_cases else ""
        dense = f", {self.density:.1f} x the usual density" if self.density > 0 else ""
        return f"{self.cell.code}: tier {self.cell.tier}, {late}{cases}{dense}"


def _whole(feature: Feature, key: str, low: int, high: int) -> int | None:
    value: Any = feature.properties.get(key)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise MissionsError(f"{feature.label}: {key} is {value!r}: expected a number; correct it") from error
    if not low <= number <= high:
        raise MissionsError(f"{feature.label}: {key} is {number:g}: expected {low} to {high}; correct it")
    return int(number)


def _last_visit(feature: Feature, day: date) -> date | None:
    ago = _whole(feature, "last_visit_days", 0, 36500)
    if ago is not None:
        return day - timedelta(days=ago)
    return parse_day(feature.properties.get("last_visit"), f"{feature.label}: last_visit")


def read_cells(path: Path, day: date) -> tuple[Cell, ...]:
    """Reads a grid: `cell` (or `code`), `tier`, `interval_days`, `last_visit` (or `last_visit_days`), `past_cases`.

    Raises:
        MissionsError: The file cannot be read, or a property is wrong; the message names the cell.
    """
    cells = []
    for number, feature in enumerate(read_features(path), start=1):
        if not polygons_of(feature.geometry):
            raise MissionsError(f"{feature.label} is a {feature.geometry.geom_type}: a cell is a polygon")
        geometry = feature.geometry if feature.geometry.is_valid else shapely.make_valid(feature.geometry)
        tier = _whole(feature, "tier", 1, 9) or _LOWEST_TIER
        interval = _whole(feature, "interval_days", 1, 3650) or _INTERVALS.get(tier, _INTERVALS[_LOWEST_TIER])
        code = str(feature.properties.get("cell") or feature.properties.get("code") or number)
        past = _whole(feature, "past_cases", 0, 10**6) or 0
        cells.append(Cell(code, geometry, tier, interval, _last_visit(feature, day), float(past)))
    return tuple(cells)


def rank(cells: Sequence[Cell], day: date, cases: Sequence[ListedPoint] = ()) -> list[Due]:
    """Cells whose turn it is, or that hold an open case, the most pressing first.

    Args:
        cells: The grid.
        day: When.
        cases: All known cases; open ones are looked at again, all of them tell where much is found.
    """
    if not cells:
        return []
    shapes = np.array([cell.geometry for cell in cells], dtype=object)
    frame = LocalFrame.about(shapely.union_all(shapely.box(*shapely.bounds(shapes).T)))
    areas = np.array([frame.metric(shape).area for shape in shapes])
    still, past = np.zeros(len(cells), dtype=int), np.array([cell.past_cases for cell in cells])
    if cases:
        places = shapely.points(np.array([case.lonlat for case in cases]))
        case, cell = shapely.STRtree(shapes).query(places, predicate="intersects")
        case, first = np.unique(case, return_index=True)  # on a common edge the first cell has it
        np.add.at(past, cell[first], 1)
        ended = np.array([item.ended for item in cases])
        np.add.at(still, cell[first][~ended[case]], 1)
    mean = past.sum() / max(float(areas.sum()), 1e-9)
    density = (past / np.maximum(areas, 1.0)) / mean if mean > 0 else np.zeros(len(cells))
    found = [
        Due(cell, _score(cell, day, int(open_), float(dense)), int(open_), float(dense), float(area))
        for cell, open_, dense, area in zip(cells, still, density, areas, strict=True)
        if cell.lateness(day) >= 1.0 or open_
    ]
    return sorted(found, key=lambda due: (-due.score, due.cell.code))


def _score(cell: Cell, day: date, open_cases: int, density: float) -> float:
    late = cell.lateness(day) * _TIER.get(cell.tier, 1.0)
    dense = max(0.0, density - 1.0) * _PER_DENSITY
    return late + min(_PER_OPEN_CASE * open_cases, _MOST_FOR_CASES) + min(dense, _MOST_FOR_DENSITY)


def choose(due: Sequence[Due], most_m2: float) -> tuple[list[Due], list[Due]]:
    """The cells of the day and those left for another.

    The most pressing cell is the first. Each next one is the most pressing after its distance from those chosen: a far
    one waits behind a near one that is up to half an interval less pressing, never behind one that is less so. So the
    day's cells hang together, and nothing is put off for long because it lies alone.

    Args:
        due: Cells, the most pressing first.
        most_m2: A day's reach.
    """
    if not due:
        return [], []
    places, radius = _discs(due)
    score = np.array([item.score for item in due])
    area = np.array([item.area_m2 for item in due])
    gap = np.zeros(len(due))  # to the nearest cell chosen; the first is chosen by its score alone
    order: list[int] = []
    open_ = np.ones(len(due), dtype=bool)
    taken = 0.0
    while True:
        fits = open_ & ((taken + area <= most_m2) | (not order))
        if not fits.any():
            break
        value = np.where(fits, score - _PER_FAR * np.minimum(gap / _FAR_M, 1.0), -np.inf)
        best = int(np.argmax(value))
        away = np.maximum(np.hypot(*(places - places[best]).T) - radius - radius[best], 0.0)
        gap = np.minimum(gap, away) if order else away
        order.append(best)
        open_[best] = False
        taken += float(area[best])
    return [due[index] for index in order], [item for index, item in enumerate(due) if open_[index]]


def _discs(due: Sequence[Due]) -> tuple[Array, Array]:
    """Cells as discs of their size: middles (n, 2) and radii (n,), metres."""
    middles = shapely.get_coordinates(shapely.centroid(np.array([item.cell.geometry for item in due], dtype=object)))
    frame = LocalFrame(float(middles[:, 0].mean()), float(middles[:, 1].mean()))
    return frame.to_xy(middles), np.sqrt(np.array([item.area_m2 for item in due]) / np.pi)
