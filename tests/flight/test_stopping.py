"""Overrides and refusals in a whole operation, and an operation stopped before its end, on the virtual clock."""

import asyncio
import json
from dataclasses import replace

import pytest

from flight.errors import FlightError
from flight.events import CheckEvent, TextEvent
from flight.operation import Operation, swap_simulated
from flight.papers import Approval, Papers
from flight.policy import STRICT, read_policy
from flight.preflight import Override, check_parameters
from flight.setting import Setting
from flight.station import Station
from tests.flight.plans import HOME, offset, write_flight_plan
from tests.flight.virtual import World

NEXT = (*offset(HOME, 130.0, 0.0), HOME[2])


class Run:
    """An operation on the virtual clock, with something done to it at each tick."""

    def __init__(self, tmp_path, homes, each=lambda run, now_s: None, *, vehicles=1, **more):
        write_flight_plan(tmp_path / "plan", homes, length_m=150.0)
        self.events, self.out = [], tmp_path / "out"
        self.world = World(
            vehicles, homes[:vehicles], each_tick=lambda now_s: each(self, now_s), seed=3, gps_noise_m=0.5
        )
        options = dict(
            operator="lin", on_event=self.events.append, on_sortie=None, swap_battery=swap_simulated,
            max_home_offset_m=30.0, speedup=1.0, key=None, overrides=(), obstacles=(),
        ) | more  # fmt: skip
        self.operation = Operation(tmp_path / "plan", self.world.urls, self.out, **options)

    def fly(self):
        return self.world.run(self.operation.run()).sorties

    def texts(self):
        return [(event.system_id, event.text) for event in self.events if isinstance(event, TextEvent)]

    def record(self, name="S01"):
        return [json.loads(line) for line in (self.out / f"{name}.commands.jsonl").read_text().splitlines()]


def test_a_strict_policy_refuses_and_a_named_person_overrides_on_record(tmp_path):
    refused = Run(tmp_path / "a", (HOME,), policy=STRICT)
    (result,) = refused.fly()
    assert result.state == "failed"
    assert "approval: no approvals given" in result.why
    assert "parameter RTL_ALT_M" in result.why
    assert not any(vehicle.pilot.armed for vehicle in refused.world.fleet.vehicles)
    assert {c.name for c in refused.events if isinstance(c, CheckEvent)} >= {"mission", "fence", "approval", "pilot"}
    checks = frozenset({"approval", "pilot", "weather", "parameter"})
    flown = Run(tmp_path / "b", (HOME,), policy=STRICT, overrides=(Override("wang", "flood: told by phone", checks),))
    (result,) = flown.fly()
    assert (result.state, result.why) == ("landed", "")
    noted = [line for line in flown.record() if line["operator"] == "wang"]
    assert {line["what"].split(":")[0] for line in noted} >= {"override approval", "override pilot", "override weather"}
    assert {line["reason"] for line in noted} == {"flood: told by phone"}
    assert any(line["what"] == "check gps: pass" for line in flown.record())


def test_a_named_person_has_the_parameters_set_and_every_one_is_on_record(tmp_path):
    world, policy = World(1, [HOME], tick_s=0.02), read_policy(STRICT)
    setting = Setting("wang", "new from the maker", tmp_path / "parameters.jsonl")

    async def work():
        await asyncio.sleep(1.0)
        async with Station() as station:
            (vehicle,) = await station.connect(world.urls[0])
            before = [check.name for check in await check_parameters(vehicle, policy) if check.grade == "fail"]
            done = await setting.carry_out(vehicle, policy)
            again = await setting.carry_out(vehicle, policy)
            return before, done, again, await check_parameters(vehicle, policy)

    before, done, again, after = world.run(work())
    assert len(before) == len(done) >= 2
    assert again == []
    assert {check.grade for check in after} == {"pass"}
    assert world.fleet.vehicles[0].pilot.parameters["RTL_ALT"] == 3000  # the least let pass, in its own unit and name
    lines = [json.loads(line) for line in (tmp_path / "parameters.jsonl").read_text().splitlines()]
    assert [f"parameter {line['parameter']}" for line in lines] == before
    assert {(line["person"], line["reason"], line["vehicle"]) for line in lines} == {("wang", "new from the maker", 1)}
    assert next(line for line in lines if line["parameter"] == "RTL_ALT_M")["before"] == 15.0
    with pytest.raises(FlightError, match="named person"):
        Setting(" ", "why", tmp_path / "x")


def test_an_approval_is_judged_by_the_vehicles_clock(tmp_path):
    start = World(1, [HOME]).fleet._server.config.start_utc
    covers = Approval("A-1", start.replace(hour=0), start.replace(hour=2))
    runs = {}
    for name, approval in (("now", covers), ("later", replace(covers, begin_utc=covers.end_utc.replace(hour=1)))):
        run = Run(tmp_path / name, (HOME,), papers=Papers(approvals=(approval,)))
        runs[name] = run.fly()[0]
    assert runs["now"].state == "landed"
    assert "none covers" in runs["later"].why


def test_one_ctrl_c_brings_all_home_and_nothing_new_takes_off(tmp_path):
    def stop(run, now_s):
        flying = [f for f in run.operation.airspace.flights if f.airborne and f.helm.owner == "mission"]
        if not run.operation.stop.why and len(flying) == 2 and flying[0].reached_item >= 4:
            run.operation.stop.interrupt()

    run = Run(tmp_path, (HOME, NEXT, HOME), stop, vehicles=2)
    results = run.fly()
    assert [r.state for r in results] == ["failed", "failed", "refused"]
    assert all("called home by lin" in r.why for r in results[:2])
    assert results[2].why == "stopped by lin"
    assert all(r.landing_offset_m < 3 for r in results[:2])
    said = run.texts()
    assert any("2 in the air are called home" in text for _, text in said)
    assert {number for number, text in said if text == "return accepted"} == {1, 2}
    assert all(v.pilot.landed and not v.pilot.armed for v in run.world.fleet.vehicles)
    assert json.loads((run.out / "flight.json").read_text())["sorties"][2]["state"] == "refused"


@pytest.mark.parametrize("height_m", [0.0, 0.7, 4.0])
def test_a_stop_during_take_off_ends_on_the_ground(tmp_path, height_m):
    def stop(run, now_s):
        pilot = run.world.fleet.vehicles[0].pilot
        if not run.operation.stop.why and pilot.armed and pilot.body.up >= height_m:
            run.operation.stop.interrupt()

    run = Run(tmp_path, (HOME,), stop)
    (result,) = run.fly()
    assert result.state == "failed"
    assert "stopped by lin" in result.why
    pilot = run.world.fleet.vehicles[0].pilot
    assert pilot.landed and not pilot.armed


def test_a_second_ctrl_c_leaves_the_vehicles_to_themselves(tmp_path):
    stopped = []

    def stop(run, now_s):
        flights = run.operation.airspace.flights
        first = bool(flights) and flights[0].reached_item >= 4 and not stopped
        second = len(stopped) == 1 and now_s > stopped[0] + 8
        if first or second:
            stopped.append(now_s)
            run.operation.stop.interrupt()

    run = Run(tmp_path, (HOME, HOME), stop)
    first, second = run.fly()
    assert (first.state, second.state) == ("failed", "refused")
    assert "left to its failsafes in RTL" in first.why
    assert any("take it over by remote control" in text for _, text in run.texts())
    vehicle = run.world.fleet.vehicles[0]
    assert vehicle.pilot.armed
    assert (run.out / "S01.tlog").stat().st_size > 10_000
    run.world.fleet.advance(120)
    assert vehicle.pilot.landed and not vehicle.pilot.armed
