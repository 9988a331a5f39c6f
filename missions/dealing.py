"""A brigade's work by take-off site: pairs of lanes dealt to sites by whole batteries, sites put on one tour.

Crews have better and worse batteries, so a site's work is measured in those of the crew that the tour will bring there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from missions.cells import CHUNK_M, deal
from missions.errors import MissionsError
from missions.frame import Array
from missions.part import Part, lanes_by_direction
from missions.request import Task
from missions.roster import Crew, Roster
from missions.routing import Router
from missions.sites import propose_sites
from missions.sorties import Pieces, longest_piece_m, pieces_of
from missions.tour import best_tour, link_costs
from missions.tracks import Tracks

Tell = Callable[[int, int, str], None]
# What a sortie flies besides lanes and its cell's own turns: ways from and to home, start and stop, the turns of lanes
# cut at home and by the battery; over the city's sorties 41, 9 and some 80 s.
_BESIDE_S = 130.0
_SWEEPS_OF_CREWS = 3


@dataclass(frozen=True)
class Job:
    """All of one part's lanes at one site."""

    home: Array
    work: Pieces


@dataclass(frozen=True)
class Line:
    """All pieces of one part in the order of a tour over its sites; `homes` (n, 2) is the site of each piece.

    `health` (n,) is that of the batteries of the crew which is expected there, `sites` (m, 2) are all that may be used.
    """

    part: Part
    tracks: Tracks
    pieces: Pieces
    homes: Array
    health: Array
    sites: Array


def _sites(task: Task, part: Part) -> Array:
    if not task.request.sites:
        return propose_sites(part.target, part.ground)
    given = task.frame.to_xy(task.request.sites)
    usable = given[part.ground.open_points(given)]
    if not len(usable):
        raise MissionsError("all take-off sites lie inside or too near zones or obstacles: give others with --site")
    return usable


def _battery_s(task: Task, part: Part, direction_rad: float, health: Array) -> Array:
    """Seconds along lanes of a battery, what every sortie takes besides left out."""
    unit = np.array([[np.cos(direction_rad), np.sin(direction_rad)]])
    _, seconds, energy = task.model.straight(np.concatenate([unit, -unit]))
    watts = float(energy.sum() / seconds.sum()) * 3600.0
    height_m = part.strip.height_agl_m
    up, down = task.model.climb(height_m), task.model.descent(height_m)
    fixed_wh = up[1] + down[1] + watts * _BESIDE_S / 3600.0
    return (task.model.budget_wh() * health - fixed_wh) * 3600.0 / watts


@dataclass(frozen=True)
class Laid:
    """A part's lanes by pairs, and the sites that they may be flown from."""

    part: Part
    tracks: Tracks
    sites: Array

    @staticmethod
    def of(task: Task, part: Part, direction_rad: float) -> list[Laid]:
        """Lays the lanes, those of each direction by themselves; none where there is nothing to see."""
        return [
            Laid(part, Tracks.of(lanes, part.strip), _sites(task, part))
            for lanes in lanes_by_direction(task, part, direction_rad)
            if len(lanes)
        ]


def _jobs(task: Task, roster: Roster, laid: Laid, health: Array, tell: Tell) -> list[Job]:
    """Pairs of lanes dealt to sites, whose batteries have a `health` (m,), each site's in an order quick to fly."""
    part, tracks, sites = laid.part, laid.tracks, laid.sites
    speed = task.profile.cruise_mps
    aside_s = part.strip.lane_m / speed + 2 * float(task.model.corner_s(np.zeros(1), speed)[0])
    dealt = deal(
        tracks.lanes(),
        sites,
        part.strip,
        roster.line_of_sight_m,
        part.target.area,
        battery_s=_battery_s(task, part, tracks.direction_rad, health),
        chunk_s=2 * CHUNK_M / speed,
        turn_s=2 * aside_s,
    )
    jobs = []
    for number, mine in enumerate(dealt):
        tell(number, len(dealt), "lanes by site")
        entry = best_tour(link_costs(mine.lanes, Router([]), task.model), starts=1)
        work = pieces_of(mine.lanes, entry, part.strip, longest_piece_m(task.model) / 2)
        jobs.append(Job(sites[mine.site], work))
    return _on_tour(jobs)


