"""Rules of the air as named checks: grade, article, and what to do.

China's interim regulations (State Council order 761), CCAR-92, Shandong's order 371, GB 46750 and GB 46761. The checks
help a crew not to forget; they are no legal advice, and they know no notice that nobody has put into the zones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Literal, Self

import shapely
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator

from missions.errors import MissionsError
from missions.follow import highest_agl_m
from missions.frame import Array
from missions.plan import LonLat
from missions.result import PlanResult
from missions.roster import LOCAL
from missions.sun import is_dark

Grade = Literal["ok", "warn", "block"]
_HEIGHT_LIMIT_M = {"micro": 50.0, "light": 120.0, "small": 120.0, "medium": 0.0, "large": 0.0}
_APPLY_BY = time(12, 0)


Lack = Literal["window", "area", "height"]


class Approval(BaseModel):
    """A flight approval: its number, from when to when it holds (UTC), and the volume where the paper names one.

    Attributes:
        number: As the authority wrote it.
        begin_utc: When it begins.
        end_utc: When it ends.
        corners: (lon, lat) of the approved area, in order round it; none: the permitted zones are the area.
        max_agl_m: The approved height above ground; None: the law's.
    """

    model_config = ConfigDict(frozen=True)

    number: str
    begin_utc: AwareDatetime
    end_utc: AwareDatetime
    corners: tuple[LonLat, ...] = ()
    max_agl_m: float | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.end_utc <= self.begin_utc:
            raise ValueError(f"approval {self.number} ends before it begins")
        if self.corners and (len(self.corners) < 3 or not shapely.Polygon(self.corners).is_valid):
            raise ValueError(f"the corners of approval {self.number} are no simple polygon of lon, lat in order")
        return self

    def lacks(self, begin_utc: datetime, end_utc: datetime, places: Array, top_agl_m: float) -> Lack | None:
        """What of a flight the approval does not cover.

        Args:
            begin_utc: Take-off.
            end_utc: Landing.
            places: (n, 2) lon, lat along the way.
            top_agl_m: Highest above ground.
        """
        if begin_utc < self.begin_utc or end_utc > self.end_utc:
            return "window"
        if self.corners and not shapely.Polygon(self.corners).covers(shapely.linestrings(places)):
            return "area"
        # An approval of 120 m is not broken by the rounding of 112.3 m to decimetres.
        return "height" if self.max_agl_m is not None and top_agl_m > self.max_agl_m + 0.05 else None


class Operation(BaseModel):
    """What the operator has and does; None means that nobody said.

    Attributes:
        operator: The unit that flies, as it files its applications.
        contact: Who answers for the flights, with a telephone number.
        operator_certificate: Its number.
        operator_certificate_until: Expiry of the operating certificate.
        insured_until: Expiry of the liability insurance.
        registered: Registration numbers by aircraft model or number.
        runtime_identification: Whether the aircraft report while they fly.
        geofence_updated: Day of the last update of the aircraft's own zones.
        approvals: Flight approvals.
        over_base_stations: Whether control or video goes through a mobile network (a dock on 4G or 5G).
        over_crowds: Whether people gather below.
        drops: Whether anything is dropped or dangerous goods are carried.
        from_moving_vehicle: Whether a crew drives while it flies.
        swarm: Whether one station flies several aircraft together.
        night_lights: Whether the aircraft carry lights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: str = ""
    contact: str = ""
    operator_certificate: str = ""
    operator_certificate_until: date | None = None
    insured_until: date | None = None
    registered: tuple[str, ...] = ()
    runtime_identification: bool | None = None
    geofence_updated: date | None = None
    approvals: tuple[Approval, ...] = ()
    over_base_stations: bool = False
    over_crowds: bool = False
    drops: bool = False
    from_moving_vehicle: bool = False
    swarm: bool = False
    night_lights: bool | None = None


@dataclass(frozen=True)
class Check:
    """One rule looked at: `grade`, `name`, `article` it comes from, and `detail` with the remedy where there is one."""

    name: str
    grade: Grade
    article: str
    detail: str


