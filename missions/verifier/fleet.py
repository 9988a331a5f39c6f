"""Own aircraft in space and time: how near those of different sorties come to one another by the plan's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import shapely

from missions.frame import Array
from missions.verifier.flight import Flight

APART_M, ABOVE_M = 30.0, 10.0
_STEP_S = 2.0


def _clock(flight: Flight, start: datetime) -> tuple[Array, Array]:
    """Times (n,) s after `start` and places (n, 3): legs flown evenly over the planned duration."""
    legs = np.linalg.norm(np.diff(flight.points, axis=0), axis=1)
    done = np.concatenate([[0.0], np.cumsum(legs)])
    begin = (flight.sortie.start_utc - start).total_seconds()
    first = np.ceil(begin / _STEP_S) * _STEP_S
    at = np.arange(first, begin + flight.sortie.duration_s, _STEP_S)
    along = (at - begin) / max(flight.sortie.duration_s, 1e-9) * done[-1]
    return at, np.column_stack([np.interp(along, done, flight.points[:, axis]) for axis in range(3)])


def conflicts(flights: Sequence[Flight], home_m: Array) -> list[tuple[float, str]]:
    """(seconds, line) for every two flights that come nearer than 30 m beside and 10 m above one another.

    Both on the ground at one site is no conflict: what is lower than 10 m above its own home is left out.

    Args:
        flights: All of a plan.
        home_m: (n,) ground heights of their homes.
    """
    if len(flights) < 2:
        return []
    start = min(flight.sortie.start_utc for flight in flights)
    clocks = [_clock(flight, start) for flight in flights]
    boxes = [shapely.box(*flight.points[:, :2].min(axis=0), *flight.points[:, :2].max(axis=0)) for flight in flights]
    found = []
    for a, b in shapely.STRtree(boxes).query(boxes, predicate="intersects").T:
        if a >= b or flights[a].sortie.crew == flights[b].sortie.crew:
            continue
        (times_a, places_a), (times_b, places_b) = clocks[a], clocks[b]
        _, one, two = np.intersect1d(times_a, times_b, assume_unique=True, return_indices=True)
        gap = places_a[one] - places_b[two]
        rise = np.abs(gap[:, 2] + home_m[a] - home_m[b])
        flying = (places_a[one, 2] > ABOVE_M) & (places_b[two, 2] > ABOVE_M)
        near = flying & (np.hypot(gap[:, 0], gap[:, 1]) < APART_M) & (rise < ABOVE_M)
        if near.any():
            seconds = float(near.sum()) * _STEP_S
            found.append((seconds, f"{flights[a].sortie.id} and {flights[b].sortie.id} meet for {seconds:.0f} s"))
    return found
