"""All vehicles of a fleet in one process: one event loop, one clock, one TCP port a vehicle.

Run as `python -m simulators.copter.server`, it reads its configuration as one line of JSON and then takes one command a
line on standard input; it ends when that closes, so it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from missions.camera import Camera
from simulators.copter.channel import Channel
from simulators.copter.crew import Crew
from simulators.copter.dynamics import STEP_S
from simulators.copter.linkfaults import FaultyLane
from simulators.copter.vehicle import Vehicle, VehicleConfig
from simulators.errors import SimulatorError

_LOG = logging.getLogger("yunxun.simulators")
# A client that is this far behind stops a fast clock, and loses telemetry on a real-time one.
_BEHIND_BYTES = 64_000
_FULL_BYTES = 1_000_000
_WAIT_FOR_CLIENT_S = 5.0
# Longest stretch of stepping before the loop listens to the sockets again.
_BUSY_S = 0.02


class FleetConfig(BaseModel):
    """What a fleet is made of; see `simulators.fleet.SimulatedFleet`."""

    model_config = ConfigDict(frozen=True)

    homes: tuple[tuple[float, float, float], ...]
    start_utc: datetime
    base_port: int = Field(default=5760, ge=1, le=65535)
    host: str = "127.0.0.1"
    speedup: float = Field(default=1.0, gt=0, le=1000)
    seed: int = 0
    wind_mps: float = Field(default=0.0, ge=0, le=60)
    wind_from_deg: float = 0.0
    gps_noise_m: float = Field(default=1.5, ge=0)
    cards_dir: Path | None = None
    camera: Camera | None = None
    stepped: bool = False
    parent_pid: int | None = None

    def vehicle(self, index: int) -> VehicleConfig:
        """Configuration of the vehicle at a position (0 first)."""
        return VehicleConfig(
            system_id=index + 1,
            home=self.homes[index],
            start_utc=self.start_utc,
            seed=self.seed,
            speedup=self.speedup,
            wind_mps=self.wind_mps,
            wind_from_deg=self.wind_from_deg,
            gps_noise_m=self.gps_noise_m,
            camera=self.camera,
            card=self.cards_dir,
        )

    def port(self, index: int) -> int:
        """TCP port of the vehicle at a position, ten apart as ArduPilot's simulator has them."""
        return self.base_port + 10 * index