def read_operation(path: Path) -> Operation:
    """Reads an operation's particulars (JSON).

    Raises:
        MissionsError: No such file, or a field is wrong; the message names it.
    """
    if not path.is_file():
        raise MissionsError(f"no file at {path}: give the operation's particulars as JSON")
    try:
        return Operation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MissionsError(f"{path}: {where}: {first['msg']}; correct it") from error


def _span(result: PlanResult) -> tuple[datetime, datetime]:
    begin = min(sortie.start_utc for sortie in result.sorties)
    return begin, max(sortie.start_utc + timedelta(seconds=sortie.duration_s) for sortie in result.sorties)


def _approved(result: PlanResult, operation: Operation) -> list[str] | None:
    """Numbers of the approvals that cover every sortie; None where one is not covered."""
    numbers = []
    for sortie in result.sorties:
        end = sortie.start_utc + timedelta(seconds=sortie.duration_s)
        places = result.task.frame.to_lonlat(sortie.route.points)
        top_m = highest_agl_m(sortie.route, result.task.frame, result.task.terrain)
        covering = [one for one in operation.approvals if one.lacks(sortie.start_utc, end, places, top_m) is None]
        if not covering:
            return None
        numbers.append(covering[0].number)
    return sorted(set(numbers))


def apply_by_utc(take_off_utc: datetime) -> datetime:
    """When an application must be in: 12:00 local time the day before the first take-off (761 art. 26)."""
    day = (take_off_utc + LOCAL).date() - timedelta(days=1)
    return datetime.combine(day, _APPLY_BY, UTC) - LOCAL


def _needs(result: PlanResult, operation: Operation) -> list[str]:
    """Why this plan needs an approval; empty where it does not."""
    task = result.task
    reasons = []
    top_m = max(highest_agl_m(sortie.route, task.frame, task.terrain) for sortie in result.sorties)
    if top_m > _HEIGHT_LIMIT_M[task.profile.uas_class]:
        reasons.append(f"{top_m:.0f} m above ground is beyond the suitable airspace of class {task.profile.uas_class}")
    if any(zone.kind in ("ceiling", "permitted") for zone in task.zones):
        reasons.append("ceilings or a permitted volume show controlled airspace")
    flags = {
        "control through base stations": operation.over_base_stations,
        "dangerous goods or dropping": operation.drops,
        "over gathered crowds": operation.over_crowds,
        "control from a moving vehicle": operation.from_moving_vehicle,
        "several aircraft as a swarm": operation.swarm,
    }
    return reasons + [f"art. 31: {name}" for name, given in flags.items() if given]


def _approval(result: PlanResult, operation: Operation, now_utc: datetime) -> Check:
    reasons = _needs(result, operation)
    article = "761 art. 19, 26, 31"
    approval = _approved(result, operation)
    if approval is not None:
        return Check("approval", "ok", article, f"{', '.join(approval)} covers the plan; report 1 h before take-off")
    if not reasons:
        return Check(
            "approval", "ok", article, "suitable airspace by what is known: none needed; check notices of the day"
        )
    deadline = apply_by_utc(_span(result)[0])
    local = f"{deadline + LOCAL:%Y-%m-%d %H:%M}"
    why = "; ".join(reasons)
    if now_utc > deadline:
        return Check("approval", "block", article, f"needed ({why}), but was due by {local}: fly a day later")
    return Check("approval", "warn", article, f"needed ({why}): apply by {local}, report 1 h before")


def _dated(name: str, article: str, until: date | None, day: date, needed: bool) -> Check:
    if not needed:
        return Check(name, "ok", article, "not needed for this class")
    if until is None:
        return Check(name, "warn", article, "nobody said until when it holds: enter it in the operation's particulars")
    if until < day:
        return Check(name, "block", article, f"ran out on {until}: renew it before flying")
    return Check(name, "ok", article, f"holds until {until}")


