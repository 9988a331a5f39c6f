"""One photograph on its own: where a pixel lies on the ground, and how well that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagery.errors import ImageryError
from imagery.layout import look
from imagery.photo import Photo, read_photo
from imagery.poses import FramePose, Lens, Poses
from imagery.priors import COMPASS_SIGMA_RAD, GIMBAL_SIGMA_RAD, UNSTEADY_SIGMA_RAD
from imagery.projection import LocalFrame, utm_frame
from imagery.scene import MAX_VIEW_TANGENT, undistorted_rays
from imagery.surface import HeightGrid

Floats = NDArray[np.float64]
# Ground rises and falls under a drone that knows only its height above take-off: share of that height.
TERRAIN_SHARE = 0.05
# What a pixel is taken to measure for a first look where nothing tells a height.
GUESSED_GSD_M = 0.03
# A code-only receiver's whole error (bias included), m.
WHOLE_GPS_SIGMA_M = 3.0


@dataclass(frozen=True)
class GroundPoint:
    """Where a pixel lies: degrees, metres in the poses' CRS, and the standard error in metres."""

    lon: float
    lat: float
    x: float
    y: float
    sigma_m: float


def poses_of_photos(photos: Sequence[Path], gsd_m: float | None = None, tz: str = "Asia/Shanghai") -> Poses:
    """Poses of photographs from their own words alone: GPS, height above take-off, gimbal.

    The ground is taken to lie at z = 0, level with the take-off point.

    Args:
        photos: Files; `Poses` names them relative to their common folder.
        gsd_m: Ground size of a pixel at the image centre, for photographs that tell no height.
        tz: Zone of EXIF times without offset.

    Raises:
        ImageryError: A file that is no photograph, has no position, or tells no height while `gsd_m` is not given.
    """
    if not photos:
        raise ImageryError("no photographs given: expected at least one file")
    root = photos[0].parent if len({path.parent for path in photos}) == 1 else Path(_common(photos))
    return poses_of_read([_read(path, root, tz) for path in photos], gsd_m)


def poses_of_read(read: Sequence[Photo], gsd_m: float | None = None) -> Poses:
    """Poses of photographs that were read and have positions; `gsd_m` is for those that tell no height."""
    frame = utm_frame([photo.lon or 0.0 for photo in read], [photo.lat or 0.0 for photo in read])
    lenses, frames = {}, []
    for photo in read:
        told = photo.height_rel_m is not None and photo.height_rel_m > 2.0
        height_m = _height_m(photo, None if told and gsd_m == GUESSED_GSD_M else gsd_m)
        name = photo.camera.replace("|", " ").strip() or "camera"
        key = f"{name} {photo.width_px}x{photo.height_px} {photo.focal_px:.1f}"
        lenses[key] = Lens(
            fx=photo.focal_px,
            fy=photo.focal_px,
            cx=(photo.width_px - 1) / 2,
            cy=(photo.height_px - 1) / 2,
            width_px=photo.width_px,
            height_px=photo.height_px,
        )
        frames.append(_pose(photo, frame, key, height_m))
    return Poses(crs=frame.crs, height_reference="take-off", lenses=lenses, frames=tuple(frames))


def _common(photos: Sequence[Path]) -> str:
    import os

    return os.path.commonpath([str(path.parent.absolute()) for path in photos])


def _read(path: Path, root: Path, tz: str) -> Photo:
    if not path.is_file():
        raise ImageryError(f"no photograph at {path}")
    try:
        photo = read_photo(path, root if path.is_relative_to(root) else path.parent, path.read_bytes(), tz)
    except ImageryError as error:
        raise ImageryError(f"{path}: {error}") from error
    if photo.lon is None:
        raise ImageryError(f"{path} has no position in EXIF or XMP: stitch it with others, or give a capture log")
    return photo


def _height_m(photo: Photo, gsd_m: float | None) -> float:
    """Height above the ground, from the ground size where given: that was measured, the barometer was not."""
    if gsd_m is not None:
        slant = gsd_m * photo.focal_px
        return slant * float(np.sin(np.radians(-(photo.pitch_deg if photo.pitch_deg is not None else -90.0))))
    if photo.height_by_laser_m is not None:
        return photo.height_by_laser_m
    if photo.height_rel_m is not None and photo.height_rel_m > 2.0:
        return photo.height_rel_m
    raise ImageryError(
        f"{photo.path} tells no height above take-off, and EXIF altitude is not to be trusted: "
        "give the ground size of a pixel"
    )


