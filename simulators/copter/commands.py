"""MAV_CMD: what each command does, and how it is answered. COMMAND_LONG, COMMAND_INT and DO items share this."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.copter import items as it
from simulators.copter.autopilot import FORCE_ARM, FORCE_DISARM
from simulators.copter.items import Item
from simulators.copter.pilot import AUTO, BRAKE, GUIDED, LAND, LOITER, RTL, WARNING
from simulators.copter.telemetry import BUILDERS

if TYPE_CHECKING:
    from simulators.copter.channel import Channel
    from simulators.copter.vehicle import Vehicle

ACCEPTED, TEMPORARILY_REJECTED, DENIED, UNSUPPORTED, FAILED = 0, 1, 2, 3, 4
_HIGHEST_M = 20_000.0
_FASTEST_MPS = 50.0


@dataclass(frozen=True)
class Command:
    """One command in plain units; `lat` and `lon` in degrees (NaN where it has no place), `z` metres in `frame`."""

    number: int
    p: tuple[float, float, float, float]
    lat: float = math.nan
    lon: float = math.nan
    z: float = 0.0
    frame: int = 3
    raw: tuple[float, float] = (0.0, 0.0)

    @property
    def has_place(self) -> bool:
        """Whether latitude, longitude and height are numbers that can be flown to."""
        # NaN fails every comparison.
        return abs(self.lat) <= 90 and abs(self.lon) <= 180 and abs(self.z) <= _HIGHEST_M

    @property
    def item(self) -> Item:
        """The same as a mission item."""
        x, y = (
            (0, 0) if math.isnan(self.lat) or math.isnan(self.lon) else (round(self.lat * 1e7), round(self.lon * 1e7))
        )
        return Item(self.number, self.frame, *self.p, x=x, y=y, z=self.z if math.isfinite(self.z) else 0.0)


def _mode(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    if not int(c.p[0]) & 1:
        return DENIED
    return ACCEPTED if vehicle.autopilot.set_mode(int(c.p[1])) else FAILED


def _arm(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    if c.p[0] == 1:
        return ACCEPTED if vehicle.autopilot.arm(force=int(c.p[1]) == FORCE_ARM) else FAILED
    if c.p[0] == 0:
        return ACCEPTED if vehicle.autopilot.disarm(force=int(c.p[1]) == FORCE_DISARM) else FAILED
    return UNSUPPORTED


def _take_off(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    high_enough = abs(c.z) <= _HIGHEST_M
    return ACCEPTED if high_enough and vehicle.autopilot.take_off(c.z) else FAILED


def _to_mode(mode: int) -> Handler:
    def act(vehicle: Vehicle, channel: Channel, c: Command) -> int:
        return ACCEPTED if vehicle.autopilot.set_mode(mode) else FAILED

    return act


def _start_mission(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    if c.p[0] or c.p[1]:
        return DENIED
    autopilot = vehicle.autopilot
    if not autopilot.set_mode(AUTO):
        return FAILED
    if not autopilot.pilot.armed:
        # As the real one does: the mode is chosen, and that AUTO cannot be armed in is said by arming.
        return ACCEPTED
    return ACCEPTED if autopilot.sequence.launch(autopilot.pilot) else FAILED


def _reposition(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    pilot = vehicle.pilot
    if not c.has_place or not pilot.armed or pilot.landed:
        return DENIED
    may_change = math.isfinite(c.p[1]) and int(c.p[1]) & 1
    if pilot.mode != GUIDED and (not may_change or not vehicle.autopilot.set_mode(GUIDED)):
        return DENIED
    speed = min(c.p[0], _FASTEST_MPS) if c.p[0] > 0 else None
    return ACCEPTED if vehicle.autopilot.guided.go_to(pilot, pilot.place_of(c.item), speed) else FAILED


def _pause(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    """DO_PAUSE_CONTINUE: 0 holds (BRAKE), 1 goes on with the mission."""
    pilot = vehicle.pilot
    if int(c.p[0]) == 0:
        return ACCEPTED if vehicle.autopilot.set_mode(BRAKE) else FAILED
    return ACCEPTED if pilot.armed and vehicle.autopilot.set_mode(AUTO) else FAILED


def _change_speed(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    """DO_CHANGE_SPEED: ground (1) or air (0) speed, climb (2), descent (3)."""
    if not 0 < c.p[1] <= _FASTEST_MPS:
        return DENIED
    kind, pilot = int(c.p[0]), vehicle.pilot
    if kind in (0, 1):
        pilot.speed_mps = c.p[1]
    else:
        pilot.parameters.put("WPNAV_SPEED_UP" if kind == 2 else "WPNAV_SPEED_DN", c.p[1] * 100)
    pilot.track.change_speed(pilot.limits())
    return ACCEPTED


def _set_home(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    pilot = vehicle.pilot
    if c.p[0] == 1 or math.isnan(c.lat) or (c.lat == 0 and c.lon == 0):
        pilot.set_home()
    elif not c.has_place:
        return DENIED
    else:
        pilot.set_home(c.lon, c.lat, c.z)
    vehicle.report(242)
    return ACCEPTED


def _trigger_distance(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    vehicle.autopilot.shutter.by_distance(c.p[0], vehicle.pilot.pose(), at_once=int(c.p[2]) == 1)
    return ACCEPTED


def _digicam(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    """DO_DIGICAM_CONTROL: the fifth parameter is "shoot"; a mission keeps it in x."""
    if int(c.raw[0]) == 1:
        vehicle.autopilot.shutter.shoot(vehicle.pilot.pose())
    return ACCEPTED


def _start_capture(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    interval, total, sequence = (max(0.0, v) if math.isfinite(v) else 0.0 for v in c.p[1:])
    if total == 0 and interval == 0:
        return DENIED
    vehicle.autopilot.shutter.by_interval(interval, int(total), int(sequence), vehicle.pilot.pose())
    return ACCEPTED


def _stop_capture(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    vehicle.autopilot.shutter.stop()
    return ACCEPTED


def _gimbal(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    """DO_GIMBAL_MANAGER_PITCHYAW and DO_MOUNT_CONTROL: pitch within the gimbal's reach."""
    if not math.isfinite(c.p[0]):
        return ACCEPTED
    p = vehicle.pilot.parameters
    if not p["MNT1_PITCH_MIN"] <= c.p[0] <= p["MNT1_PITCH_MAX"]:
        return DENIED
    vehicle.autopilot.shutter.tilt_deg = c.p[0]
    return ACCEPTED


