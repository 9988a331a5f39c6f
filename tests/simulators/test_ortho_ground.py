"""Any GeoTIFF orthophoto can be the ground: whatever its projection, bands and layout, a mark is where it lies."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS, Transformer

from missions.camera import Camera
from simulators.exposure import Exposure
from simulators.frame import Darkroom, Optics
from simulators.ground import Ground, OrthoGround
from simulators.lens import Lens
from simulators.photographer import photograph

CAMERA = Camera(model="SIM", width_px=320, height_px=240, focal_mm=8.8, sensor_width_mm=13.2)
CLEAN = Optics(lens=Lens(), blur_px=0.0, exposure_drift=0.0, vignette=0.0, noise=0.0)
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "ortho"
SIZE_PX = 500
# Name: CRS, middle (lon, lat), bands, type, turn of the raster in degrees, further options.
KINDS: dict[str, tuple[str, tuple[float, float], int, str, float, dict[str, object]]] = {
    "utm north": ("EPSG:32650", (118.35, 35.05), 3, "uint8", 0.0, {}),
    "degrees": ("EPSG:4326", (118.35, 35.05), 3, "uint8", 0.0, {}),
    "web mercator": ("EPSG:3857", (118.35, 35.05), 3, "uint8", 0.0, {}),
    "CGCS2000, 3 degree zone": ("EPSG:4549", (119.6, 35.4), 3, "uint8", 0.0, {}),
    "feet": ("EPSG:2263", (-73.98, 40.75), 3, "uint8", 0.0, {}),
    "south": ("EPSG:32756", (151.2, -33.9), 3, "uint8", 0.0, {}),
    "grey": ("EPSG:32650", (118.35, 35.05), 1, "uint8", 0.0, {}),
    "alpha": ("EPSG:32650", (118.35, 35.05), 4, "uint8", 0.0, {}),
    "16 bit": ("EPSG:32650", (118.35, 35.05), 3, "uint16", 0.0, {}),
    "turned": ("EPSG:32650", (118.35, 35.05), 3, "uint8", 25.0, {}),
    "tiled, deflated": ("EPSG:32650", (118.35, 35.05), 3, "uint8", 0.0, {"tiled": True, "compress": "deflate"}),
    "jpeg in tiles": (
        "EPSG:32650", (118.35, 35.05), 3, "uint8", 0.0, {"tiled": True, "compress": "jpeg", "photometric": "ycbcr"},
    ),
}  # fmt: skip


def write(path: Path, kind: str) -> tuple[float, float]:
    """An orthophoto of grey ground, 0.1 m a pixel, with a white mark 2 m wide; returns the mark's lon, lat."""
    name, (lon, lat), bands, depth, turn, options = KINDS[kind]
    crs = CRS.from_user_input(name)
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    unit = crs.axis_info[0].unit_conversion_factor
    if crs.is_geographic:
        across, up = 0.1 / (111_320 * math.cos(math.radians(lat))), 0.1 / 110_950
    else:
        # Web Mercator's metre is longer than the ground's.
        across = up = 0.1 / unit / (math.cos(math.radians(lat)) if name == "EPSG:3857" else 1.0)
    transform = Affine.translation(x, y) @ Affine.rotation(turn) @ Affine.scale(across, -up)
    transform = transform @ Affine.translation(-SIZE_PX / 2, -SIZE_PX / 2)
    scale = 257 if depth == "uint16" else 1
    data = np.full((bands, SIZE_PX, SIZE_PX), 90 * scale, depth)
    data[:, 140:160, 300:320] = 250 * scale
    if bands == 4:
        data[3] = 255
    with rasterio.open(
        path, "w", driver="GTiff", width=SIZE_PX, height=SIZE_PX, count=bands, dtype=depth, crs=name,
        transform=transform, **options,
    ) as file:  # fmt: skip
        file.write(data)
    mark_x, mark_y = transform @ (310, 150)
    mark = Transformer.from_crs(crs, 4326, always_xy=True).transform(mark_x, mark_y)
    return float(mark[0]), float(mark[1])


