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
from missions.plan import MissionItem, read_plan
from missions.planner import PlanRequest, export_plan, plan_patrol

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
    flown = [(item.lon, item.lat) for item in mission[2:] if item.command == 16][:-1]
    drawn = [tuple(map(float, mark.findtext(f"{KML}Point/{KML}coordinates").split(","))) for mark in marks]
    assert np.array(drawn) == pytest.approx(np.array(flown), abs=1e-7)
    assert all(element.text.endswith("S01") for element in lines.iter(f"{WPML}fileSuffix"))
    triggers = [element.text for element in lines.iter(f"{WPML}actionTriggerType")]
    assert triggers.count("multipleDistance") == sum(item.command == 206 and item.params[0] > 0 for item in mission)


# Elements of a wayline file by DJI's published tables ("waylines.wpml", Cloud API): name -> what it may say.
# Each stands once in its parent; ranges and enumerations are the tables'.
CONFIG = {
    "flyToWaylineMode": {"safely", "pointToPoint"},
    "finishAction": {"goHome", "noAction", "autoLand", "gotoFirstWaypoint"},
    "exitOnRCLost": {"goContinue", "executeLostAction"},
    "executeRCLostAction": {"goBack", "landing", "hover"},
    "takeOffSecurityHeight": (2, 1500),
    "globalTransitionalSpeed": (1, 15),
    "globalRTHHeight": (2, 1500),
}
WAYPOINT = {
    "index": (0, 65535),
    "executeHeight": (-1500, 1500),
    "waypointSpeed": (1, 15),
    "waypointHeadingParam": None,
    "waypointTurnParam": None,
    "useStraightLine": {"0", "1"},
}
TURNS = {"coordinateTurn", "toPointAndStopWithDiscontinuityCurvature", "toPointAndPassWithContinuityCurvature"}
DOES = {"takePhoto", "gimbalRotate", "rotateYaw"}
TRIGGERS = {"reachPoint", "multipleDistance", "betweenAdjacentPoints", "multipleTiming"}


def holds(parent: ElementTree.Element, table: dict) -> None:
    for name, allowed in table.items():
        found = parent.findall(f"{WPML}{name}")
        assert len(found) == 1, name
        if isinstance(allowed, set):
            assert found[0].text in allowed, name
        elif allowed is not None:
            assert allowed[0] <= float(found[0].text or "nan") <= allowed[1], name


@pytest.mark.parametrize("aircraft", ["mavic3e", "m30", "m350-h20t", "m3d"])
def test_dji_files_keep_to_the_published_tables(town: Path, tmp_path: Path, aircraft: str) -> None:
    numbers = load_profile(aircraft).dji
    assert numbers is not None
    plan = export_plan(plan_patrol(PlanRequest(town, aircraft=aircraft)), tmp_path / "plan")
    with zipfile.ZipFile(tmp_path / "plan" / str(plan.sorties[0].files.kmz)) as archive:
        lines = ElementTree.fromstring(archive.read("wpmz/waylines.wpml"))
        template = ElementTree.fromstring(archive.read("wpmz/template.kml"))
    for root in (lines, template):
        config = root.find(f".//{WPML}missionConfig")
        holds(config, CONFIG)
        assert config.findtext(f"{WPML}droneInfo/{WPML}droneEnumValue") == str(numbers.drone)
        assert config.findtext(f"{WPML}payloadInfo/{WPML}payloadEnumValue") == str(numbers.payload)
    folder = lines.find(f".//{KML}Folder")
    holds(folder, {"templateId": {"0"}, "waylineId": {"0"}, "autoFlightSpeed": (1, 15)})
    modes = {"WGS84", "relativeToStartPoint", "realTimeFollowSurface"}
    assert folder.findtext(f"{WPML}executeHeightMode") in modes
    for mark in folder.findall(f"{KML}Placemark"):
        holds(mark, WAYPOINT)
        assert mark.findtext(f"{WPML}waypointTurnParam/{WPML}waypointTurnMode") in TURNS
    for group in folder.iter(f"{WPML}actionGroup"):
        holds(
            group, {"actionGroupId": (0, 65535), "actionGroupStartIndex": (0, 65535), "actionGroupMode": {"sequence"}}
        )
        assert float(group.findtext(f"{WPML}actionGroupEndIndex")) >= float(
            group.findtext(f"{WPML}actionGroupStartIndex")
        )
        assert group.findtext(f"{WPML}actionTrigger/{WPML}actionTriggerType") in TRIGGERS
        assert {action.text for action in group.iter(f"{WPML}actionActuatorFunc")} <= DOES
    groups = [element.text for element in folder.iter(f"{WPML}actionGroupId")]
    assert len(groups) == len(set(groups))
    system = template.find(f".//{WPML}waylineCoordinateSysParam")
    assert system.findtext(f"{WPML}coordinateMode") == "WGS84"


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
