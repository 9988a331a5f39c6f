import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymavlink import mavutil

from simulators.errors import SimulatorError
from simulators.exposure import read_exposures
from simulators.fleet import SimulatedFleet, homes_around
from tests.simulators.ports import free_base_port

START = datetime(2026, 11, 1, 1, tzinfo=UTC)


def connect(url: str):
    link = mavutil.mavlink_connection(url, source_system=255)
    assert link.wait_heartbeat(timeout=60)
    return link


def until(true, seconds: float = 90.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_vehicles_answer_on_ports_ten_apart_with_ids_from_one() -> None:
    base = free_base_port(3)
    with SimulatedFleet(3, homes_around(118.35, 35.05, 60, 3), base_port=base, speedup=5, start_utc=START) as fleet:
        assert fleet.urls == [f"tcp:127.0.0.1:{base + 10 * n}" for n in range(3)]
        links = [connect(url) for url in fleet.urls]
        assert [link.target_system for link in links] == [1, 2, 3]
        second = connect(fleet.urls[0])
        assert second.target_system == 1, "several clients may talk to one vehicle"
        for link in (*links, second):
            link.close()


def test_the_simulated_clock_starts_at_its_start_and_runs_fast() -> None:
    with SimulatedFleet(1, [(118.35, 35.05, 60.0)], base_port=free_base_port(1), speedup=20, start_utc=START) as fleet:
        link = connect(fleet.urls[0])
        # The wall's clock is read before the first one can have been sent: it may lie in a buffer before it is read.
        wall = time.monotonic()
        link.mav.command_long_send(1, 1, 511, 0, 2, 200_000, 0, 0, 0, 0, 0)
        first = last = link.recv_match(type="SYSTEM_TIME", blocking=True, timeout=30)
        while last.time_unix_usec - first.time_unix_usec < 2e6 and time.monotonic() - wall < 60:
            last = link.recv_match(type="SYSTEM_TIME", blocking=True, timeout=30)
        elapsed = (last.time_unix_usec - first.time_unix_usec) / 1e6
        assert 1.5 < elapsed <= 21 * (time.monotonic() - wall)
        assert 0 < first.time_unix_usec / 1e6 - START.timestamp() < 200
        assert abs((last.time_boot_ms - first.time_boot_ms) / 1000 - elapsed) < 0.01
        link.close()


def test_a_stepped_fleet_flies_when_it_is_told_to_and_photographs(tmp_path) -> None:
    place = (118.35, 35.05, 60.0)
    settings = {"base_port": free_base_port(1), "start_utc": START, "cards_dir": tmp_path, "stepped": True}
    with SimulatedFleet(1, [place], **settings) as fleet:
        link = connect(fleet.urls[0])
        fleet.advance(40)
        link.mav.command_long_send(1, 1, 176, 0, 1, 4, 0, 0, 0, 0, 0)
        link.mav.command_long_send(1, 1, 400, 0, 1, 0, 0, 0, 0, 0, 0)
        link.mav.command_long_send(1, 1, 22, 0, 0, 0, 0, 0, 0, 0, 20)
        assert until(lambda: not fleet.state(1)["landed"])
        with pytest.raises(SimulatorError, match="armed"):
            fleet.move(1, 118.36, 35.06, 61.0)
        with pytest.raises(SimulatorError, match="armed"):
            fleet.swap_battery(1)
        fleet.advance(30)
        link.mav.command_long_send(1, 1, 203, 0, 0, 0, 0, 0, 1, 0, 0)
        assert until(lambda: fleet.state(1)["photos"] == 1)
        link.mav.command_long_send(1, 1, 21, 0, 0, 0, 0, 0, 0, 0, 0)
        assert until(lambda: fleet.state(1)["mode"] == 9)
        fleet.advance(60)
        state = fleet.state(1)
        assert not state["armed"] and state["battery"] < 1
        fleet.move(1, 118.36, 35.06, 61.0)
        fleet.swap_battery(1)
        fleet.advance(1)
        state = fleet.state(1)
        assert (round(state["lon"], 6), round(state["lat"], 6), round(state["battery"], 3)) == (118.36, 35.06, 1.0)
        link.close()
    (shot,) = read_exposures(tmp_path / "1" / "exposures.csv")
    assert shot.file == "DJI_0001.JPG" and abs(shot.height_rel_m - 20) < 1 and shot.system_id == 1
    assert START < shot.time_utc < datetime(2026, 11, 1, 1, 5, tzinfo=UTC)


def test_a_port_in_use_is_said_in_one_line() -> None:
    base = free_base_port(2)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", base + 10))
        taken.listen()
        with pytest.raises(SimulatorError, match=f"vehicle 2 cannot listen on 127.0.0.1:{base + 10}.*--port") as error:
            SimulatedFleet(2, homes_around(118.35, 35.05, 60, 2), base_port=base).start()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("count", "homes", "settings"),
    [
        (2, [(118.35, 35.05, 60.0)], {}), (0, [], {}), (1, [(35.05, 118.35, 60.0)], {}),
        (300, [(118.0, 35.0, 0.0)] * 300, {}),
        (1, [(118.35, 35.05, 60.0)], {"speedup": 0}), (1, [(118.35, 35.05, 60.0)], {"base_port": 70000}),
        (1, [(118.35, 35.05, 60.0)], {"start_utc": datetime(2026, 1, 1)}),
        (1, [(118.35, 35.05, 60.0)], {"wind_mps": -3}),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(count, homes, settings) -> None:
    with pytest.raises(SimulatorError) as error:
        SimulatedFleet(count, homes, **settings)
    assert "\n" not in str(error.value)


def test_faults_and_parameters_by_command() -> None:
    settings = {"base_port": free_base_port(1), "stepped": True, "start_utc": START}
    with SimulatedFleet(1, [(118.35, 35.05, 60.0)], **settings) as fleet:
        fleet.fault(1, "battery", percent=50)
        assert fleet.state(1)["battery"] < 0.51
        fleet.set_parameter(1, "SIM_WIND_SPD", 5)
        for name, values in (("nothing", {}), ("link", {"los": 1}), ("battery", {"percent": "much"})):
            with pytest.raises(SimulatorError):
                fleet.fault(1, name, **values)
        with pytest.raises(SimulatorError, match="no vehicle 7"):
            fleet.fault(7, "reboot")
        with pytest.raises(SimulatorError, match="no command"):
            fleet.command("dance")
        link = connect_stepped(fleet)
        fleet.fault(1, "link", silent=True)
        # What was sent before the silence may still be on its way; once it is read, nothing follows.
        assert until(lambda: fleet.advance(5) and link.recv_match(type="HEARTBEAT", blocking=True, timeout=0.5) is None)
        fleet.fault(1, "link")
        fleet.advance(5)
        assert link.recv_match(type="HEARTBEAT", blocking=True, timeout=30) is not None
        link.close()


def connect_stepped(fleet: SimulatedFleet):
    link = mavutil.mavlink_connection(fleet.urls[0], source_system=255)
    assert until(lambda: fleet.advance(1.0) and link.recv_match(type="HEARTBEAT") is not None)
    while link.recv_match() is not None:
        pass
    return link


def test_the_fleet_ends_with_its_parent_however_that_ends() -> None:
    script = (
        "import sys, time; from simulators.fleet import SimulatedFleet\n"
        f"fleet = SimulatedFleet(1, [(118.35, 35.05, 60.0)], base_port={free_base_port(1)}).start()\n"
        "print(fleet.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().split(") ")[1][0] == "Z"
        except FileNotFoundError:
            return True

    assert until(gone, 10)
