"""Exported files, read back by parsers that are not ours where there are any."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from defusedxml import ElementTree
from pymavlink import mavwp

from missions.aircraft import load_profile
from missions.errors import MissionsError
from missions.export.qgc import FenceCircle, FencePolygon, PlanFile, read_plan_file, write_plan_file
from missions.export.wpl import read_waypoints, write_waypoints
from missions.plan import MissionItem, Plan, read_plan
from missions.planner import PlanRequest, export_plan, plan_patrol
from missions.targets import Product

WPML = "{http://www.dji.com/wpmz/1.0.2}"
KML = "{http://www.opengis.net/kml/2.2}"


def items() -> list[MissionItem]:
    return [
        MissionItem(command=16, frame=0, lon=118.33, lat=35.07, alt_m=61.5),
        MissionItem(command=22, lon=118.33, lat=35.07, alt_m=97.5),
        MissionItem(command=178, frame=2, params=(1.0, 10.0, -1.0, 0.0)),
        MissionItem(command=16, lon=118.3312345, lat=35.0712345, alt_m=97.5),
        MissionItem(command=206, frame=2, params=(24.0, 0.0, 1.0, 0.0)),
        MissionItem(command=20, frame=2),
    ]


def test_waypoints_survive_a_round_trip(tmp_path: Path) -> None:
    write_waypoints(items(), tmp_path / "a.waypoints")
    assert read_waypoints(tmp_path / "a.waypoints") == items()


def test_waypoints_are_what_pymavlink_reads(tmp_path: Path) -> None:
    write_waypoints(items(), tmp_path / "a.waypoints")
    loader = mavwp.MAVWPLoader()
    assert loader.load(str(tmp_path / "a.waypoints")) == len(items())
    for index, item in enumerate(items()):
        read = loader.wp(index)
        assert (read.command, read.frame) == (item.command, item.frame)
        assert (read.y, read.x, read.z) == pytest.approx((item.lon, item.lat, item.alt_m), abs=1e-7)
        assert (read.param1, read.param2, read.param3) == pytest.approx(item.params[:3])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello\n", "QGC WPL 110"),
        ("QGC WPL 110\n0\t1\t0\t16\t0\t0\t0\t0\t35\n", "line 2"),
        ("QGC WPL 110\n0\t1\t0\tsixteen\t0\t0\t0\t0\t35\t118\t0\t1\n", "line 2"),
        ("QGC WPL 110\n0\t1\t0\t16\t0\t0\t0\t0\t118\t35\t0\t1\n", "nowhere on Earth"),
    ],
)
def test_a_broken_mission_file_is_refused_by_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.waypoints").write_text(text)
    with pytest.raises(MissionsError, match=said):
        read_waypoints(tmp_path / "a.waypoints")


def test_plan_file_survives_a_round_trip_with_fence_and_rally(tmp_path: Path) -> None:
    unset = MissionItem(command=16, params=(0.0, 0.0, 0.0, math.nan), lon=118.1, lat=35.1, alt_m=50.0)
    plan = PlanFile(
        items=(*items(), unset),
        home=(118.33, 35.07, 61.5),
        fence_polygons=(FencePolygon(vertices=((118.0, 35.0), (118.1, 35.0), (118.1, 35.1)), inclusion=False),),
        fence_circles=(FenceCircle(center=(118.0, 35.0), radius_m=30.0, inclusion=True),),
        rally_points=((118.3, 35.0, 40.0),),
    )
    write_plan_file(plan, tmp_path / "a.plan")
    read = read_plan_file(tmp_path / "a.plan")
    assert math.isnan(read.items[-1].params[3])
    assert read.model_copy(update={"items": read.items[:-1]}) == plan.model_copy(update={"items": plan.items[:-1]})


def test_a_plan_of_qgroundcontrol_with_a_survey_is_flattened(tmp_path: Path) -> None:
    inner = {
        "type": "SimpleItem",
        "autoContinue": True,
        "command": 16,
        "frame": 3,
        "params": [0, 0, 0, None, 35, 118, 50],
    }
    survey = {"type": "ComplexItem", "complexItemType": "survey", "TransectStyleComplexItem": {"Items": [inner, inner]}}
    data = {
        "fileType": "Plan",
        "version": 1,
        "mission": {"plannedHomePosition": [35, 118, 60], "items": [inner, survey]},
    }
    (tmp_path / "q.plan").write_text(json.dumps(data))
    assert [item.command for item in read_plan_file(tmp_path / "q.plan").items] == [16, 16, 16, 16]


@pytest.mark.parametrize("text", ["{", "[]", '{"fileType": "Mission"}', '{"fileType": "Plan", "mission": {}}'])
def test_a_broken_plan_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.plan").write_text(text)
    with pytest.raises(MissionsError, match=r"a\.plan"):
        read_plan_file(tmp_path / "a.plan")


def test_a_plan_folder_holds_what_the_contract_says(town: Path, tmp_path: Path) -> None:
    result = plan_patrol(PlanRequest(town, gsd_m=0.08, crews=2, patrol_id="01M82A5GXTK26SW906JZDK5XZW"))
    written = export_plan(result, tmp_path / "plan")
    assert read_plan(tmp_path / "plan") == written
    assert [sortie.id for sortie in written.sorties] == [
        "01M82A5GXTK26SW906JZDK5XZW/S01",
        "01M82A5GXTK26SW906JZDK5XZW/S02",
    ]
    assert {sortie.crew for sortie in written.sorties} == {"C01", "C02"}
    for sortie in written.sorties:
        assert sortie.files.kmz is None
        mission = read_waypoints(tmp_path / "plan" / sortie.files.waypoints)
        assert [mission[0].command, mission[1].command, mission[-1].command] == [16, 22, 20]
        assert (mission[0].lon, mission[0].lat) == pytest.approx(sortie.home[:2], abs=1e-8)
        assert list(read_plan_file(tmp_path / "plan" / sortie.files.plan).items[1:]) == mission[1:]
    lines = json.loads((tmp_path / "plan" / "routes.geojson").read_text())["features"]
    assert {line["properties"]["role"] for line in lines} == {"lane", "transit"}


def test_gdal_reads_the_routes_of_a_plan_as_kml(town: Path, tmp_path: Path) -> None:
    result = plan_patrol(PlanRequest(town, gsd_m=0.08, crews=2))
    export_plan(result, tmp_path / "plan")
    layers = [str(name) for name, _ in pyogrio.list_layers(tmp_path / "plan" / "routes.kml")]
    assert layers == ["S01 C01", "S02 C02"]
    for name, sortie in zip(layers, result.sorties, strict=True):
        meta, _, geometry, columns = pyogrio.raw.read(tmp_path / "plan" / "routes.kml", layer=name)
        names = columns[[str(field).lower() for field in meta["fields"]].index("name")]
        shapes = shapely.from_wkb(geometry)
        lanes = [shape for shape, kind in zip(shapes, names, strict=True) if kind == "lane"]
        assert len(lanes) == sum(sortie.route.shooting)
        drawn = result.task.frame.to_xy(np.concatenate([shapely.get_coordinates(lane) for lane in lanes]))
        on = np.flatnonzero(sortie.route.shooting)
        flown = sortie.route.points[np.stack([on, on + 1], axis=1).reshape(-1)]
        assert drawn == pytest.approx(flown, abs=0.01)
        heights = shapely.get_coordinates(lanes[0], include_z=True)[:, 2]
        assert heights == pytest.approx(sortie.route.height_rel_m[on[0]], abs=0.01)


def test_an_older_plan_is_replaced_and_other_files_stay(town: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    export_plan(plan_patrol(PlanRequest(town, gsd_m=0.08, crews=2)), folder)
    (folder / "notes.txt").write_text("mine")
    export_plan(plan_patrol(PlanRequest(town, gsd_m=0.08)), folder)
    assert sorted(path.name for path in (folder / "sorties").iterdir()) == ["S01.plan", "S01.waypoints"]
    assert (folder / "notes.txt").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".plan")]


def test_dji_files_carry_the_profile_and_the_sortie(town: Path, tmp_path: Path) -> None:
    result = plan_patrol(PlanRequest(town, gsd_m=0.03, aircraft="mavic3e"))
    plan = export_plan(result, tmp_path / "plan")
    assert plan.sorties[0].files.kmz is not None
    with zipfile.ZipFile(tmp_path / "plan" / plan.sorties[0].files.kmz) as archive:
        assert archive.namelist() == ["wpmz/template.kml", "wpmz/waylines.wpml"]
        lines = ElementTree.fromstring(archive.read("wpmz/waylines.wpml"))
    config = lines.find(f".//{WPML}missionConfig")
    assert config.findtext(f"{WPML}droneInfo/{WPML}droneEnumValue") == "77"
    assert config.findtext(f"{WPML}payloadInfo/{WPML}payloadEnumValue") == "66"
    assert 2 <= float(config.findtext(f"{WPML}takeOffSecurityHeight")) <= 1500
    marks = lines.findall(f".//{KML}Placemark")
    assert [int(mark.findtext(f"{WPML}index")) for mark in marks] == list(range(len(marks)))
    mission = read_waypoints(tmp_path / "plan" / plan.sorties[0].files.waypoints)
    flown = [(item.lon, item.lat) for item in mission[1:] if item.command in (16, 22)]
    drawn = [tuple(map(float, mark.findtext(f"{KML}Point/{KML}coordinates").split(","))) for mark in marks]
    assert np.array(drawn) == pytest.approx(np.array(flown), abs=1e-7)
    assert all(element.text.endswith("S01") for element in lines.iter(f"{WPML}fileSuffix"))
    triggers = [element.text for element in lines.iter(f"{WPML}actionTriggerType")]
    assert triggers.count("multipleDistance") == sum(item.command == 206 and item.params[0] > 0 for item in mission)


# Elements by DJI's published tables (Cloud API: "waylines.wpml", "template.kml", "common element"; November 2024), in
# the order of their sample files: name -> what it may say (None: a parent). Each stands once in its parent.
CONFIG = {
    "flyToWaylineMode": {"safely", "pointToPoint"},
    "finishAction": {"goHome", "noAction", "autoLand", "gotoFirstWaypoint"},
    "exitOnRCLost": {"goContinue", "executeLostAction"},
    "executeRCLostAction": {"goBack", "landing", "hover"},
    "takeOffSecurityHeight": (8, 1500),  # from 1.2 with a remote, from 8 with a dock
    "globalTransitionalSpeed": (0.1, 15),
    "globalRTHHeight": (2, 1500),
    "droneInfo": None,
    "payloadInfo": None,
}
DRONES = {"89", "60", "67", "77", "91"}
PAYLOADS = {"42", "43", "52", "53", "61", "66", "67", "68", "80", "81"}
FOLDER = {
    "templateId": (0, 65535),
    "executeHeightMode": {"WGS84", "relativeToStartPoint", "realTimeFollowSurface"},
    "waylineId": (0, 65535),
    "autoFlightSpeed": (0.1, 15),
}
HEADING = {"waypointHeadingMode": {"followWayline"}, "waypointHeadingPathMode": {"followBadArc"}}
WAYPOINT = {
    "index": (0, 65535),
    "executeHeight": (-1500, 1500),
    "waypointSpeed": (0.1, 15),
    "waypointHeadingParam": None,
    "waypointTurnParam": None,
    "useStraightLine": {"0", "1"},
}
TEMPLATE = {
    "templateType": {"waypoint"},
    "templateId": (0, 65535),
    "waylineCoordinateSysParam": None,
    "autoFlightSpeed": (0.1, 15),
    "payloadParam": None,
    "gimbalPitchMode": {"manual", "usePointSetting"},
    "globalHeight": (-1500, 1500),
    "globalWaypointHeadingParam": None,
    "globalWaypointTurnMode": {"coordinateTurn"},
    "globalUseStraightLine": {"0", "1"},
}
TEMPLATE_WAYPOINT = {
    "index": (0, 65535),
    "ellipsoidHeight": (-1500, 9000),
    "height": (-1500, 1500),
    "useGlobalHeight": {"0"},
    "useGlobalSpeed": {"1"},
    "useGlobalHeadingParam": {"1"},
    "useGlobalTurnParam": {"0"},
    "waypointTurnParam": None,
    "useStraightLine": {"0", "1"},
}
GROUP = {
    "actionGroupId": (0, 65535),
    "actionGroupStartIndex": (0, 65535),
    "actionGroupEndIndex": (0, 65535),
    "actionGroupMode": {"sequence"},
    "actionTrigger": None,
}
TURNS = {"coordinateTurn", "toPointAndStopWithDiscontinuityCurvature"}
FLAG = {"0", "1"}
DOES = {
    "takePhoto": {
        "payloadPositionIndex": {"0"},
        "payloadLensIndex": {"wide", "visable"},
        "useGlobalPayloadLensIndex": FLAG,
    },
    "gimbalRotate": {
        "payloadPositionIndex": {"0"},
        "gimbalHeadingYawBase": {"north"},
        "gimbalRotateMode": {"absoluteAngle"},
        "gimbalPitchRotateEnable": FLAG,
        "gimbalPitchRotateAngle": (-90, 30),
        "gimbalRollRotateEnable": FLAG,
        "gimbalRollRotateAngle": (0, 0),
        "gimbalYawRotateEnable": FLAG,
        "gimbalYawRotateAngle": (-180, 180),
        "gimbalRotateTimeEnable": FLAG,
        "gimbalRotateTime": (0, 60),
    },
    "rotateYaw": {"aircraftHeading": (-180, 180), "aircraftPathMode": {"clockwise", "counterClockwise"}},
}
TRIGGERS = {"reachPoint", "multipleDistance"}


def holds(parent: ElementTree.Element, table: dict, *, ordered: bool = True) -> None:
    for name, allowed in table.items():
        found = parent.findall(f"{WPML}{name}")
        assert len(found) == 1, name
        if isinstance(allowed, set):
            assert found[0].text in allowed, name
        elif allowed is not None:
            assert allowed[0] <= float(found[0].text or "nan") <= allowed[1], name
    names = [child.tag.removeprefix(WPML) for child in parent]
    assert not ordered or [name for name in names if name in table] == list(table)


def kmz_roots(folder: Path, plan: Plan) -> tuple[ElementTree.Element, ElementTree.Element]:
    with zipfile.ZipFile(folder / str(plan.sorties[0].files.kmz)) as archive:
        waylines, template = (archive.read(f"wpmz/{name}") for name in ("waylines.wpml", "template.kml"))
    return ElementTree.fromstring(waylines), ElementTree.fromstring(template)


def holds_waypoints(folder: ElementTree.Element, table: dict) -> None:
    marks = folder.findall(f"{KML}Placemark")
    assert [mark.findtext(f"{WPML}index") for mark in marks] == [str(number) for number in range(len(marks))]
    for mark in marks:
        holds(mark, table)
        turn = mark.find(f"{WPML}waypointTurnParam")
        assert turn.findtext(f"{WPML}waypointTurnMode") in TURNS
        damped = float(turn.findtext(f"{WPML}waypointTurnDampingDist"))
        assert (damped > 0) == (turn.findtext(f"{WPML}waypointTurnMode") == "coordinateTurn")
    for group in folder.iter(f"{WPML}actionGroup"):
        holds(group, GROUP)
        first, last = (int(group.findtext(f"{WPML}actionGroup{end}Index")) for end in ("Start", "End"))
        assert 0 <= first <= last < len(marks)
        assert group.findtext(f"{WPML}actionTrigger/{WPML}actionTriggerType") in TRIGGERS
        for number, action in enumerate(group.findall(f"{WPML}action")):
            assert action.findtext(f"{WPML}actionId") == str(number)
            table = DOES[action.findtext(f"{WPML}actionActuatorFunc")]
            holds(action.find(f"{WPML}actionActuatorFuncParam"), table, ordered=False)
    groups = [element.text for element in folder.iter(f"{WPML}actionGroupId")]
    assert groups == [str(number) for number in range(len(groups))]


@pytest.mark.parametrize("aircraft", ["mavic3e", "m30", "m350-h20t", "m3d"])
@pytest.mark.parametrize("product", ["mosaic", "inspection"])
def test_dji_files_keep_to_the_published_tables(town: Path, tmp_path: Path, aircraft: str, product: Product) -> None:
    numbers = load_profile(aircraft).dji
    assert numbers is not None
    plan = export_plan(plan_patrol(PlanRequest(town, aircraft=aircraft, product=product)), tmp_path / "plan")
    lines, template = kmz_roots(tmp_path / "plan", plan)
    for root in (lines, template):
        config = root.find(f".//{WPML}missionConfig")
        holds(config, CONFIG)
        assert config.findtext(f"{WPML}droneInfo/{WPML}droneEnumValue") == str(numbers.drone) in DRONES
        assert config.findtext(f"{WPML}payloadInfo/{WPML}payloadEnumValue") == str(numbers.payload) in PAYLOADS
        assert config.findtext(f"{WPML}payloadInfo/{WPML}payloadPositionIndex") == "0"
    folder = lines.find(f".//{KML}Folder")
    holds(folder, FOLDER)
    holds_waypoints(folder, WAYPOINT)
    for heading in folder.iter(f"{WPML}waypointHeadingParam"):
        holds(heading, HEADING)
    folder = template.find(f".//{KML}Folder")
    holds(folder, TEMPLATE)
    holds_waypoints(folder, TEMPLATE_WAYPOINT)
    holds(folder.find(f"{WPML}globalWaypointHeadingParam"), HEADING)
    assert folder.findtext(f"{WPML}payloadParam/{WPML}imageFormat") == numbers.lens
    system = folder.find(f"{WPML}waylineCoordinateSysParam")
    assert system.findtext(f"{WPML}coordinateMode") == "WGS84"


def test_dji_files_fly_from_and_to_above_home_as_the_verified_mission_does(town: Path, tmp_path: Path) -> None:
    plan = export_plan(plan_patrol(PlanRequest(town, aircraft="mavic3e", gsd_m=0.03)), tmp_path / "plan")
    lines, _ = kmz_roots(tmp_path / "plan", plan)
    flown = [
        (*map(float, mark.findtext(f"{KML}Point/{KML}coordinates").split(",")),
         float(mark.findtext(f"{WPML}executeHeight")))
        for mark in lines.iter(f"{KML}Placemark")
    ]  # fmt: skip
    items = read_waypoints(tmp_path / "plan" / plan.sorties[0].files.waypoints)
    mission = np.array([(item.lon, item.lat, item.alt_m) for item in items if item.command in (16, 22)][1:])
    assert np.array(flown)[:, :2] == pytest.approx(mission[:, :2], abs=2e-8)
    assert np.array(flown)[:, 2] == pytest.approx(mission[:, 2], abs=0.01)
    assert flown[0][:2] == flown[-1][:2] == pytest.approx(plan.sorties[0].home[:2], abs=2e-8)


def test_an_aircraft_that_can_follows_the_surface_by_itself(town: Path, tmp_path: Path) -> None:
    request = PlanRequest(town, aircraft="mavic3e", follow_surface=True)
    plan = export_plan(plan_patrol(request), tmp_path / "plan")
    with zipfile.ZipFile(tmp_path / "plan" / str(plan.sorties[0].files.kmz)) as archive:
        lines = ElementTree.fromstring(archive.read("wpmz/waylines.wpml"))
        template = ElementTree.fromstring(archive.read("wpmz/template.kml"))
    assert lines.findtext(f".//{WPML}executeHeightMode") == "realTimeFollowSurface"
    assert template.findtext(f".//{WPML}heightMode") == "realTimeFollowSurface"
    with pytest.raises(MissionsError, match="cannot follow the surface"):
        plan_patrol(PlanRequest(town, gsd_m=0.08, follow_surface=True))
