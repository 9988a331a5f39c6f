"""Realistic data for the web app: a simulated town on two days as mosaics, photographs of it, and candidates filed
over HTTP as the conductor files them: what truly came, and false alarms on cars, roofs and yards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.shutil import copy as raster_copy
from shapely.geometry import Polygon, box

from simulators.changes import Changes
from simulators.town import Town, TownDay, build_town

CENTRE = (118.3500, 35.0500)
GSD_M = 0.125
PHOTO_PX = (1200, 900)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description drone-dji:RelativeAltitude="+100.0"/></x:xmpmeta>'
PATROL, BASELINE = "01K9ZWEB0000000000000000B1", "01K9ZWEB0000000000000000A0"


@dataclass(frozen=True)
class Photo:
    """A photograph straight down, cut from the day's orthophoto: its place in the mosaic is its offset."""

    id: str
    file: str
    column: int
    row: int


@dataclass(frozen=True)
class Place:
    """A patrol's files and where its candidates are."""

    folder: Path
    town: Town
    day: TownDay
    photos: tuple[Photo, ...]
    size_m: float


def build_place(folder: Path, size_m: float = 160.0, seed: int = 11) -> Place:
    """Two mosaics (COG), photographs of the second day."""
    town = build_town(seed, CENTRE, (size_m, size_m))
    first = town.day(0)
    second = town.day(1, changes=Changes.by_seed(3))
    write_mosaic(first, folder / "before.tif")
    pixels = write_mosaic(second, folder / "after.tif")
    return Place(folder, town, second, take_photos(pixels, folder / "frames" / "S01"), size_m)


def write_mosaic(day: TownDay, path: Path) -> NDArray[np.uint8]:
    path.parent.mkdir(parents=True, exist_ok=True)
    ortho = day.render_ortho(GSD_M)
    pixels = np.asarray(ortho.rgb)
    height, width = pixels.shape[:2]
    plain = path.with_suffix(".plain.tif")
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 3, "dtype": "uint8"}
    transform = Affine(*ortho.transform[:6])
    with rasterio.open(plain, "w", crs=day.town.crs.to_wkt(), transform=transform, tiled=True, **profile) as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
    raster_copy(plain, path, driver="COG", compress="JPEG", overview_resampling="average", blocksize=512)
    plain.unlink()
    return pixels


