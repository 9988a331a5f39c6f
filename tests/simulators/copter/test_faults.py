"""Every fault by its name does what it says, and the vehicle shows it as a real one would."""

import math

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter.faults import FAULTS, break_it
from simulators.copter.linkfaults import FaultyLane, LinkQuality
from simulators.copter.pilot import LAND
from simulators.direct import DirectFleet
from simulators.errors import SimulatorError
from tests.simulators.copter.ground import HOME, NONE, Ground, Row, at


def make(**settings) -> Ground:
    return Ground(DirectFleet(1, [HOME], **{"gps_noise_m": 0.0, **settings}))


def flying(height_m: float = 20.0, **settings) -> Ground:
    ground = make(**settings)
    ground.fly_to(height_m)
    ground.run(3)
    return ground


def frames(count: int) -> list[bytes]:
    mav = mavlink.MAVLink(None, srcSystem=1, srcComponent=1)
    return [mavlink.MAVLink_param_set_message(1, 1, b"X", float(k), 9).pack(mav) for k in range(count)]


def through(quality: LinkQuality, count: int = 400, step_s: float = 0.02) -> tuple[list[float], list[float], int]:
    """Values that came, when each came after it was sent, and how many frames were spoilt."""
    lane, ear = FaultyLane(3, quality), mavlink.MAVLink(None)
    ear.robust_parsing = True
    values, delays, bad, now = [], [], 0, 0.0
    sent = iter(frames(count))
    for tick in range(count + 200):
        now = tick * step_s
        frame = next(sent, None)
        if frame is not None:
            lane.send(frame, now)
        for message in ear.parse_buffer(lane.receive(now)) or ():
            if message.get_type() == "PARAM_SET":
                values.append(message.param_value)
                delays.append(now - message.param_value * step_s)
            else:
                bad += 1
    return values, delays, bad


def test_a_good_link_changes_nothing() -> None:
    values, delays, bad = through(LinkQuality())
    assert values == [float(k) for k in range(400)]
    assert max(delays) == 0.0
    assert bad == 0


def test_loss_loses_its_share() -> None:
    values, _, _ = through(LinkQuality(loss=0.3))
    assert 0.6 < len(values) / 400 < 0.8
    assert values == sorted(values)


def test_delay_and_jitter_are_as_long_as_they_say() -> None:
    values, delays, _ = through(LinkQuality(delay_s=0.5, jitter_s=0.2))
    assert len(values) == 400
    assert 0.49 < min(delays) < 0.56
    assert 0.62 < max(delays) < 0.74


def test_duplicates_come_twice() -> None:
    values, _, _ = through(LinkQuality(duplicate=0.25))
    assert set(values) == {float(k) for k in range(400)}
    assert 0.15 < len(values) / 400 - 1 < 0.35


def test_reordering_overtakes_and_loses_nothing() -> None:
    values, _, _ = through(LinkQuality(reorder=0.3))
    assert sorted(values) == [float(k) for k in range(400)]
    assert values != sorted(values)


def test_corruption_spoils_and_the_checksum_finds_it() -> None:
    values, _, _ = through(LinkQuality(corrupt=0.3))
    assert 0.55 < len(values) / 400 < 0.85
    assert set(values) <= {float(k) for k in range(400)}, "what comes through is what was sent"


def test_a_partition_is_silent_in_its_direction_only() -> None:
    ground = flying()
    break_it(ground.vehicle, "link", {"silent": True, "direction": "down"})
    ground.run(1)
    ground.heard.clear()
    ground.command(176, 1, LAND)
    assert ground.heard == []
    assert ground.vehicle.pilot.mode == LAND, "what it was told has come through"
    break_it(ground.vehicle, "link", {})
    ground.run(2)
    assert ground.heard


def test_a_gps_glitch_moves_the_belief_and_then_the_aircraft() -> None:
    ground = flying()
    place = ground.vehicle.pilot.at
    break_it(ground.vehicle, "gps_glitch", {"north_m": 12.0, "east_m": -5.0})
    ground.run(25)
    pilot = ground.vehicle.pilot
    assert math.dist(pilot.at[:2], place[:2]) < 0.5, "it believes to be where it was"
    assert (pilot.body.north - place[0], pilot.body.east - place[1]) == pytest.approx((-12, 5), abs=1.0)
    break_it(ground.vehicle, "gps_glitch", {})
    ground.run(25)
    assert math.hypot(pilot.body.north - place[0], pilot.body.east - place[1]) < 1.0


def test_a_lost_gps_ends_in_a_landing_and_a_found_one_does_not() -> None:
    ground = flying()
    break_it(ground.vehicle, "gps_loss", {})
    ground.run(2)
    ground.stream(24)
    ground.run(1)
    assert ground.last["GPS_RAW_INT"].fix_type < 3
    assert ground.run(12, lambda: ground.vehicle.pilot.mode == LAND)
    assert any("EKF" in text for text in ground.texts)
    other = flying()
    break_it(other.vehicle, "gps_loss", {})
    other.run(1)
    break_it(other.vehicle, "gps_loss", {"on": False})
    other.run(15)
    assert other.vehicle.pilot.mode != LAND


def test_a_compass_that_drifts_turns_the_aircraft_about() -> None:
    ground = flying()
    true = ground.vehicle.pilot.body.yaw_rad
    break_it(ground.vehicle, "compass", {"rate_dps": 2.0})
    ground.run(10)
    believed = ground.vehicle.pilot.heading_rad()
    off = math.degrees(math.remainder(believed - ground.vehicle.pilot.body.yaw_rad, math.tau))
    assert off == pytest.approx(20, abs=1.5)
    assert abs(math.degrees(math.remainder(ground.vehicle.pilot.body.yaw_rad - true, math.tau))) > 12
    break_it(ground.vehicle, "compass", {"offset_deg": 5.0})
    ground.run(3)
    assert math.degrees(ground.vehicle.pilot.sensors.yaw_error_rad) == pytest.approx(5)


