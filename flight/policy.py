"""A bureau's demands before a take-off: limits, papers, and what the vehicle's own parameters must be.

A policy file (TOML) says what differs from the defaults; `flight/policies/bureau.toml` is a strict one to begin with.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from flight.errors import FlightError

Grade = Literal["pass", "warn", "fail"]
Demand = Literal["required", "wanted", "ignored"]
STRICT = Path(__file__).parent / "policies" / "bureau.toml"


@dataclass(frozen=True)
class Check:
    """One check's outcome."""

    name: str
    grade: Grade
    detail: str


@dataclass(frozen=True)
class ParameterRule:
    """What one parameter of the vehicle must be, in the units of `flight.params`.

    Attributes:
        name: Its name; renamed ones are found under either (`RTL_ALT_M`).
        least: Smallest value that is let pass.
        most: Largest.
        one_of: The only values let pass; empty for any.
        grade: What a miss is.
    """

    name: str
    least: float = -math.inf
    most: float = math.inf
    one_of: tuple[float, ...] = ()
    grade: Grade = "fail"

    def wanted(self) -> str:
        """The demand in words."""
        if self.one_of:
            return " or ".join(f"{value:g}" for value in self.one_of)
        parts = [f"at least {self.least:g}"] if self.least > -math.inf else []
        parts += [f"at most {self.most:g}"] if self.most < math.inf else []
        return " and ".join(parts) or "any value"

    def nearest(self, value: float) -> float:
        """The value let pass that is nearest to what the vehicle has: as little is changed as can be."""
        if self.one_of:
            return min(self.one_of, key=lambda one: abs(one - value))
        return min(max(value, self.least), self.most)

    def judge(self, value: float | None) -> Check:
        """The check of a value read; None is a vehicle without that parameter."""
        name = f"parameter {self.name}"
        if value is None:
            return Check(name, self.grade, f"the vehicle does not have it; wanted {self.wanted()}")
        same = any(math.isclose(value, one, rel_tol=1e-5, abs_tol=1e-6) for one in self.one_of)
        if (same or not self.one_of) and self.least - 1e-6 <= value <= self.most + 1e-6:
            return Check(name, "pass", f"{value:g}")
        return Check(name, self.grade, f"{value:g}, wanted {self.wanted()}: set it on the vehicle")


# Without a policy file a miss is told and flown with: an ArduCopter out of the box has these.
DEFAULT_PARAMETERS = (
    ParameterRule("FS_THR_ENABLE", least=1, grade="warn"),  # the remote control's loss is answered
    ParameterRule("FS_EKF_ACTION", least=1, grade="warn"),  # and the estimator's
    ParameterRule("FS_CRASH_CHECK", one_of=(1.0,), grade="warn"),
    ParameterRule("RTL_ALT_M", least=10, most=120, grade="warn"),
)


@dataclass(frozen=True)
class Policy:
    """What a bureau demands; everything defaults to what the simulator and a bare ArduCopter meet.

    Attributes:
        battery_wh: Energy of the aircraft's full battery; NaN where unknown (then only the share is looked at).
        max_home_offset_m: How far the vehicle may stand from the sortie's home.
        max_height_m: Cap of every sortie's ceiling, above home; NaN for none.
        max_wind_mps: Wind above which no sortie starts; NaN for no limit.
        max_gust_mps: Gusts, likewise.
        max_rain_mm_h: Rain, likewise.
        min_visibility_m: Visibility below which none starts.
        min_temperature_c: Temperature below which none starts.
        weather_max_age_min: How old a weather report may be.
        approval: Whether a flight approval must be shown.
        pilot: Whether the pilot must be found in a roster.
        weather: Whether there must be a weather report.
        parameters: What the vehicle's parameters must be.
        cruise_mps: Speed of the way home.
        max_airspeed_mps: What it can hold against the wind.
    """

    battery_wh: float = math.nan
    max_home_offset_m: float = 30.0
    max_height_m: float = math.nan
    max_wind_mps: float = math.nan
    max_gust_mps: float = math.nan
    max_rain_mm_h: float = math.nan
    min_visibility_m: float = math.nan
    min_temperature_c: float = math.nan
    weather_max_age_min: float = 60.0
    approval: Demand = "ignored"
    pilot: Demand = "ignored"
    weather: Demand = "ignored"
    parameters: tuple[ParameterRule, ...] = field(default=DEFAULT_PARAMETERS)
    cruise_mps: float = 10.0
    max_airspeed_mps: float = 15.0


_LIMITS = (
    "max_home_offset_m", "max_height_m", "max_wind_mps", "max_gust_mps", "max_rain_mm_h", "min_visibility_m",
    "min_temperature_c", "weather_max_age_min",
)  # fmt: skip
_PAPERS = ("approval", "pilot", "weather")
_RULE_KEYS = ("at_least", "at_most", "one_of", "equals", "grade")


def read_policy(path: Path, base: Policy | None = None) -> Policy:
    """Reads a policy file over a base (the aircraft's); parameters named in it replace the default demands.

    Raises:
        FlightError: No such file, no TOML, or a table, name or value that is not known; the message names it.
    """
    if not path.is_file():
        raise FlightError(f"no policy at {path}: give a TOML file such as {STRICT.name} (see docs/flight.md)")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FlightError(f"{path} is no TOML: {error}; correct it") from error
    unknown = sorted(set(data) - {"limits", "papers", "parameters"})
    if unknown:
        raise FlightError(f"{path}: [{unknown[0]}]: expected the tables limits, papers and parameters")
    changes: dict[str, Any] = {name: _number(path, name, value) for name, value in _table(path, data, "limits")}
    changes |= {name: _demand(path, name, value) for name, value in _table(path, data, "papers")}
    if "parameters" in data:
        changes["parameters"] = tuple(_rule(path, name, value) for name, value in _table(path, data, "parameters"))
    return replace(base or Policy(), **changes)


def _table(path: Path, data: dict[str, Any], name: str) -> list[tuple[str, Any]]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise FlightError(f"{path}: {name}: expected a table [{name}]")
    return list(table.items())


def _number(path: Path, name: str, value: Any) -> float:
    if name not in _LIMITS:
        raise FlightError(f"{path}: {name}: expected one of {', '.join(_LIMITS)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FlightError(f"{path}: {name} = {value!r}: expected a number")
    return float(value)


def _demand(path: Path, name: str, value: Any) -> str:
    if name not in _PAPERS or value not in get_args(Demand):
        raise FlightError(
            f"{path}: {name} = {value!r}: expected {', '.join(_PAPERS)}, each one of {', '.join(get_args(Demand))}"
        )
    return str(value)


def _rule(path: Path, name: str, value: Any) -> ParameterRule:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = {"equals": value}
    if not isinstance(value, dict) or not value or set(value) - set(_RULE_KEYS):
        raise FlightError(f"{path}: {name} = {value!r}: expected a number, or {{ {', '.join(_RULE_KEYS)} }}")
    grade = value.get("grade", "fail")
    if grade not in ("warn", "fail"):
        raise FlightError(f"{path}: {name}: grade {grade!r}: expected warn or fail")
    one_of = value.get("one_of", [value["equals"]] if "equals" in value else [])
    numbers = [value.get("at_least", -math.inf), value.get("at_most", math.inf), *one_of]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise FlightError(f"{path}: {name} = {value!r}: expected numbers")
    least, most, *only = map(float, numbers)
    return ParameterRule(name, least, most, tuple(only), grade)


assert {*_LIMITS, *_PAPERS} <= {entry.name for entry in fields(Policy)}
