"""What the planner found, before it is written: sorties as geometry, in the metric frame of their task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from missions.coverage import Strip
from missions.direction import Sweep
from missions.plan import Coverage, LonLatAlt, Refusal
from missions.request import Task
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
    """

    short_id: str
    crew: str
    home: LonLatAlt
    route: Route
    strip: Strip
    start_utc: datetime
    duration_s: float
    energy_wh: float


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
    """

    task: Task
    plan_id: str
    created_utc: datetime
    sorties: tuple[PlannedSortie, ...]
    coverage: Coverage
    refused: tuple[Refusal, ...]
    sweeps: tuple[tuple[Sweep, ...], ...]
