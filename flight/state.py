"""What we know of a vehicle: typed readings, each with the moment it came. Absent is None, old is told by its age."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.clock import now_s
from flight.wire import Packet

# ArduCopter's custom modes by name (ardupilot ArduCopter/mode.h).
COPTER_MODES = {
    "STABILIZE": 0, "ACRO": 1, "ALT_HOLD": 2, "AUTO": 3, "GUIDED": 4, "LOITER": 5, "RTL": 6, "CIRCLE": 7, "LAND": 9,
    "DRIFT": 11, "SPORT": 13, "FLIP": 14, "AUTOTUNE": 15, "POSHOLD": 16, "BRAKE": 17, "THROW": 18, "AVOID_ADSB": 19,
    "GUIDED_NOGPS": 20, "SMART_RTL": 21, "FLOWHOLD": 22, "FOLLOW": 23, "ZIGZAG": 24, "SYSTEMID": 25, "AUTOROTATE": 26,
    "AUTO_RTL": 27,
}  # fmt: skip
_MODE_NAMES = {number: name for name, number in COPTER_MODES.items()}
_PREARM_BIT = 0x10000000


class Heartbeat(NamedTuple):
    """Mode and arming, as of `at_s` (monotonic seconds of this machine)."""

    at_s: float
    mode: str
    armed: bool
    status: int
    vehicle_type: int
    autopilot: int


class Position(NamedTuple):
    """Where it is: WGS84 degrees, metres, metres per second north, east, down."""

    at_s: float
    boot_s: float
    lon: float
    lat: float
    alt_amsl_m: float
    height_rel_m: float
    north_mps: float
    east_mps: float
    down_mps: float
    heading_deg: float

    @property
    def speed_mps(self) -> float:
        """Ground speed."""
        return math.hypot(self.north_mps, self.east_mps)


class Attitude(NamedTuple):
    """Degrees; yaw clockwise from north."""

    at_s: float
    roll_deg: float
    pitch_deg: float
    yaw_deg: float


class Gps(NamedTuple):
    """Receiver state: fix type 3 is 3D, 5 float, 6 fixed; standard deviations in metres, NaN unknown."""

    at_s: float
    fix_type: int
    satellites: int
    hdop: float
    std_h_m: float
    std_v_m: float


class Battery(NamedTuple):
    """Volts, amperes, share remaining 0..1 or NaN, energy drawn in Wh or NaN."""

    at_s: float
    voltage_v: float
    current_a: float
    remaining: float
    consumed_wh: float


class Ekf(NamedTuple):
    """Estimator flags and variances (below 0.8 is healthy on ArduPilot)."""

    at_s: float
    flags: int
    velocity_variance: float
    position_variance: float
    height_variance: float
    compass_variance: float

    @property
    def has_position(self) -> bool:
        """An absolute horizontal position and a vertical one, and not in constant-position mode."""
        return bool(self.flags & 16) and bool(self.flags & 4) and not self.flags & 128


class Place(NamedTuple):
    """A point with a time of arrival: home."""

    at_s: float
    lon: float
    lat: float
    alt_amsl_m: float


class MissionProgress(NamedTuple):
    """The item being flown, of how many (0 unknown)."""

    at_s: float
    seq: int
    total: int


class Wind(NamedTuple):
    """Speed in m/s and the direction it comes from."""

    at_s: float
    speed_mps: float
    from_deg: float


class Sensors(NamedTuple):
    """SYS_STATUS bit masks, and whether the autopilot's own pre-arm checks pass (None: it does not say)."""

    at_s: float
    present: int
    enabled: int
    health: int
    prearm_ok: bool | None
    drop_rate: float


class Sticks(NamedTuple):
    """RC channels 1..4 in µs (roll, pitch, throttle, yaw), 0 or 65535 where there is no receiver."""

    at_s: float
    channels: tuple[int, int, int, int]
    rssi: int


class Text(NamedTuple):
    """A line the autopilot said; severity 0 emergency .. 7 debug."""

    at_s: float
    severity: int
    text: str


class Clock(NamedTuple):
    """The vehicle's clock: UTC in µs (0 unknown) at its boot time in seconds."""

    at_s: float
    unix_us: int
    boot_s: float


