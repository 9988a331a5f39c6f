"""Aircraft profiles: what a type weighs, how it flies, what it photographs with. Data with sources: `profiles/`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from missions.camera import Camera
from missions.errors import MissionsError

_FOLDER = Path(__file__).parent / "profiles"

UasClass = Literal["micro", "light", "small", "medium", "large"]


class DjiNumbers(BaseModel):
    """Values that a WPML file names the aircraft, its payload and the lens it shoots by (Cloud API, WPML tables)."""

    model_config = ConfigDict(frozen=True)

    drone: int
    drone_sub: int = 0
    payload: int
    payload_sub: int = 0
    lens: Literal["wide", "visable"] = "visable"


class AircraftProfile(BaseModel):
    """One aircraft type with its mapping camera.

    Attributes:
        name: Name on the command line (`mavic3e`).
        title: Name for people.
        camera: Camera as geometry.
        uas_class: Class of art. 62 of the interim regulations, by masses.
        empty_mass_kg: Mass with battery, without payload.
        max_takeoff_mass_kg: The maker's limit.
        flying_mass_kg: Mass as it is flown, which a climb lifts; None: the maker's limit.
        cruise_mps: Speed over ground along lanes.
        max_airspeed_mps: What it can hold against wind on a mission; the ground speed into wind is capped by it.
        climb_mps: Vertical speed up on a mission.
        descent_mps: Vertical speed down on a mission.
        landing_s: What the last metres and the touch-down take beyond `descent_mps`.
        accel_mps2: Horizontal acceleration on a mission.
        corner_mps: Speed kept through a right-angled corner.
        hover_w: Power in hover.
        forward_mps: Airspeed at which `forward_w` holds.
        forward_w: Power in level flight at `forward_mps`.
        battery_wh: Energy of a new, full set of batteries.
        reserve: Share of the battery not planned with.
        max_wind_mps: Wind above which no flight is planned.
        max_waypoints: Mission items a controller takes without trouble.
        min_photo_interval_s: Fastest sustained shooting.
        charge_minutes: One battery set, empty to full.
        terrain_following: Whether the aircraft can follow a surface by itself, by what is published.
        dji: WPML numbers, or None where the aircraft does not fly WPML files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    camera: Camera
    uas_class: UasClass
    empty_mass_kg: float = Field(gt=0)
    max_takeoff_mass_kg: float = Field(gt=0)
    flying_mass_kg: float | None = Field(default=None, gt=0)
    cruise_mps: float = Field(gt=0)
    max_airspeed_mps: float = Field(gt=0)
    climb_mps: float = Field(gt=0)
    descent_mps: float = Field(gt=0)
    landing_s: float = Field(default=8.0, ge=0)
    accel_mps2: float = Field(gt=0)
    corner_mps: float = Field(gt=0)
    hover_w: float = Field(gt=0)
    forward_mps: float = Field(gt=0)
    forward_w: float = Field(gt=0)
    battery_wh: float = Field(gt=0)
    reserve: float = Field(ge=0, lt=1)
    max_wind_mps: float = Field(gt=0)
    max_waypoints: int = Field(gt=10)
    min_photo_interval_s: float = Field(ge=0)
    charge_minutes: float = Field(gt=0)
    terrain_following: bool = False
    dji: DjiNumbers | None = None


def profile_names() -> tuple[str, ...]:
    """Names that `load_profile` knows, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def load_profile(name: str) -> AircraftProfile:
    """Reads a profile by its name.

    Raises:
        MissionsError: No profile of that name, or its data file is broken.
    """
    path = _FOLDER / f"{name}.toml"
    if name not in profile_names():
        raise MissionsError(f"no aircraft profile {name!r}: choose one of {', '.join(profile_names())}")
    try:
        return AircraftProfile.model_validate({"name": name, **tomllib.loads(path.read_text("utf-8"))})
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise MissionsError(f"profile {path.name} is broken: {error}; restore it from the release") from error
