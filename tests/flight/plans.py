"""Small plans for flight tests, written as the planner writes them."""

import math
from datetime import UTC, datetime

from missions.export.qgc import FencePolygon, PlanFile, write_plan_file
from missions.plan import Coverage, MissionItem, Plan, PlanCamera, Sortie, SortieFiles, write_plan

HOME = (118.35, 35.05, 60.0)
_LAT_M = 111_000.0


def offset(home, east_m, north_m):
    return home[0] + east_m / (_LAT_M * math.cos(math.radians(home[1]))), home[1] + north_m / _LAT_M


def lanes(home, *, length_m=60.0, count=2, height_m=30.0, first_east_m=20.0, trigger_m=12.0, speed_mps=8.0):
    """Home, take-off, lanes with photographs, return."""
    items = [
        MissionItem(command=16, frame=0, lon=home[0], lat=home[1], alt_m=home[2]),
        MissionItem(command=22, lon=home[0], lat=home[1], alt_m=height_m),
        MissionItem(command=178, frame=2, params=(1.0, speed_mps, -1.0, 0.0)),
    ]
    for lane in range(count):
        east = first_east_m + 15.0 * lane
        ends = [(east, 0.0), (east, length_m)][:: -1 if lane % 2 else 1]
        for number, (x, y) in enumerate(ends):
            lon, lat = offset(home, x, y)
            items.append(MissionItem(command=16, lon=lon, lat=lat, alt_m=height_m))
            items.append(MissionItem(command=206, frame=2, params=((0.0, trigger_m)[number == 0], 0.0, 1.0, 0.0)))
    return (*items, MissionItem(command=20, frame=2))


def write_flight_plan(
    folder, homes=(HOME,), *, duration_s=70.0, fence=None, rally=(), aircraft="arducopter", **lane_options
):
    """A plan with one sortie for each home."""
    sorties = []
    for number, home in enumerate(homes, start=1):
        name = f"S{number:02d}"
        fences = (FencePolygon(vertices=tuple(fence), inclusion=False),) if fence else ()
        plan_file = PlanFile(
            items=lanes(home, **lane_options), home=home, fence_polygons=fences, rally_points=tuple(rally)
        )
        write_plan_file(plan_file, folder / "sorties" / f"{name}.plan")
        sorties.append(
            Sortie(
                id=f"01TEST/{name}", home=home, crew="C01", start_utc=datetime(2026, 11, 22, 1, tzinfo=UTC),
                distance_m=300.0, duration_s=duration_s, energy_wh=8.0, photos=10,
                files=SortieFiles(plan=f"sorties/{name}.plan", waypoints=f"sorties/{name}.waypoints"),
            )
        )  # fmt: skip
    camera = PlanCamera(model="YX-2MP", width_px=1600, height_px=1200, focal_mm=4.7, sensor_width_mm=6.17, gsd_m=0.025)
    plan = Plan(
        plan_id="01TEST", created_utc=datetime(2026, 11, 22, tzinfo=UTC), aircraft=aircraft, camera=camera,
        front_overlap=0.75, side_overlap=0.65, height_agl_m=30.0, lane_m=15.0, sorties=tuple(sorties),
        coverage=Coverage(area_m2=1000.0, seen_once=1.0, seen_twice=1.0),
    )  # fmt: skip
    write_plan(plan, folder / "plan.json")
    return plan
