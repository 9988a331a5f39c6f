"""The real transports, each against another end of its kind."""

import asyncio
import contextlib
import os
import socket

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.address import Address, parse_address
from flight.errors import LinkError
from flight.link import make_link
from flight.signing import SignatureCheck, Signer, SigningKey
from flight.station import Station
from flight.wire import Decoder
from flight.wireout import Encoder
from tests.flight.peer import Peer


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp:127.0.0.1:5760", Address("tcp", "127.0.0.1", 5760)),
        ("tcp://10.0.0.7:5762", Address("tcp", "10.0.0.7", 5762)),
        ("udp:0.0.0.0:14550", Address("udpin", "0.0.0.0", 14550)),
        ("udpin://0.0.0.0:14550", Address("udpin", "0.0.0.0", 14550)),
        ("udpout:192.168.1.9:14550", Address("udpout", "192.168.1.9", 14550)),
        ("serial:/dev/ttyACM0:115200", Address("serial", "/dev/ttyACM0", 115200)),
        ("serial:///dev/ttyS1", Address("serial", "/dev/ttyS1", 57600)),
        ("/dev/ttyUSB0,57600", Address("serial", "/dev/ttyUSB0", 57600)),
        ("tcp:[::1]:5760", Address("tcp", "::1", 5760)),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "5760", "tcp:5760", "tcp:host:0", "tcp:host:99999", "ftp:host:21", "serial:"])
def test_bad_addresses_say_what_is_expected(text):
    with pytest.raises(LinkError, match="expected tcp:HOST:PORT"):
        parse_address(text)


async def serve(peers, port):
    """A TCP vehicle that beats at 20 Hz."""
    writers = []

    async def client(reader, writer):
        peer = peers[0]
        peer.send = writer.write
        writers.append(writer)
        beat = asyncio.create_task(beats(peer))
        try:
            while data := await reader.read(4096):
                peer.receive(data)
        except ConnectionError:
            pass
        finally:
            beat.cancel()

    async def beats(peer):
        while True:
            peer.heartbeat()
            await asyncio.sleep(0.05)

    return await asyncio.start_server(client, "127.0.0.1", port), writers


def test_tcp_is_opened_again_after_it_was_cut():
    async def run():
        port, peer = free_port(), Peer(system=4)
        server, writers = await serve([peer], port)
        async with Station() as station:
            (vehicle,) = await station.connect(f"tcp:127.0.0.1:{port}")
            assert vehicle.system_id == 4
            writers[-1].close()
            for _ in range(100):
                await asyncio.sleep(0.05)
                if vehicle.link.counts.opened == 2 and (await vehicle.command(999, tries=1)).ok:
                    break
            assert vehicle.link.counts.opened == 2
        server.close()

    asyncio.run(run())


def test_nobody_there_is_told_in_one_line():
    async def run():
        async with Station() as station:
            await station.connect(f"tcp:127.0.0.1:{free_port()}", open_s=0.3)

    with pytest.raises(LinkError, match=r"no vehicle at tcp:127.0.0.1:\d+: Connection refused; start it"):
        asyncio.run(run())


@pytest.mark.parametrize(("said", "message"), [(b"", "open but silent"), (b"hello " * 50, "no MAVLink")])
def test_an_open_port_that_is_no_vehicle_is_told(said, message):
    async def run():
        async def client(reader, writer):
            writer.write(said)
            await reader.read()

        port = free_port()
        async with await asyncio.start_server(client, "127.0.0.1", port), Station() as station:
            # What it says has to get here before it counts as silent, on however slow a machine.
            await station.connect(f"tcp:127.0.0.1:{port}", heartbeat_s=3.0 if said else 0.3)

    with pytest.raises(LinkError, match=message):
        asyncio.run(run())


