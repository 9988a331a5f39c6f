"""A person wins: a mode or a stick from elsewhere while the guard acts; the stack stands back, says so, records it."""

import asyncio
import json

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.control import Order, carry_out
from flight.operation import Operation, swap_simulated
from flight.orders import distance_m
from simulators.copter.faults import break_it
from tests.flight.plans import HOME, offset, write_flight_plan
from tests.flight.virtual import World


class Hand:
    """A second ground station or a remote control on the same vehicle."""

    def __init__(self, world, system_id=1):
        self.link, self.system_id = world.fleet.link(system_id), system_id
        self.mav = mavlink.MAVLink(None, srcSystem=250, srcComponent=190)

    def say(self, message):
        self.link.write(message.pack(self.mav))
        self.mav.seq = (self.mav.seq + 1) % 256

    def mode(self, number):
        self.say(mavlink.MAVLink_command_long_message(self.system_id, 1, 176, 0, 1, number, 0, 0, 0, 0, 0))

    def stick(self, roll):
        self.say(mavlink.MAVLink_rc_channels_override_message(self.system_id, 1, roll, 1500, 1500, 1500, 0, 0, 0, 0))


class Flight:
    """One sortie on the virtual clock; `act(flight, now_s)` is called at every tick."""

    def __init__(self, tmp_path, act, **plan):
        self.world = World(1, [HOME], each_tick=lambda now_s: act(self, now_s), seed=4, gps_noise_m=0.5)
        write_flight_plan(tmp_path / "plan", length_m=200.0, count=2, **plan)
        self.events, self.out, self.hand, self.seen = [], tmp_path / "out", Hand(self.world), {}
        self.operation = Operation(
            tmp_path / "plan", self.world.urls, self.out, operator="lin", on_event=self.events.append, on_sortie=None,
            swap_battery=swap_simulated, max_home_offset_m=30.0, speedup=1.0, key=None, overrides=(), obstacles=(),
        )  # fmt: skip

    @property
    def sortie(self):
        flights = self.operation.airspace.flights
        return flights[0] if flights else None

    @property
    def pilot(self):
        return self.world.fleet.vehicles[0].pilot

    def at(self, name, now_s, when):
        """True once, at the first tick at which `when` holds; remembers when that was."""
        if name in self.seen or not when:
            return False
        self.seen[name] = now_s
        return True

    def after(self, name, now_s, seconds):
        return name in self.seen and now_s >= self.seen[name] + seconds

    def fly(self):
        return self.world.run(self.operation.run()).sorties[0]

    def said(self):
        return [event.text for event in self.events if hasattr(event, "text")]

    def commands(self, by):
        lines = (self.out / "S01.commands.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["operator"] == by]


def glitched(flight, now_s):
    """A GPS jump in the mission, which the guard answers with a hold."""
    at_work = flight.sortie is not None and flight.sortie.reached_item >= 4
    if flight.at("broken", now_s, at_work):
        break_it(flight.world.fleet.vehicles[0], "gps_glitch", {"north_m": 60.0, "east_m": 0.0})
    return flight.at("held", now_s, "broken" in flight.seen and flight.sortie and flight.sortie.helm.owner == "guard")


def test_a_hand_on_the_stick_gets_the_aircraft_from_the_guard(tmp_path):
    modes = []

    def act(flight, now_s):
        glitched(flight, now_s)
        if flight.after("held", now_s, 2.0) and not flight.after("held", now_s, 14.0):
            flight.hand.stick(1800)
        if flight.after("held", now_s, 3.0) and flight.sortie:
            modes.append((flight.sortie.helm.owner, flight.pilot.mode))
        if flight.at("back", now_s, flight.after("held", now_s, 20.0)):
            break_it(flight.world.fleet.vehicles[0], "gps_glitch", {"north_m": 0.0, "east_m": 0.0})
            flight.hand.mode(9)  # the person lands it

    flight = Flight(tmp_path, act)
    result = flight.fly()
    assert "held" in flight.seen
    assert any("hand on the stick" in text for text in flight.said())
    assert ("other", 5) in modes  # LOITER, and no longer ours
    held = [owner for owner, _ in modes]
    assert "guard" not in held[held.index("other") :]
    loiter = next(line for line in flight.commands("guard") if "LOITER" in line["what"])
    assert (loiter["reason"], loiter["result"]) == ("stick moved", "accepted")
    assert flight.pilot.landed and not flight.pilot.armed
    assert result.state == "failed"
    assert "LAND by the autopilot or a person" in result.why


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (5, "LOITER"),
        *(pytest.param(n, name, marks=pytest.mark.slow) for n, name in ((6, "RTL"), (9, "LAND"), (17, "BRAKE"))),
    ],
)
def test_a_mode_from_another_station_during_a_guards_hold_stays(tmp_path, number, name):
    ours = []

    def act(flight, now_s):
        glitched(flight, now_s)
        if flight.at("taken", now_s, flight.after("held", now_s, 2.0)):
            flight.hand.mode(number)
        if flight.after("taken", now_s, 2.0) and flight.sortie and not flight.after("taken", now_s, 12.0):
            ours.append((flight.sortie.helm.owner, flight.pilot.mode))
        if flight.at("back", now_s, flight.after("taken", now_s, 14.0)):
            break_it(flight.world.fleet.vehicles[0], "gps_glitch", {"north_m": 0.0, "east_m": 0.0})
            if flight.pilot.armed and number in (5, 17):
                flight.hand.mode(6)

    flight = Flight(tmp_path, act)
    result = flight.fly()
    assert {owner for owner, _ in ours} == {"other"}
    assert {mode for _, mode in ours if mode != 9} <= {number}
    assert any(f"flies in {name}, not by us" in text for text in flight.said())
    assert not flight.pilot.armed
    assert result.state == "failed"


