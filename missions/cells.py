"""A wide area dealt to take-off sites: which sites to use, and which stretch of which lane belongs to each.

Lanes are laid once over the whole area, so that no seam between sites is seen twice or not at all; each is then cut
where the nearest site changes. Nearness counts distance across the lanes more than along them, which gives cells that
are longer along their lanes: fewer turns for the same line of sight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from missions.coverage import OVERRUN_M, Lanes, Strip
from missions.frame import Array

_ACROSS_WEIGHT = 4.0
CHUNK_M = 120.0
# Share of the line-of-sight disc that a site should have to itself: room for two sorties, one on either side of it.
# More makes outer sorties fly over the inner ones' lanes; twice as much took 0.2 % more of the standard city's flight.
_DISC_SHARE = 0.3
_FAR = 1e12
# A stretch of 120 m is a hundred-and-thirtieth of a 16 km sortie, whose way out and back at 15 m/s it answers for.
_HOME_S_PER_M = 2.0 / 130.0 / 15.0
# Ten times what it was: no saved turn is worth a metre out of sight.
_BEYOND_S_PER_M = 3.0
# What a further stretch of lane costs. Its corners and the step aside are 9 s (missions.energy, Mavic 3E at 15 m/s); 40
# also stands for the sorties that short stretches fragment: the standard city has 2,459 stretches before the batteries
# cut them, with 20 it has 2,650, with 9 2,826.
_TURN_S = 60.0
# Share of a battery that a cell leaves unused: pairs of lanes are a fifth of one.
_SPARE = 0.2
_PRICE_ROUNDS, _PRICE_STEP_S = 24, 0.15


@dataclass(frozen=True)
class Assigned:
    """Lanes of one site."""

    site: int
    lanes: Lanes


def _chunks(lanes: Lanes, strip: Strip) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Middles of equal stretches of every lane (n, 2), their lane, and how many each lane has.

    Stretches are whole trigger distances, so that lanes cut between them keep the spacing of photographs.
    """
    step = max(1, round(CHUNK_M / strip.trigger_m)) * strip.trigger_m
    length = np.hypot(*(lanes.end - lanes.start).T)
    count = np.maximum(1, np.floor(length / step).astype(np.int64))
    lane = np.repeat(np.arange(len(lanes)), count)
    within = np.arange(len(lane)) - np.repeat(np.cumsum(count) - count, count)
    share = np.minimum((within + 0.5) * step / np.maximum(length[lane], 1e-9), 1.0)
    return lanes.start[lane] + share[:, None] * (lanes.end - lanes.start)[lane], lane, count


def _nearness(middles: Array, sites: Array, direction_rad: float, range_m: float) -> tuple[Array, NDArray[np.bool_]]:
    """(chunks, sites) weighted squared distances, and which are in sight."""
    gap = middles[:, None, :] - sites[None, :, :]
    unit = np.array([np.cos(direction_rad), np.sin(direction_rad)])
    along = gap @ unit
    across = gap @ np.array([-unit[1], unit[0]])
    return along**2 + (_ACROSS_WEIGHT * across) ** 2, np.less_equal(np.hypot(along, across), range_m)


def _seconds(middles: Array, sites: Array, direction_rad: float, range_m: float) -> Array:
    """(chunks, sites) seconds a stretch adds to the way out and back; beyond sight, dearer than any turn."""
    near, seen = _nearness(middles, sites, direction_rad, range_m)
    gap = middles[:, None, :] - sites[None, :, :]
    beyond = np.where(seen, 0.0, np.hypot(gap[..., 0], gap[..., 1]) - range_m + 100.0)
    return _HOME_S_PER_M * np.sqrt(near) + _BEYOND_S_PER_M * beyond


def choose_sites(
    middles: Array, sites: Array, direction_rad: float, range_m: float, area_m2: float
) -> NDArray[np.int64]:
    """Sites worth driving to: dropped one by one, the least missed first, while everything stays in somebody's sight.

    Args:
        middles: (n, 2) what must be reached.
        sites: (m, 2) all.
        direction_rad: Of the lanes.
        range_m: Line of sight.
        area_m2: What the sites share.

    Returns:
        Numbers of the sites kept.
    """
    near, seen = _nearness(middles, sites, direction_rad, range_m)
    hopeless: NDArray[np.bool_] = np.logical_not(seen.any(axis=1))
    cost = np.where(seen | hopeless[:, None], near, _FAR)
    left = list(range(len(sites)))
    least = max(1, int(np.ceil(area_m2 / (_DISC_SHARE * np.pi * range_m**2))))
    while len(left) > least:
        two = np.argpartition(cost[:, left], 1, axis=1)[:, :2]
        values = np.take_along_axis(cost[:, left], two, axis=1)
        order = np.argsort(values, axis=1)
        first = np.take_along_axis(two, order, axis=1)[:, 0]
        loss = np.diff(np.sort(values, axis=1), axis=1)[:, 0]
        missed = np.bincount(first, weights=loss, minlength=len(left))
        drop = int(np.argmin(missed))
        if missed[drop] >= _FAR / 2:
            break
        left.pop(drop)
    return np.array(left)


