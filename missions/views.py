"""What is photographed from a standstill: listed places as they were seen before, and inspections of places."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from missions.camera import Camera
from missions.frame import Array, LocalFrame
from missions.points import ListedPoint

# An inspection, in metres: least and greatest heights of its three distances; the obliques look down by 45 degrees.
_OVERVIEW_M = (80.0, 118.0)
_MEDIUM_M = (40.0, 80.0)
_DETAIL_M = 35.0
_OBLIQUE_DEG = -45.0
_SIDES = (("north", 180.0), ("east", 270.0), ("south", 0.0), ("west", 90.0))
_SMALLEST_RADIUS_M = 12.0
_SHARED = 0.8
_MOST_DETAILS = 80
# A view flatter than this sees the horizon: what it shows ends, for the rules, this far away.
_SIGHT_M = 600.0


@dataclass(frozen=True)
class Shot:
    """One photograph from a standstill.

    Attributes:
        place: Name or number of what is looked at.
        what: Which of its views: `view`, `overview`, `medium north`, `detail 3`, ...
        xy: (2,) metres, where the camera is.
        height_agl_m: Above the ground there.
        yaw_deg: Where the camera looks, clockwise from north.
        pitch_deg: -90 is nadir.
        fixed: Whether place and angle are given; else the height may be lowered under a ceiling.
    """

    place: str
    what: str
    xy: tuple[float, float]
    height_agl_m: float
    yaw_deg: float
    pitch_deg: float
    fixed: bool = False


def _back_from(place: Array, height_m: float, yaw_deg: float, pitch_deg: float) -> tuple[float, float]:
    """Where a camera at this height and angle has a place on the ground in the middle of its picture."""
    away = 0.0 if pitch_deg <= -89.9 else height_m / math.tan(math.radians(-pitch_deg))
    x = float(place[0]) - away * math.sin(math.radians(yaw_deg))
    return x, float(place[1]) - away * math.cos(math.radians(yaw_deg))


def shots_of_points(points: Sequence[ListedPoint], frame: LocalFrame, height_agl_m: float) -> list[Shot]:
    """A photograph of each listed place: from the same place and angle as before, else from straight above.

    Args:
        points: The ledger.
        frame: Metric frame.
        height_agl_m: For those without an earlier view.
    """
    if not points:
        return []
    found = []
    for point, xy in zip(points, frame.to_xy([point.lonlat for point in points]), strict=True):
        view = point.view
        if view is None:
            found.append(Shot(point.point_id, "nadir", (float(xy[0]), float(xy[1])), height_agl_m, 0.0, -90.0))
            continue
        if view.lonlat is not None:
            x, y = frame.to_xy([view.lonlat])[0]
        else:
            x, y = _back_from(xy, view.height_m, view.yaw_deg, view.pitch_deg)
        place = (float(x), float(y))
        found.append(Shot(point.point_id, "view", place, view.height_m, view.yaw_deg, view.pitch_deg, True))
    return found


def _grid(outline: BaseGeometry, radius: float, height_m: float, camera: Camera) -> Array:
    """Middles of nadir photographs from a height that together show a place."""
    across, along = camera.footprint_m(height_m)
    middle = shapely.get_coordinates(outline.centroid)[0]
    axes = [
        (np.arange(n) - (n - 1) / 2) * (2 * radius / n)
        for n in (1 if 2 * radius <= size else math.ceil(2 * radius / (_SHARED * size)) for size in (across, along))
    ]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2) + middle
    near = shapely.dwithin(outline, shapely.points(points), min(across, along) / 2)
    return points[near] if near.any() else middle[None, :]


def shots_of_inspection(outline: BaseGeometry, name: str, camera: Camera) -> tuple[list[Shot], bool]:
    """An inspection of a place: overview from above, four obliques from a middle distance, details from above.

    Args:
        outline: The place, metres: a point, line or polygon.
        name: Its name.
        camera: What photographs it.

    Returns:
        The photographs, and whether its details are left out because there would be too many.
    """
    radius = max(_SMALLEST_RADIUS_M, float(shapely.minimum_bounding_radius(outline)))
    middle = shapely.get_coordinates(shapely.minimum_bounding_circle(outline).centroid)[0]
    least = min(camera.width_px, camera.height_px) / camera.focal_px
    overview_m = float(np.clip(2 * radius / _SHARED / least, *_OVERVIEW_M))
    shots = [
        Shot(name, f"overview {number}", (float(x), float(y)), overview_m, 0.0, -90.0)
        for number, (x, y) in enumerate(_grid(outline, radius, overview_m, camera), start=1)
    ]
    medium_m = float(np.clip(1.2 * radius, *_MEDIUM_M))
    for side, yaw_deg in _SIDES:
        xy = _back_from(middle, medium_m, yaw_deg, _OBLIQUE_DEG)
        shots.append(Shot(name, f"medium from {side}", xy, medium_m, yaw_deg, _OBLIQUE_DEG))
    details = _grid(outline, radius, _DETAIL_M, camera)
    if len(details) > _MOST_DETAILS:
        return shots, True
    shots += [
        Shot(name, f"detail {number}", (float(x), float(y)), _DETAIL_M, 0.0, -90.0)
        for number, (x, y) in enumerate(details, start=1)
    ]
    return shots, False


def ground_seen(shot: Shot, camera: Camera) -> shapely.Polygon:
    """What a photograph shows of level ground, metres; cut off some hundred metres away where it sees the horizon."""
    half = np.array([camera.width_px, camera.height_px]) / camera.focal_px / 2
    corners = np.array([(x, y, 1.0) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]) * [*half, 1.0]
    pitch = math.radians(shot.pitch_deg)
    # Camera axes in a frame of forward, right, down: image x is right, image y runs down the picture.
    forward = corners[:, 2] * math.cos(pitch) + corners[:, 1] * math.sin(pitch)
    down = -corners[:, 2] * math.sin(pitch) + corners[:, 1] * math.cos(pitch)
    right = corners[:, 0]
    level = np.hypot(forward, right)
    reach = np.where(down > 1e-6, shot.height_agl_m / np.maximum(down, 1e-6), np.inf)
    reach = np.minimum(reach, _SIGHT_M / np.maximum(level, 1e-9))
    yaw = math.radians(shot.yaw_deg)
    east = reach * (forward * math.sin(yaw) + right * math.cos(yaw))
    north = reach * (forward * math.cos(yaw) - right * math.sin(yaw))
    return shapely.convex_hull(shapely.multipoints(np.column_stack([east, north]) + shot.xy))


def lowered(shots: Iterable[Shot], ceilings: Sequence[tuple[float, BaseGeometry]]) -> list[Shot]:
    """Photographs whose height is ours to choose, lowered under the ceilings over them (obliques come nearer)."""
    found = []
    for shot in shots:
        limit = min((top for top, place in ceilings if shapely.intersects_xy(place, *shot.xy)), default=math.inf)
        if shot.fixed or shot.height_agl_m <= limit:
            found.append(shot)
            continue
        middle = _back_from(np.array(shot.xy), shot.height_agl_m, shot.yaw_deg + 180.0, shot.pitch_deg)
        xy = _back_from(np.array(middle), limit, shot.yaw_deg, shot.pitch_deg)
        found.append(Shot(shot.place, shot.what, xy, limit, shot.yaw_deg, shot.pitch_deg))
    return found
