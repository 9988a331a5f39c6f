"""Camera and gimbal as MAVLink components speak of themselves (component 1, as ArduPilot answers for its payload)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter.telemetry import Built, ms, quaternion

if TYPE_CHECKING:
    from simulators.copter.vehicle import Vehicle

_CAPTURES_IMAGES = 2
_CARD_MIB = 64_000.0
_PHOTO_MIB = 8.0
_GIMBAL_ID = 1
_CAN_PITCH = 0x10 | 0x20
_YAW_IN_VEHICLE_FRAME, _ROLL_LOCK, _PITCH_LOCK = 32, 4, 8


def camera_information(vehicle: Vehicle) -> Built:
    """CAMERA_INFORMATION, with the lens of the camera it carries."""
    camera = vehicle.config.camera
    focal = camera.focal_mm if camera else 0.0
    across = camera.sensor_width_mm if camera else 0.0
    width, height = (camera.width_px, camera.height_px) if camera else (0, 0)
    along = across * height / width if width else 0.0
    model = (camera.model if camera else "none").encode()[:32].ljust(32, b"\0")
    return mavlink.MAVLink_camera_information_message, (
        ms(vehicle.pilot), b"Yunxun".ljust(32, b"\0"), model, 0, focal, across, along, width, height, 0,
        _CAPTURES_IMAGES, 0, b"", _GIMBAL_ID, 1,
    )  # fmt: skip


def camera_settings(vehicle: Vehicle) -> Built:
    """CAMERA_SETTINGS: image mode, no zoom."""
    return mavlink.MAVLink_camera_settings_message, (ms(vehicle.pilot), 0, math.nan, math.nan, 1)


def storage_information(vehicle: Vehicle) -> Built:
    """STORAGE_INFORMATION of the card."""
    used = _PHOTO_MIB * len(vehicle.album.exposures)
    return mavlink.MAVLink_storage_information_message, (
        ms(vehicle.pilot), 1, 1, 2, _CARD_MIB, used, _CARD_MIB - used, 90.0, 60.0, 4, b"card", 1,
    )  # fmt: skip


def capture_status(vehicle: Vehicle) -> Built:
    """CAMERA_CAPTURE_STATUS, with the number of photographs so far."""
    shutter, album = vehicle.autopilot.shutter, vehicle.album
    status = 2 if shutter.interval_s or shutter.distance_m else 0
    free = _CARD_MIB - _PHOTO_MIB * len(album.exposures)
    values = (ms(vehicle.pilot), status, 0, shutter.interval_s, 0, free, album.count, 1)
    return mavlink.MAVLink_camera_capture_status_message, values


def gimbal_information(vehicle: Vehicle) -> Built:
    """GIMBAL_MANAGER_INFORMATION: pitch within the parameters' reach, yaw fixed to the nose."""
    p = vehicle.pilot.parameters
    low, high = math.radians(p["MNT1_PITCH_MIN"]), math.radians(p["MNT1_PITCH_MAX"])
    values = (ms(vehicle.pilot), _CAN_PITCH, _GIMBAL_ID, 0.0, 0.0, low, high, 0.0, 0.0)
    return mavlink.MAVLink_gimbal_manager_information_message, values


def gimbal_status(vehicle: Vehicle) -> Built:
    """GIMBAL_MANAGER_STATUS: nobody in particular has it."""
    flags = _ROLL_LOCK | _PITCH_LOCK | _YAW_IN_VEHICLE_FRAME
    return mavlink.MAVLink_gimbal_manager_status_message, (ms(vehicle.pilot), flags, _GIMBAL_ID, 0, 0, 0, 0)


def gimbal_attitude(vehicle: Vehicle) -> Built:
    """GIMBAL_DEVICE_ATTITUDE_STATUS: pitch and roll against the horizon, yaw against the nose."""
    flags = _ROLL_LOCK | _PITCH_LOCK | _YAW_IN_VEHICLE_FRAME
    q = quaternion(0.0, math.radians(vehicle.autopilot.shutter.tilt_deg), 0.0)
    values = (0, 0, ms(vehicle.pilot), flags, q, 0.0, 0.0, 0.0, 0, 0.0, 0.0, _GIMBAL_ID)
    return mavlink.MAVLink_gimbal_device_attitude_status_message, values


BUILDERS = {
    259: camera_information, 260: camera_settings, 261: storage_information, 262: capture_status,
    280: gimbal_information, 281: gimbal_status, 285: gimbal_attitude,
}  # fmt: skip
