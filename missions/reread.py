"""Exported sorties as routes again: `ingest` and `replan` work from these, with nothing but a plan's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from missions.errors import MissionsError
from missions.export.wpl import read_waypoints
from missions.frame import Array, LocalFrame
from missions.plan import MissionItem, Plan, Sortie, read_plan
from missions.route import GIMBAL, PHOTOGRAPH, RETURN, TAKEOFF, TRIGGER_DISTANCE, WAYPOINT, YAW, Route, Stop


@dataclass(frozen=True)
class Reread:
    """One exported sortie.

    Attributes:
        sortie: Its entry in `plan.json`.
        route: Its way, metres in the plan's frame.
    """

    sortie: Sortie
    route: Route

    def exposures(self) -> tuple[Array, np.ndarray]:
        """Where it shoots (n, 2), and the number of the stretch each belongs to (n,)."""
        places: list[Array] = []
        stretch: list[int] = []
        number, since_m = -1, 0.0
        step = self.route.trigger_m
        for index, length in enumerate(self.route.legs_m):
            if not self.route.shooting[index]:
                continue
            start, end = self.route.points[index], self.route.points[index + 1]
            if index == 0 or not self.route.shooting[index - 1]:
                number, since_m = number + 1, 0.0
            first = 0.0 if since_m == 0.0 else step - since_m
            marks = np.arange(first, float(length) + 0.01, step)
            places.append(start + np.outer(marks / max(float(length), 1e-9), end - start))
            stretch += [number] * len(marks)
            since_m = (float(length) - float(marks[-1])) if len(marks) else since_m + float(length)
        for stop in self.route.stops:
            number += 1
            places.append(self.route.points[stop.index][None, :])
            stretch.append(number)
        return (np.concatenate(places) if places else np.empty((0, 2))), np.array(stretch, dtype=int)


def _route(items: list[MissionItem], frame: LocalFrame, where: Path) -> Route:
    home = frame.to_xy([(items[0].lon, items[0].lat)])[0]
    points, heights, shooting = [home], [0.0], [False]
    trigger_m = yaw_deg = pitch_deg = 0.0
    stops: list[Stop] = []
    for item in items[1:]:
        if item.command == TAKEOFF:
            heights[0] = item.alt_m
        elif item.command == TRIGGER_DISTANCE:
            shooting[-1] = item.params[0] > 0
            trigger_m = max(trigger_m, item.params[0])
        elif item.command == WAYPOINT:
            points.append(frame.to_xy([(item.lon, item.lat)])[0])
            heights.append(item.alt_m)
            shooting.append(shooting[-1])
        elif item.command == YAW:
            yaw_deg = item.params[0]
        elif item.command == GIMBAL:
            pitch_deg = item.params[0]
        elif item.command == PHOTOGRAPH:
            stops.append(Stop(len(points) - 1, yaw_deg, pitch_deg))
        elif item.command == RETURN:
            break
    if (trigger_m <= 0 and not stops) or len(points) < 3:
        raise MissionsError(f"{where} shoots nothing: give a sortie that this planner exported")
    if np.hypot(*(points[-1] - home)) > 1.0:
        points.append(home)
        heights.append(heights[-1])
        shooting.append(False)
    shooting[-1] = False
    return Route(np.array(points), np.array(heights), np.array(shooting), max(trigger_m, 1.0), tuple(stops))


def reread(plan_dir: Path, frame: LocalFrame | None = None) -> tuple[Plan, LocalFrame, list[Reread]]:
    """Reads a plan's folder back as routes.

    Args:
        plan_dir: The folder.
        frame: Metric frame for the routes; None: one about the plan's homes.

    Raises:
        MissionsError: No plan there, or a mission file is missing or broken.
    """
    plan = read_plan(plan_dir)
    if not plan.sorties:
        raise MissionsError(f"{plan_dir} holds a plan without sorties: plan again")
    homes = np.array([sortie.home[:2] for sortie in plan.sorties])
    if frame is None:
        frame = LocalFrame(*(float(value) for value in (homes.min(axis=0) + homes.max(axis=0)) / 2))
    found = []
    for sortie in plan.sorties:
        file = plan_dir / sortie.files.waypoints
        found.append(Reread(sortie, _route(read_waypoints(file), frame, file)))
    return plan, frame, found
