import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from simulators.changes import Changes
from simulators.errors import SimulatorError
from simulators.sun import Sun
from simulators.things import Surface
from simulators.town import build_town

SMALL = (120.0, 120.0)


@pytest.fixture(scope="module")
def town():
    return build_town(3, size_m=(240.0, 240.0))


@pytest.fixture(scope="module")
def busy_day(town):
    return town.day(1, sun=Sun(150, 50), changes=Changes.by_seed(5, distractors=2))


def test_a_seed_is_a_town() -> None:
    first = build_town(8, size_m=SMALL).day(1).render_ortho(0.4)
    again = build_town(8, size_m=SMALL).day(1).render_ortho(0.4)
    other = build_town(9, size_m=SMALL).day(1).render_ortho(0.4)
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.dsm, again.dsm)
    assert np.mean(np.abs(first.rgb.astype(int) - other.rgb)) > 10


def test_buildings_do_not_stand_in_each_other(town) -> None:
    bodies = [b.polygon for b in town.things.buildings]
    assert len(bodies) > 20
    for k, a in enumerate(bodies):
        assert all(a.intersection(b).area < 0.1 for b in bodies[k + 1 :])


def test_heights_are_true(busy_day) -> None:
    ortho = busy_day.render_ortho(0.2)
    inverse = ~ortho.transform
    for change in busy_day.changes:
        if change.kind != "new_building":
            continue
        x, y = change.polygon.centroid.x, change.polygon.centroid.y
        col, row = inverse @ (busy_day.town.origin[0] + x, busy_day.town.origin[1] + y)
        rise = ortho.dsm[int(row), int(col)] - busy_day.scene.terrain_at(x, y)
        assert 0.7 * change.height_m < rise < change.height_m + 0.3
        assert ortho.surface[int(row), int(col)] >= Surface.ROOF_TILE


def test_days_share_their_ground_and_differ_in_cars_and_shadows(town) -> None:
    a = town.day(0, sun=Sun(120, 45)).render_ortho(0.3)
    b = town.day(1, sun=Sun(220, 45)).render_ortho(0.3)
    still = (a.surface == b.surface) & (a.surface < Surface.ROOF_TILE)
    assert still.mean() > 0.5
    assert np.median(np.abs(a.dsm - b.dsm)) < 0.01
    assert ((a.surface == Surface.CAR) != (b.surface == Surface.CAR)).any()
    assert np.mean(np.abs(a.rgb[still].astype(int) - b.rgb[still])) > 2


def test_pixels_do_not_depend_on_the_window(town) -> None:
    """A block painted alone is the block painted within the whole."""
    day = town.day(0)
    grid = day.grid(0.25, 0.0)
    whole = day.scene.paint(grid.sub(0, 160, 0, 160))
    again = day.scene.paint(grid.sub(0, 160, 0, 160))
    assert np.array_equal(whole.rgb, again.rgb)
    part = day.scene.paint(grid.sub(40, 120, 40, 120))
    assert np.mean(whole.surface[40:120, 40:120] == part.surface) > 0.985
    assert np.median(np.abs(whole.height[40:120, 40:120] - part.height)) < 0.02


@pytest.mark.parametrize("seed", [1, 7, 42])
def test_the_demo_day_has_what_it_promises(seed: int, tmp_path: Path) -> None:
    day = build_town(seed).day(1, changes=Changes.by_seed(seed))
    day.write_truth(tmp_path / "truth.geojson")
    new = [
        f["properties"]
        for f in json.loads((tmp_path / "truth.geojson").read_text())["features"]
        if f["properties"]["new"]
    ]
    built = [p for p in new if p["family"] == "construction"]
    heaps = [p for p in new if p["family"] == "sanitation"]
    assert [p["permitted"] for p in built] == [False, False, False, True]
    assert len(heaps) == 4
    assert all(20 <= p["area_m2"] <= 200 and p["height_m"] > 2 for p in built)
    assert all(p["area_m2"] >= 1 and 0.3 <= p["height_m"] <= 1.5 for p in heaps)


def test_what_comes_stands_on_free_ground(busy_day) -> None:
    old = [b.polygon for b in busy_day.town.things.buildings]
    shapes = [c.polygon for c in busy_day.changes]
    for k, polygon in enumerate(shapes):
        assert all(not polygon.intersects(b) for b in old)
        assert all(polygon.distance(other) > 3.5 for other in shapes[k + 1 :])


def test_papers_are_in_wgs84_and_name_their_permit(busy_day, tmp_path: Path) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    busy_day.write_truth(tmp_path / "truth.geojson")
    busy_day.write_permits(tmp_path / "permits.geojson", now)
    busy_day.write_area(tmp_path / "area.geojson")
    busy_day.write_dem(tmp_path / "dem.tif")
    permits = json.loads((tmp_path / "permits.geojson").read_text())["features"]
    truth = json.loads((tmp_path / "truth.geojson").read_text())["features"]
    allowed = [f for f in truth if f["properties"]["permitted"]]
    assert [f["properties"]["permit_no"] for f in allowed] == [p["properties"]["permit_no"] for p in permits]
    assert shape(permits[0]["geometry"]).contains(shape(allowed[0]["geometry"]))
    assert permits[0]["properties"]["from"] < "2026-06-01T00:00:00Z" < permits[0]["properties"]["to"]
    area = shape(json.loads((tmp_path / "area.geojson").read_text())["features"][0]["geometry"])
    assert all(area.contains(shape(f["geometry"])) for f in truth if f["properties"]["new"])
    with rasterio.open(tmp_path / "dem.tif") as dem:
        assert dem.crs == busy_day.town.crs
        assert abs(float(dem.read(1).mean()) - 60) < 6


def test_more_than_fits_is_refused_with_the_town_and_the_remedy() -> None:
    with pytest.raises(SimulatorError, match=r"no free ground .* town 4 .* fewer"):
        build_town(4, size_m=(60.0, 60.0)).day(1, changes=Changes(1, buildings=60, smallest_m2=150))


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 100_000))
def test_any_seed_builds_and_takes_a_busy_day(seed: int) -> None:
    day = build_town(seed, size_m=(200.0, 200.0)).day(
        1, changes=Changes(seed, buildings=4, extensions=1, foundations=1, walls=1, garbage=4, lenient=True)
    )
    assert len(day.changes) >= 8
    assert all(change.area_m2 > 0.9 for change in day.changes)
