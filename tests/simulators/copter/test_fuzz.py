"""Frames as no honest station sends them: spoilt ones change nothing, absurd ones break nothing."""

from __future__ import annotations

import random
import struct

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter.commands import HANDLERS
from simulators.copter.wire import Encoder, Signing
from simulators.direct import DirectFleet, DirectLink
from tests.simulators.copter.ground import HOME, Ground, item, survey
from tests.simulators.copter.test_wire import CLASSES, _values

KEY = bytes(range(1, 33))
ABSURD = (float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 1.0, 1e30, -1e30, 4.0, 2.0**31)


def snapshot(ground: Ground) -> tuple:
    vehicle, pilot = ground.vehicle, ground.vehicle.pilot
    return (
        pilot.armed, pilot.mode, pilot.landed, pilot.home, tuple(pilot.parameters[name] for name in pilot.parameters),
        tuple((kind, tuple(plan)) for kind, plan in vehicle.transfers.plans.items()), vehicle.signing_key,
        vehicle.autopilot.shutter.count, vehicle.album.count, tuple(sorted(ground.link.channel.rates.items())),
        tuple(pilot.sticks.channels), vehicle.autopilot.failsafes.gcs_heard_s, vehicle.autopilot.sequence.index,
    )  # fmt: skip


def harmful(encoder: Encoder) -> list[bytes]:
    """Frames that would each change something, if they were believed."""
    long = mavlink.MAVLink_command_long_message
    messages = [
        (long, (1, 1, number, 0, 1.0, 4.0, 0.0, 0.0, 1.0, 0.0, 20.0)) for number in sorted(HANDLERS)
    ] + [
        (mavlink.MAVLink_param_set_message, (1, 1, b"FENCE_ENABLE", 1.0, 2)),
        (mavlink.MAVLink_mission_clear_all_message, (1, 1, 255)), (mavlink.MAVLink_mission_count_message, (1, 1, 0, 0)),
        (mavlink.MAVLink_set_mode_message, (1, 1, 6)), (mavlink.MAVLink_heartbeat_message, (6, 8, 0, 0, 4, 3)),
        (mavlink.MAVLink_setup_signing_message, (1, 1, list(range(32)), 1)),
        (mavlink.MAVLink_rc_channels_override_message, (1, 1, *[1900] * 18)),
        (mavlink.MAVLink_request_data_stream_message, (1, 1, 0, 10, 1)),
    ]  # fmt: skip
    return [encoder.pack(cls, values, 190) for cls, values in messages]


def spoil(frame: bytes, source: random.Random) -> bytes:
    """One of: bits turned, cut short, made longer, a wrong length, id, checksum or signature."""
    out = bytearray(frame)
    kind = source.randrange(7)
    if kind == 0:
        for _ in range(source.randint(1, 8)):
            out[source.randrange(len(out))] ^= 1 << source.randrange(8)
    elif kind == 1:
        del out[source.randrange(1, len(out)) :]
    elif kind == 2:
        out[source.randrange(len(out)) : 0] = source.randbytes(source.randint(1, 20))
    elif kind == 3:
        out[1] = source.randrange(256)
    elif kind == 4:
        out[7:10] = struct.pack("<I", source.randrange(1 << 24))[:3]
    elif kind == 5:
        out[-14] ^= source.randint(1, 255)
    else:
        out[-6:] = source.randbytes(6)
    return bytes(out)


