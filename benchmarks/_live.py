"""46 missions at real time over TCP: CPU of both sides, packet to state, heartbeats; used by `benchmarks/fleet.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
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


@dataclass
class Measured:
    """What was seen while all were in the air.

    Attributes:
        vehicles: Most in the air at the same time.
        seconds: Wall time of the measurement.
        flight_s: CPU seconds of the flight stack.
        simulator_s: CPU seconds of the simulator.
        lag_p99_ms: How late the event loop came to what was due: a packet waits no longer than that.
        packet_p99_ms: From the vehicle's own stamp in a position to our state, over the quickest one.
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
    """Listens to every vehicle of a station."""

    ages: list[list[float]] = field(default_factory=list)
    packets: int = 0
    measuring: bool = False

    def listen(self, vehicle: Vehicle) -> None:
        ages: list[float] = []
        self.ages.append(ages)

        def take(packet: Any, now_s: float) -> None:
            if not self.measuring:
                return
            self.packets += 1
            if packet.msg_id == mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT:
                # After the state was renewed: listeners come behind it.
                ages.append(time.monotonic() - packet.fields.time_boot_ms * 1e-3)

        vehicle.listeners.append(take)

    def p99_ms(self) -> float:
        late = [age - min(ages) for ages in self.ages if ages for age in ages]
        return statistics.quantiles(late, n=100)[98] * 1e3 if len(late) > 1 else float("nan")


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


async def _measure(operation: Operation, simulator_s: Callable[[], float], count: int, seconds: float) -> Measured:
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
                return asyncio.run(_measure(operation, _cpu_of(fleet.pid), count, seconds))
            finally:
                flight.operation.Station = original  # type: ignore[misc]
