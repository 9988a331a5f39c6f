"""Time and energy of flight: hover, climb, cruise, corners and wind of one aircraft profile, vectorised over legs.

Power over airspeed is the rotorcraft curve of Zeng, Xu and Zhang (IEEE TWC 18(4), 2019): induced power falls, profile
power rises a little, parasite power with the cube. Its one free term is fitted to the power at `forward_mps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from missions.aircraft import AircraftProfile
from missions.errors import MissionsError
from missions.frame import Array

_GRAVITY_MPS2 = 9.81
# Share of hover power that is induced, induced velocity and blade tip speed of small multirotors (table I, rounded).
_INDUCED_SHARE = 0.72
_INDUCED_MPS = 5.0
_TIP_MPS = 100.0
_CLIMB_EFFICIENCY = 0.7
_LEAST_PROGRESS_MPS = 2.0


@dataclass(frozen=True)
class FlightModel:
    """How long legs take and what they draw, for one profile in one wind.

    Attributes:
        profile: The aircraft.
        wind_mps: Wind speed at flight height.
        wind_from_deg: Where it comes from, clockwise from north.
    """

    profile: AircraftProfile
    wind_mps: float = 0.0
    wind_from_deg: float = 0.0

    def __post_init__(self) -> None:
        """Refuses a wind that this aircraft does not fly in."""
        if not 0 <= self.wind_mps <= self.profile.max_wind_mps:
            raise MissionsError(
                f"wind of {self.wind_mps:g} m/s: {self.profile.title} flies in at most "
                f"{self.profile.max_wind_mps:g} m/s; wait, or choose another aircraft"
            )

    @cached_property
    def _wind_xy(self) -> Array:
        toward = math.radians(self.wind_from_deg + 180.0)
        return self.wind_mps * np.array([math.sin(toward), math.cos(toward)])

    def _curve_w(self, airspeed_mps: Array) -> Array:
        square = airspeed_mps**2 / (2 * _INDUCED_MPS**2)
        induced = np.sqrt(np.sqrt(1 + square**2) - square)
        blade = 1 + 3 * airspeed_mps**2 / _TIP_MPS**2
        return self.profile.hover_w * (_INDUCED_SHARE * induced + (1 - _INDUCED_SHARE) * blade)

    @cached_property
    def _drag(self) -> float:
        known = self.profile.forward_mps
        return max(0.0, (self.profile.forward_w - float(self._curve_w(np.array(known)))) / known**3)

    def power_w(self, airspeed_mps: Array) -> Array:
        """Power in level flight at an airspeed."""
        return self._curve_w(np.asarray(airspeed_mps)) + self._drag * np.asarray(airspeed_mps) ** 3

    def ground_speed_mps(self, course: Array, wanted_mps: float | None = None) -> Array:
        """Speed over ground along unit vectors `course` (n, 2): the wanted one, or what the airspeed limit leaves."""
        along = course @ self._wind_xy
        limit = self.profile.max_airspeed_mps
        cap = along + np.sqrt(np.maximum(limit**2 - self.wind_mps**2 + along**2, 0.0))
        return np.clip(cap, _LEAST_PROGRESS_MPS, wanted_mps or self.profile.cruise_mps)

    def straight(self, vectors: Array, speed_mps: float | None = None) -> tuple[Array, Array, Array]:
        """Straight legs without corners.

        Args:
            vectors: (n, 2) metres, the legs' displacements.
            speed_mps: Wanted ground speed, default the profile's cruise.

        Returns:
            Ground speed (n,) m/s, time (n,) s, energy (n,) Wh.
        """
        length = np.hypot(vectors[:, 0], vectors[:, 1])
        course = vectors / np.maximum(length, 1e-9)[:, None]
        speed = self.ground_speed_mps(course, speed_mps)
        airspeed = np.hypot(*(course * speed[:, None] - self._wind_xy).T)
        time = length / speed
        return speed, time, self.power_w(airspeed) * time / 3600.0

    def corner_mps(self, cosine: Array) -> Array:
        """Speed kept through a corner whose courses have this cosine between them (1 straight on, -1 back)."""
        tangent = np.sqrt(np.maximum(1 - cosine, 0.0) / np.maximum(1 + cosine, 1e-9))
        return np.minimum(self.profile.corner_mps / np.maximum(tangent, 1e-9), 1e3)

    def corner_s(self, cosine: Array, speed_mps: Array | float) -> Array:
        """Time lost to slowing down and speeding up again around a corner between long legs."""
        drop = np.maximum(speed_mps - self.corner_mps(cosine), 0.0)
        return drop**2 / (np.maximum(speed_mps, 0.1) * self.profile.accel_mps2)

    def _bend_mps(self, cosine: Array, length: Array) -> Array:
        """Speed at which the sideways acceleration of a bend made of short legs is the aircraft's own.

        Args:
            cosine: (n + 1,) as `corner_mps` takes them, the ends included.
            length: (n,) of the legs, metres.
        """
        tangent = np.sqrt(np.maximum(1 - cosine[1:-1], 0.0) / np.maximum(1 + cosine[1:-1], 1e-9))
        radius_m = np.minimum(length[:-1], length[1:]) / np.maximum(2 * tangent, 1e-9)
        return np.concatenate([[1e3], np.sqrt(self.profile.accel_mps2 * radius_m), [1e3]])

    def route(
        self, points: Array, heights_m: Array | None = None, speed_mps: float | None = None
    ) -> tuple[float, float]:
        """Time (s) and energy (Wh) along a polyline from rest to rest, corners and climbs included.

        Args:
            points: (n, 2) metres.
            heights_m: (n,) metres, or None for level flight.
            speed_mps: Wanted ground speed, default the profile's cruise.
        """
        vectors = np.diff(points, axis=0)
        keep = np.hypot(vectors[:, 0], vectors[:, 1]) > 0.01
        rise = np.diff(heights_m) if heights_m is not None else np.zeros(len(vectors))
        level, rise = vectors[keep], np.concatenate([rise[keep], rise[~keep]])
        if len(level) == 0:
            return self._vertical(rise)
        speed, time, energy = self.straight(level, speed_mps)
        unit = level / np.hypot(level[:, 0], level[:, 1])[:, None]
        cosine = np.concatenate([[-1.0], np.sum(unit[1:] * unit[:-1], axis=1), [-1.0]])
        length = np.hypot(level[:, 0], level[:, 1])
        corner = np.minimum(self.corner_mps(cosine), self._bend_mps(cosine, length))
        flown = self._leg_s(length, speed, corner[:-1], corner[1:])
        extra_s = float(np.sum(flown - time))
        climb_s, climb_wh = self._slope(rise[: len(level)], flown)
        over_s, over_wh = self._vertical(rise[len(level) :])
        hover_wh = self.profile.hover_w * extra_s / 3600.0
        return float(flown.sum()) + climb_s + over_s, float(energy.sum()) + hover_wh + climb_wh + over_wh

    def _leg_s(self, length: Array, speed: Array, enter: Array, leave: Array) -> Array:
        accel = self.profile.accel_mps2
        enter, leave = np.minimum(enter, speed), np.minimum(leave, speed)
        ramps = (2 * speed**2 - enter**2 - leave**2) / (2 * accel)
        full = (2 * speed - enter - leave) / accel + (length - ramps) / speed
        peak = np.maximum(np.sqrt(accel * length + (enter**2 + leave**2) / 2), np.maximum(enter, leave))
        return np.where(ramps <= length, full, np.maximum((2 * peak - enter - leave) / accel, length / peak))

    def _slope(self, rise: Array, flown_s: Array) -> tuple[float, float]:
        """What sloping legs add: time where the vertical speed limits, energy of lifting."""
        up, down = np.maximum(rise, 0), np.maximum(-rise, 0)
        needed = up / self.profile.climb_mps + down / self.profile.descent_mps
        slower_s = float(np.maximum(needed - flown_s, 0).sum())
        lift_wh = self._lift_w(1.0) * float(up.sum()) / 3600.0
        return slower_s, self.profile.hover_w * slower_s / 3600.0 + lift_wh

    def _vertical(self, rise: Array) -> tuple[float, float]:
        up, down = float(np.maximum(rise, 0).sum()), float(np.maximum(-rise, 0).sum())
        time_s = up / self.profile.climb_mps + down / self.profile.descent_mps
        return time_s, (self.profile.hover_w * time_s + self._lift_w(1.0) * up) / 3600.0

    def _lift_w(self, climb_mps: float) -> float:
        mass_kg = self.profile.flying_mass_kg or self.profile.max_takeoff_mass_kg
        return mass_kg * _GRAVITY_MPS2 * climb_mps / _CLIMB_EFFICIENCY

    def climb(self, height_m: float) -> tuple[float, float]:
        """Time (s) and energy (Wh) of a vertical climb."""
        return self._vertical(np.array([height_m]))

    def descent(self, height_m: float) -> tuple[float, float]:
        """Time (s) and energy (Wh) of a vertical descent and touch-down."""
        time_s, energy_wh = self._vertical(np.array([-height_m]))
        landing_s = self.profile.landing_s
        return time_s + landing_s, energy_wh + self.profile.hover_w * landing_s / 3600.0

    def budget_wh(self, battery_health: float = 1.0) -> float:
        """Energy that may be planned with: the worn battery less the reserve."""
        return self.profile.battery_wh * battery_health * (1.0 - self.profile.reserve)
