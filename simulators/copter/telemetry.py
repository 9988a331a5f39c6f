"""The messages that a copter reports itself with, each built from the vehicle's state at the moment it is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import fence as fences
from simulators.copter.pilot import AUTO, LAND, RTL, STABILIZE, Pilot
from simulators.copter.sequence import COMPLETE

if TYPE_CHECKING:
    from simulators.copter.vehicle import Vehicle

Built = tuple[Any, tuple[Any, ...]]
Builder = Callable[["Vehicle"], Built]

_ENABLED = mavlink.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED
_AIR, _GROUND, _TAKEOFF, _LANDING = 2, 1, 3, 4
# SYS_STATUS bits of what this aircraft carries: gyro, accel, mag, baro, GPS, rate, attitude, yaw, altitude and position
# control, motors, RC, AHRS, geofence, logging, battery, prearm.
_SENSORS = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x400 | 0x800 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000
_AHRS, _FENCE, _LOGGING, _BATTERY, _PREARM = 0x200000, 0x100000, 0x1000000, 0x2000000, 0x10000000
_GPS, _MAG = 0x20, 0x4


def ms(pilot: Pilot) -> int:
    """Milliseconds since power-on."""
    return int(pilot.time_s * 1000)


def heartbeat(vehicle: Vehicle) -> Built:
    """HEARTBEAT."""
    pilot = vehicle.pilot
    mode = _ENABLED | (mavlink.MAV_MODE_FLAG_SAFETY_ARMED if pilot.armed else 0)
    mode |= mavlink.MAV_MODE_FLAG_STABILIZE_ENABLED | mavlink.MAV_MODE_FLAG_MANUAL_INPUT_ENABLED
    if pilot.mode not in (STABILIZE,):
        mode |= mavlink.MAV_MODE_FLAG_GUIDED_ENABLED
    if pilot.mode == AUTO:
        mode |= mavlink.MAV_MODE_FLAG_AUTO_ENABLED
    if not pilot.sensors.settled and pilot.time_s < 2.0:
        status = mavlink.MAV_STATE_BOOT
    elif vehicle.autopilot.failsafes.battery or vehicle.autopilot.failsafes.gcs_lost:
        status = mavlink.MAV_STATE_CRITICAL
    else:
        status = mavlink.MAV_STATE_ACTIVE if pilot.armed and not pilot.landed else mavlink.MAV_STATE_STANDBY
    values = (mavlink.MAV_TYPE_QUADROTOR, mavlink.MAV_AUTOPILOT_ARDUPILOTMEGA, mode, pilot.mode, status, 3)
    return mavlink.MAVLink_heartbeat_message, values


def sys_status(vehicle: Vehicle) -> Built:
    """SYS_STATUS."""
    pilot = vehicle.pilot
    present = _SENSORS | _AHRS | _FENCE | _LOGGING | _BATTERY | _PREARM
    enabled = present if pilot.fence.enabled else present & ~_FENCE
    health = present
    if not pilot.sensors.gps_ok:
        health &= ~_GPS
    if not pilot.sensors.ekf_ok:
        health &= ~(_AHRS | _PREARM)
    if abs(pilot.sensors.compass_offset_rad) > math.radians(20):
        health &= ~(_MAG | _PREARM)
    if vehicle.autopilot.failsafes.breach:
        health &= ~_FENCE
    if vehicle.autopilot.failsafes.battery:
        health &= ~(_BATTERY | _PREARM)
    battery = pilot.battery
    return mavlink.MAVLink_sys_status_message, (
        present, enabled, health, 180, round(battery.voltage_v * 1000), min(32767, round(battery.current_a * 100)),
        battery.percent, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip


def global_position(vehicle: Vehicle) -> Built:
    """GLOBAL_POSITION_INT."""
    pilot = vehicle.pilot
    lon, lat = pilot.believed_lonlat() if pilot.sensors.settled else (0.0, 0.0)
    v_n, v_e, v_u = pilot.moving
    heading = math.degrees(pilot.heading_rad()) % 360
    relative = pilot.height_m if pilot.home else 0.0
    return mavlink.MAVLink_global_position_int_message, (
        ms(pilot), round(lat * 1e7), round(lon * 1e7), round(pilot.alt_amsl_m * 1000), round(relative * 1000),
        round(v_n * 100), round(v_e * 100), round(-v_u * 100), round(heading * 100) % 36000,
    )  # fmt: skip


def local_position(vehicle: Vehicle) -> Built:
    """LOCAL_POSITION_NED, about the EKF's origin (where it was powered on)."""
    pilot = vehicle.pilot
    v_n, v_e, v_u = pilot.moving
    return mavlink.MAVLink_local_position_ned_message, (
        ms(pilot), pilot.at[0], pilot.at[1], -pilot.at[2], v_n, v_e, -v_u,
    )  # fmt: skip


