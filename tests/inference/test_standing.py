"""With no earlier day: what stands outside everything on record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.geometry import mapping, shape

from inference.detect import DetectRequest, detect_patrol
from inference.errors import InferenceError
from inference.heights import open_surfaces
from inference.proposals import Proposal
from inference.standing import beyond, read_registered
from tests.inference.conftest import CRS, ORIGIN, WriteRaster


def _proposal(polygon: shapely.Polygon) -> Proposal:
    return Proposal(polygon, polygon.area, 0.9, 0.95, {})


def test_only_what_lies_outside_the_record_is_left() -> None:
    lawful, extended, alone = shapely.box(0, 0, 10, 8), shapely.box(30, 0, 46, 8), shapely.box(60, 0, 64, 4)
    record = [shapely.box(-0.5, -0.5, 10.2, 8.5), shapely.box(30, 0, 40, 8)]
    parts = beyond([_proposal(p) for p in (lawful, extended, alone)], record)
    assert [round(p.area_m2) for p in parts] == [round(4.5 * 8), 16]
    assert all(p.mean == 0.9 for p in parts)
    assert len(beyond([_proposal(lawful)], [])) == 1


def test_the_rise_above_the_ground_beside(write_raster: WriteRaster) -> None:
    heights = np.full((120, 120), 50.0, np.float32)
    heights[40:60, 40:60] = 53.0
    heights[40:60, 66:80] = 56.0
    path = write_raster("dsm.tif", heights, 0.5)
    house = shapely.box(ORIGIN[0] + 20, ORIGIN[1] - 30, ORIGIN[0] + 30, ORIGIN[1] - 20)
    other = shapely.box(ORIGIN[0] + 33, ORIGIN[1] - 30, ORIGIN[0] + 40, ORIGIN[1] - 20)
    with open_surfaces(path, None, CRS) as surfaces:
        rise = surfaces.above_ground(house, [house, other])
        assert rise is not None
        assert rise.median_m == pytest.approx(3.0, abs=0.1)
        assert surfaces.above_ground(shapely.box(*(v + 9e4 for v in house.bounds))) is None


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="no registered buildings at"):
        read_registered(tmp_path / "gone.geojson", CRS)
    bad = tmp_path / "bad.geojson"
    bad.write_text('{"type": "FeatureCollection"}')
    with pytest.raises(InferenceError, match="not a GeoJSON FeatureCollection"):
        read_registered(bad, CRS)
    metres = {"type": "Feature", "properties": {}, "geometry": mapping(shapely.box(5e5, 38e5, 5e5 + 9, 38e5 + 9))}
    bad.write_text(json.dumps({"type": "FeatureCollection", "features": [metres]}))
    with pytest.raises(InferenceError, match="longitude, latitude"):
        read_registered(bad, CRS)


@pytest.mark.slow
def test_a_building_on_no_record_is_found_in_a_town(tmp_path: Path) -> None:
    """Every standing building of a small town is on record but the two largest of moderate size."""
    import rasterio

    from simulators.town import build_town

    town = build_town(7302, size_m=(110.0, 110.0))
    ortho = town.day(0).render_ortho(0.1)
    profile = {"driver": "GTiff", "crs": CRS, "transform": ortho.transform, "dtype": "uint8", "count": 3}
    rgb = np.moveaxis(np.asarray(ortho.rgb), -1, 0)
    with rasterio.open(tmp_path / "m.tif", "w", width=rgb.shape[2], height=rgb.shape[1], **profile) as file:
        file.write(rgb)
    heights = np.asarray(ortho.dsm)[::3, ::3].astype(np.float32)
    profile |= {"dtype": "float32", "count": 1, "transform": ortho.transform @ Affine.scale(3)}
    with rasterio.open(tmp_path / "d.tif", "w", width=heights.shape[1], height=heights.shape[0], **profile) as file:
        file.write(heights, 1)
    inside = [b.polygon for b in town.things.buildings if max(abs(b.x), abs(b.y)) < 45]
    inside.sort(key=lambda p: -p.area)
    illegal = [p for p in inside if p.area < 200][:2]
    on_record = [b.polygon for b in town.things.buildings if not any(b.polygon.equals(p) for p in illegal)]

    def lonlat(p: shapely.Polygon) -> shapely.Polygon:
        return shapely.transform(p, lambda xy: np.array([town.lonlat(x, y) for x, y in xy]))

    record = [{"type": "Feature", "properties": {}, "geometry": mapping(lonlat(p))} for p in on_record]
    (tmp_path / "r.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": record}))
    sites = detect_patrol(
        DetectRequest(mosaic=tmp_path / "m.tif", dsm=tmp_path / "d.tif", registered=tmp_path / "r.geojson")
    )
    found = [f for f in sites.features if f.properties.family == "construction"]
    to_metres = Transformer.from_crs("EPSG:4326", CRS, always_xy=True).transform
    shapes = [shapely.transform(shape(f.geometry), to_metres, interleaved=False) for f in found]
    hits = 0
    for p in illegal:
        place = shapely.transform(lonlat(p), to_metres, interleaved=False)
        hits += any(s.intersection(place).area > 0.4 * place.area for s in shapes)
    assert hits == len(illegal)
    assert len(found) <= len(illegal) + 3
