"""A DJI dock with its aircraft on an MQTT broker: what a Dock 2 with a Matrice 3D says during a flight task.

Cloud API of docks: `thing/product/{sn}/osd|state|events`, `sys/product/{sn}/status`; nothing is taken in return. A task
flies a list of waypoints at a constant speed and may break off with a break point.

    with SimulatedDock("mqtt://127.0.0.1:1883", waypoints=[(118.35, 35.05), (118.351, 35.05)]) as dock:
        dock.fly()
"""

from __future__ import annotations

import json
import math
import threading
import time
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from simulators.errors import SimulatorError

_CONNECT_S = 5.0
_FLYING, _RETURNING, _LANDING, _STANDBY, _TAKING_OFF = 5, 9, 10, 0, 4
_LAT_M = 111_320.0


@dataclass(frozen=True)
class DockTask:
    """What the aircraft flies.

    Attributes:
        flight_id: The task's number.
        waypoints: (lon, lat), flown one after another.
        height_m: Above take-off.
        speed_mps: Along the way.
        photos_m: A photograph every so many metres.
        breaks_at: Share of the way at which it breaks off, None to finish.
        break_reason: DJI's number of the reason; 773 is a low battery.
    """

    waypoints: tuple[tuple[float, float], ...]
    flight_id: str = "F1"
    height_m: float = 100.0
    speed_mps: float = 12.0
    photos_m: float = 20.0
    breaks_at: float | None = None
    break_reason: int = 773

    def legs_m(self) -> list[float]:
        """Length of each leg."""
        return [_apart_m(a, b) for a, b in zip(self.waypoints, self.waypoints[1:], strict=False)]

    def place(self, flown_m: float) -> tuple[float, float, float, int, float]:
        """(lon, lat, heading in degrees, waypoint behind, share of the leg) after so many metres."""
        for index, length in enumerate(self.legs_m()):
            if flown_m <= length or index == len(self.waypoints) - 2:
                share = min(1.0, flown_m / max(length, 1e-6))
                (lon, lat), (to_lon, to_lat) = self.waypoints[index], self.waypoints[index + 1]
                east = (to_lon - lon) * math.cos(math.radians(lat))
                heading = math.degrees(math.atan2(east, to_lat - lat))
                return lon + share * (to_lon - lon), lat + share * (to_lat - lat), heading, index, share
            flown_m -= length
        raise SimulatorError("a dock's task needs two waypoints at least")


def _apart_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    east = (b[0] - a[0]) * _LAT_M * math.cos(math.radians(a[1]))
    return math.hypot(east, (b[1] - a[1]) * _LAT_M)


class SimulatedDock:
    """Speaks on a broker; use as a context manager.

    Args:
        url: `mqtt://host[:port]`.
        dock_sn: The dock's serial number.
        drone_sn: The aircraft's.
    """

    def __init__(self, url: str, dock_sn: str = "7CTDM0000000001", drone_sn: str = "1581F6Q8D000000001") -> None:
        parts = urlsplit(url)
        if parts.scheme != "mqtt" or not parts.hostname:
            raise SimulatorError(f"{url!r}: expected mqtt://host[:port]")
        self._address = (parts.hostname, parts.port or 1883)
        self.dock_sn, self.drone_sn = dock_sn, drone_sn
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._stop = threading.Event()

    def __enter__(self) -> SimulatedDock:
        try:
            self._client.connect(*self._address, keepalive=30)
        except OSError as error:
            raise SimulatorError(f"no broker at {self._address[0]}:{self._address[1]}: {error}; start one") from error
        self._client.loop_start()
        self.say(f"sys/product/{self.dock_sn}/status", {"sub_devices": [{"sn": self.drone_sn, "type": 91}]},
                 "update_topo")  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._client.disconnect()
        self._client.loop_stop()

    def stop(self) -> None:
        """Ends a task that another thread flies."""
        self._stop.set()

    def say(self, topic: str, data: Any, method: str = "") -> None:
        """Publishes one envelope and waits until the broker has it."""
        body = {
            "tid": str(uuid.uuid4()), "bid": str(uuid.uuid4()), "timestamp": int(time.time() * 1000),
            "gateway": self.dock_sn, "data": data,
        }  # fmt: skip
        if method:
            body |= {"method": method, "need_reply": 1}
        self._client.publish(topic, json.dumps(body), qos=1).wait_for_publish(_CONNECT_S)

    def fly(self, task: DockTask, *, speedup: float = 1.0, rate_hz: float = 2.0) -> None:
        """Flies a task from the cover's opening to the landing; blocks, `speedup` times as fast as in life."""
        total_m = sum(task.legs_m())
        if total_m <= 0:
            raise SimulatorError("a dock's task needs two waypoints at least, apart")
        end_m = total_m * (task.breaks_at if task.breaks_at is not None else 1.0)
        step_m = task.speed_mps / rate_hz
        self.say(f"thing/product/{self.drone_sn}/state", {"firmware_version": "10.01.1605"})
        self._progress(task, 0.0, 0, "sent")
        flown_m = 0.0
        while flown_m < end_m and not self._stop.wait(1.0 / rate_hz / speedup):
            flown_m = min(end_m, flown_m + step_m)
            self._osd(task, flown_m, _FLYING)
            self._progress(task, flown_m / total_m, int(flown_m / task.photos_m), "in_progress")
        done = flown_m >= total_m
        self._progress(task, flown_m / total_m, int(flown_m / task.photos_m), "ok" if done else "failed", flown_m)
        for mode in (_RETURNING, _LANDING, _STANDBY):
            self._osd(task, flown_m, mode)

    def _osd(self, task: DockTask, flown_m: float, mode: int) -> None:
        lon, lat, heading, _, _ = task.place(flown_m)
        height = task.height_m if mode in (_FLYING, _RETURNING) else 0.0
        self.say(
            f"thing/product/{self.drone_sn}/osd",
            {
                "mode_code": mode, "longitude": lon, "latitude": lat, "height": 60.0 + height, "elevation": height,
                "horizontal_speed": task.speed_mps if mode == _FLYING else 0.0, "vertical_speed": 0.0,
                "attitude_head": heading,
                "battery": {"capacity_percent": max(5, 100 - int(flown_m / 150)), "remain_flight_time": 1800},
            },
        )  # fmt: skip

    def _progress(
        self, task: DockTask, share: float, photos: int, status: str, broke_at_m: float | None = None
    ) -> None:
        ext: dict[str, Any] = {"flight_id": task.flight_id, "media_count": photos}
        if share > 0:
            lon, lat, _, index, leg = task.place(share * sum(task.legs_m()))
            ext["current_waypoint_index"] = index
            if status == "failed" and broke_at_m is not None:
                ext["break_point"] = {
                    "index": index, "state": 1, "progress": leg, "wayline_id": 0, "break_reason": task.break_reason,
                    "latitude": lat, "longitude": lon,
                }  # fmt: skip
        output = {"status": status, "progress": {"percent": round(share * 100), "current_step": 19}, "ext": ext}
        self.say(
            f"thing/product/{self.dock_sn}/events", {"result": 0, "output": output}, "flighttask_progress"
        )  # fmt: skip
