"""QGC WPL 110: the tab-separated mission file of ArduPilot's ground stations. No fence, no rally points.

Format: first line `QGC WPL 110`; then index, current, frame, command, p1..p4, latitude, longitude, altitude,
autocontinue (https://mavlink.io/en/file_formats/, "Plain-Text File Format").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from missions.errors import MissionsError
from missions.files import write_text_atomically
from missions.plan import MissionItem

_HEADER = "QGC WPL 110"
_FIELDS = 12


def _number(value: float) -> str:
    # The format has no word for "unset"; ArduPilot reads 0 as its default.
    return f"{0.0 if math.isnan(value) else value:.8f}"


def waypoints_text(items: Sequence[MissionItem]) -> str:
    """The file's text for mission items; item 0 is home."""
    lines = [_HEADER]
    for index, item in enumerate(items):
        fields = [str(index), str(int(index == 0)), str(item.frame), str(item.command)]
        fields += [_number(value) for value in item.params]
        fields += [f"{item.lat:.8f}", f"{item.lon:.8f}", f"{item.alt_m:.6f}", str(int(item.autocontinue))]
        lines.append("\t".join(fields))
    return "\n".join(lines) + "\n"


def write_waypoints(items: Sequence[MissionItem], path: Path) -> None:
    """Writes a WPL 110 file, whole or not at all."""
    write_text_atomically(path, waypoints_text(items))


def _parse_line(line: str, where: str) -> MissionItem:
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) != _FIELDS:
        raise MissionsError(f"{where}: expected {_FIELDS} fields, found {len(fields)}; export the mission again")
    try:
        numbers = [float(field) for field in fields]
    except ValueError as error:
        raise MissionsError(f"{where}: {error}; export the mission again") from error
    if not (abs(numbers[8]) <= 90 and abs(numbers[9]) <= 180):
        raise MissionsError(
            f"{where}: latitude {fields[8]}, longitude {fields[9]} is nowhere on Earth; export the mission again"
        )
    return MissionItem(
        command=int(numbers[3]),
        frame=int(numbers[2]),
        params=(numbers[4], numbers[5], numbers[6], numbers[7]),
        lat=numbers[8],
        lon=numbers[9],
        alt_m=numbers[10],
        autocontinue=bool(numbers[11]),
    )


def read_waypoints(path: Path) -> list[MissionItem]:
    """Reads a WPL 110 file; item 0 is home.

    Raises:
        MissionsError: No such file, another format, or a broken line; the message names the line.
    """
    if not path.is_file():
        raise MissionsError(f"no mission file at {path}: give a .waypoints file of a plan")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise MissionsError(f"{path} is not a text file: expected {_HEADER!r} in its first line") from error
    if not lines or not lines[0].startswith(_HEADER):
        raise MissionsError(f"{path} is not a mission file: expected {_HEADER!r} in its first line")
    rows = [(number, line.strip()) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    return [_parse_line(line, f"{path} line {number}") for number, line in rows]
