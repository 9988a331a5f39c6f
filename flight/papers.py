"""What people must have before a take-off: an approval that covers it, a pilot on duty with a licence, fit weather.

Everything here was told to us; the vehicle knows none of it. "Now" is the vehicle's UTC, so that a simulated flight is
judged by its simulated clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from flight.errors import FlightError
from flight.policy import Check, Demand, Grade, Policy

# China has one time zone and no summer time; a licence ends with the local day.
_LOCAL = timedelta(hours=8)
_CLASSES = ("", "micro", "light", "small", "medium", "large")
# A clock of a vehicle without GPS time starts at 1970 or at a build date: no approval is judged by it.
_LEAST_YEAR = 2020


@dataclass(frozen=True)
class Approval:
    """A flight approval: its number, and from when to when it holds (UTC)."""

    number: str
    begin_utc: datetime
    end_utc: datetime


@dataclass(frozen=True)
class Pilot:
    """A pilot as the roster has them.

    Attributes:
        name: As the plan's sorties name them.
        licence: Largest class they may fly ("light", "small", "medium"), "" for none.
        valid_until: Last day of the licence, None where nobody said.
        shifts: Working times (UTC) of the roster's day.
    """

    name: str
    licence: str = ""
    valid_until: date | None = None
    shifts: tuple[tuple[datetime, datetime], ...] = ()


class Weather(BaseModel):
    """The weather at the site, as somebody measured or forecast it; NaN for what is not known.

    Attributes:
        observed_utc: When.
        wind_mps: Mean wind at flight height.
        gust_mps: Strongest gusts.
        rain_mm_h: Rain.
        visibility_m: Visibility.
        temperature_c: Air temperature.
        source: Who says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    observed_utc: AwareDatetime
    wind_mps: float = Field(default=math.nan, ge=0, allow_inf_nan=True)
    gust_mps: float = Field(default=math.nan, ge=0, allow_inf_nan=True)
    rain_mm_h: float = Field(default=math.nan, ge=0, allow_inf_nan=True)
    visibility_m: float = Field(default=math.nan, ge=0, allow_inf_nan=True)
    temperature_c: float = math.nan
    source: str = ""


@dataclass(frozen=True)
class Papers:
    """All of it; empty where nobody said anything.

    Attributes:
        approvals: Flight approvals, None where none were given to look at.
        pilots: The roster's pilots, None where there is no roster.
        pilot: Who flies where the plan does not say.
        weather: Latest word of it.
        uas_class: The aircraft's class ("small"), "" where unknown.
    """

    approvals: tuple[Approval, ...] | None = None
    pilots: tuple[Pilot, ...] | None = None
    pilot: str = ""
    weather: Weather | None = None
    uas_class: str = ""


def read_weather(path: Path) -> Weather:
    """Reads a weather report (JSON, the fields of `Weather`).

    Raises:
        FlightError: No such file, or a field is wrong; the message names it.
    """
    if not path.is_file():
        raise FlightError(f"no weather report at {path}: give JSON with observed_utc, wind_mps, gust_mps, …")
    try:
        return Weather.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise FlightError(f"{path}: {where}: {first['msg']}; correct the weather report") from error


def _grade(demand: Demand, good: bool) -> Grade:
    if good:
        return "pass"
    return "fail" if demand == "required" else "warn"


def _missing(name: str, demand: Demand, detail: str) -> Check:
    return Check(name, _grade(demand, demand == "ignored"), detail)


def _hours(moment: datetime) -> str:
    return f"{moment + _LOCAL:%m-%d %H:%M}"


def check_approval(papers: Papers, policy: Policy, begin: datetime, duration_s: float) -> Check:
    """An approval that holds from now to the landing."""
    if papers.approvals is None:
        return _missing("approval", policy.approval, "no approvals given (--operation)")
    if begin.year < _LEAST_YEAR:
        return Check("approval", "fail", "the vehicle does not know the time: wait for its GPS")
    end = begin + timedelta(seconds=duration_s)
    for approval in papers.approvals:
        if approval.begin_utc <= begin and end <= approval.end_utc:
            return Check("approval", "pass", f"{approval.number} holds until {_hours(approval.end_utc)}")
    near = sorted(papers.approvals, key=lambda a: abs((a.begin_utc - begin).total_seconds()))[:1]
    known = "; ".join(f"{a.number} holds {_hours(a.begin_utc)} to {_hours(a.end_utc)}" for a in near) or "there is none"
    # Approvals that were given and do not cover the flight are never ignored.
    return Check("approval", "fail", f"none covers {_hours(begin)} to {_hours(end)}: {known}")


