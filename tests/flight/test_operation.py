"""Whole flights on simulated vehicles over TCP: what is recorded, and what happens when something is wrong."""

import json
import socket
import threading

import pytest
from pymavlink import mavutil

from flight.capturelog import read_captures
from flight.errors import FlightError, LinkError
from flight.events import CheckEvent, ProgressEvent, SortieEvent
from flight.operation import fly_plan, swap_simulated
from simulators.fleet import SimulatedFleet
from tests.flight.plans import HOME, offset, write_flight_plan
from tests.flight.test_link import free_port

SPEEDUP = 20.0


def base_port(count=1):
    """A port such that it and the next ones, ten apart, are free."""
    while True:
        port = free_port()
        try:
            for number in range(1, count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + 10 * number))
            return port
        except (OSError, OverflowError):
            continue


def test_two_vehicles_fly_three_sorties_and_everything_is_on_record(tmp_path):
    near = (*offset(HOME, 130.0, 0.0), HOME[2])
    plan = write_flight_plan(tmp_path / "plan", (HOME, near, HOME))
    events, phases = [], []
    with SimulatedFleet(2, [HOME, near], base_port=base_port(2), speedup=SPEEDUP) as fleet:
        result = fly_plan(
            tmp_path / "plan", fleet.urls, tmp_path / "out", operator="lin", on_event=events.append,
            on_sortie=lambda e: phases.append((e.sortie.short_id, e.system_id, e.phase)),
            swap_battery=swap_simulated, speedup=SPEEDUP,
        )  # fmt: skip
    assert [(r.sortie_id, r.state, r.system_id) for r in result.sorties] == [
        ("01TEST/S01", "landed", 1), ("01TEST/S02", "landed", 2), ("01TEST/S03", "landed", 1),
    ]  # fmt: skip
    assert result.failed == ()
    assert all(r.landing_offset_m < 8 and r.photos_missing == 0 and 40 < r.duration_s < 200 for r in result.sorties)
    assert [p for s, _, p in phases if s == "S03"] == ["before", "uploading", "preflight", "flying", "landed"]
    assert phases.index(("S03", 1, "before")) > phases.index(("S01", 1, "landed"))
    for result_, sortie in zip(result.sorties, plan.sorties, strict=True):
        captures = read_captures(tmp_path / "out" / f"{sortie.short_id}.captures.csv")
        assert len(captures) == result_.photos >= 8
        assert all(c.file and c.sortie_id == sortie.id and abs(c.camera_pitch_deg + 90) < 5 for c in captures)
        log = mavutil.mavlink_connection(str(tmp_path / "out" / f"{sortie.short_id}.tlog"))
        names, times, systems = set(), [], set()
        while (message := log.recv_match()) is not None:
            names.add(message.get_type())
            systems.add(message.get_srcSystem())
            times.append(message._timestamp)
        assert {"HEARTBEAT", "GLOBAL_POSITION_INT", "FILE_TRANSFER_PROTOCOL", "COMMAND_LONG", "COMMAND_ACK"} <= names
        assert "BAD_DATA" not in names
        assert systems == {255, result_.system_id}
        assert times == sorted(times)
        assert times[0] <= captures[0].time_utc.timestamp() <= times[-1]
    commands = [json.loads(line) for line in (tmp_path / "out/S01.commands.jsonl").read_text().splitlines()]
    assert {c["operator"] for c in commands} == {"lin"}
    assert any("arm" in c["what"] and c["result"] == "accepted" for c in commands)
    report = json.loads((tmp_path / "out/flight.json").read_text())
    assert [s["state"] for s in report["sorties"]] == ["landed"] * 3
    assert {e.name for e in events if isinstance(e, CheckEvent)} >= {"link", "gps", "ekf", "battery", "home"}
    assert max(e.height_rel_m for e in events if isinstance(e, ProgressEvent)) == pytest.approx(30, abs=2)


def test_a_home_too_far_away_refuses_everything_and_writes_nothing(tmp_path):
    away = (*offset(HOME, 45.0, 0.0), HOME[2])
    write_flight_plan(tmp_path / "plan", (HOME,))
    with (
        SimulatedFleet(1, [away], base_port=base_port(), speedup=SPEEDUP) as fleet,
        pytest.raises(FlightError, match=r"vehicle 1 at tcp:.* stands 4\d m from the home of S01 \(limit 30 m\)"),
    ):
        fly_plan(tmp_path / "plan", fleet.urls, tmp_path / "out", speedup=SPEEDUP)
    assert not (tmp_path / "out").exists()


def test_an_unreachable_vehicle_and_no_vehicle_and_no_plan_are_told(tmp_path):
    write_flight_plan(tmp_path / "plan", (HOME,))
    with pytest.raises(LinkError, match=r"no vehicle at tcp:127\.0\.0\.1"):
        fly_plan(tmp_path / "plan", [f"tcp:127.0.0.1:{free_port()}"], tmp_path / "out")
    with pytest.raises(FlightError, match="no vehicle to fly with"):
        fly_plan(tmp_path / "plan", [], tmp_path / "out")
    with pytest.raises(Exception, match="no plan at"):
        fly_plan(tmp_path / "nowhere", ["tcp:127.0.0.1:1"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Cut:
    """A relay between us and a vehicle that can be cut for good, as when a radio is lost."""

    def __init__(self, port):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp:127.0.0.1:{self.server.getsockname()[1]}"
        self._target, self._pairs = port, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        try:
            while True:
                ours, _ = self.server.accept()
                theirs = socket.create_connection(("127.0.0.1", self._target))
                self._pairs += [ours, theirs]
                for a, b in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pump, args=(a, b), daemon=True).start()
        except OSError:
            pass

    @staticmethod
    def _pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def cut(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for end in self._pairs:
            end.close()


def test_a_lost_vehicle_fails_alone_and_delays_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr("flight.sortie._LINK_GIVE_UP_S", 3.0)
    near = (*offset(HOME, 130.0, 0.0), HOME[2])
    write_flight_plan(tmp_path / "plan", (HOME, near, HOME, near))
    port = base_port(2)
    landed = []
    with SimulatedFleet(2, [HOME, near], base_port=port, speedup=SPEEDUP) as fleet:
        relay = Cut(port)

        def on_sortie(event: SortieEvent):
            if event.phase == "flying" and event.system_id == 1:
                relay.cut()
            if event.phase == "landed":
                landed.append(event.sortie.short_id)

        result = fly_plan(
            tmp_path / "plan", [relay.url, fleet.urls[1]], tmp_path / "out", on_sortie=on_sortie,
            swap_battery=swap_simulated, speedup=SPEEDUP,
        )  # fmt: skip
    states = {r.sortie_id[-3:]: (r.state, r.why) for r in result.sorties}
    assert states["S01"][0] == "failed"
    assert "silent" in states["S01"][1]
    assert states["S03"][0] == "refused"
    assert "was lost in S01" in states["S03"][1]
    assert states["S02"][0] == states["S04"][0] == "landed"
    assert landed == ["S02", "S04"]
    assert (tmp_path / "out/S01.captures.csv").exists()