def attitude(vehicle: Vehicle) -> Built:
    """ATTITUDE."""
    pilot, body = vehicle.pilot, vehicle.pilot.body
    values = (ms(pilot), body.roll_rad, body.pitch_rad, pilot.heading_rad(), 0.0, 0.0, body.yaw_rate_rps)
    return mavlink.MAVLink_attitude_message, values


def attitude_quaternion(vehicle: Vehicle) -> Built:
    """ATTITUDE_QUATERNION."""
    pilot, body = vehicle.pilot, vehicle.pilot.body
    q = quaternion(body.roll_rad, body.pitch_rad, pilot.heading_rad())
    return mavlink.MAVLink_attitude_quaternion_message, (ms(pilot), *q, 0.0, 0.0, body.yaw_rate_rps, (0.0,) * 4)


def gps_raw(vehicle: Vehicle) -> Built:
    """GPS_RAW_INT, with the GPS's own idea of its accuracy."""
    pilot, sensors = vehicle.pilot, vehicle.pilot.sensors
    ok = sensors.gps_ok
    lon, lat = pilot.believed_lonlat() if ok else (0.0, 0.0)
    v_n, v_e, _ = pilot.moving
    std_h, std_v = vehicle.accuracy_m()
    return mavlink.MAVLink_gps_raw_int_message, (
        int(pilot.time_s * 1e6), 3 if ok else 1, round(lat * 1e7), round(lon * 1e7),
        round((pilot.ground_amsl_m + sensors.gps_up_m(pilot.body)) * 1000) if ok else 0,
        85 if ok else 65535, 140 if ok else 65535, round(math.hypot(v_n, v_e) * 100),
        round(math.degrees(math.atan2(v_e, v_n)) % 360 * 100) % 36000, 14 if ok else 0,
        0, round(std_h * 1000), round(std_v * 1000), 200, 0, 0,
    )  # fmt: skip


def vfr_hud(vehicle: Vehicle) -> Built:
    """VFR_HUD."""
    pilot, body = vehicle.pilot, vehicle.pilot.body
    speed = math.hypot(body.v_north, body.v_east)
    heading = round(math.degrees(pilot.heading_rad()) % 360) % 360
    values = (body.airspeed_mps, speed, heading, round(body.throttle * 100), pilot.alt_amsl_m, body.v_up)
    return mavlink.MAVLink_vfr_hud_message, values


def home_position(vehicle: Vehicle) -> Built | None:
    """HOME_POSITION, once there is one."""
    home = vehicle.pilot.home
    if home is None:
        return None
    return mavlink.MAVLink_home_position_message, (
        round(home.lat * 1e7), round(home.lon * 1e7), round(home.alt_amsl_m * 1000),
        home.local[0], home.local[1], -home.local[2], (1.0, 0.0, 0.0, 0.0), 0.0, 0.0, 0.0,
        int(vehicle.pilot.time_s * 1e6),
    )  # fmt: skip


def global_origin(vehicle: Vehicle) -> Built:
    """GPS_GLOBAL_ORIGIN."""
    pilot = vehicle.pilot
    place = (round(pilot.frame.lat * 1e7), round(pilot.frame.lon * 1e7), round(pilot.ground_amsl_m * 1000))
    return mavlink.MAVLink_gps_global_origin_message, (*place, int(pilot.time_s * 1e6))


def ekf_status(vehicle: Vehicle) -> Built:
    """EKF_STATUS_REPORT: 831 is a healthy copter with GPS, 167 one that waits for it, 1024 not started."""
    sensors = vehicle.pilot.sensors
    flags = 831 if sensors.ekf_ok else (167 if vehicle.pilot.time_s > 3 else 1024)
    glitch = min(1.5, math.hypot(*sensors.glitch) / 20)
    compass = min(1.5, abs(sensors.compass_offset_rad) / math.radians(40))
    lost = 0.0 if sensors.ekf_ok else 1.0
    values = (flags, 0.05 + lost, 0.05 + glitch + lost, 0.02, 0.03 + compass, 0.0, 0.0)
    return mavlink.MAVLink_ekf_status_report_message, values


def system_time(vehicle: Vehicle) -> Built:
    """SYSTEM_TIME."""
    return mavlink.MAVLink_system_time_message, (vehicle.utc_us(), ms(vehicle.pilot))


