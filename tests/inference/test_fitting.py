"""Weights fitted on drawn candidates hold on others; bounds, and what is kept of earlier weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import shapely

from inference.candidates import Candidate
from inference.engine import ModelCard
from inference.fitting import fit, fit_alone
from inference.proposals import Proposal
from inference.sureness import (
    ALONE,
    BARE,
    BOUNDS,
    DEFAULT,
    FAVOUR,
    Evidence,
    before_frames,
    expected_calibration_error,
    log_odds,
    of_frames,
    probability,
)
from inference.training.evaluate import LEAST_CANDIDATES, JudgedScene, calibrate, fit_weights
from inference.training.scoring import TrueThing


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
    """Ten equally filled bins of 600 candidates that the fit has not seen."""
    weights = fit(*_drawn(400, 1))
    evidence, truth = _drawn(600, 2)
    p = np.array([probability(e, weights) for e in evidence])
    assert expected_calibration_error(p, np.array(truth)) < 0.05
    assert ((p > 0.5) == np.array(truth)).mean() > 0.93
    assert weights["flat"] <= 0


def test_weights_without_frames_are_calibrated_where_the_others_are_not() -> None:
    """And keep to the bounds together with those that they are added to."""
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
    """Or one outcome only: nothing can be learnt from that."""
    assert fit(*_drawn(5, 1)) == DEFAULT
    evidence, _ = _drawn(50, 1)
    assert fit(evidence, [True] * 50) == DEFAULT


def test_the_surveys_edge_can_only_speak_against_a_candidate() -> None:
    """Every false one lies at the edge here, no real one."""
    evidence, truth = _drawn(400, 5)
    edges = [replace(e, edge=not real) for e, real in zip(evidence, truth, strict=True)]
    weights = fit(edges, truth)
    assert weights["edge"] < -0.5
    inside = replace(evidence[0], edge=False)
    assert probability(replace(inside, edge=True), weights) < probability(inside, weights)


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


def test_a_first_patrol_is_no_worse_off_for_having_no_earlier_day() -> None:
    """All real candidates were new, so the earlier day's silence told much: its absence must not tell against them."""
    evidence, truth = _drawn(300, 7)
    days = [replace(e, before=0.05 if real else 0.6) for e, real in zip(evidence, truth, strict=True)]
    weights = fit(days, truth)
    first = np.array([probability(replace(e, before=None), weights) for e in days])
    assert abs(float(first.mean()) - float(np.mean(truth))) < 0.1


def _judged(evidence: list[Evidence], truth: list[bool]) -> JudgedScene:
    """Candidates in a row, a true thing under each real one."""
    boxes = [shapely.box(20 * i, 0, 20 * i + 4, 4) for i in range(len(evidence))]
    found = [
        Candidate("sanitation", "waste_heap", Proposal(box, 16.0, e.mean, e.peak, {}, None), e, 0.5)
        for box, e in zip(boxes, evidence, strict=True)
    ]
    real = tuple(TrueThing(box, "sanitation", area_m2=16.0) for box, t in zip(boxes, truth, strict=True) if t)
    judged = cast(Any, SimpleNamespace(candidates=found))
    return JudgedScene(Path("scene"), "place", judged, real, 1e4)


def test_scenes_without_frames_leave_what_frames_are_worth() -> None:
    """`yunxun learn` once put weights fitted without frames in place of all, and dropped those for no frames."""
    before = DEFAULT | {"looks": 1.7, "looked": -0.8, f"{ALONE}mean": 9.0, FAVOUR: 1.2}
    weights = fit_weights("waste", [_judged(*_drawn(200, 3))], before)
    assert of_frames(weights) == of_frames(before)
    assert weights[FAVOUR] == 1.2 and weights[f"{ALONE}mean"] < 3.0
    assert any(name.startswith(BARE) for name in weights)
    evidence, truth = _drawn(400, 4)
    fair = {name: w for name, w in weights.items() if name != FAVOUR}
    p = np.array([probability(e, fair) for e in evidence])
    assert expected_calibration_error(p, np.array(truth)) < 0.06
    assert log_odds(evidence[0], weights) - log_odds(evidence[0], fair) == pytest.approx(1.2)


def test_too_few_candidates_leave_a_card_as_it_was(tmp_path: Path) -> None:
    """To the byte."""
    card = _card(tmp_path)
    assert calibrate("waste", [_judged(*_drawn(LEAST_CANDIDATES - 1, 3))], tmp_path) == {}
    assert (tmp_path / "card.json").read_text() == card


def test_a_new_model_is_calibrated_for_every_patrol(tmp_path: Path) -> None:
    """With frames, without, and for one picture alone."""
    _card(tmp_path)
    weights = calibrate("waste", [_judged(*_drawn(300, 3))], tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["calibration"] == weights and 0.2 < card["threshold"] <= 0.5
    assert {name.split("_")[0] for name in weights} >= {"bias", "looks", "alone", "bare"}


def _card(folder: Path) -> str:
    card = ModelCard(
        name="waste-new", family="waste", created_utc="2026-11-23T00:00:00Z", weights="waste.safetensors",
        sha256="0" * 64, gsd_m=0.08, parameters=1,
    )  # fmt: skip
    (folder / "card.json").write_text(card.model_dump_json(indent=1))
    return (folder / "card.json").read_text()
