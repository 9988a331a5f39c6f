"""The brigade: people with licences and shifts, aircraft with batteries; and the crews they make on a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from missions.aircraft import AircraftProfile
from missions.errors import MissionsError

# Rosters give wall-clock times; China has one time zone and no summer time.
LOCAL = timedelta(hours=8)
# A shift may run past midnight: from the evening into the morning.
_EVENING, _MORNING = time(16), time(9)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Person(_Part):
    """One of the brigade; `licence` names the largest class flown, None for who does not fly."""

    person: str
    role: Literal["pilot", "observer"]
    licence: Literal["light", "small", "medium"] | None = None
    valid_until: date | None = None
    shift: tuple[str, ...] = ("08:00-12:00", "14:00-18:00")
    trained_for_controlled_airspace: bool = False

    @field_validator("valid_until", mode="before")
    @classmethod
    def _loose_date(cls, value: object) -> object:
        # Rosters write 2027-2-15 as often as 2027-02-15.
        parts = value.split("-") if isinstance(value, str) else []
        return date(*map(int, parts)) if len(parts) == 3 and all(part.isdigit() for part in parts) else value


class Machine(_Part):
    """One aircraft with its batteries.

    Attributes:
        aircraft: Roster name.
        model: Profile name.
        registration: Real-name registration number.
        batteries: Full sets at the start of the shift.
        battery_health: Share of the nominal capacity they hold.
        chargers: Sets that the vehicle charges at the same time.
    """

    aircraft: str
    model: str
    registration: str = ""
    batteries: int = Field(default=4, ge=1)
    battery_health: float = Field(default=1.0, gt=0.3, le=1.0)
    chargers: int = Field(default=2, ge=1)


class Wind(_Part):
    """Forecast wind at flight height."""

    speed_mps: float = Field(ge=0)
    from_deg: float = 0.0


class Roster(_Part):
    """A brigade on one day."""

    date: date
    people: tuple[Person, ...]
    aircraft: tuple[Machine, ...]
    vehicles: int = Field(ge=0)
    drive_speed_mps: float = Field(default=7.5, gt=0)
    swap_s: float = Field(default=240.0, ge=0)
    line_of_sight_m: float = Field(default=1500.0, gt=50)
    wind: Wind | None = None

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        # Nobody flies with two crews at the same time, and no aircraft.
        for names in ([one.person for one in self.people], [one.aircraft for one in self.aircraft]):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{', '.join(twice)} is listed twice")
        return self


@dataclass(frozen=True)
class Crew:
    """Who flies what, when.

    Attributes:
        name: `C01` and on.
        pilot: Roster name.
        observer: Roster name, or None.
        machine: The aircraft.
        shifts: Working times (UTC), in order.
        controlled: Whether the pilot is trained for controlled airspace.
    """

    name: str
    pilot: str
    observer: str | None
    machine: Machine
    shifts: tuple[tuple[datetime, datetime], ...]
    controlled: bool


def read_roster(path: Path) -> Roster:
    """Reads a roster (JSON).

    Raises:
        MissionsError: No such file, or a field is missing or wrong; the message names it.
    """
    if not path.is_file():
        raise MissionsError(f"no roster at {path}: give a JSON file of people and aircraft")
    try:
        return Roster.model_validate(from_json(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise MissionsError(f"{path}: {where}: {first['msg']}; correct the roster") from error
    except ValueError as error:
        raise MissionsError(f"{path} is not JSON: {error}; correct the roster") from error


def _clock(text: str, path: str) -> tuple[time, time]:
    try:
        begin, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
    except ValueError as error:
        raise MissionsError(f"roster: shift {text!r} of {path}: expected a time such as 08:00-12:00") from error
    if end <= begin and not (begin >= _EVENING and end <= _MORNING):
        raise MissionsError(f"roster: shift {text!r} of {path} ends before it begins: correct it")
    return begin, end


def shifts_of(person: Person, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """Working times of a person on a day, in UTC."""
    clocks = sorted(_clock(text, person.person) for text in person.shift)
    midnight = datetime.combine(day, time(), UTC) - LOCAL

    def at(clock: time) -> datetime:
        return midnight + timedelta(hours=clock.hour, minutes=clock.minute)

    return tuple((at(begin), at(end) + timedelta(days=int(end <= begin))) for begin, end in clocks)


_RANK = {None: 0, "light": 1, "small": 2, "medium": 3}
_NEEDED = {"micro": 0, "light": 1, "small": 2, "medium": 3, "large": 4}


def _may_fly(person: Person, profile: AircraftProfile, day: date) -> bool:
    valid = person.valid_until is None or person.valid_until >= day
    return person.role == "pilot" and valid and _RANK[person.licence] >= _NEEDED[profile.uas_class]


def crews_of(roster: Roster, profile: AircraftProfile) -> tuple[Crew, ...]:
    """Crews for one aircraft type: as many as there are valid pilots, aircraft and vehicles.

    The best batteries go out first; observers join as long as there are any.

    Raises:
        MissionsError: No pilot may fly today, or there is no such aircraft or vehicle.
    """
    pilots = [person for person in roster.people if _may_fly(person, profile, roster.date)]
    observers = [person for person in roster.people if person.role == "observer"]
    machines = sorted(
        (machine for machine in roster.aircraft if machine.model == profile.name), key=lambda m: -m.battery_health
    )
    if not pilots:
        raise MissionsError(
            f"roster: nobody may fly {profile.title} on {roster.date}: renew a licence of class {profile.uas_class} "
            "or better, or choose another day"
        )
    if not machines or not roster.vehicles:
        what = f"no {profile.name}" if not machines else "no vehicle"
        raise MissionsError(f"roster: {what} on {roster.date}: add one, or choose another --aircraft")
    count = min(len(pilots), len(machines), roster.vehicles)
    chosen = sorted(pilots, key=lambda person: not person.trained_for_controlled_airspace)[:count]
    return tuple(
        Crew(
            f"C{number + 1:02d}",
            pilot.person,
            observers[number].person if number < len(observers) else None,
            machines[number],
            shifts_of(pilot, roster.date),
            pilot.trained_for_controlled_airspace,
        )
        for number, pilot in enumerate(chosen)
    )