def above(lon: float, lat: float, height_m: float, ground_m: float = 0.0) -> Exposure:
    return Exposure(
        index=1, file="DJI_0001.JPG", time_utc=datetime(2026, 5, 1, 2, tzinfo=UTC), system_id=1, true_lon=lon,
        true_lat=lat, true_alt_amsl_m=ground_m + height_m, camera_roll_deg=0, camera_pitch_deg=-90, camera_yaw_deg=0,
        lon=lon, lat=lat, alt_amsl_m=ground_m + height_m, height_rel_m=height_m,
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_mark_is_photographed_where_it_lies(kind: str, tmp_path: Path) -> None:
    lon, lat = write(tmp_path / "ortho.tif", kind)
    ground = OrthoGround.open(tmp_path / "ortho.tif", alt_amsl_m=40.0)
    image = Darkroom(ground, CAMERA, CLEAN, 0).develop(above(lon, lat, 20.0, 40.0))
    bright = np.argwhere(image.min(axis=2) > 170)
    row, col = bright.mean(axis=0)
    assert math.hypot(row - 119.5, col - 159.5) < 2.0, "a pixel is a tenth of a metre"
    gsd_m = 20.0 * 13.2 / 8.8 / 320
    assert len(bright) * gsd_m**2 == pytest.approx(4.0, rel=0.25), "and it is 2 m wide"
    assert 80 < np.median(image) < 100


def test_heights_come_from_a_dsm_of_another_grid(tmp_path: Path) -> None:
    lon, lat = write(tmp_path / "ortho.tif", "utm north")
    x, y = Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)
    heights = np.full((60, 60), 70.0, np.float32)
    heights[:, 30:] = 76.0
    with rasterio.open(
        tmp_path / "dsm.tif", "w", driver="GTiff", width=60, height=60, count=1, dtype="float32", crs="EPSG:3857",
        transform=Affine(1.2, 0, x - 36, 0, -1.2, y + 36), nodata=-9999.0,
    ) as file:  # fmt: skip
        file.write(heights, 1)
    ground = OrthoGround.open(tmp_path / "ortho.tif", tmp_path / "dsm.tif")

    def height_at(east_m: float) -> float:
        col, row, _ = ground.place(lon + east_m / 91_237, lat)
        return float(ground.dsm[int(row), int(col)])

    assert height_at(-5) == pytest.approx(70, abs=0.1)
    assert height_at(5) == pytest.approx(76, abs=0.1)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared orthophotos are not here")
def test_real_orthophotos_are_photographed(tmp_path: Path) -> None:
    """What the photograph shows is what the orthophoto has there: by correlation, on every shared one."""
    files = sorted(SHARED.glob("*.tif"))
    assert files
    for number, file in enumerate(files):
        ground = OrthoGround.open(file, gsd_m=0.5)
        rows, cols = ground.dsm.shape
        lon, lat = lonlat(ground, cols / 2, rows / 2)
        high = min(rows, cols) * 0.5 * 0.5
        shot = above(lon, lat, high).model_copy(update={"file": f"DJI_{number:04d}.JPG"})
        [path] = photograph([shot], ground, CAMERA, tmp_path, processes=1, optics=CLEAN)
        assert path.stat().st_size > 5000
        image = Darkroom(ground, CAMERA, CLEAN, 0).develop(shot)
        gsd_m, turn = high * 13.2 / 8.8 / 320, math.radians(ground.place(lon, lat)[2])
        pairs = []
        for row in range(20, 220, 8):
            for col in range(20, 300, 8):
                right, up = (col - 159.5) * gsd_m, (119.5 - row) * gsd_m
                east, north = (
                    right * math.cos(turn) - up * math.sin(turn),
                    right * math.sin(turn) + up * math.cos(turn),
                )
                g_row, g_col = int(rows / 2 - north / 0.5), int(cols / 2 + east / 0.5)
                pairs.append((int(image[row, col, 1]), int(ground.rgb[g_row, g_col, 1])))
        seen, there = np.array(pairs, float).T
        assert np.corrcoef(seen, there)[0, 1] > 0.8, file.name


def lonlat(ground: Ground, col: float, row: float) -> tuple[float, float]:
    x, y = ground.transform @ (col, row)
    lon, lat = Transformer.from_crs(ground.crs, 4326, always_xy=True).transform(x, y)
    return float(lon), float(lat)
