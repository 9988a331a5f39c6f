from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.sureness import (
    ALONE,
    DEFAULT,
    FAVOUR,
    Evidence,
    before_frames,
    expected_calibration_error,
    features,
    log_odds,
    probability,
    threshold_for_recall,
    wilson,
)

shares = st.floats(0, 1)


@given(shares, shares, st.floats(0.1, 500), st.floats(-5, 20) | st.none())
def test_a_probability_is_one_and_grows_with_the_networks_word(a: float, b: float, area: float, rise: float) -> None:
    low, high = sorted((a, b))
    values = [probability(Evidence(m, m, area, (m,), rise), {**DEFAULT, "height": 1.0}) for m in (low, high)]
    assert 0 <= values[0] <= values[1] <= 1


def test_where_no_frame_looks_other_weights_are_added_and_nowhere_else() -> None:
    weights = {**DEFAULT, "looked": 2.0, f"{ALONE}bias": -1.0, f"{ALONE}mean": 0.5}
    plain = {name: w for name, w in weights.items() if not name.startswith(ALONE)}
    seen, alone = Evidence(0.8, 0.9, 20.0, (0.7,), 2.0), Evidence(0.8, 0.9, 20.0, (), 2.0)
    assert probability(seen, weights) == probability(seen, plain)
    mean = float(np.log(0.8 / 0.2))
    assert probability(alone, weights) == pytest.approx(1 / (1 + np.exp(-(1.5 * mean - 1.0))))
    assert before_frames(weights) == {**plain, "bias": 2.0}


def test_perfect_and_hopeless_calibration() -> None:
    truth = np.array([True] * 50 + [False] * 50)
    assert expected_calibration_error(truth.astype(float), truth) == 0
    assert expected_calibration_error(1 - truth.astype(float), truth) == 1


@given(st.integers(0, 50), st.integers(0, 50))
def test_an_interval_holds_the_share(hits: int, misses: int) -> None:
    low, high = wilson(hits, hits + misses)
    share = hits / (hits + misses) if hits + misses else 0.5
    assert 0 <= low <= share <= high <= 1


def test_a_promised_recall_needs_evidence() -> None:
    assert threshold_for_recall([0.9, 0.8], [True, True], 0, 0.95) == 0.0
    scores = np.linspace(0.99, 0.4, 200).tolist()
    cut = threshold_for_recall(scores, [True] * 200, 0, 0.9)
    kept = sum(s >= cut for s in scores)
    assert wilson(kept, 200)[0] >= 0.9
    assert wilson(kept - 1, 200)[0] < 0.9
    assert threshold_for_recall(scores, [True] * 200, 100, 0.9) == 0.0


def test_no_single_cue_outweighs_all_others() -> None:
    sure = probability(Evidence(1.0, 1.0, 20.0), dict(DEFAULT))
    assert sure == pytest.approx(1 / (1 + np.exp(-5)))


def test_a_lorry_is_told_by_its_measures_and_where_it_stands() -> None:
    lorry = Evidence(0.6, 0.8, 20.0, height_m=2.6, sides_m=(2.6, 8.0), beside=0.05)
    assert features(lorry)["lorry"] == 1.0
    for other in ({"sides_m": (4.5, 8.0)}, {"height_m": 5.5}, {"beside": 0.8}, {"sides_m": (3.0, 3.2)}):
        assert features(replace(lorry, **other))["lorry"] == 0.0


def test_what_rose_alone_is_told_from_a_car_by_its_height() -> None:
    risen = Evidence(0.05, 0.05, 9.0, height_m=1.3, risen=True)
    assert features(risen)["tall"] < 0 < features(replace(risen, height_m=2.3))["tall"]
    assert features(replace(risen, risen=False))["tall"] == 0.0


def test_what_stands_higher_than_heaps_do_speaks_against_a_heap() -> None:
    low = Evidence(0.9, 0.95, 5.0, (0.9,), 0.1, before=0.05, stands_m=0.6)
    assert features(low)["stands"] == 1.0 and features(low)["tower"] == 0.0
    assert features(replace(low, stands_m=4.0))["tower"] == 1.0
    assert features(replace(low, stands_m=None))["surveyed"] == 0.0


def test_litter_may_lie_flat_where_nothing_small_may() -> None:
    """Crossed cues: how much it says that a thing stands above the ground depends on its size, where no frame looks."""
    flat, high = Evidence(0.9, 0.95, 40.0, stands_m=0.0), Evidence(0.9, 0.95, 40.0, stands_m=0.6)
    weights = DEFAULT | {"stands": 2.0, f"{ALONE}area_stands": -1.0}

    def worth(area_m2: float) -> float:
        sure = [probability(replace(e, area_m2=area_m2), weights) for e in (flat, high)]
        return float(np.diff(np.log(np.array(sure) / (1 - np.array(sure))))[0])

    assert worth(2.0) > worth(10.0) > worth(60.0) > 0


@pytest.mark.parametrize("known", [{"looks": (0.9,), "stands_m": 0.4}, {"stands_m": None}])
def test_crossed_cues_count_only_without_frames_and_with_a_surface(known: dict[str, object]) -> None:
    crossed = ("standing_m", "peak_stands", "area_stands", "before_stands", "peak_area", "area_area")
    evidence = replace(Evidence(0.9, 0.95, 40.0, before=0.2), **known)
    assert probability(evidence, DEFAULT | {ALONE + name: 3.0 for name in crossed}) == probability(evidence, DEFAULT)


def test_texture_speaks_for_and_against_waste_beside_shape() -> None:
    """And says nothing where one branch is all there is: in older models, and of structures."""
    word = Evidence(0.8, 0.9, 10.0)
    surer, alike, doubted = (probability(replace(word, both=p), DEFAULT) for p in (0.95, 0.8, 0.3))
    assert surer > alike > doubted
    assert alike == probability(word, DEFAULT)


def test_only_what_no_frame_sees_and_more_than_a_picture_tells_of_is_favoured() -> None:
    """By the log-odds in the card, no more."""
    favoured = DEFAULT | {FAVOUR: 1.5}
    alone, seen, bare = Evidence(0.5, 0.6, 8.0, (), 0.4), Evidence(0.5, 0.6, 8.0, (0.5,), 0.4), Evidence(0.5, 0.6, 8.0)
    assert log_odds(alone, favoured) == pytest.approx(log_odds(alone, DEFAULT) + 1.5)
    for other in (seen, bare):
        assert log_odds(other, favoured) == log_odds(other, DEFAULT)