def mission_current(vehicle: Vehicle) -> Built:
    """MISSION_CURRENT."""
    sequence, pilot = vehicle.autopilot.sequence, vehicle.pilot
    total = max(0, vehicle.transfers.count(0) - 1)
    state = sequence.state if total else 1
    mode = 1 if pilot.mode == AUTO and state != COMPLETE else 2
    return mavlink.MAVLink_mission_current_message, (sequence.index, total, state, mode)


def battery_status(vehicle: Vehicle) -> Built:
    """BATTERY_STATUS."""
    battery = vehicle.pilot.battery
    cells = [round(battery.voltage_v * 1000)] + [65535] * 9
    state = 1 + min(2, vehicle.autopilot.failsafes.battery)
    left_s = round(battery.charge * battery.airframe.capacity_ah / max(0.1, battery.current_a) * 3600)
    return mavlink.MAVLink_battery_status_message, (
        0, 0, 1, 2500, cells, min(32767, round(battery.current_a * 100)), round(battery.drawn_ah * 1000),
        round(battery.drawn_wh * 36), battery.percent, min(left_s, 2**31 - 1), state, [0] * 4, 0, 0,
    )  # fmt: skip


def wind(vehicle: Vehicle) -> Built:
    """WIND as the EKF would estimate it."""
    air = vehicle.pilot.body.wind
    speed = math.hypot(air.mean_north, air.mean_east)
    from_deg = math.degrees(math.atan2(-air.mean_east, -air.mean_north)) % 360 if speed else 0.0
    return mavlink.MAVLink_wind_message, (from_deg, speed, 0.0)


def extended_state(vehicle: Vehicle) -> Built:
    """EXTENDED_SYS_STATE."""
    pilot = vehicle.pilot
    if pilot.landed:
        state = _GROUND
    elif pilot.mode == LAND or (pilot.mode == RTL and pilot.body.v_up < -0.3):
        state = _LANDING
    else:
        state = _TAKEOFF if pilot.body.v_up > 0.5 and pilot.height_m < 2 else _AIR
    return mavlink.MAVLink_extended_sys_state_message, (0, state)


def nav_output(vehicle: Vehicle) -> Built:
    """NAV_CONTROLLER_OUTPUT."""
    pilot, body = vehicle.pilot, vehicle.pilot.body
    aim = pilot.track.destination
    north, east = aim[0] - pilot.at[0], aim[1] - pilot.at[1]
    bearing = round(math.degrees(math.atan2(east, north)))
    distance = min(65535, round(math.hypot(north, east)))
    roll, pitch = math.degrees(body.roll_rad), math.degrees(body.pitch_rad)
    values = (roll, pitch, bearing, bearing, distance, aim[2] - pilot.at[2], 0.0, 0.0)
    return mavlink.MAVLink_nav_controller_output_message, values


def position_target(vehicle: Vehicle) -> Built:
    """POSITION_TARGET_GLOBAL_INT: where it is going."""
    pilot = vehicle.pilot
    aim = pilot.track.destination
    lon, lat = pilot.frame.lonlat(aim[0], aim[1])
    values = (round(lat * 1e7), round(lon * 1e7), pilot.ground_amsl_m + aim[2], *(0.0,) * 8)
    return mavlink.MAVLink_position_target_global_int_message, (ms(pilot), 5, 0x0FF8, *values)


def fence_status(vehicle: Vehicle) -> Built:
    """FENCE_STATUS."""
    watch = vehicle.autopilot.failsafes
    kind = fences.mavlink_breach(watch.breach)
    values = (int(bool(watch.breach)), watch.breach_count, kind, int(watch.breach_s * 1000), 0)
    return mavlink.MAVLink_fence_status_message, values


def rc_channels(vehicle: Vehicle) -> Built:
    """RC_CHANNELS: the sticks, released ones at their centre."""
    pilot = vehicle.pilot
    live = pilot.time_s < pilot.sticks.until_s
    raw = [(value if live and value else 1500) for value in pilot.sticks.channels]
    return mavlink.MAVLink_rc_channels_message, (ms(pilot), 16, *raw, 255)


def servo_output(vehicle: Vehicle) -> Built:
    """SERVO_OUTPUT_RAW: four motors alike."""
    pilot = vehicle.pilot
    motor = round(1000 + 1000 * pilot.body.throttle) if pilot.armed else 1000
    return mavlink.MAVLink_servo_output_raw_message, (int(pilot.time_s * 1e6) & 0xFFFFFFFF, 0, *[motor] * 4, *[0] * 12)


