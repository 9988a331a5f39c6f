"""DJI WPML: a KMZ with `wpmz/template.kml` and `wpmz/waylines.wpml`, as Pilot 2, FlightHub 2 and docks take it.

Elements, their order and values: DJI Cloud API, "DJI WPML", namespace wpmz/1.0.2 (its tables of November 2024). Heights
are relative to take-off.

The first and the last waypoint lie above home: left to itself the aircraft would climb to the first lane's height at
home and come back at the height for emergencies, either of them too high over a valley.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

import numpy as np

from missions.errors import MissionsError
from missions.files import write_bytes_atomically
from missions.result import PlannedSortie, PlanResult
from missions.route import Stop

KML = "http://www.opengis.net/kml/2.2"
WPML = "http://www.dji.com/wpmz/1.0.2"
_TRANSIT_LIMIT_MPS = 15.0
_SECURITY_HEIGHT_M = 20.0
# Turns of this radius are flown at the profiles' corner speed with 2.5 m/s2 to the side.
_DAMPING_M = 10.0


def _put(parent: Element, name: str, value: object) -> None:
    SubElement(parent, f"{{{WPML}}}{name}").text = f"{value:g}" if isinstance(value, float) else str(value)


def _wpml(parent: Element, name: str) -> Element:
    return SubElement(parent, f"{{{WPML}}}{name}")


def _mission_config(document: Element, sortie: PlannedSortie, result: PlanResult) -> None:
    profile = result.task.profile
    numbers = profile.dji
    if numbers is None:
        raise MissionsError(f"{profile.title} does not fly WPML files: use the .plan or .waypoints of the sortie")
    top_m = float(sortie.route.height_rel_m.max())
    config = _wpml(document, "missionConfig")
    _put(config, "flyToWaylineMode", "safely")
    _put(config, "finishAction", "goHome")
    # The route is clear of everything closed, a straight flight home may not be: then a lost link changes nothing.
    _put(config, "exitOnRCLost", "executeLostAction" if sortie.home_in_sight else "goContinue")
    _put(config, "executeRCLostAction", "goBack")
    _put(config, "takeOffSecurityHeight", max(_SECURITY_HEIGHT_M, round(float(sortie.route.height_rel_m[0]), 1)))
    _put(config, "globalTransitionalSpeed", min(profile.cruise_mps, _TRANSIT_LIMIT_MPS))
    _put(config, "globalRTHHeight", round(top_m, 1))
    drone = _wpml(config, "droneInfo")
    _put(drone, "droneEnumValue", numbers.drone)
    _put(drone, "droneSubEnumValue", numbers.drone_sub)
    payload = _wpml(config, "payloadInfo")
    _put(payload, "payloadEnumValue", numbers.payload)
    _put(payload, "payloadSubEnumValue", numbers.payload_sub)
    _put(payload, "payloadPositionIndex", 0)


def _action(group: Element, number: int, function: str, **params: object) -> None:
    action = _wpml(group, "action")
    _put(action, "actionId", number)
    _put(action, "actionActuatorFunc", function)
    inside = _wpml(action, "actionActuatorFuncParam")
    for name, value in params.items():
        _put(inside, name, value)


def _group(placemark: Element, number: int, first: int, last: int, trigger: str, distance_m: float | None) -> Element:
    group = _wpml(placemark, "actionGroup")
    _put(group, "actionGroupId", number)
    _put(group, "actionGroupStartIndex", first)
    _put(group, "actionGroupEndIndex", last)
    _put(group, "actionGroupMode", "sequence")
    element = _wpml(group, "actionTrigger")
    _put(element, "actionTriggerType", trigger)
    if distance_m is not None:
        _put(element, "actionTriggerParam", round(distance_m, 2))
    return group


def _placemark(folder: Element, index: int, lon: float, lat: float, height_m: float, executed: bool) -> Element:
    placemark = SubElement(folder, f"{{{KML}}}Placemark")
    point = SubElement(placemark, f"{{{KML}}}Point")
    SubElement(point, f"{{{KML}}}coordinates").text = f"{lon:.8f},{lat:.8f}"
    _put(placemark, "index", index)
    if executed:
        _put(placemark, "executeHeight", round(height_m, 2))
    else:
        _put(placemark, "ellipsoidHeight", round(height_m, 2))
        _put(placemark, "height", round(height_m, 2))
        _put(placemark, "useGlobalHeight", 0)
        _put(placemark, "useGlobalSpeed", 1)
        _put(placemark, "useGlobalHeadingParam", 1)
        _put(placemark, "useGlobalTurnParam", 0)
    return placemark


def _heading(parent: Element, name: str) -> None:
    heading = _wpml(parent, name)
    _put(heading, "waypointHeadingMode", "followWayline")
    _put(heading, "waypointHeadingPathMode", "followBadArc")


def _turns(placemark: Element, damping_m: float) -> None:
    turn = _wpml(placemark, "waypointTurnParam")
    # A coordinated turn cuts a right-angled corner by 0.41 of its damping distance: less than the clearance of zones.
    mode = "coordinateTurn" if damping_m > 0 else "toPointAndStopWithDiscontinuityCurvature"
    _put(turn, "waypointTurnMode", mode)
    _put(turn, "waypointTurnDampingDist", damping_m)
    _put(placemark, "useStraightLine", 1)


def _damping_m(sortie: PlannedSortie, index: int) -> float:
    """Where the turn at a waypoint begins: short of the middle of either leg; 0 where the aircraft stops."""
    if sortie.route.stops or not 0 < index < len(sortie.route.points) - 1:
        return 0.0
    legs = sortie.route.legs_m[index - 1 : index + 1]
    return round(min(_DAMPING_M, 0.4 * float(legs.min())), 1)


def _gimbal(pitch_deg: float) -> dict[str, object]:
    return {
        "gimbalHeadingYawBase": "north",
        "gimbalRotateMode": "absoluteAngle",
        "gimbalPitchRotateEnable": 1,
        "gimbalPitchRotateAngle": round(pitch_deg, 1),
        "gimbalRollRotateEnable": 0,
        "gimbalRollRotateAngle": 0,
        "gimbalYawRotateEnable": 0,
        "gimbalYawRotateAngle": 0,
        "gimbalRotateTimeEnable": 0,
        "gimbalRotateTime": 0,
        "payloadPositionIndex": 0,
    }


def _shoot(suffix: str, lens: str) -> dict[str, object]:
    return {"fileSuffix": suffix, "payloadPositionIndex": 0, "payloadLensIndex": lens, "useGlobalPayloadLensIndex": 0}


def _view(stop: Stop, suffix: str, lens: str) -> list[tuple[str, dict[str, object]]]:
    """One photograph from a standstill: turn to the heading (-180..180), tilt, shoot."""
    heading = (stop.yaw_deg + 180.0) % 360.0 - 180.0
    turn = {"aircraftHeading": round(heading, 1), "aircraftPathMode": "clockwise"}
    return [("rotateYaw", turn), ("gimbalRotate", _gimbal(stop.pitch_deg)), ("takePhoto", _shoot(suffix, lens))]


def _actions(placemark: Element, sortie: PlannedSortie, index: int, group: int, plan_id: str, lens: str) -> int:
    """Camera down at the first waypoint; from each lane's first waypoint photographs by distance, named by sortie.

    Where the sortie stops for photographs: heading, gimbal and shutter for each, numbered in their files' names.
    """
    route = sortie.route
    suffix = f"{plan_id[-6:]}{sortie.short_id}"
    here = [(number, stop) for number, stop in enumerate(route.stops, start=1) if stop.index == index]
    if here:
        stop_group = _group(placemark, group, index, index, "reachPoint", None)
        actions = [action for number, stop in here for action in _view(stop, f"{suffix}V{number:02d}", lens)]
        for number, (function, params) in enumerate(actions):
            _action(stop_group, number, function, **params)
        return group + 1
    if route.stops:
        return group
    if index == 0:
        start = _group(placemark, group, 0, 0, "reachPoint", None)
        _action(start, 0, "gimbalRotate", **_gimbal(-90.0))
        group += 1
    if bool(route.shooting[index]) and not (index and route.shooting[index - 1]):
        # One group for the whole run: begun anew at each of its waypoints, the distance would be counted anew.
        end = index + int(np.argmin(route.shooting[index:]))
        lane = _group(placemark, group, index, end, "multipleDistance", route.trigger_m)
        _action(lane, 0, "takePhoto", **_shoot(suffix, lens))
        group += 1
    return group


def _height_mode(sortie: PlannedSortie, result: PlanResult) -> str:
    """Heights above take-off, or above the surface below where the aircraft follows it and does not stop at places."""
    following = result.task.request.follow_surface and not sortie.route.stops
    return "realTimeFollowSurface" if following else "relativeToStartPoint"


def _executed_head(folder: Element, sortie: PlannedSortie, result: PlanResult) -> None:
    _put(folder, "templateId", 0)
    _put(folder, "executeHeightMode", _height_mode(sortie, result))
    _put(folder, "waylineId", 0)
    _put(folder, "distance", round(sortie.route.distance_m, 1))
    _put(folder, "duration", round(sortie.duration_s, 1))
    _put(folder, "autoFlightSpeed", min(result.task.profile.cruise_mps, _TRANSIT_LIMIT_MPS))


def _template_head(folder: Element, sortie: PlannedSortie, result: PlanResult, lens: str) -> None:
    _put(folder, "templateType", "waypoint")
    _put(folder, "templateId", 0)
    system = _wpml(folder, "waylineCoordinateSysParam")
    _put(system, "coordinateMode", "WGS84")
    _put(system, "heightMode", _height_mode(sortie, result))
    _put(folder, "autoFlightSpeed", min(result.task.profile.cruise_mps, _TRANSIT_LIMIT_MPS))
    payload = _wpml(folder, "payloadParam")
    _put(payload, "payloadPositionIndex", 0)
    _put(payload, "imageFormat", lens)
    _put(folder, "gimbalPitchMode", "manual")
    level_m = sortie.strip.height_agl_m if result.task.request.climb_out_m else float(sortie.route.height_rel_m[0])
    _put(folder, "globalHeight", round(level_m, 2))
    _heading(folder, "globalWaypointHeadingParam")
    _put(folder, "globalWaypointTurnMode", "coordinateTurn")
    _put(folder, "globalUseStraightLine", 1)


def _folder(document: Element, sortie: PlannedSortie, result: PlanResult, executed: bool) -> None:
    task = result.task
    assert task.profile.dji is not None
    lens = task.profile.dji.lens
    folder = SubElement(document, f"{{{KML}}}Folder")
    speed_mps = min(task.profile.cruise_mps, _TRANSIT_LIMIT_MPS)
    if executed:
        _executed_head(folder, sortie, result)
    else:
        _template_head(folder, sortie, result, lens)
    places = task.frame.to_lonlat(sortie.route.points)
    group = 0
    for index, (lon, lat) in enumerate(places):
        height_m = float(sortie.route.height_rel_m[index])
        placemark = _placemark(folder, index, float(lon), float(lat), height_m, executed)
        if executed:
            _put(placemark, "waypointSpeed", speed_mps)
            _heading(placemark, "waypointHeadingParam")
        _turns(placemark, _damping_m(sortie, index))
        group = _actions(placemark, sortie, index, group, result.plan_id, lens)


def _xml(sortie: PlannedSortie, result: PlanResult, executed: bool) -> bytes:
    register_namespace("", KML)
    register_namespace("wpml", WPML)
    root = Element(f"{{{KML}}}kml")
    document = SubElement(root, f"{{{KML}}}Document")
    if not executed:
        _put(document, "author", "Yunxun")
        milliseconds = int(result.created_utc.timestamp() * 1000)
        _put(document, "createTime", milliseconds)
        _put(document, "updateTime", milliseconds)
    _mission_config(document, sortie, result)
    _folder(document, sortie, result, executed)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode").encode()


def write_kmz(sortie: PlannedSortie, result: PlanResult, path: Path) -> None:
    """Writes one sortie as KMZ, whole or not at all.

    Raises:
        MissionsError: The profile has no DJI numbers.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("wpmz/template.kml", _xml(sortie, result, executed=False))
        archive.writestr("wpmz/waylines.wpml", _xml(sortie, result, executed=True))
    write_bytes_atomically(path, buffer.getvalue())