def _pose(photo: Photo, frame: LocalFrame, lens: str, height_m: float) -> FramePose:
    lon, lat = photo.lon or 0.0, photo.lat or 0.0
    x, y = frame.to_metres([lon], [lat])[0]
    heading = np.radians((photo.yaw_deg or 0.0) + frame.grid_north_deg(lon, lat))
    rotation = look(heading, photo.pitch_deg if photo.pitch_deg is not None else -90.0, photo.roll_deg or 0.0)
    sigma_m = _sigma_m(photo, height_m, 0.0)
    return FramePose(
        id=photo.id,
        file=photo.file,
        sortie_id=photo.sortie_id,
        time_utc=photo.time_utc,
        lens=lens,
        R=tuple(tuple(float(value) for value in row) for row in rotation),
        C=(float(x), float(y), float(height_m)),
        sigma_m=sigma_m,
        placed="gps",
    )


def _sigma_m(photo: Photo, height_m: float, off_centre_m: float) -> float:
    gps = photo.std_h_m or (0.03 if photo.fix == "rtk" else WHOLE_GPS_SIGMA_M)
    tilt = GIMBAL_SIGMA_RAD if photo.pitch_deg is not None else UNSTEADY_SIGMA_RAD
    pitch = np.radians(photo.pitch_deg if photo.pitch_deg is not None else -90.0)
    slope = 1.0 / max(0.2, float(np.sin(-pitch)) ** 2)
    turn = COMPASS_SIGMA_RAD if photo.yaw_deg is not None else np.pi / 2
    reach = height_m / max(0.2, float(np.tan(-pitch))) if pitch > -1.5 else 0.0
    parts = (gps, height_m * tilt * slope, turn * np.hypot(reach, off_centre_m), TERRAIN_SHARE * (reach + off_centre_m))
    return float(np.sqrt(sum(part**2 for part in parts)))


def locate(
    poses: Poses, pose: FramePose, uv: Floats, surface: HeightGrid | None = None, compass_rad: float | None = None
) -> list[GroundPoint | None]:
    """Ground positions of pixels of a frame.

    Args:
        poses: Holds the lens and the CRS.
        pose: The frame; adjusted, or from `poses_of_photos`.
        uv: (n, 2) pixels.
        surface: Heights to meet; level ground at z = 0 when None (as `poses_of_photos` has it).
        compass_rad: Heading error of an unadjusted frame, the usual one by default.

    Returns:
        A point each, None where the pixel looks above the horizon or too near it to tell.
    """
    lens, centre = poses.lenses[pose.lens], np.asarray(pose.C, float)
    rays = undistorted_rays(lens, np.atleast_2d(np.asarray(uv, float))) @ np.asarray(pose.R, float)
    frame = LocalFrame(poses.crs)
    flat = np.hypot(rays[:, 0], rays[:, 1])
    usable = -rays[:, 2] * 2.0 * MAX_VIEW_TANGENT > flat
    z = np.zeros(len(rays)) if surface is None else np.full(len(rays), float(surface.at(centre[:1], centre[1:2])[0]))
    down = np.where(usable, -rays[:, 2], 1.0)
    for _ in range(1 if surface is None else 8):
        reach = (centre[2] - z) / down
        x, y = centre[0] + rays[:, 0] * reach, centre[1] + rays[:, 1] * reach
        if surface is not None:
            z = surface.at(x, y).astype(float)
    away = np.hypot(x - centre[0], y - centre[1])
    swing = 0.002 if pose.placed == "matched" else COMPASS_SIGMA_RAD if compass_rad is None else compass_rad
    lonlat = frame.to_lonlat(np.column_stack([x, y]))
    result: list[GroundPoint | None] = []
    for n in range(len(rays)):
        sigma = float(np.hypot(pose.sigma_m, swing * away[n]))
        point = GroundPoint(float(lonlat[n, 0]), float(lonlat[n, 1]), float(x[n]), float(y[n]), sigma)
        result.append(point if usable[n] else None)
    return result


def footprint_lonlat(poses: Poses, pose: FramePose, surface: HeightGrid | None = None) -> list[tuple[float, float]]:
    """Corners of what a frame sees on the ground (longitude, latitude), those above the horizon left out."""
    lens = poses.lenses[pose.lens]
    width, height = lens.width_px - 1.0, lens.height_px - 1.0
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    return [(point.lon, point.lat) for point in locate(poses, pose, corners, surface) if point is not None]
