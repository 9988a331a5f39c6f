"""MAVLink FTP, as far as plans need it: whole small files read and written, several questions under way at once.

Source: mavlink.io/en/services/ftp.html; GCS_FTP.cpp of ArduPilot, which keeps five questions and one session, answers
in order and repeats its last answer. Reads and writes name their place in the file, so that asking again does no harm.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.clock import now_s
from flight.errors import TransferError
from flight.vehicle import Inbox, Vehicle

_MESSAGE = mavlink.MAVLINK_MSG_ID_FILE_TRANSFER_PROTOCOL
_HEAD = struct.Struct("<HBBBBBBI")
PIECE = 239
_TERMINATE, _RESET, _OPEN_READ, _READ, _CREATE, _WRITE = 1, 2, 4, 5, 6, 7
_ACK, _NAK, _END = 128, 129, 6
_LARGEST = 1 << 20
_REASONS = {
    1: "it failed", 2: "it failed", 3: "a wrong size", 4: "no such session", 5: "no free session", 6: "end of file",
    7: "it does not know the question", 8: "there is one already", 9: "it is protected", 10: "there is no such file",
}  # fmt: skip
# Questions under way: ArduPilot keeps five, and one may be a double of ours.
WINDOW = 4
_STALL_S = 8.0
_LEAST_TRIES = 12


class _Reply(NamedTuple):
    session: int
    data: bytes


class _Question(NamedTuple):
    opcode: int
    session: int
    offset: int
    size: int
    data: bytes


class FtpFiles:
    """A vehicle's files; use as a context manager."""

    def __init__(self, vehicle: Vehicle) -> None:
        self._vehicle = vehicle
        self._inbox: Inbox = vehicle.inbox(_MESSAGE)
        self._sequence = 0

    def __enter__(self) -> FtpFiles:
        self._inbox.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._inbox.__exit__(kind, error, at)

    async def read(self, name: str, progress: Callable[[int], None] = lambda done: None) -> bytes:
        """A whole file.

        Raises:
            TransferError: Refused, or no progress.
        """
        await self._ask(_Question(_RESET, 0, 0, 0, b""))
        opened = await self._ask(_Question(_OPEN_READ, 0, 0, 0, name.encode("ascii")))
        if len(opened.data) < 4:
            raise TransferError(f"{self._vehicle.name}: {name} was opened without a size")
        (size,) = struct.unpack_from("<I", opened.data)
        # ArduPilot says 1 MB of a plan's file: it makes it while it is read, and the end is where a piece is short.
        pieces: dict[int, bytes] = {}
        ends = [min(size, _LARGEST)]

        def questions() -> Iterator[_Question]:
            at = 0
            while at < ends[0]:
                yield _Question(_READ, opened.session, at, PIECE, b"")
                at += PIECE

        def take(question: _Question, reply: _Reply) -> None:
            pieces[question.offset] = reply.data
            if len(reply.data) < PIECE:
                ends[0] = min(ends[0], question.offset + len(reply.data))
            progress(question.offset)

        await self._ask_all(questions(), take)
        await self._ask(_Question(_TERMINATE, opened.session, 0, 0, b""))
        return b"".join(pieces[at] for at in sorted(pieces) if at < ends[0])[: ends[0]]

    async def write(self, name: str, data: bytes, progress: Callable[[int], None] = lambda done: None) -> None:
        """Writes a whole file; it takes effect as it is closed.

        Raises:
            TransferError: Refused, or no progress.
        """
        await self._ask(_Question(_RESET, 0, 0, 0, b""))
        opened = await self._ask(_Question(_CREATE, 0, 0, 0, name.encode("ascii")))
        pieces = [_Question(_WRITE, opened.session, at, 0, data[at : at + PIECE]) for at in range(0, len(data), PIECE)]
        await self._ask_all(iter(pieces), lambda question, reply: progress(question.offset))
        await self._ask(_Question(_TERMINATE, opened.session, 0, 0, b""))

    async def _ask(self, question: _Question) -> _Reply:
        replies: list[_Reply] = []
        await self._ask_all(iter([question]), lambda _, reply: replies.append(reply))
        return replies[0]

    async def _ask_all(self, questions: Iterator[_Question], take: Callable[[_Question, _Reply], None]) -> None:
        """Asks all of them, some at a time, each until it is answered."""
        waiting: dict[int, tuple[_Question, float, int]] = {}  # number of the answer -> question, when, how often
        moved_s, tries = now_s(), 0
        while True:
            while len(waiting) < WINDOW and (question := next(questions, None)) is not None:
                self._sequence = (self._sequence + 2) & 0xFFFF
                waiting[(self._sequence + 1) & 0xFFFF] = self._send(question, self._sequence, 1)
            if not waiting:
                return
            due_s = min(at + self._vehicle.rtt.timeout_s(min(n - 1, 3)) for _, at, n in waiting.values())
            packet = await self._inbox.get(due_s - now_s())
            if packet is not None:
                answered = self._match(bytes(packet.fields.payload), waiting)
                if answered is not None:
                    take(*answered)
                    moved_s, tries = now_s(), 0
                continue
            tries += 1
            if tries > _LEAST_TRIES and now_s() - moved_s > _STALL_S:
                raise TransferError(f"{self._vehicle.name} answers no file question for {now_s() - moved_s:.0f} s")
            for number, (question, at_s, often) in list(waiting.items()):
                if now_s() >= at_s + self._vehicle.rtt.timeout_s(min(often - 1, 3)):
                    waiting[number] = self._send(question, (number - 1) & 0xFFFF, often + 1)

    def _send(self, question: _Question, sequence: int, often: int) -> tuple[_Question, float, int]:
        size = len(question.data) or question.size
        head = _HEAD.pack(sequence, question.session, question.opcode, size, 0, 0, 0, question.offset)
        v = self._vehicle
        v.send(
            mavlink.MAVLink_file_transfer_protocol_message(
                0, v.system_id, v.component_id, (head + question.data).ljust(251, b"\0")
            )
        )
        return question, now_s(), often

    def _match(
        self, payload: bytes, waiting: dict[int, tuple[_Question, float, int]]
    ) -> tuple[_Question, _Reply] | None:
        sequence, session, opcode, size, asked, _, _, _ = _HEAD.unpack_from(payload)
        found = waiting.get(sequence)
        if found is None or asked != found[0].opcode or opcode not in (_ACK, _NAK):
            return None  # a late double, or another station's
        question, at_s, often = waiting.pop(sequence)
        if often == 1:
            self._vehicle.rtt.add(now_s() - at_s)
        data = payload[_HEAD.size : _HEAD.size + size]
        if opcode == _NAK and question.opcode == _READ and data[:1] == bytes((_END,)):
            return question, _Reply(session, b"")
        if opcode == _NAK and question.opcode != _RESET:
            reason = _REASONS.get(data[0], f"error {data[0]}") if data else "no reason"
            raise TransferError(f"{self._vehicle.name} refused a file question ({question.opcode}): {reason}")
        return question, _Reply(session, data)