def take_photos(pixels: NDArray[np.uint8], folder: Path) -> tuple[Photo, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    width, height = min(PHOTO_PX[0], pixels.shape[1]), min(PHOTO_PX[1], pixels.shape[0])
    photos = []
    rows = range(0, max(pixels.shape[0] - height, 0) + 1, max(height // 3, 1))
    columns = range(0, max(pixels.shape[1] - width, 0) + 1, max(width // 4, 1))
    for row in rows:
        for column in columns:
            name = f"DJI_{len(photos) + 1:04d}.JPG"
            cut = Image.fromarray(pixels[row : row + height, column : column + width])
            # As a drone's camera writes it: how high it was is what tells that nobody can be recognised.
            cut.save(folder / name, quality=88, xmp=XMP)
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            photos.append(Photo(digest, f"S01/{name}", column, row))
    return tuple(photos)


def shapes(place: Place, count: int) -> list[tuple[Polygon, dict[str, Any]]]:
    """What came, most likely first, then false alarms, in local metres."""
    found: list[tuple[Polygon, dict[str, Any]]] = []
    for change in place.day.changes:
        found.append(
            (
                change.polygon,
                {
                    "family": change.family,
                    "label": change.label,
                    "probability": 0.93,
                    "height_change_m": round(change.height_m, 1) if change.family == "construction" else None,
                    "permitted": change.permitted if change.family == "construction" else None,
                    "permit_no": f"JZ-0011-{change.number:03d}" if change.permit is not None else None,
                },
            )
        )
    found += [(one, alarm) for one, alarm in false_alarms(place, count - len(found))]
    return found[:count]


def false_alarms(place: Place, count: int) -> list[tuple[Polygon, dict[str, Any]]]:
    rng = np.random.default_rng(5)
    half = place.size_m / 2 - 12
    out: list[tuple[Polygon, dict[str, Any]]] = []
    for k in range(max(count, 0)):
        x, y = rng.uniform(-half, half, 2)
        construction = bool(rng.random() < 0.5)
        w, h = rng.uniform(2.0, 9.0, 2)
        turn = rng.uniform(0, np.pi)
        corners = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        label = ["shed", "extension", "steel_roof"][k % 3] if construction else ["litter", "waste_heap", "spoil"][k % 3]
        alarm = {
            "family": "construction" if construction else "sanitation",
            "label": label,
            "probability": round(float(rng.uniform(0.35, 0.9)), 3),
            "height_change_m": round(float(rng.normal(0.4, 0.8)), 1) if construction else None,
            "permitted": False if construction else None,
            "unsure": "影像配准偏差较大，请留意" if k % 9 == 0 else None,
        }
        out.append((Polygon(corners @ spin.T + (x, y)), alarm))
    return out


def features(place: Place, count: int) -> list[dict[str, Any]]:
    """GeoJSON features of the `sites.geojson` contract."""
    out = []
    for n, (shape, known) in enumerate(shapes(place, count), 1):
        ring = [[round(v, 8) for v in place.town.lonlat(x, y)] for x, y in shape.exterior.coords]
        frames = frames_of(place, shape)
        properties = {"n": n, "area_m2": round(shape.area, 1), "frames": frames, "seen": len(frames), **known}
        properties["looked"] = len(frames) + n % 3
        out.append(
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}
        )
    return out


def frames_of(place: Place, shape: Polygon) -> list[dict[str, Any]]:
    """The three photographs in which the thing stands nearest to the middle."""
    half = place.size_m / 2
    west, south, east, north = shape.bounds
    x0, x1 = (west + half) / GSD_M, (east + half) / GSD_M
    y0, y1 = (half - north) / GSD_M, (half - south) / GSD_M
    side = place.size_m / GSD_M
    width, height = min(PHOTO_PX[0], side), min(PHOTO_PX[1], side)
    seen = []
    for photo in place.photos:
        part = (x0 - photo.column, y0 - photo.row, x1 - photo.column, y1 - photo.row)
        if box(0, 0, width, height).contains(box(*part)):
            off = abs((part[0] + part[2]) / 2 - width / 2) + abs((part[1] + part[3]) / 2 - height / 2)
            seen.append((off, {"id": photo.id, "file": photo.file, "bbox_px": [round(v, 1) for v in part]}))
    return [frame for _, frame in sorted(seen, key=lambda one: one[0])[:3]]


def file_over_http(base: str, token: str, place: Place, count: int) -> int:
    """Registers the patrol with its files and files the candidates; gives how many were created."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{base}/api/v1", headers=headers, timeout=60) as client:
        before = {"id": BASELINE, "name": "2026-11-08-北园片区-01", "place": "兰山区北园路片区",
                  "paths": {"mosaic": str(place.folder / "before.tif")}}  # fmt: skip
        after = {"id": PATROL, "name": "2026-11-22-北园片区-01", "place": "兰山区北园路片区",
                 "baseline_patrol_id": BASELINE, "flown_at": datetime(2026, 11, 22, 0, 40, tzinfo=UTC).isoformat(),
                 "pilot": "王磊", "aircraft": "Mavic 3E 07 号", "approval_no": "临空批〔2026〕118 号",
                 "paths": {"mosaic": str(place.folder / "after.tif"), "baseline": str(place.folder / "before.tif"),
                           "frames": str(place.folder / "frames")}}  # fmt: skip
        for body in (before, after):
            client.post("/patrols", json=body).raise_for_status()
        collection = {"type": "FeatureCollection", "schema_version": 1, "patrol_id": PATROL,
                      "baseline_patrol_id": BASELINE, "models": {"construction": "seeded-1"},
                      "features": features(place, count)}  # fmt: skip
        answer = client.post("/sites", json=collection)
        answer.raise_for_status()
        return sum(one["outcome"] == "created" for one in answer.json()["taken"])
