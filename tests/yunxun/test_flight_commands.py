"""Verbs around a flight: papers and overrides, Ctrl-C, keys, docks, DJI plans, positions to a server."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flight.policy import STRICT
from simulators.fleet import SimulatedFleet
from tests.flight.plans import HOME, offset, write_flight_plan
from tests.flight.test_dock import broker  # noqa: F401 - a fixture
from tests.simulators.ports import free_base_port
from yunxun.cli import app
from yunxun.positions import PositionFeed

SPEEDUP = 20.0


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def fleet() -> Iterator[SimulatedFleet]:
    """One for all tests: starting one and waiting for its EKF costs more than most of them."""
    homes = [HOME, (*offset(HOME, 130.0, 0.0), HOME[2])]
    with SimulatedFleet(2, homes, base_port=free_base_port(2), speedup=SPEEDUP) as running:
        yield running


def plan_for(folder: Path, vehicles: int, **more: Any) -> Path:
    homes = [HOME, (*offset(HOME, 130.0, 0.0), HOME[2])][:vehicles]
    write_flight_plan(folder / "plan", homes, **more)
    return folder / "plan"


def test_preflight_grades_papers_and_an_override_lets_go(fleet: SimulatedFleet, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, 1)
    base = ("preflight", plan, "--connect", fleet.urls[0], "--speedup", SPEEDUP, "--policy", STRICT, "--json")
    done = call(*base)
    assert done.exit_code == 3
    (vehicle,) = json.loads(done.stdout)["vehicles"]
    grades = {check["name"]: check["grade"] for check in vehicle["checks"]}
    assert not vehicle["go"]
    assert (grades["approval"], grades["pilot"], grades["weather"]) == ("fail", "fail", "fail")
    assert (grades["gps"], grades["parameter FS_EKF_ACTION"], grades["mission"]) == ("pass", "pass", "warn")
    waived = [f"--override={name}: told by phone" for name in ("approval", "pilot", "weather", "parameter")]
    done = call(*base, *waived, "--operator", "wang")
    assert done.exit_code == 0, done.output
    for wrong, words in (("link: no", "cannot be overridden"), ("all: why", "with a check of"), ("gps", "a reason")):
        done = call(*base, "--override", wrong, "--operator", "wang")
        assert done.exit_code == 2
        assert words in done.stderr


def test_approval_roster_and_weather_files_are_read(fleet: SimulatedFleet, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, 1)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    day = now[:10]
    approval = {"number": "A-7", "begin_utc": f"{day}T00:00:00Z", "end_utc": "2099-01-01T00:00:00Z"}
    files = {
        "operation": {"approvals": [approval]},
        "weather": {"observed_utc": now, "wind_mps": 3.0, "gust_mps": 30.0},
        "roster": {"date": day, "vehicles": 1, "aircraft": [],
                   "people": [{"person": "李", "role": "pilot", "licence": "small", "shift": ["00:00-23:59"]}]},
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    options = [part for name in files for part in (f"--{name}", tmp_path / f"{name}.json")]
    done = call(
        "preflight", plan, "--connect", fleet.urls[0], "--speedup", SPEEDUP, "--policy", STRICT, *options,
        "--pilot", "李", "--json",
    )  # fmt: skip
    checks = {c["name"]: c for c in json.loads(done.stdout)["vehicles"][0]["checks"]}
    assert checks["approval"]["grade"] == "pass", checks
    assert "A-7" in checks["approval"]["detail"]
    assert checks["weather"]["grade"] == "fail"
    assert "gusts 30" in checks["weather"]["detail"]
    assert "李" in checks["pilot"]["detail"]


class Server(ThreadingHTTPServer):
    """Takes positions, as the real server does."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.got.append((self.path, self.headers["Authorization"], body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.mark.timeout(240)
