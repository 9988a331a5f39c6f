"""Arming rules and failsafes: what the autopilot refuses on the ground and does by itself in the air."""

from __future__ import annotations

import math

from simulators.copter import fence as fences
from simulators.copter.pilot import (
    AUTO,
    BRAKE,
    CRITICAL,
    GUIDED,
    LAND,
    MODE_NAMES,
    NEEDS_POSITION,
    NOTICE,
    RTL,
    Pilot,
)  # fmt: skip

_UNARMABLE = frozenset((RTL, LAND, BRAKE))
# A breach that grows by this much is acted on again; beyond the last figure the vehicle gives up on coming back.
_BREACH_AGAIN_M = 20.0
_BREACH_GIVE_UP_M = 100.0
_FENCE_NAMES = {
    fences.ALT_MAX: "Max Alt", fences.CIRCLE: "Circle", fences.POLYGON: "Polygon", fences.ALT_MIN: "Min Alt",
}  # fmt: skip


def arming_refusal(pilot: Pilot, *, mission_starts: bool) -> str | None:
    """Why the vehicle will not arm now, as ArduCopter words it; None where it will."""
    if pilot.mode in _UNARMABLE or (pilot.mode == AUTO and not int(pilot.parameters["AUTO_OPTIONS"]) & 1):
        return f"Arm: {MODE_NAMES[pilot.mode]} mode not armable"
    if not pilot.landed:
        return None
    if pilot.parameters["ARMING_CHECK"] == 0:
        return None
    sensors = pilot.sensors
    if pilot.mode in NEEDS_POSITION or pilot.fence.enabled:
        if not sensors.gps_ok:
            return "PreArm: GPS 1: Bad fix"
        if not sensors.ekf_ok:
            return "PreArm: Need Position Estimate"
        if math.hypot(*sensors.glitch) > 5.0:
            return "PreArm: GPS 1: glitching"
    if abs(sensors.compass_offset_rad) > math.radians(20):
        return "PreArm: Compass inconsistent"
    if pilot.body.motor_share < 1.0:
        return "PreArm: Motors: Check frame class and type"
    return _battery_refusal(pilot) or _fence_refusal(pilot)


def _battery_refusal(pilot: Pilot) -> str | None:
    p, battery = pilot.parameters, pilot.battery
    left_mah = battery.charge * battery.airframe.capacity_ah * 1000
    if battery.voltage_v < p["BATT_ARM_VOLT"] or left_mah < p["BATT_ARM_MAH"]:
        return "PreArm: Battery 1 below minimum arming capacity"
    if battery_state(pilot) > 0:
        return "PreArm: Battery 1 low voltage failsafe"
    return None


def _fence_refusal(pilot: Pilot) -> str | None:
    fence = pilot.fence
    if not fence.enabled:
        return None
    if fence.breaches(pilot.at[:2], 0.0) & ~(fences.CIRCLE | fences.ALT_MIN):
        return "PreArm: Vehicle breaching Polygon fence"
    return None


def battery_state(pilot: Pilot) -> int:
    """0 well, 1 low, 2 critical, at this moment (the autopilot waits BATT_LOW_TIMER before it believes a voltage)."""
    p, battery = pilot.parameters, pilot.battery
    left_mah = battery.charge * battery.airframe.capacity_ah * 1000
    if battery.voltage_v < p["BATT_CRT_VOLT"] or (p["BATT_CRT_MAH"] and left_mah <= p["BATT_CRT_MAH"]):
        return 2
    if battery.voltage_v < p["BATT_LOW_VOLT"] or (p["BATT_LOW_MAH"] and left_mah <= p["BATT_LOW_MAH"]):
        return 1
    return 0


