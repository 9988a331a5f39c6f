import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.copter.trajectory import Leg, Limits, Profile, Ramp, Track, overlap_s

sizes = st.floats(0.05, 2000)


@settings(max_examples=200, deadline=None)
@given(sizes, st.floats(0.5, 20), st.floats(0.5, 5), st.floats(0.3, 5))
def test_a_profile_ends_at_its_length_and_keeps_every_limit(length: float, speed: float, accel: float, jerk: float):
    profile = Profile(length, speed, accel, jerk)
    count = 400
    states = [profile.at(profile.duration_s * i / count) for i in range(count + 1)]
    assert states[-1][0] == pytest.approx(length, rel=1e-6)
    assert profile.at(profile.duration_s * 0.999999)[0] == pytest.approx(length, rel=1e-3, abs=1e-3)
    assert max(v for _, v, _ in states) <= speed * 1.001
    assert max(abs(a) for _, _, a in states) <= accel * 1.001
    assert all(b[0] >= a[0] - 1e-9 for a, b in itertools.pairwise(states)), "it never goes backwards"
    step = profile.duration_s / count
    for a, b in itertools.pairwise(states):
        assert abs(b[1] - a[1]) <= accel * 1.001 * step + 1e-9
        assert abs(b[2] - a[2]) <= jerk * 1.001 * step + 1e-9


def test_duration_of_a_long_leg_is_length_by_speed_and_one_acceleration_time() -> None:
    leg = Leg((0, 0, 50), (300, 0, 50), Limits())
    # To 10 m/s at 2.5 m/s2 with 1 m/s3 of jerk that comes and goes in 0.3 s: 4 s and 2.5 + 0.3 s, half of it for each.
    assert leg.profile.duration_s == pytest.approx(30 + 4 + 2.8, abs=0.01)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 20), st.floats(0.5, 5), st.floats(0.3, 5))
def test_a_ramp_changes_speed_by_what_was_asked(change: float, accel: float, jerk: float) -> None:
    ramp = Ramp.of(change, accel, jerk)
    time, speed, pull = 0.0, 0.0, 0.0
    step = ramp.duration_s / 4000
    edges = list(itertools.accumulate(phase[0] for phase in ramp.phases(1.0)))
    while time < ramp.duration_s:
        k = next((k for k, edge in enumerate(edges) if time < edge), 6)
        length, begin, end = ramp.phases(1.0)[k]
        t = time - (edges[k] - length)
        now = (begin + end) / 2 + (begin - end) / 2 * math.cos(math.pi * t / length) if length > 0 else 0.0
        pull += now * step
        speed += pull * step
        time += step
        assert abs(now) <= jerk * 1.001
        assert pull <= accel * 1.01
    assert speed == pytest.approx(change, rel=0.01)


def test_climb_is_held_to_the_climb_rate_on_a_slope() -> None:
    leg = Leg((0, 0, 0), (30, 0, 40), Limits())
    top = max(leg.profile.at(t / 10)[1] for t in range(400))
    assert top * 0.8 <= 2.5 + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.floats(5, 400), st.floats(5, 400), st.floats(-3.1, 3.1))
def test_a_corner_is_cut_by_the_radius_at_most(first: float, second: float, turn: float) -> None:
    limits = Limits()
    end = (first, 0.0, 30.0)
    onward = (first + second * math.cos(turn), second * math.sin(turn), 30.0)
    track = Track((0, 0, 30))
    track.go((0, 0, 30), end, limits)
    track.then(onward, limits)
    nearest, before, turned = math.inf, track.position, False
    for _ in range(20_000):
        track.advance(0.02)
        nearest = min(nearest, math.dist(track.position, end))
        assert math.dist(track.position, before) <= limits.speed * 0.02 * 1.02, "no jump"
        before = track.position
        if track.done and not turned:
            turned = True
            track.turn()
        elif track.done:
            break
    assert turned and math.dist(track.position, onward) < 1e-6
    assert nearest <= limits.radius + 0.05


def test_straight_on_there_is_no_slowing_down() -> None:
    track = Track((0, 0, 30))
    track.go((0, 0, 30), (200, 0, 30), Limits())
    track.then((400, 0, 30), Limits())
    speeds = []
    for _ in range(2500):
        track.advance(0.02)
        if track.done and track.flows:
            track.turn()
        if 100 < track.position[0] < 300:
            speeds.append(math.hypot(*track.velocity[:2]))
    assert min(speeds) > 9.9


def test_legs_of_no_length_end_at_once() -> None:
    track = Track((1, 2, 3))
    track.go((1, 2, 3), (1, 2, 3), Limits())
    track.advance(0.02)
    assert track.done and track.position == (1, 2, 3)
    assert overlap_s(Leg((0, 0, 0), (0, 0, 0), Limits()), Leg((0, 0, 0), (9, 0, 0), Limits())) == 0.0
