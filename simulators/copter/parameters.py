"""The parameters of the simulated autopilot: the part of ArduCopter 4.6's list that changes what it does, and SIM_*.

Names, defaults and types are those that a 4.6 autopilot reports, so that a preflight check of a real aircraft's policy
can be tried here. Values are stored as float32, as MAVLink carries them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

INT8, INT16, INT32, REAL32 = 2, 4, 6, 9

_DEFAULTS: dict[str, tuple[float, int]] = {
    "FORMAT_VERSION": (120, INT16),
    "SYSID_THISMAV": (1, INT16),
    "SYSID_MYGCS": (255, INT16),
    "FRAME_CLASS": (1, INT8),
    "FRAME_TYPE": (0, INT8),
    "INITIAL_MODE": (0, INT8),
    "ANGLE_MAX": (3000, INT16),
    "ARMING_CHECK": (1, INT32),
    "ARMING_OPTIONS": (0, INT32),
    "AUTO_OPTIONS": (0, INT32),
    "AVOID_ENABLE": (3, INT8),
    "AVOID_MARGIN": (2, REAL32),
    "BATT_MONITOR": (4, INT8),
    "BATT_CAPACITY": (8000, INT32),
    "BATT_ARM_VOLT": (0, REAL32),
    "BATT_ARM_MAH": (0, INT32),
    "BATT_LOW_VOLT": (10.5, REAL32),
    "BATT_LOW_MAH": (0, REAL32),
    "BATT_LOW_TIMER": (10, INT8),
    "BATT_CRT_VOLT": (0, REAL32),
    "BATT_CRT_MAH": (0, REAL32),
    "BATT_FS_LOW_ACT": (0, INT8),
    "BATT_FS_CRT_ACT": (0, INT8),
    "CAM1_TYPE": (1, INT8),
    "CAM1_INTRVAL_MIN": (0, REAL32),
    "CAM_AUTO_ONLY": (0, INT8),
    "COMPASS_ENABLE": (1, INT8),
    "DISARM_DELAY": (10, INT8),
    "EK3_ENABLE": (1, INT8),
    "FENCE_ENABLE": (0, INT8),
    "FENCE_TYPE": (7, INT8),
    "FENCE_ACTION": (1, INT8),
    "FENCE_ALT_MAX": (100, REAL32),
    "FENCE_ALT_MIN": (-10, REAL32),
    "FENCE_RADIUS": (300, REAL32),
    "FENCE_MARGIN": (2, REAL32),
    "FENCE_TOTAL": (0, INT8),
    "FENCE_AUTOENABLE": (0, INT8),
    "FENCE_OPTIONS": (1, INT16),
    "FS_THR_ENABLE": (1, INT8),
    "FS_THR_VALUE": (975, INT16),
    "FS_GCS_ENABLE": (0, INT8),
    "FS_GCS_TIMEOUT": (5, REAL32),
    "FS_EKF_ACTION": (1, INT8),
    "FS_EKF_THRESH": (0.8, REAL32),
    "FS_CRASH_CHECK": (1, INT8),
    "FS_OPTIONS": (16, INT32),
    "GUID_TIMEOUT": (3, REAL32),
    "GUID_OPTIONS": (0, INT32),
    "LAND_SPEED": (50, INT16),
    "LAND_SPEED_HIGH": (0, INT16),
    "LAND_ALT_LOW": (1000, INT16),
    "LOIT_SPEED": (1250, REAL32),
    "LOIT_ACC_MAX": (500, REAL32),
    "LOG_BITMASK": (176126, INT32),
    "MIS_TOTAL": (0, INT16),
    "MIS_RESTART": (0, INT8),
    "MIS_OPTIONS": (0, INT16),
    "MNT1_TYPE": (1, INT8),
    "MNT1_PITCH_MIN": (-90, REAL32),
    "MNT1_PITCH_MAX": (20, REAL32),
    "PILOT_SPEED_UP": (250, INT16),
    "PILOT_SPEED_DN": (0, INT16),
    "PILOT_TKOFF_ALT": (0, REAL32),
    "PSC_POSXY_P": (1, REAL32),
    "PSC_VELXY_P": (2, REAL32),
    "RALLY_TOTAL": (0, INT8),
    "RALLY_LIMIT_KM": (0.3, REAL32),
    "RALLY_INCL_HOME": (1, INT8),
    "RC_OVERRIDE_TIME": (3, REAL32),
    "RTL_ALT": (1500, INT32),
    "RTL_ALT_FINAL": (0, INT16),
    "RTL_ALT_TYPE": (0, INT8),
    "RTL_CLIMB_MIN": (0, INT16),
    "RTL_CONE_SLOPE": (3, REAL32),
    "RTL_LOIT_TIME": (5000, INT32),
    "RTL_SPEED": (0, INT16),
    "SERIAL0_PROTOCOL": (2, INT8),
    "SERIAL1_PROTOCOL": (2, INT8),
    "SR0_RAW_SENS": (0, INT16),
    "SR0_EXT_STAT": (0, INT16),
    "SR0_RC_CHAN": (0, INT16),
    "SR0_POSITION": (0, INT16),
    "SR0_EXTRA1": (0, INT16),
    "SR0_EXTRA2": (0, INT16),
    "SR0_EXTRA3": (0, INT16),
    "TERRAIN_ENABLE": (1, INT8),
    "TKOFF_RPM_MIN": (0, INT16),
    "WPNAV_SPEED": (1000, REAL32),
    "WPNAV_SPEED_UP": (250, REAL32),
    "WPNAV_SPEED_DN": (150, REAL32),
    "WPNAV_RADIUS": (200, REAL32),
    "WPNAV_ACCEL": (250, REAL32),
    "WPNAV_ACCEL_C": (0, REAL32),
    "WPNAV_ACCEL_Z": (100, REAL32),
    "WPNAV_JERK": (1, REAL32),
    "WP_YAW_BEHAVIOR": (2, INT8),
    # Faults and weather, as ArduPilot's own simulator names them.
    "SIM_SPEEDUP": (1, REAL32),
    "SIM_WIND_SPD": (0, REAL32),
    "SIM_WIND_DIR": (180, REAL32),
    "SIM_WIND_TURB": (0.1, REAL32),
    "SIM_GPS1_ENABLE": (1, INT8),
    "SIM_GPS1_GLTCH_X": (0, REAL32),
    "SIM_GPS1_GLTCH_Y": (0, REAL32),
    "SIM_GPS1_NOISE": (0, REAL32),
    "SIM_MAG1_OFS_DEG": (0, REAL32),
    "SIM_BARO_DRIFT": (0, REAL32),
    "SIM_ENGINE_FAIL": (0, INT32),
    "SIM_ENGINE_MUL": (1, REAL32),
    "SIM_BATT_VOLTAGE": (16.8, REAL32),
    "SIM_BATT_CAP_AH": (0, REAL32),
    "SIM_CAM_SKIP": (0, REAL32),
    "STAT_BOOTCNT": (1, INT16),
    "STAT_FLTTIME": (0, INT32),
    "STAT_RUNTIME": (0, INT32),
}

_READ_ONLY = (
    "FENCE_TOTAL",
    "MIS_TOTAL",
    "RALLY_TOTAL",
    "FORMAT_VERSION",
    "STAT_BOOTCNT",
    "STAT_FLTTIME",
    "STAT_RUNTIME",
)


def as_float32(value: float) -> float:
    """The value as a 32-bit float keeps it."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


class Parameters:
    """Named values in a fixed order; index and order do not change while the vehicle lives."""

    def __init__(self, system_id: int = 1) -> None:
        self._names = sorted(_DEFAULTS)
        self._index = {name: index for index, name in enumerate(self._names)}
        self._values = {name: as_float32(default) for name, (default, _) in _DEFAULTS.items()}
        self._values["SYSID_THISMAV"] = float(system_id)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def set(self, name: str, value: float) -> bool:
        """Stores a value; False where the name is unknown, the value no number or the parameter not to be written."""
        if name not in self._index or value != value or name in _READ_ONLY or abs(value) > 3.4e38:
            return False
        self._values[name] = as_float32(round(value) if self.kind(name) != REAL32 else value)
        return True

    def put(self, name: str, value: float) -> None:
        """Stores a value of the vehicle's own (counts and statistics)."""
        self._values[name] = as_float32(value)

    def name_at(self, index: int) -> str | None:
        """The name at a position of the list."""
        return self._names[index] if 0 <= index < len(self._names) else None

    def index_of(self, name: str) -> int:
        """Position in the list."""
        return self._index[name]

    @staticmethod
    def kind(name: str) -> int:
        """MAV_PARAM_TYPE."""
        return _DEFAULTS[name][1]