def _night(result: PlanResult, operation: Operation) -> Check:
    article = "761 art. 32; Shandong 371 art. 15"
    dark = [
        sortie.short_id
        for sortie in result.sorties
        if any(
            is_dark(sortie.start_utc + timedelta(seconds=late), *sortie.home[:2]) for late in (0.0, sortie.duration_s)
        )
    ]
    if not dark:
        return Check("night lights", "ok", article, "all flights are in daylight")
    grade: Grade = "ok" if operation.night_lights else "block" if operation.night_lights is False else "warn"
    return Check("night lights", grade, article, f"{', '.join(dark[:5])} fly in the dark: lights must be on")


def _registration(result: PlanResult, operation: Operation) -> Check:
    article = "761 art. 10; CCAR 92.211; GB 46761"
    machines = {s.rostered.machine.aircraft: s.rostered.machine.registration for s in result.sorties if s.rostered}
    bare = sorted(name for name, number in machines.items() if not number and name not in operation.registered)
    if bare:
        return Check("registration", "block", article, f"no number for {', '.join(bare)}: register and activate in UOM")
    if not machines and result.task.profile.name not in operation.registered:
        return Check("registration", "warn", article, "nobody said which aircraft flies: enter its registration")
    return Check("registration", "ok", article, "every aircraft has its number")


def _licences(result: PlanResult) -> Check:
    article = "761 art. 16, 17; CCAR 92.61"
    if not any(sortie.rostered for sortie in result.sorties):
        needed = result.task.profile.uas_class not in ("micro", "light")
        detail = "no roster: see that the pilot's licence is valid" if needed else "no licence needed for this class"
        return Check("licences", "warn" if needed else "ok", article, detail)
    controlled = any(zone.kind in ("ceiling", "permitted") for zone in result.task.zones)
    bare = sorted({s.crew for s in result.sorties if s.rostered and controlled and not s.rostered.controlled})
    if bare:
        detail = f"pilots of {', '.join(bare)} are not trained for controlled airspace: give them sorties outside it"
        return Check("licences", "warn", article, detail)
    return Check("licences", "ok", article, "every pilot's licence is valid on the day")


def check_rules(
    result: PlanResult, operation: Operation | None = None, now_utc: datetime | None = None
) -> tuple[Check, ...]:
    """Looks at every rule that a plan can be judged by.

    Args:
        result: The plan.
        operation: What the operator has and does; None: nothing is known, which warns.
        now_utc: When it is asked; None: now.
    """
    known = operation or Operation()
    day = (_span(result)[0] + LOCAL).date()
    kind = result.task.profile.uas_class
    identified = known.runtime_identification
    reports: Grade = "ok" if identified else "warn" if identified is None else "block"
    fenced = known.geofence_updated is not None and (day - known.geofence_updated).days <= 30
    wind = f"{result.task.model.wind_mps:g} m/s of at most {result.task.profile.max_wind_mps:g}"
    return (
        _approval(result, known, now_utc or datetime.now(UTC)),
        _dated("certificate", "761 art. 11; CCAR 92.603", known.operator_certificate_until, day, kind != "micro"),
        _dated("insurance", "761 art. 12; CCAR 92.669", known.insured_until, day, kind != "micro"),
        _registration(result, known),
        _licences(result),
        Check("run-time identification", reports, "GB 46750", "broadcast and network, from power-on to power-off"),
        Check(
            "geofence update", "ok" if fenced else "warn", "761 art. 32; CCAR 92.613", "update the aircraft's own zones"
        ),
        _night(result, known),
        Check("wind", "ok", "761 art. 32", wind),
    )


def require(checks: Iterable[Check], *, blocking: bool = True) -> None:
    """Refuses a plan that breaks a rule, where the setting says that rules block.

    Raises:
        MissionsError: A check is graded `block`.
    """
    broken = [check for check in checks if check.grade == "block"]
    if blocking and broken:
        raise MissionsError("; ".join(f"{check.name} ({check.article}): {check.detail}" for check in broken))
