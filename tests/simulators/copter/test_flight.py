import itertools
import math

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import items as it
from simulators.copter.pilot import ALT_HOLD, AUTO, BRAKE, GUIDED, LAND, LOITER, RTL, STABILIZE
from simulators.direct import DirectFleet
from tests.simulators.copter.ground import HOME, Ground, at, survey


def make(**settings: object) -> Ground:
    ground = Ground(DirectFleet(1, [HOME], **{"gps_noise_m": 0.0, **settings}))
    ground.run(1.0)
    return ground


def test_it_will_not_arm_before_the_ekf_has_a_position() -> None:
    ground = make()
    assert ground.command(176, 1, GUIDED) == 0
    assert ground.command(400, 1) == 4
    assert any(text.startswith("PreArm") for text in ground.texts)
    ground.ready()
    assert 25 < ground.fleet.time_s < 45
    assert ground.command(400, 1) == 0


@pytest.mark.parametrize("mode", [AUTO, RTL, LAND, BRAKE])
def test_modes_that_cannot_be_armed_in(mode: int) -> None:
    ground = make()
    ground.ready()
    assert ground.command(176, 1, mode) == 0, "disarmed, any mode may be chosen"
    assert ground.command(400, 1) == 4
    assert ground.command(176, 1, 99) == 4


def test_left_on_the_ground_it_disarms_after_ten_seconds() -> None:
    ground = make()
    ground.ready()
    ground.command(176, 1, GUIDED)
    assert ground.command(400, 1) == 0
    armed_s = ground.fleet.time_s
    assert ground.run(20, lambda: not ground.vehicle.pilot.armed)
    assert ground.fleet.time_s - armed_s == pytest.approx(10, abs=0.8)


def test_take_off_go_somewhere_come_back_and_land() -> None:
    ground = make()
    ground.fly_to(20)
    assert ground.command(400, 0) == 4, "no disarming in the air"
    lat, lon = at(60, -40)
    ask = mavlink.MAVLink_command_int_message(
        1, 1, 3, 192, 0, 0, -1.0, 1.0, 0.0, float("nan"), round(lat * 1e7), round(lon * 1e7), 30.0
    )
    assert ground.ask(ask, "COMMAND_ACK").result == 0
    assert ground.run(60, lambda: math.dist(ground.vehicle.pilot.at, (60, -40, 30)) < 0.5)
    assert ground.command(20) == 0
    assert ground.run(90, lambda: not ground.vehicle.pilot.armed)
    body = ground.vehicle.pilot.body
    assert body.on_ground and math.hypot(body.north, body.east) < 0.3


def test_a_velocity_lasts_three_seconds() -> None:
    ground = make()
    ground.fly_to(20)
    ground.send(mavlink.MAVLink_set_position_target_global_int_message(
        0, 1, 1, 6, 0x0FC7, 0, 0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    ))  # fmt: skip
    ground.run(2.5)
    assert ground.vehicle.pilot.body.v_north == pytest.approx(5.0, abs=0.3)
    ground.run(5.0)
    assert abs(ground.vehicle.pilot.body.v_north) < 0.4


def test_a_survey_is_flown_whole_and_photographed_every_12_m() -> None:
    ground = make(wind_mps=6.0, wind_from_deg=250.0)
    assert ground.upload(survey(), it.MISSION) == it.ACCEPTED
    ground.ready()
    ground.command(176, 1, GUIDED)
    ground.command(400, 1)
    assert ground.command(300) == 0
    assert ground.run(300, lambda: not ground.vehicle.pilot.armed)
    reached = [m.seq for m in ground.heard if m.get_type() == "MISSION_ITEM_REACHED"]
    assert reached == [1, 2, 4, 6, 8, 10, 12, 14]
    shots = ground.vehicle.album.exposures
    assert len(shots) == 3 * 10, "one at once, then every 12 m of a lane whose corners are cut by a metre"
    frame = ground.vehicle.pilot.frame
    places = [frame.north_east(shot.true_lon, shot.true_lat) for shot in shots]
    gaps = [math.dist(a, b) for a, b in itertools.pairwise(places)]
    assert sum(abs(gap - 12.0) < 0.01 for gap in gaps) == 27
    assert all(abs(shot.height_rel_m - 30) < 0.5 for shot in shots)
    captured = [m for m in ground.heard if m.get_type() == "CAMERA_IMAGE_CAPTURED"]
    assert [m.image_index for m in captured] == list(range(1, 31))
    assert captured[0].file_url == "DJI_0001.JPG" and captured[-1].file_url == "DJI_0030.JPG"
    body = ground.vehicle.pilot.body
    assert math.hypot(body.north, body.east) < 0.5


