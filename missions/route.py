"""One sortie's way through the air, from take-off to landing, in metres; and as the mission items a vehicle takes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.coverage import Strip
from missions.energy import FlightModel
from missions.errors import MissionsError
from missions.frame import Array, LocalFrame
from missions.plan import LonLatAlt, MissionItem
from missions.routing import Router
from missions.sorties import Pieces

_SAME_PLACE_M = 0.05
WAYPOINT, RETURN, TAKEOFF, SPEED, TRIGGER_DISTANCE = 16, 20, 22, 178, 206
DELAY, YAW, GIMBAL, PHOTOGRAPH = 93, 115, 1000, 2000
# At a stop the aircraft turns and the gimbal tilts (60 degrees a second and less), then the shutter goes.
SETTLE_S, AFTER_S = 4.0, 1.0
STOP_S = SETTLE_S + AFTER_S
ABSOLUTE, MISSION_FRAME, RELATIVE = 0, 2, 3


@dataclass(frozen=True)
class Stop:
    """A photograph from a standstill.

    Attributes:
        index: The route's point at which it is taken.
        yaw_deg: Where the camera looks, clockwise from north.
        pitch_deg: -90 is nadir.
        name: What is looked at.
    """

    index: int
    yaw_deg: float
    pitch_deg: float
    name: str = ""


@dataclass(frozen=True)
class Route:
    """A sortie's way: it begins and ends above home.

    Attributes:
        points: (n, 2) metres; the first and the last are home.
        height_rel_m: (n,) above home's ground.
        shooting: (n,) whether the camera shoots from this point to the next.
        trigger_m: Distance between photographs.
        stops: Photographs from a standstill, in order.
    """

    points: Array
    height_rel_m: Array
    shooting: NDArray[np.bool_]
    trigger_m: float
    stops: tuple[Stop, ...] = ()

    @property
    def legs_m(self) -> Array:
        """Length of each leg, (n - 1,)."""
        return np.hypot(*np.diff(self.points, axis=0).T)

    @property
    def photos(self) -> int:
        """Photographs expected: one at each lane's start, then one per trigger distance; one a stop."""
        return sum(int(length / self.trigger_m + 1e-6) + 1 for length in self.runs_m()) + len(self.stops)

    def runs_m(self) -> list[float]:
        """Length of each unbroken stretch with the camera on."""
        runs: list[float] = []
        for index, length in enumerate(self.legs_m):
            if self.shooting[index]:
                if index and self.shooting[index - 1]:
                    runs[-1] += float(length)
                else:
                    runs.append(float(length))
        return runs

    @property
    def distance_m(self) -> float:
        """From take-off to landing, climb and descent included."""
        climb = float(self.height_rel_m[0] + self.height_rel_m[-1])
        return float(np.hypot(self.legs_m, np.diff(self.height_rel_m)).sum()) + climb

    @property
    def path_m(self) -> float:
        """From the first photograph to the last, links included."""
        on = np.flatnonzero(self.shooting)
        marks = [*on, *(on + 1), *(stop.index for stop in self.stops)]
        return float(self.legs_m[min(marks) : max(marks)].sum()) if marks else 0.0

    def time_and_energy(self, model: FlightModel) -> tuple[float, float]:
        """Duration (s) and energy (Wh) from take-off to landing."""
        up, down = model.climb(float(self.height_rel_m[0])), model.descent(float(self.height_rel_m[-1]))
        standing_s = len(self.stops) * STOP_S
        time_s = up[0] + down[0] + standing_s
        energy_wh = up[1] + down[1] + model.profile.hover_w * standing_s / 3600.0
        rests = sorted({0, len(self.points) - 1, *(stop.index for stop in self.stops)})
        for first, last in itertools.pairwise(rests):
            flown = model.route(self.points[first : last + 1], self.height_rel_m[first : last + 1])
            time_s, energy_wh = time_s + flown[0], energy_wh + flown[1]
        return time_s, energy_wh


def _goes_on(pieces: Pieces) -> NDArray[np.bool_]:
    """Which pieces go straight on where the one before, of the same lane, ends."""
    along = pieces.end - pieces.start
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    unit = along / length[:, None]
    gap = pieces.start[1:] - pieces.end[:-1]
    touching = np.hypot(gap[:, 0], gap[:, 1]) < _SAME_PLACE_M
    turn = np.abs(unit[:-1, 0] * along[1:, 1] - unit[:-1, 1] * along[1:, 0])
    onward = np.sum(unit[:-1] * unit[1:], axis=1) > 0
    same = pieces.lane[1:] == pieces.lane[:-1]
    return np.append(False, same & touching & onward & (turn < _SAME_PLACE_M))