def fuzz(count: int) -> tuple[DirectLink, int]:
    """Feeds spoilt, replayed and unsigned frames to a signed vehicle on the ground with a plan; (link, frames fed)."""
    ground = Ground(DirectFleet(1, [HOME], gps_noise_m=0.0))
    ground.run(1.0)
    assert ground.upload(survey()) == 0
    ground.vehicle.set_signing_key(KEY)
    clock = [ground.link.channel.signing.clock() + 10_000]
    genuine = Encoder(255, Signing(KEY, 3, lambda: clock[0]))
    # One honest frame opens the stream; everything below is older, or not genuine.
    ground.link.write(genuine.pack(mavlink.MAVLink_ping_message, (1, 1, 0, 0), 190))
    frames = harmful(genuine)
    last = genuine.pack(mavlink.MAVLink_ping_message, (2, 2, 0, 0), 190)
    ground.link.write(last)
    unsigned = harmful(Encoder(255))
    before, source = snapshot(ground), random.Random(17)
    for number in range(count):
        frame = source.choice(frames)
        if number % 11 == 0:
            data = frame  # a replay, byte by byte as it was once sent
        elif number % 11 == 1:
            data = source.choice(unsigned)
        else:
            data = spoil(frame, source)
        ground.link.write(data)
    assert snapshot(ground) == before
    ground.run(2.0)
    assert not ground.vehicle.pilot.armed and ground.vehicle.transfers.count(0) == len(survey())
    honest = genuine.pack(mavlink.MAVLink_command_long_message, (1, 1, 511, 0, 30.0, 1e5, 0, 0, 0, 0, 0), 190)
    # What was cut short may have eaten a frame behind it; an honest station says it again.
    for _ in range(3):
        ground.link.write(honest)
        honest = genuine.pack(mavlink.MAVLink_command_long_message, (1, 1, 511, 0, 30.0, 1e5, 0, 0, 0, 0, 0), 190)
    assert 30 in ground.link.channel.rates, "it still listens"
    return ground.link, count


def test_spoilt_replayed_and_unsigned_frames_change_nothing() -> None:
    link, count = fuzz(15_000)
    assert link.channel.decoder.refused.total > 0.8 * count
    refused = link.channel.decoder.refused
    assert min(refused.checksum, refused.unknown, refused.signature) > 100


@pytest.mark.slow
def test_a_million_of_them_change_nothing() -> None:
    link, count = fuzz(1_000_000)
    print("refused of", count, link.channel.decoder.refused)
    assert link.channel.decoder.refused.total > 0.8 * count


def absurd(cls: type, source: random.Random) -> tuple:
    """Any values at all, meant for vehicle 1."""
    values = list(_values(cls, source))
    for index, (name, kind) in enumerate(zip(cls.fieldnames, cls.fieldtypes, strict=True)):
        if name == "target_system":
            values[index] = source.choice((0, 1))
        elif kind == "float" and not isinstance(values[index], list) and source.random() < 0.4:
            values[index] = source.choice(ABSURD)
        elif name == "command":
            values[index] = source.choice((*sorted(HANDLERS), 16, 19, 82, 5001))
        elif name == "mission_type":
            values[index] = source.choice((0, 1, 2, 255, 7))
    return tuple(values)


@pytest.mark.parametrize("seed", range(2))
def test_absurd_but_well_formed_messages_break_nothing(seed: int) -> None:
    ground = Ground(DirectFleet(1, [HOME], seed=seed))
    ground.run(1.0)
    assert ground.upload(survey()) == 0
    ground.fly_to(10)
    handled = {*ground.vehicle.handlers, "MISSION_COUNT", "MISSION_ITEM_INT", "MISSION_ITEM", "MISSION_REQUEST_INT",
               "MISSION_REQUEST", "MISSION_ACK", "MISSION_CLEAR_ALL", "MISSION_REQUEST_LIST"}  # fmt: skip
    classes = [cls for cls in CLASSES if cls.msgname in handled and cls.msgname != "SETUP_SIGNING"]
    source, encoder = random.Random(seed), Encoder(255)
    weights = [20 if cls.msgname.startswith("COMMAND") else 3 for cls in classes]
    for number in range(1500):
        cls = source.choices(classes, weights)[0]
        ground.link.write(encoder.pack(cls, absurd(cls, source), 190))
        if number % 10 == 0:
            ground.run(0.2)
    for message_id in (0, 1, 24, 30, 32, 33, 42, 62, 74, 87, 147, 162, 193, 242, 262, 285):
        ground.vehicle.report(message_id)
    ground.run(1.0)
    rows = survey()
    ground.send(mavlink.MAVLink_mission_count_message(1, 1, len(rows), 0))
    ground.send(item(1, 0, rows[0]))
