"""The flight stack on a real ArduPilot SITL, where there is one: plans by file, signing, a whole sortie."""

import asyncio

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.delivery import read_list, upload_verified
from flight.errors import LinkError
from flight.items import first_difference
from flight.keying import give_key, take_key
from flight.operation import fly_plan, swap_simulated
from flight.signing import SigningKey
from flight.station import Station
from flight.transfer import download
from simulators.sitl import SitlFleet, find_arducopter
from tests.flight.plans import HOME, offset, write_flight_plan
from tests.flight.test_delivery import FENCE, RALLY, mission
from tests.simulators.ports import free_base_port

pytestmark = [
    pytest.mark.sitl,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_arducopter() is None, reason="no ArduPilot SITL: YUNXUN_ARDUCOPTER is not set"),
]


def test_three_lists_go_by_file_and_items_say_the_same():
    async def work(url):
        async with Station() as station:
            (ours,) = await station.connect(url, open_s=30.0, heartbeat_s=30.0)
            await asyncio.sleep(8.0)  # its storage and its clock want a moment after power-on
            sent = []
            ours.sent_listeners.append(lambda frame: sent.append(int.from_bytes(frame[7:10], "little")))
            loop = asyncio.get_running_loop()
            for kind, items in enumerate((mission(200), FENCE, RALLY)):
                began = loop.time()
                await upload_verified(ours, items, kind)
                print(f"list {kind}: {len(items)} items in {loop.time() - began:.2f} s, by file: {ours.files_offered}")
                assert first_difference(items, await download(ours, kind), kind) == ""
                assert first_difference(items, await read_list(ours, kind), kind) == ""
            return ours.files_offered, 44 in sent

    with SitlFleet(1, [HOME], base_port=free_base_port(1), speedup=1.0) as fleet:
        by_file, counted = asyncio.run(work(fleet.urls[0]))
    assert by_file
    assert not counted


def test_a_sortie_is_flown_whole(tmp_path):
    fence = [offset(HOME, x, y) for x, y in ((200.0, 200.0), (260.0, 200.0), (260.0, 260.0))]
    write_flight_plan(tmp_path / "plan", length_m=80.0, count=3, fence=fence)
    with SitlFleet(1, [HOME], base_port=free_base_port(1), speedup=5.0) as fleet:
        result = fly_plan(
            tmp_path / "plan", fleet.urls, tmp_path / "out", swap_battery=swap_simulated, speedup=5.0
        ).sorties[0]  # fmt: skip
        print(result, fleet.log_hashes())
    assert (result.state, result.why) == ("landed", "")
    assert result.landing_offset_m < 1.0
    assert result.photos >= 18


def test_a_real_one_takes_a_key_changes_it_and_gives_it_back(tmp_path):
    """ArduPilot trusts its first serial port unsigned: that it signs with the right key is what is seen here."""
    key, new = SigningKey.create(tmp_path / "a.key"), SigningKey.create(tmp_path / "b.key")

    async def signs(url, with_key):
        async with Station(key=with_key) as station:
            (ours,) = await station.connect(url, open_s=30.0, heartbeat_s=30.0)
            return (await ours.command(mavlink.MAV_CMD_REQUEST_MESSAGE, 148, what="version")).ok

    async def work(url):
        await asyncio.sleep(8.0)
        assert await give_key(url, key) == (1,)
        with pytest.raises(LinkError, match="signature"):
            await signs(url, new)
        assert await give_key(url, new, old=key) == (1,)
        assert await signs(url, new)
        with pytest.raises(LinkError, match="signature"):
            await signs(url, key)
        assert await take_key(url, new) == (1,)
        with pytest.raises(LinkError, match="sign"):
            await signs(url, new)  # it signs no more: nothing of it is taken
        return await signs(url, None)

    with SitlFleet(1, [HOME], base_port=free_base_port(1), speedup=1.0) as fleet:
        assert asyncio.run(work(fleet.urls[0]))