def test_a_lost_capture_can_be_asked_for_again() -> None:
    ground = make()
    ground.fly_to(10)
    assert ground.command(2000, 0, 2.0, 3, 1) == 0
    ground.run(6)
    ground.heard.clear()
    assert ground.command(512, 263, 2) == 0
    assert ground.last["CAMERA_IMAGE_CAPTURED"].image_index == 2
    assert ground.command(512, 263, 9) == 4
    assert ground.command(512, 262) == 0
    assert ground.last["CAMERA_CAPTURE_STATUS"].image_count == 3
    assert ground.command(203, 0, 0, 0, 0, 1) == 0
    assert ground.vehicle.album.count == 4


def test_auto_from_the_ground_needs_a_take_off() -> None:
    ground = make()
    ground.upload([row for row in survey() if row[0] != 22])
    ground.ready()
    ground.command(176, 1, GUIDED)
    ground.command(400, 1)
    assert ground.command(300) == 4
    assert "Auto: Missing Takeoff Cmd" in ground.texts


def test_a_mission_that_was_left_is_gone_on_with() -> None:
    ground = make()
    ground.upload(survey())
    ground.ready()
    ground.command(176, 1, GUIDED)
    ground.command(400, 1)
    ground.command(300)
    assert ground.run(200, lambda: ground.vehicle.autopilot.sequence.index == 6)
    assert ground.command(193, 0) == 0 and ground.vehicle.pilot.mode == BRAKE
    ground.run(10)
    assert abs(ground.vehicle.pilot.body.v_north) < 0.1
    assert ground.command(193, 1) == 0
    ground.run(1)
    assert ground.vehicle.autopilot.sequence.index == 6
    assert ground.run(200, lambda: not ground.vehicle.pilot.armed)


def test_rtl_climbs_first_and_keeps_below_the_fence() -> None:
    ground = make()
    ground.parameter("RTL_ALT", 3000)
    ground.fly_to(10)
    lat, lon = at(100, 0)
    message = mavlink.MAVLink_set_position_target_global_int_message
    ground.send(message(0, 1, 1, 6, 0x0FF8, round(lat * 1e7), round(lon * 1e7), 10.0, *[0.0] * 8))
    assert ground.run(60, lambda: ground.vehicle.pilot.at[0] > 99.5)
    ground.command(20)
    highest, away = 0.0, 0.0
    for _ in range(1500):
        ground.run(0.1)
        highest = max(highest, ground.vehicle.pilot.height_m)
        if ground.vehicle.pilot.height_m < 28 and highest < 28:
            away = max(away, 100 - ground.vehicle.pilot.at[0])
        if not ground.vehicle.pilot.armed:
            break
    assert highest == pytest.approx(30, abs=0.5) and away < 3, "up first, then home"


