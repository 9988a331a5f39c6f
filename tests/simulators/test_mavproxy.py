"""MAVProxy, unchanged, against the simulated fleet: its own shell arms, takes off, flies the mission and returns.

It is no dependency of ours: install it in an environment of its own and name its script in YUNXUN_MAVPROXY, or have
`mavproxy.py` on PATH.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from simulators.fleet import SimulatedFleet
from tests.simulators.copter.ground import HOME, survey
from tests.simulators.ports import free_base_port


def find_mavproxy() -> str | None:
    return os.environ.get("YUNXUN_MAVPROXY") or shutil.which("mavproxy.py")


def write_waypoints(path: Path) -> None:
    """The survey as MAVProxy reads it (QGC WPL 110)."""
    lines = ["QGC WPL 110"]
    for index, (command, frame, params, lat, lon, alt) in enumerate(survey(lanes=1)):
        numbers = [index, int(index == 0), frame, command, *params, f"{lat:.8f}", f"{lon:.8f}", alt, 1]
        lines.append("\t".join(str(number) for number in numbers))
    path.write_text("\n".join(lines) + "\n")


class Shell:
    """MAVProxy with its standard input in our hands."""

    def __init__(self, script: str, url: str, folder: Path) -> None:
        self.log = folder / "said.txt"
        command = [script, "--master", url, "--state-basedir", str(folder), "--logfile", str(folder / "flight.tlog")]
        self._said = self.log.open("wb")
        self.process = subprocess.Popen(
            [*command, "--force-connected"], stdin=subprocess.PIPE, stdout=self._said, stderr=self._said, cwd=folder
        )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._said.close()


def until(true, say, seconds: float) -> bool:
    """Says something again every second until it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        say()
        for _ in range(10):
            time.sleep(0.1)
            if true():
                return True
    return False


def test_mavproxy_uploads_flies_and_returns(tmp_path: Path) -> None:
    script = find_mavproxy()
    if script is None:
        pytest.skip("MAVProxy is not installed: YUNXUN_MAVPROXY is not set and mavproxy.py is not on PATH")
    write_waypoints(tmp_path / "survey.txt")
    with SimulatedFleet(1, [HOME], base_port=free_base_port(1), speedup=5.0) as fleet:
        shell = Shell(script, fleet.urls[0], tmp_path)
        try:
            time.sleep(3)
            assert shell.process.poll() is None, shell.log.read_text()[-2000:]
            shell.say(f"wp load {tmp_path / 'survey.txt'}")
            until(lambda: "Loaded" in shell.log.read_text("utf-8", "replace"), lambda: None, 15)

            def arm() -> None:
                shell.say("mode guided")
                shell.say("arm throttle")

            assert until(lambda: fleet.state(1)["armed"], arm, 60), shell.log.read_text()[-2000:]
            assert until(lambda: fleet.state(1)["height_m"] > 14, lambda: shell.say("takeoff 15"), 60)
            assert until(lambda: fleet.state(1)["mode"] == 3, lambda: shell.say("mode auto"), 20)
            assert until(lambda: fleet.state(1)["photos"] > 3, lambda: None, 60)
            assert until(lambda: fleet.state(1)["mode"] == 6, lambda: shell.say("mode rtl"), 20)
            assert until(lambda: not fleet.state(1)["armed"], lambda: None, 90)
        finally:
            shell.close()
    assert (tmp_path / "flight.tlog").stat().st_size > 10_000
