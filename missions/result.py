"""What the planner found, before it is written: sorties as geometry, in the metric frame of their task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from missions.coverage import Strip
from missions.direction import Sweep
from missions.flying import Flown
from missions.plan import Coverage, LonLatAlt, Refusal
from missions.request import Task
from missions.roster import Crew
from missions.route import Route


@dataclass(frozen=True)
class PlannedSortie:
    """A sortie before it is written.

    Attributes:
        short_id: `S01`, in plan order.
        crew: `C01` and on.
        home: Take-off point.
        route: Its way, metres in the task's frame.
        strip: Lanes at its height.
        start_utc: Planned take-off.
        duration_s: From take-off to landing.
        energy_wh: The same.
        rostered: People and aircraft, where a roster was given.
        home_in_sight: Whether the straight flight home is clear from everywhere on the way.
        transit_agl_m: Height above ground of its ways from and to home, where it is not the lanes'.
    """

    short_id: str
    crew: str
    home: LonLatAlt
    route: Route
    strip: Strip
    start_utc: datetime
    duration_s: float
    energy_wh: float
    rostered: Crew | None = None
    home_in_sight: bool = True
    transit_agl_m: float | None = None


@dataclass(frozen=True)
class CrewDay:
    """One crew's day.

    Attributes:
        crew: Who, with what.
        sorties: How many.
        busy_s: From the first shift's begin to the last landing, breaks between shifts left out.
        flight_s: In the air.
        drive_s: On the road between sites.
        sites: Take-off sites in order, metres.
    """

    crew: Crew
    sorties: int
    busy_s: float
    flight_s: float
    drive_s: float
    sites: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Timed:
    """A sortie with its take-off time and crew, before it has a number; `transit_agl_m` as in `PlannedSortie`."""

    start_utc: datetime
    crew: str
    flown: Flown
    rostered: Crew | None = None
    transit_agl_m: float | None = None

    @property
    def end_utc(self) -> datetime:
        """Landing."""
        return self.start_utc + timedelta(seconds=self.flown.duration_s)


@dataclass(frozen=True)
class PlanResult:
    """What `plan_patrol` found; `export_plan` writes it.

    Attributes:
        task: The request, read.
        plan_id: The patrol's identity.
        created_utc: When it was planned.
        sorties: In plan order.
        coverage: Shares of the area seen.
        refused: What was left out and why.
        sweeps: Directions that were weighed, best first, per part of the area.
        days: The crews' days, where a roster was given.
    """

    task: Task
    plan_id: str
    created_utc: datetime
    sorties: tuple[PlannedSortie, ...]
    coverage: Coverage
    refused: tuple[Refusal, ...]
    sweeps: tuple[tuple[Sweep, ...], ...]
    days: tuple[CrewDay, ...] = ()


def numbered(task: Task, timed: list[Timed]) -> tuple[PlannedSortie, ...]:
    """Sorties numbered in order of take-off, their homes in degrees with the ground's height where it is known."""
    ordered = sorted(timed, key=lambda item: (item.start_utc, item.crew))
    width = max(2, len(str(len(ordered))))
    homes = task.frame.to_lonlat([item.flown.home for item in ordered])
    heights = task.terrain.at(homes) if task.terrain is not None and len(homes) else np.zeros(len(homes))
    return tuple(
        PlannedSortie(
            short_id=f"S{number:0{width}d}",
            crew=item.crew,
            home=(round(float(lon), 8), round(float(lat), 8), round(float(height), 2)),
            route=item.flown.route,
            strip=item.flown.strip,
            start_utc=item.start_utc,
            duration_s=item.flown.duration_s,
            energy_wh=item.flown.energy_wh,
            rostered=item.rostered,
            transit_agl_m=item.transit_agl_m,
        )
        for number, (item, (lon, lat), height) in enumerate(zip(ordered, homes, heights, strict=True), start=1)
    )