def test_ctrl_c_calls_everything_home_and_positions_reach_a_server(fleet: SimulatedFleet, tmp_path: Path) -> None:
    plan, server = plan_for(tmp_path, 2, length_m=400.0), Server()
    arguments = [
        "fly", plan, "--connect", fleet.urls[0], "--connect", fleet.urls[1], "--speedup", SPEEDUP, "--out",
        tmp_path / "out", "--operator", "lin", "--json", "--api", f"http://127.0.0.1:{server.server_port}",
        "--token", "t0k",
    ]  # fmt: skip
    command = [sys.executable, "-m", "yunxun.cli", *map(str, arguments)]
    flying = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while not all(fleet.state(number)["mode"] == 3 and fleet.state(number)["armed"] for number in (1, 2)):
            assert time.monotonic() < until and flying.poll() is None
            time.sleep(0.1)
        while not server.got:
            assert time.monotonic() < until
            time.sleep(0.1)
        flying.send_signal(signal.SIGINT)
        out, err = flying.communicate(timeout=120)
    finally:
        flying.kill()
        server.shutdown()
    assert flying.returncode == 3, err
    assert "2 in the air are called home" in err
    assert err.count("return accepted") == 2
    assert [s["why"] for s in json.loads(out)["sorties"]] == ["called home by lin: the operation was stopped"] * 2
    assert not any(fleet.state(number)["armed"] for number in (1, 2))
    path, token, body = server.got[-1]
    assert path in ("/api/v1/fleet/1", "/api/v1/fleet/2")
    assert token == "Bearer t0k"
    assert set(body) == {"lon", "lat", "height_rel_m", "yaw_deg", "battery", "sortie_id", "patrol_id", "at"}
    assert body["patrol_id"] == "01TEST"


def test_a_server_that_is_away_only_costs_positions() -> None:
    from flight.events import ProgressEvent

    event = ProgressEvent("P/S01", 1, "AUTO", 2, 9, 118.35, 35.05, 40.0, 8.0, float("nan"), 3, 12.0, 0.1)
    with PositionFeed("http://127.0.0.1:1", "", "P") as feed:
        for _ in range(3):
            feed.take(event)
        until = time.monotonic() + 10
        while not feed.failed and time.monotonic() < until:
            time.sleep(0.02)
    assert (feed.sent, feed.failed >= 1) == (0, True)
    assert "ConnectError" in feed.trouble


def test_a_key_is_made_given_and_flown_with(fleet: SimulatedFleet, tmp_path: Path) -> None:
    file = tmp_path / "brigade.key"
    done = call("key", file, "--connect", fleet.urls[0], "--speedup", SPEEDUP)
    assert done.exit_code == 0, done.output
    assert "vehicle 1 signs" in done.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in done.output
    plan = plan_for(tmp_path, 1)
    base = ("preflight", plan, "--connect", fleet.urls[0], "--speedup", SPEEDUP)
    assert call(*base, "--key", file).exit_code == 0
    assert call(*base).exit_code == 2
    new = tmp_path / "new.key"
    assert call("key", new, "--old", file, "--connect", fleet.urls[0], "--speedup", SPEEDUP).exit_code == 0
    done = call("key", new, "--remove", "--connect", fleet.urls[0], "--speedup", SPEEDUP)
    assert "vehicle 1 signs no more" in done.output, done.output
    assert call(*base).exit_code == 0
    done = CliRunner().invoke(app, ["key", str(file), "--connect", "tcp:192.0.2.1:5760"], input="n\n")
    assert done.exit_code == 2
    assert "not confirmed" in done.stderr


def test_a_dji_behind_its_remote_control_is_its_pilots(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, 1, aircraft="mavic3e")
    done = call("fly", plan, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "S01: 请飞手执行" in done.output
    done = call("fly", plan, "--out", tmp_path / "out", "--connect", "tcp:127.0.0.1:1")
    assert done.exit_code == 2
    assert "请飞手执行" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("mosquitto", path="/usr/sbin:/usr/bin") is None, reason="no mosquitto")
def test_a_dock_is_simulated_and_listened_to(broker: int) -> None:  # noqa: F811
    url = f"mqtt://127.0.0.1:{broker}"
    listening = subprocess.Popen(
        [sys.executable, "-m", "yunxun.cli", "dock", "listen", url, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert listening.stderr is not None
    assert "listening" in listening.stderr.readline()
    way = ("--at", "118.35,35.05", "--at", "118.351,35.05")
    done = call("dock", "simulate", url, *way, "--speedup", 40, "--break-at", 0.5)
    assert done.exit_code == 0, done.output
    # What was published has left us; give the broker a moment to pass it on.
    time.sleep(1.0)
    listening.send_signal(signal.SIGINT)
    out, _ = listening.communicate(timeout=60)
    devices = {device["sn"]: device for device in json.loads(out)["devices"]}
    dock = next(device for device in devices.values() if device["task"])
    assert dock["task"]["status"] == "failed"
    assert dock["break_reason"] == "低电量返航"
    assert dock["sub_devices"][0] in devices
    assert call("dock", "listen", "mqtt://127.0.0.1:1").exit_code == 2
