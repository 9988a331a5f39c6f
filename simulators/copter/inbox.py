"""Messages that come in, apart from the mission protocol: each checked, then handed to who acts on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import items as it
from simulators.copter.channel import Channel
from simulators.copter.commands import Command, carry_out
from simulators.copter.items import Item
from simulators.copter.pilot import GUIDED
from simulators.copter.telemetry import STREAMS

if TYPE_CHECKING:
    from simulators.copter.vehicle import Vehicle


class Inbox:
    """The message handlers of one vehicle."""

    def __init__(self, vehicle: Vehicle) -> None:
        self._vehicle = vehicle

    def handlers(self) -> dict[str, Callable[[Channel, Any], None]]:
        """Handler by message name."""
        return {
            "HEARTBEAT": self._on_heartbeat,
            "COMMAND_LONG": self._on_command_long,
            "COMMAND_INT": self._on_command_int,
            "SET_MODE": self._on_set_mode,
            "REQUEST_DATA_STREAM": self._on_data_stream,
            "PARAM_REQUEST_LIST": self._on_param_list,
            "PARAM_REQUEST_READ": self._on_param_read,
            "PARAM_SET": self._on_param_set,
            "MISSION_SET_CURRENT": self._on_set_current,
            "TIMESYNC": self._on_timesync,
            "SET_POSITION_TARGET_GLOBAL_INT": self._on_target_global,
            "SET_POSITION_TARGET_LOCAL_NED": self._on_target_local,
            "RC_CHANNELS_OVERRIDE": self._on_sticks,
            "MANUAL_CONTROL": self._on_manual,
            "PING": self._on_ping,
            "SETUP_SIGNING": self._on_signing,
            "FILE_TRANSFER_PROTOCOL": self._vehicle.files.receive,
        }

    def _on_heartbeat(self, channel: Channel, message: Any) -> None:
        if message.get_srcSystem() == int(self._vehicle.pilot.parameters["SYSID_MYGCS"]):
            self._vehicle.autopilot.failsafes.gcs_heard_s = self._vehicle.pilot.time_s

    def _on_command_long(self, channel: Channel, m: Any) -> None:
        number = int(m.command)
        p = (m.param1, m.param2, m.param3, m.param4)
        place = (m.param5, m.param6) if number in it.LOCATED or number == 192 else (math.nan, math.nan)
        raw = (m.param5, m.param6) if math.isfinite(m.param5) and math.isfinite(m.param6) else (0.0, 0.0)
        self._answer(channel, m, Command(number, p, place[0], place[1], m.param7, 3, raw))

    def _on_command_int(self, channel: Channel, m: Any) -> None:
        p = (m.param1, m.param2, m.param3, m.param4)
        unset = -(2**31)
        lat, lon = (math.nan if v == unset else v * 1e-7 for v in (m.x, m.y))
        raw = (float(m.x), float(m.y))
        self._answer(channel, m, Command(int(m.command), p, lat, lon, m.z, m.frame, raw))

    def _answer(self, channel: Channel, m: Any, command: Command) -> None:
        numbers = command.p if command.number not in (192, 2000, 1000, 205, 21, 22, 201) else command.p[:1]
        bad = any(not math.isfinite(v) for v in numbers)
        result = 2 if bad and command.number != 192 else carry_out(self._vehicle, channel, command)
        peer = (m.get_srcSystem(), m.get_srcComponent())
        channel.send(mavlink.MAVLink_command_ack_message, command.number, result, 0, 0, *peer)

    def _on_set_mode(self, channel: Channel, m: Any) -> None:
        if m.base_mode & 1:
            self._vehicle.autopilot.set_mode(int(m.custom_mode))

    def _on_data_stream(self, channel: Channel, m: Any) -> None:
        streams = STREAMS.keys() if m.req_stream_id == 0 else [m.req_stream_id]
        rate = m.req_message_rate if m.start_stop else 0
        for stream in streams:
            for message_id in STREAMS.get(stream, ()):
                period = max(0.02, 1.0 / rate) if rate else None
                channel.set_period(message_id, period, self._vehicle.pilot.time_s)

    def _on_param_list(self, channel: Channel, m: Any) -> None:
        channel.parameters_from = 0

    def _on_param_read(self, channel: Channel, m: Any) -> None:
        name = self._vehicle.pilot.parameters.name_at(m.param_index) if m.param_index >= 0 else _text(m.param_id)
        if name is not None and name in self._vehicle.pilot.parameters:
            self._vehicle.send_parameter(channel, name)

    def _on_param_set(self, channel: Channel, m: Any) -> None:
        name = _text(m.param_id)
        if name not in self._vehicle.pilot.parameters:
            return
        self._vehicle.set_parameter(name, m.param_value)
        for each in self._vehicle.channels:
            self._vehicle.send_parameter(each, name)

    def _on_set_current(self, channel: Channel, m: Any) -> None:
        if self._vehicle.select_item(m.seq):
            self._vehicle.report(42)

    def _on_timesync(self, channel: Channel, m: Any) -> None:
        if m.tc1 == 0:
            channel.send(mavlink.MAVLink_timesync_message, int(self._vehicle.pilot.time_s * 1e9), m.ts1)

    def _on_signing(self, channel: Channel, m: Any) -> None:
        """A new key; all zeros end signing. The decoder has seen to it that a signed link only takes a signed one."""
        if self._vehicle.pilot.armed:
            self._vehicle.say(3, "ERROR: Won't setup signing when armed")
            return
        key = bytes(m.secret_key)
        self._vehicle.set_signing_key(key if any(key) else None, m.initial_timestamp)

    def _on_ping(self, channel: Channel, m: Any) -> None:
        if m.target_system == 0:
            peer = (m.get_srcSystem(), m.get_srcComponent())
            channel.send(mavlink.MAVLink_ping_message, m.time_usec, m.seq, *peer)

    def _on_target_global(self, channel: Channel, m: Any) -> None:
        if self._vehicle.pilot.mode != GUIDED or not self._vehicle.pilot.armed or self._vehicle.pilot.landed:
            return
        if not m.type_mask & 0x7:
            item = Item(it.WAYPOINT, m.coordinate_frame, x=m.lat_int, y=m.lon_int, z=m.alt)
            if it.refusal(item, it.MISSION) == it.ACCEPTED:
                self._vehicle.autopilot.guided.go_to(self._vehicle.pilot, self._vehicle.pilot.place_of(item))
        elif not m.type_mask & 0x38:
            self._fly_velocity(m.vx, m.vy, m.vz)

    def _on_target_local(self, channel: Channel, m: Any) -> None:
        pilot = self._vehicle.pilot
        if pilot.mode != GUIDED or not pilot.armed or pilot.landed:
            return
        body = m.coordinate_frame in (8, 9)
        heading = pilot.heading_rad() if body else 0.0
        cos, sin = math.cos(heading), math.sin(heading)
        if not m.type_mask & 0x38:
            self._fly_velocity(m.vx * cos - m.vy * sin, m.vx * sin + m.vy * cos, m.vz)
        elif not m.type_mask & 0x7 and all(map(math.isfinite, (m.x, m.y, m.z))):
            base = pilot.at if m.coordinate_frame in (7, 9) else (0.0, 0.0, 0.0)
            place = (base[0] + m.x * cos - m.y * sin, base[1] + m.x * sin + m.y * cos, base[2] - m.z)
            self._vehicle.autopilot.guided.go_to(pilot, place)

    def _fly_velocity(self, north: float, east: float, down: float) -> None:
        if all(math.isfinite(v) and abs(v) <= 50 for v in (north, east, down)):
            self._vehicle.autopilot.guided.fly(self._vehicle.pilot, (north, east, -down))

    def _on_sticks(self, channel: Channel, m: Any) -> None:
        sticks = self._vehicle.pilot.sticks
        for index in range(8):
            value = getattr(m, f"chan{index + 1}_raw")
            if value != 65535:
                sticks.channels[index] = value if 800 <= value <= 2200 else 0
        sticks.until_s = self._vehicle.pilot.time_s + self._vehicle.pilot.parameters["RC_OVERRIDE_TIME"]

    def _on_manual(self, channel: Channel, m: Any) -> None:
        sticks = self._vehicle.pilot.sticks
        for index, value in enumerate((m.y, -m.x, m.z - 500 if 0 <= m.z <= 1000 else 32767, m.r)):
            if abs(value) <= 1000:
                sticks.channels[index] = round(1500 + value / (1 if index == 2 else 2))
        sticks.until_s = self._vehicle.pilot.time_s + self._vehicle.pilot.parameters["RC_OVERRIDE_TIME"]


def _text(raw: Any) -> str:
    if isinstance(raw, bytes):
        raw = raw.decode("ascii", "replace")
    return str(raw).rstrip("\0")
