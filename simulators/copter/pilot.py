"""The autopilot's state that every mode, command and failsafe shares, and the few acts that move it.

The rules live elsewhere (`modes`, `arming`, `failsafe`, `sequence`); here is what they act on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from simulators.copter import items as it
from simulators.copter.battery import Airframe, Battery
from simulators.copter.control import PositionControl
from simulators.copter.dynamics import Body, Wind
from simulators.copter.fence import Fence, areas
from simulators.copter.geodesy import LocalFrame
from simulators.copter.items import Item
from simulators.copter.parameters import Parameters
from simulators.copter.sensors import Sensors
from simulators.copter.shutter import Pose
from simulators.copter.trajectory import Limits, Track, Vector

STABILIZE, ALT_HOLD, AUTO, GUIDED, LOITER, RTL, LAND, POSHOLD, BRAKE = 0, 2, 3, 4, 5, 6, 9, 16, 17
MODE_NAMES = {
    STABILIZE: "STABILIZE", ALT_HOLD: "ALT_HOLD", AUTO: "AUTO", GUIDED: "GUIDED", LOITER: "LOITER",
    RTL: "RTL", LAND: "LAND", POSHOLD: "POSHOLD", BRAKE: "BRAKE",
}  # fmt: skip
NEEDS_POSITION = frozenset((AUTO, GUIDED, LOITER, RTL, POSHOLD, BRAKE))

EMERGENCY, CRITICAL, ERROR, WARNING, NOTICE, INFO = 0, 2, 3, 4, 5, 6
_STICK_DEADBAND_US = 30
# The motors are held back so long after arming, and take so long to speed up (ARMING_DELAY_SEC, MOT_SPOOL_TIME).
_ARMING_DELAY_S = 2.0
_SPOOL_S = 0.5
# PSC_POSXY_P, and what the reference may run ahead of a slow aircraft (AC_WPNav).
_POSITION_GAIN = 1.0
_FOLLOW_MARGIN = 0.05


@dataclass(frozen=True)
class Home:
    """Where the vehicle was armed, as believed: degrees, metres above sea level, and local metres."""

    lon: float
    lat: float
    alt_amsl_m: float
    local: Vector


@dataclass
class Sticks:
    """A radio's channels in microseconds; 0 is released. Springs centre them, so no stick means no wish."""

    channels: list[int] = field(default_factory=lambda: [0] * 18)
    until_s: float = 0.0

    def wish(self, channel: int, now_s: float) -> float:
        """Deflection of a stick, -1..1; 0 where it is released, centred or stale."""
        value = self.channels[channel - 1] if now_s < self.until_s else 0
        if value == 0 or abs(value - 1500) < _STICK_DEADBAND_US:
            return 0.0
        return max(-1.0, min(1.0, (value - 1500) / 500))

    def held(self, channel: int, now_s: float) -> bool:
        """Whether somebody has a hand on a stick, centred or not."""
        return now_s < self.until_s and self.channels[channel - 1] != 0

    def moved(self, now_s: float) -> bool:
        """Whether a person holds a stick off its centre."""
        return any(self.wish(channel, now_s) for channel in (1, 2, 3, 4))


