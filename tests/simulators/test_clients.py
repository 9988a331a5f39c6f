"""Ground stations that others wrote, unchanged, against the simulated fleet."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.fleet import SimulatedFleet
from tests.simulators.ports import free_base_port

CLIENTS = Path(__file__).parent / "clients"
HOME = (118.35, 35.05, 60.0)
SPEEDUP = 10.0


def run(script: str, url: str) -> dict:
    command = [sys.executable, str(CLIENTS / script), url, str(HOME[1]), str(HOME[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    result: dict = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def metres_from_home(lon: float, lat: float) -> float:
    return math.hypot((lat - HOME[1]) * 110_941, (lon - HOME[0]) * 91_237)


def test_mavsdk_uploads_arms_flies_the_mission_and_returns() -> None:
    pytest.importorskip("mavsdk", reason="mavsdk is not installed")
    with SimulatedFleet(1, [HOME], base_port=free_base_port(1), speedup=SPEEDUP) as fleet:
        seen = run("mavsdk_mission.py", fleet.urls[0].replace("tcp:", "tcpout://"))
        assert [item[1] for item in seen["items"]] == [16, 22, 16, 16, 16]
        assert seen["items"][2][2:] == [350508000, 1183500000, 20.0]
        assert 23 < seen["highest_m"] < 27
        assert metres_from_home(*seen["end"][:2]) < 5
        assert fleet.state(1)["landed"]


def test_a_dronekit_script_uploads_goes_flies_and_returns() -> None:
    with SimulatedFleet(1, [HOME], base_port=free_base_port(1), speedup=SPEEDUP) as fleet:
        seen = run("dronekit_mission.py", fleet.urls[0])
        assert seen["modes"] == ["GUIDED", "AUTO", "RTL"]
        assert metres_from_home(*seen["end"][:2]) < 5
        assert seen["battery"] < 100
        assert fleet.state(1)["landed"]
