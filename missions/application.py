"""What an application for flights says (order 761, art. 26 and 27), and which flights of a re-plan need a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import shapely

from missions.aircraft import AircraftProfile
from missions.follow import highest_agl_m
from missions.frame import Array, LocalFrame
from missions.plan import LonLat
from missions.request import Task
from missions.result import PlannedSortie, PlanResult
from missions.roster import LOCAL, Crew
from missions.route import Route
from missions.rules import Approval, Check, Lack, Operation

# Around the ways flown: position error, gusts, and the circle of a turn.
_BESIDE_M = 50.0
_SIMPLER_M = 15.0


@dataclass(frozen=True)
class Flight:
    """One sortie as it is applied for.

    Attributes:
        short_id: Its number in the plan.
        crew: Who flies it.
        home: Take-off and landing (lon, lat).
        begin_utc: Take-off.
        end_utc: Landing.
        places: (n, 2) lon, lat along its way.
        top_agl_m: Highest above ground.
    """

    short_id: str
    crew: str
    home: LonLat
    begin_utc: datetime
    end_utc: datetime
    places: Array
    top_agl_m: float

    @classmethod
    def of(cls, task: Task, name: str, crew: str, route: Route, begin_utc: datetime, duration_s: float) -> Flight:
        """A route on the clock."""
        places = task.frame.to_lonlat(route.points)
        end = begin_utc + timedelta(seconds=duration_s)
        top_m = highest_agl_m(route, task.frame, task.terrain)
        return cls(name, crew, (float(places[0, 0]), float(places[0, 1])), begin_utc, end, places, top_m)

    def lacks(self, approvals: Sequence[Approval]) -> Lack | None:
        """What the approval that comes nearest does not cover; None where one covers all of it."""
        found = [one.lacks(self.begin_utc, self.end_utc, self.places, self.top_agl_m) for one in approvals]
        if not found or None in found:
            return None
        order: tuple[Lack, ...] = ("height", "area", "window")
        return next(lack for lack in order if lack in found)


@dataclass(frozen=True)
class Team:
    """Who flies which aircraft, where a roster says."""

    crew: str
    pilot: str
    machine: str
    registration: str
    observer: str = ""

    @classmethod
    def of(cls, crew: Crew) -> Team:
        """A rostered crew."""
        machine = crew.machine
        return cls(crew.name, crew.pilot, machine.aircraft, machine.registration, crew.observer or "")


@dataclass(frozen=True)
class Application:
    """What is applied for.

    Attributes:
        plan_id: The patrol.
        profile: The aircraft.
        flights: What is to be flown, in order of take-off.
        operation: Who applies, as far as it was said.
        people: Crews of the roster, where there is one.
        checks: How the rules were judged.
        reasons: Why it is filed beside the approvals at hand, in Chinese; none for a first application.
        avoided: Names of no-fly zones, which the ways keep out of.
    """

    plan_id: str
    profile: AircraftProfile
    flights: tuple[Flight, ...]
    operation: Operation
    people: tuple[Team, ...] = ()
    checks: tuple[Check, ...] = ()
    reasons: tuple[str, ...] = ()
    avoided: tuple[str, ...] = ()

    @property
    def begin_utc(self) -> datetime:
        """First take-off."""
        return min(flight.begin_utc for flight in self.flights)

    @property
    def end_utc(self) -> datetime:
        """Last landing."""
        return max(flight.end_utc for flight in self.flights)

    @property
    def top_agl_m(self) -> float:
        """Highest of all flights, rounded up to whole metres."""
        return float(np.ceil(max(flight.top_agl_m for flight in self.flights) - 0.05))

    def outline(self) -> tuple[LonLat, ...]:
        """Corners (lon, lat) of the airspace asked for: the hull of all ways and 50 m beside."""
        places = np.concatenate([flight.places for flight in self.flights])
        frame = LocalFrame(float(places[:, 0].mean()), float(places[:, 1].mean()))
        hull = shapely.convex_hull(shapely.multipoints(frame.to_xy(places)))
        # Simplified first and grown by as much more, so that no way is cut off.
        grown = shapely.buffer(
            shapely.simplify(hull, _SIMPLER_M), _BESIDE_M + _SIMPLER_M, join_style="mitre", mitre_limit=2.0
        )
        corners = frame.to_lonlat(shapely.get_coordinates(shapely.simplify(grown, 1.0))[:-1])
        return tuple((round(float(lon), 6), round(float(lat), 6)) for lon, lat in corners)


def application_of(
    result: PlanResult, checks: tuple[Check, ...] = (), operation: Operation | None = None
) -> Application:
    """The application for a whole plan."""
    flights = [Flight.of(result.task, s.short_id, s.crew, s.route, s.start_utc, s.duration_s) for s in result.sorties]
    return Application(
        plan_id=result.plan_id,
        profile=result.task.profile,
        flights=tuple(flights),
        operation=operation or Operation(),
        people=_people(result.sorties),
        checks=checks,
        avoided=closed_in(result.task, flights),
    )


def closed_in(task: Task, flights: Sequence[Flight]) -> tuple[str, ...]:
    """Names of no-fly zones within the hull of flights."""
    hull = shapely.convex_hull(shapely.multipoints(np.concatenate([flight.places for flight in flights])))
    return tuple(zone.name for zone in task.zones if zone.kind == "no-fly" and zone.geometry.intersects(hull))[:20]


def _people(sorties: Sequence[PlannedSortie]) -> tuple[Team, ...]:
    found = {sortie.crew: Team.of(sortie.rostered) for sortie in sorties if sortie.rostered is not None}
    return tuple(found[name] for name in sorted(found))


def teams_of(
    entries: Sequence[tuple[str, Mapping[str, object]]], flights: Sequence[tuple[Flight, Lack]]
) -> tuple[Team, ...]:
    """Who flies, from what a plan's entries say of their crews (`pilot`, `machine`, `registration`)."""
    needed = {flight.crew for flight, _ in flights}
    said = {crew: more for crew, more in entries if crew in needed and "pilot" in more}
    keys = ("pilot", "machine", "registration", "observer")
    return tuple(Team(crew, *(str(said[crew].get(key) or "") for key in keys)) for crew in sorted(said))


def reason_of(flight: Flight, lack: Lack, approvals: Sequence[Approval], outside: Mapping[str, LonLat]) -> str:
    """Why a flight is applied for beside the approvals at hand, in Chinese."""
    times = f"{flight.begin_utc + LOCAL:%m月%d日 %H:%M} 至 {flight.end_utc + LOCAL:%H:%M}"
    numbers = "、".join(item.number for item in approvals)
    held = f"批准文件 {numbers} 的" if numbers else "现有"
    if flight.short_id in outside:
        lon, lat = outside[flight.short_id]
        return f"架次 {flight.short_id}（{times}）：加急点位 {lon:.6f}, {lat:.6f} 在{held}空域范围以外。"
    what = {
        "window": "时段以外",
        "area": "空域范围以外",
        "height": f"高度以上（真高 {flight.top_agl_m:.0f} m）",
    }[lack]
    return f"架次 {flight.short_id}（{times}）：在{held}{what}。"