@dataclass
class VehicleState:
    """All readings of one vehicle. `boot_s` is its own clock, which runs at the simulator's speed."""

    heartbeat: Heartbeat | None = None
    position: Position | None = None
    attitude: Attitude | None = None
    gps: Gps | None = None
    battery: Battery | None = None
    ekf: Ekf | None = None
    home: Place | None = None
    mission: MissionProgress | None = None
    wind: Wind | None = None
    sensors: Sensors | None = None
    sticks: Sticks | None = None
    clock: Clock | None = None
    boot_s: float = 0.0
    reboots: int = 0
    landed: int = 0
    last_packet_s: float = -math.inf
    reached: list[int] = field(default_factory=list)
    texts: deque[Text] = field(default_factory=lambda: deque(maxlen=100))
    fence_breach: int = 0

    def age_s(self, reading: NamedTuple | None) -> float:
        """Seconds of this machine's clock since a reading came; infinite where there is none."""
        if reading is None:
            return math.inf
        return now_s() - float(reading[0])

    @property
    def mode(self) -> str:
        """Flight mode by name, "" while unknown."""
        return self.heartbeat.mode if self.heartbeat else ""

    @property
    def armed(self) -> bool:
        """Whether the motors may turn."""
        return bool(self.heartbeat and self.heartbeat.armed)

    def update(self, packet: Packet, now_s: float) -> None:
        """Takes one packet of this vehicle."""
        self.last_packet_s = now_s
        handler = _HANDLERS.get(packet.msg_id)
        if handler is not None:
            handler(self, packet.fields, now_s)

    def tick(self, boot_ms: int) -> None:
        """Moves the vehicle's clock; going back by more than a second is a reboot."""
        boot_s = boot_ms * 1e-3
        if boot_s < self.boot_s - 1.0:
            self.reboots += 1
            self.boot_s = boot_s
        elif boot_s > self.boot_s:
            self.boot_s = boot_s


def mode_name(number: int) -> str:
    """ArduCopter's name of a custom mode."""
    return _MODE_NAMES.get(number, f"MODE_{number}")


def _heartbeat(state: VehicleState, f: Any, now_s: float) -> None:
    armed = bool(f.base_mode & mavlink.MAV_MODE_FLAG_SAFETY_ARMED)
    state.heartbeat = Heartbeat(now_s, mode_name(f.custom_mode), armed, f.system_status, f.type, f.autopilot)


def _position(state: VehicleState, f: Any, now_s: float) -> None:
    state.tick(f.time_boot_ms)
    heading = f.hdg * 0.01 if f.hdg != 65535 else math.nan
    state.position = Position(
        now_s, f.time_boot_ms * 1e-3, f.lon * 1e-7, f.lat * 1e-7, f.alt * 1e-3, f.relative_alt * 1e-3,
        f.vx * 0.01, f.vy * 0.01, f.vz * 0.01, heading,
    )  # fmt: skip


def _attitude(state: VehicleState, f: Any, now_s: float) -> None:
    state.tick(f.time_boot_ms)
    state.attitude = Attitude(now_s, math.degrees(f.roll), math.degrees(f.pitch), math.degrees(f.yaw) % 360)


def _gps(state: VehicleState, f: Any, now_s: float) -> None:
    std_h_m = f.h_acc * 1e-3 if f.h_acc else math.nan
    std_v_m = f.v_acc * 1e-3 if f.v_acc else math.nan
    hdop = f.eph * 0.01 if f.eph != 65535 else math.nan
    state.gps = Gps(now_s, f.fix_type, f.satellites_visible, hdop, std_h_m, std_v_m)


def _sys_status(state: VehicleState, f: Any, now_s: float) -> None:
    remaining = f.battery_remaining / 100 if f.battery_remaining >= 0 else math.nan
    voltage = f.voltage_battery * 1e-3 if f.voltage_battery != 65535 else math.nan
    current = f.current_battery * 0.01 if f.current_battery >= 0 else math.nan
    consumed = state.battery.consumed_wh if state.battery else math.nan
    state.battery = Battery(now_s, voltage, current, remaining, consumed)
    present = f.onboard_control_sensors_present
    prearm = bool(f.onboard_control_sensors_health & _PREARM_BIT) if present & _PREARM_BIT else None
    state.sensors = Sensors(
        now_s, present, f.onboard_control_sensors_enabled, f.onboard_control_sensors_health, prearm,
        f.drop_rate_comm * 1e-4,
    )  # fmt: skip


