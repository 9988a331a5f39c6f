"""A vehicle gets its key, proves it, and takes nothing unsigned any more; the key is in no record."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.errors import FlightError, LinkError
from flight.keying import give_key, is_private, take_key
from flight.operation import Operation, swap_simulated
from flight.signing import SigningKey
from flight.station import Station
from flight.vehicle import Vehicle
from tests.flight.plans import HOME, write_flight_plan
from tests.flight.virtual import World

URL = "tcp:direct:1"


async def heard(key=None):
    await asyncio.sleep(1.0)
    async with Station(key=key) as station:
        (vehicle,) = await station.connect(URL)
        return await vehicle.command(mavlink.MAV_CMD_REQUEST_MESSAGE, 148)


def test_a_keyed_vehicle_answers_its_key_and_nobody_else(tmp_path):
    key, other = SigningKey.create(tmp_path / "a.key"), SigningKey.create(tmp_path / "b.key")
    world = World(1, [HOME], tick_s=0.02)

    async def work():
        await asyncio.sleep(1.0)
        assert await give_key(URL, key) == (1,)
        assert (await heard(key)).ok
        assert await give_key(URL, key) == (1,)  # a second time does no harm
        assert (await heard()).result == "no answer"
        with pytest.raises(LinkError, match="signature"):
            await heard(other)
        with pytest.raises(LinkError, match="signature"):
            await give_key(URL, other)

    world.run(work())
    assert world.fleet.vehicles[0].signing_key == key.secret


def test_a_key_is_changed_by_who_has_it_and_taken_back(tmp_path):
    key, new = SigningKey.create(tmp_path / "a.key"), SigningKey.create(tmp_path / "b.key")
    world = World(1, [HOME], tick_s=0.02)

    async def work():
        await asyncio.sleep(1.0)
        await give_key(URL, key)
        assert await give_key(URL, new, old=key) == (1,)
        assert world.fleet.vehicles[0].signing_key == new.secret
        assert (await heard(new)).ok
        with pytest.raises(LinkError, match="signature"):
            await take_key(URL, key)  # not its key any more
        assert world.fleet.vehicles[0].signing_key == new.secret
        assert await take_key(URL, new) == (1,)
        assert (await heard()).ok

    world.run(work())
    assert world.fleet.vehicles[0].signing_key is None


def test_a_vehicle_whose_clock_is_ahead_of_ours_is_spoken_to(tmp_path):
    """It refused all we signed once its clock (GPS; here a fast one) was more than a minute ahead."""
    key = SigningKey.create(tmp_path / "key")
    world = World(1, [HOME], tick_s=0.02, start_utc=datetime.now(UTC) + timedelta(minutes=20))

    async def work():
        await asyncio.sleep(1.0)
        assert await give_key(URL, key) == (1,)
        assert (await heard(key)).ok
        assert (await heard(key)).ok  # and on the next connection

    world.run(work())


def test_a_keyed_vehicle_is_flown_signed_and_the_key_is_in_no_file(tmp_path, monkeypatch):
    key = SigningKey.create(tmp_path / "key")
    write_flight_plan(tmp_path / "plan")
    recorded = []
    monkeypatch.setattr(
        Vehicle, "send", lambda self, message, send=Vehicle.send: (recorded.append(message), send(self, message))
    )
    world = World(1, [HOME], seed=2, gps_noise_m=0.5)

    async def work():
        await asyncio.sleep(1.0)
        await give_key(URL, key)
        operation = Operation(
            tmp_path / "plan", world.urls, tmp_path / "out", operator="t", on_event=None, on_sortie=None,
            swap_battery=swap_simulated, max_home_offset_m=30.0, speedup=1.0, key=key, overrides=(), obstacles=(),
        )  # fmt: skip
        return (await operation.run()).sorties[0]

    result = world.run(work())
    assert (result.state, result.why) == ("landed", "")
    assert not any(message.get_type() == "SETUP_SIGNING" for message in recorded)
    secret = key.secret
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert secret not in content, path.name
        assert secret.hex().encode() not in content, path.name


def test_an_armed_vehicle_is_not_keyed(tmp_path):
    key = SigningKey.create(tmp_path / "key")
    world = World(1, [HOME], tick_s=0.02)

    async def work():
        await asyncio.sleep(35.0)
        async with Station() as station:
            (vehicle,) = await station.connect(URL)
            (await vehicle.set_mode("GUIDED")).require()
            (await vehicle.arm()).require()
        with pytest.raises(FlightError, match="is armed"):
            await give_key(URL, key)

    world.run(work())
    assert world.fleet.vehicles[0].signing_key is None


def test_where_a_key_may_go_without_asking():
    assert is_private("serial:/dev/ttyACM0:115200")
    assert is_private("tcp:127.0.0.1:5760")
    assert not is_private("udpin:0.0.0.0:14550")
    assert not is_private("tcp:192.168.1.7:5760")
    assert not is_private("nonsense")
