"""A brigade on one machine: decoding, ingest, uploads over bad links, and 46 vehicles flying at real time.

    python benchmarks/fleet.py                 # decode, ingest, upload: about a minute of CPU
    python benchmarks/fleet.py --live 90       # and 46 simulated vehicles over TCP, 90 s from when all are in the air
    python benchmarks/fleet.py --only --live 90

CPU shares are process time over stream time, so that a busy machine does not falsify them. Uploads run on a virtual
clock: their seconds are the protocol's, and the CPU they took is told beside. Exit 3 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import math
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from pymavlink import mavutil
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from benchmarks._live import fly_live
from flight import clock
from flight.address import Address
from flight.delivery import upload_verified
from flight.items import WireItem, first_difference
from flight.link import Link
from flight.record import Recorder
from flight.station import Channel as OurChannel
from flight.transfer import download
from flight.wire import Decoder
from tests.flight.peer import Channel, Peer, connected
from tests.flight.test_fuzz import fuzz_signed, refused_of
from tests.flight.virtual import VirtualLoop
from tests.simulators.copter.test_fuzz import fuzz as fuzz_simulator

VEHICLES, RATE_HZ, ITEMS = 46, 100, 200
RESULTS: dict[str, Any] = {}
MISSED: list[str] = []


def told(name: str, value: float, bar: float, good: bool) -> None:
    RESULTS[name] = round(value, 4)
    print(f"{'ok  ' if good else 'MISS'} {name:<58} {value:10.3f}   bar {bar:g}", flush=True)
    if not good:
        MISSED.append(name)


def telemetry(system: int, seconds: float, packer: Any, rng: random.Random) -> bytes:
    """One vehicle's messages of `seconds`: the mix of ArduCopter's streams, about 100 a second."""
    out = bytearray()

    def say(message: Any) -> None:
        out.extend(message.pack(packer))
        packer.seq = (packer.seq + 1) % 256

    for n in range(int(seconds * RATE_HZ)):
        ms = 1000 + n * 10
        kind = n % 10
        if kind in (0, 2, 4, 6):
            say(mavlink.MAVLink_attitude_message(ms, rng.uniform(-0.3, 0.3), 0.05, 1.7, 0.0, 0.1, 0.0))
        elif kind in (1, 5):
            say(
                mavlink.MAVLink_global_position_int_message(
                    ms, 350500000 + n, 1183500000 + n, 99000, 40000, 500, -300, 12, 9000
                )
            )
        elif kind == 3:
            say(mavlink.MAVLink_vfr_hud_message(9.0, 8.5, 90, 45, 40.0, 0.1))
        elif kind == 7:
            say(
                mavlink.MAVLink_gps_raw_int_message(
                    ms * 1000, 3, 350500000, 1183500000, 99000, 80, 90, 850, 9000, 14, 0, 900, 1500
                )
            )
        elif kind == 8:
            say(mavlink.MAVLink_sys_status_message(1, 1, 1, 300, 22000, 1500, 80, 0, 0, 0, 0, 0, 0))
        else:
            say(mavlink.MAVLink_rc_channels_message(ms, 8, 1500, 1500, 1300, 1500, *([1500] * 14), 200))
    say(mavlink.MAVLink_heartbeat_message(2, 3, 81, 3, 4, 3))
    return bytes(out)


class Buffer(mavutil.mavfile):
    """A mavutil connection that reads from memory."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        super().__init__(None, "memory", source_system=255)
        self.robust_parsing = True

    def recv(self, n: int | None = None) -> bytes:
        """As a socket would give it."""
        return self._data.read(n or 4096)

    def select(self, timeout: float | None) -> bool:
        """Always ready."""
        return True


def best_of(times: int, work: Callable[[], int]) -> float:
    """Messages a CPU-second, the best of some runs."""
    best = 0.0
    for _ in range(times):
        begun = time.process_time()
        count = work()
        best = max(best, count / (time.process_time() - begun))
    return best