def test_one_udp_port_serves_many_vehicles_and_a_taken_port_is_told(monkeypatch):
    monkeypatch.setattr("flight.station._MORE_VEHICLES_S", 0.4)

    async def run():
        port = free_port(socket.SOCK_DGRAM)
        sockets = []
        async with Station() as station:
            connecting = asyncio.create_task(station.connect(f"udpin:127.0.0.1:{port}"))
            for system in (3, 1, 2):
                radio = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                radio.connect(("127.0.0.1", port))
                peer = Peer(system=system)
                peer.send = radio.send
                asyncio.get_running_loop().add_reader(radio, lambda r=radio, p=peer: p.receive(r.recv(2048)))
                sockets.append((radio, peer))
            while not connecting.done():  # the port may not be open yet: radios go on beating, too
                for _, peer in sockets:
                    with contextlib.suppress(ConnectionError):
                        peer.heartbeat()
                await asyncio.sleep(0.05)
            vehicles = await connecting
            assert [vehicle.system_id for vehicle in vehicles] == [1, 2, 3]
            outcomes = await asyncio.gather(*(vehicle.command(500 + vehicle.system_id) for vehicle in vehicles))
            assert all(outcome.ok for outcome in outcomes)
            # Each command went to its own vehicle and to no other.
            assert {peer.system: set(peer.commands) for _, peer in sockets} == {n: {500 + n} for n in (1, 2, 3)}
            with pytest.raises(LinkError, match=r"cannot listen on udpin.*in use"):
                await station.connect(f"udpin:127.0.0.1:{port}", open_s=0.2)
            for radio, _ in sockets:
                asyncio.get_running_loop().remove_reader(radio)
                radio.close()

    asyncio.run(run())


def test_a_serial_line_carries_frames_both_ways():
    async def run():
        ours, theirs = os.openpty()
        link = make_link(Address("serial", os.ttyname(theirs), 57600))
        got = []
        link.on_data = lambda data, peer: got.append(data)
        await link.open(1.0)
        frame = Encoder(1, 1).encode(mavlink.MAVLink_heartbeat_message(2, 3, 0, 0, 3, 3))
        os.write(ours, frame)
        link.send(frame)
        for _ in range(200):
            await asyncio.sleep(0.05)
            if len(b"".join(got)) >= len(frame):
                break
        assert b"".join(got) == frame == os.read(ours, 100)
        await link.close()
        os.close(ours)

    asyncio.run(run())


def test_heartbeats_go_on_during_a_transfer():
    async def run():
        port, peer = free_port(), Peer()
        beats = []
        peer.on_heartbeat = lambda m: beats.append(asyncio.get_running_loop().time())
        server, _ = await serve([peer], port)
        async with Station(heartbeat_hz=20.0) as station:
            (vehicle,) = await station.connect(f"tcp:127.0.0.1:{port}")
            peer.on_mission_count = lambda m: None  # an upload that stalls
            from flight.items import WireItem
            from flight.transfer import upload

            stalled = asyncio.create_task(upload(vehicle, [WireItem(16, 3, (0, 0, 0, 0), 1, 1, 1.0)], 0))
            await asyncio.sleep(1.0)
            stalled.cancel()
        server.close()
        return beats

    assert len(asyncio.run(run())) >= 15


def test_a_signing_station_takes_no_unsigned_vehicle_and_flies_a_signed_one(tmp_path):
    key = SigningKey.create(tmp_path / "key")

    async def run(signed):
        port, peer = free_port(), Peer()
        if signed:
            peer.mav.signing.secret_key = key.secret
            peer.mav.signing.sign_outgoing = True
            peer.mav.signing.timestamp = Signer(key)._ticks or __import__("flight.signing").signing.now_ticks()
            check = Decoder(SignatureCheck(key))
            receive = peer.receive
            peer.receive = lambda data: [receive(p.frame) for p in check.feed(data)]
        server, _ = await serve([peer], port)
        try:
            async with Station(key=key) as station:
                (vehicle,) = await station.connect(f"tcp:127.0.0.1:{port}", heartbeat_s=0.6)
                return await vehicle.command(400, 1)
        finally:
            server.close()

    assert asyncio.run(run(signed=True)).ok
    with pytest.raises(LinkError, match="no signature or a wrong one"):
        asyncio.run(run(signed=False))


def test_a_key_others_can_read_is_refused_and_never_shown(tmp_path):
    path = tmp_path / "key"
    key = SigningKey.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.secret.hex() not in repr(key)
    assert SigningKey.read(path).secret == key.secret
    path.chmod(0o644)
    from flight.errors import FlightError

    with pytest.raises(FlightError, match="chmod 600") as caught:
        SigningKey.read(path)
    assert key.secret.hex() not in str(caught.value)
    with pytest.raises(FlightError, match="not overwritten"):
        SigningKey.create(path)
