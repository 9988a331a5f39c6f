"""Fuzzed bytes into a station: no crash, no change of state, all counted."""

import asyncio
import copy
import random

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.address import Address
from flight.link import Link
from flight.signing import SignatureCheck, Signer, SigningKey
from flight.station import Channel
from flight.wire import Decoder
from flight.wireout import Encoder


class Quiet(Link):
    async def _open(self):
        return

    def _write(self, data, peer):
        return

    def _shut(self):
        return


def frames(encoder):
    say = encoder.encode
    return [
        say(mavlink.MAVLink_heartbeat_message(2, 3, 209, 4, 4, 3)),
        say(mavlink.MAVLink_global_position_int_message(9000, 1, 2, 3, 4, 5, 6, 7, 8)),
        say(mavlink.MAVLink_mission_current_message(7)),
        say(mavlink.MAVLink_statustext_message(2, b"x" * 50)),
        say(mavlink.MAVLink_command_ack_message(400, 4)),
        say(mavlink.MAVLink_system_time_message(2**40, 2**31)),
        say(mavlink.MAVLink_sys_status_message(1, 1, 1, 300, 1, 1, 1, 0, 0, 0, 0, 0, 0)),
    ]


def damaged(frame, rng):
    """A frame with one thing wrong: checksum, length, id, flags, cut, or a burst of garbage."""
    bad = bytearray(frame)
    kind = rng.randrange(6)
    if kind == 0:
        bad[-1 - rng.randrange(2)] ^= rng.randrange(1, 256)
    elif kind == 1:
        bad[1] = (bad[1] + rng.randrange(1, 255)) % 256
    elif kind == 2:
        bad[7 + rng.randrange(3)] ^= rng.randrange(1, 256)
    elif kind == 3:
        bad[2] |= rng.choice([2, 4, 8, 64, 128])
    elif kind == 4:
        del bad[rng.randrange(1, len(bad)) :]
    else:
        at = rng.randrange(1, len(bad))
        bad[at] ^= rng.randrange(1, 256)
    return bytes(bad)


def fuzz(count, seed):
    async def run():
        rng = random.Random(seed)
        channel = Channel(Quiet(Address("tcp", "memory", 1)), None, 1.0, 1)
        channel.link.on_data(Encoder(1, 1).encode(mavlink.MAVLink_heartbeat_message(2, 3, 81, 0, 3, 3)), None)
        vehicle = channel.vehicles[1]
        before = copy.deepcopy(vehicle.state)
        good = frames(Encoder(1, 1))
        for _ in range(count):
            channel.link.on_data(damaged(rng.choice(good), rng), None)
        (decoder,) = channel.decoders
        return before, vehicle.state, decoder.counts, set(channel.vehicles)

    return asyncio.run(run())


def fuzz_signed(count, seed):
    """Damaged, replayed, forged and unsigned frames into a signed channel: (state before, after, counts, ids seen)."""

    async def run():
        rng, key = random.Random(seed), SigningKey(b"k" * 32)
        channel = Channel(Quiet(Address("tcp", "memory", 1)), key, 1.0, 1)
        genuine = frames(Encoder(1, 1, Signer(key)))
        channel.link.on_data(
            Encoder(1, 1, Signer(key)).encode(mavlink.MAVLink_heartbeat_message(2, 3, 81, 0, 3, 3)), None
        )
        vehicle = channel.vehicles[1]
        before = copy.deepcopy(vehicle.state)
        forged, bare = frames(Encoder(1, 1, Signer(SigningKey(b"x" * 32)))), frames(Encoder(1, 1))
        for number in range(count):
            kind = number % 8
            # The genuine ones were signed before the heartbeat that opened the stream: replays, every one of them.
            frame = rng.choice((genuine, forged, bare)[kind]) if kind < 3 else damaged(rng.choice(genuine), rng)
            channel.link.on_data(frame, None)
        (decoder,) = channel.decoders
        return before, vehicle.state, decoder.counts, set(channel.vehicles)

    return asyncio.run(run())


def refused_of(counts):
    """Frames (and stray bytes between them) that were let go, by kind."""
    return {
        "checksum": counts.bad_crc, "flags": counts.bad_flags, "unknown id": counts.unknown_id,
        "signature": counts.bad_signature, "unsigned": counts.unsigned,
    }  # fmt: skip


def test_a_signed_channel_takes_nothing_replayed_forged_unsigned_or_damaged():
    before, after, counts, seen = fuzz_signed(8_000, 5)
    assert after == before
    assert (seen, counts.packets) == ({1}, 1)
    assert sum(refused_of(counts).values()) > 8_000 * 0.8
    assert min(counts.bad_crc, counts.bad_signature, counts.unsigned) > 500


def check(count, seed):
    before, after, counts, seen = fuzz(count, seed)
    assert after == before
    assert seen == {1}
    assert counts.packets == 1
    # A cut frame shows only when the next one comes: almost every damage is counted under its kind.
    assert counts.bad_crc + counts.bad_flags + counts.unknown_id + counts.bad_bytes > count * 0.8


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_frames_change_nothing_and_are_counted(seed):
    # A 16-bit checksum lets one damaged frame in 65,536 through: the seeds are such that none of these does.
    check(6_000, seed)


@pytest.mark.slow
def test_a_million_damaged_frames_do_not_crash_us():
    _, _, counts, _ = fuzz(1_000_000, 3)
    assert counts.packets < 1 + 200  # what the checksum itself must let through, and no more
    assert counts.bad_crc > 100_000


def test_replayed_and_forged_signatures_change_nothing():
    key = SigningKey(b"k" * 32)
    decoder = Decoder(SignatureCheck(key))
    real = frames(Encoder(1, 1, Signer(key)))
    assert len(decoder.feed(b"".join(real))) == len(real)
    rng = random.Random(4)
    for _ in range(2_000):
        assert decoder.feed(rng.choice(real)) == []  # replay
    forged = frames(Encoder(1, 1, Signer(SigningKey(b"x" * 32))))
    for _ in range(2_000):
        assert decoder.feed(rng.choice(forged)) == []
    assert decoder.counts.bad_signature == 4_000
