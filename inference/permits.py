"""What may stand there: candidates are compared with the permits in force; what goes beyond them is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import shapely
from pyproj import Transformer
from shapely.affinity import translate
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from inference.errors import InferenceError

# A permit drawn on a map and an outline from a mosaic differ by about this much where nothing is wrong.
SLACK_M = 1.0
# Of a thing that lies mostly outside, the permit is somebody else's.
MIN_SHARE = 0.3
EXCESS_M2 = 4.0
EXCESS_SHARE = 0.15
HEIGHT_SLACK_M = 1.0
# A plain receiver's mosaic lies metres off as a whole: permits are sought within so many of its standard errors.
LAY_SIGMAS, LAY_STEP_M = 2.0, 0.5
# Moving them by one standard error must save so much, or they stay.
_LAY_COST_M2 = 1.0
# Permits are dated by the office that grants them.
PERMIT_ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True)
class Permit:
    """One permit, its polygon in metres of the patrol's CRS; None: open-ended."""

    permit_no: str
    polygon: BaseGeometry
    valid_from: date | None = None
    valid_to: date | None = None
    max_height_m: float | None = None

    def in_force(self, day: date | None) -> bool:
        """True on `day`; a patrol without a date gets the benefit of the doubt."""
        if day is None:
            return True
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True)
class Judgement:
    """How a candidate stands to the permits."""

    permitted: bool
    permit_no: str | None = None
    excess_m2: float | None = None
    excess_height_m: float | None = None


def _day(value: Any, where: str) -> date | None:
    if value in (None, ""):
        return None
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).date()
    except ValueError as error:
        raise InferenceError(f"{where}: expected an ISO date, found {value!r}") from error


def _permit(feature: dict[str, Any], where: str, to_metres: Transformer) -> Permit:
    properties = feature.get("properties") or {}
    number = properties.get("permit_no")
    geometry = feature.get("geometry") or {}
    if not number:
        raise InferenceError(f"{where}: a permit needs a permit_no")
    if geometry.get("type") not in ("Polygon", "MultiPolygon"):
        raise InferenceError(f"{where}: a permit is a polygon, found {geometry.get('type')}")
    polygon = shapely.make_valid(shape(geometry))
    west, south, east, north = polygon.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise InferenceError(f"{where}: expected longitude, latitude (WGS84), found {west:.1f}, {south:.1f}")
    metric = shapely.transform(polygon, to_metres.transform, interleaved=False)
    height = properties.get("max_height_m")
    return Permit(
        str(number),
        metric,
        _day(properties.get("from"), where),
        _day(properties.get("to"), where),
        float(height) if height is not None else None,
    )


def read_permits(path: Path, crs: str) -> list[Permit]:
    """Reads permits (GeoJSON, WGS84) into metres of `crs`.

    Raises:
        InferenceError: Missing or malformed; the message names the feature.
    """
    if not path.is_file():
        raise InferenceError(f"no permits at {path}: expected a GeoJSON file of polygons with permit_no")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        features = document["features"]
    except (ValueError, KeyError, TypeError) as error:
        raise InferenceError(f"{path} is not a GeoJSON FeatureCollection: {error}") from error
    to_metres = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    return [_permit(f, f"{path} feature {i}", to_metres) for i, f in enumerate(features)]


def judge(polygon: BaseGeometry, height_m: float | None, permits: list[Permit], day: date | None) -> Judgement:
    """Compares one candidate with the permits in force.

    Args:
        polygon: Outline in metres.
        height_m: How far it rose, or None.
        permits: All of them.
        day: The day of the patrol.

    Returns:
        Permitted; or not, with the permit it exceeds and by how much, or without any.
    """
    best: tuple[float, Permit] | None = None
    for permit in permits:
        if not permit.in_force(day) or not permit.polygon.intersects(polygon):
            continue
        share = permit.polygon.buffer(SLACK_M).intersection(polygon).area / max(polygon.area, 1e-6)
        if best is None or share > best[0]:
            best = (share, permit)
    if best is None or best[0] < MIN_SHARE:
        return Judgement(False)
    permit = best[1]
    allowed = shapely.union_all([p.polygon for p in permits if p.in_force(day)]).buffer(SLACK_M, join_style="mitre")
    outside = polygon.difference(allowed).area
    excess = outside if outside > max(EXCESS_M2, EXCESS_SHARE * polygon.area) else 0.0
    taller = 0.0
    if permit.max_height_m is not None and height_m is not None:
        taller = max(0.0, height_m - permit.max_height_m)
        taller = taller if taller > HEIGHT_SLACK_M else 0.0
    if excess or taller:
        return Judgement(False, permit.permit_no, round(excess, 1), round(taller, 1) or None)
    return Judgement(True, permit.permit_no, 0.0)


def laid(permits: list[Permit], outlines: Sequence[BaseGeometry], sigma_m: float, day: date | None) -> list[Permit]:
    """Permits moved as a whole onto the mosaic that the outlines were drawn on.

    A permit is surveyed, a mosaic by a plain receiver lies metres off: the one shift within twice its standard error
    is sought that leaves least of the outlines beyond the permits. Sizes are not touched: what is larger than its
    permit stays so.

    Args:
        permits: All of them.
        outlines: What was surely built, metres.
        sigma_m: The mosaic's expected horizontal error; 0 leaves the permits where they are.
        day: The day of the patrol.
    """
    reach = LAY_SIGMAS * sigma_m
    valid = [p.polygon for p in permits if p.in_force(day)]
    if reach < LAY_STEP_M or not valid:
        return permits
    allowed = shapely.union_all(valid).buffer(SLACK_M, join_style="mitre")
    wide = allowed.buffer(reach)
    near = [o for o in outlines if wide.intersection(o).area > MIN_SHARE * o.area]
    steps = np.arange(-int(reach / LAY_STEP_M), int(reach / LAY_STEP_M) + 1) * LAY_STEP_M
    shifts = sorted(((e, n) for e in steps for n in steps if np.hypot(e, n) <= reach), key=lambda t: np.hypot(*t))

    def beyond(shift: tuple[float, float]) -> float:
        moved = translate(allowed, *shift)
        # An outline that is mostly outside is no permitted one, wherever the permits lie.
        outside = sum(min(o.difference(moved).area, (1 - MIN_SHARE) * o.area) for o in near)
        return float(outside + _LAY_COST_M2 * (np.hypot(*shift) / sigma_m) ** 2)

    best = min(shifts, key=beyond) if near else (0.0, 0.0)
    return [replace(p, polygon=translate(p.polygon, *best)) for p in permits]


def day_of(times: list[datetime]) -> date | None:
    """The day of a patrol: that of its first photograph."""
    return min(times).astimezone(PERMIT_ZONE).date() if times else None
