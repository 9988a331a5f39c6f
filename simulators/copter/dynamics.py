"""The aircraft as a body: a tilting thrust against gravity, drag and gusts, integrated in fixed steps.

The autopilot asks for an acceleration; the body gives what its tilt, thrust and lag allow. Axes: north, east, up, in
metres about the take-off point; the ground is level at 0.
"""

from __future__ import annotations

import math
import random

from simulators.copter.battery import AIR_KG_PER_M3, GRAVITY_MPS2, Airframe

STEP_S = 0.02
# Attitude follows a demand in about ATC_INPUT_TC (0.15 s); rotors follow thrust a little faster.
_TILT_LAG_S = 0.15
_THRUST_LAG_S = 0.10
# Low-altitude turbulence: share of the mean wind and length of a gust (MIL-F-8785C light, below 100 m).
_GUST_SHARE = 0.10
_GUST_S = 4.0
_YAW_LAG_S = 0.3


class Wind:
    """A steady wind with gusts of its own, the same for the same seed."""

    __slots__ = ("_east", "_north", "_random", "_sigma", "east", "mean_east", "mean_north", "north")

    def __init__(self, speed_mps: float, from_deg: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._north = self._east = 0.0
        self.set(speed_mps, from_deg)

    def set(self, speed_mps: float, from_deg: float) -> None:
        """Sets speed and the direction it blows from (degrees clockwise from north)."""
        heading = math.radians(from_deg)
        self.mean_north = self.north = -speed_mps * math.cos(heading)
        self.mean_east = self.east = -speed_mps * math.sin(heading)
        self._sigma = _GUST_SHARE * speed_mps

    def step(self, dt_s: float) -> None:
        """Moves the gusts on by `dt_s`."""
        if self._sigma == 0.0:
            return
        keep = 1.0 - dt_s / _GUST_S
        kick = self._sigma * math.sqrt(2 * dt_s / _GUST_S)
        self._north = keep * self._north + kick * self._random.gauss(0.0, 1.0)
        self._east = keep * self._east + kick * self._random.gauss(0.0, 1.0)
        self.north = self.mean_north + self._north
        self.east = self.mean_east + self._east


class Body:
    """Position, velocity, attitude and power of one airframe.

    Attributes:
        north, east, up: Metres from the take-off point.
        v_north, v_east, v_up: Metres a second.
        roll_rad, pitch_rad, yaw_rad: Attitude; roll right, pitch up, yaw clockwise from north.
        motor_share: Share of the thrust that the motors can still give (1 whole, 0.75 with one of four lost).
        power_w: What the battery has to give at this moment.
    """

    __slots__ = (
        "_drag",
        "_push_east",
        "_push_north",
        "_push_up",
        "_tilt_limit",
        "airframe",
        "airspeed_mps",
        "east",
        "motor_share",
        "north",
        "on_ground",
        "pitch_rad",
        "power_w",
        "roll_rad",
        "throttle",
        "up",
        "v_east",
        "v_north",
        "v_up",
        "wind",
        "yaw_rad",
        "yaw_rate_rps",
    )

    def __init__(self, airframe: Airframe, wind: Wind, yaw_rad: float = 0.0) -> None:
        self.airframe, self.wind = airframe, wind
        self.north = self.east = self.up = 0.0
        self.v_north = self.v_east = self.v_up = 0.0
        self.roll_rad = self.pitch_rad = self.yaw_rate_rps = 0.0
        self.yaw_rad = yaw_rad
        self.motor_share = 1.0
        self.on_ground = True
        self.throttle = 0.0
        self.airspeed_mps = 0.0
        self.power_w = airframe.avionics_w
        self._push_north = self._push_east = self._push_up = 0.0
        self._drag = 0.5 * AIR_KG_PER_M3 * airframe.drag_area_m2 / airframe.mass_kg
        self._tilt_limit = GRAVITY_MPS2 * math.tan(math.radians(airframe.tilt_max_deg))

    def rest(self, dt_s: float) -> None:
        """One step on the ground with the motors stopped."""
        self.wind.step(dt_s)
        self.power_w = self.airframe.avionics_w
        self.throttle = 0.0
        if not self.on_ground:
            self.fly(0.0, 0.0, -GRAVITY_MPS2 * 2, self.yaw_rad, dt_s)

    def idle(self, dt_s: float) -> None:
        """One step on the ground with the motors turning."""
        self.wind.step(dt_s)
        self.power_w = 3 * self.airframe.avionics_w
        self.throttle = 0.12

    def fly(self, a_north: float, a_east: float, a_up: float, yaw_rad: float, dt_s: float) -> None:
        """One step in the air.

        Args:
            a_north: Acceleration asked of the thrust's level part, m/s2, the share against drag included.
            a_east: The same, east.
            a_up: Acceleration asked upwards, m/s2 (0 hovers).
            yaw_rad: Heading asked.
            dt_s: Length of the step.
        """
        self.wind.step(dt_s)
        self._tilt(a_north, a_east, dt_s)
        limit = GRAVITY_MPS2 * (2.0 * self.motor_share - 1.0) if self.motor_share < 1.0 else 6.0
        if self.motor_share < 0.6:
            limit = -3.0
        a_up = max(-GRAVITY_MPS2, min(a_up, limit))
        self._push_up += (a_up - self._push_up) * min(1.0, dt_s / _THRUST_LAG_S)
        air_n, air_e, air_u = self.v_north - self.wind.north, self.v_east - self.wind.east, self.v_up
        speed = math.sqrt(air_n * air_n + air_e * air_e + air_u * air_u)
        drag = self._drag * speed
        self.v_north += (self._push_north - drag * air_n) * dt_s
        self.v_east += (self._push_east - drag * air_e) * dt_s
        self.v_up += (self._push_up - drag * air_u) * dt_s
        self.north += self.v_north * dt_s
        self.east += self.v_east * dt_s
        self.up += self.v_up * dt_s
        self._turn(yaw_rad, dt_s)
        self.airspeed_mps = math.hypot(air_n, air_e)
        self._spend()
        self._touch()

    def _tilt(self, a_north: float, a_east: float, dt_s: float) -> None:
        size = math.hypot(a_north, a_east)
        if size > self._tilt_limit:
            a_north, a_east = a_north * self._tilt_limit / size, a_east * self._tilt_limit / size
        share = min(1.0, dt_s / _TILT_LAG_S)
        self._push_north += (a_north - self._push_north) * share
        self._push_east += (a_east - self._push_east) * share

    def _turn(self, yaw_rad: float, dt_s: float) -> None:
        error = math.remainder(yaw_rad - self.yaw_rad, math.tau)
        # ATC_SLEW_YAW: 60 degrees a second at most.
        rate = max(-1.047, min(1.047, error / _YAW_LAG_S))
        self.yaw_rate_rps = rate
        self.yaw_rad = math.remainder(self.yaw_rad + rate * dt_s, math.tau)
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        forward = self._push_north * cos + self._push_east * sin
        right = -self._push_north * sin + self._push_east * cos
        self.pitch_rad = -math.atan2(forward, GRAVITY_MPS2)
        self.roll_rad = math.atan2(right * math.cos(self.pitch_rad), GRAVITY_MPS2)

    def _spend(self) -> None:
        lift = max(0.0, GRAVITY_MPS2 + self._push_up)
        thrust = self.airframe.mass_kg * math.sqrt(lift * lift + self._push_north**2 + self._push_east**2)
        self.power_w = self.airframe.power_w(thrust, self.airspeed_mps, self.v_up)
        self.throttle = max(0.0, min(1.0, 0.38 * thrust / (self.airframe.mass_kg * GRAVITY_MPS2)))

    def _touch(self) -> None:
        if self.up > 0.0:
            self.on_ground = False
            return
        self.on_ground = True
        self.up = 0.0
        self.v_up = max(0.0, self.v_up)
        # Skids: what is left of the level speed is rubbed off.
        self.v_north *= 0.7
        self.v_east *= 0.7

    def stop_on_ground(self) -> None:
        """Comes to rest where it stands."""
        self.v_north = self.v_east = self.v_up = 0.0
        self._push_north = self._push_east = self._push_up = 0.0
        self.roll_rad = self.pitch_rad = self.yaw_rate_rps = 0.0
        self.airspeed_mps = 0.0
