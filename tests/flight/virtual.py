"""A whole operation on a virtual clock: an event loop that jumps from timer to timer, vehicles turned by hand.

Nothing here waits: five minutes of flight cost what their computation costs, and a seed gives the same flight again.
"""

import asyncio
import selectors

from flight import clock, station
from flight.address import Address
from flight.link import Link
from simulators.direct import DirectFleet

TICK_S = 0.1


class JumpSelector(selectors.DefaultSelector):
    """Turns the loop's clock on by what it was asked to wait."""

    now_s = 1000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        elif not ready and timeout is None:
            raise RuntimeError("the virtual clock stands: nothing is waited for")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a clock of its own."""

    def __init__(self):
        self.jump = JumpSelector()
        super().__init__(self.jump)

    def time(self):
        return self.jump.now_s


class HandLink(Link):
    """Our `Link` on a vehicle of a `DirectFleet`."""

    def __init__(self, direct):
        super().__init__(Address("tcp", "direct", direct.vehicle.system_id))
        self.direct = direct

    async def _open(self):
        return

    def _write(self, data, peer):
        self.direct.write(data)

    def _shut(self):
        return

    def deliver(self):
        data = self.direct.read()
        if data and self.is_open:
            self._received(data, None)


class World:
    """A fleet, its clock, and links to it; `each_tick` is called with the simulated time."""

    def __init__(self, count, homes, *, each_tick=None, tick_s=TICK_S, **settings):
        self.fleet = DirectFleet(count, homes, **settings)
        self.urls = [f"tcp:direct:{number}" for number in range(1, count + 1)]
        self.each_tick = each_tick or (lambda seconds: None)
        self.tick_s = tick_s
        self._links = []

    def make_link(self, address):
        link = HandLink(self.fleet.link(address.port))
        self._links.append(link)
        return link

    async def _turn(self):
        while True:
            await asyncio.sleep(self.tick_s)
            self.fleet.advance(self.tick_s)
            for link in self._links:
                link.deliver()
            self.each_tick(self.fleet.time_s)

    def run(self, work):
        """Runs a coroutine with the clock turning, and gives its result."""
        loop = VirtualLoop()
        original = station.make_link
        clock.use(loop.time)
        station.make_link = self.make_link
        try:
            return loop.run_until_complete(self._with_clock(work))
        finally:
            station.make_link = original
            clock.use(None)
            loop.close()

    async def _with_clock(self, work):
        turning = asyncio.create_task(self._turn())
        working = asyncio.create_task(work)
        await asyncio.wait({turning, working}, return_when=asyncio.FIRST_COMPLETED)
        turning.cancel()
        return working.result() if working.done() else turning.result()


def run_virtually(work):
    """`asyncio.run` on a virtual clock: protocol time without waiting, whatever else the machine does."""
    loop = VirtualLoop()
    clock.use(loop.time)
    try:
        return loop.run_until_complete(work)
    finally:
        clock.use(None)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