def test_a_baro_that_drifts_takes_the_aircraft_down_with_it() -> None:
    ground = flying(30.0)
    break_it(ground.vehicle, "baro", {"rate_mps": 0.3})
    ground.run(20)
    pilot = ground.vehicle.pilot
    assert pilot.height_m == pytest.approx(30, abs=0.7), "it believes to hold its height"
    assert pilot.body.up == pytest.approx(24, abs=1.0)
    break_it(ground.vehicle, "baro", {})
    ground.run(15)
    assert pilot.body.up == pytest.approx(30, abs=1.0)


@pytest.mark.parametrize(("share", "falls"), [(0.75, False), (0.4, True)])
def test_lost_motors_are_less_thrust(share: float, falls: bool) -> None:
    ground = flying()
    break_it(ground.vehicle, "motor", {"share": share})
    ground.run(20)
    assert (not ground.vehicle.pilot.armed) == falls
    assert (ground.vehicle.pilot.body.up < 1) == falls


def test_a_battery_drop_is_seen_and_acted_on() -> None:
    ground = make()
    ground.parameter("BATT_LOW_MAH", 3000)
    ground.parameter("BATT_FS_LOW_ACT", 2)
    ground.fly_to(15)
    ground.stream(147)
    ground.run(2)
    before = ground.last["BATTERY_STATUS"].battery_remaining
    break_it(ground.vehicle, "battery", {"percent": 70})
    ground.run(2)
    assert before - ground.last["BATTERY_STATUS"].battery_remaining == pytest.approx(70, abs=2)
    assert ground.run(20, lambda: any("Battery 1 is low" in text for text in ground.texts))
    assert ground.run(90, lambda: not ground.vehicle.pilot.armed)


def test_the_pack_sags_under_load_and_recovers() -> None:
    ground = make()
    ground.run(35)
    rest = ground.vehicle.pilot.battery.voltage_v
    ground.fly_to(10)
    assert 0.3 < rest - ground.vehicle.pilot.battery.voltage_v < 1.2
    ground.command(176, 1, LAND)
    assert ground.run(60, lambda: not ground.vehicle.pilot.armed)
    ground.run(1)
    assert rest - ground.vehicle.pilot.battery.voltage_v < 0.15


def test_skipped_presses_are_told_as_pictures_that_failed() -> None:
    ground = flying()
    ground.heard.clear()
    break_it(ground.vehicle, "shutter", {"count": 2})
    for _ in range(5):
        ground.command(203, 0, 0, 0, 0, 1)
        ground.run(1)
    pictures = [m.capture_result for m in ground.heard if m.get_type() == "CAMERA_IMAGE_CAPTURED"]
    assert pictures == [0, 0, 1, 1, 1]


def test_a_reboot_in_flight_stops_the_motors() -> None:
    ground = flying(8.0)
    break_it(ground.vehicle, "reboot", {})
    ground.run(6)
    assert not ground.vehicle.pilot.armed
    assert ground.vehicle.pilot.body.on_ground


def test_wind_leans_it() -> None:
    ground = flying()
    break_it(ground.vehicle, "wind", {"speed_mps": 9.0, "from_deg": 0.0})
    ground.run(15)
    body = ground.vehicle.pilot.body
    assert body.pitch_rad * math.cos(body.yaw_rad) < -math.radians(5), "nose into the wind"
    assert math.dist(ground.vehicle.pilot.at[:2], (0, 0)) < 3


def test_every_fault_has_a_test_and_nonsense_is_refused() -> None:
    assert set(FAULTS) == {
        "link", "gps_glitch", "gps_loss", "compass", "baro", "motor", "battery", "shutter", "wind", "reboot",
    }  # fmt: skip
    ground = make()
    for name, values in (("none", {}), ("link", {"los": 1}), ("wind", {"speed_mps": "much"})):
        with pytest.raises(SimulatorError) as error:
            break_it(ground.vehicle, name, values)
        assert "\n" not in str(error.value)


def test_a_survey_survives_what_a_day_may_bring() -> None:
    """Wind, a bad link, a drifting baro, two skipped presses: flown whole, every press made, landed at home."""
    ground = make(wind_mps=4.0, wind_from_deg=60.0)
    ground.run(1)
    rows: list[Row] = [(16, 0, NONE, HOME[1], HOME[0], HOME[2]), (22, 3, NONE, 0.0, 0.0, 20.0)]
    rows += [(16, 3, NONE, *at(30, 0), 20.0), (206, 2, (8.0, 0, 1, 0), 0.0, 0.0, 0.0), (16, 3, NONE, *at(94, 0), 20.0)]
    rows += [(206, 2, NONE, 0.0, 0.0, 0.0), (20, 3, NONE, 0.0, 0.0, 0.0)]
    assert ground.upload(rows) == 0
    ground.ready()
    break_it(ground.vehicle, "shutter", {"count": 2})
    break_it(ground.vehicle, "baro", {"rate_mps": 0.02})
    assert ground.command(176, 1, 4) == 0
    assert ground.command(400, 1) == 0
    assert ground.command(300) == 0
    break_it(ground.vehicle, "link", {"loss": 0.3, "corrupt": 0.1, "delay_s": 0.2})
    assert ground.run(240, lambda: not ground.vehicle.pilot.armed)
    break_it(ground.vehicle, "link", {})
    body = ground.vehicle.pilot.body
    assert math.hypot(body.north, body.east) < 1
    assert ground.vehicle.autopilot.shutter.count == 9, "64 m at 8 m, and one at the start"
