"""Looking at a recorded flight: a summary for people, and a plot of where it was, how high and how it fared."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flight.capturelog import Capture, read_captures
from flight.errors import FlightError
from flight.orders import distance_m
from flight.state import VehicleState
from flight.wire import Decoder, Packet

_STAMP = struct.Struct(">Q")
_POSITION = mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT
_GROUND_SYSTEM = 255


def read_tlog(path: Path) -> Iterator[tuple[int, Packet]]:
    """Frames of a tlog as (µs, packet), ours and other programs'; a torn end is left out.

    Raises:
        FlightError: No such file.
    """
    if not path.is_file():
        raise FlightError(f"no telemetry log at {path}: give a flight's folder or its .tlog")
    data = path.read_bytes()
    at = 0
    decoder = Decoder()
    while at + 9 < len(data):
        length = _frame_length(data, at + 8)
        if length == 0:
            at += 1  # damaged: find the next frame that decodes
            continue
        packets = decoder.feed(data[at + 8 : at + 8 + length])
        if not packets:
            decoder = Decoder()
            at += 1
            continue
        yield _STAMP.unpack_from(data, at)[0], packets[0]
        at += 8 + length


def _frame_length(data: bytes, at: int) -> int:
    if at + 3 > len(data):
        return 0
    if data[at] == 0xFD:
        return 12 + data[at + 1] + (13 if data[at + 2] & 1 else 0)
    return 8 + data[at + 1] if data[at] == 0xFE else 0


@dataclass
class Track:
    """A flight's course, one entry a position.

    Attributes:
        seconds: Since the log's first position.
        lon: Degrees.
        lat: Degrees.
        height_rel_m: Above home.
        speed_mps: Over ground.
        battery: Share remaining, NaN before the first word of it.
        modes: (seconds, mode) at each change.
        texts: (seconds, severity, text).
    """

    begun_utc: datetime | None = None
    seconds: list[float] = field(default_factory=list)
    lon: list[float] = field(default_factory=list)
    lat: list[float] = field(default_factory=list)
    height_rel_m: list[float] = field(default_factory=list)
    speed_mps: list[float] = field(default_factory=list)
    battery: list[float] = field(default_factory=list)
    modes: list[tuple[float, str]] = field(default_factory=list)
    texts: list[tuple[float, int, str]] = field(default_factory=list)
    messages: Counter[int] = field(default_factory=Counter)

    @property
    def distance_m(self) -> float:
        """Way over ground."""
        places = list(zip(self.lon, self.lat, strict=True))
        return sum(distance_m(a, b) for a, b in itertools.pairwise(places))


def read_track(path: Path) -> Track:
    """A tlog's track.

    Raises:
        FlightError: No such file, or no position in it.
    """
    track, state = Track(), VehicleState()
    begun_us = 0
    for time_us, packet in read_tlog(path):
        if packet.system == _GROUND_SYSTEM:
            continue
        begun_us = begun_us or time_us
        seconds = (time_us - begun_us) * 1e-6
        mode = state.mode
        state.update(packet, seconds)
        track.messages[packet.msg_id] += 1
        if state.mode != mode:
            track.modes.append((seconds, state.mode))
        if packet.msg_id == mavlink.MAVLINK_MSG_ID_STATUSTEXT:
            track.texts.append((seconds, packet.fields.severity, packet.fields.text))
        if packet.msg_id == _POSITION and state.position is not None and packet.fields.lat:
            at = state.position
            track.seconds.append(seconds)
            track.lon.append(at.lon)
            track.lat.append(at.lat)
            track.height_rel_m.append(at.height_rel_m)
            track.speed_mps.append(at.speed_mps)
            track.battery.append(state.battery.remaining if state.battery else math.nan)
    if not track.seconds:
        raise FlightError(f"{path} holds no position: is it a telemetry log of a vehicle?")
    track.begun_utc = datetime.fromtimestamp(begun_us * 1e-6, UTC)
    return track


@dataclass(frozen=True)
class LogSummary:
    """One log in a line."""

    name: str
    begun_utc: datetime
    duration_s: float
    distance_m: float
    top_height_m: float
    battery_used: float
    photos: int
    modes: tuple[str, ...]
    warnings: tuple[str, ...]
    state: str
    why: str


def tlogs_of(path: Path) -> list[Path]:
    """The telemetry logs that a path means: itself, or all in a flight's folder.

    Raises:
        FlightError: None there.
    """
    found = [path] if path.is_file() else sorted(path.glob("*.tlog"))
    if not found:
        raise FlightError(f"no .tlog in {path}: give the folder that `yunxun fly --out` wrote")
    return found


def _outcomes(folder: Path) -> dict[str, tuple[str, str]]:
    report = folder / "flight.json"
    if not report.is_file():
        return {}
    sorties = json.loads(report.read_text(encoding="utf-8"))["sorties"]
    return {sortie["sortie_id"].rsplit("/", 1)[-1]: (sortie["state"], sortie["why"]) for sortie in sorties}


def captures_beside(tlog: Path) -> list[Capture]:
    """The capture log of a tlog, empty where there is none."""
    path = tlog.parent / f"{tlog.stem.split('.')[0]}.captures.csv"
    return read_captures(path) if path.is_file() else []


def summarise(path: Path) -> list[LogSummary]:
    """What a folder's logs hold, one entry a log.

    Raises:
        FlightError: No log, or one without positions.
    """
    lines = []
    for tlog in tlogs_of(path):
        track = read_track(tlog)
        known = [share for share in track.battery if share == share]
        state, why = _outcomes(tlog.parent).get(tlog.stem.split(".")[0], ("", ""))
        assert track.begun_utc is not None
        lines.append(
            LogSummary(
                tlog.stem, track.begun_utc, track.seconds[-1], track.distance_m, max(track.height_rel_m),
                known[0] - known[-1] if known else math.nan, len(captures_beside(tlog)),
                tuple(mode for _, mode in track.modes),
                tuple(text for _, severity, text in track.texts if severity <= 4), state, why,
            )
        )  # fmt: skip
    return lines
