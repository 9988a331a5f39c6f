"""One MAVLink vehicle: its state, and commands that end in a stated outcome."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, NamedTuple

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.clock import now_s
from flight.errors import CommandError, LinkError
from flight.link import Link, Peer
from flight.rtt import RoundTrip
from flight.state import COPTER_MODES, VehicleState
from flight.wire import Packet
from flight.wireout import Encoder

# Telemetry we live on, in Hz of the vehicle's clock: the guard runs at 2 Hz and wants two positions between looks.
STREAMS_HZ = {
    mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT: 5.0,
    mavlink.MAVLINK_MSG_ID_ATTITUDE: 4.0,
    mavlink.MAVLINK_MSG_ID_SYS_STATUS: 1.0,
    mavlink.MAVLINK_MSG_ID_BATTERY_STATUS: 1.0,
    mavlink.MAVLINK_MSG_ID_GPS_RAW_INT: 1.0,
    mavlink.MAVLINK_MSG_ID_SYSTEM_TIME: 1.0,
    mavlink.MAVLINK_MSG_ID_EKF_STATUS_REPORT: 1.0,
    mavlink.MAVLINK_MSG_ID_MISSION_CURRENT: 1.0,
    mavlink.MAVLINK_MSG_ID_VFR_HUD: 1.0,
    mavlink.MAVLINK_MSG_ID_EXTENDED_SYS_STATE: 1.0,
    mavlink.MAVLINK_MSG_ID_RC_CHANNELS: 2.0,
    mavlink.MAVLINK_MSG_ID_HOME_POSITION: 0.5,
    mavlink.MAVLINK_MSG_ID_WIND: 0.5,
    mavlink.MAVLINK_MSG_ID_FENCE_STATUS: 1.0,
}

_RESULTS = {
    mavlink.MAV_RESULT_ACCEPTED: "accepted",
    mavlink.MAV_RESULT_TEMPORARILY_REJECTED: "temporarily rejected",
    mavlink.MAV_RESULT_DENIED: "denied",
    mavlink.MAV_RESULT_UNSUPPORTED: "unsupported",
    mavlink.MAV_RESULT_FAILED: "failed",
    mavlink.MAV_RESULT_IN_PROGRESS: "in progress",
    6: "cancelled",  # newer than this dialect
}


class Outcome(NamedTuple):
    """How a command ended; `result` is one of the words above or "no answer"."""

    what: str
    result: str
    said: str = ""

    @property
    def ok(self) -> bool:
        """Whether the vehicle accepted it."""
        return self.result == "accepted"

    def require(self) -> Outcome:
        """Raises CommandError unless accepted."""
        if not self.ok:
            why = f" ({self.said})" if self.said else ""
            raise CommandError(f"{self.what}: {self.result}{why}")
        return self


class CommandRecord(NamedTuple):
    """A command that was given, for the record; `by` is empty where it was the operation's own operator."""

    what: str
    number: int
    params: tuple[float, ...]
    result: str
    reason: str
    by: str


