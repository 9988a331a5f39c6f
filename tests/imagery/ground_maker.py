"""A small piece of ground that is known exactly, and a camera over it: photographs with EXIF, XMP and truth.

Kept apart from `simulators`: a stitcher that is tested only on the simulator that its authors share learns its habits.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pyproj import Transformer

UTM = "EPSG:32650"
ORIGIN = (622_000.0, 3_879_000.0)
TEXEL_M = 0.15


@dataclass
class Ground:
    """A textured field with flat-roofed boxes (x0, y0, x1, y1, height) in local metres; local (0, 0) is its middle."""

    seed: int = 0
    half_m: float = 75.0
    boxes: tuple[tuple[float, float, float, float, float], ...] = (
        (-20.0, 5.0, -5.0, 18.0, 5.0),
        (12.0, -20.0, 22.0, -6.0, 3.5),
    )
    light: float = 1.0
    rgb: np.ndarray = field(init=False)
    z: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        size = int(2 * self.half_m / TEXEL_M)
        image = np.zeros((size, size, 3), np.float32)
        for cells, strength in ((6, 25), (25, 25), (90, 30), (300, 35), (size, 14)):
            noise = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
            noise = noise * 0.4 + noise.mean(axis=2, keepdims=True) * 0.8
            image += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
        image += 110.0
        self.z = np.zeros((size, size), np.float32)
        for x0, y0, x1, y1, height in self.boxes:
            c0, c1 = int((x0 + self.half_m) / TEXEL_M), int((x1 + self.half_m) / TEXEL_M)
            r0, r1 = int((self.half_m - y1) / TEXEL_M), int((self.half_m - y0) / TEXEL_M)
            image[r0:r1, c0:c1] = image[r0:r1, c0:c1] * 0.8 + (60.0, 20.0, 10.0)
            self.z[r0:r1, c0:c1] = height
        self.rgb = np.clip(image * self.light, 0, 255).astype(np.uint8)

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Heights of the nearest texels; 0 beyond the edge."""
        column, row = ((x + self.half_m) / TEXEL_M).astype(np.int32), ((self.half_m - y) / TEXEL_M).astype(np.int32)
        size = len(self.z)
        inside = (column >= 0) & (row >= 0) & (column < size) & (row < size)
        return np.where(inside, self.z[np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)], 0.0)

    def sample(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        column = ((x + self.half_m) / TEXEL_M - 0.5).astype(np.float32)
        row = ((self.half_m - y) / TEXEL_M - 0.5).astype(np.float32)
        rgb = cv2.remap(self.rgb, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        z = cv2.remap(self.z, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        return rgb, z


@dataclass(frozen=True)
class Shot:
    """Where a photograph truly was (local metres) and how it looked."""

    x: float
    y: float
    z: float
    yaw_deg: float
    pitch_deg: float = -90.0
    roll_deg: float = 0.0


@dataclass(frozen=True)
class Camera:
    width: int = 800
    height: int = 600
    focal_px: float = 560.0
    k1: float = -0.02


def rotation(shot: Shot) -> np.ndarray:
    """World to camera, written out anew so that `imagery.layout.look` is checked against something."""
    yaw, pitch, roll = np.radians([shot.yaw_deg, shot.pitch_deg, shot.roll_deg])
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
    down = np.cross(forward, right)
    turned = np.cos(roll) * right + np.sin(roll) * down
    return np.array([turned, np.cross(forward, turned), forward])


def expose(ground: Ground, shot: Shot, camera: Camera) -> np.ndarray:
    """Renders (h, w, 3) RGB: the first level from above at which the ray is inside the ground is what is seen."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    xd, yd = (u - (camera.width - 1) / 2) / camera.focal_px, (v - (camera.height - 1) / 2) / camera.focal_px
    x, y = xd, yd
    for _ in range(4):
        x, y = (d / (1 + camera.k1 * (x * x + y * y)) for d in (xd, yd))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ rotation(shot)
    slope = np.maximum(0.05, -rays[..., 2])
    top = np.ceil(ground.z.max() * 4) / 4

    def there(level: float, of: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        reach = (shot.z - level) / slope[of]
        return shot.x + rays[of][..., 0] * reach, shot.y + rays[of][..., 1] * reach

    at_x, at_y = there(0.0)
    # Only rays whose way from the highest roof to the ground passes over a box can end on one.
    high_x, high_y = there(top)
    near = np.zeros(x.shape, bool)
    for x0, y0, x1, y1, _ in ground.boxes:
        across = (np.maximum(at_x, high_x) > x0 - 1) & (np.minimum(at_x, high_x) < x1 + 1)
        near |= across & (np.maximum(at_y, high_y) > y0 - 1) & (np.minimum(at_y, high_y) < y1 + 1)
    free = near.copy()
    for level in np.arange(top, 0.01, -0.25):
        east, north = there(level, free)
        hit = ground.height(east, north) >= level - 1e-3
        ends = np.flatnonzero(free)[hit]
        at_x.ravel()[ends], at_y.ravel()[ends] = east[hit], north[hit]
        free.ravel()[ends] = False
    return ground.sample(at_x, at_y)[0]


def to_lonlat(x: float, y: float) -> tuple[float, float]:
    return Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(ORIGIN[0] + x, ORIGIN[1] + y)


def write_photo(
    path: Path,
    image: np.ndarray,
    lonlat: tuple[float, float] | None,
    *,
    time: datetime = datetime(2026, 5, 1, 2, 0, tzinfo=UTC),
    focal_35mm: float | None = None,
    alt_m: float = 105.0,
    xmp: dict[str, str] | None = None,
    orientation: int = 1,
    model: str = "TEST1",
) -> None:
    """Writes a JPEG as a drone does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "DJI", model, orientation
    local = time + timedelta(hours=8)
    details = exif.get_ifd(0x8769)
    details[0x9003] = local.strftime("%Y:%m:%d %H:%M:%S")
    if focal_35mm is not None:
        details[0xA405] = round(focal_35mm)
    if lonlat is not None:
        gps = exif.get_ifd(0x8825)
        gps[1], gps[2] = "N" if lonlat[1] >= 0 else "S", _dms(lonlat[1])
        gps[3], gps[4] = "E" if lonlat[0] >= 0 else "W", _dms(lonlat[0])
        gps[5], gps[6] = b"\x00", alt_m
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=92, exif=exif)
    data = out.getvalue()
    if xmp:
        fields = " ".join(f'drone-dji:{key}="{value}"' for key, value in xmp.items())
        packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {fields}/></x:xmpmeta>'.encode()
        body = b"http://ns.adobe.com/xap/1.0/\x00" + packet
        data = data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
    path.write_bytes(data)


def _dms(degrees: float) -> tuple[float, float, float]:
    value = abs(degrees)
    minutes = value % 1 * 60
    return float(int(value)), float(int(minutes)), round(minutes % 1 * 60, 6)


@dataclass(frozen=True)
class Flight:
    """What was flown: true shots by file name, and the camera."""

    shots: dict[str, Shot]
    camera: Camera


def fly(
    folder: Path,
    ground: Ground,
    *,
    seed: int = 0,
    bias: tuple[float, float] = (0.0, 0.0),
    noise_m: float = 0.8,
    gimbal: bool = True,
    height_m: float = 45.0,
    camera: Camera | None = None,
    lanes: int = 3,
    per_lane: int = 5,
    time: datetime = datetime(2026, 5, 1, 2, 0, tzinfo=UTC),
) -> Flight:
    """Photographs a serpentine of lanes over the middle of the ground; GPS is off by a bias and noise."""
    rng = np.random.default_rng(seed)
    camera = camera or Camera()
    wide, tall = camera.width / camera.focal_px * height_m, camera.height / camera.focal_px * height_m
    shots: dict[str, Shot] = {}
    for lane in range(lanes):
        for k in range(per_lane):
            step = k if lane % 2 == 0 else per_lane - 1 - k
            tilt = rng.normal(0, 1.0, 2)
            shot = Shot(
                x=(lane - (lanes - 1) / 2) * wide * 0.38 + rng.normal(0, 0.5),
                y=(step - (per_lane - 1) / 2) * tall * 0.28 + rng.normal(0, 0.5),
                z=height_m + rng.normal(0, 0.5),
                yaw_deg=(0.0 if lane % 2 == 0 else 180.0) + rng.normal(0, 2.0),
                pitch_deg=-90.0 + abs(tilt[0]),
                roll_deg=tilt[1],
            )
            name = f"DJI_{len(shots) + 1:04d}.JPG"
            lonlat = to_lonlat(shot.x + bias[0] + rng.normal(0, noise_m), shot.y + bias[1] + rng.normal(0, noise_m))
            xmp = {"RelativeAltitude": f"{shot.z:+.2f}", "AbsoluteAltitude": f"{shot.z + 60:+.2f}"}
            if gimbal:
                xmp |= {"GimbalYawDegree": f"{(shot.yaw_deg + 180) % 360 - 180:+.2f}"}
                xmp |= {"GimbalPitchDegree": f"{shot.pitch_deg:+.2f}", "GimbalRollDegree": f"{shot.roll_deg:+.2f}"}
            write_photo(
                folder / name,
                expose(ground, shot, camera),
                lonlat,
                time=time + timedelta(seconds=3 * len(shots)),
                focal_35mm=36.0 * camera.focal_px / camera.width,
                xmp=xmp if gimbal else None,
            )
            shots[name] = shot
    return Flight(shots, camera)
