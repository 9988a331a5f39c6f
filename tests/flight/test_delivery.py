"""Plans by file: the same lists as item by item, on a vehicle that offers it, and a way back where it does not work."""

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight import planfile
from flight.delivery import offers_files, read_list, upload_verified
from flight.errors import TransferError
from flight.items import WireItem, first_difference
from flight.mavftp import FtpFiles
from flight.station import Station
from flight.transfer import download
from simulators.copter.faults import break_it
from tests.flight.plans import HOME
from tests.flight.virtual import World

FENCE = [
    WireItem(5002, 0, (4.0, 0, 0, 0), 350510000 + x * 9000, 1183510000 + y * 9000, 0)
    for x, y in ((0, 0), (0, 1), (1, 1), (1, 0))
]
RALLY = [WireItem(5100, 3, (0, 0, 0, 0), 350505000, 1183505000, 40.0)]


def mission(count):
    home = WireItem(16, 0, (0.0, 0.0, 0.0, 0.0), 350500000, 1183500000, 60.0)
    takeoff = WireItem(22, 3, (0.0, 0.0, 0.0, 0.0), 0, 0, 40.0)
    rest = [
        WireItem(16, 3, (0.0, 0.0, 0.0, 0.0), 350500000 + 90 * n, 1183500000 + 70 * n, 40.0) for n in range(count - 2)
    ]
    return [home, takeoff, *rest]


class OnAVehicle:
    """Runs work on one simulated vehicle on the virtual clock, some seconds after power-on."""

    def __init__(self, **link):
        self.world = World(1, [HOME], tick_s=0.02, seed=5)
        self.vehicle = self.world.fleet.vehicles[0]
        self.link, self.asked = link, []

    def run(self, work):
        async def on_it():
            async with Station() as station:
                await asyncio.sleep(1.0)
                (ours,) = await station.connect("tcp:direct:1")
                if self.link:
                    break_it(self.vehicle, "link", {**self.link, "direction": "both"})
                ours.sent_listeners.append(lambda frame: self.asked.append(int.from_bytes(frame[7:10], "little")))
                return await work(ours)

        return self.world.run(on_it())

    def stored(self, kind=0):
        plan = self.vehicle.transfers.plans[kind]
        return [WireItem(i.command, i.frame, (i.p1, i.p2, i.p3, i.p4), i.x, i.y, i.z) for i in plan]


async def deliver(ours, *lists):
    began = asyncio.get_running_loop().time()
    for kind, items in enumerate(lists):
        await upload_verified(ours, items, kind)
    return asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("link", [{}, {"delay_s": 0.1, "jitter_s": 0.05}, {"loss": 0.3}, {"duplicate": 0.4},
                                  {"reorder": 0.3}, {"corrupt": 0.2}])  # fmt: skip
def test_three_lists_go_by_file_and_read_back_equal(link):
    at = OnAVehicle(**link)
    at.run(lambda ours: deliver(ours, mission(60), FENCE, RALLY))
    for kind, items in enumerate((mission(60), FENCE, RALLY)):
        assert first_difference(items, at.stored(kind), kind) == ""
    assert mavlink.MAVLINK_MSG_ID_FILE_TRANSFER_PROTOCOL in at.asked
    assert mavlink.MAVLINK_MSG_ID_MISSION_COUNT not in at.asked


def test_by_file_is_faster_over_a_slow_link_and_equal_to_what_the_items_say():
    took = {}
    for offered in (True, False):
        at = OnAVehicle(delay_s=0.05)
        at.vehicle.offers_ftp = offered

        async def work(ours):
            seconds = await deliver(ours, mission(200))
            return seconds, await download(ours, 0), await read_list(ours, 0)

        took[offered], by_item, by_file = at.run(work)
        assert first_difference(by_item, by_file, 0) == first_difference(mission(200), by_item, 0) == ""
    assert took[True] < took[False] / 1.5