def test_the_mission_given_back_is_flown_on_and_guarded_again(tmp_path):
    def act(flight, now_s):
        glitched(flight, now_s)
        if flight.at("taken", now_s, flight.after("held", now_s, 2.0)):
            flight.hand.mode(5)
            break_it(flight.world.fleet.vehicles[0], "gps_glitch", {"north_m": 0.0, "east_m": 0.0})
        if flight.at("given", now_s, flight.after("taken", now_s, 15.0)):
            flight.hand.mode(3)

    flight = Flight(tmp_path, act)
    result = flight.fly()
    assert (result.state, result.why) == ("landed", "")
    assert any("the mission goes on, not by us" in text for text in flight.said())


def test_orders_through_us_win_too_and_an_urgent_place_is_visited_and_left_again(tmp_path):
    there, answers, path = offset(HOME, -60.0, 90.0), [], []
    tasks = []

    def act(flight, now_s):
        def order(verb, **values):
            words = Order(verb=verb, operator="wang", reason="smoke seen", **values)
            tasks.append(asyncio.ensure_future(carry_out(words, [flight.sortie])))

        at_work = flight.sortie is not None and flight.sortie.reached_item >= 4 and flight.pilot.body.north > 60
        if flight.at("sent", now_s, at_work):
            flight.left = (flight.pilot.body.east, flight.pilot.body.north)
            order("goto", lon=there[0], lat=there[1], height_rel_m=25.0)
        if "sent" in flight.seen:
            path.append((now_s, flight.pilot.body.east, flight.pilot.body.north, flight.pilot.mode))
        if flight.at("resumed", now_s, flight.after("sent", now_s, 40.0)):
            position = flight.sortie.vehicle.state.position
            answers.append(distance_m((position.lon, position.lat), there))
            order("resume")

    flight = Flight(tmp_path, act)
    result = flight.fly()
    assert answers[0] < 4.0
    assert all(task.result()[0].ok for task in tasks)
    assert (result.state, result.why) == ("landed", "")
    back = next((east, north) for now_s, east, north, mode in path if now_s > flight.seen["resumed"] + 1 and mode == 3)
    assert abs(back[0] - flight.left[0]) < 6 and abs(back[1] - flight.left[1]) < 15
    assert {line["reason"] for line in flight.commands("wang")} >= {"smoke seen"}
