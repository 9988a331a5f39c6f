"""What a radio does to frames on their way: loses, delays, doubles, swaps and spoils them, or falls silent altogether.

Frames are whole: a byte stream is cut into them first, because a radio loses packets, not bytes of a TCP stream.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

from simulators.copter.wire import split_frames


@dataclass(frozen=True)
class LinkQuality:
    """How bad one direction of a link is; all shares are 0..1, times simulated seconds.

    Attributes:
        loss: Share of frames lost.
        delay_s: Time that every frame takes.
        jitter_s: Further time, evenly spread.
        duplicate: Share of frames that come twice.
        reorder: Share of frames that are overtaken by those sent up to 0.3 s later.
        corrupt: Share of frames with a bit or more turned.
        silent: Nothing passes (a partition).
    """

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    silent: bool = False

    @property
    def perfect(self) -> bool:
        """Whether it leaves every frame as it is."""
        return self == LinkQuality()


_OVERTAKEN_S = 0.3


class FaultyLane:
    """One direction of a link; the same seed spoils the same frames.

    Attributes:
        quality: How bad it is now; may be changed at any time.
        passed: Frames delivered.
        lost: Frames not delivered.
    """

    def __init__(self, seed: int, quality: LinkQuality | None = None) -> None:
        self.quality = quality or LinkQuality()
        self.passed = self.lost = 0
        self._random = random.Random(seed)
        self._queue: list[tuple[float, int, bytes]] = []
        self._number = 0
        self._rest = b""

    def send(self, data: bytes, now_s: float) -> None:
        """Takes bytes that are sent now."""
        frames, self._rest = split_frames(self._rest + data)
        for frame in frames:
            self._send_frame(frame, now_s)

    def _send_frame(self, frame: bytes, now_s: float) -> None:
        q, chance = self.quality, self._random.random
        if q.silent or (q.loss and chance() < q.loss):
            self.lost += 1
            return
        for _ in range(2 if q.duplicate and chance() < q.duplicate else 1):
            due = now_s + q.delay_s + (q.jitter_s * chance() if q.jitter_s else 0.0)
            if q.reorder and chance() < q.reorder:
                due += _OVERTAKEN_S * chance()
            sent = self._spoil(frame) if q.corrupt and chance() < q.corrupt else frame
            self._number += 1
            heapq.heappush(self._queue, (due, self._number, sent))

    def _spoil(self, frame: bytes) -> bytes:
        spoilt = bytearray(frame)
        for _ in range(self._random.randint(1, 3)):
            at = self._random.randrange(len(spoilt))
            spoilt[at] ^= 1 << self._random.randrange(8)
        return bytes(spoilt)

    def receive(self, now_s: float) -> bytes:
        """What has arrived by now."""
        out = bytearray()
        while self._queue and self._queue[0][0] <= now_s:
            out += heapq.heappop(self._queue)[2]
            self.passed += 1
        return bytes(out)

    @property
    def idle(self) -> bool:
        """Nothing is under way and nothing would happen to a frame."""
        return not self._queue and not self._rest and self.quality.perfect


class FaultyLink:
    """Both directions: `up` to the vehicle, `down` from it."""

    def __init__(self, seed: int) -> None:
        self.up = FaultyLane(seed * 2 + 1)
        self.down = FaultyLane(seed * 2 + 2)

    def set(self, up: LinkQuality, down: LinkQuality) -> None:
        """Changes both directions."""
        self.up.quality, self.down.quality = up, down
