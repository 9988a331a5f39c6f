"""Preflight as grades: each check says pass, warn or fail and why; go when none fails.

What the vehicle says (link, GPS, EKF, battery, home, wind, parameters) and what people must have (`flight.papers`). A
failed check can be overridden by a named person with a reason, which goes on record; a link that is down, a mission
that does not read back equal and a home too far away cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flight.errors import FlightError
from flight.orders import Orders, distance_m
from flight.papers import Papers, check_papers
from flight.params import read_param
from flight.policy import Check, Grade, Policy
from flight.vehicle import Vehicle

__all__ = ["Check", "Grade", "Override", "Policy", "blocking", "checks_of", "wait_until_ready"]

# A reading older than this is no reading: telemetry comes at 1 Hz or faster.
_FRESH_S = 5.0
_LEAST_SATELLITES = 8
_MOST_HDOP = 1.6
_EKF_HEALTHY = 0.8  # ArduPilot's FS_EKF_THRESH
# Energy a sortie may use of what is in the battery; the planner keeps its own reserve on top of a full battery.
_USABLE_SHARE = 0.85
# A pack may lie a little under the plan's need because state of charge is itself known to a few per cent.
_LEAST_REMAINING = 0.3
FINAL = frozenset({"link", "home", "mission"})
# What waiting does not mend.
_STANDS = frozenset({"battery", "wind", "home", "approval", "pilot", "weather"})
OVERRIDABLE = ("gps", "ekf", "battery", "wind", "approval", "pilot", "weather", "parameter")


@dataclass(frozen=True)
class Override:
    """A named person's decision to fly with a failed check; "parameter" stands for all parameters."""

    person: str
    reason: str
    checks: frozenset[str]

    def __post_init__(self) -> None:
        """Refuses what must not be overridden, and what nobody stands for."""
        if not self.person.strip() or not self.reason.strip():
            raise FlightError("an override needs a person's name and a reason: both go on record")
        if final := sorted(self.checks & FINAL):
            raise FlightError(f"{', '.join(final)} cannot be overridden: without it no flight is safe")

    def covers(self, check: Check) -> bool:
        """Whether this check is waived by it."""
        return check.name in self.checks or (check.name.startswith("parameter ") and "parameter" in self.checks)


def check_link(vehicle: Vehicle) -> Check:
    """A fresh heartbeat and a measured round trip."""
    age_s = vehicle.state.age_s(vehicle.state.heartbeat)
    if age_s > _FRESH_S:
        return Check("link", "fail", f"no heartbeat for {age_s:.0f} s")
    rtt_ms = vehicle.rtt.smooth_s * 1e3
    if rtt_ms > 1500:
        return Check("link", "warn", f"round trip {rtt_ms:.0f} ms")
    return Check("link", "pass", f"round trip {rtt_ms:.0f} ms" if rtt_ms == rtt_ms else "heartbeat")


def check_gps(vehicle: Vehicle) -> Check:
    """A 3D fix good enough to fly by."""
    gps = vehicle.state.gps
    if gps is None or vehicle.state.age_s(gps) > _FRESH_S:
        return Check("gps", "fail", "no GPS message")
    if gps.fix_type < 3:
        return Check("gps", "fail", f"no 3D fix (type {gps.fix_type}, {gps.satellites} satellites)")
    weak = gps.satellites < _LEAST_SATELLITES or (gps.hdop == gps.hdop and gps.hdop > _MOST_HDOP)
    return Check("gps", "warn" if weak else "pass", f"{gps.satellites} satellites, HDOP {gps.hdop:.1f}")


def check_ekf(vehicle: Vehicle) -> Check:
    """The estimator has a position and the autopilot's own pre-arm checks pass."""
    sensors, ekf = vehicle.state.sensors, vehicle.state.ekf
    if sensors is not None and sensors.prearm_ok is False:
        said = [text.text for text in vehicle.state.texts if "rearm" in text.text]
        return Check("ekf", "fail", said[-1] if said else "the autopilot's pre-arm checks fail")
    if ekf is None:
        return Check("ekf", "warn", "the vehicle reports no estimator state")
    if not ekf.has_position:
        return Check("ekf", "fail", f"the estimator has no position (flags {ekf.flags:#x})")
    worst = max(ekf.velocity_variance, ekf.position_variance, ekf.height_variance, ekf.compass_variance)
    if worst > _EKF_HEALTHY:
        return Check("ekf", "fail", f"estimator variance {worst:.2f}, limit {_EKF_HEALTHY}")
    return Check("ekf", "pass", f"variance {worst:.2f}")


