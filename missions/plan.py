"""The plan: what passes from `missions` to everyone. Owner of `plan.json`; others import the reader.

Positions are (longitude, latitude) in WGS84 degrees; `alt_amsl_m` is above mean sea level.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from missions.camera import Camera
from missions.errors import MissionsError
from missions.files import write_text_atomically

SCHEMA_VERSION: Literal[1] = 1

LonLat = tuple[float, float]
LonLatAlt = tuple[float, float, float]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class MissionItem(_Contract):
    """One MAVLink mission item in plain units; item 0 of an ArduPilot mission is home and is not flown.

    Attributes:
        command: MAV_CMD number (16 waypoint, 22 take-off, 20 return, 206 trigger distance, 178 speed, ...).
        frame: MAV_FRAME number (0 global AMSL, 3 global relative to home, 10 terrain, 2 mission command).
        params: Parameters 1..4 of the command; NaN where the command leaves one unset.
        lon: Degrees, 0 where the command has no place.
        lat: Degrees.
        alt_m: Metres in `frame`.
        autocontinue: Whether the vehicle goes on to the next item by itself.
    """

    command: int
    frame: int = 3
    params: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    lon: float = 0.0
    lat: float = 0.0
    alt_m: float = 0.0
    autocontinue: bool = True


class PlanCamera(Camera):
    """The profile's camera together with the ground sample distance it is flown for."""

    gsd_m: float


class SortieFiles(_Contract):
    """Files of one sortie, relative to the folder of `plan.json`; `kmz` for DJI profiles only."""

    plan: str
    waypoints: str
    kmz: str | None = None


class Sortie(_Contract):
    """One battery, one take-off, one landing.

    Attributes:
        id: `<patrol>/S01`, in plan order.
        home: Take-off point (lon, lat, alt_amsl_m).
        crew: Who flies it, by the roster's or our own number ("C01").
        start_utc: Planned take-off.
        distance_m: Whole flight, from take-off to landing.
        duration_s: The same, in time.
        energy_wh: The same, in energy drawn from the battery.
        photos: Photographs expected.
        files: What was exported for it.
    """

    id: str
    home: LonLatAlt
    crew: str
    start_utc: datetime
    distance_m: float
    duration_s: float
    energy_wh: float
    photos: int = 0
    files: SortieFiles

    @property
    def short_id(self) -> str:
        """The part after the patrol, `S01`: names files and folders."""
        return self.id.rsplit("/", 1)[-1]


class Coverage(_Contract):
    """Shares (0..1) of the area seen in at least one and at least two strips."""

    area_m2: float
    seen_once: float
    seen_twice: float


class Refusal(_Contract):
    """A part of the request that was left out: what, why, and what to do."""

    what: str
    why: str
    remedy: str


class Plan(_Contract):
    """A patrol's plan (`plan.json`)."""

    schema_version: Literal[1] = SCHEMA_VERSION
    plan_id: str
    created_utc: datetime
    aircraft: str
    camera: PlanCamera
    front_overlap: float
    side_overlap: float
    height_agl_m: float
    lane_m: float
    sorties: tuple[Sortie, ...]
    coverage: Coverage
    refused: tuple[Refusal, ...] = ()


def read_plan(path: Path) -> Plan:
    """Reads `plan.json`, or the one in a folder.

    Raises:
        MissionsError: No such file, or it is not a plan; the message names the field.
    """
    file = path / "plan.json" if path.is_dir() else path
    if not file.is_file():
        raise MissionsError(f"no plan at {file}: give the folder that `yunxun plan --out` wrote")
    try:
        return Plan.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MissionsError(
            f"{file} is not a plan of schema {SCHEMA_VERSION}: {where}: {first['msg']}; plan again"
        ) from error


def write_plan(plan: Plan, path: Path) -> None:
    """Writes `plan.json` so that a reader sees the old file or the whole new one."""
    write_text_atomically(path, plan.model_dump_json(indent=1))