def _fence(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    vehicle.pilot.parameters.set("FENCE_ENABLE", float(int(c.p[0]) == 1))
    vehicle.pilot.refresh_fence()
    return ACCEPTED


def _yaw(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    pilot = vehicle.pilot
    turn = math.radians(c.p[0]) * (-1 if c.p[2] < 0 and c.p[3] else 1)
    pilot.yaw_rad = pilot.heading_rad() + turn if c.p[3] else turn
    return ACCEPTED


def _select_item(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    return ACCEPTED if vehicle.select_item(int(c.p[0])) else FAILED


def _battery_reset(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    """A fresh pack: refused in the air."""
    if vehicle.pilot.armed or not 0 <= c.p[1] <= 100:
        return DENIED
    if int(c.p[0]) & 1:
        vehicle.swap_battery(c.p[1])
    return ACCEPTED


def _reboot(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    if int(c.p[0]) not in (1, 3):
        return UNSUPPORTED
    if vehicle.pilot.armed and int(c.p[3] if len(c.p) > 3 else 0) != 99:
        return FAILED
    vehicle.reboot_soon()
    return ACCEPTED


def _set_interval(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    message_id, interval_us = int(c.p[0]), c.p[1]
    if message_id not in BUILDERS and message_id not in vehicle.extra_builders:
        return UNSUPPORTED if interval_us >= 0 else ACCEPTED
    period = None if interval_us < 0 else max(interval_us, 0) / 1e6
    if interval_us == 0:
        period = 1.0 if message_id == 0 else None
    # The streams run at 50 Hz of the simulated clock at most.
    channel.set_period(message_id, max(0.02, period) if period is not None else None, vehicle.pilot.time_s)
    return ACCEPTED


def _get_interval(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    vehicle.send_interval(channel, int(c.p[0]))
    return ACCEPTED


def _request_message(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    return ACCEPTED if vehicle.send_message(channel, int(c.p[0]), c.p[1]) else FAILED


def _request_one(message_id: int) -> Handler:
    """The older commands that ask for one message each."""

    def act(vehicle: Vehicle, channel: Channel, c: Command) -> int:
        return ACCEPTED if vehicle.send_message(channel, message_id, 0) else FAILED

    return act


def _nothing(vehicle: Vehicle, channel: Channel, c: Command) -> int:
    return ACCEPTED


Handler = Callable[["Vehicle", "Channel", Command], int]

HANDLERS: dict[int, Handler] = {
    it.RETURN_TO_LAUNCH: _to_mode(RTL), it.LAND: _to_mode(LAND), it.LOITER_UNLIMITED: _to_mode(LOITER),
    it.TAKEOFF: _take_off, it.CONDITION_YAW: _yaw, 176: _mode, it.DO_CHANGE_SPEED: _change_speed,
    it.DO_SET_HOME: _set_home, it.DO_SET_SERVO: _nothing, 192: _reposition, 193: _pause, it.DO_SET_ROI: _nothing,
    it.DO_SET_ROI_LOCATION: _nothing, it.DO_SET_ROI_NONE: _nothing, it.DO_DIGICAM_CONTROL: _digicam,
    it.DO_MOUNT_CONTROL: _gimbal, it.DO_TRIGGER_DISTANCE: _trigger_distance, it.DO_FENCE_ENABLE: _fence,
    224: _select_item, 246: _reboot, 300: _start_mission, 400: _arm, 410: _request_one(242), 510: _get_interval,
    511: _set_interval, 512: _request_message, 519: _request_one(148), 520: _request_one(148),
    it.DO_LAND_START: _nothing, it.DO_GIMBAL_PITCHYAW: _gimbal, it.IMAGE_START_CAPTURE: _start_capture,
    it.IMAGE_STOP_CAPTURE: _stop_capture, it.VIDEO_START: _nothing, it.VIDEO_STOP: _nothing, 42651: _battery_reset,
}  # fmt: skip


def carry_out(vehicle: Vehicle, channel: Channel, command: Command) -> int:
    """MAV_RESULT of a command."""
    handler = HANDLERS.get(command.number)
    return handler(vehicle, channel, command) if handler else UNSUPPORTED


def carry_out_item(vehicle: Vehicle, item: Item) -> None:
    """A DO item of a mission."""
    place = (item.lat, item.lon) if item.x or item.y else (math.nan, math.nan)
    command = Command(item.command, item.params, *place, item.z, item.frame, (float(item.x), float(item.y)))
    if carry_out(vehicle, vehicle.nobody, command) not in (ACCEPTED,):
        vehicle.say(WARNING, f"Mission item {item.command} failed")