def _stretches(pieces: Pieces, strip: Strip, resumes: bool) -> tuple[Array, Array]:
    """Starts and ends of pieces, joined where one goes straight on from the other.

    The first begins one photograph early if it resumes.
    """
    first = np.flatnonzero(~_goes_on(pieces))
    starts, ends = pieces.start[first].copy(), pieces.end[np.append(first[1:] - 1, len(pieces) - 1)]
    if resumes:
        along = ends[0] - starts[0]
        starts[0] -= along / max(float(np.hypot(*along)), 1e-9) * strip.trigger_m
    return starts, ends


def _way(router: Router, start: Array, end: Array) -> Array:
    way = router.path(start, end)
    if way is None:
        raise MissionsError(f"no way from {start} to {end} around what is closed: choose another take-off site")
    return way


def build_route(pieces: Pieces, home: Array, router: Router, strip: Strip, *, resumes: bool = False) -> Route:
    """Joins pieces of lanes with ways around what is closed, from home and back.

    Args:
        pieces: What this sortie photographs, in order.
        home: (2,) take-off point, metres.
        router: Ways around what is closed at this height.
        strip: What a lane sees; gives height and trigger distance.
        resumes: Whether the first piece goes on where another sortie stopped: then one photograph is taken again.

    Raises:
        MissionsError: A piece cannot be reached.
    """
    points: list[Array] = [home[None, :]]
    shooting: list[bool] = []
    here = home
    starts, ends = _stretches(pieces, strip, resumes)
    goes_on = np.append(False, np.hypot(*(starts[1:] - ends[:-1]).T) < _SAME_PLACE_M)
    for start, end, straight_on in zip(starts, ends, goes_on, strict=True):
        if not straight_on:
            way = _way(router, here, start)
            points.append(way[1:])
            shooting += [False] * (len(way) - 1)
        points.append(end[None, :])
        shooting.append(True)
        here = end
    way = _way(router, here, home)
    points.append(way[1:])
    shooting += [False] * (len(way) - 1)
    joined = np.concatenate(points)
    heights = np.full(len(joined), strip.height_agl_m)
    return Route(joined, heights, np.array([*shooting, False]), strip.trigger_m)


def _photograph(stop: Stop, number: int) -> list[MissionItem]:
    """Turns, tilts, waits, shoots, waits: an autopilot starts DO items when the waypoint before them is reached."""
    plain = [
        (GIMBAL, (round(stop.pitch_deg, 2), 0.0, 0.0, 0.0)),
        (YAW, (round(stop.yaw_deg % 360.0, 2), 0.0, 0.0, 0.0)),
        (DELAY, (SETTLE_S, 0.0, 0.0, 0.0)),
        (PHOTOGRAPH, (0.0, 0.0, 1.0, float(number))),
        (DELAY, (AFTER_S, 0.0, 0.0, 0.0)),
    ]
    return [MissionItem(command=command, frame=MISSION_FRAME, params=params) for command, params in plain]


def mission_items(route: Route, frame: LocalFrame, home: LonLatAlt, speed_mps: float) -> list[MissionItem]:
    """A route as mission items; item 0 is home, the last one returns and lands.

    The camera is set to shoot by distance at each lane's start (the first photograph at once) and stopped at its end.
    """
    lon, lat, alt_amsl_m = home
    places = frame.to_lonlat(route.points)
    items = [
        MissionItem(command=WAYPOINT, frame=ABSOLUTE, lon=lon, lat=lat, alt_m=alt_amsl_m),
        MissionItem(command=TAKEOFF, frame=RELATIVE, lon=lon, lat=lat, alt_m=round(float(route.height_rel_m[0]), 2)),
        # Type 1 is ground speed; throttle -1 leaves it alone.
        MissionItem(command=SPEED, frame=MISSION_FRAME, params=(1.0, speed_mps, -1.0, 0.0)),
    ]
    shooting = False
    taken = 0
    for index in range(1, len(places)):
        x, y = (round(float(value), 8) for value in places[index])
        height = round(float(route.height_rel_m[index]), 2)
        items.append(MissionItem(command=WAYPOINT, frame=RELATIVE, lon=x, lat=y, alt_m=height))
        for stop in (stop for stop in route.stops if stop.index == index):
            taken += 1
            items += _photograph(stop, taken)
        if bool(route.shooting[index]) != shooting:
            shooting = not shooting
            params = (round(route.trigger_m, 3), 0.0, 1.0, 0.0) if shooting else (0.0, 0.0, 0.0, 0.0)
            items.append(MissionItem(command=TRIGGER_DISTANCE, frame=MISSION_FRAME, params=params))
    items.append(MissionItem(command=RETURN, frame=MISSION_FRAME))
    return items
