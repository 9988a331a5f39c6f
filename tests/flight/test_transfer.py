"""Uploads over bad links end with equal lists on both sides, or say that they did not."""

import asyncio

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight import transfer
from flight.delivery import upload_verified
from flight.errors import TransferError
from flight.items import WireItem, first_difference
from flight.transfer import download, upload
from tests.flight.peer import Channel, Peer, connected
from tests.flight.virtual import run_virtually


def mission(count):
    return [
        WireItem(16, 3, (0.0, 2.0, 0.0, 0.0), 391000000 + n * 137, 1170000000 + n * 211, 80.0) for n in range(count)
    ]


def on_vehicle(peer, kind=0):
    return [
        WireItem(i.command, i.frame, (i.param1, i.param2, i.param3, i.param4), i.x, i.y, i.z) for i in peer.lists[kind]
    ]


@pytest.mark.parametrize("autopilot", [3, 12])  # ArduPilot gets a window, PX4 stop-and-wait
@pytest.mark.parametrize(("loss", "seed"), [(0.0, 1), (0.1, 2), (0.3, 3)])
def test_a_mission_arrives_whole(autopilot, loss, seed):
    async def run():
        peer = Peer(autopilot=autopilot)
        vehicle = await connected(peer, Channel(loss=loss, delay_s=0.002, seed=seed))
        await upload_verified(vehicle, mission(30), 0)
        return peer

    assert on_vehicle(run_virtually(run())) == mission(30)


@pytest.mark.parametrize("seed", range(2))
def test_doubled_and_late_frames_do_no_harm(seed):
    async def run():
        peer = Peer()
        vehicle = await connected(peer, Channel(loss=0.1, double=0.3, reorder=True, delay_s=0.01, seed=seed))
        await upload_verified(vehicle, mission(25), 0)
        return peer

    assert on_vehicle(run_virtually(run())) == mission(25)


def test_fence_and_rally_are_lists_of_their_own_and_an_empty_list_clears():
    async def run():
        peer = Peer()
        vehicle = await connected(peer)
        await upload_verified(vehicle, mission(3), 0)
        fence = [WireItem(5001, 0, (4.0, 0, 0, 0), 391000000 + n, 1170000000, 0) for n in range(4)]
        await upload_verified(vehicle, fence, 1)
        assert len(peer.lists[1]) == 4
        await upload_verified(vehicle, [], 1)
        assert await download(vehicle, 1) == []
        return peer

    peer = run_virtually(run())
    assert [len(peer.lists[kind]) for kind in (0, 1, 2)] == [3, 0, 0]


def test_an_altered_mission_is_found_and_the_old_one_put_back():
    async def run():
        peer = Peer()
        vehicle = await connected(peer)
        old = mission(5)
        await upload(vehicle, old, 0)

        def alter(kind, items):
            if len(items) == 9:
                items[4].z = 12.0  # another height at item 4
            return items

        peer.alter = alter
        with pytest.raises(TransferError, match=r"item 4: height 80 m came back as 12 m.*old mission is back"):
            await upload_verified(vehicle, mission(9), 0)
        return peer, old

    peer, old = run_virtually(run())
    assert on_vehicle(peer) == old


def test_no_space_just_after_boot_is_asked_again():
    async def run():
        peer = Peer(busy_until_s=asyncio.get_running_loop().time() + 0.5)
        vehicle = await connected(peer)
        await upload_verified(vehicle, mission(4), 0)
        return peer

    assert len(run_virtually(run()).lists[0]) == 4


def test_no_space_for_good_is_told(monkeypatch):
    monkeypatch.setattr(transfer, "_NO_SPACE_FOR_S", 0.3)

    async def run():
        vehicle = await connected(Peer(busy_until_s=1e12))
        await upload_verified(vehicle, mission(4), 0)

    with pytest.raises(TransferError, match="no space for 4 mission items"):
        run_virtually(run())


def test_a_vehicle_that_falls_silent_is_told(monkeypatch):
    monkeypatch.setattr(transfer, "_STALL_S", 0.3)
    monkeypatch.setattr(transfer, "_LEAST_TRIES", 3)

    async def run():
        channel = Channel()
        vehicle = await connected(Peer(), channel)
        vehicle.rtt.add(0.01)
        channel.loss = 1.0
        await upload(vehicle, mission(4), 0)

    with pytest.raises(TransferError, match="upload stands at item 0 of 4"):
        run_virtually(run())


def test_a_refusal_names_its_reason():
    async def run():
        peer = Peer()
        peer.on_mission_count = lambda m: peer.ack(m.mission_type, mavlink.MAV_MISSION_DENIED)
        await upload(await connected(peer), mission(4), 0)

    with pytest.raises(TransferError, match="refused the mission at item 0 of 4: denied"):
        run_virtually(run())


def test_round_trips_are_used_well():
    """60 items at 40 ms must not take 60 round trips with a window, nor many frames too many."""

    async def run():
        channel = Channel(delay_s=0.02)
        peer = Peer()
        vehicle = await connected(peer, channel)
        vehicle.rtt.add(0.04)
        begun = asyncio.get_running_loop().time()
        before = channel.carried
        await upload_verified(vehicle, mission(60), 0)
        return asyncio.get_running_loop().time() - begun, channel.carried - before

    seconds, frames = run_virtually(run())
    assert seconds < 60 * 0.04
    assert frames < 2 * 60 * 2 * 1.2


def test_comparison_forgives_what_an_autopilot_drops_and_nothing_else():
    nan = float("nan")
    sent = [WireItem(16, 0, (0, 0, 0, 0), 1, 2, 0.0), WireItem(22, 3, (nan, nan, nan, nan), 0, 0, 30.0)]
    read = [WireItem(16, 0, (0, 0, 0, 0), 99, 98, 50.0), WireItem(22, 3, (0, 0, 0, 0), 0, 0, 30.0)]
    assert first_difference(sent, read, 0) == ""  # item 0 is home: the vehicle's own
    assert "item 0" in first_difference(sent, read, 1)
    trigger = WireItem(206, 2, (7.5, 0, 1, 0), 0, 0, 0)
    assert "parameter 1" in first_difference(
        [*sent[:1], trigger], [*read[:1], trigger._replace(params=(9, 0, 1, 0))], 0
    )
    assert "2 items were sent, 1 came back" in first_difference(sent, read[:1], 0)
