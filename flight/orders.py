"""What one sortie asks of a vehicle: mission, fence and rally points for the air, and the limits that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from pymavlink.dialects.v20 import ardupilotmega as mavlink
from pyproj import Geod

from flight.errors import FlightError
from flight.items import WireItem, to_wire
from missions.export.qgc import PlanFile, read_plan_file
from missions.plan import Sortie

_GEOD = Geod(ellps="WGS84")
# Above the highest mission item: room for one aircraft to let another pass below it, and for the barometer's drift.
CEILING_MARGIN_M = 18.0
# Less than this between mission and ceiling, and a gust or the barometer would be a breach.
_LEAST_ROOM_M = 5.0
_TAKEOFF = mavlink.MAV_CMD_NAV_TAKEOFF


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Metres on the ellipsoid between two (lon, lat)."""
    return float(_GEOD.inv(a[0], a[1], b[0], b[1])[2])


def moved(lon: float, lat: float, east_m: float, north_m: float) -> tuple[float, float]:
    """The (lon, lat) that lies so far east and north on the ellipsoid."""
    azimuth_deg = math.degrees(math.atan2(east_m, north_m))
    there_lon, there_lat, _ = _GEOD.fwd(lon, lat, azimuth_deg, math.hypot(east_m, north_m))
    return float(there_lon), float(there_lat)


@dataclass(frozen=True)
class Orders:
    """A sortie made ready for the air.

    Attributes:
        sortie: The plan's sortie.
        mission: Items; the first is home.
        fence: Fence vertices and circles, empty for none.
        rally: Rally points.
        takeoff_height_m: Height above home of the first take-off item, else 10 m.
        ceiling_rel_m: Height above home for the vehicle's own ceiling.
        plan_file: The `.plan` it came from.
        top_m: Height of the highest item where the ceiling was capped, NaN where it follows from the ceiling.
    """

    sortie: Sortie
    mission: tuple[WireItem, ...]
    fence: tuple[WireItem, ...]
    rally: tuple[WireItem, ...]
    takeoff_height_m: float
    ceiling_rel_m: float
    plan_file: PlanFile
    top_m: float = math.nan

    @property
    def top_rel_m(self) -> float:
        """Height above home of the highest mission item."""
        return self.ceiling_rel_m - CEILING_MARGIN_M if math.isnan(self.top_m) else self.top_m

    def capped(self, max_height_m: float) -> Orders:
        """With a ceiling no higher than that (above home); NaN leaves it.

        Raises:
            FlightError: The mission itself is higher.
        """
        if math.isnan(max_height_m) or self.ceiling_rel_m <= max_height_m:
            return self
        if self.top_rel_m + _LEAST_ROOM_M > max_height_m:
            raise FlightError(
                f"{self.sortie.short_id} flies up to {self.top_rel_m:.0f} m above home and needs {_LEAST_ROOM_M:g} m "
                f"of room, the policy allows {max_height_m:g} m: plan it lower"
            )
        return replace(self, ceiling_rel_m=max_height_m, top_m=self.top_rel_m)

    @property
    def last_item(self) -> int:
        """Number of the mission's last item."""
        return len(self.mission) - 1


def _fence_items(plan: PlanFile) -> tuple[WireItem, ...]:
    items = []
    for polygon in plan.fence_polygons:
        command = (
            mavlink.MAV_CMD_NAV_FENCE_POLYGON_VERTEX_INCLUSION
            if polygon.inclusion
            else mavlink.MAV_CMD_NAV_FENCE_POLYGON_VERTEX_EXCLUSION
        )
        ring = polygon.vertices[:-1] if polygon.vertices[0] == polygon.vertices[-1] else polygon.vertices
        for lon, lat in ring:
            items.append(WireItem(command, 0, (float(len(ring)), 0, 0, 0), round(lat * 1e7), round(lon * 1e7), 0))
    for circle in plan.fence_circles:
        command = (
            mavlink.MAV_CMD_NAV_FENCE_CIRCLE_INCLUSION
            if circle.inclusion
            else mavlink.MAV_CMD_NAV_FENCE_CIRCLE_EXCLUSION
        )
        x, y = round(circle.center[1] * 1e7), round(circle.center[0] * 1e7)
        items.append(WireItem(command, 0, (circle.radius_m, 0, 0, 0), x, y, 0))
    return tuple(items)


def _rally_items(plan: PlanFile) -> tuple[WireItem, ...]:
    # ArduPilot keeps a rally point's height in whole metres and cuts the rest: up, so that it is never lower.
    return tuple(
        WireItem(mavlink.MAV_CMD_NAV_RALLY_POINT, 3, (0, 0, 0, 0), round(lat * 1e7), round(lon * 1e7), math.ceil(alt_m))
        for lon, lat, alt_m in plan.rally_points
    )


def read_orders(plan_dir: Path, sortie: Sortie) -> Orders:
    """Reads a sortie's `.plan` beside `plan.json`.

    Raises:
        FlightError: A mission without a take-off or with nothing to fly.
        MissionsError: The file is missing or broken.
    """
    plan = read_plan_file(plan_dir / sortie.files.plan)
    takeoffs = [item for item in plan.items if item.command == _TAKEOFF]
    if len(plan.items) < 3 or not takeoffs:
        raise FlightError(f"{sortie.files.plan} has no take-off and nothing to fly: plan {sortie.short_id} again")
    heights = [item.alt_m for item in plan.items[1:] if item.frame in (3, 6) and not math.isnan(item.alt_m)]
    return Orders(
        sortie=sortie,
        mission=tuple(to_wire(item) for item in plan.items),
        fence=_fence_items(plan),
        rally=_rally_items(plan),
        takeoff_height_m=takeoffs[0].alt_m,
        ceiling_rel_m=math.ceil(max(heights, default=takeoffs[0].alt_m)) + CEILING_MARGIN_M,
        plan_file=plan,
    )