def deal(
    lanes: Lanes,
    sites: Array,
    strip: Strip,
    range_m: float,
    area_m2: float,
    *,
    battery_s: Array | None = None,
    chunk_s: float = 0.0,
    turn_s: float = 0.0,
) -> list[Assigned]:
    """Deals lanes to sites; each lane is cut at whole trigger distances where the nearest chosen site changes.

    Args:
        lanes: Over the whole area.
        sites: (m, 2) take-off points.
        strip: Of these lanes.
        range_m: Line of sight.
        area_m2: What the lanes see.
        battery_s: (m,) what a battery of each site flies along lanes, for cells of whole batteries; None: any.
        chunk_s: Seconds that `CHUNK_M` of a lane take.
        turn_s: Seconds that each further stretch takes.
    """
    middles, lane, count = _chunks(lanes, strip)
    # Stretches are judged by their middles, and lie beside the line of their pair; cuts are rounded to photographs.
    range_m -= CHUNK_M / 2 + strip.lane_m / 2 + strip.trigger_m / 2 + OVERRUN_M
    chosen = choose_sites(middles, sites, lanes.direction_rad, range_m, area_m2)
    cost = _seconds(middles, sites[chosen], lanes.direction_rad, range_m)
    if battery_s is None:
        owner = _along_lanes(cost, lane)
    else:
        owner = _whole_batteries(cost, lane, chunk_s, turn_s, battery_s[chosen])
    return _lanes_by_site(lanes, strip, (lane, count), owner, chosen)


def _lanes_by_site(
    lanes: Lanes,
    strip: Strip,
    chunks: tuple[NDArray[np.int64], NDArray[np.int64]],
    owner: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> list[Assigned]:
    """Neighbouring chunks of one site as lanes; see `_chunks` for (lane, count)."""
    lane, count = chunks
    change = np.flatnonzero((np.diff(lane) != 0) | (np.diff(owner) != 0)) + 1
    first = np.concatenate([[0], change])
    last = np.concatenate([change, [len(lane)]])
    offset = np.cumsum(count) - count
    step = max(1, round(CHUNK_M / strip.trigger_m)) * strip.trigger_m
    length = np.hypot(*(lanes.end - lanes.start).T)
    unit = (lanes.end - lanes.start) / np.maximum(length, 1e-9)[:, None]
    row = lane[first]
    begin_m = (first - offset[row]) * step
    end_m = np.where(last - offset[row] == count[row], length[row], (last - offset[row]) * step)
    start = lanes.start[row] + begin_m[:, None] * unit[row]
    end = lanes.start[row] + end_m[:, None] * unit[row]
    found = []
    for number, site in enumerate(chosen):
        mine = owner[first] == number
        if mine.any():
            own = Lanes(start[mine], end[mine], lanes.row[row[mine]], lanes.direction_rad)
            found.append(Assigned(int(site), own))
    return found


def _along_lanes(cost: Array, lane: NDArray[np.int64]) -> NDArray[np.int64]:
    """The site of each stretch that is cheapest along its lane, every change of site costing a turn (Viterbi).

    Args:
        cost: (n, m) seconds of flying stretch i from site j.
        lane: (n,) the lane of each stretch; lanes are contiguous.
    """
    first = np.flatnonzero(np.append(True, lane[1:] != lane[:-1]))
    count = np.diff(np.append(first, len(lane)))
    longest = np.argsort(-count, kind="stable")  # all lanes go on side by side, the shorter ones fall out
    first, count = first[longest], count[longest]
    going = [int(np.searchsorted(-count, -step)) for step in range(int(count.max()))]
    before = np.empty(cost.shape, dtype=np.int32)
    everyone = np.arange(cost.shape[1])
    total = cost[first]
    for step, active in enumerate(going[1:], start=1):
        index = first[:active] + step
        best = total[:active].argmin(axis=1)
        least = total[np.arange(active), best][:, None] + _TURN_S
        change = least < total[:active]
        before[index] = np.where(change, best[:, None], everyone)
        total[:active] = np.where(change, least, total[:active]) + cost[index]
    owner = np.empty(len(cost), dtype=np.int64)
    owner[first + count - 1] = total.argmin(axis=1)
    for step in range(len(going) - 1, 0, -1):
        index = first[: going[step]] + step
        owner[index - 1] = before[index, owner[index]]
    return owner


def _whole_batteries(
    cost: Array, lane: NDArray[np.int64], chunk_s: float, turn_s: float, battery_s: Array
) -> NDArray[np.int64]:
    """The site of each stretch, sites with work for little more than whole batteries giving some of it away.

    Sites get prices until each one's work fills whole batteries (an auction); the division with the fewest batteries is
    kept, the first, unpriced one among them.

    Args:
        cost: See `_along_lanes`.
        lane: See there.
        chunk_s: Seconds that a stretch takes.
        turn_s: What each run of stretches of one site takes besides.
        battery_s: (m,) what one battery of each site flies, ways from and to home left out.
    """
    price = np.zeros(cost.shape[1])
    best: tuple[float, NDArray[np.int64]] | None = None
    for _ in range(_PRICE_ROUNDS):
        owner = _along_lanes(cost + price, lane)
        runs = np.append(True, (lane[1:] != lane[:-1]) | (owner[1:] != owner[:-1]))
        work_s = chunk_s * np.bincount(owner, minlength=len(price)) + turn_s * np.bincount(
            owner[runs], minlength=len(price)
        )
        need = work_s / battery_s
        batteries = float(np.ceil(need + _SPARE / 2).sum())
        if best is None or batteries < best[0]:
            best = batteries, owner
        wanted = np.maximum(np.round(need + _SPARE), 1.0) - _SPARE
        short = need.sum() - wanted.sum()
        for site in np.argsort(wanted - need)[: max(0, int(np.ceil(short)))]:  # not all can give: the fullest take more
            wanted[site] += 1.0
        price = price + _PRICE_STEP_S * np.clip(need - wanted, -0.5, 0.5)
    assert best is not None
    return best[1]