def test_a_vehicle_that_refuses_files_gets_the_items_and_is_not_asked_again():
    at = OnAVehicle()

    async def work(ours):
        ours.files_offered = True
        await deliver(ours, mission(20))
        return ours.files_offered

    # It says that it offers them, and never answers.
    at.vehicle.handlers["FILE_TRANSFER_PROTOCOL"] = lambda channel, message: None
    assert at.run(work) is False
    assert first_difference(mission(20), at.stored(), 0) == ""
    assert mavlink.MAVLINK_MSG_ID_MISSION_COUNT in at.asked


def test_what_a_file_changed_on_the_way_is_found_and_sent_item_by_item(monkeypatch):
    at = OnAVehicle()
    honest = planfile.encode

    def lying(items, *more):
        return honest([items[0], *(item._replace(z=item.z + 5) for item in items[1:])], *more)

    monkeypatch.setattr("flight.planfile.encode", lying)
    at.run(lambda ours: deliver(ours, mission(12)))
    assert first_difference(mission(12), at.stored(), 0) == ""


def test_a_file_of_unknown_length_ends_where_a_piece_is_short():
    """ArduPilot 4.6.3 says 1 MB of every plan's file, and numbers every fence point 0."""
    at = OnAVehicle()
    server = at.vehicle.files
    opening = server._open_read

    def vague(offset, size, data):
        code, out, where = opening(offset, size, data)
        return code, struct.pack("<I", 1 << 20) if code == 128 else out, where

    server._acts[4] = vague
    for count in (2, 6, 201):  # shorter than a piece, some, and a file that ends with a whole piece
        at.run(lambda ours, count=count: deliver(ours, mission(count)))
        assert first_difference(mission(count), at.stored(), 0) == ""
    assert mavlink.MAVLINK_MSG_ID_MISSION_COUNT not in at.asked
    fence = bytearray(planfile.encode(FENCE, 1, 1, 1))
    for seq in range(len(FENCE)):
        fence[10 + 38 * seq + 28 : 10 + 38 * seq + 30] = b"\0\0"
    assert planfile.decode(bytes(fence), 1) == FENCE


def test_files_that_are_not_there_are_told():
    async def work(ours):
        assert await offers_files(ours)
        with FtpFiles(ours) as files:
            with pytest.raises(TransferError, match="no such file"):
                await files.read("@MISSION/none.dat")
            with pytest.raises(TransferError, match="refused"):
                await files.write("@SYS/none.dat", b"x")

    OnAVehicle().run(work)


@given(
    st.lists(
        st.tuples(st.integers(0, 65535), st.integers(0, 255), st.integers(-(2**31), 2**31 - 1), st.floats(width=32)),
        max_size=30,
    ),
    st.sampled_from([0, 1, 2]),
)
def test_a_plan_file_holds_what_was_put_in(rows, kind):
    items = [WireItem(command, frame, (z, 0.0, 1.5, -1.0), x, -x - 1, z) for command, frame, x, z in rows]
    data = planfile.encode(items, kind, 1, 1)
    back = planfile.decode(data, kind)
    assert planfile.encode(back, kind, 1, 1) == data
    assert [(i.command, i.frame, i.x, i.y) for i in back] == [(i.command, i.frame, i.x, i.y) for i in items]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x3d\x76", struct.pack("<5H", 1, 0, 0, 0, 0), struct.pack("<5H", planfile.MAGIC, 1, 0, 0, 0),
        struct.pack("<5H", planfile.MAGIC, 0, 0, 0, 2), struct.pack("<5H", planfile.MAGIC, 0, 0, 1, 0),
        planfile.encode(mission(3), 0, 1, 1)[:-1],
    ],
)  # fmt: skip
def test_what_is_no_plan_file_is_told(data):
    with pytest.raises(TransferError, match=r"mission\.dat"):
        planfile.decode(data, 0)
