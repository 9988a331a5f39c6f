"""The memory card and the camera's account of it: what was photographed, where it truly was, what was believed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missions.camera import Camera
from simulators.copter.shutter import Shot
from simulators.copter.telemetry import quaternion
from simulators.exposure import Exposure, append_exposure

if TYPE_CHECKING:
    from simulators.copter.vehicle import Vehicle


class Album:
    """One vehicle's camera card.

    Attributes:
        exposures: Photographs that were taken, in order.
    """

    def __init__(self, camera: Camera | None, card: Path | None, system_id: int) -> None:
        self.camera = camera
        self.log = card / str(system_id) / "exposures.csv" if card is not None else None
        self.exposures: list[Exposure] = []
        self._captured: dict[int, tuple[Any, ...]] = {}
        self._files = 0

    @property
    def count(self) -> int:
        """Presses of the shutter that the camera reported."""
        return len(self._captured)

    def captured(self, index: int) -> tuple[Any, ...] | None:
        """The values of CAMERA_IMAGE_CAPTURED of one photograph, to send again."""
        return self._captured.get(index)

    def keep(self, vehicle: Vehicle, shot: Shot) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Writes a photograph down; values of CAMERA_IMAGE_CAPTURED and CAMERA_FEEDBACK."""
        exposure = self._exposure(vehicle, shot)
        if shot.kept:
            self._files += 1
            self.exposures.append(exposure)
            if self.log is not None:
                append_exposure(self.log, exposure)
        captured = _image_captured(vehicle, shot, exposure)
        self._captured[shot.index] = captured
        return captured, _feedback(vehicle, shot, exposure, self.camera)

    def _exposure(self, vehicle: Vehicle, shot: Shot) -> Exposure:
        pilot, pose = vehicle.pilot, shot.pose
        true_lon, true_lat = pilot.frame.lonlat(pose.true[0], pose.true[1])
        lon, lat = pilot.frame.lonlat(pose.believed[0], pose.believed[1])
        home_up = pilot.home.local[2] if pilot.home else 0.0
        std_h, std_v = vehicle.accuracy_m()
        return Exposure(
            index=shot.index,
            file=f"DJI_{self._files + 1:04d}.JPG" if shot.kept else "",
            time_utc=vehicle.utc(pose.time_s),
            system_id=vehicle.system_id,
            true_lon=true_lon,
            true_lat=true_lat,
            true_alt_amsl_m=pilot.ground_amsl_m + pose.true[2],
            camera_roll_deg=shot.roll_deg,
            camera_pitch_deg=shot.pitch_deg,
            camera_yaw_deg=math.degrees(pose.yaw_rad) % 360,
            lon=lon,
            lat=lat,
            alt_amsl_m=pilot.ground_amsl_m + pose.believed[2],
            height_rel_m=pose.believed[2] - home_up,
            speed_north_mps=pose.velocity[0],
            speed_east_mps=pose.velocity[1],
            fix="3d" if pilot.sensors.gps_ok else "none",
            std_h_m=std_h,
            std_v_m=std_v,
        )


def _image_captured(vehicle: Vehicle, shot: Shot, e: Exposure) -> tuple[Any, ...]:
    q = quaternion(*(math.radians(angle) for angle in (e.camera_roll_deg, e.camera_pitch_deg, e.camera_yaw_deg)))
    return (
        int(shot.pose.time_s * 1000), int(e.time_utc.timestamp() * 1e6), 1, round(e.lat * 1e7), round(e.lon * 1e7),
        round(e.alt_amsl_m * 1000), round(e.height_rel_m * 1000), q, shot.index, int(shot.kept), e.file.encode(),
    )  # fmt: skip


def _feedback(vehicle: Vehicle, shot: Shot, e: Exposure, camera: Camera | None) -> tuple[Any, ...]:
    focal = camera.focal_mm if camera else 0.0
    return (
        int(e.time_utc.timestamp() * 1e6), vehicle.system_id, 0, shot.index & 0xFFFF, round(e.lat * 1e7),
        round(e.lon * 1e7), e.alt_amsl_m, e.height_rel_m, e.camera_roll_deg, e.camera_pitch_deg, e.camera_yaw_deg,
        focal, 0, shot.index & 0xFFFF,
    )  # fmt: skip
