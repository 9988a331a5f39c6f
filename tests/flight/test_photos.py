"""Camera attitudes, lost reports, and files that name each photograph once."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.capturelog import read_captures
from flight.photos import PhotoLog, camera_angles_deg
from tests.flight.peer import Channel, Peer, connected


def quaternion(roll_deg, pitch_deg, yaw_deg):
    r, p, y = (math.radians(a) / 2 for a in (roll_deg, pitch_deg, yaw_deg))
    cr, sr, cp, sp, cy, sy = math.cos(r), math.sin(r), math.cos(p), math.sin(p), math.cos(y), math.sin(y)
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )


def same_turn(a, b):
    return abs((a - b + 180) % 360 - 180)


@given(st.floats(-60, 60), st.floats(-95, 30), st.floats(0, 360))
def test_angles_come_back_also_past_nadir(roll, pitch, yaw):
    if abs(pitch + 90) < 0.3:
        return  # at nadir roll and yaw are one: the next test
    got = camera_angles_deg(quaternion(roll, pitch, yaw))
    assert same_turn(got[0], roll) < 0.01
    assert same_turn(got[1], pitch) < 0.01
    assert same_turn(got[2], yaw) < 0.01


@given(st.floats(0, 360))
def test_straight_down_yaw_is_all_there_is(yaw):
    roll, pitch, got = camera_angles_deg(quaternion(0, -90, yaw))
    assert roll == 0
    assert pitch == -90
    assert same_turn(got, yaw) < 0.1


class CameraPeer(Peer):
    """A camera with `taken` photographs, that reports again what it is asked for."""

    taken = 0

    def report(self, index):
        self.say(
            mavlink.MAVLink_camera_image_captured_message(
                1000, 1_800_000_000_000_000 + index * 1_000_000, 1, 391234567, 1171234567, 120500, 60250,
                quaternion(0, -90, 90), index, 1, f"file:///DCIM/DJI_{index:04d}.JPG".encode(),
            )
        )  # fmt: skip

    def on_command_long(self, m):
        super().on_command_long(m)
        if m.command == mavlink.MAV_CMD_REQUEST_MESSAGE and m.param1 == 263 and 0 < m.param2 <= self.taken:
            self.report(int(m.param2))
        if m.command == mavlink.MAV_CMD_REQUEST_MESSAGE and m.param1 == 262:
            self.say(mavlink.MAVLink_camera_capture_status_message(1, 0, 0, 0, 0, 9.0, self.taken))


@pytest.mark.parametrize("loss", [0.0, 0.4])
def test_lost_reports_are_asked_for_again_also_the_last(tmp_path, loss):
    async def run():
        peer, channel = CameraPeer(), Channel(seed=3)
        peer.taken = 7  # of an earlier sortie
        vehicle = await connected(peer, channel)
        vehicle.rtt.add(0.005)
        log = PhotoLog(vehicle, tmp_path / "S01.captures.csv", "P/S01", 7)
        peer.report(5)  # a late report of an earlier sortie
        channel.loss = loss
        for index in range(8, 28):
            peer.taken = index
            if index != 27:
                peer.report(index)
        await asyncio.sleep(0.05)
        log.flush()
        partial = len(read_captures(tmp_path / "S01.captures.csv"))
        channel.loss = loss / 2
        missing = await log.ask_again()
        log.close()
        return partial, missing

    partial, missing = asyncio.run(run())
    captures = read_captures(tmp_path / "S01.captures.csv")
    assert missing == 0
    assert partial <= 19
    assert [c.index for c in captures] == list(range(8, 28))
    assert [c.file for c in captures] == [f"DJI_{n:04d}.JPG" for n in range(8, 28)]
    first = captures[0]
    assert (first.lon, first.lat, first.alt_amsl_m, first.height_rel_m) == (117.1234567, 39.1234567, 120.5, 60.25)
    assert (first.camera_pitch_deg, first.camera_yaw_deg, first.fix) == (-90.0, 90.0, "none")
    assert first.time_utc.isoformat() == "2027-01-15T08:00:08+00:00"


def test_feedback_of_an_ardupilot_without_camera_messages_is_kept_and_named_ones_win(tmp_path):
    async def run():
        peer = CameraPeer()
        vehicle = await connected(peer)
        log = PhotoLog(vehicle, tmp_path / "c.csv", "P/S01", 0)
        for index in (1, 2):
            peer.say(
                mavlink.MAVLink_camera_feedback_message(
                    1_800_000_000_000_000, 1, 0, index, 391234567, 1171234567, 120.5, 60.25, 1.0, -2.0, 91.0, 0, 0, 0
                )
            )
        peer.report(2)
        peer.report(2)
        await asyncio.sleep(0.02)
        return log.close()

    captures = asyncio.run(run())
    assert [(c.index, c.file) for c in captures] == [(1, ""), (2, "DJI_0002.JPG")]
    assert captures[0].camera_pitch_deg == pytest.approx(-92.0)
