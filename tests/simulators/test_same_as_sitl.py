"""One suite, two autopilots: the embedded one always, a real ArduCopter SITL where there is one (marked `sitl`).

What a ground station can see must be the same; `benchmarks/sitl.py` compares the times of whole surveys.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import items as it
from simulators.copter.ftp import read_plan
from simulators.errors import SimulatorError
from simulators.fleet import SimulatedFleet
from simulators.sitl import SitlFleet, find_arducopter
from tests.simulators.copter.ground import HOME, NONE, at, item, survey
from tests.simulators.ports import free_base_port
from tests.simulators.wall import WallGround

SPEEDUP = 10.0
FTP_HEAD = struct.Struct("<HBBBBBBI")


@pytest.fixture(scope="module", params=["embedded", pytest.param("arducopter", marks=pytest.mark.sitl)])
def ground(request: pytest.FixtureRequest) -> Iterator[WallGround]:
    port = free_base_port(1)
    if request.param == "embedded":
        fleet: SimulatedFleet | SitlFleet = SimulatedFleet(1, [HOME], base_port=port, speedup=SPEEDUP, gps_noise_m=0.0)
    elif find_arducopter() is None:
        pytest.skip("no real SITL here: YUNXUN_ARDUCOPTER is not set and `arducopter` is not on PATH")
    else:
        fleet = SitlFleet(1, [HOME], base_port=port, speedup=SPEEDUP)
    with fleet:
        ground = WallGround(fleet.urls[0])
        ground.run(1.0)
        yield ground
        ground.close()


def test_it_calls_itself_arducopter_4_6(ground: WallGround) -> None:
    assert ground.command(512, 148) == 0
    assert ground.run(5, lambda: "AUTOPILOT_VERSION" in ground.last)
    version = ground.last["AUTOPILOT_VERSION"].flight_sw_version
    assert (version >> 24, version >> 16 & 255) == (4, 6)
    beat = ground.last["HEARTBEAT"]
    assert (beat.autopilot, beat.type) == (3, 2)


def test_commands_are_answered_alike(ground: WallGround) -> None:
    assert ground.command(9999) == 3
    assert ground.command(42651, 1, 100) == 0
    assert ground.command(511, 30, 200_000) == 0
    assert ground.command(176, 1, 99) == 4
    assert ground.command(22, 0, 0, 0, 0, 0, 0, 10) == 4, "no take-off while disarmed"
    assert ground.command(300, 1) == 2, "no start in the middle"
    assert ground.command(300) == 0, "disarmed, a mission start chooses AUTO and no more"
    assert ground.command(400, 1) == 4, "and AUTO cannot be armed in"
    assert ground.command(176, 1, 0) == 0


def test_items_read_back_alike(ground: WallGround) -> None:
    place = at(100, 50)
    rows = [
        (16, 0, NONE, HOME[1], HOME[0], 60.0), (22, 3, (7.6, 0, 0, 90.0), 0, 0, 60.126),
        (178, 2, (1, 10.3, 0, 0), 0, 0, 0), (16, 3, (2.7, 3.0, 0, 45.0), *place, 60.129),
        (206, 2, (15.37, 0, 1, 0), 0, 0, 0), (203, 2, NONE, 1, 0, 0), (112, 2, (3.4, 0, 0, 0), 0, 0, 0),
        (2000, 2, (0, 2, 5, 0), 0, 0, 0), (19, 10, (4.4, 0, 0, 0), *place, 30.0), (20, 3, NONE, 0, 0, 0),
    ]  # fmt: skip
    assert ground.upload(rows) == 0
    back = ground.download()
    seen = [
        (m.command, m.frame, round(m.param1, 3), round(m.param2, 3), m.param3, m.param4, m.x, m.y, round(m.z, 3))
        for m in back[1:]
    ]
    x, y = round(place[0] * 1e7), round(place[1] * 1e7)
    assert seen == [
        (22, 3, 7.0, 0, 0, 0, 0, 0, 60.12), (178, 0, 1.0, 10.3, 0, 0, 0, 0, 0), (16, 3, 2.0, 0, 0, 0, x, y, 60.12),
        (206, 0, 15.37, 0, 1, 0, 0, 0, 0), (203, 0, 0, 0, 0, 0, 1, 0, 0), (112, 0, 3.4, 0, 0, 0, 0, 0, 0),
        (2000, 0, 0, 2, 5, 0, 0, 0, 0), (19, 10, 4, 0, 1, 0, x, y, 30.0), (20, 0, 0, 0, 0, 0, 0, 0, 0),
    ]  # fmt: skip


def test_a_mission_is_the_same_file_by_ftp(ground: WallGround) -> None:
    rows = survey(lanes=5)
    assert ground.upload(rows) == 0
    data, sequence = b"", 0

    def ask(opcode: int, offset: int = 0, name: bytes = b"") -> tuple[int, bytes]:
        nonlocal sequence
        sequence += 2
        payload = FTP_HEAD.pack(sequence, 1, opcode, len(name) or 239, 0, 0, 0, offset) + name
        message = mavlink.MAVLink_file_transfer_protocol_message(0, 1, 1, list(payload.ljust(251, b"\0")))
        raw = bytes(ground.ask(message, "FILE_TRANSFER_PROTOCOL").payload)
        code, size = FTP_HEAD.unpack_from(raw)[2:4]
        return code, raw[FTP_HEAD.size : FTP_HEAD.size + size]

    assert ask(4, name=b"@MISSION/mission.dat")[0] == 128
    while (answer := ask(5, len(data)))[0] == 128:
        data += answer[1]
    assert ask(1)[0] == 128
    plan = read_plan(data, it.MISSION)
    assert plan is not None
    assert [item.command for item in plan] == [row[0] for row in rows]
    assert [(item.x, item.y) for item in plan[2:3]] == [(round(rows[2][3] * 1e7), round(rows[2][4] * 1e7))]


@pytest.mark.parametrize(
    "row",
    [
        (999, 3, NONE, 35.0, 118.0, 10.0), (16, 3, (float("nan"), 0, 0, 0), 35.0, 118.0, 10.0),
        (178, 2, (0, 5, 0, float("nan")), 0, 0, 0), (16, 3, NONE, 95.0, 118.0, 10.0),
    ],
)  # fmt: skip
def test_a_bad_item_is_refused(ground: WallGround, row) -> None:
    assert ground.upload([*survey()[:2], row]) not in (0, None)


def test_a_part_of_a_plan_is_replaced_alike(ground: WallGround) -> None:
    assert ground.upload(survey(lanes=2)) == 0
    before = ground.download()
    part = mavlink.MAVLink_mission_write_partial_list_message
    assert ground.ask(part(1, 1, 2, 2, 0), "MISSION_REQUEST").seq == 2
    changed = (16, 3, NONE, *at(33, 44), 55.0)
    assert ground.ask(item(1, 2, changed), "MISSION_ACK").type == it.ACCEPTED
    after = ground.download()
    assert [k for k, (a, b) in enumerate(zip(before, after, strict=True)) if (a.x, a.y, a.z) != (b.x, b.y, b.z)] == [2]
    assert ground.ask(part(1, 1, 3, 2, 0), "MISSION_ACK").type == it.ERROR


def test_an_upload_that_breaks_off_leaves_a_mixture_alike(ground: WallGround) -> None:
    assert ground.upload(survey(lanes=2)) == 0
    before = ground.download()
    rows = [survey()[0], survey()[1], (16, 3, NONE, *at(33, 44), 55.0), (999, 3, NONE, 35.0, 118.0, 10.0)]
    assert ground.upload([*rows, survey()[-1]]) not in (0, None)
    after = ground.download()
    # Cut to the new length at once, the new items as far as they came, the old ones behind them.
    assert len(after) == len(rows) + 1
    assert after[2].z == 55.0
    assert (after[3].command, after[3].x, after[3].z) == (before[3].command, before[3].x, before[3].z)
    assert ground.upload(survey()) == 0


# From 10 m/s ArduCopter 4.6.3 needed 16.4 m and 10.7 m; counted from 9.3 m/s on, some 2 m less.
@pytest.mark.parametrize(("mode", "least_m", "most_m"), [(17, 11.0, 18.0), (5, 6.0, 12.0)])
def test_it_stops_alike(ground: WallGround, mode: int, least_m: float, most_m: float) -> None:
    ground.command(511, 33, 50_000)
    for _ in range(5):
        if ground.arm() and ground.command(22, 0, 0, 0, 0, 0, 0, 20) == 0:
            break
    assert ground.run(30, lambda: ground.last["GLOBAL_POSITION_INT"].relative_alt > 18_000)
    lat, lon = at(300, 0)
    ask = mavlink.MAVLink_command_int_message
    go = ask(1, 1, 3, 192, 0, 0, -1.0, 1.0, 0.0, 0.0, round(lat * 1e7), round(lon * 1e7), 20.0)
    assert ground.ask(go, "COMMAND_ACK").result == 0
    assert ground.run(30, lambda: ground.last["GLOBAL_POSITION_INT"].vx > 970)
    seen = len(ground.heard)
    ground.send(mavlink.MAVLink_command_long_message(1, 1, 176, 0, 1, mode, 0, 0, 0, 0, 0))
    assert ground.run(20, lambda: abs(ground.last["GLOBAL_POSITION_INT"].vx) < 5)
    ground.run(0.5)
    shown = [m for m in ground.heard[seen:] if m.get_type() == "GLOBAL_POSITION_INT"]
    begin = max(k for k, m in enumerate(shown) if m.vx > 930)
    assert least_m < (shown[-1].lat - shown[begin].lat) * 1e-7 * 110_941 < most_m
    assert ground.command(176, 1, 6) == 0
    assert ground.run(60, lambda: not ground.armed)


def test_a_survey_is_flown_and_ends_at_home(ground: WallGround) -> None:
    ground.run(0.5)
    assert ground.upload(survey(lanes=2)) == 0
    assert ground.arm()
    assert ground.command(300) == 0
    ground.command(511, 33, 200_000)
    seen = len(ground.heard)
    assert ground.run(10, lambda: ground.armed)
    assert ground.run(90, lambda: not ground.armed)
    reached = [m.seq for m in ground.heard[seen:] if m.get_type() == "MISSION_ITEM_REACHED"]
    assert reached == [1, 2, 4, 6, 8, 10]
    shots = [m for m in ground.heard[seen:] if m.get_type() == "CAMERA_FEEDBACK"]
    assert 19 <= len(shots) <= 22
    end = ground.last["GLOBAL_POSITION_INT"]
    north, east = (end.lat * 1e-7 - HOME[1]) * 110_941, (end.lon * 1e-7 - HOME[0]) * 91_237
    assert math.hypot(north, east) <= 1.0


def test_a_binary_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YUNXUN_ARDUCOPTER", "/nowhere/arducopter")
    with pytest.raises(SimulatorError, match="YUNXUN_ARDUCOPTER"):
        find_arducopter()
    monkeypatch.delenv("YUNXUN_ARDUCOPTER")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SimulatorError, match="embedded"):
        SitlFleet(1, [HOME])
