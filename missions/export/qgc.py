"""QGroundControl's `.plan`: mission, fence and rally points in one JSON file.

Format: https://docs.qgroundcontrol.com/master/en/qgc-dev-guide/file_formats/plan.html. Heights of items are in the
item's frame, those of rally points are relative to home.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from missions.errors import MissionsError
from missions.files import write_text_atomically
from missions.plan import LonLat, LonLatAlt, MissionItem

_ARDUPILOT = 3
_QUADROTOR = 2
# QGC's altitude modes by MAV_FRAME: 0 and 5 AMSL, 3 and 6 relative, 10 and 11 above terrain.
_ALTITUDE_MODES = {0: 2, 5: 2, 3: 1, 6: 1, 10: 4, 11: 4}
_NAVIGATION_COMMANDS = range(16, 96)


class FencePolygon(BaseModel):
    """A fence of vertices (lon, lat), not closed; `inclusion` False forbids the inside."""

    model_config = ConfigDict(frozen=True)

    vertices: tuple[LonLat, ...]
    inclusion: bool


class FenceCircle(BaseModel):
    """A round fence."""

    model_config = ConfigDict(frozen=True)

    center: LonLat
    radius_m: float
    inclusion: bool


class PlanFile(BaseModel):
    """A `.plan` file's content; `items[0]` is home, as in a mission that is uploaded."""

    model_config = ConfigDict(frozen=True)

    items: tuple[MissionItem, ...]
    home: LonLatAlt
    cruise_mps: float = 10.0
    hover_mps: float = 5.0
    fence_polygons: tuple[FencePolygon, ...] = ()
    fence_circles: tuple[FenceCircle, ...] = ()
    rally_points: tuple[LonLatAlt, ...] = ()


def _item_json(index: int, item: MissionItem) -> dict[str, Any]:
    params: list[float | None] = [None if math.isnan(value) else value for value in item.params]
    data: dict[str, Any] = {
        "type": "SimpleItem",
        "autoContinue": item.autocontinue,
        "command": item.command,
        "doJumpId": index,
        "frame": item.frame,
        "params": [*params, item.lat, item.lon, item.alt_m],
    }
    if item.command in _NAVIGATION_COMMANDS and item.frame in _ALTITUDE_MODES:
        mode = _ALTITUDE_MODES[item.frame]
        data |= {"AMSLAltAboveTerrain": None, "Altitude": item.alt_m, "AltitudeMode": mode}
    return data


def plan_text(plan: PlanFile) -> str:
    """The file's JSON text."""
    lon, lat, alt = plan.home
    data = {
        "fileType": "Plan",
        "version": 1,
        "groundStation": "Yunxun",
        "mission": {
            "version": 2,
            "firmwareType": _ARDUPILOT,
            "vehicleType": _QUADROTOR,
            "globalPlanAltitudeMode": 1,
            "cruiseSpeed": plan.cruise_mps,
            "hoverSpeed": plan.hover_mps,
            "plannedHomePosition": [lat, lon, alt],
            "items": [_item_json(index, item) for index, item in enumerate(plan.items) if index],
        },
        "geoFence": {
            "version": 2,
            "polygons": [
                {"version": 1, "inclusion": fence.inclusion, "polygon": [[y, x] for x, y in fence.vertices]}
                for fence in plan.fence_polygons
            ],
            "circles": [
                {
                    "version": 1,
                    "inclusion": fence.inclusion,
                    "circle": {"center": [fence.center[1], fence.center[0]], "radius": fence.radius_m},
                }
                for fence in plan.fence_circles
            ],
        },
        "rallyPoints": {"version": 2, "points": [[y, x, z] for x, y, z in plan.rally_points]},
    }
    return json.dumps(data, indent=1)


def write_plan_file(plan: PlanFile, path: Path) -> None:
    """Writes a `.plan` file, whole or not at all."""
    write_text_atomically(path, plan_text(plan))


def _read_item(data: dict[str, Any]) -> MissionItem:
    params = [math.nan if value is None else float(value) for value in data["params"]]
    place = [0.0 if math.isnan(value) else value for value in params[4:7]]
    return MissionItem(
        command=data["command"],
        frame=data["frame"],
        params=(params[0], params[1], params[2], params[3]),
        lat=place[0],
        lon=place[1],
        alt_m=place[2],
        autocontinue=data.get("autoContinue", True),
    )


def _simple_items(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Flattens surveys and corridor scans into the simple items that QGC saved inside them."""
    flat: list[dict[str, Any]] = []
    for item in items:
        if item.get("type") == "SimpleItem":
            flat.append(item)
        else:
            flat.extend(_simple_items(item["TransectStyleComplexItem"]["Items"]))
    return flat


def read_plan_file(path: Path) -> PlanFile:
    """Reads a `.plan` file of ours or of QGroundControl (surveys are flattened).

    Raises:
        MissionsError: No such file, or not a QGC plan; the message says what is missing.
    """
    if not path.is_file():
        raise MissionsError(f"no plan file at {path}: give a .plan file")
    try:
        data = json.loads(path.read_bytes())
        if data["fileType"] != "Plan":
            raise MissionsError(f"{path} is a QGC file of type {data['fileType']!r}: expected 'Plan'")
        mission, fence = data["mission"], data.get("geoFence", {})
        lat, lon, alt = mission["plannedHomePosition"]
        home = MissionItem(command=16, frame=0, lat=lat, lon=lon, alt_m=alt)
        return PlanFile(
            items=(home, *(_read_item(item) for item in _simple_items(mission["items"]))),
            home=(lon, lat, alt),
            cruise_mps=mission.get("cruiseSpeed", 10.0),
            hover_mps=mission.get("hoverSpeed", 5.0),
            fence_polygons=tuple(
                FencePolygon(vertices=tuple((x, y) for y, x in part["polygon"]), inclusion=part["inclusion"])
                for part in fence.get("polygons", ())
            ),
            fence_circles=tuple(
                FenceCircle(
                    center=(part["circle"]["center"][1], part["circle"]["center"][0]),
                    radius_m=part["circle"]["radius"],
                    inclusion=part["inclusion"],
                )
                for part in fence.get("circles", ())
            ),
            rally_points=tuple((x, y, z) for y, x, z in data.get("rallyPoints", {}).get("points", ())),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MissionsError(f"{path} is not a QGC plan: {error!r}; export it again") from error
