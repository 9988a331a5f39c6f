"""What the aircraft believes: the truth with a slowly drifting GPS error, a baro that wanders, and faults on command.

The autopilot steers by this belief, so the true track is displaced by the error, as it is outdoors.
"""

from __future__ import annotations

import math
import random

from simulators.copter.dynamics import Body
from simulators.copter.trajectory import Vector

# GPS error wanders with a time constant of about a minute and a half (multipath and atmosphere on a small receiver).
_DRIFT_S = 90.0
_UPDATE_S = 0.2
_BARO_SIGMA_M = 0.3
_COMPASS_SIGMA_RAD = math.radians(0.8)
_FIX_AFTER_S = 6.0
_EKF_AFTER_S = 30.0
# With no position for this long the EKF gives up on one (FS_EKF then acts).
_EKF_COASTS_S = 4.0


class Drift:
    """One slowly wandering error, a first-order Gauss-Markov process drawn as 0.2 s straight lines."""

    __slots__ = ("_random", "_rate", "_sigma", "value")

    def __init__(self, sigma: float, source: random.Random) -> None:
        self._random, self._sigma, self._rate = source, sigma, 0.0
        self.value = source.gauss(0.0, sigma) if sigma > 0 else 0.0

    def resample(self) -> None:
        """Chooses where to go in the next 0.2 s."""
        share = _UPDATE_S / _DRIFT_S
        aim = self.value * (1 - share) + self._sigma * math.sqrt(2 * share) * self._random.gauss(0.0, 1.0)
        self._rate = (aim - self.value) / _UPDATE_S

    def step(self, dt_s: float) -> None:
        """Moves on."""
        self.value += self._rate * dt_s


class Sensors:
    """GPS, baro, compass and the EKF's state, as one belief.

    Attributes:
        gps_ok: There is a 3D fix.
        ekf_ok: The EKF has a position to navigate by.
        glitch: Metres (north, east) by which a GPS glitch displaces the fix.
        gps_off: GPS lost (fault).
        compass_offset_rad: Compass error (fault), on top of its own small one.
        compass_rate_rps: How fast that grows.
        baro_drift_m: Baro error (fault).
        baro_rate_mps: How fast that grows; 0 ends the fault.
    """

    __slots__ = (
        "_baro",
        "_compass",
        "_drift",
        "_lost_s",
        "_until_resample",
        "baro_drift_m",
        "baro_rate_mps",
        "compass_offset_rad",
        "compass_rate_rps",
        "glitch",
        "gps_off",
        "noise_m",
        "settled",
        "time_s",
    )

    def __init__(self, noise_m: float, seed: int) -> None:
        source = random.Random(seed)
        self.noise_m = noise_m
        each = noise_m / math.sqrt(2)
        self._drift = (Drift(each, source), Drift(each, source), Drift(1.5 * noise_m, source))
        self._baro = Drift(_BARO_SIGMA_M if noise_m > 0 else 0.0, source)
        self._compass = Drift(_COMPASS_SIGMA_RAD if noise_m > 0 else 0.0, source)
        self._until_resample = 0.0
        self._lost_s = 0.0
        self.time_s = 0.0
        self.settled = False
        self.glitch = (0.0, 0.0)
        self.gps_off = False
        self.compass_offset_rad = 0.0
        self.compass_rate_rps = 0.0
        self.baro_drift_m = 0.0
        self.baro_rate_mps = 0.0

    def boot(self) -> None:
        """Starts again: no fix, no EKF."""
        self.time_s = self._lost_s = 0.0
        self.settled = False

    @property
    def gps_ok(self) -> bool:
        """A 3D fix is there."""
        return self.time_s >= _FIX_AFTER_S and not self.gps_off

    @property
    def ekf_ok(self) -> bool:
        """Navigation has a position."""
        return self.settled and self._lost_s < _EKF_COASTS_S

    def step(self, dt_s: float) -> None:
        """Moves every error on."""
        self.time_s += dt_s
        self._until_resample -= dt_s
        if self._until_resample <= 0:
            self._until_resample += _UPDATE_S
            for drift in (*self._drift, self._baro, self._compass):
                drift.resample()
        for drift in (*self._drift, self._baro, self._compass):
            drift.step(dt_s)
        self.baro_drift_m = self.baro_drift_m + self.baro_rate_mps * dt_s if self.baro_rate_mps else 0.0
        self.compass_offset_rad += self.compass_rate_rps * dt_s
        self._lost_s = self._lost_s + dt_s if self.gps_off else 0.0
        if not self.settled and self.time_s >= _EKF_AFTER_S and self.gps_ok:
            self.settled = True

    @property
    def level_error(self) -> tuple[float, float]:
        """(north, east) of belief minus truth, metres."""
        return self._drift[0].value + self.glitch[0], self._drift[1].value + self.glitch[1]

    def position(self, body: Body) -> Vector:
        """Where the aircraft believes to be, metres about the take-off frame."""
        north, east = self.level_error
        return body.north + north, body.east + east, body.up + self._baro.value + self.baro_drift_m

    def gps_up_m(self, body: Body) -> float:
        """Height by GPS, which is worse than the baro's."""
        return body.up + self._drift[2].value

    @property
    def yaw_error_rad(self) -> float:
        """Belief minus truth of the heading."""
        return self._compass.value + self.compass_offset_rad
