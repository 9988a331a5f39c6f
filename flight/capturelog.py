"""The capture log: one line a photograph, where the camera was. Owner of `<sortie>.captures.csv`; imagery reads it.

Positions in WGS84 degrees; `alt_amsl_m` above mean sea level, `height_rel_m` above take-off. Camera angles in
degrees, yaw clockwise from north, pitch -90 is nadir.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flight.errors import FlightError

Fix = Literal["none", "3d", "rtk"]


class Capture(BaseModel):
    """One photograph as the aircraft reported it; `file` is its name once known, else empty."""

    model_config = ConfigDict(frozen=True)

    time_utc: datetime
    sortie_id: str
    aircraft_id: str
    index: int
    file: str = ""
    lon: float
    lat: float
    alt_amsl_m: float
    height_rel_m: float
    camera_roll_deg: float
    camera_pitch_deg: float
    camera_yaw_deg: float
    fix: Fix
    std_h_m: float
    std_v_m: float


COLUMNS = tuple(Capture.model_fields)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def format_captures(captures: Iterable[Capture]) -> str:
    """The whole log as CSV text with a header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(capture, name)) for name in COLUMNS] for capture in captures)
    return out.getvalue()


def write_captures(path: Path, captures: Iterable[Capture]) -> None:
    """Writes the log to a temporary name, fsyncs and renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(format_captures(captures))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_captures(path: Path) -> list[Capture]:
    """Reads a capture log in file order.

    Raises:
        FlightError: Missing file, missing column or an unreadable value, with file and line.
    """
    if not path.is_file():
        raise FlightError(f"no capture log at {path}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise FlightError(f"{path} lacks the columns {', '.join(missing)}: expected {', '.join(COLUMNS)}")
        captures = []
        for row in reader:
            try:
                captures.append(Capture.model_validate({name: row[name] for name in COLUMNS}))
            except ValidationError as error:
                first = error.errors()[0]
                raise FlightError(f"{path} line {reader.line_num}: {first['loc'][0]}: {first['msg']}") from error
    return captures
