"""A town's evidence kept beside its files, so that other weights and thresholds are judged in seconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import shapely
from _towns import TownFiles
from shapely.geometry.base import BaseGeometry

import inference
from inference.assemble import permits_for, ruling, settled
from inference.candidates import UNSURE_CAP, Candidate, worth_a_look
from inference.detect import context_of, judge_patrol
from inference.engine import Model
from inference.proposals import Proposal
from inference.sites import Family
from inference.sureness import Evidence, before_frames, probability
from inference.training.scoring import Case, Found, TrueThing

Weights = dict[Family, dict[str, float]]


@dataclass(frozen=True)
class Weighable:
    """A proposal with all its evidence, before any weights; `permitted` by the permits in force."""

    family: Family
    polygon: BaseGeometry
    evidence: Evidence
    unsure: str | None
    permitted: bool


@dataclass(frozen=True)
class Town:
    """One judged town: evidence of every proposal, likely or not, and the truth, in metres."""

    place: str
    area_m2: float
    found: tuple[Weighable, ...]
    truth: tuple[TrueThing, ...]

    def case(self, weights: Weights) -> Case:
        """What serving under these weights gives: the unlikely are left out before the frames are opened."""
        kept: list[tuple[Candidate, Weighable]] = []
        for family, mine in weights.items():
            some = [w for w in self.found if w.family == family]
            first = [replace(w.evidence, looks=(), edge=False) for w in some]
            hopeful = before_frames(mine) if any(w.evidence.looks for w in some) else mine
            kept += [
                (_weighed(some[i], mine), some[i]) for i in worth_a_look(family, first, hopeful, self.area_m2, False)
            ]
        permitted = {id(candidate): w.permitted for candidate, w in kept}
        found = tuple(
            Found(c.proposal.polygon, c.family, c.probability, filed=not permitted[id(c)])
            for c in settled([candidate for candidate, _ in kept])
        )
        return Case(self.place, self.area_m2, found, self.truth)


def _weighed(w: Weighable, weights: dict[str, float]) -> Candidate:
    sure = probability(w.evidence, weights)
    proposal = Proposal(w.polygon, w.polygon.area, w.evidence.mean, w.evidence.peak, {}, w.unsure)
    return Candidate(w.family, "", proposal, w.evidence, min(sure, UNSURE_CAP) if w.unsure else sure)


def _sources_sha256() -> str:
    folder = Path(inference.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def evidence_of(place: str, town: TownFiles, models: Sequence[Model]) -> Town:
    """Judges a town, or reads what was kept of it while neither networks nor code have changed since."""
    path = town.folder / "evidence.json"
    key = {"sources": _sources_sha256(), "models": [m.card.sha256 for m in models]}
    if path.is_file():
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["key"] == key:
            return _read(place, document)
    request = replace(town.request, every=True)
    with context_of(request) as context:
        judged = judge_patrol(request, context)
        permits = permits_for(judged.candidates, request, context)
        rulings = [ruling(c, permits, context) for c in judged.candidates]
        area_m2 = context.area_m2
    found = tuple(
        Weighable(c.family, c.proposal.polygon, c.evidence, c.unsure, r is not None and r.permitted)
        for c, r in zip(judged.candidates, rulings, strict=True)
    )
    result = Town(place, area_m2, found, town.truth)
    path.write_text(json.dumps({"key": key, **_written(result)}), encoding="utf-8")
    return result


def _written(town: Town) -> dict[str, Any]:
    def plain(thing: Weighable | TrueThing) -> dict[str, Any]:
        fields = {name: getattr(thing, name) for name in thing.__dataclass_fields__}
        fields["polygon"] = shapely.to_wkt(thing.polygon, rounding_precision=3)
        return fields | ({"evidence": asdict(thing.evidence)} if isinstance(thing, Weighable) else {})

    return {
        "area_m2": town.area_m2,
        "found": [plain(w) for w in town.found],
        "truth": [plain(t) for t in town.truth],
    }


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _read(place: str, document: dict[str, Any]) -> Town:
    def shaped(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"polygon": shapely.make_valid(shapely.from_wkt(fields["polygon"]))}

    found = tuple(
        Weighable(**(shaped(w) | {"evidence": Evidence(**_tuples(w["evidence"]))})) for w in document["found"]
    )
    return Town(place, document["area_m2"], found, tuple(TrueThing(**shaped(t)) for t in document["truth"]))
