"""Who sees whom, and who may take off: named by what broke in a thousand runs of chaos."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from flight.airspace import Airspace
from flight.clock import now_s
from flight.orders import read_orders
from flight.preflight import Policy
from flight.sortie import Files, SortieFlight
from flight.state import Heartbeat, MissionProgress, Position, VehicleState
from flight.view import Motion
from tests.flight.plans import HOME, offset, write_flight_plan

# The chaos plan: lanes 15 m apart, the last of each over the next one's pad.
HOMES = tuple((*offset(HOME, 45.0 * number, 0.0), HOME[2]) for number in range(3))


@pytest.fixture
def flights(tmp_path):
    plan = write_flight_plan(tmp_path, HOMES, length_m=260.0, count=4, height_m=40.0, first_east_m=0.0)
    made = []
    for number, sortie in enumerate(plan.sorties):
        vehicle = SimpleNamespace(system_id=number + 1, name=f"vehicle {number + 1}", state=VehicleState(), speedup=1.0)
        files = Files(tmp_path / "t", tmp_path / "c", tmp_path / "j")
        flight = SortieFlight(
            vehicle, read_orders(tmp_path, sortie), files, "url", "t", Policy(battery_wh=118.0), emit=lambda event: None
        )
        put(flight, 0.0, 0.0, 0.0, mode="STABILIZE", armed=False)
        made.append(flight)
    return made


def put(flight, x, y, h, *, vx=0.0, vy=0.0, vh=0.0, mode="AUTO", seq=1, armed=True, age_s=0.0, owner="mission"):
    """The vehicle as its last telemetry has it, metres around its own home."""
    state = flight.vehicle.state
    state.heartbeat = Heartbeat(now_s() - age_s, mode, armed, 4, 2, 3)
    lon, lat = flight.watch.sight.frame.lonlat(x, y)
    state.position = Position(now_s() - age_s, 100.0, lon, lat, HOME[2] + h, h, vy, vx, -vh, 0.0)
    state.mission = MissionProgress(now_s(), seq, 20)
    flight.airborne = armed
    flight.helm.owner = owner if armed else "launch"


def air(*flights):
    airspace = Airspace()
    for flight in flights:
        airspace.add(flight)
    return airspace


def places(other, flight):
    """Where it may be now, in metres around `flight`'s home."""
    frame = flight.watch.sight.frame
    found = []
    for ahead in other.aheads:
        lon, lat = (float(np.interp(ahead.later_s, ahead.knots[:, 0], ahead.knots[:, column])) for column in (1, 2))
        found.append(tuple(round(value) for value in frame.xy(lon, lat)))
    return found


def test_a_take_off_waits_for_who_will_fly_over_its_pad(flights):
    """Seeds 223 and 718: relaunched after a battery swap while the neighbour came down the lane above, 146 m away."""
    first, second, _ = flights
    airspace = air(first, second)
    put(first, 45.0, 146.0, 40.0, vy=-8.0, seq=17)
    assert not airspace.clear(second)
    put(first, 45.0, 250.0, 40.0, vy=-8.0, seq=17)  # in half a minute
    assert not airspace.clear(second)
    put(first, 15.0, 146.0, 40.0, vy=-8.0, seq=9)  # 30 m aside, and then up a lane that is 15 m aside
    assert not airspace.clear(second)
    put(first, 0.0, 20.0, 40.0, vy=8.0, seq=5)
    assert airspace.clear(second)


def test_a_take_off_waits_for_one_that_is_held_over_its_way(flights):
    first, second, _ = flights
    airspace = air(first, second)
    put(first, 45.0, 8.0, 40.0, mode="GUIDED", seq=17, owner="guard")
    assert not airspace.clear(second)


def test_a_lost_aircraft_stays_in_the_air_for_the_others(flights):
    """It was dropped when its flight was given up, and the next took off into where it might be."""
    first, second, _ = flights
    airspace = air(first, second)
    put(first, 45.0, 30.0, 40.0, vy=-8.0, seq=17, age_s=20.0)
    airspace.remove(first)
    put(second, 0.0, 0.0, 12.0)
    assert [other.name for other in airspace.others(second)] == ["vehicle 1"]
    put(first, 45.0, 30.0, 40.0, vy=-8.0, seq=17)  # heard again: nobody steers it any more
    assert [other.first for other in airspace.others(second)] == [True]
    put(first, 0.0, 0.0, 0.0, armed=False)  # heard again, on the ground
    assert airspace.others(second) == []
    landed = air(first, second)
    first.landed_s = 200.0
    landed.remove(first)
    assert landed.lost == []


def test_a_silent_one_is_looked_for_along_its_mission_and_on_its_way_home(flights):
    first, second, _ = flights
    put(first, 0.0, 20.0, 40.0, vy=8.0, seq=5, age_s=15.0)
    put(second, 0.0, 60.0, 40.0, vy=8.0, seq=5)
    (other,) = air(first, second).others(second)
    ys = sorted(y for _, y in places(other, second))
    assert other.first
    assert any(abs(y - 140) < 12 for y in ys)  # 15 s at 8 m/s further
    assert ys[-1] > 150  # or quicker
    assert ys[0] < 30  # or on its way home since its failsafe, or where it was


def test_one_whose_position_jumped_is_kept_clear_of_at_both_places(flights):
    first, second, _ = flights
    put(first, 20.0, 60.0, 40.0, mode="GUIDED", seq=5, owner="guard")
    first.watch._gps.jumped_from = Motion(0.0, 20.0, 40.0, 0.0, 0.0, 0.0)
    put(second, 0.0, 60.0, 40.0, vy=8.0, seq=5)
    (other,) = air(first, second).others(second)
    assert {(-25, 60), (-45, 20)} <= set(places(other, second))


def test_the_right_of_way_of_two_coming_home_does_not_change_with_a_gust(flights):
    first, second, third = flights
    airspace = air(first, second, third)
    for h1, h2 in ((40.0, 40.2), (40.2, 40.0)):
        put(first, 30.0, 0.0, h1, mode="RTL", vx=-6.0)
        put(second, 30.0, 0.0, h2, mode="RTL", vx=-6.0)
        assert [other.first for other in airspace.others(second) if other.name == "vehicle 1"] == [True]
    put(second, 0.0, 0.0, 15.0, mode="RTL", vh=-1.5)  # the lower one, on its last way down, is not waited over
    assert [other.first for other in airspace.others(second)] == [False]


def test_those_whose_ways_come_nowhere_near_are_not_looked_at(flights):
    first, _, third = flights
    put(first, 0.0, 20.0, 40.0, vy=8.0, seq=5)
    put(third, 15.0, 200.0, 40.0, vy=-8.0, seq=9)
    assert air(first, third).others(first) == []
    put(third, -60.0, 60.0, 40.0, vx=-8.0, seq=19)
    assert [other.name for other in air(first, third).others(first)] == ["vehicle 3"]
    assert math.isclose(air(first, third).others(first)[0].alt_amsl_m, 100.0)
