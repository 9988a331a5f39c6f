"""Simulated towns for benchmarks of detection: two days as mosaics, surfaces, permits and truth, by seed."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import Affine
from shapely.geometry import mapping, shape

from imagery.stitch import StitchOptions, stitch
from inference.change import global_shift
from inference.detect import BaselineFiles, DetectRequest
from inference.sites import SiteCollection
from inference.training.scoring import Case, Found, TrueThing
from simulators.changes import Changes
from simulators.clutter import Clutter
from simulators.errors import SimulatorError
from simulators.survey import write_patrol
from simulators.town import Town, TownDay, build_town

# Every simulated town of the benchmarks stands here.
CRS = "EPSG:32650"


@dataclass(frozen=True)
class TownFiles:
    """One town on two days, as a stitcher would leave it."""

    folder: Path
    request: DetectRequest
    truth: tuple[TrueThing, ...]
    area_m2: float


def _write(path: Path, values: np.ndarray, crs: str, transform: Affine, lossy: bool) -> None:
    bands = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    profile = {
        "driver": "GTiff",
        "width": bands.shape[2],
        "height": bands.shape[1],
        "count": bands.shape[0],
        "dtype": bands.dtype,
        "crs": crs,
        "transform": transform,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "JPEG" if lossy else "DEFLATE",
    }
    if lossy:
        profile |= {"photometric": "YCBCR", "jpeg_quality": 90}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(bands)
        dataset.build_overviews([2, 4, 8, 16], Resampling.average)


def _disturbed(rgb: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[float, float]]:
    """Shifted by up to 2 px, gain up to 15 %, a little blur and noise: what a stitcher leaves."""
    dx, dy = rng.uniform(-2, 2, 2)
    moved = cv2.warpAffine(rgb, np.float32([[1, 0, dx], [0, 1, dy]]), rgb.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.97, 1.03, 3)
    noisy = cv2.GaussianBlur(moved, (0, 0), 0.6).astype(np.float32) * gain + rng.normal(0, 2.5, rgb.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), (float(dx), float(dy))


def _surface(dsm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A surface as matching of frames gives it: half a metre coarse, smooth at edges, waves and noise of 0.2 m."""
    coarse = cv2.resize(dsm, None, fx=1 / 4, fy=1 / 4, interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(cv2.medianBlur(coarse.astype(np.float32), 3), (0, 0), 1.5)
    waves = cv2.resize(
        rng.normal(0, 0.15, (8, 8)).astype(np.float32), coarse.shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    noise = cv2.GaussianBlur(rng.normal(0, 0.6, coarse.shape).astype(np.float32), (0, 0), 1.5)
    return (coarse + waves + noise + rng.normal(0, 0.5)).astype(np.float32)


def _things(day: TownDay, town: Town) -> tuple[TrueThing, ...]:
    east, north = town.origin
    found = [
        TrueThing(
            shapely.affinity.translate(c.polygon if c.kind != "wall" else c.polygon.buffer(0.1), east, north),
            c.family,
            wanted=not c.permitted,
            area_m2=c.area_m2,
        )
        for c in day.changes
    ]
    # Piles that always stood on building sites count neither way.
    found += [
        TrueThing(shapely.affinity.translate(h.polygon, east, north), "sanitation", neutral=True)
        for h in town.things.heaps
    ]
    return tuple(found)


def _permits(day: TownDay, town: Town, path: Path) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": mapping(shapely.transform(c.permit, lambda xy: np.array([town.lonlat(x, y) for x, y in xy]))),
            "properties": {"permit_no": f"LY-{c.number:03d}", "max_height_m": c.permit_height_m},
        }
        for c in day.changes
        if c.permit is not None
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


def _dressed(town: Town, changes: Changes, rich: bool) -> tuple[Town, Changes, Clutter | None]:
    """A town as it is, or `rich`: with clutter that moves, every kind of roof and dump, as `write_patrol` does it."""
    if not rich:
        return town, changes, None
    return town.restyled(town.seed), replace(changes, rich=True, lenient=True), Clutter(town.seed)


def write_town(
    seed: int, folder: Path, size_m: float, changes: Changes, gsd_m: float = 0.08, rich: bool = False
) -> TownFiles:
    """Renders two days straight down and leaves what a stitcher would, imperfections included."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 404])
    town, wanted, clutter = _dressed(build_town(seed, size_m=(size_m, size_m)), changes, rich)
    days = (town.day(0, clutter=clutter), town.day(1 + seed % 5, changes=wanted, clutter=clutter))
    crs = f"EPSG:{town.crs.to_epsg()}"
    for name, day in zip(("old", "new"), days, strict=True):
        ortho = day.render_ortho(gsd_m)
        rgb, _ = _disturbed(np.asarray(ortho.rgb), rng)
        _write(folder / f"{name}.tif", rgb, crs, ortho.transform, lossy=True)
        coarse = _surface(np.asarray(ortho.dsm), rng)
        step = np.asarray(ortho.dsm).shape[0] / coarse.shape[0]
        _write(folder / f"{name}-dsm.tif", coarse, crs, ortho.transform * Affine.scale(step), lossy=False)
    _permits(days[1], town, folder / "permits.geojson")
    request = DetectRequest(
        mosaic=folder / "new.tif",
        dsm=folder / "new-dsm.tif",
        baseline=BaselineFiles(mosaic=folder / "old.tif", dsm=folder / "old-dsm.tif"),
        permits=folder / "permits.geojson",
    )
    return TownFiles(folder, request, _things(days[1], town), size_m * size_m)


def _stitched(day: Path, baseline: Path | None) -> None:
    if not (day / "mosaic.json").is_file():
        stitch(day / "frames", day / "mosaic.tif", StitchOptions(dense=True, baseline=baseline))


def _request(now: Path, then: Path, permits: Path | None) -> DetectRequest:
    return DetectRequest(
        mosaic=now / "mosaic.tif",
        poses=now / "poses.json",
        dsm=now / "dsm.tif",
        frames_dir=now / "frames",
        baseline=BaselineFiles(then / "mosaic.tif", then / "dsm.tif", then / "poses.json", then / "frames"),
        permits=permits,
    )


def busy(seed: int) -> Changes:
    """A day with every kind of change, few enough that a small town has room for them."""
    return Changes.by_seed(
        seed, buildings=5, permitted=2, extensions=2, foundations=1, garbage=8, spoil=2, litter=1, smallest_m2=6.0
    )


def roomy_m(seed: int, size_m: float, rich: bool = False) -> float:
    """The side of a town that has room for its changes: `size_m`, or as much larger as it takes, and says so."""
    for larger in range(0, 121, 30):
        town, wanted, clutter = _dressed(build_town(seed, size_m=(size_m + larger, size_m + larger)), busy(seed), rich)
        try:
            town.day(1, changes=wanted, clutter=clutter)
        except SimulatorError as error:
            print(f"town {seed} at {size_m + larger:.0f} m: {error}", flush=True)
            continue
        return size_m + larger
    raise SimulatorError(
        f"town {seed} has no room for its changes at {size_m:.0f} to {size_m + 120:.0f} m: give --size-m"
    )


def offset_m(seed: int, size_m: float, folder: Path, rich: bool = False) -> tuple[float, float]:
    """Where a town's mosaic lies relative to the truth (east, north): by registering it with the true orthophoto.

    A plain receiver's mosaic is a metre or two off as a whole. How well it is placed is the stitcher's bar; how well
    things are outlined on it is ours, so the truth is laid onto the mosaic. Kept beside the mosaic that it is of.
    """
    kept, mosaic = folder / "offset.json", folder / "day1" / "mosaic.tif"
    if kept.is_file() and kept.stat().st_mtime_ns > mosaic.stat().st_mtime_ns:
        east, north = json.loads(kept.read_text(encoding="utf-8"))
        return float(east), float(north)
    town, wanted, clutter = _dressed(build_town(seed, size_m=(size_m, size_m)), busy(seed), rich)
    ortho = town.day(1, season="summer", changes=wanted, clutter=clutter).render_ortho(0.2)
    true = folder / "true.tif"
    _write(true, np.asarray(ortho.rgb), f"EPSG:{town.crs.to_epsg()}", ortho.transform, lossy=False)
    shift = global_shift(mosaic, true)
    if shift.why is not None:
        raise RuntimeError(f"{folder}: the mosaic could not be laid on the true orthophoto: {shift.why}")
    kept.write_text(json.dumps([shift.dx_px, -shift.dy_px]), encoding="utf-8")
    return shift.dx_px, -shift.dy_px


def town_from_frames(seed: int, folder: Path, size_m: float, rich: bool = False) -> TownFiles:
    """Two days photographed, stitched one onto the other: the whole pipeline. What is in `folder` is not made again."""
    then, now = folder / "day0", folder / "day1"
    size_m = roomy_m(seed, size_m, rich)
    if not (now / "mosaic.json").is_file():
        write_patrol(folder, seed, size_m=(size_m, size_m), changes=busy(seed), rich=rich, processes=1)
    _stitched(then, None)
    _stitched(now, then / "mosaic.tif")
    to_metres = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    east, north = offset_m(seed, size_m, folder, rich)
    truth = []
    for feature in json.loads((now / "truth.geojson").read_text(encoding="utf-8"))["features"]:
        properties = feature["properties"]
        if properties["family"] not in ("construction", "sanitation"):
            continue
        if properties["family"] == "construction" and not properties["new"]:
            continue
        polygon = shapely.transform(shape(feature["geometry"]), to_metres.transform, interleaved=False)
        polygon = shapely.affinity.translate(polygon, east, north)
        truth.append(
            TrueThing(
                polygon,
                properties["family"],
                wanted=not properties.get("permitted"),
                neutral=not properties["new"],
                area_m2=properties.get("area_m2") or polygon.area,
            )
        )
    return TownFiles(folder, _request(now, then, now / "permits.geojson"), tuple(truth), size_m * size_m)


def real_pair(name: str, data: Path, folder: Path) -> DetectRequest:
    """Two flights over one unchanged place: drone against drone at Toledo, even against odd frames at Caliterra."""
    if name == "toledo":
        source = data / "toledo_two_drones"
        parts = (sorted(source.glob("DJI_*.JPG")), sorted(source.glob("1JI_*.JPG")))
    else:
        files = sorted((data / "caliterra_construction").glob("*.jpg"))
        parts = (files[::2], files[1::2])
    days = (folder / "then", folder / "now")
    for day, files in zip(days, parts, strict=True):
        (day / "frames").mkdir(parents=True, exist_ok=True)
        for file in files:
            link = day / "frames" / file.name
            if not link.exists():
                link.symlink_to(file)
    _stitched(days[0], None)
    _stitched(days[1], days[0] / "mosaic.tif")
    return _request(days[1], days[0], None)


def case_of(place: str, sites: SiteCollection, truth: tuple[TrueThing, ...], area_m2: float, crs: str = CRS) -> Case:
    """A detection beside its truth, in metres."""
    to_metres = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    found = tuple(
        Found(
            shapely.make_valid(shapely.transform(shape(f.geometry), to_metres.transform, interleaved=False)),
            f.properties.family,
            f.properties.probability,
            filed=f.properties.permitted is not True,
        )
        for f in sites.features
    )
    return Case(place, area_m2, found, truth)