class Failsafes:
    """Watches battery, ground station, EKF and fence, ten times a second.

    Attributes:
        gcs_heard_s: When the ground station's last heartbeat came; None before the first.
        breach: Mask of the fences that are breached now.
        breach_count: Breaches since power-on.
        breach_s: When the last one began.
        battery: Worst battery state that was acted on.
    """

    def __init__(self) -> None:
        self.gcs_heard_s: float | None = None
        self.gcs_lost = False
        self.breach = 0
        self.breach_count = 0
        self.breach_s = 0.0
        self.battery = 0
        self.ekf_lost = False
        self._breach_depth_m = 0.0
        self._battery_since_s: float | None = None

    def rest(self) -> None:
        """On the ground, disarmed: the battery's verdict is forgotten when the pack is."""
        self.battery = 0
        self._battery_since_s = None
        self._breach_depth_m = 0.0

    def step(self, pilot: Pilot) -> None:
        """Looks at everything once."""
        self._watch_fence(pilot)
        if not pilot.armed:
            self.gcs_lost = self.ekf_lost = False
            return
        self._watch_battery(pilot)
        self._watch_gcs(pilot)
        self._watch_ekf(pilot)

    def _watch_battery(self, pilot: Pilot) -> None:
        state = battery_state(pilot)
        if state <= self.battery:
            self._battery_since_s = None
            return
        if self._battery_since_s is None:
            self._battery_since_s = pilot.time_s
        if pilot.time_s - self._battery_since_s < pilot.parameters["BATT_LOW_TIMER"]:
            return
        self.battery, self._battery_since_s = state, None
        word = "critical" if state == 2 else "low"
        pilot.say(
            CRITICAL, f"Battery 1 is {word} {pilot.battery.voltage_v:.2f}V used {pilot.battery.drawn_ah * 1000:.0f} mAh"
        )
        action = int(pilot.parameters["BATT_FS_CRT_ACT" if state == 2 else "BATT_FS_LOW_ACT"])
        mode = {1: LAND, 2: RTL, 3: RTL, 4: RTL, 7: BRAKE}.get(action)
        if action == 5:
            pilot.disarm("battery failsafe")
        elif mode is not None and pilot.mode != LAND:
            go(pilot, mode, "Battery failsafe")

    def _watch_gcs(self, pilot: Pilot) -> None:
        enable = int(pilot.parameters["FS_GCS_ENABLE"])
        if not enable or self.gcs_heard_s is None:
            self.gcs_lost = False
            return
        patience = max(pilot.parameters["FS_GCS_TIMEOUT"], 2.0) * pilot.grace
        lost = pilot.time_s - self.gcs_heard_s > patience
        if lost and not self.gcs_lost:
            pilot.say(CRITICAL, "GCS Failsafe")
            options = int(pilot.parameters["FS_OPTIONS"])
            if not ((options & 2 and pilot.mode == AUTO) or (options & 8 and pilot.mode == LAND) or pilot.landed):
                mode = {1: RTL, 3: RTL, 4: RTL, 5: LAND, 6: RTL, 7: BRAKE}.get(enable)
                if mode is not None and pilot.mode not in (RTL, LAND):
                    go(pilot, mode, "GCS failsafe")
        elif self.gcs_lost and not lost:
            pilot.say(NOTICE, "GCS Failsafe Cleared")
        self.gcs_lost = lost

    def _watch_ekf(self, pilot: Pilot) -> None:
        lost = not pilot.sensors.ekf_ok
        if lost and not self.ekf_lost and pilot.mode in NEEDS_POSITION and not pilot.landed:
            pilot.say(CRITICAL, "EKF Failsafe: changed to LAND Mode")
            if int(pilot.parameters["FS_EKF_ACTION"]) in (1, 3):
                pilot.set_mode(LAND, "EKF failsafe")
        self.ekf_lost = lost

    def _watch_fence(self, pilot: Pilot) -> None:
        pilot.refresh_fence()
        depths = pilot.fence.depths(pilot.at[:2], pilot.height_m) if pilot.armed and not pilot.landed else {}
        depths.pop(fences.ALT_MIN, None)
        breach = sum(kind for kind, depth in depths.items() if depth > 0)
        deepest = max(depths.values(), default=-math.inf)
        new = breach & ~self.breach
        if new:
            self.breach_count += 1
            self.breach_s = pilot.time_s
            self._breach_depth_m = deepest
            names = " ".join(name for kind, name in _FENCE_NAMES.items() if new & kind)
            pilot.say(NOTICE, f"{names} fence breached")
        again = breach and deepest > self._breach_depth_m + _BREACH_AGAIN_M
        if again:
            self._breach_depth_m = deepest
        if new or again:
            self._act_on_breach(pilot, deepest)
        elif self.breach and not breach and pilot.armed:
            pilot.say(NOTICE, "Fence breach cleared")
        self.breach = breach

    @staticmethod
    def _act_on_breach(pilot: Pilot, depth_m: float) -> None:
        action = int(pilot.parameters["FENCE_ACTION"])
        if action == 0 or pilot.mode == LAND:
            return
        if depth_m > _BREACH_GIVE_UP_M or action == 2:
            go(pilot, LAND, "Fence breach")
        elif action == 4:
            go(pilot, BRAKE, "Fence breach")
        else:
            go(pilot, RTL, "Fence breach")


def go(pilot: Pilot, mode: int, reason: str) -> None:
    """Changes to a mode, or lands where that is not possible."""
    if pilot.mode == mode:
        return
    if not pilot.set_mode(mode, reason):
        pilot.set_mode(LAND, reason)


__all__ = ["GUIDED", "Failsafes", "arming_refusal", "battery_state", "go"]