def check_pilot(papers: Papers, policy: Policy, name: str, now: datetime) -> Check:
    """The pilot stands in the roster, on duty now, with a licence for this class that has not run out."""
    who = name or papers.pilot
    if papers.pilots is None:
        told = f"{who}, no roster to look them up in (--roster)" if who else "nobody named, no roster (--roster)"
        return _missing("pilot", policy.pilot, told)
    if not who:
        return Check("pilot", "fail", "a roster was given, but neither plan nor --pilot says who flies")
    found = next((pilot for pilot in papers.pilots if pilot.name == who), None)
    if found is None:
        return Check("pilot", "fail", f"{who} is no pilot of this roster")
    if why := _unfit(found, papers.uas_class, now):
        return Check("pilot", "fail", f"{who}: {why}")
    until = next((end for begin, end in found.shifts if begin <= now <= end), None)
    if until is None:
        shifts = ", ".join(f"{_hours(a)} to {_hours(b)}" for a, b in found.shifts) or "no shift"
        return Check("pilot", "fail", f"{who} is not on duty at {_hours(now)}: {shifts}")
    return Check("pilot", "pass", f"{who}, licence {found.licence or 'not needed'}, on duty until {_hours(until)}")


def _unfit(pilot: Pilot, uas_class: str, now: datetime) -> str:
    needed = _CLASSES.index(uas_class) if uas_class in _CLASSES else 0
    if needed < _CLASSES.index("light"):
        return ""
    if pilot.licence not in _CLASSES or _CLASSES.index(pilot.licence) < needed:
        return f"licence {pilot.licence or 'none'} does not cover class {uas_class}"
    if pilot.valid_until is not None and (now + _LOCAL).date() > pilot.valid_until:
        return f"licence ran out on {pilot.valid_until}"
    return ""


def check_weather(papers: Papers, policy: Policy, now: datetime) -> Check:
    """Fresh enough, and nothing beyond the policy's limits."""
    weather = papers.weather
    if weather is None:
        return _missing("weather", policy.weather, "nobody reported it (--weather)")
    age_min = (now - weather.observed_utc).total_seconds() / 60
    if abs(age_min) > policy.weather_max_age_min:
        return Check(
            "weather", "fail", f"reported {age_min:.0f} min ago, limit {policy.weather_max_age_min:g}: ask again"
        )
    worse = [
        f"{name} {value:g} {unit} (limit {limit:g})"
        for name, value, limit, unit, over in (
            ("wind", weather.wind_mps, policy.max_wind_mps, "m/s", True),
            ("gusts", weather.gust_mps, policy.max_gust_mps, "m/s", True),
            ("rain", weather.rain_mm_h, policy.max_rain_mm_h, "mm/h", True),
            ("visibility", weather.visibility_m, policy.min_visibility_m, "m", False),
            ("temperature", weather.temperature_c, policy.min_temperature_c, "°C", False),
        )
        if (value > limit if over else value < limit)  # NaN is neither: what is not known is not judged
    ]
    if worse:
        return Check("weather", "fail", ", ".join(worse))
    parts = [f"wind {weather.wind_mps:g} m/s"] if weather.wind_mps == weather.wind_mps else []
    parts += [f"gusts {weather.gust_mps:g} m/s"] if weather.gust_mps == weather.gust_mps else []
    return Check("weather", "pass", ", ".join(parts) or f"reported {age_min:.0f} min ago")


def check_papers(papers: Papers, policy: Policy, pilot: str, unix_us: int, duration_s: float) -> Sequence[Check]:
    """All of what people must have.

    Args:
        papers: What they have.
        policy: What the bureau demands.
        pilot: Who flies this sortie by the plan, "" where it does not say.
        unix_us: The vehicle's UTC.
        duration_s: Planned length of the sortie.
    """
    now = datetime.fromtimestamp(unix_us * 1e-6, UTC)
    return (
        check_approval(papers, policy, now, duration_s),
        check_pilot(papers, policy, pilot, now),
        check_weather(papers, policy, now),
    )
