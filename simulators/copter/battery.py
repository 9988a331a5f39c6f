"""What flying costs: momentum theory for the rotors, drag for the body, a pack whose voltage sags under load.

This is the simulator's own physics. It deliberately shares nothing with the planner's energy model, so that a planner
that is wrong is found out in the air.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

AIR_KG_PER_M3 = 1.20
GRAVITY_MPS2 = 9.80665
# Open-circuit volts of one LiPo cell against charge (share), typical 25C discharge curve.
_CELL_CURVE = (
    (0.0, 3.20),
    (0.05, 3.50),
    (0.10, 3.60),
    (0.20, 3.70),
    (0.40, 3.77),
    (0.60, 3.86),
    (0.80, 4.00),
    (1.0, 4.18),
)


@dataclass(frozen=True)
class Airframe:
    """A quadrotor of the S500 size with a mapping camera, the one our `arducopter` profile names.

    With these figures it draws 280 W hovering and 254 W at 10 m/s, from a 4S 8 Ah pack (118 Wh).

    Attributes:
        mass_kg: All up.
        disk_m2: Area of four 13 inch rotors.
        merit: Figure of merit of rotor, motor and controller together.
        drag_area_m2: Drag coefficient times frontal area.
        avionics_w: Autopilot, camera, radio.
        tilt_max_deg: ANGLE_MAX of the airframe.
        cells: In series.
        capacity_ah: Of the new pack.
        resistance_ohm: Pack and leads.
    """

    mass_kg: float = 2.1
    disk_m2: float = 0.342
    merit: float = 0.52
    drag_area_m2: float = 0.060
    avionics_w: float = 12.0
    tilt_max_deg: float = 30.0
    cells: int = 4
    capacity_ah: float = 8.0
    resistance_ohm: float = 0.030

    def power_w(self, thrust_n: float, airspeed_mps: float, climb_mps: float) -> float:
        """Electrical power for a thrust at an airspeed (level component) and climb rate."""
        if thrust_n <= 0.0:
            return self.avionics_w
        hover_v = math.sqrt(thrust_n / (2 * AIR_KG_PER_M3 * self.disk_m2))
        # Glauert's induced velocity in forward flight, closed form of v^4 + v^2 V^2 = vh^4.
        half = airspeed_mps * airspeed_mps / 2
        induced = math.sqrt(math.sqrt(half * half + hover_v**4) - half)
        profile = 0.35 * hover_v * (1 + 4.6 * (airspeed_mps / 110.0) ** 2)
        parasite_w = 0.5 * AIR_KG_PER_M3 * self.drag_area_m2 * airspeed_mps**3
        climb_w = thrust_n * climb_mps * (1.0 if climb_mps > 0 else 0.6)
        shaft_w = thrust_n * (induced + profile) + parasite_w + climb_w
        return max(0.15 * thrust_n * hover_v, shaft_w) / self.merit + self.avionics_w


class Battery:
    """One pack: charge drawn, voltage under load, and a fresh one on `swap`."""

    def __init__(self, airframe: Airframe) -> None:
        self.airframe = airframe
        self.drawn_ah = 0.0
        self.drawn_wh = 0.0
        self.current_a = 0.0
        self.voltage_v = 0.0
        self.swap()

    @property
    def charge(self) -> float:
        """Share of the charge that is left, 0..1."""
        return max(0.0, 1.0 - self.drawn_ah / self.airframe.capacity_ah)

    @property
    def percent(self) -> int:
        """The same in whole percent, as BATTERY_STATUS has it."""
        return round(100 * self.charge)

    def swap(self, percent: float = 100.0) -> None:
        """A pack charged to `percent` goes in."""
        self.drawn_ah = self.airframe.capacity_ah * (1 - max(0.0, min(100.0, percent)) / 100)
        self.drawn_wh = 0.0
        self.voltage_v = self._open_circuit_v()

    def drop(self, percent: float) -> None:
        """Takes `percent` of the capacity away at once (a cell gone bad)."""
        self.drawn_ah += self.airframe.capacity_ah * percent / 100

    def draw(self, power_w: float, dt_s: float) -> None:
        """Draws `power_w` for `dt_s`."""
        open_v = self._open_circuit_v()
        # The current I that gives I * (U - I R) = P; a pack too flat for P delivers what it can.
        root = open_v * open_v - 4 * self.airframe.resistance_ohm * power_w
        self.current_a = (open_v - math.sqrt(max(root, 0.0))) / (2 * self.airframe.resistance_ohm)
        self.voltage_v = open_v - self.current_a * self.airframe.resistance_ohm
        self.drawn_ah += self.current_a * dt_s / 3600
        self.drawn_wh += self.voltage_v * self.current_a * dt_s / 3600

    def _open_circuit_v(self) -> float:
        charge = self.charge
        below = _CELL_CURVE[0]
        for above in _CELL_CURVE[1:]:
            if charge <= above[0]:
                share = (charge - below[0]) / (above[0] - below[0])
                return self.airframe.cells * (below[1] + share * (above[1] - below[1]))
            below = above
        return self.airframe.cells * below[1]
