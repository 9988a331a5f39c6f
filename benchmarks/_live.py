"""46 missions at real time over TCP: CPU of both sides, packet to state, heartbeats; used by `benchmarks/fleet.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

import flight.operation
from flight.events import FlightEvent, ProgressEvent
from flight.operation import Operation, swap_simulated
from flight.station import Station
from flight.vehicle import Vehicle
from simulators.fleet import SimulatedFleet
from tests.flight.plans import HOME, offset, write_flight_plan

# Lanes of 360 m at 8 m/s, two of them: 100 s in the air and more. Pads 90 m apart in a row.
_PLAN: dict[str, Any] = {"length_m": 360.0, "count": 2, "duration_s": 180.0}
_APART_M = 90.0
_ALL_UP_WITHIN_S = 150.0
# A 47th sender that stamps its positions with the machine's monotonic clock, 50 a second: what is measured is the way
# from its socket through the kernel, our loop and our decoder into the state, and nothing of the simulator.
_STAMPER = """
import socket, sys, time
from pymavlink.dialects.v20 import ardupilotmega as m
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
link, _ = server.accept()
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
mav = m.MAVLink(None, srcSystem=200, srcComponent=1)
count = 0
while True:
    if count % 50 == 0:
        link.sendall(m.MAVLink_heartbeat_message(2, 3, 81, 0, 3, 3).pack(mav))
    stamp = int(time.monotonic() * 1000) & 0xFFFFFFFF
    link.sendall(m.MAVLink_global_position_int_message(stamp, 1, 1, 0, 0, 0, 0, 0, 0).pack(mav))
    mav.seq, count = (mav.seq + 1) % 256, count + 1
    time.sleep(0.02)
"""


@dataclass
class Measured:
    """What was seen while all were in the air.

    Attributes:
        vehicles: Most in the air at the same time.
        seconds: Wall time of the measurement.
        flight_s: CPU seconds of the flight stack.
        simulator_s: CPU seconds of the simulator.
        lag_p99_ms: How late the event loop came to what was due.
        packet_p99_ms: From a sender's socket to our state.
        heartbeat_late_s: The worst.
        packets: Frames taken.
        whole_cores: Both sides from the first connection on.
    """

    vehicles: int = 0
    seconds: float = 0.0
    flight_s: float = 0.0
    simulator_s: float = 0.0
    lag_p99_ms: float = 0.0
    packet_p99_ms: float = 0.0
    heartbeat_late_s: float = 0.0
    packets: int = 0
    whole_cores: float = 0.0

    @property
    def cores(self) -> float:
        """Both sides together."""
        return (self.flight_s + self.simulator_s) / self.seconds


@dataclass
class _Probe:
    """Counts every vehicle's packets, and ages those of the stamping sender."""

    ages_s: list[float] = field(default_factory=list)
    packets: int = 0
    measuring: bool = False

    def listen(self, vehicle: Vehicle) -> None:
        vehicle.listeners.append(self._count)

    def age(self, vehicle: Vehicle) -> None:
        vehicle.listeners.append(self._age)

    def _count(self, packet: Any, now_s: float) -> None:
        self.packets += self.measuring

    def _age(self, packet: Any, now_s: float) -> None:
        # Listeners come behind the state.
        if self.measuring and packet.msg_id == mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT:
            self.ages_s.append((int(time.monotonic() * 1000) - packet.fields.time_boot_ms) % 2**32 * 1e-3)

    def p99_ms(self) -> float:
        return statistics.quantiles(self.ages_s, n=100)[98] * 1e3 if len(self.ages_s) > 1 else float("nan")


@contextlib.contextmanager
def _stamper(port: int) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", _STAMPER, str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield f"tcp:127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _cpu_of(pid: int) -> Callable[[], float]:
    ticks = os.sysconf("SC_CLK_TCK")

    def used_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    return used_s


async def _lag(into: list[float]) -> None:
    while True:
        due = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        into.append(time.monotonic() - due)


async def _measure(
    operation: Operation, simulator_s: Callable[[], float], count: int, seconds: float, stamper: str
) -> Measured:
    measured, probe, lags = Measured(), _Probe(), list[float]()
    flying: set[int] = set()
    operation._on_event = lambda event: _note(event, flying)
    stations: list[Station] = []

    class Watched(Station):
        async def connect(self, url: str, **options: float) -> list[Vehicle]:
            found = await super().connect(url, **options)
            for vehicle in found:
                probe.listen(vehicle)
            if self not in stations:
                stations.append(self)
                for stamping in await super().connect(stamper):
                    probe.age(stamping)
            return found

    flight.operation.Station = Watched  # type: ignore[misc]
    first = time.monotonic(), time.process_time() + simulator_s()
    running = asyncio.create_task(operation.run())
    until = time.monotonic() + _ALL_UP_WITHIN_S
    while len(flying) < count and time.monotonic() < until and not running.done():
        await asyncio.sleep(0.2)
    measured.vehicles = len(flying)
    began = time.monotonic(), time.process_time(), simulator_s()
    lagging = asyncio.create_task(_lag(lags))
    probe.measuring = True
    stations[0].worst_heartbeat_late_s = 0.0
    await asyncio.wait({running}, timeout=seconds)
    probe.measuring = False
    measured.seconds = time.monotonic() - began[0]
    measured.flight_s, measured.simulator_s = time.process_time() - began[1], simulator_s() - began[2]
    measured.whole_cores = (time.process_time() + simulator_s() - first[1]) / (time.monotonic() - first[0])
    measured.heartbeat_late_s, measured.packets = stations[0].worst_heartbeat_late_s, probe.packets
    measured.lag_p99_ms, measured.packet_p99_ms = statistics.quantiles(lags, n=100)[98] * 1e3, probe.p99_ms()
    lagging.cancel()
    running.cancel()
    with contextlib.suppress(BaseException):
        await asyncio.gather(running, lagging, return_exceptions=True)
    return measured


def _note(event: FlightEvent, flying: set[int]) -> None:
    if isinstance(event, ProgressEvent) and event.mode == "AUTO":
        flying.add(event.system_id)


def fly_live(count: int, seconds: float) -> Measured:
    """Flies `count` missions at real time and measures for `seconds` from when all are in AUTO."""
    homes = [(*offset(HOME, number * _APART_M, 0.0), HOME[2]) for number in range(count)]
    original = flight.operation.Station
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_flight_plan(folder / "plan", homes, **_PLAN)
        with SimulatedFleet(count, homes, base_port=21000) as fleet:
            operation = Operation(
                folder / "plan", fleet.urls, folder / "out", operator="bench", on_event=None, on_sortie=None,
                swap_battery=swap_simulated, max_home_offset_m=30.0, speedup=1.0, key=None, overrides=(), obstacles=(),
            )  # fmt: skip
            try:
                assert fleet.pid is not None
                with _stamper(20_990) as stamper:
                    return asyncio.run(_measure(operation, _cpu_of(fleet.pid), count, seconds, stamper))
            finally:
                flight.operation.Station = original  # type: ignore[misc]
