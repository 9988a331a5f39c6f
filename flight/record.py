"""What is kept of a sortie: every frame in a tlog, every command with who gave it and why.

A tlog (8 bytes big-endian µs, then the frame) is what pymavlink and MAVProxy read. It is written through to the
operating system twice a second, so that a kill -9 of ours loses less than one; a power cut may lose what the disk
had not yet taken.
"""

from __future__ import annotations

import json
import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from flight.vehicle import CommandRecord, Vehicle
from flight.wire import Packet

FLUSH_EVERY_S = 0.5
_stamp = struct.Struct(">Q").pack


class TlogWriter:
    """Appends frames with times that never go back."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.frames = 0
        self._file = path.open("wb", buffering=0)
        self._pending = bytearray()
        self._last_us = 0

    def add(self, time_us: int, frame: bytes) -> None:
        """Keeps one frame; `flush` writes it."""
        self._last_us = max(self._last_us, time_us)
        self._pending += _stamp(self._last_us)
        self._pending += frame
        self.frames += 1

    def flush(self) -> None:
        """Hands what is pending to the operating system."""
        if self._pending:
            self._file.write(self._pending)
            self._pending.clear()

    def close(self) -> None:
        """Flushes, syncs to the disk and closes."""
        self.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class CommandLine(NamedTuple):
    """A line of the command record."""

    time_utc: str
    system_id: int
    operator: str
    reason: str
    what: str
    command: int
    params: list[float]
    result: str


class Recorder:
    """The tlog and the command record of one sortie on one vehicle."""

    def __init__(self, vehicle: Vehicle, tlog: Path, commands: Path, operator: str) -> None:
        self._vehicle = vehicle
        self._operator = operator
        self.tlog = TlogWriter(tlog)
        self._commands = commands.open("a", encoding="utf-8", buffering=1)
        vehicle.listeners.append(self._packet)
        vehicle.sent_listeners.append(self._sent)
        vehicle.command_listeners.append(self._command)

    def _packet(self, packet: Packet, now_s: float) -> None:
        self.tlog.add(self._vehicle.unix_us(), packet.frame)

    def _sent(self, frame: bytes) -> None:
        self.tlog.add(self._vehicle.unix_us(), frame)

    def _command(self, record: CommandRecord) -> None:
        time_utc = datetime.fromtimestamp(self._vehicle.unix_us() * 1e-6, UTC).isoformat(timespec="milliseconds")
        line = CommandLine(
            time_utc.replace("+00:00", "Z"), self._vehicle.system_id, record.by or self._operator, record.reason,
            record.what, record.number, [p for p in record.params if p == p], record.result,
        )  # fmt: skip
        self._commands.write(json.dumps(line._asdict(), ensure_ascii=False) + "\n")

    def flush(self) -> None:
        """Call at least every `FLUSH_EVERY_S`."""
        self.tlog.flush()

    def close(self) -> None:
        """Stops listening and closes the files."""
        self._vehicle.listeners.remove(self._packet)
        self._vehicle.sent_listeners.remove(self._sent)
        self._vehicle.command_listeners.remove(self._command)
        self.tlog.close()
        self._commands.close()
