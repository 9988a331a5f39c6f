"""A small ground station on a real socket, for tests that fly the embedded vehicle and a real SITL alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from pymavlink import mavutil
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from tests.simulators.copter.ground import Row, item


class WallGround:
    def __init__(self, url: str) -> None:
        self.link = mavutil.mavlink_connection(url, source_system=255, source_component=190, dialect="ardupilotmega")
        assert self.link.wait_heartbeat(timeout=30)
        self.heard: list[Any] = []
        self.last: dict[str, Any] = {}
        self._beat_s = 0.0

    def close(self) -> None:
        self.link.close()

    def send(self, message: Any) -> None:
        self.link.mav.send(message)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if time.monotonic() - self._beat_s > 0.2:
                self._beat_s = time.monotonic()
                self.send(mavlink.MAVLink_heartbeat_message(6, 8, 0, 0, 4, 3))
            message = self.link.recv_match(blocking=True, timeout=0.1)
            if message is not None and message.get_srcComponent() == 1:
                self.heard.append(message)
                self.last[message.get_type()] = message
            if until():
                return True
        return False

    def ask(self, message: Any, kind: str, seconds: float = 5.0) -> Any:
        for _ in range(3):
            seen = len(self.heard)
            self.send(message)
            if self.run(seconds / 3, lambda seen=seen: any(m.get_type() == kind for m in self.heard[seen:])):
                return next(m for m in self.heard[seen:] if m.get_type() == kind)
        return None

    def command(self, number: int, *params: float) -> int | None:
        values = [*params, *[0.0] * (7 - len(params))]
        ack = self.ask(mavlink.MAVLink_command_long_message(1, 1, number, 0, *values), "COMMAND_ACK")
        return ack.result if ack else None

    def arm(self, seconds: float = 60.0) -> bool:
        """GUIDED and armed, asked for again until the EKF has a position."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.command(176, 1, 4) == 0 and self.command(400, 1) == 0:
                return True
            self.run(0.3)
        return False

    def upload(self, rows: Sequence[Row], kind: int = 0) -> int | None:
        seen = len(self.heard)
        self.send(mavlink.MAVLink_mission_count_message(1, 1, len(rows), kind))
        end = time.monotonic() + 30
        while time.monotonic() < end:
            self.run(0.05, lambda seen=seen: len(self.heard) > seen)
            for message in self.heard[seen:]:
                if message.get_type() == "MISSION_ACK":
                    return int(message.type)
                if message.get_type() in ("MISSION_REQUEST", "MISSION_REQUEST_INT"):
                    self.send(item(1, message.seq, rows[message.seq], kind))
            seen = len(self.heard)
        return None

    def download(self, kind: int = 0) -> list[Any]:
        count = self.ask(mavlink.MAVLink_mission_request_list_message(1, 1, kind), "MISSION_COUNT").count
        ask = mavlink.MAVLink_mission_request_int_message
        return [self.ask(ask(1, 1, index, kind), "MISSION_ITEM_INT") for index in range(count)]

    @property
    def armed(self) -> bool:
        beat = self.last.get("HEARTBEAT")
        return bool(beat and beat.base_mode & 128)
