"""DJI docks, listened to: Cloud API telemetry over MQTT. Read only: replies and services are the dock's platform's.

Topics `thing/product/{sn}/osd|state|events` and `sys/product/{sn}/status`; envelopes {tid, bid, timestamp in ms,
gateway, method, data} (developer.dji.com, Cloud API, "Dock to Cloud"). The broker's fields come and go with firmware:
what is absent stays unknown, what is no JSON or no object is counted and let go.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from flight.aircraft import Sighting
from flight.clock import now_s
from flight.errors import LinkError

_TOPICS = ("thing/product/+/osd", "thing/product/+/state", "thing/product/+/events", "sys/product/+/status")
_CONNECT_S = 5.0
# mode_code of an aircraft's osd (Cloud API, Matrice 3D properties).
_MODES = {
    0: "待机", 1: "起飞准备", 2: "起飞准备完毕", 3: "手动飞行", 4: "自动起飞", 5: "航线飞行", 6: "全景拍照",
    7: "智能跟随", 8: "ADS-B 躲避", 9: "自动返航", 10: "自动降落", 11: "强制降落", 12: "三桨叶降落", 13: "升级中",
    14: "未连接", 15: "APAS", 16: "虚拟摇杆", 17: "指令飞行",
}  # fmt: skip
# break_reason of a break point (the few that tell a planner something).
BREAK_REASONS = {
    513: "达到限高",
    517: "遇到障碍物",
    519: "接近限飞区",
    773: "低电量返航",
    784: "风速过大",
}


@dataclass(frozen=True)
class BreakPoint:
    """Where a flight task broke off, for a resume.

    Attributes:
        index: Waypoint before it.
        progress: Share (0..1) of the leg after that waypoint.
        reason: DJI's number.
        lon: Degrees, NaN where not told.
        lat: Degrees.
    """

    index: int
    progress: float
    reason: int = 0
    lon: float = math.nan
    lat: float = math.nan

    @property
    def reason_text(self) -> str:
        """For people."""
        return BREAK_REASONS.get(self.reason, f"原因代码 {self.reason}")


@dataclass(frozen=True)
class TaskProgress:
    """A flight task's state: `status` sent, in_progress, paused, ok, failed, canceled, …; `progress` 0..1."""

    flight_id: str
    status: str
    progress: float
    waypoint: int = 0
    media: int = 0
    break_point: BreakPoint | None = None


@dataclass(frozen=True)
class DockState:
    """One device on the broker: a dock or the aircraft in it.

    Attributes:
        sn: Serial number.
        heard_s: Our monotonic clock at its last word.
        properties: Latest osd and state fields, merged.
        task: Its flight task, None where none was told.
        online: Sub-devices that its last status named.
    """

    sn: str
    heard_s: float
    properties: dict[str, Any] = field(default_factory=dict)
    task: TaskProgress | None = None
    online: tuple[str, ...] = ()

    def sighting(self) -> Sighting:
        """As an aircraft we can see."""
        p = self.properties
        battery = p.get("battery")
        percent = _number(battery.get("capacity_percent")) if isinstance(battery, dict) else math.nan
        mode = p.get("mode_code")
        return Sighting(
            self.sn, _number(p.get("longitude")), _number(p.get("latitude")), _number(p.get("height")),
            _number(p.get("elevation")), _number(p.get("horizontal_speed")), _number(p.get("attitude_head")) % 360,
            percent / 100, _MODES.get(mode, str(mode)) if isinstance(mode, int) else "",
            self.task.progress if self.task else math.nan, now_s() - self.heard_s,
        )  # fmt: skip


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _task(data: dict[str, Any]) -> TaskProgress | None:
    output = data.get("output")
    if not isinstance(output, dict):
        return None
    ext, progress = output.get("ext"), output.get("progress")
    ext = ext if isinstance(ext, dict) else {}
    progress = progress if isinstance(progress, dict) else {}
    percent = _number(progress.get("percent"))
    return TaskProgress(
        str(ext.get("flight_id", "")), str(output.get("status", "")), percent / 100 if percent == percent else 0.0,
        int(_number(ext.get("current_waypoint_index", 0)) or 0), int(_number(ext.get("media_count", 0)) or 0),
        _break_point(ext.get("break_point")),
    )  # fmt: skip


