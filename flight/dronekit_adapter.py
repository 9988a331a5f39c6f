"""DroneKit's face on our vehicles: a script written for DroneKit runs with its import line changed.

    from flight.dronekit_adapter import connect, VehicleMode, LocationGlobalRelative, Command

What it gives in place of DroneKit itself: uploads that are read back, commands with acknowledgement and retry, links
that open again, and Python 3.11. The event loop runs in a thread; callbacks are called from it, as DroneKit does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.delivery import upload_verified
from flight.dronekit_types import (
    Attitude,
    Battery,
    Command,
    GPSInfo,
    LocationGlobal,
    LocationGlobalRelative,
    Locations,
    VehicleMode,
)
from flight.errors import CommandError, FlightError, LinkError
from flight.items import WireItem
from flight.params import read_param, write_param
from flight.state import mode_name
from flight.station import Station
from flight.transfer import download
from flight.vehicle import Vehicle as OurVehicle
from flight.wire import Packet

__all__ = [
    "Attitude", "Battery", "Command", "GPSInfo", "LocationGlobal", "LocationGlobalRelative", "Vehicle", "VehicleMode",
    "connect",
]  # fmt: skip

T = TypeVar("T")
_CALL_S = 120.0
_POSITION_ONLY = 0b0000_1101_1111_1000
Listener = Callable[["Vehicle", str, Any], None]


class CommandSequence:
    """The vehicle's mission without its item 0, as DroneKit has it."""

    def __init__(self, vehicle: Vehicle) -> None:
        self._vehicle = vehicle
        self._items: list[Command] = []
        self._home: WireItem | None = None

    def download(self) -> None:
        """Reads the mission from the vehicle."""
        items = self._vehicle._call(download(self._vehicle._ours, 0))
        self._home = items[0] if items else None
        self._items = [Command.of(seq, item) for seq, item in enumerate(items) if seq]

    def wait_ready(self, **_: Any) -> None:
        """`download` has waited already."""

    def clear(self) -> None:
        """Empties the list here; `upload` makes it so on the vehicle."""
        self._items = []

    def add(self, command: Command) -> None:
        """Appends an item."""
        self._items.append(command)

    def upload(self, timeout: float | None = None) -> None:
        """Uploads and reads back.

        Raises:
            TransferError: It is not on the vehicle as it is here.
        """
        at = self._vehicle._ours.state.position
        home = self._home or WireItem(
            16, 0, (0, 0, 0, 0), round(at.lat * 1e7) if at else 0, round(at.lon * 1e7) if at else 0,
            at.alt_amsl_m if at else 0.0,
        )  # fmt: skip
        items = [home, *(command.wire() for command in self._items)] if self._items else []
        self._vehicle._call(upload_verified(self._vehicle._ours, items, 0))

    @property
    def count(self) -> int:
        """Items, home not counted."""
        return len(self._items)

    @property
    def next(self) -> int:
        """The item being flown."""
        mission = self._vehicle._ours.state.mission
        return mission.seq if mission else 0

    @next.setter
    def next(self, index: int) -> None:
        self._vehicle._command(mavlink.MAV_CMD_DO_SET_MISSION_CURRENT, index, what="next item")

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Command]:
        return iter(self._items)

    def __getitem__(self, index: int) -> Command:
        return self._items[index]


class Parameters:
    """`vehicle.parameters["RTL_ALT"]`; both generations of names work."""

    def __init__(self, vehicle: Vehicle) -> None:
        self._vehicle = vehicle

    def __getitem__(self, name: str) -> float:
        value: float | None = self._vehicle._call(read_param(self._vehicle._ours, name))
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: float) -> None:
        self._vehicle._call(write_param(self._vehicle._ours, name, value))

    def get(self, name: str, default: float | None = None) -> float | None:
        """A parameter, or `default` where the vehicle has none of that name."""
        try:
            return self[name]
        except KeyError:
            return default


_ATTRIBUTES = {
    mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT: ("location", "location.global_relative_frame", "location.global_frame",
                                                 "heading", "velocity", "groundspeed"),
    mavlink.MAVLINK_MSG_ID_ATTITUDE: ("attitude",),
    mavlink.MAVLINK_MSG_ID_SYS_STATUS: ("battery",),
    mavlink.MAVLINK_MSG_ID_GPS_RAW_INT: ("gps_0",),
}  # fmt: skip


