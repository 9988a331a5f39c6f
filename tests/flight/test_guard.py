"""Each rule acts before its limit, lets go only well inside it, and no rule acts on an ordinary flight."""

import math
from dataclasses import replace

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.errors import FlightError
from flight.guard import Action, Finding, Guard, Limits
from flight.items import to_wire
from flight.orders import Orders
from flight.preflight import Policy
from flight.rules import Ceiling, Energy, Fence, Gps, LostLink, Obstacle, Stuck, all_rules, stopping_m
from flight.separation import Separation
from flight.state import Battery, Ekf, Heartbeat, MissionProgress, Position, VehicleState, Wind
from flight.state import Gps as GpsReading
from flight.view import Motion, Other, Power, Sight, View
from missions.export.qgc import FenceCircle, FencePolygon, PlanFile
from tests.flight.plans import HOME, lanes, offset, write_flight_plan


@pytest.fixture
def orders(tmp_path):
    plan = write_flight_plan(tmp_path, (HOME,), height_m=60.0)
    items = lanes(HOME, height_m=60.0)
    return Orders(
        plan.sorties[0], tuple(to_wire(i) for i in items), (), (), 60.0, 75.0, PlanFile(items=items, home=HOME)
    )


def make_view(orders, *, x=0.0, y=0.0, h=60.0, vx=0.0, vy=0.0, vh=0.0, now_s=100.0, plan_file=None, **changes):
    if plan_file is not None:
        orders = replace(orders, plan_file=plan_file)
    sight = Sight.of(orders, changes.pop("obstacles", ()))
    lon, lat = sight.frame.lonlat(x, y)
    state = VehicleState()
    state.heartbeat = Heartbeat(0, changes.pop("mode", "AUTO"), True, 4, 2, 3)
    state.position = Position(0, now_s, lon, lat, HOME[2] + h, h, vy, vx, -vh, 0.0)
    state.mission = MissionProgress(0, changes.pop("item", 3), 8)
    state.battery = changes.pop("battery", Battery(0, 22.0, 15.0, 0.9, 12.0))
    state.gps = changes.pop("gps", GpsReading(0, 3, 14, 0.8, 1.0, 2.0))
    state.ekf = changes.pop("ekf", Ekf(0, 831, 0.1, 0.1, 0.1, 0.1))
    state.wind = changes.pop("wind", None)
    policy = changes.pop("policy", Policy(battery_wh=118.0))
    return View(
        now_s=now_s, state=state, orders=orders, policy=policy, sight=sight, power=Power(350.0),
        me=Motion(x, y, h, vx, vy, vh), home_alt_m=HOME[2], link_age_s=changes.pop("link_age_s", 0.1), **changes,
    )  # fmt: skip


class Scripted:
    """A rule that says what it is told."""

    name = "scripted"

    def __init__(self, levels, limits):
        self.levels, self.limits = iter(levels), limits

    def look(self, view):
        return Finding(next(self.levels), "why")


def decisions(orders, levels, limits, step_s=0.5):
    guard = Guard([Scripted(levels, limits)])
    return [guard.step(make_view(orders, now_s=n * step_s)).action for n in range(len(levels))]


def test_hysteresis_acts_after_its_time_and_lets_go_only_well_below(orders):
    limits = Limits(Action.HOLD, after_s=1.0, clear_below=0.5, clear_s=1.0)
    levels = [1.1, 1.1, 1.1, 0.9, 0.6, 0.4, 0.6, 0.4, 0.4, 0.4, 1.2]
    got = decisions(orders, levels, limits)
    assert got == [Action.NONE, Action.NONE] + [Action.HOLD] * 7 + [Action.NONE, Action.NONE]


@given(st.lists(st.floats(0.55, 1.5), min_size=5, max_size=60))
@settings(max_examples=30, deadline=None, suppress_health_check=list(__import__("hypothesis").HealthCheck))
def test_no_flapping_while_the_level_stays_above_the_lower_limit(orders, levels):
    got = decisions(orders, levels, Limits(Action.HOLD, clear_below=0.5))
    first = next((n for n, level in enumerate(levels) if level >= 1), len(levels))
    assert got == [Action.NONE] * first + [Action.HOLD] * (len(levels) - first)


