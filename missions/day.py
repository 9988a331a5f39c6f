"""A plan as it changes in mid-day: what stays of it, what is new, and when each crew is free."""

from __future__ import annotations

from datetime import datetime, timedelta

import shapely

from missions.airspace import Airspace
from missions.coverage import Strip
from missions.flying import SWAP_S, Flown
from missions.follow import SAG_M
from missions.part import Part
from missions.plan import LonLat, Plan, Refusal, Sortie
from missions.request import Task
from missions.reread import Reread
from missions.routing import Router
from missions.vector import polygons_of


class Day:
    """The plan as it changes: entries of sorties, new ones, and when each crew is free."""

    def __init__(self, task: Task, plan: Plan, sorties: list[Reread]) -> None:
        self.task, self.plan = task, plan
        self.old = {sortie.sortie.short_id: sortie for sortie in sorties}
        self.entries: dict[str, Sortie] = {name: sortie.sortie for name, sortie in self.old.items()}
        self.new: dict[str, tuple[Flown, str, datetime]] = {}
        self.refused: list[Refusal] = []
        self.lanes: dict[float, Part] = {}
        self.outside: dict[str, LonLat] = {}

    def part(self, height_agl_m: float) -> Part:
        """Closed places and ways at a height."""
        if height_agl_m not in self.lanes:
            self.lanes[height_agl_m] = self._part(self.task.airspace, height_agl_m)
        return self.lanes[height_agl_m]

    def applied_for(self) -> Part:
        """The same at the plan's height, were nothing outside the permitted zones closed."""
        task = self.task
        zones = [zone for zone in task.zones if zone.kind != "permitted"]
        return self._part(Airspace(zones, task.obstacles, task.frame, task.request.clearances), self.plan.height_agl_m)

    def _part(self, airspace: Airspace, height_agl_m: float) -> Part:
        closed = airspace.closed(height_agl_m, SAG_M if self.task.terrain is not None else 0.0)
        ground = shapely.union_all([closed, airspace.closed_on_ground()])
        strip = Strip.of(self.task.profile.camera, height_agl_m, self.plan.front_overlap, self.plan.side_overlap)
        return Part(shapely.MultiPolygon(), closed, strip, Router(polygons_of(closed)), Router(polygons_of(ground)))

    def free_at(self, crew: str) -> datetime:
        """When a crew has flown all that it has so far."""
        swap = timedelta(seconds=SWAP_S)
        ends = [s.start_utc + timedelta(seconds=s.duration_s) + swap for s in self.entries.values() if s.crew == crew]
        ends += [at + timedelta(seconds=flown.duration_s) + swap for flown, who, at in self.new.values() if who == crew]
        return max([*ends, self.task.start_utc])

    def add(self, flown: Flown, crew: str, at: datetime) -> str:
        """A new sortie under the next free number."""
        used = [int(name.lstrip("S")) for name in [*self.old, *self.new]]
        name = f"S{max(used, default=0) + 1:0{max(2, len(next(iter(self.old))) - 1)}d}"
        self.new[name] = (flown, crew, at)
        return name
