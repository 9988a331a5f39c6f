"""One client's link to one vehicle: bytes out, the rates that the client asked for, and its own signing."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from simulators.copter.wire import Decoder, Encoder, Signing

# A client that does not read must not fill the memory: beyond this, telemetry is dropped as a full radio would.
_FULL_BYTES = 1_000_000


class Channel:
    """A MAVLink channel.

    Attributes:
        pending: Bytes not yet handed to the transport.
        rates: Period in simulated seconds by message id.
    """

    def __init__(self, system_id: int, signing: Signing | None = None) -> None:
        self.signing = signing or Signing()
        self.encoder = Encoder(system_id, self.signing)
        self.decoder = Decoder(self.signing)
        self.pending = bytearray()
        self.backlog: Callable[[], int] = lambda: 0
        self.parameters_from: int | None = None
        self._due: list[tuple[float, int]] = []
        self.rates: dict[int, float] = {}

    def send(self, cls: Any, *values: Any, component: int = 1) -> None:
        """Queues one message; values in the order of its definition."""
        if len(self.pending) < _FULL_BYTES:
            self.pending += self.encoder.pack(cls, values, component)

    def take(self) -> bytes:
        """What has to go out now."""
        data = bytes(self.pending)
        self.pending.clear()
        return data

    def set_period(self, message_id: int, period_s: float | None, now_s: float) -> None:
        """Streams a message every `period_s`; None stops it."""
        if period_s is None:
            self.rates.pop(message_id, None)
            return
        fresh = message_id not in self.rates
        self.rates[message_id] = period_s
        if fresh:
            heapq.heappush(self._due, (now_s, message_id))

    def due(self, now_s: float) -> list[int]:
        """Messages whose time has come; each is scheduled anew."""
        out: list[int] = []
        heap = self._due
        while heap and heap[0][0] <= now_s:
            when, message_id = heap[0]
            period = self.rates.get(message_id)
            if period is None:
                heapq.heappop(heap)
                continue
            out.append(message_id)
            heapq.heapreplace(heap, (max(when + period, now_s - period), message_id))
        return out

    def restart(self) -> None:
        """The vehicle was rebooted: rates are forgotten, the heartbeat stays."""
        self.rates.clear()
        self._due.clear()
        self.parameters_from = None
