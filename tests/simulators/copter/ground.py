"""A small ground station for tests: it drives one vehicle of a DirectFleet, in simulated time, by MAVLink bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.direct import DirectFleet

HOME = (118.35, 35.05, 60.0)
Row = tuple[int, int, tuple[float, float, float, float], float, float, float]


class Ground:
    def __init__(self, fleet: DirectFleet, system_id: int = 1) -> None:
        self.fleet, self.system_id = fleet, system_id
        self.link = fleet.link(system_id)
        self.mav = mavlink.MAVLink(None, srcSystem=255, srcComponent=190)
        self.mav.robust_parsing = True
        self.heard: list[Any] = []
        self.texts: list[str] = []
        self.last: dict[str, Any] = {}
        self._beat_s = -1.0
        self.beats = True

    @property
    def vehicle(self) -> Any:
        return self.link.vehicle

    def send(self, message: Any) -> None:
        self.link.write(message.pack(self.mav))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Turns the clock on; True once `until` holds."""
        for _ in range(round(seconds / 0.1)):
            if self.beats and self.fleet.time_s - self._beat_s >= 1.0:
                self._beat_s = self.fleet.time_s
                self.send(mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3))
            self.fleet.advance(0.1)
            for message in self.mav.parse_buffer(self.link.read()) or ():
                self.heard.append(message)
                self.last[message.get_type()] = message
                if message.get_type() == "STATUSTEXT":
                    self.texts.append(message.text)
            if until():
                return True
        return False

    def ask(self, message: Any, kind: str, seconds: float = 3.0) -> Any:
        """Sends, and waits for the next message of a kind."""
        seen = len(self.heard)
        self.send(message)
        self.run(seconds, lambda: any(m.get_type() == kind for m in self.heard[seen:]))
        return next((m for m in self.heard[seen:] if m.get_type() == kind), None)

    def command(self, number: int, *params: float) -> int | None:
        values = [*params, *[0.0] * (7 - len(params))]
        message = mavlink.MAVLink_command_long_message(self.system_id, 1, number, 0, *values)
        ack = self.ask(message, "COMMAND_ACK")
        return ack.result if ack else None

    def stream(self, *message_ids: int, period_s: float = 0.2) -> None:
        for message_id in message_ids:
            assert self.command(511, message_id, period_s * 1e6) == 0

    def ready(self) -> None:
        """Waits for the EKF."""
        assert self.run(60, lambda: self.vehicle.pilot.sensors.ekf_ok)

    def fly_to(self, height_m: float) -> None:
        self.ready()
        assert self.command(176, 1, 4) == 0
        assert self.command(400, 1) == 0
        assert self.command(22, 0, 0, 0, 0, 0, 0, height_m) == 0
        assert self.run(90, lambda: self.vehicle.pilot.height_m > height_m - 0.5)

    def parameter(self, name: str, value: float) -> None:
        message = mavlink.MAVLink_param_set_message(self.system_id, 1, name.encode(), value, 9)
        assert self.ask(message, "PARAM_VALUE").param_id == name

    def upload(self, rows: Sequence[Row], kind: int = 0) -> int | None:
        """Answers every request as it comes; MAV_MISSION_RESULT."""
        seen = len(self.heard)
        self.send(mavlink.MAVLink_mission_count_message(self.system_id, 1, len(rows), kind))
        for _ in range(400):
            self.run(0.1)
            for message in self.heard[seen:]:
                if message.get_type() == "MISSION_ACK":
                    return int(message.type)
                if message.get_type() in ("MISSION_REQUEST", "MISSION_REQUEST_INT"):
                    self.send(item(self.system_id, message.seq, rows[message.seq], kind))
            seen = len(self.heard)
        return None

    def download(self, kind: int = 0) -> list[Any]:
        count = self.ask(mavlink.MAVLink_mission_request_list_message(self.system_id, 1, kind), "MISSION_COUNT").count
        ask = mavlink.MAVLink_mission_request_int_message
        return [self.ask(ask(self.system_id, 1, index, kind), "MISSION_ITEM_INT") for index in range(count)]


def item(system_id: int, seq: int, row: Row, kind: int = 0) -> Any:
    command, frame, params, lat, lon, alt = row
    place = (round(lat * 1e7), round(lon * 1e7)) if abs(lat) > 1.5 or abs(lon) > 1.5 else (int(lat), int(lon))
    return mavlink.MAVLink_mission_item_int_message(
        system_id, 1, seq, frame, command, 0, 1, *params, *place, alt, kind
    )  # fmt: skip


NONE = (0.0, 0.0, 0.0, 0.0)


def at(north_m: float, east_m: float) -> tuple[float, float]:
    """(lat, lon) at metres from HOME."""
    return HOME[1] + north_m / 110_941.0, HOME[0] + east_m / 91_237.0


def survey(lanes: int = 3, length_m: float = 120.0, apart_m: float = 25.0, height_m: float = 30.0) -> list[Row]:
    rows: list[Row] = [(16, 0, NONE, HOME[1], HOME[0], HOME[2]), (22, 3, NONE, 0.0, 0.0, height_m)]
    for lane in range(lanes):
        ends = [at(30, 20 + lane * apart_m), at(30 + length_m, 20 + lane * apart_m)]
        if lane % 2:
            ends.reverse()
        rows += [(16, 3, NONE, *ends[0], height_m), (206, 2, (12.0, 0.0, 1.0, 0.0), 0.0, 0.0, 0.0)]
        rows += [(16, 3, NONE, *ends[1], height_m), (206, 2, NONE, 0.0, 0.0, 0.0)]
    rows.append((20, 3, NONE, 0.0, 0.0, 0.0))
    return rows