def test_a_breach_of_the_fence_brings_it_home() -> None:
    ground = make()
    for name, value in (("FENCE_ENABLE", 1), ("FENCE_RADIUS", 80), ("FENCE_ALT_MAX", 60), ("AVOID_ENABLE", 0)):
        ground.parameter(name, value)
    ground.stream(162)
    ground.fly_to(20)
    farthest = 0.0
    for _ in range(600):
        velocity = mavlink.MAVLink_set_position_target_global_int_message
        if ground.vehicle.pilot.mode == GUIDED:
            ground.send(velocity(0, 1, 1, 6, 0x0FC7, 0, 0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        ground.run(0.2)
        farthest = max(farthest, ground.vehicle.pilot.body.north)
        if not ground.vehicle.pilot.armed:
            break
    assert ground.vehicle.pilot.mode == RTL and any("Circle fence breached" in text for text in ground.texts)
    assert 80 < farthest < 100
    assert any(m.breach_status == 1 for m in ground.heard if m.get_type() == "FENCE_STATUS")


def test_with_avoidance_it_stops_at_the_fence() -> None:
    ground = make()
    for name, value in (("FENCE_ENABLE", 1), ("FENCE_RADIUS", 80)):
        ground.parameter(name, value)
    ground.fly_to(20)
    velocity = mavlink.MAVLink_set_position_target_global_int_message
    for _ in range(150):
        ground.send(velocity(0, 1, 1, 6, 0x0FC7, 0, 0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        ground.run(0.2)
    assert ground.vehicle.pilot.mode == GUIDED and 60 < ground.vehicle.pilot.body.north < 80
    lat, lon = at(200, 0)
    ask = mavlink.MAVLink_command_int_message(
        1, 1, 3, 192, 0, 0, -1.0, 1.0, 0.0, 0.0, round(lat * 1e7), round(lon * 1e7), 20.0
    )
    assert ground.ask(ask, "COMMAND_ACK").result == 4, "nor does it go beyond when told to"


def test_losing_the_ground_station_brings_it_home_where_that_is_set() -> None:
    ground = make()
    ground.parameter("FS_GCS_ENABLE", 1)
    ground.fly_to(15)
    ground.beats = False
    assert ground.run(8, lambda: ground.vehicle.pilot.mode == RTL)
    ground.beats = True
    assert ground.run(90, lambda: not ground.vehicle.pilot.armed)


def test_a_low_battery_brings_it_home_and_a_new_one_is_full() -> None:
    ground = make()
    ground.parameter("BATT_LOW_MAH", 2000)
    ground.parameter("BATT_FS_LOW_ACT", 2)
    ground.fly_to(15)
    assert ground.command(42651, 1, 100) == 2, "no swap while armed"
    ground.vehicle.pilot.battery.drop(80)
    assert ground.run(20, lambda: ground.vehicle.pilot.mode == RTL)
    assert ground.run(90, lambda: not ground.vehicle.pilot.armed)
    assert ground.command(176, 1, GUIDED) == 0 and ground.command(400, 1) == 4, "nor does it arm on an empty pack"
    assert ground.command(42651, 1, 100) == 0
    assert ground.vehicle.pilot.battery.percent == 100
    assert ground.command(400, 1) == 0


def test_without_gps_it_lands_where_the_wind_takes_it() -> None:
    ground = make(wind_mps=4.0, wind_from_deg=0.0)
    ground.fly_to(15)
    ground.vehicle.pilot.sensors.gps_off = True
    assert ground.run(10, lambda: ground.vehicle.pilot.mode == LAND)
    assert ground.run(60, lambda: not ground.vehicle.pilot.armed)
    assert ground.vehicle.pilot.body.north < -3
    assert ground.command(176, 1, LOITER) == 0 and ground.command(400, 1) == 4


def test_the_true_track_is_displaced_by_the_gps_error() -> None:
    ground = make(gps_noise_m=1.5, seed=5)
    ground.fly_to(15)
    ground.run(60)
    pilot = ground.vehicle.pilot
    assert math.dist(pilot.at[:2], (pilot.body.north, pilot.body.east)) > 0.2
    assert math.dist(pilot.at[:2], pilot.home.local[:2]) < 0.3, "it believes to hold its place"


def test_an_empty_motor_brings_it_down_and_it_disarms() -> None:
    ground = make()
    ground.fly_to(15)
    ground.parameter("SIM_ENGINE_MUL", 0)
    ground.parameter("SIM_ENGINE_FAIL", 3)
    assert ground.run(20, lambda: not ground.vehicle.pilot.armed)
    assert any("Crash" in text for text in ground.texts)


def test_three_motors_still_land_it() -> None:
    ground = make()
    ground.fly_to(15)
    ground.vehicle.pilot.body.motor_share = 0.75
    ground.command(21)
    assert ground.run(90, lambda: not ground.vehicle.pilot.armed)
    assert not any("Crash" in text for text in ground.texts)


def test_a_reboot_in_flight_is_a_fall_and_a_new_boot_clock() -> None:
    ground = make()
    ground.upload(survey())
    ground.fly_to(15)
    ground.vehicle.reboot()
    ground.run(6)
    pilot = ground.vehicle.pilot
    assert not pilot.armed and pilot.body.on_ground and pilot.time_s < 7
    assert ground.vehicle.transfers.count(it.MISSION) == len(survey()), "plans outlive a reboot"
    ground.stream(2)
    ground.run(1)
    utc_s = ground.last["SYSTEM_TIME"].time_unix_usec / 1e6
    assert utc_s == pytest.approx(ground.vehicle.config.start_utc.timestamp() + ground.fleet.time_s, abs=0.5)


def test_sticks_move_it_in_loiter() -> None:
    ground = make()
    ground.fly_to(15)
    assert ground.command(17) == 0 and ground.vehicle.pilot.mode == LOITER
    for _ in range(20):
        ground.send(mavlink.MAVLink_rc_channels_override_message(1, 1, 1500, 1300, 1500, 1500, 0, 0, 0, 0))
        ground.run(0.2)
    assert ground.vehicle.pilot.body.v_north > 2
    ground.run(8)
    assert abs(ground.vehicle.pilot.body.v_north) < 0.3, "released, it stops"


def sticks(ground: Ground, seconds: float, pitch: int = 1500, throttle: int = 1500) -> None:
    for _ in range(round(seconds / 0.2)):
        ground.send(mavlink.MAVLink_rc_channels_override_message(1, 1, 1500, pitch, throttle, 1500, 0, 0, 0, 0))
        ground.run(0.2)


def test_in_stabilize_the_throttle_is_thrust_and_the_wind_takes_it_along() -> None:
    ground = make(wind_mps=5.0, wind_from_deg=0.0)
    ground.fly_to(40)
    assert ground.command(176, 1, STABILIZE) == 0
    body = ground.vehicle.pilot.body
    start = body.north
    sticks(ground, 3, throttle=1600)
    assert body.v_up > 2.0, "more thrust climbs ever faster"
    sticks(ground, 4, throttle=1400)
    assert body.v_up < 1.0
    assert body.north < start - 5
    ground.run(6)
    assert abs(body.v_up) < 0.3, "a throttle nobody holds keeps the height"


def test_in_alt_hold_the_throttle_is_a_climb_rate() -> None:
    ground = make()
    ground.fly_to(20)
    assert ground.command(176, 1, ALT_HOLD) == 0
    sticks(ground, 5, throttle=1750)
    assert ground.vehicle.pilot.body.v_up == pytest.approx(1.25, abs=0.15)
    sticks(ground, 5, pitch=1250)
    lean = -ground.vehicle.pilot.body.pitch_rad
    assert math.degrees(lean) == pytest.approx(15, abs=2), "half a stick is half of ANGLE_MAX"


def test_brake_stops_as_hard_as_it_may_and_holds() -> None:
    ground = make()
    ground.fly_to(20)
    velocity = mavlink.MAVLink_set_position_target_global_int_message
    for _ in range(40):
        ground.send(velocity(0, 1, 1, 6, 0x0FC7, 0, 0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        ground.run(0.2)
    body = ground.vehicle.pilot.body
    start, up, speed = body.north, body.up, body.v_north
    assert speed == pytest.approx(8, abs=0.3)
    assert ground.command(176, 1, BRAKE) == 0
    ground.run(8)
    assert abs(body.v_north) < 0.1
    # The deceleration comes with its jerk and goes with the speed; and the command takes a moment.
    assert 12.0 < body.north - start < 16.0
    assert body.up == pytest.approx(up, abs=0.5)


@pytest.mark.parametrize("rate", [1, 10])
def test_streams_come_at_the_rate_asked_for(rate: int) -> None:
    ground = make()
    ground.stream(30, period_s=1 / rate)
    ground.heard.clear()
    ground.run(20)
    assert sum(m.get_type() == "ATTITUDE" for m in ground.heard) == pytest.approx(20 * rate, abs=2)
    ask = mavlink.MAVLink_command_long_message(1, 1, 510, 0, 30, 0, 0, 0, 0, 0, 0)
    assert ground.ask(ask, "MESSAGE_INTERVAL").interval_us == 1_000_000 / rate
    assert ground.command(511, 30, -1) == 0
    ground.heard.clear()
    ground.run(5)
    assert not any(m.get_type() == "ATTITUDE" for m in ground.heard)
    beats = [m for m in ground.heard if m.get_type() == "HEARTBEAT"]
    assert len(beats) == pytest.approx(5, abs=1)


def test_every_parameter_is_listed_with_its_place() -> None:
    ground = make()
    ground.send(mavlink.MAVLink_param_request_list_message(1, 1))
    ground.run(5)
    listed = {m.param_index: m.param_id for m in ground.heard if m.get_type() == "PARAM_VALUE"}
    assert sorted(listed) == list(range(len(ground.vehicle.pilot.parameters)))
    read = mavlink.MAVLink_param_request_read_message(1, 1, b"RTL_ALT", -1)
    assert ground.ask(read, "PARAM_VALUE").param_value == 1500
    assert ground.ask(mavlink.MAVLink_param_set_message(1, 1, b"NO_SUCH", 1, 9), "PARAM_VALUE", 1) is None


def test_the_seed_decides_the_flight() -> None:
    ends = []
    for _ in (1, 2):
        ground = make(gps_noise_m=1.5, wind_mps=8.0, seed=11)
        ground.upload(survey(lanes=1))
        ground.ready()
        ground.command(176, 1, GUIDED)
        ground.command(400, 1)
        ground.command(300)
        pilot = ground.vehicle.pilot
        ground.run(120, lambda pilot=pilot: not pilot.armed)
        ends.append((ground.fleet.time_s, ground.vehicle.pilot.body.north, ground.vehicle.pilot.battery.drawn_wh))
    assert ends[0] == ends[1]
