"""A plan's folder: `plan.json`, `routes.geojson`, `routes.kml` and the files of each sortie, all of them or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import shapely

from missions.errors import MissionsError
from missions.export.kml import write_kml
from missions.export.qgc import FencePolygon, PlanFile, write_plan_file
from missions.export.wpl import write_waypoints
from missions.export.wpml import write_kmz
from missions.files import write_text_atomically
from missions.frame import Array, LocalFrame
from missions.plan import LonLat, Plan, PlanCamera, Sortie, SortieFiles, write_plan
from missions.result import PlannedSortie, PlanResult
from missions.route import Route, Stop, mission_items
from missions.vector import polygons_of

# ArduPilot keeps fence points in a small store (84 in 4.x's default area): only zones this near a sortie are sent.
_FENCE_REACH_M = 300.0
_FENCE_POINTS = 70


def _fences(result: PlanResult, sortie: PlannedSortie) -> tuple[FencePolygon, ...]:
    """No-fly zones near a sortie as exclusion fences, simplified outwards until a controller holds them."""
    frame = result.task.frame
    near = shapely.buffer(shapely.linestrings(sortie.route.points), _FENCE_REACH_M)
    fences: list[FencePolygon] = []
    left = _FENCE_POINTS
    for polygon in polygons_of(result.task.airspace.no_fly):
        if not polygon.intersects(near):
            continue
        outline = polygon.simplify(2.0).exterior
        if len(outline.coords) - 1 > left // 2:
            outline = polygon.convex_hull.simplify(5.0).exterior
        if len(outline.coords) - 1 > left:
            continue
        left -= len(outline.coords) - 1
        places = frame.to_lonlat(shapely.get_coordinates(outline)[:-1])
        vertices: tuple[LonLat, ...] = tuple((round(float(x), 8), round(float(y), 8)) for x, y in places)
        fences.append(FencePolygon(vertices=vertices, inclusion=False))
    return tuple(fences)


def write_sortie(result: PlanResult, sortie: PlannedSortie, folder: Path) -> Sortie:
    """Writes one sortie's files into a plan's folder and gives its entry for `plan.json`."""
    profile = result.task.profile
    items = mission_items(sortie.route, result.task.frame, sortie.home, profile.cruise_mps)
    stem = f"sorties/{sortie.short_id}"
    write_waypoints(items, folder / f"{stem}.waypoints")
    lon, lat, alt = sortie.home
    # Whoever comes back to it comes at the lanes' height, also where the climb is begun lower (climb_out_m).
    level_m = sortie.strip.height_agl_m if result.task.request.climb_out_m else float(sortie.route.height_rel_m[0])
    rally = (lon, lat, round(level_m, 2))
    plan_file = PlanFile(
        items=tuple(items),
        home=(lon, lat, alt),
        cruise_mps=profile.cruise_mps,
        hover_mps=profile.climb_mps,
        fence_polygons=_fences(result, sortie),
        rally_points=(rally,),
    )
    write_plan_file(plan_file, folder / f"{stem}.plan")
    kmz = None
    if profile.dji is not None:
        kmz = f"{stem}.kmz"
        write_kmz(sortie, result, folder / kmz)
    return Sortie(
        id=f"{result.plan_id}/{sortie.short_id}",
        home=sortie.home,
        crew=sortie.crew,
        start_utc=sortie.start_utc,
        distance_m=round(sortie.route.distance_m, 1),
        duration_s=round(sortie.duration_s, 1),
        energy_wh=round(sortie.energy_wh, 2),
        photos=sortie.route.photos,
        files=SortieFiles(plan=f"{stem}.plan", waypoints=f"{stem}.waypoints", kmz=kmz),
        **_team(sortie),
        **_views(result, sortie),
        path_m=round(sortie.route.path_m, 1),
        height_agl_m=round(sortie.strip.height_agl_m, 2),
        **({} if sortie.transit_agl_m is None else {"transit_agl_m": round(sortie.transit_agl_m, 2)}),
    )


def _views(result: PlanResult, sortie: PlannedSortie) -> dict[str, list[dict[str, object]]]:
    """What a sortie photographs from standstills, in its order: the number on its files, the place, and the view."""
    route = sortie.route
    if not route.stops:
        return {}
    places = result.task.frame.to_lonlat(route.points[[stop.index for stop in route.stops]])
    return {
        "views": [
            {
                "n": number,
                "what": stop.name,
                "lon": round(float(lon), 8),
                "lat": round(float(lat), 8),
                "height_rel_m": round(float(route.height_rel_m[stop.index]), 2),
                "yaw_deg": round(stop.yaw_deg % 360.0, 2),
                "pitch_deg": round(stop.pitch_deg, 2),
            }
            for number, (stop, (lon, lat)) in enumerate(zip(route.stops, places, strict=True), start=1)
        ]
    }


def _team(sortie: PlannedSortie) -> dict[str, str]:
    """Who flies which aircraft, where a roster says."""
    crew = sortie.rostered
    if crew is None:
        return {}
    team = {"pilot": crew.pilot, "machine": crew.machine.aircraft, "registration": crew.machine.registration}
    return team | ({"observer": crew.observer} if crew.observer else {})


def _view_feature(sortie: str, crew: str, stop: Stop, place: Array) -> dict[str, object]:
    geometry = {"type": "Point", "coordinates": [round(float(value), 8) for value in place]}
    view = {"yaw_deg": round(stop.yaw_deg % 360.0, 2), "pitch_deg": round(stop.pitch_deg, 2), "what": stop.name}
    return {
        "type": "Feature",
        "properties": {"sortie": sortie, "crew": crew, "role": "view", **view},
        "geometry": geometry,
    }


def write_routes(routes: Sequence[tuple[str, str, Route]], frame: LocalFrame, path: Path) -> None:
    """Writes every run of legs as a line: `role` lane (camera on) or transit; places it stops at as points.

    Args:
        routes: (sortie id, crew, route) of each sortie.
        frame: The routes' metric frame.
        path: The GeoJSON file.
    """
    features: list[dict[str, object]] = []
    for sortie, crew, route in routes:
        places = frame.to_lonlat(route.points)
        begin = 0
        for index in range(1, len(places)):
            if index < len(places) - 1 and bool(route.shooting[index]) == bool(route.shooting[begin]):
                continue
            line = [[round(float(x), 8), round(float(y), 8)] for x, y in places[begin : index + 1]]
            properties = {
                "sortie": sortie,
                "crew": crew,
                "role": "lane" if route.shooting[begin] else "transit",
                "height_rel_m": round(float(route.height_rel_m[begin]), 2),
            }
            geometry = {"type": "LineString", "coordinates": line}
            features.append({"type": "Feature", "properties": properties, "geometry": geometry})
            begin = index
        features += [_view_feature(sortie, crew, stop, places[stop.index]) for stop in route.stops]
    collection = {"type": "FeatureCollection", "schema_version": 1, "features": features}
    write_text_atomically(path, json.dumps(collection, ensure_ascii=False))


def _contract(result: PlanResult, sorties: tuple[Sortie, ...]) -> Plan:
    task = result.task
    camera = task.profile.camera
    height_m = task.strip.height_agl_m
    return Plan(
        plan_id=result.plan_id,
        created_utc=result.created_utc,
        aircraft=task.profile.name,
        camera=PlanCamera(**camera.model_dump(), gsd_m=camera.gsd_at_m(height_m)),
        front_overlap=task.request.front_overlap,
        side_overlap=task.request.side_overlap,
        height_agl_m=round(height_m, 3),
        lane_m=round(task.strip.lane_m, 3),
        sorties=sorties,
        coverage=result.coverage,
        refused=result.refused,
    )


def put_in_place(written: Path, out_dir: Path) -> None:
    """Puts a finished folder in place; files of an older plan there go, anything else stays."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for name in ("sorties", "routes.geojson", "routes.kml", "plan.json"):
        target = out_dir / name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(written / name, target)  # noqa: PTH105 - Path.replace does the same and hides that it is atomic


def export_plan(result: PlanResult, out_dir: Path) -> Plan:
    """Writes a plan's folder: every file is made beside it first, `plan.json` is put in place last.

    Args:
        result: What `plan_patrol` returned.
        out_dir: The folder; made where it lacks. An older plan in it is replaced.

    Raises:
        MissionsError: The folder cannot be written.
    """
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out_dir.name}.", dir=out_dir.parent) as name:
            folder = Path(name)
            sorties = tuple(write_sortie(result, sortie, folder) for sortie in result.sorties)
            routes = [(f"{result.plan_id}/{s.short_id}", s.crew, s.route) for s in result.sorties]
            write_routes(routes, result.task.frame, folder / "routes.geojson")
            lines = [(f"{result.plan_id}/{s.short_id}", s.crew, s.home[2], s.route) for s in result.sorties]
            write_kml(lines, result.task.frame, folder / "routes.kml")
            plan = _contract(result, sorties)
            write_plan(plan, folder / "plan.json")
            put_in_place(folder, out_dir)
    except OSError as error:
        raise MissionsError(f"cannot write the plan to {out_dir}: {error}; choose another --out") from error
    return plan
