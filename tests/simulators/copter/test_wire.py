import random

from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter.wire import Decoder, Encoder, Signing, split_frames

_LIMITS = {
    "uint8_t": (0, 255), "int8_t": (-128, 127), "uint16_t": (0, 65535), "int16_t": (-32768, 32767),
    "uint32_t": (0, 2**32 - 1), "int32_t": (-(2**31), 2**31 - 1), "uint64_t": (0, 2**64 - 1),
    "int64_t": (-(2**63), 2**63 - 1),
}  # fmt: skip


def _value(kind: str, length: int, source: random.Random) -> object:
    if kind == "char":
        return bytes(source.choices(range(65, 91), k=source.randint(0, max(1, length))))
    one = (
        (lambda: float(source.randint(-1000, 1000)) / 4)
        if kind in ("float", "double")
        else (lambda: source.choice((0, source.randint(*_LIMITS[kind]))))
    )
    return [one() for _ in range(length)] if length else one()


def _values(cls: type, source: random.Random) -> tuple:
    lengths = dict(zip(cls.ordered_fieldnames, cls.array_lengths, strict=True))
    return tuple(_value(kind, lengths[n], source) for n, kind in zip(cls.fieldnames, cls.fieldtypes, strict=True))


CLASSES = sorted(mavlink.mavlink_map.values(), key=lambda cls: cls.id)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CLASSES))
def test_every_message_is_packed_as_pymavlink_packs_it(seed: int, cls: type) -> None:
    values = _values(cls, random.Random(seed))
    theirs = mavlink.MAVLink(None, srcSystem=7, srcComponent=1)
    assert Encoder(7).pack(cls, values) == cls(*values).pack(theirs)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(CLASSES), st.booleans())
def test_every_message_is_read_as_pymavlink_reads_it(seed: int, cls: type, old: bool) -> None:
    values = _values(cls, random.Random(seed))
    sender = mavlink.MAVLink(None, srcSystem=9, srcComponent=3)
    if old and cls.id > 255:
        return
    frame = cls(*values).pack(sender, force_mavlink1=old)
    theirs = mavlink.MAVLink(None).parse_buffer(frame)[0]
    (ours,) = Decoder().feed(frame)
    assert ours.to_dict() == theirs.to_dict()
    assert (ours.get_srcSystem(), ours.get_srcComponent(), ours.get_seq()) == (9, 3, 0)


def test_frames_come_whole_from_any_pieces_and_noise() -> None:
    encoder, source = Encoder(1), random.Random(3)
    frames = [encoder.pack(mavlink.MAVLink_heartbeat_message, (2, 3, n % 256, n, 4, 3)) for n in range(300)]
    stream = b"".join(bytes(source.choices(range(0xFD), k=source.randint(0, 9))) + frame for frame in frames)
    decoder, heard, at = Decoder(), [], 0
    while at < len(stream):
        size = source.randint(1, 40)
        heard += [message.custom_mode for message in decoder.feed(stream[at : at + size])]
        at += size
    assert heard == list(range(300))
    assert split_frames(b"".join(frames) + frames[0][:5]) == (frames, frames[0][:5])


def test_a_spoilt_frame_is_counted_and_the_next_one_read() -> None:
    encoder, decoder = Encoder(1), Decoder()
    frames = [encoder.pack(mavlink.MAVLink_system_time_message, (n, n)) for n in range(1, 4)]
    spoilt = bytearray(frames[1])
    spoilt[12] ^= 0x10
    assert [m.time_boot_ms for m in decoder.feed(frames[0] + bytes(spoilt) + frames[2])] == [1, 3]
    assert decoder.refused.checksum >= 1


def test_signed_frames_pass_once_and_forged_or_unsigned_ones_never() -> None:
    clock = [1_000_000_000]
    key, other = bytes(range(32)), bytes(32)
    sender = Encoder(255, Signing(key, 1, lambda: clock[0]))
    decoder = Decoder(Signing(key, 0, lambda: clock[0]))
    beat = (mavlink.MAVLink_heartbeat_message, (6, 8, 0, 0, 4, 3))
    frame = sender.pack(*beat)
    assert len(list(decoder.feed(frame))) == 1
    assert list(decoder.feed(frame)) == [], "a replay"
    forged = Encoder(255, Signing(other, 1, lambda: clock[0] + 10_000)).pack(*beat)
    assert list(decoder.feed(forged)) == []
    assert list(decoder.feed(Encoder(255).pack(*beat))) == [], "unsigned"
    old = Encoder(250, Signing(key, 1, lambda: clock[0] - 7_000_000)).pack(*beat)
    assert list(decoder.feed(old)) == [], "a new stream more than a minute behind"
    assert decoder.refused.signature == 4
    assert len(list(decoder.feed(sender.pack(*beat)))) == 1, "the forgery did not push the stream's clock"


def test_pymavlink_accepts_our_signature() -> None:
    key = bytes(range(32))
    frame = Encoder(1, Signing(key, 0, lambda: 5_000_000)).pack(mavlink.MAVLink_system_time_message, (1, 2))
    theirs = mavlink.MAVLink(None)
    theirs.signing.secret_key = key
    (message,) = theirs.parse_buffer(frame)
    assert message.time_boot_ms == 2 and theirs.signing.goodsig_count == 1
