"""What PyVRP would gain over the brigade's own order of its crews' sites (travel comes second, after the finish)."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from missions.result import PlanResult
from missions.roster import Roster
from missions.timetable import drive_s

# PyVRP counts in whole numbers: tenths of a second. A crew has 4 to 8 sites; 2,000 rounds take 0.05 s.
_TENTHS, _ROUNDS = 10, 2000


def _driven_s(roster: Roster, places: NDArray[np.float64]) -> float:
    return sum(drive_s(roster, here, there) for here, there in itertools.pairwise(places))


def _shortest_s(roster: Roster, places: NDArray[np.float64]) -> float:
    """The shortest way over all places by PyVRP, from any of them to any other: the depot is near to all."""
    from pyvrp import Model
    from pyvrp.stop import MaxIterations

    model = Model()
    depot = model.add_location(0, 0)
    model.add_depot(depot)
    model.add_vehicle_type(1)
    sites = [model.add_location(float(x), float(y)) for x, y in places]
    for site, here in zip(sites, places, strict=True):
        model.add_client(site)
        model.add_edge(depot, site, distance=0)
        model.add_edge(site, depot, distance=0)
        for other, there in zip(sites, places, strict=True):
            if other is not site:
                model.add_edge(site, other, distance=round(_TENTHS * drive_s(roster, here, there)))
    return float(model.solve(MaxIterations(_ROUNDS), seed=1, display=False).cost()) / _TENTHS


def travel_said(result: PlanResult) -> str:
    """A line: the crews' time on the road as planned, and with each crew's sites in PyVRP's order."""
    roster = result.task.roster
    assert roster is not None
    gains, ours_s = [], 0.0
    for day in result.days:
        planned_s = _driven_s(roster, np.array(day.sites))
        places = np.array(list(dict.fromkeys(day.sites)))
        ours_s += planned_s
        gains.append(planned_s - (_shortest_s(roster, places) if len(places) > 1 else 0.0))
    busy_s = sum(day.busy_s for day in result.days)
    return (
        f"travel: {ours_s / 3600:.2f} h of the crews' {busy_s / 3600:.0f} h; PyVRP's order of each crew's sites saves "
        f"{sum(gains) / 3600:.2f} h, {sum(gains) / ours_s:.1%} of travel and {sum(gains) / busy_s:.2%} of the crews' "
        f"hours; most for one crew {max(gains) / 60:.0f} min"
    )