def test_a_held_danger_escalates(orders):
    limits = Limits(Action.HOLD, escalate_s=2.0, escalate_to=Action.RETURN)
    assert decisions(orders, [1.0] * 6, limits) == [Action.HOLD] * 4 + [Action.RETURN] * 2


def test_an_ordinary_flight_disturbs_no_rule(orders):
    guard = Guard(all_rules())
    x = 0.0
    for n in range(400):
        x += 4.0
        decision = guard.step(make_view(orders, x=x % 300, vx=8.0, now_s=100 + n * 0.5))
        # Every 300 m the scripted flight jumps back to its lane's beginning: that jump, and only that, is seen.
        assert decision.rule in ("", "gps")


@pytest.mark.parametrize(
    ("remaining", "distance_m", "acts"), [(0.9, 1500, False), (0.35, 500, False), (0.2, 1800, True), (0.13, 100, True)]
)
def test_energy_to_home(orders, remaining, distance_m, acts):
    battery = Battery(0, 22.0, 15.0, remaining, 118.0 * (1 - remaining))
    level = Energy().look(make_view(orders, x=distance_m, battery=battery)).level
    assert (level >= 1) is acts


def test_energy_counts_the_wind_against_the_way_home(orders):
    battery = Battery(0, 22.0, 15.0, 0.3, 82.6)
    away = {"x": 0.0, "y": 1500.0, "battery": battery}
    calm = Energy().look(make_view(orders, **away)).level
    head = Energy().look(make_view(orders, **away, wind=Wind(0, 10.0, 180.0))).level  # from the south: against us
    tail = Energy().look(make_view(orders, **away, wind=Wind(0, 10.0, 0.0))).level
    assert head > calm * 1.2
    assert tail <= calm


def test_energy_believes_the_meter_over_the_label(orders):
    tired = Battery(0, 22.0, 15.0, 0.5, 35.0)  # 35 Wh took half of it: 70 Wh, not 118
    fresh = Battery(0, 22.0, 15.0, 0.5, 59.0)
    assert (
        Energy().look(make_view(orders, x=1500, battery=tired)).level
        > Energy().look(make_view(orders, x=1500, battery=fresh)).level
    )


