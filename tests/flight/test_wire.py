"""Every message of the dialect, through pymavlink and through our table: equal values; damage changes nothing."""

import math
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.signing import SignatureCheck, Signer, SigningKey
from flight.wire import Decoder, Packet, message_name
from flight.wireout import Encoder


def random_message(message_class, rng):
    flat = []
    types = dict(zip(message_class.fieldnames, message_class.fieldtypes, strict=True))
    lengths = dict(zip(message_class.ordered_fieldnames, message_class.array_lengths, strict=True))
    for name in message_class.fieldnames:
        kind, length = types[name], lengths[name]

        def one(kind=kind):
            if kind in ("float", "double"):
                return struct.unpack("<f", struct.pack("<f", rng.uniform(-1e6, 1e6)))[0]
            bits = int("".join(c for c in kind if c.isdigit()))
            return (
                rng.randrange(2**bits) if kind.startswith("u") else rng.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1))
            )

        if kind == "char":
            flat.append(bytes(rng.randrange(32, 127) for _ in range(rng.randrange(length + 1))))
        elif length:
            flat.append([one() for _ in range(length)])
        else:
            flat.append(one())
    return message_class(*flat)


def assert_same(packet: Packet, message) -> None:
    assert (packet.msg_id, packet.system, packet.component, packet.seq) == (
        message.get_msgId(), message.get_srcSystem(), message.get_srcComponent(), message.get_seq(),
    )  # fmt: skip
    for name in message.fieldnames:
        ours, theirs = getattr(packet.fields, name), getattr(message, name)
        if isinstance(theirs, list):
            ours = list(ours)
        assert ours == theirs or (isinstance(theirs, float) and math.isnan(theirs) and math.isnan(ours)), name


@pytest.mark.parametrize("seed", range(2))
def test_every_message_decodes_to_pymavlinks_values(seed):
    rng = random.Random(seed)
    theirs = mavlink.MAVLink(None, srcSystem=7, srcComponent=1)
    stream, expected = b"", []
    for message_class in mavlink.mavlink_map.values():
        frame = random_message(message_class, rng).pack(theirs)
        theirs.seq = (theirs.seq + 1) % 256
        stream += frame
        expected.append(mavlink.MAVLink(None).decode(bytearray(frame)))
    packets = Decoder().feed(stream)
    assert len(packets) == len(expected)
    for packet, message in zip(packets, expected, strict=True):
        assert_same(packet, message)


def heartbeat(encoder: Encoder) -> bytes:
    return encoder.encode(mavlink.MAVLink_heartbeat_message(2, 3, 0, 5, 4, 3))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.binary(max_size=60).filter(lambda b: b"\xfd" not in b))
@settings(max_examples=60)
def test_a_stream_may_come_in_any_pieces_with_garbage_between(cuts, garbage):
    garbage = garbage.replace(b"\xfe", b"")
    encoder = Encoder(9, 1)
    stream = b"".join(heartbeat(encoder) + garbage for _ in range(5))
    decoder, got, at = Decoder(), [], 0
    for cut in cuts:
        got += decoder.feed(stream[at : at + cut])
        at += cut
    got += decoder.feed(stream[at:])
    assert [p.seq for p in got] == [0, 1, 2, 3, 4]
    assert decoder.counts.lost == 0


def test_mavlink_1_frames_are_read():
    theirs = mavlink.MAVLink(None, srcSystem=3, srcComponent=1)
    frame = mavlink.MAVLink_attitude_message(5, 0.1, 0.2, 0.3, 0, 0, 0).pack(theirs, force_mavlink1=True)
    (packet,) = Decoder().feed(frame)
    assert message_name(packet.msg_id) == "ATTITUDE"
    assert packet.fields.pitch == pytest.approx(0.2)


@given(st.integers(1, 20), st.integers(1, 255))
@settings(max_examples=60)
def test_a_flipped_byte_gives_nothing(position, flip):
    frame = bytearray(heartbeat(Encoder(9, 1)))
    frame[position % len(frame)] ^= flip
    assert Decoder().feed(bytes(frame)) == []


def test_lost_packets_are_counted_and_late_ones_are_not():
    encoder = Encoder(9, 1)
    frames = [heartbeat(encoder) for _ in range(10)]
    decoder = Decoder()
    decoder.feed(frames[0] + frames[3] + frames[2] + frames[4])
    assert decoder.counts.packets == 4
    assert decoder.counts.lost == 2 + 1  # 1 and 2 when 3 came; 3 again after the late 2


def test_signed_by_us_is_good_to_pymavlink_and_a_replay_is_refused():
    key = SigningKey(bytes(range(32)))
    encoder = Encoder(9, 1, Signer(key))
    frame = heartbeat(encoder)
    theirs = mavlink.MAVLink(None)
    theirs.signing.secret_key = key.secret
    assert theirs.decode(bytearray(frame)).get_signed()
    decoder = Decoder(SignatureCheck(key))
    assert [p.signed for p in decoder.feed(frame)] == [True]
    assert decoder.feed(frame) == []
    assert decoder.counts.bad_signature == 1


def test_unsigned_or_wrongly_signed_frames_are_refused_and_counted():
    decoder = Decoder(SignatureCheck(SigningKey(bytes(32))))
    assert decoder.feed(heartbeat(Encoder(9, 1))) == []
    assert decoder.feed(heartbeat(Encoder(9, 1, Signer(SigningKey(b"x" * 32))))) == []
    assert (decoder.counts.unsigned, decoder.counts.bad_signature) == (1, 1)


def test_an_unknown_message_is_stepped_over():
    frame = bytearray(heartbeat(Encoder(9, 1)))
    frame[7:10] = (60000).to_bytes(3, "little")
    decoder = Decoder()
    assert len(decoder.feed(bytes(frame) + heartbeat(Encoder(9, 1)))) == 1
    assert decoder.counts.unknown_id == 1
