"""A brigade's day: crews from a roster, shifts, batteries, zones that hold for a time, hills."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from rasterio.transform import from_origin

from missions.aircraft import load_profile
from missions.errors import MissionsError
from missions.export.wpl import read_waypoints
from missions.planner import PlanRequest, export_plan, plan_patrol
from missions.roster import Person, crews_of, read_roster, shifts_of
from missions.sites import read_sites
from missions.terrain import Terrain
from missions.verify import verify_plan
from tests.missions.conftest import FRAME, Draw


def roster(path: Path, **change: Any) -> Path:
    people = [
        {
            "person": f"P{n}",
            "role": "pilot",
            "licence": "light",
            "valid_until": "2027-2-15",
            "shift": ["08:00-12:00", "14:00-18:00"],
        }
        for n in range(4)
    ]
    people[0] |= {"valid_until": "2026-1-15"}
    people.append({"person": "P9", "role": "observer", "licence": None, "shift": ["08:00-12:00"]})
    aircraft = [
        {
            "aircraft": f"A{n}",
            "model": "mavic3e",
            "registration": f"U{n}",
            "batteries": 6,
            "battery_health": 1 - 0.05 * n,
        }
        for n in range(3)
    ]
    data = {"date": "2026-11-23", "people": people, "vehicles": 2, "aircraft": aircraft, "line_of_sight_m": 1500}
    path.write_text(json.dumps(data | change))
    return path


def test_crews_have_valid_licences_aircraft_and_vehicles(tmp_path: Path) -> None:
    read = read_roster(roster(tmp_path / "r.json"))
    crews = crews_of(read, load_profile("mavic3e"))
    assert [(crew.pilot, crew.observer, crew.machine.aircraft) for crew in crews] == [
        ("P1", "P9", "A0"),
        ("P2", None, "A1"),
    ]
    assert crews[0].shifts[0] == (datetime(2026, 11, 23, 0, tzinfo=UTC), datetime(2026, 11, 23, 4, tzinfo=UTC))
    assert read.people[1].valid_until == date(2027, 2, 15)


@pytest.mark.parametrize(
    ("change", "aircraft", "said"),
    [
        ({"people": []}, "mavic3e", "nobody may fly"),
        ({}, "m350-h20t", "class small"),
        ({"vehicles": 0}, "mavic3e", "no vehicle"),
        ({"aircraft": []}, "mavic3e", "no mavic3e"),
        ({"people": [{"person": "x", "role": "cook"}]}, "mavic3e", r"people\.0\.role"),
        ({"date": "soon"}, "mavic3e", "date"),
        ({"aircraft": [{"aircraft": "A1", "model": "mavic3e"}] * 2}, "mavic3e", "A1 is listed twice"),
        ({"people": [{"person": "P1", "role": "pilot", "shift": ["18:00-14:00"]}]}, "mavic3e", "nobody may fly"),
    ],
)
def test_a_roster_without_crews_is_refused(tmp_path: Path, change: dict[str, Any], aircraft: str, said: str) -> None:
    with pytest.raises(MissionsError, match=said):
        crews_of(read_roster(roster(tmp_path / "r.json", **change)), load_profile(aircraft))


def test_a_night_shift_runs_past_midnight_and_a_slip_of_the_pen_does_not(tmp_path: Path) -> None:
    night = Person(person="P1", role="pilot", shift=("21:30-02:00",))
    ((begin, end),) = shifts_of(night, date(2026, 11, 23))
    assert begin == datetime(2026, 11, 23, 13, 30, tzinfo=UTC) and end - begin == timedelta(hours=4.5)
    with pytest.raises(MissionsError, match=r"18:00-14:00.*ends before it begins"):
        shifts_of(night.model_copy(update={"shift": ("18:00-14:00",)}), date(2026, 11, 23))


def test_shifts_too_short_are_the_reason_given(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 600, 600), {})])
    people = [{"person": "P1", "role": "pilot", "licence": "light", "shift": ["08:00-08:05"]}]
    request = PlanRequest(area, roster=roster(tmp_path / "r.json", people=people), aircraft="mavic3e", gsd_m=0.03)
    with pytest.raises(MissionsError, match=r"nothing of .*: the shifts of 2026-11-23 have no room for them"):
        plan_patrol(request)


@pytest.mark.slow
def test_crews_without_a_minute_to_spare_wait_with_all_that_follows(draw: Draw, tmp_path: Path) -> None:
    """Worn batteries over one field: sorties follow one another at once and the crews cross all day."""
    area = draw("a.geojson", [(shapely.box(0, 0, 1300, 1300), {})])
    aircraft = [{"aircraft": f"A{n}", "model": "mavic3e", "batteries": 9, "battery_health": 0.35} for n in range(3)]
    file = roster(tmp_path / "r.json", aircraft=aircraft, vehicles=3)
    result = plan_patrol(PlanRequest(area, roster=file, aircraft="mavic3e", gsd_m=0.03))
    export_plan(result, tmp_path / "plan")
    assert not any("come nearer" in item.why for item in result.refused)
    assert verify_plan(tmp_path / "plan", area).meeting_s == 0
    assert {sortie.crew for sortie in result.sorties} == {"C01", "C02", "C03"}


def hills(path: Path) -> Path:
    """A raster of ground heights with a hill of 60 m, in UTM."""
    to = Transformer.from_crs(4326, 32650, always_xy=True)
    x0, y0 = to.transform(*FRAME.to_lonlat([(-1500, 4500)])[0])
    rows, columns = np.mgrid[0:220, 0:220] * 30.0
    heights = 70 + 60 * np.exp(-(((columns - 3000) / 900) ** 2 + ((rows - 3000) / 900) ** 2)) + 0.002 * columns
    profile = {"driver": "GTiff", "width": 220, "height": 220, "count": 1, "dtype": "float32", "crs": 32650}
    with rasterio.open(path, "w", transform=from_origin(x0, y0, 30, 30), **profile) as raster:
        raster.write(heights.astype("float32"), 1)
    return path


@pytest.mark.slow
def test_over_rough_ground_no_sortie_has_more_items_than_the_controller_takes(draw: Draw, tmp_path: Path) -> None:
    """Waypoints that follow the ground count as well: these lanes made 244 items, and a remote froze above 200."""
    area = draw("a.geojson", [(shapely.box(0, 0, 1800, 1500), {})])
    rows, columns = np.mgrid[0:60, 0:60]
    heights = 70 + 40 * np.sin(columns / 1.5) * np.cos(rows / 1.7)
    profile = {"driver": "GTiff", "width": 60, "height": 60, "count": 1, "dtype": "float32", "crs": 4326}
    with rasterio.open(tmp_path / "d.tif", "w", transform=from_origin(118.32, 35.09, 5e-4, 5e-4), **profile) as raster:
        raster.write(heights.astype("float32"), 1)
    result = plan_patrol(PlanRequest(area, dem=tmp_path / "d.tif", gsd_m=0.03, aircraft="mavic3e"))
    plan = export_plan(result, tmp_path / "plan")
    items = [len(read_waypoints(tmp_path / "plan" / sortie.files.waypoints)) for sortie in plan.sorties]
    assert max(items) <= load_profile("mavic3e").max_waypoints and result.refused == ()
    verdict = verify_plan(tmp_path / "plan", area, dem=tmp_path / "d.tif", samples=20_000)
    assert verdict.faults == () and verdict.seen_as_due >= 0.999


def test_a_day_over_hills_with_a_zone_in_the_afternoon(draw: Draw, tmp_path: Path) -> None:
    area = draw("a.geojson", [(shapely.box(0, 0, 3000, 2600), {})])
    sites = draw("s.geojson", [(shapely.Point(x, y), {}) for x in (700, 2300) for y in (600, 1900)])
    event = {"kind": "no-fly", "name": "event", "from": "2026-11-23T05:00:00Z", "to": "2026-11-23T10:00:00Z"}
    zones = draw("z.geojson", [(shapely.box(1300, 300, 1900, 900), event)])
    dem = hills(tmp_path / "dem.tif")
    request = PlanRequest(
        area,
        zones=zones,
        dem=dem,
        sites=read_sites(sites),
        roster=roster(tmp_path / "r.json", line_of_sight_m=1700),
        aircraft="mavic3e",
        gsd_m=0.03,
    )
    result = plan_patrol(request)
    plan = export_plan(result, tmp_path / "plan")
    verdict = verify_plan(tmp_path / "plan", area, zones, dem=dem, samples=20_000)
    assert verdict.faults == () and verdict.seen_as_due >= 0.999
    assert {crew for crew in (s.crew for s in plan.sorties)} == {"C01", "C02"}
    busy = [day.busy_s for day in result.days]
    assert max(busy) <= 1.25 * np.mean(busy)
    by_crew: dict[str, list[Any]] = {}
    for sortie in plan.sorties:
        by_crew.setdefault(sortie.crew, []).append(sortie)
    for sorties in by_crew.values():
        for before, after in itertools.pairwise(sorties):
            assert after.start_utc - before.start_utc >= timedelta(seconds=before.duration_s + 239)
    for sortie in result.sorties:
        shift = [(0, 4), (6, 10)]
        begin = (sortie.start_utc - datetime(2026, 11, 23, tzinfo=UTC)).total_seconds() / 3600
        assert any(a <= begin and begin + sortie.duration_s / 3600 <= b for a, b in shift)
        assert sortie.home[2] > 60
        assert float(np.ptp(sortie.route.height_rel_m)) < 80
    assert any(float(np.ptp(s.route.height_rel_m)) > 20 for s in result.sorties)


def test_ground_heights_are_interpolated_and_gaps_named(tmp_path: Path) -> None:
    terrain = Terrain.open(hills(tmp_path / "dem.tif"))
    top = terrain.at(FRAME.to_lonlat([(1500, 1500)]))[0]
    assert top == pytest.approx(136, abs=3)
    with pytest.raises(MissionsError, match="does not reach"):
        terrain.at(np.array([[119.5, 35.0]]))
    with pytest.raises(MissionsError, match="no raster"):
        Terrain.open(tmp_path / "none.tif")


def test_a_corridor_with_bends_is_seen_whole_by_a_brigade(draw: Draw, tmp_path: Path) -> None:
    road = draw("a.geojson", [(shapely.LineString([(0, 0), (1200, 100), (1700, 900)]), {})])
    sites = draw("s.geojson", [(shapely.Point(900, -80), {})])
    request = PlanRequest(
        road,
        product="corridor",
        width_m=200.0,
        sites=read_sites(sites),
        roster=roster(tmp_path / "r.json"),
        aircraft="mavic3e",
        gsd_m=0.03,
    )
    result = plan_patrol(request)
    assert result.coverage.seen_once >= 0.999
    assert not [item for item in result.refused if "lane" in item.what or "sorties" in item.what]