def raw_imu(vehicle: Vehicle) -> Built:
    """RAW_IMU."""
    pilot, body = vehicle.pilot, vehicle.pilot.body
    yaw = pilot.heading_rad()
    mag = (round(300 * math.cos(yaw)), round(-300 * math.sin(yaw)), 400)
    gyro = (0, 0, round(body.yaw_rate_rps * 1000))
    values = (int(pilot.time_s * 1e6), round(-1000 * math.sin(body.pitch_rad)), 0, -1000, *gyro, *mag, 0, 4500)
    return mavlink.MAVLink_raw_imu_message, values


def scaled_pressure(vehicle: Vehicle) -> Built:
    """SCALED_PRESSURE."""
    pilot = vehicle.pilot
    hpa = 1013.25 * (1 - 2.25577e-5 * pilot.alt_amsl_m) ** 5.25588
    return mavlink.MAVLink_scaled_pressure_message, (ms(pilot), hpa, 0.0, 2500, 0)


def vibration(vehicle: Vehicle) -> Built:
    """VIBRATION."""
    shake = 8.0 * vehicle.pilot.body.throttle
    return mavlink.MAVLink_vibration_message, (int(vehicle.pilot.time_s * 1e6), shake, shake, 1.3 * shake, 0, 0, 0)


def power_status(vehicle: Vehicle) -> Built:
    """POWER_STATUS."""
    return mavlink.MAVLink_power_status_message, (5040, 0, 0)


def meminfo(vehicle: Vehicle) -> Built:
    """MEMINFO."""
    return mavlink.MAVLink_meminfo_message, (0, 65535, 131072)


def version(vehicle: Vehicle) -> Built:
    """AUTOPILOT_VERSION: 4.6.3, and what it can do."""
    can = mavlink
    capabilities = (
        can.MAV_PROTOCOL_CAPABILITY_MISSION_FLOAT | can.MAV_PROTOCOL_CAPABILITY_PARAM_FLOAT
        | can.MAV_PROTOCOL_CAPABILITY_MISSION_INT | can.MAV_PROTOCOL_CAPABILITY_COMMAND_INT
        | can.MAV_PROTOCOL_CAPABILITY_SET_POSITION_TARGET_LOCAL_NED
        | can.MAV_PROTOCOL_CAPABILITY_SET_POSITION_TARGET_GLOBAL_INT | can.MAV_PROTOCOL_CAPABILITY_TERRAIN
        | can.MAV_PROTOCOL_CAPABILITY_FLIGHT_TERMINATION | can.MAV_PROTOCOL_CAPABILITY_MAVLINK2
        | can.MAV_PROTOCOL_CAPABILITY_MISSION_FENCE | can.MAV_PROTOCOL_CAPABILITY_MISSION_RALLY
        | (can.MAV_PROTOCOL_CAPABILITY_FTP if vehicle.offers_ftp else 0)
    )  # fmt: skip
    software = 4 << 24 | 6 << 16 | 3 << 8 | 255
    uid = vehicle.system_id.to_bytes(18, "little")
    return mavlink.MAVLink_autopilot_version_message, (
        capabilities, software, 0, 0, 0, b"yunxunsi", b"\0" * 8, b"\0" * 8, 0x1209, 0x5740, vehicle.system_id, uid,
    )  # fmt: skip


def quaternion(roll_rad: float, pitch_rad: float, yaw_rad: float) -> tuple[float, float, float, float]:
    """(w, x, y, z) of an attitude given as yaw, then pitch, then roll."""
    cr, sr = math.cos(roll_rad / 2), math.sin(roll_rad / 2)
    cp, sp = math.cos(pitch_rad / 2), math.sin(pitch_rad / 2)
    cy, sy = math.cos(yaw_rad / 2), math.sin(yaw_rad / 2)
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )


BUILDERS: dict[int, Callable[[Vehicle], Built | None]] = {
    0: heartbeat, 1: sys_status, 2: system_time, 24: gps_raw, 27: raw_imu, 29: scaled_pressure, 30: attitude,
    31: attitude_quaternion, 32: local_position, 33: global_position, 36: servo_output, 42: mission_current,
    49: global_origin, 62: nav_output, 65: rc_channels, 74: vfr_hud, 87: position_target, 125: power_status,
    147: battery_status, 148: version, 152: meminfo, 162: fence_status, 168: wind, 193: ekf_status, 241: vibration,
    242: home_position, 245: extended_state,
}  # fmt: skip

# The messages of each MAV_DATA_STREAM, as ArduCopter 4.6 groups them.
STREAMS: dict[int, tuple[int, ...]] = {
    1: (27, 29), 2: (1, 125, 152, 42, 24, 62, 162, 87), 3: (65, 36), 6: (33, 32), 10: (30,), 11: (74,),
    12: (2, 168, 147, 193, 241),
}  # fmt: skip
