"""Real ArduPilot SITL processes instead of our own vehicles, on the same ports and behind the same interface.

Nothing of ArduPilot comes with this package: the binary is the user's, named by YUNXUN_ARDUCOPTER or found on PATH.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from simulators.copter.battery import GRAVITY_MPS2, Airframe
from simulators.errors import SimulatorError

LonLatAlt = tuple[float, float, float]

VARIABLE = "YUNXUN_ARDUCOPTER"
_START_S = 30.0
_PR_SET_PDEATHSIG = 1

# What a SITL copter needs before it will arm: a frame, sensors that count as calibrated, a radio, a battery, a camera.
_PARAMETERS: dict[str, float] = {
    "FRAME_CLASS": 1, "FRAME_TYPE": 0, "BATT_MONITOR": 4, "CAM1_TYPE": 1, "FS_THR_ENABLE": 1,
    "MOT_THST_EXPO": 0.65, "MOT_THST_HOVER": 0.39,
    "ATC_RAT_YAW_P": 0.3, "ATC_RAT_YAW_I": 0.02,
    **{f"COMPASS_OFS{n}_{axis}": value for n in ("", 2, 3) for axis, value in (("X", 5), ("Y", 13), ("Z", -18))},
    **{f"INS_ACC{n}OFFS_{axis}": 0.001 for n in ("", 2) for axis in "XYZ"},
    **{f"INS_ACC{n}SCAL_{axis}": 1.001 for n in ("", 2) for axis in "XYZ"},
    **{f"RC{n}_{end}": value for n in range(1, 9) for end, value in (("MIN", 1000), ("MAX", 2000), ("TRIM", 1500))},
}  # fmt: skip


def find_arducopter() -> Path | None:
    """The SITL binary: what YUNXUN_ARDUCOPTER names, else `arducopter` on PATH; None where there is none.

    Raises:
        SimulatorError: YUNXUN_ARDUCOPTER names something that cannot be run.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise SimulatorError(f"{VARIABLE}={named} is not a program that can be run: set it to a SITL `arducopter`")
        return path.absolute()
    found = shutil.which("arducopter")
    return Path(found) if found else None


def frame_model(airframe: Airframe) -> dict[str, float]:
    """Our airframe as a frame file of ArduPilot's simulator, so that both fly the same aircraft.

    Its drag follows from a steady lean: at 30 degrees the airspeed at which drag and lean balance. Its rotors' slant
    drag is left out, as ours is; size and inertia stay its own, which its attitude gains are tuned for.
    """
    lean_deg, sea_level_kg_m3 = 30.0, 1.225
    pull_n = airframe.mass_kg * GRAVITY_MPS2 * math.tan(math.radians(lean_deg))
    hover_w = airframe.power_w(airframe.mass_kg * GRAVITY_MPS2, 0.0, 0.0) - airframe.avionics_w
    nominal_v = 3.8 * airframe.cells
    return {
        "mass": airframe.mass_kg, "diagonal_size": 0.35, "disc_area": airframe.disk_m2, "mdrag_coef": 0.0,
        "refAngle": lean_deg, "refSpd": math.sqrt(2 * pull_n / sea_level_kg_m3 / airframe.drag_area_m2), "refAlt": 0.0,
        "refTempC": 15.0, "refVoltage": nominal_v, "refCurrent": hover_w / nominal_v,
        "refBatRes": airframe.resistance_ohm, "maxVoltage": 4.18 * airframe.cells,
        "battCapacityAh": airframe.capacity_ah, "hoverThrOut": 0.39, "propExpo": 0.65, "num_motors": 4.0,
    }  # fmt: skip