def _on_tour(jobs: list[Job]) -> list[Job]:
    """Jobs in an order that is short to drive."""
    homes = np.array([job.home for job in jobs])
    gap = np.hypot(*(homes[:, None, :] - homes[None, :, :]).transpose(2, 0, 1))
    return [jobs[int(end) // 2] for end in best_tour(np.repeat(np.repeat(gap, 2, axis=0), 2, axis=1))]


def _facing(jobs: list[Job]) -> list[Job]:
    """Jobs turned round where their last lane then lies nearer to the next job's first: a battery may serve both."""
    if len(jobs) < 2:
        return jobs
    both = [(job, replace(job, work=job.work.reversed())) for job in jobs]
    cost = np.zeros(2)
    before: list[NDArray[np.int64]] = []
    for one, other in itertools.pairwise(both):
        gap = np.array([[np.hypot(*(b.work.start[0] - a.work.end[-1])) for b in other] for a in one])
        before.append(np.argmin(cost[:, None] + gap, axis=0))
        cost = (cost[:, None] + gap).min(axis=0)
    way = [int(np.argmin(cost))]
    for choice in before[::-1]:
        way.append(int(choice[way[-1]]))
    return [pair[chosen] for pair, chosen in zip(both, way[::-1], strict=True)]


def _line(laid: Laid, jobs: list[Job], health: Sequence[float]) -> Line:
    """The jobs' pieces one after the other: a battery may begin at one site's last lanes and end at the next one's."""
    offset = np.concatenate([[0], np.cumsum([len(job.work) for job in jobs])])
    pieces = Pieces(
        np.concatenate([job.work.start for job in jobs]),
        np.concatenate([job.work.end for job in jobs]),
        np.concatenate([job.work.lane + first for job, first in zip(jobs, offset[:-1], strict=True)]),
    )
    count = [len(job.work) for job in jobs]
    homes = np.repeat(np.array([job.home for job in jobs]), count, axis=0)
    return Line(laid.part, laid.tracks, pieces, homes, np.repeat(np.array(health), count), laid.sites)


def _crews_on_tour(task: Task, roster: Roster, work: list[tuple[Laid, Job]], crews: Sequence[Crew]) -> list[float]:
    """The health of the batteries that will come to each site if the tour is shared out evenly in time."""
    lanes_s = np.array(
        [
            float((np.hypot(*(job.work.end - job.work.start).T) * laid.tracks.load(job.work)).sum())
            / task.profile.cruise_mps
            for laid, job in work
        ]
    )
    battery_s = np.array([_battery_s(task, laid.part, laid.tracks.direction_rad, np.ones(1))[0] for laid, _ in work])
    healths = np.array([crew.machine.battery_health for crew in crews])
    health = np.full(len(work), healths.mean())
    for _ in range(_SWEEPS_OF_CREWS):
        spent = lanes_s + np.ceil(lanes_s / (battery_s * health)) * (roster.swap_s + _BESIDE_S)
        done = (np.cumsum(spent) - spent / 2) / spent.sum()
        health = healths[np.minimum((done * len(crews)).astype(int), len(crews) - 1)]
    return [float(value) for value in health]


def lines_of(task: Task, roster: Roster, crews: Sequence[Crew], laid: Sequence[Laid], tell: Tell) -> list[Line]:
    """The work of all parts, each on one tour over its sites.

    Dealt twice: for middling batteries, which says who comes where, and then for those that come.
    """
    middling = float(np.mean([crew.machine.battery_health for crew in crews]))
    jobs = [_jobs(task, roster, one, np.full(len(one.sites), middling), tell) for one in laid]
    coming: dict[tuple[int, float, float], float] = {}
    work = [(one, job) for one, mine in zip(laid, jobs, strict=True) for job in mine]
    number = [index for index, mine in enumerate(jobs) for _ in mine]
    for index, (_, job), health in zip(number, work, _crews_on_tour(task, roster, work, crews), strict=True):
        coming[(index, float(job.home[0]), float(job.home[1]))] = health
    jobs = []
    for index, one in enumerate(laid):
        expected = np.array([coming.get((index, float(x), float(y)), middling) for x, y in one.sites])
        jobs.append(_jobs(task, roster, one, expected, tell))
    lines = []
    for index, (one, mine) in enumerate(zip(laid, jobs, strict=True)):
        facing = _facing(mine)
        healths = [coming.get((index, float(job.home[0]), float(job.home[1])), middling) for job in facing]
        lines.append(_line(one, facing, healths))
    return lines
