"""The one clock of this machine that flight reads, so that a whole operation can be run on a virtual one.

`time.monotonic` everywhere else; `benchmarks/chaos.py` and the tests put a virtual clock in its place together with an
event loop that jumps from timer to timer, and fly five minutes in a second, the same way every time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_source: Callable[[], float] = time.monotonic


def now_s() -> float:
    """Monotonic seconds."""
    return _source()


def use(source: Callable[[], float] | None) -> None:
    """Takes another source of time; None goes back to the machine's."""
    global _source
    _source = source or time.monotonic
