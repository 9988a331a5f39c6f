"""Weights of the evidence, fitted on places that no network was trained on: logistic regressions within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from inference.sureness import (
    ALONE,
    ALONE_CUES,
    BARE,
    BARE_CUES,
    BOUNDS,
    DEFAULT,
    FAVOUR,
    FEATURES,
    Evidence,
    added_cues,
    features,
    log_odds,
    of_frames,
)

# Weight of a candidate without its earlier day, beside the candidate itself.
POORER = 0.3


def _shown(evidence: Sequence[Evidence], truth: Sequence[bool]) -> list[tuple[Evidence, float, float]]:
    """What a fit is shown: each candidate, and at less weight what a first patrol would know of it; label and weight.

    Where there was no earlier day its absence must not be mistaken for a sign.
    """
    shown = [(e, float(real), 1.0) for e, real in zip(evidence, truth, strict=True)]
    known = [(e, real) for e, real, _ in shown if (e.before, e.opinion) != (None, None)]
    return shown + [(replace(e, before=None, opinion=None), real, POORER) for e, real in known]


def fit(evidence: Sequence[Evidence], truth: Sequence[bool], pull: float = 0.3) -> dict[str, float]:
    """Fits the weights by logistic regression with an L2 pull towards the network's own word.

    Args:
        evidence: Of candidates on places that the network was not trained on.
        truth: Whether each was real.
        pull: Strength of the pull; 1 equals one candidate's worth a feature.

    Returns:
        Weights by name, with `bias`. Without both outcomes present, the default weights.
    """
    if len(truth) < 8 or len(set(truth)) < 2:
        return dict(DEFAULT)
    shown = _shown(evidence, truth)
    rows = [features(e) for e, _, _ in shown]
    table = np.array([[row[name] for name in FEATURES] for row in rows])
    labels, counts = np.array([label for _, label, _ in shown]), np.array([count for _, _, count in shown])
    start = np.array([0.0] + [DEFAULT[name] for name in FEATURES])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = w[0] + table @ w[1:]
        nll = np.logaddexp(0, -z) * labels + np.logaddexp(0, z) * (1 - labels)
        off = counts * (1 / (1 + np.exp(-z)) - labels)
        away = w - start
        value = (nll * counts).sum() + 0.5 * pull * (away[1:] ** 2).sum() + 0.005 * w[0] ** 2
        return float(value), np.concatenate([[off.sum() + 0.01 * w[0]], table.T @ off + pull * away[1:]])

    bounds = [(None, None), *(BOUNDS[name] for name in FEATURES)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000})
    return {name: round(float(w), 4) for name, w in zip(("bias", *FEATURES), best.x, strict=True)}


def fit_alone(
    evidence: Sequence[Evidence], truth: Sequence[bool], weights: dict[str, float], pull: float = 1.0
) -> dict[str, float]:
    """Fits what is added to the weights where no frame looks, by logistic regression with an L2 pull towards nothing.

    Args:
        evidence: Of candidates on places that the network was not trained on; their looks are left out, and once more
            all but the picture.
        truth: Whether each was real.
        weights: Of `fit`; what was added to them before is fitted anew, but for `FAVOUR`.
        pull: Strength of the pull; 1 equals one candidate's worth a feature. The bias is hardly pulled.

    Returns:
        The weights with those by `ALONE` and `BARE`; as they came, without both outcomes.
    """
    mine, favour = of_frames(weights), {name: w for name, w in weights.items() if name == FAVOUR}
    labels = np.array(truth, float)
    if len(labels) == 0 or labels.min() == labels.max():
        return dict(weights)
    unseen = [replace(e, looks=(), edge=False) for e in evidence]
    mine |= _fit_added(unseen, labels, mine, ALONE, pull)
    # What the surface alone proposed would not be there without it.
    some = [i for i, e in enumerate(unseen) if not e.risen]
    bare = [replace(unseen[i], before=None, opinion=None, height_m=None, stands_m=None) for i in some]
    return mine | (_fit_added(bare, labels[some], mine, BARE, pull) if bare else {}) | favour


def _fit_added(
    evidence: Sequence[Evidence], labels: NDArray[np.float64], weights: dict[str, float], prefix: str, pull: float
) -> dict[str, float]:
    """Weights by one prefix, given all others."""
    names = ALONE_CUES if prefix == ALONE else BARE_CUES
    known = np.array([log_odds(e, weights) for e in evidence])
    table = np.array([[dict(added_cues(e))[prefix][name] for name in names] for e in evidence])
    pulls = np.array([0.02 if name == "bias" else pull for name in names])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = known + table @ w
        nll = np.logaddexp(0, -z) * labels + np.logaddexp(0, z) * (1 - labels)
        return float(nll.sum() + 0.5 * (pulls * w * w).sum()), table.T @ (1 / (1 + np.exp(-z)) - labels) + pulls * w

    # The sums keep to the bounds: nothing that can only speak for a thing speaks against it for want of frames.
    so_far = [sum(weights.get(before + name, 0.0) for before in ("", ALONE)) for name in names]
    ends = [(BOUNDS.get(name, (None, None)), w) for name, w in zip(names, so_far, strict=True)]
    bounds = [(None if low is None else low - w, None if high is None else high - w) for (low, high), w in ends]
    best = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 1000})
    return {prefix + name: round(float(w), 4) for name, w in zip(names, best.x, strict=True)}
