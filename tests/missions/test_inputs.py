"""What people hand in: areas, zones, obstacles, numbers; wrong ones are named with a remedy."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import openpyxl
import pyogrio
import pytest
import shapely

from missions.aircraft import load_profile, profile_names
from missions.area import read_area
from missions.errors import MissionsError
from missions.planner import PlanRequest, plan_patrol
from missions.points import read_points
from missions.ulid import new_ulid
from missions.vector import read_features
from missions.zones import read_obstacles, read_zones
from tests.missions.conftest import FRAME, Draw

SQUARE = shapely.box(0, 0, 400, 400)


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_consistent(name: str) -> None:
    profile = load_profile(name)
    assert profile.empty_mass_kg < profile.max_takeoff_mass_kg
    assert profile.cruise_mps < profile.max_airspeed_mps
    light = profile.empty_mass_kg <= 4 and profile.max_takeoff_mass_kg <= 7
    assert profile.uas_class == ("light" if light else "small")
    assert 0.02 < profile.camera.gsd_at_m(100.0) < 0.1


def test_an_unknown_profile_lists_the_known() -> None:
    with pytest.raises(MissionsError, match="mavic3e"):
        load_profile("spitfire")


def test_ulids_sort_by_time_and_differ() -> None:
    minted = [new_ulid() for _ in range(50)]
    assert len(set(minted)) == 50
    assert all(len(value) == 26 for value in minted)
    assert [value[:9] for value in minted] == sorted(value[:9] for value in minted)


@pytest.mark.parametrize(("driver", "suffix"), [("GPKG", "gpkg"), ("ESRI Shapefile", "shp"), ("KML", "kml")])
def test_formats_and_projections_give_the_same_area(tmp_path: Path, draw: Draw, driver: str, suffix: str) -> None:
    reference = read_area(draw("a.geojson", [(SQUARE, {})]))
    path = tmp_path / f"a.{suffix}"
    degrees = FRAME.geographic(SQUARE)
    if driver == "KML":
        ring = " ".join(f"{x},{y},0" for x, y in degrees.exterior.coords)
        path.write_text(
            '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><Polygon><outerBoundaryIs><LinearRing>'
            f"<coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Document></kml>"
        )
    else:
        from pyproj import Transformer

        to = Transformer.from_crs(4326, 4548, always_xy=True)
        moved = shapely.transform(degrees, lambda c: np.column_stack(to.transform(c[:, 0], c[:, 1])))
        pyogrio.raw.write(
            path,
            shapely.to_wkb(np.array([moved])),
            [np.array(["x"], dtype=object)],
            ["name"],
            geometry_type="Polygon",
            crs="EPSG:4548",
            driver=driver,
        )
    assert read_area(path).symmetric_difference(reference).area < 1e-9 * reference.area + 1e-12
    if driver == "KML":
        with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
            archive.write(path, "doc.kml")
        assert read_area(tmp_path / "a.kmz").equals_exact(reference, 1e-9)


def geojson(path: Path, geometry: dict) -> Path:
    path.write_text(json.dumps({"type": "Feature", "properties": {"name": "west bank"}, "geometry": geometry}))
    return path


def test_a_self_crossing_area_is_named(tmp_path: Path) -> None:
    ring = [[118.3, 35.0], [118.31, 35.01], [118.31, 35.0], [118.3, 35.01], [118.3, 35.0]]
    path = geojson(tmp_path / "bow.geojson", {"type": "Polygon", "coordinates": [ring]})
    with pytest.raises(MissionsError, match=r"west bank.*Self-intersection.*redraw"):
        read_area(path)


def test_a_hole_outside_its_shell_is_named(tmp_path: Path) -> None:
    shell = [[118.3, 35.0], [118.31, 35.0], [118.31, 35.01], [118.3, 35.0]]
    hole = [[118.4, 35.0], [118.41, 35.0], [118.41, 35.01], [118.4, 35.0]]
    with pytest.raises(MissionsError, match=r"west bank.*Hole lies outside"):
        read_area(geojson(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [shell, hole]}))


def test_inverted_rings_are_the_same_area(tmp_path: Path) -> None:
    shell = [[118.3, 35.0], [118.31, 35.0], [118.31, 35.01], [118.3, 35.01], [118.3, 35.0]]
    hole = [[118.303, 35.003], [118.303, 35.006], [118.306, 35.006], [118.306, 35.003], [118.303, 35.003]]
    plain = read_area(geojson(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [shell, hole]}))
    inverted = {"type": "Polygon", "coordinates": [shell[::-1], hole[::-1]]}
    assert shapely.equals(read_area(geojson(tmp_path / "b.geojson", inverted)), plain)


def test_swapped_coordinates_are_recognised(tmp_path: Path) -> None:
    ring = [[35.0, 118.3], [35.01, 118.3], [35.01, 118.31], [35.0, 118.3]]
    with pytest.raises(MissionsError, match=r"swapped.*longitude first"):
        read_area(geojson(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [ring]}))


def test_metres_without_a_system_are_recognised(tmp_path: Path) -> None:
    ring = [[623000, 3886000], [624000, 3886000], [624000, 3887000], [623000, 3886000]]
    with pytest.raises(MissionsError, match="not degrees"):
        read_area(geojson(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [ring]}))


def test_a_shapefile_without_a_system_is_refused(tmp_path: Path) -> None:
    wkb = shapely.to_wkb(np.array([FRAME.geographic(SQUARE)]))
    pyogrio.raw.write(tmp_path / "a.shp", wkb, [], [], geometry_type="Polygon", crs=None, driver="ESRI Shapefile")
    with pytest.raises(MissionsError, match=r"no known coordinate system"):
        read_area(tmp_path / "a.shp")


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (shapely.box(0, 0, 3, 3), "at least 25 m2"),
        (shapely.box(0, 0, 200_000, 200_000), "at most 5,000 km2"),
        (shapely.Point(1, 1), "an area is a polygon"),
    ],
)
def test_an_area_of_nothing_or_of_a_country_is_refused(draw: Draw, shape: shapely.Geometry, said: str) -> None:
    with pytest.raises(MissionsError, match=said):
        read_area(draw("a.geojson", [(shape, {})]))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.geojson", None, "no file at"),
        ("a.txt", "x", "unknown kind"),
        ("a.geojson", "{", "cannot be read"),
        ("a.geojson", '{"type": "FeatureCollection", "features": []}', "no feature|cannot be read"),
        ("a.kmz", "no zip", "not a KMZ"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(MissionsError, match=said):
        read_features(tmp_path / name)


def test_zones_are_read_with_their_times(draw: Draw) -> None:
    path = draw(
        "z.geojson",
        [
            (
                SQUARE,
                {"kind": "no-fly", "name": "event", "from": "2026-11-23T05:00:00Z", "to": "2026-11-23T18:00:00+08:00"},
            ),
            (SQUARE, {"kind": "ceiling", "max_agl_m": 60}),
        ],
    )
    event, ceiling = read_zones(path)
    assert event.to_utc == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert not event.active(datetime(2026, 11, 23, 10, 1, tzinfo=UTC), datetime(2026, 11, 23, 11, tzinfo=UTC))
    assert event.active(datetime(2026, 11, 23, 4, tzinfo=UTC), datetime(2026, 11, 23, 5, 30, tzinfo=UTC))
    assert ceiling.max_agl_m == 60


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"kind": "nofly"}, "kind is 'nofly'.*no-fly"),
        ({}, "kind is None"),
        ({"kind": "ceiling"}, "needs max_agl_m"),
        ({"kind": "ceiling", "max_agl_m": "high"}, "max_agl_m is 'high'"),
        ({"kind": "no-fly", "from": "tomorrow"}, "from is 'tomorrow'"),
        ({"kind": "no-fly", "from": "2026-11-24T00:00:00Z", "to": "2026-11-23T00:00:00Z"}, "before it begins"),
    ],
)
def test_a_wrong_zone_is_named(draw: Draw, properties: dict, said: str) -> None:
    with pytest.raises(MissionsError, match=said):
        read_zones(draw("z.geojson", [(SQUARE, properties)]))


def test_obstacles_of_all_kinds_and_unknown_heights(draw: Draw) -> None:
    line = shapely.LineString([(0, 0), (100, 0)])
    items = [(shapely.Point(5, 5), {"top_agl_m": 40, "name": "mast"}), (line, {"top_agl_m": None}), (SQUARE, {})]
    mast, line, block = read_obstacles(draw("o.geojson", items))
    assert (mast.top_agl_m, line.top_agl_m, block.top_agl_m) == (40.0, None, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gsd_m": 0.5}, r"between 15 and 120 m it gives 1.2 to 9.8 cm"),
        ({"gsd_m": 0.001}, "would need 1 m"),
        ({"front_overlap": 75.0}, "share from 0 to 0.95"),
        ({"crews": 0}, "at least 1"),
        ({"wind_mps": 25.0}, "at most 10 m/s"),
        ({"sites": ((35.07, 118.33),)}, "longitude first"),
        ({"sites": ((118.33, 36.9),)}, "km from the area"),
        ({"aircraft": "kite"}, "choose one of"),
        ({"start_utc": datetime(2026, 1, 1)}, "no time zone"),
        ({"objective": "beauty"}, "objective"),
    ],
)
def test_wrong_numbers_are_named(town: Path, change: dict, said: str) -> None:
    with pytest.raises(MissionsError, match=said):
        plan_patrol(PlanRequest(town, **change))


def test_a_zone_that_swallows_the_area_is_refused(town: Path, draw: Draw) -> None:
    zones = draw("z.geojson", [(shapely.box(-100, -100, 500, 500), {"kind": "no-fly", "name": "airport"})])
    with pytest.raises(MissionsError, match=r"airport.*close all of.*move the area"):
        plan_patrol(PlanRequest(town, zones=zones))


def test_a_site_inside_a_zone_is_refused(town: Path, draw: Draw) -> None:
    zones = draw("z.geojson", [(shapely.box(100, 100, 200, 200), {"kind": "no-fly", "name": "school"})])
    site = tuple(FRAME.to_lonlat([(150, 150)])[0])
    with pytest.raises(MissionsError, match="lies inside or too near"):
        plan_patrol(PlanRequest(town, zones=zones, sites=(site,)))


def shapefile(folder: Path, name: str = "片区") -> Path:
    """A square with a name in GB 18030 and nothing that says so, as offices send it."""
    wkb = np.array([shapely.to_wkb(FRAME.geographic(shapely.box(0, 0, 300, 300)))], dtype=object)
    field = np.array([name], dtype=object)
    path = folder / "area.shp"
    pyogrio.raw.write(
        path, wkb, [field, np.array(["no-fly"], dtype=object)], ["name", "kind"],
        geometry_type="Polygon", crs="EPSG:4326", driver="ESRI Shapefile", encoding="gb18030",
    )  # fmt: skip
    path.with_suffix(".cpg").unlink(missing_ok=True)
    return path


def test_chinese_names_of_a_shapefile_without_cpg_are_read(tmp_path: Path) -> None:
    assert [zone.name for zone in read_zones(shapefile(tmp_path, "机场净空区"))] == ["机场净空区"]


def test_a_zipped_shapefile_is_found_in_its_folder(tmp_path: Path) -> None:
    path = shapefile(tmp_path)
    with zipfile.ZipFile(tmp_path / "area.zip", "w") as archive:
        for part in tmp_path.glob("area.*"):
            if part.suffix != ".zip":
                archive.write(part, f"数据 2026/{part.name}")
    assert read_area(tmp_path / "area.zip").equals(read_area(path))
    with zipfile.ZipFile(tmp_path / "area.zip", "a") as archive:
        archive.write(path, "other.shp")
    with pytest.raises(MissionsError, match="holds 2 shapefiles"):
        read_area(tmp_path / "area.zip")
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(MissionsError, match="not a ZIP archive"):
        read_area(tmp_path / "bad.zip")


def test_every_document_of_a_kmz_without_a_root_is_read(tmp_path: Path) -> None:
    def document(x: float) -> str:
        ring = " ".join(f"{a:.8f},{b:.8f}" for a, b in FRAME.to_lonlat([(x, 0), (x + 300, 0), (x + 300, 300), (x, 0)]))
        return (
            '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder><Folder><Placemark><Polygon><outerBoundaryIs>'
            f"<LinearRing><coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>"
            "</Folder></Document></kml>"
        )

    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.writestr("one.kml", document(0))
        archive.writestr("two.kml", document(1000))
    assert len(shapely.get_parts(read_area(tmp_path / "a.kmz"))) == 2


def test_an_area_beyond_the_permitted_volume_is_named_and_half_of_one_told(town: Path, draw: Draw) -> None:
    elsewhere = draw("p.geojson", [(shapely.box(5000, 0, 6000, 900), {"kind": "permitted", "name": "申请空域"})])
    with pytest.raises(MissionsError, match=r"outside the permitted zones \(申请空域\).*apply for"):
        plan_patrol(PlanRequest(town, zones=elsewhere, gsd_m=0.08))
    half = draw("h.geojson", [(shapely.box(-50, -50, 150, 450), {"kind": "permitted", "name": "half"})])
    result = plan_patrol(PlanRequest(town, zones=half, gsd_m=0.08))
    assert result.coverage.seen_once < 0.8
    assert any("in no photograph: outside the permitted zones" in item.why for item in result.refused)
    low = draw("c.geojson", [(shapely.box(-50, -50, 450, 450), {"kind": "ceiling", "max_agl_m": 8, "name": "低空"})])
    with pytest.raises(MissionsError, match=r"ceilings too low to fly over safely \(低空 \(8 m\)"):
        plan_patrol(PlanRequest(town, zones=low, gsd_m=0.08))


def test_a_zone_of_the_afternoon_closes_no_morning_flight(town: Path, draw: Draw) -> None:
    morning = datetime(2026, 11, 23, 1, tzinfo=UTC)
    times = {"kind": "no-fly", "name": "drill", "from": "2026-11-23T03:00:00Z", "to": "2026-11-23T09:00:00Z"}
    zones = draw("z.geojson", [(shapely.box(100, 100, 300, 300), times)])
    early = plan_patrol(PlanRequest(town, zones=zones, gsd_m=0.08, start_utc=morning))
    assert early.refused == () and early.task.zones == ()
    # A plan that would last into it keeps out of it from the start.
    late = plan_patrol(PlanRequest(town, zones=zones, gsd_m=0.08, start_utc=morning + timedelta(minutes=117)))
    assert [zone.name for zone in late.task.zones] == ["drill"] and any("drill" in item.why for item in late.refused)


def test_a_ledger_may_hold_degrees_minutes_seconds_and_serial_dates(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["编号", "经度", "纬度", "上次巡查"])
    for row in (["1", "118°20′15″", "35度4分12.5秒", 46000], ["2", "东经118.34", "35.07", "2026/1/2"]):
        book.active.append(row)
    book.active.append(["2", "东经118.34", "35.07", "2026/1/2"])
    book.save(tmp_path / "l.xlsx")
    first, second = read_points(tmp_path / "l.xlsx")
    assert first.lonlat == pytest.approx((118 + 20 / 60 + 15 / 3600, 35 + 4 / 60 + 12.5 / 3600))
    assert first.last_visit == date(2025, 12, 9) and second.lonlat == (118.34, 35.07)


def test_a_place_in_another_city_is_left_out_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("编号,经度,纬度\n1,118.33,35.07\nBJ-2,116.4,39.9\n3,118.331,35.07\n", "utf-8")
    result = plan_patrol(PlanRequest(points=path, gsd_m=0.06))
    assert sum(len(sortie.route.stops) for sortie in result.sorties) == 2
    (left,) = result.refused
    assert left.what.startswith("BJ-2 at 116.4") and "km from the other places" in left.why
