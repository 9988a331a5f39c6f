"""Trains the judge of `api/tiles/plates.json` (python -m benchmarks._train_plates [--pictures 600] [--seed 1]).

Plates are drawn (`benchmarks/privacy.py`), surroundings are photographs that may shape shipped weights
(caliterra_construction, CC0; brighton_beach, BSD-2). Logistic regression on what the detector computes of a box. The
shipped one: --pictures 160.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import minimize

from api.tiles import detectors
from benchmarks.privacy import COLOURS, lay, plate, spoil, surroundings

OUT = Path(detectors.__file__).parent / "plates.json"


def samples(rng: np.random.Generator, pictures: int) -> tuple[np.ndarray, np.ndarray]:
    found, answers = [], []
    for i in range(pictures):
        picture = surroundings(rng, 480, ("caliterra_construction", "brighton_beach")[i % 2])
        mask = np.zeros(picture.shape[:2], bool)
        for k in range(3):
            mask |= lay(rng, picture, plate(rng, list(COLOURS)[(i + k) % 4]), rng.uniform(36, 240), tilt=15.0)
        picture = spoil(rng, picture)
        share = 1.0
        while share > 0.12:
            small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
            inside = cv2.resize(mask.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
            for box in detectors._rows(small):
                x0, y0, x1, y1 = (int(value) for value in box)
                part = inside[y0:y1, x0:x1].mean()
                if part > 0.6 or part < 0.1:
                    found.append(detectors.plate_features(small, box))
                    answers.append(part > 0.6)
            share *= 0.6
    return np.array(found), np.array(answers, float)


def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    weight = np.where(y > 0.5, 0.5 / y.mean(), 0.5 / (1 - y.mean()))

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ theta[:-1] + theta[-1]
        value = np.mean(weight * (np.logaddexp(0, z) - y * z)) + 1e-3 * theta[:-1] @ theta[:-1]
        slope = weight * (1 / (1 + np.exp(-z)) - y) / len(y)
        return value, np.append(x.T @ slope + 2e-3 * theta[:-1], slope.sum())

    theta = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 400}).x
    return theta[:-1], float(theta[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    x, y = samples(np.random.default_rng(wanted.seed), wanted.pictures)
    half = np.arange(len(y)) < 0.7 * len(y)
    weights, bias = fit(x[half], y[half])
    scores = x[~half] @ weights + bias
    # Of the rows of characters on drawn plates that were held back, 95 in 100 pass.
    threshold = float(np.quantile(scores[y[~half] > 0.5], 0.05))
    false = float((scores[y[~half] < 0.5] >= threshold).mean())
    print(f"{len(y)} rows, {int(y.sum())} on plates; at 0.95 of plates {false:.3f} of the others pass")
    told = {"weights": [round(float(w), 5) for w in weights], "bias": round(bias, 5), "threshold": round(threshold, 5)}
    OUT.write_text(json.dumps(told) + "\n", "utf-8")


if __name__ == "__main__":
    main()
