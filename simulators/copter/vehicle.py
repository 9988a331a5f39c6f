"""A vehicle as MAVLink sees it: messages in, messages out, one autopilot behind them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from missions.camera import Camera
from simulators.copter import items as it
from simulators.copter import payload
from simulators.copter.album import Album
from simulators.copter.autopilot import Autopilot
from simulators.copter.battery import Airframe
from simulators.copter.channel import Channel
from simulators.copter.commands import carry_out_item
from simulators.copter.dynamics import STEP_S, Wind
from simulators.copter.ftp import FileServer
from simulators.copter.inbox import Inbox
from simulators.copter.items import Item
from simulators.copter.linkfaults import FaultyLink
from simulators.copter.parameters import REAL32
from simulators.copter.pilot import AUTO, GUIDED, INFO, Pilot
from simulators.copter.shutter import Shot
from simulators.copter.telemetry import BUILDERS, Builder
from simulators.copter.transfer import Transfers

# GPS's own word for its accuracy, against an error whose two-dimensional sigma is `gps_noise_m`.
_CLAIMED_H, _CLAIMED_V = 1.0, 2.0
_PARAMETERS_A_STEP = 4
_SIGNING_EPOCH_US = 1_420_070_400_000_000
_MISSION_MESSAGES = frozenset((
    "MISSION_COUNT", "MISSION_ITEM_INT", "MISSION_ITEM", "MISSION_REQUEST_LIST", "MISSION_REQUEST_INT",
    "MISSION_REQUEST", "MISSION_CLEAR_ALL", "MISSION_ACK", "MISSION_WRITE_PARTIAL_LIST",
))  # fmt: skip


@dataclass(frozen=True)
class VehicleConfig:
    """What makes one simulated vehicle.

    Attributes:
        system_id: 1..255.
        home: Take-off point (lon, lat, alt_amsl_m).
        start_utc: Simulated time of power-on.
        seed: Of gusts, GPS error, gimbal.
        speedup: Of the fleet's clock; the ground's own delays are forgiven in proportion.
        wind_mps: Mean wind.
        wind_from_deg: Direction it blows from.
        gps_noise_m: Level GPS error, two-dimensional sigma.
        camera: What it photographs with; None has no lens data, yet still triggers.
        card: Folder of its memory card, or None.
        airframe: What it is made of.
    """

    system_id: int
    home: tuple[float, float, float]
    start_utc: datetime
    seed: int = 0
    speedup: float = 1.0
    wind_mps: float = 0.0
    wind_from_deg: float = 0.0
    gps_noise_m: float = 1.5
    camera: Camera | None = None
    card: Path | None = None
    airframe: Airframe = field(default_factory=Airframe)


# On a fast clock an honest ground station's second of wall time is many simulated ones: what waits for the ground
# (auto-disarm, GCS failsafe, upload timeouts) waits as long as it would at a speed-up of two.
def _grace(speedup: float) -> float:
    return max(1.0, speedup / 2.0)


class Vehicle:
    """One vehicle.

    Attributes:
        autopilot: Its rules.
        pilot: Its state.
        transfers: Its stored plans.
        album: Its photographs.
        radio: What happens to frames on the way to and from it.
        offers_ftp: Whether it says that it speaks MAVLink FTP.
        extra_builders: Messages that others than telemetry add (camera, gimbal).
    """

    def __init__(self, config: VehicleConfig) -> None:
        self.config = config
        self.system_id = config.system_id
        wind = Wind(config.wind_mps, config.wind_from_deg, config.seed * 1009 + config.system_id)
        seed = config.seed * 7919 + config.system_id
        self.transfers = Transfers(lambda: self.pilot.time_s, self._home_item, max(1.0, config.speedup))
        self.autopilot = Autopilot(
            config.system_id, config.home, lambda kind: self.transfers.plans[kind], self._on_shot,
            airframe=config.airframe, wind=wind, gps_noise_m=config.gps_noise_m, seed=seed,
            grace=_grace(config.speedup),
        )  # fmt: skip
        self.pilot: Pilot = self.autopilot.pilot
        self.pilot.say = self.say
        self.autopilot.acts = lambda item: carry_out_item(self, item)
        self.autopilot.reached = lambda index: self.broadcast(mavlink.MAVLink_mission_item_reached_message, index)
        self.autopilot.armed_changed = self._on_armed_changed
        self.transfers.changed = self._on_plan_changed
        self.transfers.goto = self._goto
        self.album = Album(config.camera, config.card, config.system_id)
        self.offers_ftp = True
        self.files = FileServer(self)
        self.signing_key: bytes | None = None
        self._signing_ahead = 0
        self.extra_builders: dict[int, Builder] = dict(payload.BUILDERS)
        self.channels: list[Channel] = []
        self.radio = FaultyLink(config.seed * 31 + config.system_id)
        self.nobody = Channel(config.system_id)
        self.handlers: dict[str, Callable[[Channel, Any], None]] = Inbox(self).handlers()
        self.on_step: list[Callable[[float], None]] = []
        self._powered_on_s = 0.0
        self._heartbeat_s = 0.0
        self._reboot_at_s: float | None = None
        self._set_wind_parameters()

    # Links.

    def attach(self, channel: Channel) -> None:
        """A client has come."""
        self._sign(channel)
        self.channels.append(channel)
        self._send_built(channel, 0)

    def set_signing_key(self, key: bytes | None, from_ticks: int = 0) -> None:
        """Signs every link with a key from now on, and takes only what is signed with it; None ends that.

        Args:
            key: 32 bytes.
            from_ticks: Signing time of who gives it; a clock that is behind goes on from there, as ArduPilot's.
        """
        self.signing_key = key
        self._signing_ahead = max(0, from_ticks - (self.utc_us() - _SIGNING_EPOCH_US) // 10)
        for channel in self.channels:
            self._sign(channel)

    def _sign(self, channel: Channel) -> None:
        channel.signing.key = self.signing_key
        # 10 microseconds since 2015-01-01, on the simulated clock.
        channel.signing.clock = lambda: (self.utc_us() - _SIGNING_EPOCH_US) // 10 + self._signing_ahead
        channel.signing.link_id = (
            self.channels.index(channel) & 0xFF if channel in self.channels else len(self.channels)
        )

    def detach(self, channel: Channel) -> None:
        """A client has gone."""
        if channel in self.channels:
            self.channels.remove(channel)
        self.transfers.forget_channel(channel)

    def broadcast(self, cls: Any, *values: Any) -> None:
        """Sends a message to every client."""
        for channel in self.channels:
            channel.send(cls, *values)

    def say(self, severity: int, text: str) -> None:
        """STATUSTEXT to every client; beyond 50 characters in pieces."""
        data = text.encode("ascii", "replace")
        pieces = [data[at : at + 50] for at in range(0, len(data), 50)] or [b""]
        number = int(self.pilot.time_s * 10) % 65535 + 1 if len(pieces) > 1 else 0
        for index, piece in enumerate(pieces):
            self.broadcast(mavlink.MAVLink_statustext_message, severity, piece, number, index)

    def report(self, message_id: int) -> None:
        """Sends a message of the table to every client, once."""
        for channel in self.channels:
            self._send_built(channel, message_id)

    def utc_us(self) -> int:
        """Simulated time in microseconds since 1970."""
        return int((self.config.start_utc.timestamp() + self._powered_on_s + self.pilot.time_s) * 1e6)

    def utc(self, time_s: float) -> datetime:
        """Simulated time of a moment since power-on."""
        start = self.config.start_utc.astimezone(UTC)
        return start + timedelta(seconds=self._powered_on_s + time_s)

    def accuracy_m(self) -> tuple[float, float]:
        """(level, vertical) standard deviation that the GPS claims, metres."""
        noise = max(0.02, self.config.gps_noise_m)
        glitch = math.hypot(*self.pilot.sensors.glitch)
        return _CLAIMED_H * noise + 0.2 * glitch, _CLAIMED_V * noise + 0.3 * glitch

    # Time.

    def step(self) -> None:
        """0.02 s of simulated time; what has to be said is queued on the channels."""
        self.autopilot.step()
        for hook in self.on_step:
            hook(STEP_S)
        now = self.pilot.time_s
        if self._reboot_at_s is not None and now >= self._reboot_at_s:
            self.reboot()
            return
        for channel in self.channels:
            for message_id in channel.due(now):
                self._send_built(channel, message_id)
            if channel.parameters_from is not None:
                self._stream_parameters(channel)
        if now >= self._heartbeat_s:
            self._heartbeat_s = now + 1.0
            self.report(0)
            self.transfers.step()

    def reboot_soon(self) -> None:
        """Reboots a moment later, so that the acknowledgement still goes out."""
        self._reboot_at_s = self.pilot.time_s + 0.1

    def reboot(self) -> None:
        """Power off and on; stored plans and parameters stay, rates do not."""
        self._reboot_at_s = None
        self._powered_on_s += self.pilot.time_s
        self._heartbeat_s = 0.0
        self.transfers.reboot()
        self.autopilot.reboot()
        for channel in self.channels:
            channel.restart()

    # What the crew does on the ground.

    def swap_battery(self, percent: float = 100.0) -> bool:
        """A charged pack goes in; refused while armed."""
        if self.pilot.armed:
            return False
        self.pilot.battery.swap(percent)
        self.autopilot.failsafes.rest()
        if self.pilot.body.motor_share == 0.5:
            self.pilot.body.motor_share = 1.0
        return True

    def select_item(self, index: int) -> bool:
        """The mission goes on with an item."""
        flying = self.pilot.mode == AUTO and self.pilot.armed
        return self.autopilot.sequence.select(self.pilot, index, flying=flying)

    # Messages in.

    def receive(self, channel: Channel, message: Any) -> None:
        """Handles one message that passed every check of its frame."""
        target = getattr(message, "target_system", 0)
        if target not in (0, self.system_id) or message.get_srcSystem() == self.system_id:
            return
        if message.msgname in _MISSION_MESSAGES:
            self.transfers.receive(channel, message)
            return
        handler = self.handlers.get(message.msgname)
        if handler is not None:
            handler(channel, message)

    def set_parameter(self, name: str, value: float) -> bool:
        """Sets a parameter and what follows from it."""
        if not self.pilot.parameters.set(name, value):
            return False
        if name.startswith("FENCE_"):
            self.pilot.refresh_fence()
        if name.startswith("SIM_"):
            self.apply_sim_parameter(name)
        return True

    # Messages out.

    def send_message(self, channel: Channel, message_id: int, argument: float) -> bool:
        """Sends a message that was asked for; False where there is none of it."""
        if message_id == 263:
            captured = self.album.captured(int(argument))
            if captured is None:
                return False
            channel.send(mavlink.MAVLink_camera_image_captured_message, *captured)
            return True
        return self._send_built(channel, message_id)

    def _send_built(self, channel: Channel, message_id: int) -> bool:
        builder = BUILDERS.get(message_id) or self.extra_builders.get(message_id)
        built = builder(self) if builder else None
        if built is None:
            return False
        channel.send(built[0], *built[1])
        return True

    def _stream_parameters(self, channel: Channel) -> None:
        first = channel.parameters_from or 0
        for index in range(first, min(first + _PARAMETERS_A_STEP, len(self.pilot.parameters))):
            name = self.pilot.parameters.name_at(index)
            assert name is not None
            self.send_parameter(channel, name)
        ended = first + _PARAMETERS_A_STEP >= len(self.pilot.parameters)
        channel.parameters_from = None if ended else first + _PARAMETERS_A_STEP

    def send_parameter(self, channel: Channel, name: str) -> None:
        """PARAM_VALUE."""
        p = self.pilot.parameters
        kind = p.kind(name) if name in p else REAL32
        values = (name.encode(), p[name], kind, len(p), p.index_of(name))
        channel.send(mavlink.MAVLink_param_value_message, *values)

    def send_interval(self, channel: Channel, message_id: int) -> None:
        """MESSAGE_INTERVAL: microseconds, -1 where it is not streamed, 0 where it is unknown."""
        known = message_id in BUILDERS or message_id in self.extra_builders
        period = channel.rates.get(message_id)
        interval = (round(period * 1e6) if period else -1) if known else 0
        channel.send(mavlink.MAVLink_message_interval_message, message_id, interval)

    # What happens by itself.

    def _home_item(self) -> Item:
        return self.pilot.home_item()

    def _on_armed_changed(self, armed: bool) -> None:
        if armed:
            self.report(242)

    def _goto(self, item: Item, height_only: bool) -> int:
        pilot = self.pilot
        if pilot.mode != GUIDED or not pilot.armed or pilot.landed:
            return it.ERROR
        if it.refusal(item, it.MISSION) != it.ACCEPTED:
            return it.refusal(item, it.MISSION)
        north, east, up = pilot.place_of(item)
        place = (pilot.at[0], pilot.at[1], up) if height_only else (north, east, up)
        return it.ACCEPTED if self.autopilot.guided.go_to(pilot, place) else it.ERROR

    def _on_plan_changed(self, kind: int) -> None:
        count = len(self.transfers.plans[kind])
        if kind == it.MISSION:
            self.pilot.parameters.put("MIS_TOTAL", count)
            if self.pilot.mode != AUTO or not self.pilot.armed:
                self.autopilot.sequence.rewind()
        elif kind == it.FENCE:
            self.pilot.parameters.put("FENCE_TOTAL", count)
            self.pilot.refresh_fence(self.transfers.plans[kind])
        else:
            self.pilot.parameters.put("RALLY_TOTAL", count)
            self.autopilot.read_rally()

    def _on_shot(self, shot: Shot) -> None:
        captured, feedback = self.album.keep(self, shot)
        self.broadcast(mavlink.MAVLink_camera_feedback_message, *feedback)
        self.broadcast(mavlink.MAVLink_camera_image_captured_message, *captured)

    def _set_wind_parameters(self) -> None:
        self.pilot.parameters.put("SIM_WIND_SPD", self.config.wind_mps)
        self.pilot.parameters.put("SIM_WIND_DIR", self.config.wind_from_deg)
        self.pilot.parameters.put("SIM_SPEEDUP", self.config.speedup)
        self.say(INFO, "ArduCopter V4.6.3 (simulated)")

    def apply_sim_parameter(self, name: str) -> None:
        """Carries one SIM_* parameter over to the body, the sensors or the camera."""
        p, pilot = self.pilot.parameters, self.pilot
        if name in ("SIM_WIND_SPD", "SIM_WIND_DIR"):
            pilot.body.wind.set(p["SIM_WIND_SPD"], p["SIM_WIND_DIR"])
        elif name == "SIM_GPS1_ENABLE":
            pilot.sensors.gps_off = not p[name]
        elif name in ("SIM_GPS1_GLTCH_X", "SIM_GPS1_GLTCH_Y"):
            frame = pilot.frame
            offset = frame.north_east(frame.lon + p["SIM_GPS1_GLTCH_Y"], frame.lat + p["SIM_GPS1_GLTCH_X"])
            pilot.sensors.glitch = offset
        elif name == "SIM_MAG1_OFS_DEG":
            pilot.sensors.compass_offset_rad = math.radians(p[name])
        elif name == "SIM_BARO_DRIFT":
            pilot.sensors.baro_rate_mps = p[name]
        elif name in ("SIM_ENGINE_FAIL", "SIM_ENGINE_MUL"):
            lost = (int(p["SIM_ENGINE_FAIL"]) & 0xF).bit_count()
            pilot.body.motor_share = 1.0 - lost / 4 * (1.0 - min(1.0, max(0.0, p["SIM_ENGINE_MUL"])))
        elif name == "SIM_CAM_SKIP":
            self.autopilot.shutter.skip_share = min(1.0, max(0.0, p[name]))
