"""Ctrl-C while aircraft are in the air: the first calls everything home, the second leaves it to its failsafes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence

from flight.events import FlightEvent, TextEvent
from flight.sortie import SortieFlight

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOUD = 2


class Stop:
    """An operation's end before its time.

    Attributes:
        why: Why nothing new begins, "" while everything may.
        asked: Set with it.
        left: Set when the vehicles are to be left as they are.
    """

    def __init__(
        self, flights: Callable[[], Sequence[SortieFlight]], emit: Callable[[FlightEvent], None], operator: str
    ) -> None:
        self.why = ""
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self._flights, self._emit, self._operator = flights, emit, operator
        self._calling: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Takes Ctrl-C and SIGTERM for as long as it is entered; main thread only."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def interrupt(self) -> None:
        """One Ctrl-C."""
        if not self.why:
            self.call_home(f"stopped by {self._operator}")
        elif not self.left.is_set():
            self._leave()

    def call_home(self, why: str) -> None:
        """Everything in the air returns, what is on the ground stays there."""
        self.why = why
        self.asked.set()
        flights = [flight for flight in self._flights() if flight.vehicle.state.armed]
        self._say(0, f"{why}: {len(flights)} in the air are called home, nothing new takes off; again to leave them")
        for flight in flights:
            if not flight.airborne:
                self._say(flight.vehicle.system_id, "is taking off: it comes home from there")
                continue
            task = asyncio.create_task(self._bring_home(flight))
            self._calling.add(task)
            task.add_done_callback(self._calling.discard)

    async def _bring_home(self, flight: SortieFlight) -> None:
        number = flight.vehicle.system_id
        if flight.helm.coming_home:
            self._say(number, f"is on its way down already ({flight.vehicle.state.mode})")
            return
        outcome = await flight.helm.send_home(self._operator, "the operation was stopped")
        after = "" if outcome.ok else "; its own failsafes bring it home"
        self._say(number, f"return {outcome.result}{f' ({outcome.said})' if outcome.said else ''}{after}")

    def _leave(self) -> None:
        self.left.set()
        for flight in self._flights():
            if flight.vehicle.state.armed:
                mode = flight.vehicle.state.mode
                self._say(flight.vehicle.system_id, f"is left in the air in {mode}: take it over by remote control")
        self._say(
            0, "stopped at once: what is in the air flies on by its mission and its failsafes, and nobody watches"
        )

    def _say(self, system_id: int, text: str) -> None:
        self._emit(TextEvent("", system_id, _LOUD, text))
