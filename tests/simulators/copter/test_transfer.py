import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import items as it
from simulators.copter.ftp import read_plan, write_plan
from simulators.copter.items import Item
from simulators.direct import DirectFleet
from tests.simulators.copter.ground import HOME, NONE, Ground, at, item, survey


@pytest.fixture
def ground() -> Ground:
    ground = Ground(DirectFleet(1, [HOME], gps_noise_m=0.0))
    ground.run(1.0)
    return ground


def test_in_its_first_moments_there_is_no_space() -> None:
    ground = Ground(DirectFleet(1, [HOME]))
    assert ground.upload(survey()) == it.NO_SPACE
    assert ground.run(0.5) is False
    assert ground.upload(survey()) == it.ACCEPTED


def test_a_mission_reads_back_as_it_is_stored(ground: Ground) -> None:
    place = at(100, 50)
    rows = [
        (16, 0, NONE, HOME[1], HOME[0], 60.0), (22, 3, (7.6, 0, 0, 90.0), 0, 0, 60.126),
        (16, 3, (2.7, 3.0, 0.0, float("nan")), *place, 60.129), (206, 2, (15.37, 0, 1, 0), 0, 0, 0),
        (203, 2, NONE, 1.0, 0.0, 0.0), (19, 10, (4.4, 0, 0, 0), *place, 30.0), (20, 3, NONE, 0, 0, 0),
    ]  # fmt: skip
    assert ground.upload(rows) == it.ACCEPTED
    back = ground.download()
    # Frames, roundings and lost yaws as ArduCopter 4.6.3 gave them back for the same upload.
    assert [(m.command, m.frame, m.param1, m.param3, m.param4, round(m.z, 3)) for m in back[1:]] == [
        (22, 3, 7.0, 0.0, 0.0, 60.12), (16, 3, 2.0, 0.0, 0.0, 60.12), (206, 0, pytest.approx(15.37), 1.0, 0.0, 0.0),
        (203, 0, 0.0, 0.0, 0.0, 0.0), (19, 10, 4.0, 1.0, 0.0, 30.0), (20, 0, 0.0, 0.0, 0.0, 0.0),
    ]  # fmt: skip
    assert (back[2].x, back[2].y) == (round(place[0] * 1e7), round(place[1] * 1e7))
    assert back[4].x == 1, "DO_DIGICAM_CONTROL keeps its shutter flag"


def test_item_0_is_home_once_there_is_one(ground: Ground) -> None:
    ground.upload([(16, 0, NONE, 10.0, 20.0, 5.0), *survey()[1:]])
    ground.ready()
    home = ground.download()[0]
    assert (home.frame, home.x, home.y) == (0, round(HOME[1] * 1e7), round(HOME[0] * 1e7))


@pytest.mark.parametrize(
    ("row", "result"),
    [
        ((999, 3, NONE, 35.0, 118.0, 10.0), it.UNSUPPORTED),
        ((16, 3, (float("nan"), 0, 0, 0), 35.0, 118.0, 10.0), it.INVALID_PARAM1),
        ((178, 2, (0, 0, 0, float("nan")), 0, 0, 0), it.INVALID_PARAM1 + 3),
        ((16, 3, NONE, 95.0, 118.0, 10.0), it.INVALID_X),
        ((16, 3, NONE, 35.0, 190.0, 10.0), it.INVALID_Y),
        ((16, 8, NONE, 35.0, 118.0, 10.0), it.UNSUPPORTED_FRAME),
        ((16, 3, NONE, 35.0, 118.0, float("inf")), it.INVALID_Y + 1),
    ],
)
def test_a_bad_item_is_refused_and_what_came_before_it_is_there(ground: Ground, row, result: int) -> None:
    assert ground.upload(survey()) == it.ACCEPTED
    before = list(ground.vehicle.transfers.plans[it.MISSION])
    new = (16, 3, NONE, *at(33.0, 44.0), 55.0)
    assert ground.upload([*survey()[:2], new, row, *survey()[3:]]) == result
    after = ground.vehicle.transfers.plans[it.MISSION]
    assert after[2].z == 55.0
    assert [*after[:2], *after[3:]] == [*before[:2], *before[3:]]
    assert ground.vehicle.pilot.parameters["MIS_TOTAL"] == len(before)


def test_a_transfer_that_is_given_up_has_cut_the_plan_to_its_length_and_no_more(ground: Ground) -> None:
    assert ground.upload(survey()) == it.ACCEPTED
    before = list(ground.vehicle.transfers.plans[it.MISSION])
    ground.send(mavlink.MAVLink_mission_count_message(1, 1, 5, 0))
    assert ground.run(15, lambda: ground.last.get("MISSION_ACK") and ground.last["MISSION_ACK"].type == it.CANCELLED)
    requests = [m for m in ground.heard if m.get_type() == "MISSION_REQUEST" and m.seq == 0]
    assert len(requests) >= 5, "it asked again before it gave up"
    assert ground.vehicle.transfers.plans[it.MISSION] == before[:5]


def test_a_fence_that_breaks_off_leaves_the_old_one(ground: Ground) -> None:
    corners = [(5001, 0, (3, 0, 0, 0), *at(x, y), 0) for x, y in ((-300, -300), (900, -300), (0, 900))]
    assert ground.upload(corners, it.FENCE) == it.ACCEPTED
    before = list(ground.vehicle.transfers.plans[it.FENCE])
    assert ground.upload([*corners[:1], (999, 0, NONE, *at(0, 0), 0)], it.FENCE) != it.ACCEPTED
    assert ground.vehicle.transfers.plans[it.FENCE] == before


