"""What a kill -9 leaves: a tlog that is whole up to its last second, captures and commands that can be read."""

import json
import signal
import subprocess
import sys
import time

import pytest
from pymavlink import mavutil

from flight.capturelog import read_captures
from simulators.fleet import SimulatedFleet
from tests.flight.plans import HOME, write_flight_plan
from tests.flight.test_operation import base_port

# Flies a plan and says, unbuffered, the wall time of every frame that came in, for as long as it lives.
FLYING = """
import sys, time
from pathlib import Path
import flight.vehicle as v
from flight.operation import fly_plan, swap_simulated
receive = v.Vehicle.receive
def noted(self, packet, now_s):
    receive(self, packet, now_s)
    sys.stdout.write(f"{time.monotonic()} {packet.frame.hex()}\\n")
    sys.stdout.flush()
v.Vehicle.receive = noted
fly_plan(Path(sys.argv[1]), [sys.argv[2]], Path(sys.argv[3]), swap_battery=swap_simulated, speedup=float(sys.argv[4]))
"""


@pytest.mark.timeout(200)
def test_kill_9_loses_less_than_a_second(tmp_path):
    write_flight_plan(tmp_path / "plan", length_m=300.0)
    with SimulatedFleet(1, [HOME], base_port=base_port(), speedup=15.0) as fleet:
        flying = subprocess.Popen(
            [sys.executable, "-c", FLYING, tmp_path / "plan", fleet.urls[0], tmp_path / "out", "15"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        heard = []
        killed_s = None
        for line in flying.stdout:
            at_s, frame = line.split()
            heard.append((float(at_s), bytes.fromhex(frame)))
            log = tmp_path / "out" / "S01.captures.csv"
            if killed_s is None and log.exists() and len(log.read_text().splitlines()) > 6:
                flying.send_signal(signal.SIGKILL)
                killed_s = time.monotonic()
        flying.wait(20)
    assert killed_s is not None
    raw = (tmp_path / "out" / "S01.tlog").read_bytes()
    kept = [(at_s, frame) for at_s, frame in heard if frame in raw]
    lost = [at_s for at_s, frame in heard if at_s > kept[-1][0]]
    # The process goes on for a moment after the signal is sent: what counts is its own last frame.
    assert heard[-1][0] - kept[-1][0] < 1.0, f"{len(lost)} frames lost"
    assert len(kept) > 200
    log = mavutil.mavlink_connection(str(tmp_path / "out" / "S01.tlog"))
    names = []
    while (message := log.recv_match()) is not None:
        names.append(message.get_type())
    assert "BAD_DATA" not in names
    assert "GLOBAL_POSITION_INT" in names
    assert len(read_captures(tmp_path / "out" / "S01.captures.csv")) >= 5
    commands = [json.loads(line) for line in (tmp_path / "out" / "S01.commands.jsonl").read_text().splitlines()]
    assert any("arm" in command["what"] for command in commands)
