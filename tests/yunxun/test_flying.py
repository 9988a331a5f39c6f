"""`yunxun simulate` in one process, `yunxun fly --connect` in another: what a pilot with a ground station does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymavlink import mavutil
from typer.testing import CliRunner

from flight.capturelog import read_captures
from missions.plan import Plan, read_plan
from yunxun.cli import app
from yunxun.simulation import free_ports

SQUARE = [[118.35, 35.05], [118.3516, 35.05], [118.3516, 35.0512], [118.35, 35.0512], [118.35, 35.05]]
SPEEDUP = "40"


@pytest.fixture(scope="module")
def plan_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}
    (folder / "area.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    arguments = ["plan", "--area", folder / "area.geojson", "--gsd-cm", 8, "--out", folder / "plan"]
    assert CliRunner().invoke(app, [str(a) for a in arguments]).exit_code == 0
    return folder / "plan"


@pytest.fixture
def vehicle(plan_dir: Path) -> Iterator[tuple[Plan, str]]:
    """One simulated vehicle at the first sortie's home, in a process of its own."""
    plan = read_plan(plan_dir)
    port = free_ports(1, first=5960)
    place = ",".join(str(value) for value in plan.sorties[0].home)
    command = [sys.executable, "-m", "yunxun.cli", "simulate", "--count", "1", "--at", place, "--port", str(port)]
    process = subprocess.Popen([*command, "--speedup", SPEEDUP], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    assert str(port) in process.stdout.readline()
    yield plan, f"tcp:127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    process.wait(20)


@pytest.mark.timeout(240)
def test_a_plan_is_flown_recorded_and_landed(vehicle: tuple[Plan, str], plan_dir: Path, tmp_path: Path) -> None:
    plan, url = vehicle
    if len(plan.sorties) > 1:
        pytest.fail("the test area should be one sortie: a second would wait for a person's battery swap")
    arguments = ["fly", plan_dir, "--connect", url, "--speedup", SPEEDUP, "--out", tmp_path, "--json"]
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    (sortie,) = json.loads(done.stdout)["sorties"]
    assert sortie["state"] == "landed"

    captures = read_captures(tmp_path / "flight" / "S01.captures.csv")
    assert len(captures) == sortie["photos"] > 0
    assert all(abs(capture.camera_pitch_deg + 90) < 15 for capture in captures)

    log = mavutil.mavlink_connection(str(tmp_path / "flight" / "S01.tlog"))
    kinds = set()
    while (message := log.recv_match()) is not None:
        kinds.add(message.get_type())
    assert {"HEARTBEAT", "GLOBAL_POSITION_INT", "COMMAND_ACK"} <= kinds


def test_a_vehicle_far_from_its_sorties_home_is_refused(plan_dir: Path, tmp_path: Path) -> None:
    port = free_ports(1, first=6160)
    command = [sys.executable, "-m", "yunxun.cli", "simulate", "--at", "118.40,35.05,60", "--port", str(port)]
    process = subprocess.Popen([*command, "--speedup", SPEEDUP], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        arguments = [
            "fly",
            plan_dir,
            "--connect",
            f"tcp:127.0.0.1:{port}",
            "--speedup",
            SPEEDUP,
            "--out",
            tmp_path / "f",
        ]
        done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert done.exit_code == 2
    assert "30 m" in done.stderr and "S01" in done.stderr
    assert not list(tmp_path.rglob("*.tlog"))


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        began = time.monotonic()
        done = CliRunner().invoke(app, ["simulate", "--port", str(port)], catch_exceptions=False)
    assert done.exit_code == 2
    assert str(port) in done.stderr
    assert time.monotonic() - began < 20