def check_battery(vehicle: Vehicle, orders: Orders, policy: Policy) -> Check:
    """Energy for this very sortie, not for flying in general."""
    battery = vehicle.state.battery
    if battery is None or battery.remaining != battery.remaining:
        return Check("battery", "warn", "the vehicle does not say how full it is")
    full = f"{battery.remaining:.0%} full"
    if policy.battery_wh == policy.battery_wh:
        has_wh = battery.remaining * policy.battery_wh * _USABLE_SHARE
        text = f"{full}, {has_wh:.0f} Wh usable, the sortie needs {orders.sortie.energy_wh:.0f} Wh"
        return Check("battery", "pass" if has_wh >= orders.sortie.energy_wh else "fail", text)
    return Check("battery", "pass" if battery.remaining >= _LEAST_REMAINING else "fail", full)


def home_offset_m(vehicle: Vehicle, orders: Orders) -> float:
    """Distance from where the vehicle stands to the sortie's home; NaN while it does not know where it is.

    A disarmed autopilot sets its home where it stands at the moment of arming, so that this is its home.
    """
    at = vehicle.state.position
    if at is None or (at.lon == 0 and at.lat == 0):
        return math.nan
    return distance_m((at.lon, at.lat), orders.sortie.home[:2])


def check_home(vehicle: Vehicle, orders: Orders, policy: Policy) -> Check:
    """The vehicle stands where the plan starts."""
    offset_m = home_offset_m(vehicle, orders)
    if offset_m != offset_m:
        return Check("home", "fail", "the vehicle does not know where it is")
    grade: Grade = "pass" if offset_m <= policy.max_home_offset_m else "fail"
    return Check("home", grade, f"{offset_m:.1f} m from the sortie's home, limit {policy.max_home_offset_m:g} m")


def check_wind(vehicle: Vehicle, policy: Policy) -> Check:
    """Wind as the autopilot estimates it, where it does."""
    wind = vehicle.state.wind
    if wind is None or policy.max_wind_mps != policy.max_wind_mps:
        return Check("wind", "pass", "no limit set" if wind else "not reported on the ground")
    grade: Grade = "pass" if wind.speed_mps <= policy.max_wind_mps else "fail"
    return Check("wind", grade, f"{wind.speed_mps:.1f} m/s, limit {policy.max_wind_mps:g} m/s")


def checks_of(vehicle: Vehicle, orders: Orders, policy: Policy, papers: Papers | None = None) -> list[Check]:
    """All checks that telemetry and papers answer."""
    return [
        check_link(vehicle),
        check_gps(vehicle),
        check_ekf(vehicle),
        check_battery(vehicle, orders, policy),
        check_home(vehicle, orders, policy),
        check_wind(vehicle, policy),
        *check_papers(
            papers or Papers(), policy, pilot_of(orders), vehicle.unix_us(), orders.sortie.duration_s
        ),
    ]  # fmt: skip


def pilot_of(orders: Orders) -> str:
    """Who flies this sortie by the plan, "" where it was planned without a roster."""
    return str(getattr(orders.sortie, "pilot", "") or "")


async def check_parameters(vehicle: Vehicle, policy: Policy) -> list[Check]:
    """The vehicle's parameters against the policy; they are read, never written."""
    return [rule.judge(await read_param(vehicle, rule.name)) for rule in policy.parameters]


def blocking(checks: Sequence[Check], overrides: Sequence[Override] = ()) -> list[Check]:
    """Failed checks that nobody overrode."""
    return [check for check in checks if check.grade == "fail" and not any(o.covers(check) for o in overrides)]


async def wait_until_ready(
    vehicle: Vehicle,
    orders: Orders,
    policy: Policy,
    *,
    wait_s: float,
    overrides: Sequence[Override] = (),
    papers: Papers | None = None,
) -> list[Check]:
    """Waits for what comes by itself (a real EKF needs ~40 s after power-on) and gives the last grades.

    A battery or a home that is wrong does not get better by waiting: it ends the wait at once.
    """
    found: list[Check] = []

    def settled() -> bool:
        found[:] = checks_of(vehicle, orders, policy, papers)
        names = {check.name for check in blocking(found, overrides)}
        known = vehicle.state.battery is not None and vehicle.state.position is not None
        return not names or (known and names <= _STANDS)

    condition: Callable[[], bool] = settled
    await vehicle.until(condition, wait_s, every_s=0.5)
    return found