class SitlFleet:
    """Real ArduCopters with system ids 1..N on TCP ports `base_port`, +10, ...; a context manager.

    ArduPilot's simulator takes one client a port and listens on every interface.

    Args:
        count: How many.
        homes: Take-off point of each, (lon, lat, alt_amsl_m).
        base_port: Port of the first.
        speedup: Of each process's clock.
        start_utc: Simulated time at power-on; now by default.
        wind_mps: Mean wind.
        wind_from_deg: Direction it blows from.
        parameters: Further parameters to start with.
        airframe: What it flies; the embedded vehicle's own by default.
        binary: The program; found as `find_arducopter` does by default.
        work_dir: Where each process keeps its parameters and logs; a temporary folder by default.
    """

    def __init__(
        self,
        count: int,
        homes: Sequence[LonLatAlt],
        *,
        base_port: int = 5760,
        speedup: float = 1.0,
        start_utc: datetime | None = None,
        wind_mps: float = 0.0,
        wind_from_deg: float = 0.0,
        parameters: dict[str, float] | None = None,
        airframe: Airframe | None = None,
        binary: Path | None = None,
        work_dir: Path | None = None,
    ) -> None:
        if count < 1 or len(homes) != count:
            raise SimulatorError(f"a fleet of {count} needs {max(count, 1)} take-off points, {len(homes)} came")
        found = binary or find_arducopter()
        if found is None:
            raise SimulatorError(
                f"no ArduPilot SITL here: put `arducopter` on PATH or its path into {VARIABLE}, "
                "or use the embedded autopilot"
            )
        self.binary, self.homes, self.base_port, self.speedup = found, list(homes), base_port, speedup
        self.start_utc = start_utc or datetime.now(UTC)
        wind = {"SIM_WIND_SPD": wind_mps, "SIM_WIND_DIR": wind_from_deg}
        self.airframe = airframe or Airframe()
        cells = self.airframe.cells
        pack = {
            "MOT_BAT_VOLT_MIN": 3.3 * cells, "MOT_BAT_VOLT_MAX": 4.2 * cells, "SIM_BATT_VOLTAGE": 4.18 * cells,
            "BATT_CAPACITY": self.airframe.capacity_ah * 1000, "ANGLE_MAX": self.airframe.tilt_max_deg * 100,
        }  # fmt: skip
        self._parameters = {**_PARAMETERS, **pack, **wind, **(parameters or {})}
        self._work_dir = work_dir
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def urls(self) -> list[str]:
        """`tcp:127.0.0.1:5760` and so on, in order of system id."""
        return [f"tcp:127.0.0.1:{self._port(index)}" for index in range(len(self.homes))]

    @property
    def folder(self) -> Path:
        """Where the processes keep their files.

        Raises:
            SimulatorError: The fleet was not started.
        """
        if self._work_dir is None and self._temporary is None:
            raise SimulatorError("the SITL fleet is not running: enter its context first")
        return self._work_dir or Path(self._temporary.name if self._temporary else ".")

    def _port(self, index: int) -> int:
        return self.base_port + 10 * index

    def log_hashes(self) -> dict[str, str]:
        """SHA-256 of every dataflash log, by its path under `folder`."""
        logs = sorted(self.folder.glob("*/logs/*.BIN"))
        return {str(log.relative_to(self.folder)): hashlib.sha256(log.read_bytes()).hexdigest() for log in logs}

    def start(self) -> SitlFleet:
        """Starts the processes and waits until they listen.

        Raises:
            SimulatorError: A port is in use, or a process ends at once.
        """
        for index in range(len(self.homes)):
            _refuse_taken(index + 1, self._port(index))
        if self._work_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="yunxun-sitl-")
        try:
            for index in range(len(self.homes)):
                self._processes.append(self._spawn(index))
            for index, process in enumerate(self._processes):
                self._await(index, process)
        except BaseException:
            self.close()
            raise
        return self

    def _spawn(self, index: int) -> subprocess.Popen[bytes]:
        folder = self.folder / str(index + 1)
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{name} {value}\n" for name, value in self._parameters.items())
        (folder / "start.parm").write_text(text)
        (folder / "frame.json").write_text(json.dumps(frame_model(self.airframe)))
        lon, lat, alt = self.homes[index]
        command = [
            str(self.binary), "--synthetic-clock", "--wipe", "--base-port", str(self._port(index)), "--model",
            "+:frame.json",
            "--speedup", str(self.speedup), "--home", f"{lat:.7f},{lon:.7f},{alt:.2f},0", "--sysid", str(index + 1),
            "--defaults", "start.parm", "--start-time", str(int(self.start_utc.timestamp())),
            "--rc-in-port", str(self._port(index) + 1), "--irlock-port", str(self._port(index) + 4),
            "--sim-port-in", str(self._port(index) + 5), "--sim-port-out", str(self._port(index) + 6),
            "--serial1", "none", "--serial2", "none",
        ]  # fmt: skip
        with (folder / "sitl.log").open("wb") as log:
            return subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_end_with_parent
            )

    def _await(self, index: int, process: subprocess.Popen[bytes]) -> None:
        log, until = self.folder / str(index + 1) / "sitl.log", time.monotonic() + _START_S
        # A trial connection would take the place of the one client that it serves: its own words tell instead.
        while f"port {self._port(index)}".encode() not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > until:
                tail = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
                raise SimulatorError(
                    f"{self.binary} for vehicle {index + 1} did not start: {' '.join(tail) or 'no words'}"
                )
            time.sleep(0.05)

    def close(self) -> None:
        """Ends the processes and drops a temporary folder."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3.0)
            if process.poll() is None:
                process.kill()
                process.wait()
        self._processes.clear()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> SitlFleet:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def serve_sitl_forever(
    fleet: SitlFleet, announce: Callable[[list[str]], None] = lambda urls: None, poll_s: float = 0.5
) -> None:
    """Runs real SITL processes until it is interrupted.

    Raises:
        SimulatorError: A port is in use, or a process ended by itself.
    """
    with fleet:
        announce(fleet.urls)
        with contextlib.suppress(KeyboardInterrupt):
            while all(process.poll() is None for process in fleet._processes):
                time.sleep(poll_s)
            raise SimulatorError(f"a SITL process ended by itself: see {fleet.folder}/*/sitl.log")


def _refuse_taken(system_id: int, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SimulatorError(
                f"vehicle {system_id} cannot listen on 127.0.0.1:{port} ({os.strerror(error.errno or 0)}); "
                "stop what uses the port, or choose another with --port"
            ) from error


def _end_with_parent() -> None:
    """In the child: ask the kernel to end it when we end, also by kill -9 (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