def zone(inclusion, x0, y0, x1, y1):
    ring = tuple(offset(HOME, x, y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
    return PlanFile(items=lanes(HOME), home=HOME, fence_polygons=(FencePolygon(vertices=ring, inclusion=inclusion),))


@given(st.floats(0.5, 15.0))
@settings(max_examples=30, deadline=None, suppress_health_check=list(__import__("hypothesis").HealthCheck))
def test_the_fence_stops_it_before_the_zone_at_any_speed(orders, speed_mps):
    plan_file = zone(False, 100, -50, 200, 50)
    x = 0.0
    while x < 100:
        if Fence().look(make_view(orders, x=x, vx=speed_mps, plan_file=plan_file)).level >= 1:
            break
        x += speed_mps * 0.4  # one look of the guard
    # Told to stop here, with a second of delay, it stays outside.
    assert x + stopping_m(speed_mps) - speed_mps * 0.4 <= 100.5
    assert x > 100 - stopping_m(speed_mps) - speed_mps * 0.4 - 0.5  # and not needlessly early


def test_flying_along_a_zone_is_allowed_inside_is_not(orders):
    plan_file = zone(False, 100, -50, 200, 50)
    assert Fence().look(make_view(orders, x=95, y=0, vy=10, plan_file=plan_file)).level < 1
    inside = Fence().look(make_view(orders, x=120, y=0, plan_file=plan_file))
    assert (inside.level, inside.action) == (2.0, Action.RETURN)


def test_permitted_areas_hold_it_in(orders):
    plan_file = zone(True, -100, -100, 100, 100)
    assert Fence().look(make_view(orders, x=0, y=0, vx=5, plan_file=plan_file)).level == 0
    assert Fence().look(make_view(orders, x=90, y=0, vx=10, plan_file=plan_file)).level == 1
    assert Fence().look(make_view(orders, x=101, y=0, plan_file=plan_file)).action == Action.RETURN
    circle = PlanFile(
        items=lanes(HOME), home=HOME, fence_circles=(FenceCircle(center=HOME[:2], radius_m=50, inclusion=True),)
    )
    assert Fence().look(make_view(orders, x=49, y=0, vx=5, plan_file=circle)).level >= 1


def test_ceiling_acts_before_it_is_reached_and_goes_lower(orders):
    assert Ceiling().look(make_view(orders, h=62)).level == 0
    found = Ceiling().look(make_view(orders, h=70, vh=3))
    assert found.level >= 1
    assert found.height_m < 72


def test_obstacles_matter_only_where_they_are_high_and_ahead(orders):
    tower = shapely.Point(*offset(HOME, 60, 0))
    tall, low = [(tower, 80.0)], [(tower, 30.0)]
    assert Obstacle().look(make_view(orders, x=30, vx=10, obstacles=tall)).level == 1
    assert Obstacle().look(make_view(orders, x=30, vx=-10, obstacles=tall)).level == 0
    assert Obstacle().look(make_view(orders, x=30, vx=10, obstacles=low)).level == 0


def other(x, y, h, vx=0.0, vy=0.0, vh=0.0, first=True):
    lon, lat = offset(HOME, x, y)
    return Other("vehicle 2", lon, lat, HOME[2] + h, vy, vx, -vh, first)


def test_separation_looks_ahead_and_the_right_of_way_holds(orders):
    crossing = (other(60, -60, 60, vy=10),)
    found = Separation().look(make_view(orders, x=0, vx=10, others=crossing))
    assert found.level >= 1
    assert found.action == Action.HOLD
    assert Separation().look(make_view(orders, x=0, vx=10, others=(other(60, -60, 60, vy=10, first=False),))).level < 1
    assert Separation().look(make_view(orders, x=0, vx=10, others=(other(60, -60, 85, vy=10),))).level < 1
    assert Separation().look(make_view(orders, x=0, vx=10, others=(other(60, -60, 60, vy=-10),))).level < 1


def test_stopping_is_not_enough_when_the_other_flies_at_us(orders):
    found = Separation().look(make_view(orders, x=0, others=(other(80, 0, 60, vx=-8),)))
    assert found.action == Action.HEIGHT
    assert found.height_m == pytest.approx(70.0)  # refuge: below the ceiling of 75, above the items at 60
    overhead = Separation().look(make_view(orders, x=0, h=20, others=(other(5, 0, 27, vh=-1),)))
    assert overhead.action == Action.HOLD  # never up into somebody who comes down


def test_with_the_right_of_way_it_only_stops_and_only_in_need(orders):
    near = Separation().look(make_view(orders, x=0, others=(other(10, 0, 62, first=False),)))
    assert (near.level >= 1, near.action) == (True, Action.HOLD)


def fly_pair(seed_angle_deg, speed_mps, offset_m):
    """Two straight flights that meet, one with a guard that stops it or sends it up, in 0.4 s steps."""
    angle = math.radians(seed_angle_deg)
    a = Motion(0.0, -80.0, 57.0, 0.0, speed_mps, 0.0)
    b = Motion(
        80 * math.sin(angle) + offset_m,
        80 * math.cos(angle),
        57.0,
        -speed_mps * math.sin(angle),
        -speed_mps * math.cos(angle),
        0.0,
    )
    return a, b


@given(st.floats(0, 360), st.floats(3, 10), st.floats(-10, 10))
@settings(max_examples=30, deadline=None, suppress_health_check=list(__import__("hypothesis").HealthCheck))
def test_two_that_meet_stay_ten_metres_apart(orders, angle, speed_mps, offset_m):
    a, b = fly_pair(angle, speed_mps, offset_m)
    if math.hypot(a.x - b.x, a.y - b.y) < 60:
        return  # they begin too near for anything
    guard, delayed = Guard([Separation()]), [Action.NONE, Action.NONE]
    wanted_h = math.nan
    worst = math.inf
    for n in range(100):
        view = make_view(
            orders, x=b.x, y=b.y, h=b.h, vx=b.vx, vy=b.vy, vh=b.vh, now_s=n * 0.4,
            others=(other(a.x, a.y, a.h, a.vx, a.vy),), holding=delayed[-1] in (Action.HOLD, Action.HEIGHT),
        )  # fmt: skip
        decision = guard.step(view)
        delayed.append(decision.action)
        if decision.action == Action.HEIGHT:
            wanted_h = decision.height_m
        acting = delayed[-3]  # 0.8 s on its way
        speed = math.hypot(b.vx, b.vy)
        if acting >= Action.HOLD and speed > 0:
            scale = max(0.0, speed - 2.5 * 0.4) / speed
            b = b._replace(vx=b.vx * scale, vy=b.vy * scale)
        vh = min(2.5, (wanted_h - b.h) / 0.4) if acting == Action.HEIGHT and wanted_h > b.h else 0.0
        b = b._replace(x=b.x + b.vx * 0.4, y=b.y + b.vy * 0.4, h=b.h + vh * 0.4, vh=vh)
        a = a.after(0.4)
        worst = min(worst, math.dist(a[:3], b[:3]))
    assert worst > 10.0


def test_gps_loss_jump_and_a_doubting_estimator(orders):
    lost = GpsReading(0, 1, 4, 9.9, 5, 5)
    assert Gps().look(make_view(orders, gps=lost)).level >= 1
    assert Gps().look(make_view(orders, ekf=Ekf(0, 831, 0.1, 1.2, 0.1, 0.1))).level >= 1
    rule = Gps()
    assert rule.look(make_view(orders, x=0, vx=8, now_s=100)).level < 1
    assert rule.look(make_view(orders, x=4, vx=8, now_s=100.5)).level < 1
    assert rule.look(make_view(orders, x=40, vx=8, now_s=101)).level >= 1
    assert Guard([Gps()]).step(make_view(orders)).action == Action.NONE
    silent = Gps()
    assert silent.look(make_view(orders, x=0, vx=8, now_s=100)).level < 1
    assert silent.look(make_view(orders, x=300, vx=8, now_s=138)).level < 1  # it flew on: a silence is no jump
    assert math.isinf(silent.doubted_s)


def test_a_mission_that_stands_still_is_nudged_then_called_home(orders):
    guard = Guard([Stuck()])
    actions = [guard.step(make_view(orders, now_s=n * 0.5)).action for n in range(260)]
    assert actions[100] == Action.NONE
    assert actions[130] == Action.NUDGE
    assert actions[-1] == Action.RETURN
    moving = [guard.step(make_view(orders, x=n * 2.0, now_s=200 + n * 0.5)).action for n in range(20)]
    assert moving[-1] == Action.NONE


def test_a_lost_link_is_said(orders):
    assert Guard([LostLink()]).step(make_view(orders, link_age_s=6)).action == Action.WARN
    assert Guard([LostLink()]).step(make_view(orders, link_age_s=1)).action == Action.NONE


def test_a_capped_ceiling_leaves_no_refuge_above_the_missions_and_refuses_what_is_too_high(orders):
    assert orders.capped(math.nan) is orders is orders.capped(120.0)
    capped = orders.capped(68.0)
    assert (capped.ceiling_rel_m, capped.top_rel_m) == (68.0, orders.top_rel_m)
    assert capped.capped(68.0) is capped
    near = other(60.0, 0.0, 57.0, -6.0, 0.0)
    free = Separation().look(make_view(orders, h=57.0, vx=6.0, others=(near,)))
    tight = Separation().look(make_view(capped, h=57.0, vx=6.0, others=(near,)))
    assert (free.action, tight.action) == (Action.HEIGHT, Action.HOLD)
    with pytest.raises(FlightError, match="plan it lower"):
        orders.capped(orders.top_rel_m + 4.0)
