"""The whole judge on a small simulated town: two days, permits, frames, and input that cannot be judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity
from pyproj import Transformer
from rasterio.transform import Affine
from shapely.geometry import mapping, shape

from inference.detect import BaselineFiles, Budget, DetectRequest, detect_patrol, detect_photos, write_sites
from inference.errors import InferenceError
from inference.sites import SiteCollection, read_sites
from inference.training.scenes import read_scene
from tests.inference.conftest import WriteRaster, ground_texture, nadir_poses

GSD_M = 0.1
CRS = "EPSG:32650"
EAST, NORTH = 623_000.0, 3_880_000.0


def _write(path: Path, values: np.ndarray, gsd_m: float = GSD_M, east: float = EAST) -> Path:
    bands = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    profile = {"driver": "GTiff", "count": len(bands), "dtype": bands.dtype, "crs": CRS}
    profile |= {
        "width": bands.shape[2],
        "height": bands.shape[1],
        "transform": Affine(gsd_m, 0, east, 0, -gsd_m, NORTH),
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(bands)
    return path


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> tuple[DetectRequest, list[tuple[str, str, shapely.Polygon]]]:
    """A town of 110 m with new structures and heaps; truth as (family, kind, polygon in metres)."""
    from simulators.changes import Changes
    from simulators.town import build_town

    folder = tmp_path_factory.mktemp("town")
    town = build_town(7301, size_m=(110.0, 110.0))
    changes = Changes.by_seed(5, buildings=2, permitted=1, garbage=3, smallest_m2=30.0)
    days = (town.day(0), town.day(1, changes=changes))
    for name, day in zip(("old", "new"), days, strict=True):
        ortho = day.render_ortho(GSD_M)
        _write(folder / f"{name}.tif", np.asarray(ortho.rgb))
        _write(folder / f"{name}-dsm.tif", np.asarray(ortho.dsm)[::3, ::3].astype(np.float32), 3 * GSD_M)
    grid = days[1].grid(GSD_M, 0.0)
    truth = [
        (
            c.family,
            "permitted" if c.permitted else "new",
            shapely.affinity.translate(c.polygon, EAST - grid.x0, NORTH - grid.y_top),
        )
        for c in days[1].changes
    ]
    to_wgs84 = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    permits = [
        {
            "type": "Feature",
            "geometry": mapping(shapely.transform(p.buffer(1), to_wgs84.transform, interleaved=False)),
            "properties": {"permit_no": "临规 7"},
        }
        for _, kind, p in truth
        if kind == "permitted"
    ]
    (folder / "permits.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": permits}))
    request = DetectRequest(
        mosaic=folder / "new.tif",
        dsm=folder / "new-dsm.tif",
        baseline=BaselineFiles(folder / "old.tif", folder / "old-dsm.tif", patrol_id="01OLD"),
        permits=folder / "permits.geojson",
        patrol_id="01NEW",
    )
    return request, truth


@pytest.fixture(scope="module")
def found(town: tuple[DetectRequest, list]) -> SiteCollection:
    return detect_patrol(town[0])


def _metres(feature: object) -> shapely.Geometry:
    to_metres = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    geometry = shape(feature.geometry)  # type: ignore[attr-defined]
    return shapely.transform(geometry, to_metres.transform, interleaved=False)


def test_what_was_built_and_dumped_is_found_once(town: tuple[DetectRequest, list], found: SiteCollection) -> None:
    heaps = []
    for family, kind, polygon in town[1]:
        hits = [
            f
            for f in found.features
            if f.properties.family == family and _metres(f).intersection(polygon).area > 0.4 * polygon.area
        ]
        if family == "sanitation":
            heaps.append(len(hits))
            continue
        assert len(hits) == 1, (kind, polygon.centroid)
        assert hits[0].properties.permitted is (kind == "permitted")
        assert hits[0].properties.height_change_m == pytest.approx(4, abs=3)
        assert hits[0].properties.area_m2 == pytest.approx(polygon.area, rel=0.5)
    # The promise is three heaps of four; here without frames to look again.
    assert sorted(heaps) in ([0, 1, 1], [1, 1, 1])
    assert len(found.features) <= len(town[1]) + 2


def test_candidates_say_what_they_are(found: SiteCollection) -> None:
    assert (found.patrol_id, found.baseline_patrol_id) == ("01NEW", "01OLD")
    assert set(found.models) == {"change", "waste"}
    assert len(found.mosaic_sha256 or "") == 64
    assert [f.properties.n for f in found.features] == list(range(1, len(found.features) + 1))
    codes = {f.properties.family: (f.properties.model_extra or {})["matter_code"][:3] for f in found.features}
    assert codes == {"construction": "060", "sanitation": "060"}


def test_numbers_and_probabilities_are_stable(town: tuple[DetectRequest, list], found: SiteCollection) -> None:
    assert detect_patrol(town[0]) == found


def test_the_duty_officers_budget_is_kept(town: tuple[DetectRequest, list], found: SiteCollection) -> None:
    one = detect_patrol(replace(town[0], baseline=None, budget=Budget(max_candidates=1)))
    assert len(one.features) == 1
    nothing = detect_patrol(replace(town[0], baseline=None, budget=Budget(thresholds={"sanitation": 1.01})))
    assert nothing.features == ()


def test_an_unchanged_day_gives_no_structures(town: tuple[DetectRequest, list]) -> None:
    old = town[0].baseline
    assert old is not None
    same = detect_patrol(replace(town[0], mosaic=old.mosaic, dsm=old.dsm, permits=None))
    assert [f for f in same.features if f.properties.family == "construction"] == []


def test_sites_are_written_whole_and_read_back(found: SiteCollection, tmp_path: Path) -> None:
    write_sites(found, tmp_path / "a" / "sites.geojson")
    read = read_sites(tmp_path / "a" / "sites.geojson")
    assert read.model_dump(mode="json") == found.model_dump(mode="json")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["sites.geojson"]


def test_a_baseline_of_another_place_is_refused(town: tuple[DetectRequest, list], tmp_path: Path) -> None:
    elsewhere = _write(tmp_path / "far.tif", ground_texture(300), east=EAST + 5000)
    with pytest.raises(InferenceError, match="baseline of the same place"):
        detect_patrol(replace(town[0], baseline=BaselineFiles(elsewhere)))


def test_a_baseline_of_other_spacing_crs_and_extent_serves(town: tuple[DetectRequest, list], tmp_path: Path) -> None:
    """The earlier day at 15 cm, in the next UTM zone, without its northern fifth: only what both show is compared."""
    from rasterio.enums import Resampling
    from rasterio.warp import calculate_default_transform, reproject

    old = town[0].baseline
    assert old is not None
    with rasterio.open(old.mosaic) as source:
        bounds = (source.bounds.left, source.bounds.bottom, source.bounds.right, source.bounds.top - 22.0)
        transform, wide, high = calculate_default_transform(
            CRS, "EPSG:32651", source.width, source.height, *bounds, resolution=0.15
        )
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32651", "nodata": 0}
        other = tmp_path / "other.tif"
        with rasterio.open(other, "w", width=wide, height=high, transform=transform, **profile) as target:
            for band in (1, 2, 3):
                reproject(
                    rasterio.band(source, band),
                    rasterio.band(target, band),
                    resampling=Resampling.average,
                    dst_nodata=0,
                )
    sites = detect_patrol(
        replace(town[0], baseline=BaselineFiles(other), dsm=None, budget=Budget(thresholds={"construction": 0.05}))
    )
    shapes = [_metres(f) for f in sites.features if f.properties.family == "construction"]
    big = [p for f, kind, p in town[1] if f == "construction" and kind == "new" and p.bounds[3] < NORTH - 24]
    found = [any(s.intersection(p).area > 0.3 * p.area for s in shapes) for p in big]
    assert big and any(found)
    assert all(s.bounds[1] < NORTH - 20 for s in shapes)


def test_a_baseline_that_cannot_be_laid_on_is_unsure(town: tuple[DetectRequest, list], tmp_path: Path) -> None:
    noise = _write(tmp_path / "noise.tif", ground_texture(1100, 3))
    sites = detect_patrol(
        replace(town[0], baseline=BaselineFiles(noise), budget=Budget(thresholds={"construction": 0.0}))
    )
    structures = [f.properties for f in sites.features if f.properties.family == "construction"]
    assert all(s.unsure and s.probability < 0.5 for s in structures)


def test_black_and_empty_mosaics_give_nothing(write_raster: WriteRaster) -> None:
    black = write_raster("black.tif", np.zeros((700, 700, 3), np.uint8), 0.1)
    assert detect_patrol(DetectRequest(mosaic=black)).features == ()
    mask = np.zeros((700, 700), np.uint8)
    empty = write_raster("empty.tif", ground_texture(700), 0.1, mask=mask)
    assert detect_patrol(DetectRequest(mosaic=empty)).features == ()


def test_missing_files_are_named(town: tuple[DetectRequest, list], tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r"no raster at .*gone\.tif"):
        detect_patrol(replace(town[0], mosaic=tmp_path / "gone.tif"))
    with pytest.raises(InferenceError, match="no permits at"):
        detect_patrol(replace(town[0], permits=tmp_path / "gone.geojson"))


def test_a_heap_in_a_photograph_is_carried_to_the_ground(town: tuple[DetectRequest, list], tmp_path: Path) -> None:
    """A photograph cut from the later day: 1000 x 750 px at 8 cm, looking straight down on a heap."""
    import cv2

    heap = max((p for f, _, p in town[1] if f == "sanitation"), key=lambda p: p.area)
    with rasterio.open(town[0].mosaic) as dataset:
        row, col = dataset.index(heap.centroid.x, heap.centroid.y)
        window = rasterio.windows.Window(col - 400, row - 300, 800, 600)
        pixels = np.moveaxis(dataset.read(window=window, boundless=True), 0, -1)
    cv2.imwrite(str(tmp_path / "DJI_0000.JPG"), cv2.resize(pixels, (1000, 750))[..., ::-1])
    poses = nadir_poses([(heap.centroid.x, heap.centroid.y)])
    sites = detect_photos([tmp_path / "DJI_0000.JPG"], poses, budget=Budget(thresholds={"sanitation": 0.05}))
    near = [f for f in sites.features if _metres(f).distance(heap) < 1.0]
    assert len(near) == 1
    properties = near[0].properties
    x0, y0, x1, y1 = properties.frames[0].bbox_px
    assert x0 < 500 < x1
    assert y0 < 375 < y1
    assert properties.frames[0].file.endswith("DJI_0000.JPG")
    assert (properties.seen, properties.looked) == (1, 1)


def test_photographs_without_pose_or_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "DJI_0000.JPG").write_bytes(b"not a jpeg")
    with pytest.raises(InferenceError, match="does not decode"):
        detect_photos([tmp_path / "DJI_0000.JPG"], nadir_poses([(0.0, 0.0)]))
    with pytest.raises(InferenceError, match="has no pose"):
        detect_photos([tmp_path / "IMG_9.JPG"], nadir_poses([(0.0, 0.0)]))
    amsl = nadir_poses([(0.0, 0.0)]).model_copy(update={"height_reference": "amsl"})
    with pytest.raises(InferenceError, match="give ground_m"):
        detect_photos([tmp_path / "DJI_0000.JPG"], amsl)


def test_scenes_for_testing_only_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "scene.json").write_text(json.dumps({"place": "toledo-3", "source": "photograph", "gsd_m": 0.1}))
    with pytest.raises(InferenceError, match="for testing only"):
        read_scene(tmp_path, 0.1, two_days=False)