class Pilot:
    """One vehicle's autopilot as state.

    Attributes:
        time_s: Simulated seconds since power-on.
        at: Believed position in local metres (north, east, up).
        landed: On the ground, as the autopilot sees it.
        say: Sends a STATUSTEXT (severity, text) to everyone listening.
        set_mode: Changes the mode (number, reason); False where it is refused.
    """

    def __init__(
        self,
        system_id: int,
        place: tuple[float, float, float],
        *,
        airframe: Airframe,
        wind: Wind,
        gps_noise_m: float,
        seed: int,
        grace: float,
    ) -> None:
        self.system_id = system_id
        self.frame = LocalFrame(place[0], place[1])
        self.ground_amsl_m = place[2]
        self.parameters = Parameters(system_id)
        self.parameters.set("SIM_GPS1_NOISE", gps_noise_m)
        self.battery = Battery(airframe)
        self.body = Body(airframe, wind)
        self.sensors = Sensors(gps_noise_m, seed)
        self.control = PositionControl()
        self.sticks = Sticks()
        self.fence = Fence()
        self.grace = grace
        self.time_s = 0.0
        self.mode = STABILIZE
        self.armed = False
        self.landed = True
        self.armed_at_s = 0.0
        self.home: Home | None = None
        self.speed_mps: float | None = None
        self.at: Vector = (0.0, 0.0, 0.0)
        self.track = Track(self.at)
        self.yaw_rad = self.body.yaw_rad
        self._paced: Vector = (0.0, 0.0, 0.0)
        self._paced_s = -1.0
        self._lift_s = -1.0
        self._haste = 1.0
        self.say: Callable[[int, str], None] = lambda severity, text: None
        self.set_mode: Callable[[int, str], bool] = lambda mode, reason: False
        self.disarm: Callable[[str], None] = lambda reason: None

    @property
    def moving(self) -> Vector:
        """Velocity, north, east, up, m/s."""
        return self.body.v_north, self.body.v_east, self.body.v_up

    @property
    def height_m(self) -> float:
        """Believed height above home."""
        return self.at[2] - (self.home.local[2] if self.home else 0.0)

    @property
    def alt_amsl_m(self) -> float:
        """Believed height above sea level."""
        return self.ground_amsl_m + self.at[2]

    def believed_lonlat(self) -> tuple[float, float]:
        """Where the vehicle reports to be, degrees."""
        return self.frame.lonlat(self.at[0], self.at[1])

    def heading_rad(self) -> float:
        """Believed heading."""
        return math.remainder(self.body.yaw_rad + self.sensors.yaw_error_rad, math.tau)

    def pose(self) -> Pose:
        """This moment, for the camera."""
        body = self.body
        believed = self.sensors.position(body)
        return Pose(self.time_s, (body.north, body.east, body.up), believed, body.yaw_rad, self.moving)

    def limits(self, speed_mps: float | None = None) -> Limits:
        """Kinematic limits of waypoint flight as the parameters have them."""
        p = self.parameters
        speed = speed_mps if speed_mps is not None else self.speed_mps
        return Limits(
            speed if speed else p["WPNAV_SPEED"] / 100,
            max(0.1, p["WPNAV_SPEED_UP"] / 100),
            max(0.1, p["WPNAV_SPEED_DN"] / 100),
            max(0.5, p["WPNAV_ACCEL"] / 100),
            max(0.5, p["WPNAV_ACCEL_Z"] / 100),
            max(0.5, p["WPNAV_JERK"]),
            max(0.05, p["WPNAV_RADIUS"] / 100),
        )

    def set_home(self, lon: float | None = None, lat: float | None = None, alt_amsl_m: float | None = None) -> None:
        """Home is here, or at a place given."""
        if lon is None or lat is None or alt_amsl_m is None:
            lon, lat = self.believed_lonlat()
            alt_amsl_m = self.alt_amsl_m
        north, east = self.frame.north_east(lon, lat)
        self.home = Home(lon, lat, alt_amsl_m, (north, east, alt_amsl_m - self.ground_amsl_m))
        self.fence.home = (north, east)

    def home_item(self) -> Item:
        """Home as item 0 of a mission."""
        if self.home is None:
            return Item(it.WAYPOINT, 0)
        return Item(it.WAYPOINT, 0, x=round(self.home.lat * 1e7), y=round(self.home.lon * 1e7), z=self.home.alt_amsl_m)

    def place_of(self, item: Item) -> Vector:
        """Where an item lies in local metres; an item with no place is meant for where the last leg ends."""
        if item.x == 0 and item.y == 0:
            north, east = self.track.destination[:2]
        else:
            north, east = self.frame.north_east(item.lon, item.lat)
        home_up = self.home.local[2] if self.home else 0.0
        up = item.z - self.ground_amsl_m if item.frame in (0, 5) else home_up + item.z
        return north, east, up

    def stopping_point(self, accel_mps2: float = 2.5) -> Vector:
        """Where it comes to rest if it begins to brake now, with the position controller's square-root law."""
        north, east, up = self.at
        v_n, v_e, v_u = self.moving
        speed = math.hypot(v_n, v_e)
        reach = speed if speed < accel_mps2 else accel_mps2 / 2 + speed * speed / (2 * accel_mps2)
        share = min(30.0, reach) / speed if speed > 0.1 else 0.0
        return north + v_n * share, east + v_e * share, up + 0.4 * v_u * abs(v_u)

    def refresh_fence(self, plan: list[Item] | None = None) -> None:
        """Takes the fence's parameters, and its plan where that has changed."""
        p, fence = self.parameters, self.fence
        fence.enabled = bool(p["FENCE_ENABLE"])
        fence.types = int(p["FENCE_TYPE"])
        fence.alt_max_m, fence.alt_min_m = p["FENCE_ALT_MAX"], p["FENCE_ALT_MIN"]
        fence.radius_m = p["FENCE_RADIUS"]
        if plan is not None:
            fence.areas = tuple(areas(plan, self.frame))

    # What the modes do with the body.

    def leave_ground(self) -> None:
        """The take-off begins: the motors speed up first."""
        self.landed = False
        self.control.reset()
        self._lift_s = max(self.time_s, self.armed_at_s + _ARMING_DELAY_S) + _SPOOL_S
        self._haste = 1.0

    def fly_track(self, dt_s: float) -> None:
        """Moves the reference on and follows it."""
        if self.time_s < self._lift_s:
            self.body.idle(dt_s)
            return
        track = self.track
        self._wait_for_body(dt_s)
        track.advance(dt_s * self._haste)
        self.chase(track.position, track.velocity, track.acceleration, dt_s)

    def _wait_for_body(self, dt_s: float) -> None:
        """Slows the reference's clock where the aircraft cannot follow (wind, weight), as ArduCopter does.

        The aircraft's speed along the reference's, less what it must catch up, over the reference's own; a margin of
        5 % for gusts; followed with the time that acceleration takes to come up.
        """
        want_v = self.track.velocity
        speed = math.sqrt(want_v[0] ** 2 + want_v[1] ** 2 + want_v[2] ** 2)
        share = 1.0
        if speed > 1e-3:
            have, behind = 0.0, 0.0
            for axis in range(3):
                along = want_v[axis] / speed
                have += self.moving[axis] * along
                behind += (self.track.position[axis] - self.at[axis]) * along
            share = max(0.0, min(1.0, _FOLLOW_MARGIN + (have - _POSITION_GAIN * behind) / speed))
        p = self.parameters
        lag_s = p["WPNAV_ACCEL"] / 100 / max(0.1, p["WPNAV_JERK"])
        self._haste += (share - self._haste) * min(1.0, dt_s / max(dt_s, lag_s))

    def hold(self, place: Vector, dt_s: float, climb_mps: float | None = None, accel_mps2: float = 2.5) -> None:
        """Holds a place, or only its level part while climbing at a rate."""
        if climb_mps is None:
            self.chase(place, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), dt_s, accel_mps2)
        else:
            want = (place[0], place[1], self.at[2])
            self.chase(want, (0.0, 0.0, climb_mps), (0.0, 0.0, 0.0), dt_s, accel_mps2)

    def chase(self, place: Vector, velocity: Vector, pull: Vector, dt_s: float, accel_mps2: float = 2.5) -> None:
        """Follows a reference that moves."""
        self._push(self.control.follow(self.at, self.moving, place, velocity, pull, dt_s, accel_mps2), dt_s)

    def pace(self, velocity: Vector, dt_s: float, accel_mps2: float = 2.5) -> None:
        """Flies at a velocity, coming to it from the present one at an acceleration."""
        if self.time_s - self._paced_s > 0.1:
            self._paced = self.moving
        self._paced_s = self.time_s
        change = [want - have for want, have in zip(velocity, self._paced, strict=True)]
        size = math.hypot(*change)
        share = min(1.0, accel_mps2 * dt_s / size) if size > 0 else 1.0
        step = (change[0] * share, change[1] * share, change[2] * share)
        self._paced = (self._paced[0] + step[0], self._paced[1] + step[1], self._paced[2] + step[2])
        ahead = (step[0] / dt_s, step[1] / dt_s, step[2] / dt_s)
        self._push(self.control.pace(self.moving, self._paced, ahead, dt_s), dt_s)

    def drift(self, lean_north: float, lean_east: float, climb_mps: float, dt_s: float) -> None:
        """Leans without knowing where it is: the wind takes it along."""
        lift = 3.0 * (climb_mps - self.body.v_up)
        self.body.fly(lean_north, lean_east, max(-2.5, min(2.5, lift)), self.yaw_rad, dt_s)

    def _push(self, ask: Vector, dt_s: float) -> None:
        # A heading that is wrong turns the push: the body knows the true one.
        error = self.sensors.yaw_error_rad
        cos, sin = math.cos(error), math.sin(error)
        north, east = ask[0] * cos + ask[1] * sin, -ask[0] * sin + ask[1] * cos
        self.body.fly(north, east, ask[2], self.yaw_rad - error, dt_s)

    def face(self, place: Vector) -> None:
        """Turns the nose towards a place, unless it is right here."""
        north, east = place[0] - self.at[0], place[1] - self.at[1]
        if math.hypot(north, east) > 1.0:
            self.yaw_rad = math.atan2(east, north)
