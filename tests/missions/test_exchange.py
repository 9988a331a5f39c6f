"""Sorties that give work to one another: nothing is lost or flown twice, batteries hold, and the day gets shorter."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missions.coverage import OVERRUN_M, Lanes, Strip
from missions.energy import FlightModel
from missions.estimate import Rates, loop_m
from missions.exchange import Exchange
from missions.loops import looped
from missions.route import build_route
from missions.routing import Router
from missions.segments import Ownership, Segment, segments_of
from missions.shares import Limits, Share
from missions.sorties import Pieces
from missions.tracks import Tracks
from tests.missions.test_loops import MODEL, STRIP

LIMITS = Limits(range_m=1500.0, stretches=36, swap_s=240.0, road_s_per_m=0.17)


def town(rows: int, length_m: float, strip: Strip = STRIP) -> Tracks:
    """Lanes side by side along the first axis, `rows` of them."""
    y = np.arange(rows) * strip.lane_m
    photos = round(length_m / strip.trigger_m)
    start = np.column_stack([np.zeros(rows), y])
    end = np.column_stack([np.full(rows, photos * strip.trigger_m + OVERRUN_M), y])
    return Tracks.of(Lanes(start, end, np.arange(rows), 0.0), strip)


def in_stripes(segments: list[Segment], count: int) -> list[np.ndarray]:
    """Cells dealt to sorties across the lanes, as a bad plan would: every line cut in `count`."""
    return [np.minimum(np.arange(one.cells) * count // one.cells, count - 1) for one in segments]


def exchange(tracks: Tracks, sites: np.ndarray, count: int, model: FlightModel = MODEL) -> Exchange:
    segments = segments_of(tracks, STRIP)
    shares = [Share(number, 0, number % 2, model.budget_wh(1.0 - 0.05 * (number % 2))) for number in range(count)]
    for share in shares:
        share.site = int(np.abs(sites[:, 0] - tracks.high.max() * (share.number + 0.5) / count).argmin())
    return Exchange(
        segments,
        sites,
        Rates.of(model, STRIP, tracks.direction_rad),
        LIMITS,
        shares,
        in_stripes(segments, count),
        np.zeros(2),
        lambda site, segment: None,
    )


def whole(search: Exchange, segments: int) -> None:
    """Every cell of every segment is flown by exactly one sortie, and sums along lines are those of its cells."""
    seen: dict[int, list[tuple[int, int]]] = {}
    for share in search.shares:
        for segment, first, last in share.cells():
            assert first < last
            seen.setdefault(segment.number, []).append((first, last))
    assert sorted(seen) == list(range(segments))
    for runs in seen.values():
        runs.sort()
        assert runs[0][0] == 0 and all(a[1] == b[0] for a, b in itertools.pairwise(runs))


def test_the_search_shortens_a_day_and_loses_nothing() -> None:
    tracks = town(24, 3000.0)
    sites = np.array([[700.0, 300.0], [1500.0, 900.0], [2300.0, 500.0]])
    search = exchange(tracks, sites, 7)
    before = sum(share.seconds for share in search.shares)
    search.anneal(3, moves=1500)
    whole(search, 12)
    assert all(share.wh <= share.limit_wh for share in search.shares)
    assert sum(share.seconds for share in search.shares) < 0.97 * before
    assert sum(bool(share.spans) for share in search.shares) <= 6
    assert all(share.seconds == 0.0 for share in search.shares if not share.spans)


def test_the_same_seed_gives_the_same_plan() -> None:
    found = []
    for _ in range(2):
        search = exchange(town(12, 2500.0), np.array([[500.0, 0.0], [2000.0, 500.0]]), 4)
        search.anneal(5, moves=200)
        found.append(
            [(share.site, share.crew, sorted((s.number, a, b) for s, a, b in share.cells())) for share in search.shares]
        )
    assert found[0] == found[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 14), st.floats(400, 3000), st.integers(1, 5), st.integers(0, 1000))
def test_whatever_the_lanes_no_cell_is_lost(rows: int, length_m: float, count: int, seed: int) -> None:
    tracks = town(rows, length_m)
    search = exchange(tracks, np.array([[length_m / 2, 0.0], [100.0, 50.0]]), count)
    search.anneal(seed, moves=60)
    whole(search, math.ceil(rows / 2))
    lanes_m = sum(segment.lanes_m[b] - segment.lanes_m[a] for share in search.shares for segment, a, b in share.cells())
    assert lanes_m == pytest.approx(float((tracks.high - tracks.low).sum()), rel=1e-9)


def test_work_out_of_sight_goes_to_the_site_that_sees_it() -> None:
    tracks = town(8, 4000.0)
    search = exchange(tracks, np.array([[1000.0, 200.0], [3000.0, 200.0]]), 4)
    for share in search.shares:
        share.site = 0
    search.anneal(1, moves=800)
    for share in search.shares:
        for segment, first, last in share.cells():
            away = [
                math.hypot(segment.at_m[place] - search.sites[share.site][0], segment.across_m - 200.0)
                for place in (first, last)
            ]
            assert max(away) <= LIMITS.range_m + 1.0


@pytest.mark.parametrize(("pairs", "home"), [(3, (900.0, -30.0)), (5, (600.0, 250.0)), (4, (-200.0, 0.0))])
def test_the_estimate_is_near_what_the_loop_takes(pairs: int, home: tuple[float, float]) -> None:
    tracks = town(2 * pairs, 1800.0)
    segments = segments_of(tracks, STRIP)
    lines = Pieces(
        np.array([tracks.points(one.track, np.array(one.at_m))[0] for one in segments]),
        np.array([tracks.points(one.track, np.array(one.at_m))[-1] for one in segments]),
        np.arange(pairs),
    )
    place = np.array(home)
    route = build_route(looped(tracks.stretches(lines), place, Router([]), MODEL, STRIP), place, Router([]), STRIP)
    seconds, energy_wh = route.time_and_energy(MODEL)
    rates = Rates.of(MODEL, STRIP, 0.0)
    loop = loop_m(*home, [(one.across_m, one.at_m[0], one.at_m[-1]) for one in segments])
    beside_s = rates.beside_lanes_s(loop, sum(one.stretches(0, one.cells) for one in segments), 0.0)
    lanes_m = sum(one.lanes_m[-1] for one in segments)
    assert lanes_m / rates.speed_mps + beside_s + rates.fixed_s == pytest.approx(seconds, abs=30.0)
    assert rates.energy_wh(lanes_m, beside_s) == pytest.approx(energy_wh, rel=0.03)


def test_pieces_mark_the_cells_that_they_cover() -> None:
    tracks = town(4, 1000.0)
    segments = segments_of(tracks, STRIP)
    ownership = Ownership(tracks, segments)
    middle = segments[1].at_m[5]
    line = tracks.points(1, np.array([middle, segments[1].at_m[-1]]))
    ownership.give(Pieces(line[1:], line[:1], np.array([0])), 7)
    assert (ownership.owner[0] == -1).all()
    assert (ownership.owner[1][:5] == -1).all() and (ownership.owner[1][5:] == 7).all()
    assert segments[1].stretches(0, segments[1].cells) == 2 and segments[1].stretches(5, 8) == 2
