"""Token buckets: how often somebody may ask, on average and at once. Safe among threads; forgets under a flood."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_MAX = 10_000


class Buckets:
    """A bucket a name.

    Args:
        rate_per_s: Refill; 0 or less means no limit.
        burst: What a full one holds.
        now: The clock, seconds.
    """

    def __init__(self, rate_per_s: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._now = rate_per_s, float(burst), now
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> bool:
        """Whether one more is allowed; if so it is counted."""
        if self._rate <= 0:
            return True
        now = self._now()
        with self._lock:
            left, then = self._left.get(name, (self._burst, now))
            left = min(left + (now - then) * self._rate, self._burst)
            if name not in self._left and len(self._left) >= _MAX:
                self._left.clear()
            self._left[name] = (left - 1.0 if left >= 1.0 else left, now)
        return left >= 1.0
