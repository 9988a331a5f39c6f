"""A fleet of simulated ArduCopters on TCP ports, in one child process that never outlives its parent.

with SimulatedFleet(2, homes, speedup=20.0) as fleet:
    connect(fleet.urls[0])
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from missions.camera import Camera
from simulators.copter.geodesy import LocalFrame
from simulators.copter.server import FleetConfig, serve
from simulators.errors import SimulatorError

LonLatAlt = tuple[float, float, float]

BASE_PORT = 5760
# A start takes a second of CPU; a machine under twenty times its load was seen to take more than one minute for it.
_START_S = 240.0
_ANSWER_S = 240.0


def homes_around(lon: float, lat: float, alt_amsl_m: float, count: int, spacing_m: float = 10.0) -> list[LonLatAlt]:
    """Take-off points for `count` vehicles in a square block, the first at the given place."""
    frame, side = LocalFrame(lon, lat), max(1, math.ceil(math.sqrt(count)))
    places = (frame.lonlat(-(index // side) * spacing_m, (index % side) * spacing_m) for index in range(count))
    return [(place[0], place[1], alt_amsl_m) for place in places]


def _config(count: int, homes: Sequence[LonLatAlt], **settings: Any) -> FleetConfig:
    if count < 1 or len(homes) != count:
        raise SimulatorError(f"a fleet of {count} needs {max(count, 1)} take-off points, {len(homes)} came")
    if count > 254:
        raise SimulatorError(f"a fleet of {count} does not fit MAVLink's system ids: 254 at most")
    for lon, lat, alt in homes:
        if not (-180 <= lon <= 180 and -90 <= lat <= 90 and math.isfinite(alt)):
            raise SimulatorError(f"take-off point {lon}, {lat}, {alt} is not lon, lat in degrees and metres: swapped?")
    start = settings.pop("start_utc") or datetime.now(UTC)
    if start.tzinfo is None:
        raise SimulatorError(f"start {start.isoformat()} has no time zone: give it in UTC")
    try:
        return FleetConfig(homes=tuple(homes), start_utc=start, **settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise SimulatorError(f"{first['loc'][0]}={first['input']!r}: {first['msg']}") from error


class SimulatedFleet:
    """Vehicles with system ids 1..N on TCP ports `base_port`, +10, +20, ...; a context manager.

    Args:
        count: How many.
        homes: Take-off point of each, (lon, lat, alt_amsl_m).
        base_port: Port of the first; 5760 as ArduPilot's simulator has it.
        speedup: Simulated seconds in one of the wall's.
        start_utc: Simulated time at power-on; now by default. All clocks of the vehicles follow it.
        seed: Of gusts, GPS errors and the gimbal's.
        wind_mps: Mean wind.
        wind_from_deg: Direction it blows from, clockwise from north.
        cards_dir: Where `<sysid>/exposures.csv` is written; None keeps no card.
        camera: The lens, for CAMERA_INFORMATION.
        gps_noise_m: Level GPS error, two-dimensional sigma; 0 believes the truth.
        stepped: The clock moves by `advance` only.
    """

    def __init__(
        self,
        count: int,
        homes: Sequence[LonLatAlt],
        *,
        base_port: int = BASE_PORT,
        speedup: float = 1.0,
        start_utc: datetime | None = None,
        seed: int = 0,
        wind_mps: float = 0.0,
        wind_from_deg: float = 0.0,
        cards_dir: Path | None = None,
        camera: Camera | None = None,
        gps_noise_m: float = 1.5,
        stepped: bool = False,
    ) -> None:
        self.config = _config(
            count, homes, base_port=base_port, speedup=speedup, start_utc=start_utc, seed=seed, wind_mps=wind_mps,
            wind_from_deg=wind_from_deg, cards_dir=cards_dir.absolute() if cards_dir else None, camera=camera,
            gps_noise_m=gps_noise_m, stepped=stepped, parent_pid=os.getpid(),
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def urls(self) -> list[str]:
        """`tcp:127.0.0.1:5760` and so on, in order of system id."""
        return [f"tcp:{self.config.host}:{self.config.port(i)}" for i in range(len(self.config.homes))]

    @property
    def pid(self) -> int | None:
        """Process id of the fleet, None where it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> SimulatedFleet:
        """Starts the child process and waits until the ports are open.

        Raises:
            SimulatorError: A port is in use, or the process did not start.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simulators.copter.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        try:
            answer = self._exchange(self.config.model_dump_json(), _START_S)
        except BaseException:
            self.close()
            raise
        if "ready" not in answer:
            self.close()
            raise SimulatorError(answer.get("error", "the simulated fleet did not start"))
        return self

    def close(self) -> None:
        """Ends the child process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(3.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def __enter__(self) -> SimulatedFleet:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # What the crew does.

    def move(self, system_id: int, lon: float, lat: float, alt_amsl_m: float) -> None:
        """Carries a landed, disarmed vehicle to another take-off point.

        Raises:
            SimulatorError: It is armed or in the air.
        """
        self.command("move", system_id=system_id, lon=lon, lat=lat, alt_amsl_m=alt_amsl_m)

    def swap_battery(self, system_id: int, percent: float = 100.0) -> None:
        """Puts a charged pack into a disarmed vehicle.

        Raises:
            SimulatorError: It is armed.
        """
        self.command("swap_battery", system_id=system_id, percent=percent)

    def set_parameter(self, system_id: int, name: str, value: float) -> None:
        """Sets a parameter (SIM_* are faults and weather) without MAVLink."""
        self.command("parameter", system_id=system_id, name=name, value=value)

    def fault(self, system_id: int, name: str, **values: Any) -> None:
        """Breaks something; see `simulators.copter.faults` for names and values.

        Raises:
            SimulatorError: There is no such fault, or a value makes no sense.
        """
        self.command("fault", system_id=system_id, name=name, values=values)

    def state(self, system_id: int) -> dict[str, Any]:
        """The truth about a vehicle: place, height, battery, photographs."""
        value: dict[str, Any] = self.command("state", system_id=system_id)
        return value

    def advance(self, seconds: float) -> float:
        """Turns a stepped clock on; returns simulated seconds since the start."""
        value: float = self.command("advance", seconds=seconds)
        return value

    def command(self, do: str, **values: Any) -> Any:
        """Sends one command to the fleet and returns its value.

        Raises:
            SimulatorError: The fleet refused it, or is gone.
        """
        with self._lock:
            answer = self._exchange(json.dumps({"do": do, **values}), _ANSWER_S)
        if "error" in answer:
            raise SimulatorError(answer["error"])
        return answer.get("value")

    def _exchange(self, line: str, timeout_s: float) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise SimulatorError("the simulated fleet is not running: enter its context first")
        watchdog = threading.Timer(timeout_s, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError as error:
            raise SimulatorError(f"the simulated fleet has ended (exit {process.poll()}): start it again") from error
        finally:
            watchdog.cancel()
        if not answer:
            ended = "did not answer in time" if process.wait() == -9 else f"has ended (exit {process.wait()})"
            raise SimulatorError(f"the simulated fleet {ended}: start it again")
        parsed: dict[str, Any] = json.loads(answer)
        return parsed


def serve_forever(
    count: int,
    homes: Sequence[LonLatAlt],
    *,
    base_port: int = BASE_PORT,
    speedup: float = 1.0,
    start_utc: datetime | None = None,
    seed: int = 0,
    wind_mps: float = 0.0,
    wind_from_deg: float = 0.0,
    cards_dir: Path | None = None,
    camera: Camera | None = None,
    gps_noise_m: float = 1.5,
    host: str = "127.0.0.1",
    announce: Callable[[list[str]], None] = lambda urls: None,
) -> None:
    """Runs a fleet in this process until it is interrupted; `announce` gets the URLs once the ports are open.

    Raises:
        SimulatorError: A port is in use, or the configuration makes no sense.
    """
    config = _config(
        count, homes, base_port=base_port, speedup=speedup, start_utc=start_utc, seed=seed, wind_mps=wind_mps,
        wind_from_deg=wind_from_deg, cards_dir=cards_dir, camera=camera, gps_noise_m=gps_noise_m, host=host,
    )  # fmt: skip
    urls = [f"tcp:{host}:{config.port(index)}" for index in range(count)]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(config, lambda: announce(urls)))