class Inbox:
    """Packets of some ids from one vehicle, from the moment it is opened; use as a context manager."""

    def __init__(self, vehicle: Vehicle, msg_ids: Iterable[int]) -> None:
        self._vehicle = vehicle
        self._msg_ids = tuple(msg_ids)
        self._queue: asyncio.Queue[Packet] = asyncio.Queue()

    def __enter__(self) -> Inbox:
        for msg_id in self._msg_ids:
            self._vehicle.inboxes.setdefault(msg_id, []).append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for msg_id in self._msg_ids:
            self._vehicle.inboxes[msg_id].remove(self)

    def put(self, packet: Packet) -> None:
        """Called by the vehicle."""
        self._queue.put_nowait(packet)

    async def get(self, wait_s: float) -> Packet | None:
        """The next packet, or None after `wait_s`."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        if wait_s <= 0:
            return None
        try:
            async with asyncio.timeout(wait_s):
                return await self._queue.get()
        except TimeoutError:
            return None


class Vehicle:
    """A vehicle seen on a link.

    Attributes:
        system_id: Its MAVLink system id.
        state: What it last said.
        rtt: Measured round trip.
        listeners: Called with (packet, monotonic time) for each of its packets, ours to it too: recorder, captures.
    """

    def __init__(self, link: Link, peer: Peer, system_id: int, encoder: Encoder, speedup: float = 1.0) -> None:
        self.link = link
        self.peer = peer
        self.system_id = system_id
        self.component_id = 1
        self.speedup = speedup
        self.state = VehicleState()
        self.rtt = RoundTrip()
        self.listeners: list[Callable[[Packet, float], None]] = []
        self.sent_listeners: list[Callable[[bytes], None]] = []
        self.command_listeners: list[Callable[[CommandRecord], None]] = []
        self.inboxes: dict[int, list[Inbox]] = {}
        self.files_offered: bool | None = None  # whether it speaks MAVFTP; None while nobody asked
        self._encoder = encoder
        self._command_locks: dict[int, asyncio.Lock] = {}

    @property
    def name(self) -> str:
        """For people: the system id and the link."""
        return f"vehicle {self.system_id} at {self.link.address}"

    def receive(self, packet: Packet, now_s: float) -> None:
        """Takes a packet with this vehicle's system id."""
        if packet.component == self.component_id:
            self.state.update(packet, now_s)
        for listener in self.listeners:
            try:
                listener(packet, now_s)
            except Exception as error:  # one bad listener must not take the link, and with it the vehicle, down
                context = {"message": f"a listener of {self.name} failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
        inboxes = self.inboxes.get(packet.msg_id)
        if inboxes:
            for inbox in inboxes:
                inbox.put(packet)

    def send(self, message: Any) -> None:
        """Sends a pymavlink message; ours go into the record too."""
        frame = self._encoder.encode(message)
        self.link.send(frame, self.peer)
        for listener in self.sent_listeners:
            listener(frame)

    def send_unrecorded(self, message: Any) -> None:
        """Sends what no record may hold: a key."""
        self.link.send(self._encoder.encode(message), self.peer)

    def inbox(self, *msg_ids: int) -> Inbox:
        """Opens an inbox for these messages."""
        return Inbox(self, msg_ids)

    def unix_us(self) -> int:
        """UTC in µs by the vehicle's clock; by ours while it has none. A simulated flight keeps the simulated clock."""
        clock = self.state.clock
        if clock is None or clock.unix_us == 0:
            return time.time_ns() // 1000
        return clock.unix_us + max(0, round((self.state.boot_s - clock.boot_s) * 1e6))

    async def sleep(self, seconds: float) -> None:
        """Sleeps by the vehicle's clock as the speed-up has it."""
        await asyncio.sleep(seconds / self.speedup)

    async def until(self, condition: Callable[[], bool], wait_s: float, *, every_s: float = 0.2) -> bool:
        """Waits until a condition on the state holds, at most `wait_s` of the vehicle's clock; False when it did not.

        A vehicle that says nothing has a clock that stands still: then the wall's clock ends the wait.
        """
        start_s, wall_start_s = self.state.boot_s, now_s()
        reboots = self.state.reboots
        while not condition():
            silent_s = now_s() - max(self.state.last_packet_s, wall_start_s)
            waited_s = self.state.boot_s - start_s if self.state.reboots == reboots else math.inf
            if waited_s > wait_s or silent_s > max(5.0, wait_s / self.speedup):
                return condition()
            await asyncio.sleep(max(0.01, every_s / self.speedup))
        return True

    async def command(
        self, number: int, *params: float, what: str = "", tries: int = 6, reason: str = "", by: str = ""
    ) -> Outcome:
        """COMMAND_LONG with acknowledgement: repeated on silence, never while the vehicle works on it.

        Args:
            number: MAV_CMD.
            params: Up to seven parameters; the rest are 0.
            what: For messages to people.
            tries: How often it is sent at most.
            reason: Why it is given, for the record.
            by: Who gives it, where that is not the operation's operator.
        """
        outcome = await self._command(number, params, what or f"command {number}", tries)
        for listener in self.command_listeners:
            listener(CommandRecord(outcome.what, number, params, outcome.result, reason, by))
        return outcome

    def note(self, what: str, reason: str, by: str = "", result: str = "noted") -> None:
        """Puts what was decided, and is no command to the vehicle, on the same record."""
        for listener in self.command_listeners:
            listener(CommandRecord(what, 0, (), result, reason, by))

    async def _command(self, number: int, params: tuple[float, ...], name: str, tries: int) -> Outcome:
        filled = [*params, *([0.0] * (7 - len(params)))]
        lock = self._command_locks.setdefault(number, asyncio.Lock())
        async with lock:
            with self.inbox(mavlink.MAVLINK_MSG_ID_COMMAND_ACK) as inbox:
                for attempt in range(tries):
                    sent_s = now_s()
                    self.send(
                        mavlink.MAVLink_command_long_message(
                            self.system_id, self.component_id, number, min(attempt, 255), *filled
                        )
                    )
                    outcome = await self._acknowledged(inbox, number, name, self.rtt.timeout_s(attempt))
                    if outcome is not None:
                        if attempt == 0:
                            self.rtt.add(now_s() - sent_s)
                        return outcome
        return Outcome(name, "no answer")

    async def _acknowledged(self, inbox: Inbox, number: int, name: str, wait_s: float) -> Outcome | None:
        until_s = now_s() + wait_s
        while (left_s := until_s - now_s()) > 0:
            packet = await inbox.get(left_s)
            if packet is None:
                return None
            if packet.fields.command != number:
                continue
            if packet.fields.result == mavlink.MAV_RESULT_IN_PROGRESS:
                until_s = now_s() + max(wait_s, 5.0)
                continue
            return Outcome(name, _RESULTS.get(packet.fields.result, f"result {packet.fields.result}"), self._said())
        return None

    def _said(self) -> str:
        """The autopilot's reason: its last warning or worse of the last two seconds."""
        for text in reversed(self.state.texts):
            if now_s() - text.at_s > 2.0:
                break
            if text.severity <= mavlink.MAV_SEVERITY_WARNING:
                return text.text
        return ""

    async def request(self, msg_id: int, param2: float = 0.0, *, tries: int = 4) -> Packet | None:
        """Asks for one message (REQUEST_MESSAGE) and gives it, or None."""
        with self.inbox(msg_id) as inbox:
            for attempt in range(tries):
                self.send(
                    mavlink.MAVLink_command_long_message(
                        self.system_id, self.component_id, mavlink.MAV_CMD_REQUEST_MESSAGE, attempt,
                        msg_id, param2, 0, 0, 0, 0, 0,
                    )
                )  # fmt: skip
                packet = await inbox.get(self.rtt.timeout_s(attempt))
                if packet is not None:
                    return packet
        return None

    async def set_mode(self, mode: str, *, reason: str = "", by: str = "") -> Outcome:
        """Changes the flight mode and waits until the heartbeat shows it."""
        what = f"{self.name}: mode {mode}"
        outcome = await self.command(
            mavlink.MAV_CMD_DO_SET_MODE,
            mavlink.MAV_MODE_FLAG_CUSTOM_MODE_ENABLED,
            COPTER_MODES[mode],
            what=what,
            reason=reason,
            by=by,
        )
        if outcome.ok and not await self.until(lambda: self.state.mode == mode, 4.0):
            return Outcome(what, f"accepted, but it flies in {self.state.mode or 'an unknown mode'}", self._said())
        return outcome

    async def arm(self, *, reason: str = "") -> Outcome:
        """Arms the motors."""
        outcome = await self.command(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, 1, what=f"{self.name}: arm", reason=reason)
        if outcome.ok and not await self.until(lambda: self.state.armed, 4.0):
            return Outcome(outcome.what, "accepted, but it is not armed", self._said())
        return outcome

    async def disarm(self) -> Outcome:
        """Disarms; an autopilot in flight refuses."""
        return await self.command(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, 0, what=f"{self.name}: disarm")

    async def request_streams(self) -> None:
        """Asks for the telemetry we live on; what a vehicle does not offer is let go."""
        for msg_id, rate_hz in STREAMS_HZ.items():
            outcome = await self.command(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, msg_id, 1e6 / rate_hz, tries=4)
            if outcome.result == "no answer":
                raise LinkError(f"{self.name} sends heartbeats but answers no command: is the link one-way?")

    def ping(self, now_s: float) -> None:
        """Sends a TIMESYNC whose answer measures the round trip."""
        self.send(mavlink.MAVLink_timesync_message(0, int(now_s * 1e9)))

    def pong(self, fields: Any, now_s: float) -> None:
        """Takes a TIMESYNC answer; other stations' are not ours and fall outside the sane range."""
        if fields.tc1 != 0:
            self.rtt.add(now_s - fields.ts1 * 1e-9)