def _battery(state: VehicleState, f: Any, now_s: float) -> None:
    if f.id != 0:
        return
    old = state.battery
    consumed = f.energy_consumed / 36.0 if f.energy_consumed >= 0 else math.nan  # hJ: 100 J = 1/36 Wh
    remaining = f.battery_remaining / 100 if f.battery_remaining >= 0 else math.nan
    cells = [v for v in f.voltages if v != 65535]
    voltage = sum(cells) * 1e-3 if cells else (old.voltage_v if old else math.nan)
    current = f.current_battery * 0.01 if f.current_battery >= 0 else math.nan
    state.battery = Battery(now_s, voltage, current, remaining, consumed)


def _ekf(state: VehicleState, f: Any, now_s: float) -> None:
    state.ekf = Ekf(now_s, f.flags, f.velocity_variance, f.pos_horiz_variance, f.pos_vert_variance, f.compass_variance)


def _home(state: VehicleState, f: Any, now_s: float) -> None:
    state.home = Place(now_s, f.longitude * 1e-7, f.latitude * 1e-7, f.altitude * 1e-3)


def _mission(state: VehicleState, f: Any, now_s: float) -> None:
    state.mission = MissionProgress(now_s, f.seq, 0 if f.total == 65535 else f.total)


def _reached(state: VehicleState, f: Any, now_s: float) -> None:
    if not state.reached or state.reached[-1] != f.seq:
        state.reached.append(f.seq)


def _wind(state: VehicleState, f: Any, now_s: float) -> None:
    state.wind = Wind(now_s, f.speed, f.direction % 360)


def _system_time(state: VehicleState, f: Any, now_s: float) -> None:
    state.tick(f.time_boot_ms)
    state.clock = Clock(now_s, f.time_unix_usec, f.time_boot_ms * 1e-3)


def _text(state: VehicleState, f: Any, now_s: float) -> None:
    state.texts.append(Text(now_s, f.severity, f.text))


def _extended(state: VehicleState, f: Any, now_s: float) -> None:
    state.landed = f.landed_state


def _fence(state: VehicleState, f: Any, now_s: float) -> None:
    state.fence_breach = f.breach_type if f.breach_status else 0


def _sticks(state: VehicleState, f: Any, now_s: float) -> None:
    state.sticks = Sticks(now_s, (f.chan1_raw, f.chan2_raw, f.chan3_raw, f.chan4_raw), f.rssi)


_HANDLERS: dict[int, Callable[[VehicleState, Any, float], None]] = {
    mavlink.MAVLINK_MSG_ID_HEARTBEAT: _heartbeat,
    mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT: _position,
    mavlink.MAVLINK_MSG_ID_ATTITUDE: _attitude,
    mavlink.MAVLINK_MSG_ID_GPS_RAW_INT: _gps,
    mavlink.MAVLINK_MSG_ID_SYS_STATUS: _sys_status,
    mavlink.MAVLINK_MSG_ID_BATTERY_STATUS: _battery,
    mavlink.MAVLINK_MSG_ID_EKF_STATUS_REPORT: _ekf,
    mavlink.MAVLINK_MSG_ID_HOME_POSITION: _home,
    mavlink.MAVLINK_MSG_ID_MISSION_CURRENT: _mission,
    mavlink.MAVLINK_MSG_ID_MISSION_ITEM_REACHED: _reached,
    mavlink.MAVLINK_MSG_ID_WIND: _wind,
    mavlink.MAVLINK_MSG_ID_SYSTEM_TIME: _system_time,
    mavlink.MAVLINK_MSG_ID_STATUSTEXT: _text,
    mavlink.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: _extended,
    mavlink.MAVLINK_MSG_ID_FENCE_STATUS: _fence,
    mavlink.MAVLINK_MSG_ID_RC_CHANNELS: _sticks,
}
