"""Crops drawn ahead by a second thread: drawing costs as much as a step does, and there are two cores.

A thread, as a network's step runs outside the interpreter's lock; a forked process hangs where torch, OpenCV or ONNX
Runtime have threads of their own, and a spawned one needs a copy of every scene.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Drawn = TypeVar("Drawn")
# Batches that may wait: enough that a slow one is not waited for.
AHEAD = 4


def drawn_ahead(draw: Callable[[int], Drawn], first: int, last: int, ahead: int = AHEAD) -> Iterator[Drawn]:
    """What `draw` gives for each step, in order, while a second thread works ahead.

    Args:
        draw: Depends on the step alone.
        first: The first step.
        last: One beyond the last.
        ahead: Steps drawn ahead at most; 0 draws in this thread.
    """
    if ahead < 1:
        yield from map(draw, range(first, last))
        return
    with ThreadPoolExecutor(1, "crops") as pool:
        waiting: deque[Future[Drawn]] = deque()
        step = first
        while step < last or waiting:
            while step < last and len(waiting) < ahead:
                waiting.append(pool.submit(draw, step))
                step += 1
            yield waiting.popleft().result()