def _break_point(data: Any) -> BreakPoint | None:
    if not isinstance(data, dict) or _number(data.get("index")) != _number(data.get("index")):
        return None
    return BreakPoint(
        int(data["index"]), _number(data.get("progress", 0.0)), int(data.get("break_reason", 0) or 0),
        _number(data.get("longitude")), _number(data.get("latitude")),
    )  # fmt: skip


class DockListener:
    """Listens to docks on a broker, in a thread of its own; use as a context manager.

    Args:
        url: `mqtt://[user:password@]host[:1883]` or `mqtts://…` (TLS, 8883).
        on_change: Called from the listener's thread with each device that said something.
    """

    def __init__(self, url: str, on_change: Callable[[DockState], None] | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise LinkError(f"{_without_password(url)} is no broker: expected mqtt://host:1883 or mqtts://host:8883")
        self._host, self._name = parts.hostname, f"{parts.scheme}://{parts.hostname}"
        self._port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if parts.username:
            self._client.username_pw_set(parts.username, parts.password)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.on_connect, self._client.on_message = self._connected, self._message
        self._on_change = on_change
        self._lock = threading.Lock()
        self._devices: dict[str, DockState] = {}
        self._ready = threading.Event()
        self._refused = ""
        self.bad_messages = 0

    def __enter__(self) -> DockListener:
        try:
            self._client.connect(self._host, self._port, keepalive=30)
        except OSError as error:
            raise LinkError(f"no broker at {self._name}:{self._port}: {error}; is it running?") from error
        self._client.loop_start()
        if not self._ready.wait(_CONNECT_S):
            self.__exit__()
            raise LinkError(f"the broker {self._name}:{self._port} let nobody in: {self._refused or 'no answer'}")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def devices(self) -> dict[str, DockState]:
        """All devices heard so far, by serial number."""
        with self._lock:
            return dict(self._devices)

    def _connected(
        self, client: mqtt.Client, data: Any, flags: mqtt.ConnectFlags, code: ReasonCode, props: Properties | None
    ) -> None:
        if code.is_failure:
            self._refused = str(code)
            return
        # Subscribed here, not once: after a reconnect the broker has forgotten.
        client.subscribe([(topic, 1) for topic in _TOPICS])
        self._ready.set()

    def _message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            body = json.loads(message.payload)
            kind, sn = message.topic.rsplit("/", 1)[1], message.topic.split("/")[2]
            payload = body["data"]
            if not isinstance(payload, dict):
                raise TypeError("data is no object")
        except (ValueError, KeyError, TypeError, IndexError):
            self.bad_messages += 1
            return
        with self._lock:
            old = self._devices.get(sn) or DockState(sn, now_s())
            new = self._devices[sn] = _heard(old, kind, str(body.get("method", "")), payload)
        if self._on_change is not None:
            self._on_change(new)


def _heard(old: DockState, kind: str, method: str, data: dict[str, Any]) -> DockState:
    old = replace(old, heard_s=now_s())
    if kind in ("osd", "state"):
        return replace(old, properties={**old.properties, **data})
    if kind == "events" and method == "flighttask_progress":
        task = _task(data)
        return replace(old, task=task) if task is not None else old
    if kind == "status":
        subs = data.get("sub_devices")
        names = (
            tuple(str(sub["sn"]) for sub in subs if isinstance(sub, dict) and "sn" in sub)
            if isinstance(subs, list)
            else ()
        )
        return replace(old, online=names)
    return old


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":…@") if parts.password else url
