"""One press of a simulated shutter: where the camera truly was, and what the aircraft believed.

The vehicle writes exposures, the photographer renders them: frames show the true place, EXIF says the believed one.
Angles in degrees: yaw clockwise from north, pitch -90 nadir, roll right side down. Positions WGS84.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Exposure(BaseModel):
    """A photograph not yet rendered; `file` is the name the camera gives it (DJI_0001.JPG)."""

    model_config = ConfigDict(frozen=True)

    index: int
    file: str
    time_utc: datetime
    system_id: int
    true_lon: float
    true_lat: float
    true_alt_amsl_m: float
    camera_roll_deg: float
    camera_pitch_deg: float
    camera_yaw_deg: float
    lon: float
    lat: float
    alt_amsl_m: float
    height_rel_m: float
    speed_north_mps: float = 0.0
    speed_east_mps: float = 0.0
    fix: str = "3d"
    std_h_m: float = 1.5
    std_v_m: float = 3.0


COLUMNS = tuple(Exposure.model_fields)


def append_exposure(path: Path, exposure: Exposure) -> None:
    """Appends one line to a card's log, with a header when it is new."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        row = exposure.model_dump()
        row["time_utc"] = exposure.time_utc.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        writer.writerow([row[name] for name in COLUMNS])


def read_exposures(path: Path) -> list[Exposure]:
    """Reads a card's log in order; a torn last line (kill -9) is left out."""
    with path.open(encoding="utf-8", newline="") as file:
        rows: Iterable[dict[str, str]] = list(csv.DictReader(file))
    return [Exposure.model_validate(row) for row in rows if all(row.get(name) for name in COLUMNS)]
