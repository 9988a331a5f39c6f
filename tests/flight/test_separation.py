"""Giving way: meetings that only the course shows, and ways out that would meet a third. Named by what chaos broke."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flight.foresight import Knot, launching, sampled, stopping, to_height
from flight.guard import Action
from flight.separation import Separation
from flight.view import Ahead, Motion, Other
from tests.flight.test_guard import make_view, orders, other

__all__ = ["orders"]  # a fixture

TOP_M, REFUGE_M = 57.0, 70.0


def test_a_climb_under_one_that_stands_still_is_seen_before_it_begins(orders):
    """Seed 718: let go at 23 m beneath one that had just stopped at 40 m; both stood, so nothing was seen to meet."""
    overhead = (other(1, 0, 40),)
    me = Motion(0.0, 0.0, 23.0, 0.0, 0.0, 0.0)
    climbing = Separation().look(make_view(orders, h=23, course=launching(me, 40.0), others=overhead))
    staying = Separation().look(make_view(orders, h=23, others=overhead))
    assert climbing.level >= 1
    assert climbing.action == Action.HOLD
    assert staying.level < 0.85  # and held there it may stay


@pytest.mark.parametrize("height_m", [12.0, 21.0, 28.0])
def test_nobody_climbs_to_the_refuge_through_the_height_of_one_that_arrives_overhead(orders, height_m):
    """Seeds 223 and 718: 36 m away and coming over the pad, while we climbed past its height to the refuge."""
    me = Motion(0.0, 0.0, height_m, 0.0, 0.0, 2.0)
    coming = (other(0, 36, 40, vy=-8),)
    found = Separation().look(make_view(orders, h=height_m, vh=2.0, course=launching(me, 60.0), others=coming))
    assert (found.level >= 1, found.action) == (True, Action.HOLD)


def test_nobody_climbs_to_one_who_waits_in_the_refuge_already(orders):
    """Seed 902: two gave way by the same climb, and stood 7 m apart for twenty seconds."""
    coming, waiting = other(80, 0, TOP_M, vx=-8), other(-6, 0, REFUGE_M, first=False)
    alone = Separation().look(make_view(orders, h=TOP_M, others=(coming,)))
    crowded = Separation().look(make_view(orders, h=TOP_M, others=(coming, waiting)))
    assert (alone.action, alone.height_m) == (Action.HEIGHT, REFUGE_M)
    assert crowded.action == Action.HOLD


def test_one_on_its_way_to_the_refuge_turns_back_when_another_drifts_over_it(orders):
    """Seed 902 again: told to stop where it was, 7 m beneath; its own height was free."""
    rule = Separation()
    over = other(-6, 0, REFUGE_M - 4, first=True)
    found = rule.look(make_view(orders, h=TOP_M + 6, others=(over,)))
    assert (found.action, found.height_m) == (Action.HEIGHT, TOP_M)


def test_what_waits_for_us_does_not_hold_us_for_ever(orders):
    """Both held, each by what the other will do when let go: after a while only what it does counts."""
    frame = make_view(orders).sight.frame
    lon, lat = frame.lonlat(60.0, 0.0)
    here_lon, here_lat = frame.lonlat(0.0, 0.0)
    stands = np.array([[0, lon, lat, 120.0], [1, lon, lat, 120.0]])
    comes = np.array([[0, lon, lat, 120.0], [8, here_lon, here_lat, 120.0]])
    held = Other("vehicle 2", lon, lat, 120.0, 0, 0, 0, True, (Ahead(stands), Ahead(comes, resumed=True)))
    rule = Separation()
    levels = [rule.look(make_view(orders, h=60, now_s=100 + n, holding=True, others=(held,))).level for n in range(40)]
    assert levels[0] >= 1
    assert levels[-1] < 0.85


def test_one_in_doubt_of_its_position_is_passed_above_not_beside(orders):
    """Seed 190: 43 m from where it said it was, and passed at 10 m by one who kept 37 m from its word."""
    frame = make_view(orders).sight.frame
    lon, lat = frame.lonlat(37.0, 0.0)
    stands = np.array([[0, lon, lat, 60.0 + TOP_M], [1, lon, lat, 60.0 + TOP_M]])
    said = Other("vehicle 2", lon, lat, 60.0 + TOP_M, 0, 0, 0, True, (Ahead(stands),))
    believed = Separation().look(make_view(orders, h=TOP_M, y=-40, vy=8.0, others=(said,)))
    doubted = said._replace(aheads=(Ahead(stands, doubt_m=35.0),))
    found = Separation().look(make_view(orders, h=TOP_M, y=-40, vy=8.0, others=(doubted,)))
    assert believed.level < 1
    assert (found.action, found.height_m) == (Action.HEIGHT, REFUGE_M)


@given(
    st.lists(
        st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.sampled_from([40.0, TOP_M, REFUGE_M]), st.floats(-8, 8),
                  st.floats(-8, 8), st.booleans()),
        min_size=1, max_size=4,
    ),
    st.floats(20, REFUGE_M),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_way_out_comes_nearer_to_anybody_than_stopping_would(orders, crowd, height_m):
    others = tuple(other(x, y, h, vx, vy, first=first) for x, y, h, vx, vy, first in crowd)
    view = make_view(orders, h=height_m, vx=5.0, others=others)
    found = Separation().look(view)
    if found.action != Action.HEIGHT:
        return
    tracks = [sampled((Knot(0, *m[:3]), Knot(20, *m.after(20)[:3]))) for m in map(view.motion_of, others)]

    def nearest(course):
        return min(float((((track - sampled(course)) ** 2).sum(axis=1) ** 0.5).min()) for track in tracks)

    # Where both are clear of the cylinder, either will do.
    assert nearest(to_height(view.me, found.height_m)) >= min(nearest(stopping(view.me)) - 0.5, 12.0)