def decode() -> None:
    """Ours against `recv_match`, on the same bytes, with the values compared."""
    rng = random.Random(1)
    stream = b"".join(telemetry(s, 4.0, mavlink.MAVLink(None, srcSystem=s, srcComponent=1), rng) for s in range(1, 47))

    def ours() -> int:
        decoder, count = Decoder(), 0
        for at in range(0, len(stream), 4096):
            count += len(decoder.feed(stream[at : at + 4096]))
        return count

    def theirs() -> int:
        connection, count = Buffer(stream), 0
        while connection.recv_match() is not None:
            count += 1
        return count

    mine, other = best_of(3, ours), best_of(2, theirs)
    RESULTS["decode_msgs_per_cpu_s"], RESULTS["recv_match_msgs_per_cpu_s"] = round(mine), round(other)
    told("decode, times mavutil.recv_match", mine / other, 3.0, mine / other >= 3)
    compare(stream)


def compare(stream: bytes) -> None:
    connection, different, seen = Buffer(stream), 0, 0
    for packet in Decoder().feed(stream):
        message = connection.recv_match()
        for name in message.fieldnames:
            a, b = getattr(packet.fields, name), getattr(message, name)
            different += (list(a) if isinstance(b, list) else a) != b
        seen += 1
    told("fields that differ from pymavlink's", different, 0, different == 0 and seen > 10_000)


class Silent(Link):
    """A link that carries only what the benchmark puts in."""

    async def _open(self) -> None:
        return

    def _write(self, data: bytes, peer: Any) -> None:
        return

    def _shut(self) -> None:
        return


def ingest(seconds: float = 10.0) -> None:
    """Decode, state, record and fan-out of 4,600 messages a second, as they come: a chunk a vehicle every 50 ms."""

    async def run() -> tuple[int, float]:
        rng = random.Random(2)
        channels, chunks, recorders, counts = [], [], [], [0]

        def fan_out(packet: Any, now_s: float) -> None:
            counts[0] += 1

        with tempfile.TemporaryDirectory() as folder:
            for system in range(1, VEHICLES + 1):
                packer = mavlink.MAVLink(None, srcSystem=system, srcComponent=1)
                channel = OurChannel(Silent(Address("tcp", "memory", system)), None, 1.0, 1)
                channel.link.on_data(mavlink.MAVLink_heartbeat_message(2, 3, 81, 3, 4, 3).pack(packer), None)
                packer.seq = 1
                vehicle = channel.vehicles[system]
                recorders.append(
                    Recorder(vehicle, Path(folder) / f"{system}.tlog", Path(folder) / f"{system}.jsonl", "b")
                )
                vehicle.listeners += [fan_out, fan_out]
                data = telemetry(system, seconds, packer, rng)
                size = math.ceil(len(data) / (seconds * 20))
                chunks.append([data[at : at + size] for at in range(0, len(data), size)])
                channels.append(channel)
            begun = time.process_time()
            for step in range(max(map(len, chunks))):
                for channel, pieces in zip(channels, chunks, strict=True):
                    if step < len(pieces):
                        channel.link.on_data(pieces[step], None)
                if step % 10 == 9:
                    for recorder in recorders:
                        recorder.flush()
            used = time.process_time() - begun
            for recorder in recorders:
                recorder.close()
        return counts[0] // 2, used

    count, used = asyncio.run(run())
    RESULTS["ingest_msgs_per_s"] = round(count / seconds)
    told("full ingest of 4,600 msg/s, share of a core", used / seconds, 0.15, used / seconds <= 0.15)


