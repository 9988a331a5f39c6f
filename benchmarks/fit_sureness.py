"""Fits how a family's evidence is weighed, on places of its own, and says how true the probabilities are elsewhere.

With frames: flown and stitched towns. Where no frame looks: composites on the photographs that may train. None of
these is a place of `detect.py`; no network learnt from these towns, but all know the photographs, with other things
on them. Every number printed is of places that the weights behind it were not fitted on: a sixth of the towns, or of
the photographs, is left out in turn.

    python benchmarks/fit_sureness.py waste --work DIR          # about 2 CPU-h; what is in DIR is not made again
    python benchmarks/fit_sureness.py waste --work DIR --write  # and puts the weights into the packaged card
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
from inference.sureness import ALONE, ALONE_CUES, BARE, FAVOUR, Evidence
from inference.training.evaluate import FAMILY, LEAST_M2, labelled, scene_request, scene_truth
from inference.training.scoring import Case, Found, score
from simulators.composite import sample_photographs, write_composites

FIRST_TOWN, SIZE_M = 8300, 170.0
COMPOSITE_SEED = 601
FOLDS = 6
# What is likelier real than not is shown to a reviewer.
THRESHOLD = 0.5
# Share of real ones that is kept where no frame looks, for the sake of what is found there.
PRECISION_ALONE: dict[Family, float] = {"construction": 0.75, "sanitation": 0.705}
Labelled = tuple[list[Evidence], list[bool]]
Fit = dict[str, float]


def flown(count: int, work: Path) -> list[Town]:
    """Towns photographed, stitched and judged, with every proposal's evidence."""
    models = (serving_model("change"), serving_model("waste"))
    seeds = range(FIRST_TOWN, FIRST_TOWN + count)
    return [evidence_of(f"town-{s}", town_from_frames(s, work / f"town-{s}", SIZE_M), models) for s in seeds]


def composed(count: int, work: Path) -> list[Town]:
    """Composites, which have surfaces and an earlier day, and no frames. Their places are the photographs."""
    models = (serving_model("change"), serving_model("waste"))
    folders = write_composites(work / "composites", sample_photographs(DATA, "train"), count, seed=COMPOSITE_SEED)
    towns = []
    for folder in folders:
        with tempfile.TemporaryDirectory(prefix="yunxun-fit-") as out:
            files = TownFiles(folder, scene_request(folder, Path(out), None), scene_truth(folder, True), 0.0)
            town = evidence_of(folder.name, files, models)
        photograph = json.loads((folder / "scene.json").read_text(encoding="utf-8"))["photograph"]
        towns.append(replace(town, place=photograph))
    return towns


def known(towns: Sequence[Town], family: Family) -> Labelled:
    """Evidence of a family's proposals on all towns, and whether each is real."""
    evidence: list[Evidence] = []
    real: list[bool] = []
    for town in towns:
        mine = [w for w in town.found if w.family == family]
        case = Case(town.place, town.area_m2, tuple(Found(w.polygon, family, 0.5) for w in mine), town.truth)
        some, which, _ = labelled(case, [w.evidence for w in mine], family)
        evidence += some
        real += which
    return evidence, real


def fit_looked(towns: Sequence[Town], family: Family) -> Fit:
    """Weights where frames look."""
    seen = [(e, real) for e, real in zip(*known(towns, family), strict=True) if e.looks]
    return fit([e for e, _ in seen], [real for _, real in seen])


def left_out(towns: Sequence[Town], family: Family, fitted: Callable[[list[Town]], Fit]) -> list[Case]:
    """Every place judged by weights that were fitted on others."""
    places = sorted({t.place for t in towns})
    cases = []
    for fold in range(FOLDS):
        mine = set(places[fold::FOLDS])
        weights = fitted([t for t in towns if t.place not in mine])
        cases += [t.case({family: weights}) for t in towns if t.place in mine]
    return cases


def favoured(cases: Sequence[Case], family: Family) -> float:
    """Log-odds that lift, to the threshold, what keeps the precision where no frame looks; 0 where nothing does."""
    for odds in np.arange(3.0, 0.0, -0.1):
        lower = float(1 / (1 + np.exp(odds)))
        if score(cases, family, lower, LEAST_M2[family])["precision"].value >= PRECISION_ALONE[family]:
            return round(float(odds), 2)
    return 0.0


def carried(before: Fit, looked: Fit) -> Fit:
    """New weights where frames look; where none does, every candidate is as likely as it was by `ALONE_CUES`."""
    added = {
        f"{ALONE}{n}": before.get(n, 0.0) + before.get(f"{ALONE}{n}", 0.0) - looked.get(n, 0.0) for n in ALONE_CUES
    }
    kept = {n: w for n, w in before.items() if n.startswith(BARE) or n == FAVOUR}
    return looked | {n: round(w, 4) for n, w in added.items()} | kept


def told(what: str, cases: Sequence[Case], family: Family) -> None:
    """Prints how the left-out places fared."""
    m = score(cases, family, THRESHOLD, LEAST_M2[family])
    names = ("recall", "precision", "false_per_km2", "ap50", "ece")
    line(what, f"left out by sixths, from p = {THRESHOLD:.2f}", ", ".join(f"{n} {m[n]}" for n in names))


def lifted(cases: Sequence[Case], odds: float) -> list[Case]:
    """The same cases with every probability raised by log-odds."""

    def lift(p: float) -> float:
        return float(1 / (1 + (1 - p) / max(p, 1e-9) * np.exp(-odds)))

    return [replace(c, found=tuple(replace(f, probability=lift(f.probability)) for f in c.found)) for c in cases]


def main() -> int:
    """Fits one family, prints, and writes where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=tuple(FAMILY))
    parser.add_argument("--towns", type=int, default=40)
    parser.add_argument("--composites", type=int, default=320)
    parser.add_argument("--work", type=Path, required=True, help="kept")
    parser.add_argument("--frames-only", action="store_true", help="where no frame looks, leave all as it is")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    family = FAMILY[args.model]
    towns, composites = flown(args.towns, args.work), composed(args.composites, args.work)

    seen = left_out(towns, family, lambda t: fit_looked(t, family))
    told(f"{args.towns} flown towns, {family}", seen, family)
    looked = fit_looked(towns, family)
    alone = left_out(composites, family, lambda t: fit_alone(*known(t, family), looked))
    told(f"{args.composites} composites, {family}, nothing favoured", alone, family)
    favour = favoured(alone, family)
    told(f"{args.composites} composites, {family}, favoured by {favour:g}", lifted(alone, favour), family)

    if args.frames_only:
        weights = carried(serving_model(args.model).card.calibration, looked)
    else:
        weights = fit_alone(*known(composites, family), looked) | {FAVOUR: favour}
    weights = {name: w for name, w in weights.items() if w}
    print(json.dumps(weights, indent=1))
    if args.write:
        path = ROOT / "inference" / "weights" / args.model / "card.json"
        card = json.loads(path.read_text(encoding="utf-8")) | {"calibration": weights, "threshold": THRESHOLD}
        path.write_text(json.dumps(card, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
