"""Plans by MAVLink FTP: read in bursts, written whole, refused whole."""

from __future__ import annotations

import struct
import zlib

import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from simulators.copter import items as it
from simulators.copter.ftp import read_plan, write_plan
from simulators.direct import DirectFleet
from tests.simulators.copter.ground import HOME, Ground, survey

HEAD = struct.Struct("<HBBBBBBI")
ACK, NAK = 128, 129
MISSION = b"@MISSION/mission.dat"


class Files:
    def __init__(self, ground: Ground) -> None:
        self.ground, self.sequence = ground, 0

    def ask(self, opcode: int, data: bytes = b"", offset: int = 0, size: int | None = None) -> list[tuple]:
        """Answers to one question: (opcode, complete, offset, data)."""
        self.sequence += 2
        length = len(data) if size is None else size
        payload = HEAD.pack(self.sequence, 65, opcode, length, 0, 0, 0, offset) + data
        seen = len(self.ground.heard)
        self.ground.send(mavlink.MAVLink_file_transfer_protocol_message(0, 1, 1, list(payload.ljust(251, b"\0"))))
        self.ground.run(0.2)
        answers = []
        for message in self.ground.heard[seen:]:
            if message.get_type() == "FILE_TRANSFER_PROTOCOL":
                raw = bytes(message.payload)
                _, session, code, length, asked, complete, _, at = HEAD.unpack_from(raw)
                assert (session, asked) == (65, opcode)
                answers.append((code, complete, at, raw[HEAD.size : HEAD.size + length]))
        return answers

    def read(self, name: bytes) -> bytes:
        ((code, _, _, data),) = self.ask(4, name)
        assert code == ACK
        size, out = struct.unpack("<I", data)[0], b""
        while len(out) < size:
            for code, _, at, piece in self.ask(15, offset=len(out), size=239):
                assert code == ACK and at == len(out)
                out += piece
        assert self.ask(1)[0][0] == ACK
        return out

    def write(self, name: bytes, data: bytes) -> int:
        assert self.ask(6, name)[0][0] == ACK
        for at in range(0, len(data), 200):
            assert self.ask(7, data[at : at + 200], at)[0][0] == ACK
        return self.ask(1)[0][0]


@pytest.fixture
def ground() -> Ground:
    ground = Ground(DirectFleet(1, [HOME], gps_noise_m=0.0))
    ground.run(1.0)
    assert ground.upload(survey(lanes=12)) == it.ACCEPTED
    return ground


def test_a_mission_is_read_in_bursts_as_it_is_stored(ground: Ground) -> None:
    files = Files(ground)
    data = files.read(MISSION)
    plan = read_plan(data, it.MISSION)
    assert plan is not None
    assert plan[1:] == ground.vehicle.transfers.plans[it.MISSION][1:]
    assert files.ask(14, MISSION)[0][3] == struct.pack("<I", zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF)


def test_a_written_plan_takes_effect_when_it_is_closed(ground: Ground) -> None:
    shorter = ground.vehicle.transfers.plans[it.MISSION][:6]
    assert Files(ground).write(MISSION, write_plan(shorter, it.MISSION)) == ACK
    assert ground.vehicle.transfers.plans[it.MISSION] == shorter


def test_a_bad_file_leaves_the_plan_as_it_was(ground: Ground) -> None:
    before, files = list(ground.vehicle.transfers.plans[it.MISSION]), Files(ground)
    good = write_plan(before, it.MISSION)
    for data in (good[:-3], b"nonsense", write_plan(before, it.FENCE), b"", good + b"more"):
        assert files.write(MISSION, data) == NAK
        assert ground.vehicle.transfers.plans[it.MISSION] == before
    assert files.ask(4, b"@MISSION/other.dat")[0][0] == NAK
    assert files.ask(99)[0][0] == NAK
    assert files.ask(15, offset=0)[0][0] == NAK, "no file is open"


def test_a_question_asked_twice_is_acted_on_once(ground: Ground) -> None:
    files = Files(ground)
    files.ask(4, MISSION)
    first = files.ask(5, offset=0, size=100)
    files.sequence -= 2
    assert files.ask(5, offset=0, size=100) == first
