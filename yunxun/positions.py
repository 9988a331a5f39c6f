"""Where our aircraft are, told to the server while they fly: once a second each at most, never in the flight's way."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from types import TracebackType

import httpx

from flight.events import FlightEvent, ProgressEvent

_EVERY_S = 1.0
_TIMEOUT_S = 3.0


class PositionFeed:
    """Sends the newest position of each vehicle from a thread of its own; use as a context manager.

    What cannot be sent is dropped: a position is worth nothing a second later.

    Args:
        api: The server, `http://host:8000`.
        token: Bearer token of role pilot.
        patrol_id: The plan's identity.

    Attributes:
        sent: Positions that the server took.
        failed: Positions that it did not.
        trouble: The last failure in words, "" while there is none.
    """

    def __init__(self, api: str, token: str, patrol_id: str) -> None:
        self.sent = self.failed = 0
        self.trouble = ""
        self._patrol_id = patrol_id
        self._newest: dict[int, dict[str, object]] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=api.rstrip("/"), headers=headers, timeout=_TIMEOUT_S)
        self._thread = threading.Thread(target=self._run, name="positions", daemon=True)

    def __enter__(self) -> PositionFeed:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join(2 * _TIMEOUT_S)
        self._client.close()

    def take(self, event: FlightEvent) -> None:
        """Takes one event, of which positions are kept; quick, for it is called in the flight's own loop."""
        if not isinstance(event, ProgressEvent):
            return
        position: dict[str, object] = {
            "lon": event.lon, "lat": event.lat, "height_rel_m": event.height_rel_m,
            "yaw_deg": _known(event.heading_deg), "battery": _known(event.battery), "sortie_id": event.sortie_id,
            "patrol_id": self._patrol_id, "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }  # fmt: skip
        with self._lock:
            self._newest[event.system_id] = position

    def _run(self) -> None:
        while not self._done.is_set():
            began = time.monotonic()
            with self._lock:
                newest, self._newest = self._newest, {}
            for system_id, position in newest.items():
                self._send(system_id, position)
            self._done.wait(max(0.0, _EVERY_S - (time.monotonic() - began)))

    def _send(self, system_id: int, position: dict[str, object]) -> None:
        try:
            answer = self._client.put(f"/api/v1/fleet/{system_id}", json=position)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            self.failed += 1
            self.trouble = f"the server answered {error.response.status_code}"
        except httpx.HTTPError as error:
            self.failed += 1
            self.trouble = f"{type(error).__name__}: {error}"
        else:
            self.sent += 1


def _known(value: float) -> float | None:
    return None if value != value else value
