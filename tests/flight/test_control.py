"""Orders from outside reach a flying fleet, and a person wins over the guard."""

import itertools
import json
import threading
import time

import pytest

from flight.capturelog import read_captures
from flight.control import Order, send_order
from flight.errors import FlightError
from flight.events import ProgressEvent, TextEvent
from flight.operation import Operation, fly_plan, swap_simulated
from flight.orders import distance_m
from simulators.copter.faults import break_it
from simulators.fleet import SimulatedFleet
from tests.flight.plans import HOME, offset, write_flight_plan
from tests.flight.test_operation import base_port
from tests.flight.virtual import World

SPEEDUP = 20.0


class Flying:
    """A plan being flown in a thread, and its events."""

    def __init__(self, tmp_path, homes=(HOME,), **options):
        self.out, self.events, self.result = tmp_path / "out", [], None
        write_flight_plan(tmp_path / "plan", homes, **options)
        self.fleet = SimulatedFleet(len(homes), list(homes), base_port=base_port(len(homes)), speedup=SPEEDUP)
        self._plan = tmp_path / "plan"

    def __enter__(self):
        self.fleet.start()
        self._thread = threading.Thread(target=self._fly)
        self._thread.start()
        return self

    def _fly(self):
        self.result = fly_plan(
            self._plan, self.fleet.urls, self.out, on_event=self.events.append, swap_battery=swap_simulated,
            speedup=SPEEDUP,
        )  # fmt: skip

    def __exit__(self, *_):
        self._thread.join(200)
        self.fleet.close()
        assert not self._thread.is_alive()

    def wait(self, condition, seconds=150):
        """The first newest event of any vehicle that meets the condition; vehicles report in turn."""
        until = time.monotonic() + seconds
        newest = {}
        while time.monotonic() < until:
            newest = {e.system_id: e for e in list(self.events) if isinstance(e, ProgressEvent)}
            for event in newest.values():
                if condition(event):
                    return event
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s; last {newest}")

    def order(self, verb, **values):
        return send_order(self.out, Order(verb=verb, operator="wang", **values))


def test_pause_goto_and_resume_bring_it_back_to_where_it_was(tmp_path):
    with Flying(tmp_path, length_m=150.0, count=2) as flying:
        flying.wait(lambda e: e.item >= 4 and e.photos >= 3)
        (answer,) = flying.order("pause", reason="crane ahead")
        assert (answer.ok, answer.mode, answer.owner) == (True, "GUIDED", "person")
        flying.wait(lambda e: e.mode == "GUIDED" and e.speed_mps < 0.5)
        photos = flying.wait(lambda e: True).photos
        there = offset(HOME, -30.0, 40.0)
        (answer,) = flying.order("goto", lon=there[0], lat=there[1], height_rel_m=20.0, reason="look at a heap")
        assert answer.ok
        at = flying.wait(lambda e: distance_m((e.lon, e.lat), there) < 5 and abs(e.height_rel_m - 20) < 2)
        assert at.photos <= photos + 1  # none on the way
        (answer,) = flying.order("resume")
        assert (answer.ok, answer.mode) == (True, "AUTO")
    (result,) = flying.result.sorties
    assert (result.state, result.why) == ("landed", "")
    captures = read_captures(result.captures)
    spacing = [distance_m((a.lon, a.lat), (b.lon, b.lat)) for a, b in itertools.pairwise(captures)]
    assert max(spacing) < 25  # trigger distance 12 m, lanes 15 m apart: no gap where it was interrupted
    commands = [json.loads(line) for line in (flying.out / "S01.commands.jsonl").read_text().splitlines()]
    assert any(c["operator"] == "wang" and c["reason"] == "crane ahead" for c in commands)
    assert not (flying.out / "control.json").exists()


def test_one_is_called_home_the_other_flies_on_and_bad_orders_are_refused(tmp_path):
    homes = (HOME, (*offset(HOME, 0.0, 120.0), HOME[2]))
    with Flying(tmp_path, homes, length_m=80.0) as flying:
        flying.wait(lambda e: e.system_id == 1 and e.item >= 3)
        with pytest.raises(FlightError, match="no vehicle 9"):
            flying.order("pause", vehicles=(9,))
        with pytest.raises(FlightError, match="goto needs"):
            flying.order("goto", vehicles=(1,))
        (high,) = flying.order("goto", vehicles=(1,), lon=HOME[0], lat=HOME[1], height_rel_m=500.0)
        assert "above the ceiling" in high.outcome
        (answer,) = flying.order("return", vehicles=(1,), reason="rain")
        assert answer.ok
        status = {a.system_id: a for a in flying.order("status")}
        assert status[1].mode == "RTL"
    first, second = flying.result.sorties
    assert (first.state, first.why) == ("failed", "called home by wang: rain")
    assert second.state == "landed"


def test_a_low_battery_brings_it_home_and_a_new_one_finishes_the_sortie(tmp_path):
    write_flight_plan(tmp_path / "plan", length_m=220.0, count=3, duration_s=150.0)
    events, broken = [], []

    def drain(now_s):
        vehicle = world.fleet.vehicles[0]
        if not broken and vehicle.autopilot.sequence.index >= 6:
            broken.append(now_s)
            break_it(vehicle, "battery", {"percent": 78.0})

    world = World(1, [HOME], each_tick=drain, seed=2, gps_noise_m=0.5)
    operation = Operation(
        tmp_path / "plan", world.urls, tmp_path / "out", operator="t", on_event=events.append, on_sortie=None,
        swap_battery=swap_simulated, max_home_offset_m=30.0, speedup=1.0, key=None, overrides=(), obstacles=(),
    )  # fmt: skip
    (result,) = world.run(operation.run()).sorties
    assert any(isinstance(e, TextEvent) and "energy" in e.text for e in events)
    assert (result.state, result.why) == ("landed", "")
    captures = read_captures(result.captures)
    assert result.photos == len(captures) >= 3 * 220 / 12 * 0.9
    spacing = [distance_m((a.lon, a.lat), (b.lon, b.lat)) for a, b in itertools.pairwise(captures)]
    assert max(spacing) < 25
    assert (tmp_path / "out/S01.2.tlog").exists()


@pytest.mark.slow
def test_a_persons_mode_wins_over_the_guard(tmp_path):
    from pymavlink import mavutil

    with Flying(tmp_path, length_m=150.0) as flying:
        flying.wait(lambda e: e.item >= 4)
        other = mavutil.mavlink_connection(flying.fleet.urls[0], source_system=250)
        assert other.wait_heartbeat(timeout=60)
        other.mav.command_long_send(1, 1, 176, 0, 1, 5, 0, 0, 0, 0, 0)  # LOITER, from another ground station
        flying.wait(lambda e: e.mode == "LOITER")
        (answer,) = flying.order("status")
        assert answer.owner == "other"
        time.sleep(0.5)
        other.mav.command_long_send(1, 1, 176, 0, 1, 3, 0, 0, 0, 0, 0)  # and back to AUTO
        flying.wait(lambda e: e.mode == "AUTO")
        other.close()
    assert flying.result.sorties[0].state == "landed"
    assert any(isinstance(e, TextEvent) and "not by us" in e.text for e in flying.events)


def test_no_operation_is_told(tmp_path):
    with pytest.raises(FlightError, match="no operation is flying into"):
        send_order(tmp_path, Order(verb="status"))
    (tmp_path / "control.json").write_text(json.dumps({"socket": str(tmp_path / "gone"), "pid": 1}))
    with pytest.raises(FlightError, match="no operation is flying into"):
        send_order(tmp_path, Order(verb="status"))