class _Client(asyncio.Protocol):
    """One TCP client of one vehicle."""

    def __init__(self, fleet: FleetServer, vehicle: Vehicle) -> None:
        self._fleet, self._vehicle = fleet, vehicle
        self.channel = Channel(vehicle.system_id)
        self.transport: asyncio.Transport | None = None
        number = vehicle.config.seed * 31 + vehicle.system_id + 1000 * len(fleet.clients)
        self._up, self._down = FaultyLane(2 * number + 1), FaultyLane(2 * number + 2)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._vehicle.attach(self.channel)
        self._fleet.clients.append(self)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._up.quality = self._vehicle.radio.up.quality
        if not self._up.idle:
            self._up.send(data, self._fleet.time_s)
            data = self._up.receive(self._fleet.time_s)
        self._hear(data)

    def poll(self) -> None:
        """Hears what a slow link has delivered meanwhile."""
        if not self._up.idle:
            self._up.quality = self._vehicle.radio.up.quality
            self._hear(self._up.receive(self._fleet.time_s))

    def _hear(self, data: bytes) -> None:
        for message in self.channel.decoder.feed(data):
            try:
                self._vehicle.receive(self.channel, message)
            except Exception:
                # One bad message must not take 46 aircraft down; it is told, and the next is read.
                _LOG.exception("vehicle %d: %s", self._vehicle.system_id, message.msgname)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._vehicle.detach(self.channel)
        if self in self._fleet.clients:
            self._fleet.clients.remove(self)

    def flush(self) -> None:
        """Hands over what is queued."""
        data = self.channel.take()
        self._down.quality = self._vehicle.radio.down.quality
        if not self._down.idle:
            self._down.send(data, self._fleet.time_s)
            data = self._down.receive(self._fleet.time_s)
        if data and self.transport is not None and self.backlog() < _FULL_BYTES:
            self.transport.write(data)

    def backlog(self) -> int:
        """Bytes that the client has not taken yet."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0


class FleetServer:
    """The vehicles, their clock and their sockets.

    Attributes:
        vehicles: By position; system ids are 1..N.
        clients: Links that are open.
        time_s: Simulated seconds since the start.
    """

    def __init__(self, config: FleetConfig) -> None:
        self.config = config
        self.vehicles = [Vehicle(config.vehicle(index)) for index in range(len(config.homes))]
        self.crew = Crew(self)
        self.clients: list[_Client] = []
        self.time_s = 0.0
        self._servers: list[asyncio.Server] = []
        self._owed_s = 0.0
        self._waiting_s = 0.0

    async def listen(self) -> None:
        """Opens the ports.

        Raises:
            SimulatorError: A port is in use.
        """
        loop = asyncio.get_running_loop()
        for index, vehicle in enumerate(self.vehicles):
            port = self.config.port(index)
            try:
                server = await loop.create_server(
                    partial(_Client, self, vehicle), self.config.host, port, reuse_address=True
                )
            except (OSError, OverflowError) as error:
                await self.close()
                raise SimulatorError(
                    f"vehicle {vehicle.system_id} cannot listen on {self.config.host}:{port} ({_why(error)}); "
                    "stop what uses the port, or choose another with --port"
                ) from error
            self._servers.append(server)

    async def close(self) -> None:
        """Closes ports and links."""
        for server in self._servers:
            server.close()
        for client in list(self.clients):
            if client.transport is not None:
                client.transport.close()
        self._servers.clear()

    async def run(self) -> None:
        """Keeps the clock until cancelled."""
        tick_s = 0.02 if self.config.speedup <= 2 else 0.004
        last = time.monotonic()
        while True:
            await asyncio.sleep(tick_s)
            now = time.monotonic()
            if self.config.stepped:
                last = now
                continue
            wall_s, last = now - last, now
            if self._must_wait(wall_s):
                continue
            # A machine that was busy does not make the clock jump: what is more than 0.2 s behind is let go.
            self._owed_s = min(self._owed_s + wall_s * self.config.speedup, 0.2 * self.config.speedup + 0.1)
            self._catch_up()
            self.flush()

    def _must_wait(self, wall_s: float) -> bool:
        """Whether a client is so far behind that a fast clock stands still for it."""
        behind = self.config.speedup > 1 and any(client.backlog() > _BEHIND_BYTES for client in self.clients)
        self._waiting_s = self._waiting_s + wall_s if behind else 0.0
        return behind and self._waiting_s < _WAIT_FOR_CLIENT_S

    def _catch_up(self) -> None:
        until = time.monotonic() + _BUSY_S
        while self._owed_s >= STEP_S:
            self.step()
            self._owed_s -= STEP_S
            if time.monotonic() > until:
                break

    def step(self) -> None:
        """0.02 s of simulated time for every vehicle."""
        self.time_s += STEP_S
        for vehicle in self.vehicles:
            vehicle.step()

    def flush(self) -> None:
        """Sends what is queued on every link."""
        for client in self.clients:
            client.poll()
            client.flush()


def _why(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


async def _read_commands(fleet: FleetServer, done: asyncio.Event) -> None:
    """Takes commands from standard input until it closes."""
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        _say(fleet.crew.command(line))
        fleet.flush()
    done.set()


async def _watch_parent(pid: int, done: asyncio.Event) -> None:
    """Ends with the parent even where a fork of it keeps our standard input open."""
    while os.getppid() == pid:
        await asyncio.sleep(1.0)
    done.set()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def serve(config: FleetConfig, ready: Callable[[], None], done: asyncio.Event | None = None) -> None:
    """Runs a fleet until `done` is set or the task is cancelled.

    Raises:
        SimulatorError: A port is in use.
    """
    fleet = FleetServer(config)
    done = done or asyncio.Event()
    await fleet.listen()
    tasks = [asyncio.create_task(fleet.run()), asyncio.create_task(done.wait())]
    if config.parent_pid is not None:
        tasks += [
            asyncio.create_task(_read_commands(fleet, done)),
            asyncio.create_task(_watch_parent(config.parent_pid, done)),
        ]
    ready()
    try:
        finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        await fleet.close()


def main() -> int:
    """The child process of `SimulatedFleet`."""
    config = FleetConfig.model_validate_json(sys.stdin.buffer.readline())
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    try:
        asyncio.run(serve(config, lambda: _say({"ready": True})))
    except SimulatorError as error:
        _say({"error": str(error)})
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