def uploads(name: str, bar_s: float, **bad: float) -> None:
    """46 vehicles get 200 items each at once; equal on read-back."""
    missions = [
        [
            WireItem(16, 3, (0.0, 0.0, 0.0, 0.0), 350500000 + v * 1000 + n, 1183500000 + n * 7, 40.0 + n % 5)
            for n in range(ITEMS)
        ]
        for v in range(VEHICLES)
    ]

    async def one(number: int) -> int:
        vehicle = await connected(Peer(system=number + 1), Channel(seed=number, **bad))
        await upload_verified(vehicle, missions[number], 0)
        equal = int(first_difference(missions[number], await download(vehicle, 0), 0) == "")
        await vehicle.link.close()
        return equal

    async def all_of_them() -> tuple[int, float]:
        begun = asyncio.get_running_loop().time()
        equal = await asyncio.gather(*(one(number) for number in range(VEHICLES)))
        return sum(equal), asyncio.get_running_loop().time() - begun

    loop = VirtualLoop()
    clock.use(loop.time)
    begun = time.process_time()
    try:
        equal, took_s = loop.run_until_complete(all_of_them())
    finally:
        clock.use(None)
        loop.close()
    RESULTS[f"{name}_cpu_s"] = round(time.process_time() - begun, 1)
    told(f"{name}: 46 x 200 items uploaded and verified, s", took_s, bar_s, took_s <= bar_s and equal == VEHICLES)


def fuzzed(count: int) -> None:
    """Damaged, replayed, forged and unsigned frames into our station and into the simulated vehicle."""
    begun = time.process_time()
    before, after, counts, seen = fuzz_signed(count, 6)
    refused = refused_of(counts)
    RESULTS["fuzz_flight_refused"] = refused
    told(
        f"{count} fuzzed frames into the stack: taken, or state changed",
        counts.packets - 1 + (after != before) + (seen != {1}),
        0,
        counts.packets == 1 and after == before and seen == {1} and sum(refused.values()) > 0.8 * count,
    )
    link, _ = fuzz_simulator(count)  # asserts that nothing changed
    told(f"{count} fuzzed frames into the simulator: state changed", 0, 0, True)
    RESULTS["fuzz_simulator_refused"] = str(link.channel.decoder.refused)
    RESULTS["fuzz_cpu_s"] = round(time.process_time() - begun, 1)


def live(seconds: float, count: int) -> None:
    """46 missions at real time over TCP; our CPU and the simulator's, packet to state, heartbeats."""
    seen = fly_live(count, seconds)
    RESULTS["live_measured_s"], RESULTS["live_packets_per_s"] = round(seen.seconds), round(seen.packets / seen.seconds)
    RESULTS["live_cores_flight"] = round(seen.flight_s / seen.seconds, 3)
    RESULTS["live_cores_simulator"] = round(seen.simulator_s / seen.seconds, 3)
    RESULTS["live_cores_from_first_connection"] = round(seen.whole_cores, 3)
    RESULTS["live_load_average"] = round(os.getloadavg()[0], 1)
    told(f"{count} missions at real time: in the air at once", seen.vehicles, count, seen.vehicles >= count)
    told("the same, cores of simulator and stack together", seen.cores, 1.0, seen.cores <= 1)
    RESULTS["live_loop_late_p99_ms"] = round(seen.lag_p99_ms, 1)
    told("packet to state p99 (sender's socket to our state), ms", seen.packet_p99_ms, 100, seen.packet_p99_ms <= 100)
    told("worst heartbeat late, s", seen.heartbeat_late_s, 0.5, seen.heartbeat_late_s <= 0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--vehicles", type=int, default=VEHICLES, help="of --live")
    parser.add_argument("--fuzz", type=int, default=0, metavar="FRAMES", help="damaged frames into stack and simulator")
    parser.add_argument("--only", action="store_true", help="nothing but what --live and --fuzz ask for")
    options = parser.parse_args()
    if not options.only:
        decode()
        ingest()
        uploads("100 ms round trip", 25.0, delay_s=0.05)
        uploads("10 % loss", 60.0, delay_s=0.01, loss=0.1)
        # These two have no bar but that they converge.
        uploads("100 ms and 10 % loss", 600.0, delay_s=0.05, loss=0.1)
        uploads("30 % loss", 600.0, delay_s=0.02, loss=0.3)
    if options.fuzz:
        fuzzed(options.fuzz)
    if options.live:
        live(options.live, options.vehicles)
    RESULTS["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(RESULTS))
    return 3 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
