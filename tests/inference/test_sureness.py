from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.fitting import fit, fit_alone
from inference.sureness import (
    ALONE,
    BARE,
    BOUNDS,
    DEFAULT,
    Evidence,
    before_frames,
    expected_calibration_error,
    features,
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


def _drawn(count: int, seed: int) -> tuple[list[Evidence], list[bool]]:
    """Candidates whose truth follows height more than the network's word."""
    rng = np.random.default_rng(seed)
    real = rng.random(count) < 0.5
    evidence = [
        Evidence(
            float(np.clip(0.5 + (0.15 if r else -0.05) + rng.normal(0, 0.2), 0.01, 0.99)),
            0.8,
            float(rng.uniform(3, 60)),
            (),
            float(rng.normal(3, 1) if r else rng.normal(0.2, 0.4)),
        )
        for r in real
    ]
    return evidence, [bool(r) for r in real]


def test_fitted_weights_are_calibrated_on_other_candidates() -> None:
    weights = fit(*_drawn(400, 1))
    evidence, truth = _drawn(600, 2)
    p = np.array([probability(e, weights) for e in evidence])
    assert expected_calibration_error(p, np.array(truth)) < 0.05
    assert ((p > 0.5) == np.array(truth)).mean() > 0.93
    assert weights["flat"] <= 0


def test_where_no_frame_looks_other_weights_are_added_and_nowhere_else() -> None:
    weights = {**DEFAULT, "looked": 2.0, f"{ALONE}bias": -1.0, f"{ALONE}mean": 0.5}
    plain = {name: w for name, w in weights.items() if not name.startswith(ALONE)}
    seen, alone = Evidence(0.8, 0.9, 20.0, (0.7,), 2.0), Evidence(0.8, 0.9, 20.0, (), 2.0)
    assert probability(seen, weights) == probability(seen, plain)
    mean = float(np.log(0.8 / 0.2))
    assert probability(alone, weights) == pytest.approx(1 / (1 + np.exp(-(1.5 * mean - 1.0))))
    assert before_frames(weights) == {**plain, "bias": 2.0}


def test_weights_without_frames_are_calibrated_where_the_others_are_not() -> None:
    base = {**DEFAULT, "bias": 3.0, "height": 1.0}
    fitted = fit_alone(*_drawn(400, 1), base)
    evidence, truth = _drawn(600, 2)
    before, after = (np.array([probability(e, w) for e in evidence]) for w in (base, fitted))
    assert (
        expected_calibration_error(after, np.array(truth)) < 0.05 < expected_calibration_error(before, np.array(truth))
    )
    assert {name: w for name, w in fitted.items() if not name.startswith((ALONE, BARE))} == base
    for name, (low, high) in BOUNDS.items():
        both = fitted.get(name, 0.0) + fitted.get(ALONE + name, 0.0)
        assert name == "looks" or ((low is None or both >= low - 1e-3) and (high is None or both <= high + 1e-3)), name
    assert fit_alone(evidence, [True] * len(evidence), base) == base


def test_too_few_to_fit_leaves_the_networks_word() -> None:
    assert fit(*_drawn(5, 1)) == DEFAULT
    evidence, _ = _drawn(50, 1)
    assert fit(evidence, [True] * 50) == DEFAULT


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


def test_the_surveys_edge_can_only_speak_against_a_candidate() -> None:
    evidence, truth = _drawn(400, 5)
    edges = [replace(e, edge=not real) for e, real in zip(evidence, truth, strict=True)]
    weights = fit(edges, truth)
    assert weights["edge"] < -0.5
    inside = replace(evidence[0], edge=False)
    assert probability(replace(inside, edge=True), weights) < probability(inside, weights)


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


def test_however_well_shape_fits_texture_keeps_a_say() -> None:
    """Where only shape tells, as on towns with drawn waste, texture's weight stays within its bounds."""
    rng = np.random.default_rng(3)
    truth = [bool(rng.random() < 0.5) for _ in range(300)]
    evidence = [Evidence(0.97 if real else 0.03, 0.98 if real else 0.05, 10.0, both=0.5) for real in truth]
    assert fit(evidence, truth, 0.1)["texture"] == BOUNDS["texture"][0]
    alone = fit_alone(evidence, truth, fit(evidence, truth, 0.1), 0.1)
    assert alone["texture"] + alone[f"{ALONE}texture"] >= BOUNDS["texture"][0]


def test_of_one_picture_alone_the_networks_word_is_weighed_anew() -> None:
    """With a surface the rise tells; without anything but a picture, the word must, and its probability be true."""
    rng = np.random.default_rng(5)

    def drawn(count: int) -> tuple[list[Evidence], list[bool]]:
        truth = [bool(rng.random() < 0.4) for _ in range(count)]
        words = [float(1 / (1 + np.exp(-(rng.normal(0.8 if real else -0.8, 1.0))))) for real in truth]
        return [
            Evidence(word, word, 10.0, (), 1.5 if real else 0.0, stands_m=0.5 if real else 0.0)
            for word, real in zip(words, truth, strict=True)
        ], truth

    fitted = fit_alone(*drawn(400), DEFAULT | {"height": 3.0})
    evidence, truth = drawn(600)
    bare = [replace(e, height_m=None, stands_m=None) for e in evidence]
    without_bare = {name: w for name, w in fitted.items() if not name.startswith(BARE)}
    off, mended = (
        expected_calibration_error(np.array([probability(e, w) for e in bare]), np.array(truth))
        for w in (without_bare, fitted)
    )
    assert mended < 0.06 < off
    for e in (evidence[0], replace(bare[0], looks=(0.7,)), replace(bare[0], before=0.1)):
        assert probability(e, fitted) == probability(e, without_bare)
    assert not any(name.startswith(BARE) for name in before_frames(fitted))