def test_a_wrong_item_is_answered_and_the_transfer_goes_on(ground: Ground) -> None:
    rows = survey()
    ground.ask(mavlink.MAVLink_mission_count_message(1, 1, len(rows), 0), "MISSION_REQUEST")

    assert ground.ask(item(1, 3, rows[3]), "MISSION_ACK").type == it.INVALID_SEQUENCE
    for index, row in enumerate(rows):
        ground.send(item(1, index, row))
    assert ground.run(1, lambda: ground.last["MISSION_ACK"].type == it.ACCEPTED)
    assert len(ground.vehicle.transfers.plans[it.MISSION]) == len(rows)


def test_items_out_of_range_are_refused(ground: Ground) -> None:
    ground.upload(survey())
    assert ground.ask(mavlink.MAVLink_mission_request_int_message(1, 1, 99, 0), "MISSION_ACK").type == it.ERROR
    assert ground.ask(mavlink.MAVLink_mission_count_message(1, 1, 719, 0), "MISSION_ACK").type == it.NO_SPACE


def test_a_part_of_a_plan_is_replaced_item_by_item(ground: Ground) -> None:
    rows = survey()
    ground.upload(rows)
    stored = list(ground.vehicle.transfers.plans[it.MISSION])
    part = mavlink.MAVLink_mission_write_partial_list_message
    assert ground.ask(part(1, 1, 2, 3, 0), "MISSION_REQUEST").seq == 2
    assert ground.ask(part(1, 1, 2, 3, 0), "MISSION_ACK").type == it.DENIED, "one upload at a time"
    new = [(16, 3, NONE, *at(7.0 * k, 9.0), 33.0) for k in (1, 2)]
    assert ground.ask(item(1, 2, new[0]), "MISSION_REQUEST").seq == 3
    now = ground.vehicle.transfers.plans[it.MISSION]
    assert (now[2].z, now[3]) == (33.0, stored[3])
    assert ground.ask(item(1, 3, new[1]), "MISSION_ACK").type == it.ACCEPTED
    changed = ground.vehicle.transfers.plans[it.MISSION]
    assert len(changed) == len(stored)
    assert [k for k in range(len(stored)) if changed[k] != stored[k]] == [2, 3]
    assert changed[3].z == 33.0
    for first, last in ((3, 2), (0, len(stored) + 1), (-1, 2)):
        assert ground.ask(part(1, 1, first, last, 0), "MISSION_ACK").type == it.ERROR


def test_fence_and_rally_have_plans_of_their_own(ground: Ground) -> None:
    square = [(5001, 3, (4, 0, 0, 0), *at(n, e), 0.0) for n, e in ((-50, -50), (-50, 50), (50, 50), (50, -50))]
    assert ground.upload(square, it.FENCE) == it.ACCEPTED
    assert ground.upload(square[:3], it.FENCE) == it.INVALID, "a polygon with a vertex missing"
    assert ground.upload([(5100, 3, NONE, *at(20, 20), 10.0)], it.RALLY) == it.ACCEPTED
    assert len(ground.download(it.FENCE)) == 4 and len(ground.download(it.RALLY)) == 1
    assert ground.vehicle.pilot.parameters["FENCE_TOTAL"] == 4
    clear = mavlink.MAVLink_mission_clear_all_message(1, 1, 255)
    assert ground.ask(clear, "MISSION_ACK").type == it.ACCEPTED
    assert ground.download(it.FENCE) == []


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 0.35))
def test_uploads_converge_over_a_bad_link(seed: int, loss: float) -> None:
    fleet = DirectFleet(1, [HOME], seed=seed)
    ground = Ground(fleet)
    ground.run(1.0)
    values = {"loss": loss, "delay_s": 0.05, "jitter_s": 0.05, "duplicate": 0.1, "reorder": 0.1, "corrupt": 0.05}
    fleet.crew.command(
        str({"do": "fault", "system_id": 1, "name": "link", "values": values}).replace("'", '"').encode()
    )
    rows = survey(lanes=2)
    for _ in range(12):
        if _patient_upload(ground, rows):
            break
    stored = ground.vehicle.transfers.plans[it.MISSION]
    assert [i.command for i in stored] == [row[0] for row in rows]


def _patient_upload(ground: Ground, rows) -> bool:
    """Answers requests; says how many there are again while nothing is asked. True once it is accepted."""

    seen, quiet = len(ground.heard), 0
    ground.send(mavlink.MAVLink_mission_count_message(1, 1, len(rows), 0))
    for _ in range(300):
        ground.run(0.1)
        new = [m for m in ground.heard[seen:] if m.get_type() in ("MISSION_REQUEST", "MISSION_ACK")]
        seen = len(ground.heard)
        for message in new:
            if message.get_type() == "MISSION_ACK" and message.type == it.ACCEPTED:
                return True
            if message.get_type() == "MISSION_REQUEST":
                ground.send(item(1, message.seq, rows[message.seq]))
        quiet = 0 if new else quiet + 1
        if quiet > 60:
            return len(ground.vehicle.transfers.plans[it.MISSION]) == len(rows)
    return False


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([16, 22, 178, 206]), st.integers(-9, 9), st.integers(-(10**8), 10**8)), max_size=60
    )
)
def test_a_plan_file_is_read_as_it_was_written(raw) -> None:
    plan = [Item(command, 3, p1=float(p1), x=x, y=-x, z=p1 / 4) for command, p1, x in raw]
    data = write_plan(plan, it.MISSION)
    assert read_plan(data, it.MISSION) == plan
    assert read_plan(data, it.FENCE) is None
    assert read_plan(data[:-1], it.MISSION) is None if plan else True