class Vehicle:
    """DroneKit's `Vehicle` on ours; get one from `connect`."""

    def __init__(self, ours: OurVehicle, loop: asyncio.AbstractEventLoop, close: Callable[[], None]) -> None:
        self._ours, self._loop, self._close = ours, loop, close
        self._listeners: dict[str, list[Listener]] = {}
        self._shown: tuple[str, bool] = ("", False)
        self.commands = CommandSequence(self)
        self.parameters = Parameters(self)
        self.airspeed = 0.0
        ours.listeners.append(self._packet)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S)

    def _command(self, number: int, *params: float, what: str) -> None:
        outcome = self._call(self._ours.command(number, *params, what=f"{self._ours.name}: {what}", by="dronekit"))
        outcome.require()

    # -- what it is --------------------------------------------------------------------------------------------

    @property
    def mode(self) -> VehicleMode:
        """Flight mode; setting it waits until the vehicle shows it."""
        return VehicleMode(self._ours.state.mode)

    @mode.setter
    def mode(self, mode: VehicleMode | str) -> None:
        name = mode if isinstance(mode, str) else mode.name
        self._call(self._ours.set_mode(name, by="dronekit")).require()

    @property
    def armed(self) -> bool:
        """Whether the motors may turn; setting it commands it."""
        return self._ours.state.armed

    @armed.setter
    def armed(self, value: bool) -> None:
        # DroneKit scripts set this and then wait for it in a loop: a refusal is left to that loop.
        self._call(self._ours.command(mavlink.MAV_CMD_COMPONENT_ARM_DISARM, float(value), what="arm", by="dronekit"))

    @property
    def is_armable(self) -> bool:
        """A fix, an estimator with a position, and no complaint of its own."""
        state = self._ours.state
        ready = state.gps is not None and state.gps.fix_type >= 3 and (state.ekf is None or state.ekf.has_position)
        return ready and (state.sensors is None or state.sensors.prearm_ok is not False)

    @property
    def location(self) -> Locations:
        """Where it is."""
        at = self._ours.state.position
        if at is None:
            return Locations(LocationGlobal(0, 0), LocationGlobalRelative(0, 0))
        return Locations(
            LocationGlobal(at.lat, at.lon, at.alt_amsl_m), LocationGlobalRelative(at.lat, at.lon, at.height_rel_m)
        )

    @property
    def home_location(self) -> LocationGlobal | None:
        """Home as the vehicle has it."""
        home = self._ours.state.home
        return LocationGlobal(home.lat, home.lon, home.alt_amsl_m) if home else None

    @property
    def attitude(self) -> Attitude:
        """Radians."""
        from math import radians

        at = self._ours.state.attitude
        return Attitude(radians(at.pitch_deg), radians(at.yaw_deg), radians(at.roll_deg)) if at else Attitude(0, 0, 0)

    @property
    def battery(self) -> Battery:
        """Volts, amperes, percent."""
        b = self._ours.state.battery
        if b is None:
            return Battery(None, None, None)
        return Battery(b.voltage_v, b.current_a, round(b.remaining * 100) if b.remaining == b.remaining else None)

    @property
    def gps_0(self) -> GPSInfo:
        """The first receiver."""
        gps = self._ours.state.gps
        if gps is None:
            return GPSInfo(None, None, 0, 0)
        return GPSInfo(round(gps.hdop * 100) if gps.hdop == gps.hdop else None, None, gps.fix_type, gps.satellites)

    @property
    def heading(self) -> float | None:
        """Degrees."""
        at = self._ours.state.position
        return round(at.heading_deg) if at and at.heading_deg == at.heading_deg else None

    @property
    def velocity(self) -> list[float]:
        """North, east, down in m/s."""
        at = self._ours.state.position
        return [at.north_mps, at.east_mps, at.down_mps] if at else [0.0, 0.0, 0.0]

    @property
    def groundspeed(self) -> float:
        """Metres a second over ground; setting it is a DO_CHANGE_SPEED."""
        at = self._ours.state.position
        return at.speed_mps if at else 0.0

    @groundspeed.setter
    def groundspeed(self, speed_mps: float) -> None:
        self._command(mavlink.MAV_CMD_DO_CHANGE_SPEED, 1, speed_mps, -1, what="ground speed")

    @property
    def last_heartbeat(self) -> float:
        """Seconds since the last one."""
        return self._ours.state.age_s(self._ours.state.heartbeat)

    @property
    def system_status(self) -> str:
        """MAV_STATE by name."""
        beat = self._ours.state.heartbeat
        name: str = mavlink.enums["MAV_STATE"][beat.status].name if beat else "MAV_STATE_UNINIT"
        return name.removeprefix("MAV_STATE_")

    # -- what it does ------------------------------------------------------------------------------------------

    def simple_takeoff(self, alt: float) -> None:
        """Take-off in GUIDED, armed."""
        self._command(mavlink.MAV_CMD_NAV_TAKEOFF, 0, 0, 0, 0, 0, 0, alt, what="take-off")

    def simple_goto(
        self, location: LocationGlobal | LocationGlobalRelative, airspeed: float | None = None,
        groundspeed: float | None = None,
    ) -> None:  # fmt: skip
        """Flies there in GUIDED; does not wait for the arrival."""
        relative = isinstance(location, LocationGlobalRelative)
        frame = mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT_INT if relative else mavlink.MAV_FRAME_GLOBAL_INT
        at = self.location.global_relative_frame if relative else self.location.global_frame
        height_m = location.alt if location.alt is not None else (at.alt or 0.0)
        self.mode = VehicleMode("GUIDED")
        if groundspeed or airspeed:
            self.groundspeed = groundspeed or airspeed or 0.0
        message = mavlink.MAVLink_set_position_target_global_int_message(
            0, self._ours.system_id, self._ours.component_id, frame, _POSITION_ONLY, round(location.lat * 1e7),
            round(location.lon * 1e7), height_m, 0, 0, 0, 0, 0, 0, 0, 0,
        )  # fmt: skip
        self._loop.call_soon_threadsafe(self._ours.send, message)

    def send_mavlink(self, message: Any) -> None:
        """Sends any pymavlink message."""
        self._loop.call_soon_threadsafe(self._ours.send, message)

    def wait_ready(self, *names: Any, timeout: float = 30.0, **_: Any) -> bool:
        """Waits until position, battery and mode are known."""
        until_s = time.monotonic() + timeout
        while time.monotonic() < until_s:
            state = self._ours.state
            if state.position is not None and state.battery is not None and state.mode:
                return True
            time.sleep(0.05)
        raise LinkError(f"{self._ours.name} told no position, battery and mode within {timeout:g} s")

    def wait_for_mode(self, mode: VehicleMode | str) -> None:
        """DroneKit's name for setting it."""
        self.mode = VehicleMode(mode) if isinstance(mode, str) else mode

    def close(self) -> None:
        """Hangs up."""
        self._close()

    # -- attribute listeners -----------------------------------------------------------------------------------

    def add_attribute_listener(self, name: str, listener: Listener) -> None:
        """Calls `listener(vehicle, name, value)` when an attribute changes, "*" for all."""
        self._listeners.setdefault(name, []).append(listener)

    def remove_attribute_listener(self, name: str, listener: Listener) -> None:
        """Ends it."""
        self._listeners[name].remove(listener)

    def on_attribute(self, name: str) -> Callable[[Listener], Listener]:
        """The decorator form."""

        def keep(listener: Listener) -> Listener:
            self.add_attribute_listener(name, listener)
            return listener

        return keep

    def _packet(self, packet: Packet, now_s: float) -> None:
        if not self._listeners or packet.component != self._ours.component_id:
            return
        if packet.msg_id == mavlink.MAVLINK_MSG_ID_HEARTBEAT:
            shown = (mode_name(packet.fields.custom_mode), self.armed)
            changed = [n for n, old, new in zip(("mode", "armed"), self._shown, shown, strict=True) if old != new]
            self._shown = shown
            for name in changed:
                self._notify(name)
            return
        for name in _ATTRIBUTES.get(packet.msg_id, ()):
            self._notify(name)

    def _notify(self, name: str) -> None:
        if name not in self._listeners and "*" not in self._listeners:
            return
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        for listener in (*self._listeners.get(name, ()), *self._listeners.get("*", ())):
            try:
                listener(self, name, value)
            except Exception as error:  # a script's listener must not stop telemetry; DroneKit does the same
                raise_later = FlightError(f"attribute listener for {name}: {error!r}")
                self._loop.call_exception_handler({"message": str(raise_later), "exception": error})


def connect(ip: str, wait_ready: bool | None = None, *, timeout: float = 30.0, **_: Any) -> Vehicle:
    """Connects to the (first) vehicle of a link; DroneKit's other options are taken and not needed.

    Raises:
        LinkError: Nobody there.
    """
    started: concurrent.futures.Future[tuple[OurVehicle, asyncio.AbstractEventLoop]] = concurrent.futures.Future()
    stop = threading.Event()

    async def serve() -> None:
        try:
            async with Station() as station:
                vehicle = (await station.connect(ip))[0]
                await vehicle.request_streams()
                started.set_result((vehicle, asyncio.get_running_loop()))
                while not stop.is_set():
                    await asyncio.sleep(0.05)
        except FlightError as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="dronekit", daemon=True)
    thread.start()

    def close() -> None:
        stop.set()
        thread.join(5.0)

    try:
        ours, loop = started.result(timeout)
    except concurrent.futures.TimeoutError as error:
        stop.set()
        raise CommandError(f"{ip} answered no command within {timeout:g} s") from error
    vehicle = Vehicle(ours, loop, close)
    if wait_ready:
        vehicle.wait_ready(timeout=timeout)
    return vehicle
