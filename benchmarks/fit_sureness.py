"""Fits how a family's evidence is weighed, on places of its own, and says how true the probabilities are elsewhere.

With frames: flown and stitched towns. Where no frame looks: composites on the photographs that may train. None of
these is a place of `detect.py`, and none trained a network. Every number printed is of places that the weights behind
it were not fitted on: a sixth of the places is left out in turn.

    python benchmarks/fit_sureness.py waste --work DIR            # about 2 CPU-h; what is in DIR is not made again
    python benchmarks/fit_sureness.py waste --work DIR --write    # and puts the weights into the packaged card
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from _evidence import Town, evidence_of
from _towns import TownFiles, town_from_frames
from detect import DATA, ROOT, line

from inference.fitting import fit, fit_alone
from inference.registry import serving_model
from inference.sites import Family
from inference.sureness import FAVOUR, Evidence
from inference.training.evaluate import FAMILY, LEAST_M2, scene_request, scene_truth
from inference.training.scoring import Case, Found, candidate_truth, score
from simulators.composite import sample_photographs, write_composites

FIRST_TOWN, SIZE_M = 8300, 170.0
COMPOSITE_SEED = 601
FOLDS = 6
Labelled = tuple[list[Evidence], list[bool]]
Fit = dict[str, float]


def flown(count: int, work: Path) -> list[Town]:
    """Towns photographed, stitched and judged, with every proposal's evidence."""
    models = (serving_model("change"), serving_model("waste"))
    seeds = range(FIRST_TOWN, FIRST_TOWN + count)
    return [evidence_of(f"town-{s}", town_from_frames(s, work / f"town-{s}", SIZE_M), models) for s in seeds]


def composed(count: int, work: Path) -> list[Town]:
    """Composites, which have surfaces and an earlier day, and no frames."""
    models = (serving_model("change"), serving_model("waste"))
    folders = write_composites(work / "composites", sample_photographs(DATA, "train"), count, seed=COMPOSITE_SEED)
    towns = []
    for folder in folders:
        with tempfile.TemporaryDirectory(prefix="yunxun-fit-") as out:
            files = TownFiles(folder, scene_request(folder, Path(out), None), scene_truth(folder, True), 0.0)
            towns.append(evidence_of(folder.name, files, models))
    return towns


def labelled(towns: Sequence[Town], family: Family) -> Labelled:
    """Evidence of a family's proposals, and whether each is real; what counts neither way is left out."""
    evidence: list[Evidence] = []
    real: list[bool] = []
    for town in towns:
        mine = [w for w in town.found if w.family == family]
        case = Case(town.place, town.area_m2, tuple(Found(w.polygon, family, 0.5) for w in mine), town.truth)
        for w, label in zip(mine, candidate_truth(case, family, LEAST_M2[family])[0], strict=True):
            if label is not None:
                evidence.append(w.evidence)
                real.append(label)
    return evidence, real


def fit_looked(towns: Sequence[Town], family: Family) -> Fit:
    """Weights where frames look."""
    seen = [(e, real) for e, real in zip(*labelled(towns, family), strict=True) if e.looks]
    return fit([e for e, _ in seen], [real for _, real in seen])


def left_out(towns: Sequence[Town], family: Family, fitted: Callable[[list[Town]], Fit]) -> list[Case]:
    """Every place judged by weights that were fitted on the others."""
    cases = []
    for fold in range(FOLDS):
        weights = fitted([t for i, t in enumerate(towns) if i % FOLDS != fold])
        cases += [t.case({family: weights}) for i, t in enumerate(towns) if i % FOLDS == fold]
    return cases


def favoured(cases: Sequence[Case], family: Family, threshold: float, precision: float) -> float:
    """Log-odds that lift, to the threshold, what keeps this precision where no frame looks; 0 where nothing does."""
    for odds in np.arange(3.0, 0.0, -0.1):
        lower = float(1 / (1 + np.exp(odds - np.log(threshold / (1 - threshold)))))
        if score(cases, family, lower, LEAST_M2[family])["precision"].value >= precision:
            return round(float(odds), 2)
    return 0.0


def told(what: str, cases: Sequence[Case], family: Family, threshold: float) -> None:
    """Prints how the left-out places fared."""
    m = score(cases, family, threshold, LEAST_M2[family])
    names = ("recall", "precision", "false_per_km2", "ap50", "ece")
    line(what, f"left out by sixths, from p = {threshold:.2f}", ", ".join(f"{n} {m[n]}" for n in names))


def lifted(cases: Sequence[Case], odds: float) -> list[Case]:
    """The same cases with every probability raised by log-odds."""

    def lift(p: float) -> float:
        return float(1 / (1 + (1 - p) / max(p, 1e-9) * np.exp(-odds)))

    return [replace(c, found=tuple(replace(f, probability=lift(f.probability)) for f in c.found)) for c in cases]


def main() -> int:
    """Fits one family, prints, and writes where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=tuple(FAMILY))
    parser.add_argument("--towns", type=int, default=30)
    parser.add_argument("--composites", type=int, default=160)
    parser.add_argument("--precision", type=float, default=0.705, help="kept where no frame looks")
    parser.add_argument("--work", type=Path, required=True, help="kept")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    family, threshold = FAMILY[args.model], serving_model(args.model).card.threshold
    towns, composites = flown(args.towns, args.work), composed(args.composites, args.work)

    told(
        f"{args.towns} flown towns, {family}",
        left_out(towns, family, lambda t: fit_looked(t, family)),
        family,
        threshold,
    )
    looked = fit_looked(towns, family)
    alone = left_out(composites, family, lambda t: fit_alone(*labelled(t, family), looked))
    told(f"{args.composites} composites, {family}, nothing favoured", alone, family, threshold)
    favour = favoured(alone, family, threshold, args.precision)
    told(f"{args.composites} composites, {family}, favoured by {favour:g}", lifted(alone, favour), family, threshold)

    weights = fit_alone(*labelled(composites, family), looked) | {FAVOUR: favour}
    weights = {name: w for name, w in weights.items() if w}
    print(json.dumps(weights, indent=1))
    if args.write:
        path = ROOT / "inference" / "weights" / args.model / "card.json"
        card = json.loads(path.read_text(encoding="utf-8")) | {"calibration": weights}
        path.write_text(json.dumps(card, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
