"""Candidates become numbered features: permits and codes said, families settled, the reviewer's budget kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import shapely
from pyproj import Transformer
from shapely.geometry import mapping

from inference.candidates import Candidate
from inference.context import DetectContext
from inference.engine import Model
from inference.labels import Matter, read_code_set
from inference.permits import Judgement, Permit, judge, laid, read_permits
from inference.request import Budget, DetectRequest
from inference.sites import SiteFeature

# Two families claim one place: the surer keeps it.
_SAME_PLACE = 0.4
# Permits are laid by what is at least as likely as not.
SURELY = 0.5
_FAMILY_MODEL = {"construction": "change", "sanitation": "waste"}


def settled(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Drops, of two candidates of different families on one place, the less sure; the surest come first."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.probability):
        mine = candidate.proposal.polygon
        rival = any(
            other.family != candidate.family
            and other.proposal.polygon.intersection(mine).area > _SAME_PLACE * min(mine.area, other.proposal.area_m2)
            for other in kept
        )
        if not rival:
            kept.append(candidate)
    return kept


def within_budget(
    candidates: Sequence[Candidate], budget: Budget, defaults: dict[str, float], area_m2: float
) -> list[Candidate]:
    """Keeps what the reviewer will look at.

    Args:
        candidates: Of any family.
        budget: Thresholds and numbers.
        defaults: Threshold by family where the budget gives none.
        area_m2: Ground photographed.
    """
    kept: list[Candidate] = []
    for family, default in defaults.items():
        least = budget.thresholds.get(family, default)
        mine = [c for c in candidates if c.family == family and c.probability >= least]
        mine.sort(key=lambda c: -c.probability)
        limits = [len(mine)]
        if budget.max_per_km2 is not None:
            limits.append(int(budget.max_per_km2 * area_m2 / 1e6 + 0.5))
        if budget.max_candidates is not None:
            limits.append(budget.max_candidates)
        kept += mine[: min(limits)]
    return kept


def _properties(
    candidate: Candidate, number: int, ruling: Judgement | None, matters: dict[str, Matter]
) -> dict[str, Any]:
    matter = matters.get(candidate.label)
    height = candidate.height
    properties: dict[str, Any] = {
        "n": number,
        "family": candidate.family,
        "label": candidate.label,
        "probability": round(candidate.probability, 4),
        "area_m2": round(candidate.proposal.area_m2, 2),
        "height_change_m": round(height.median_m, 2) if height and candidate.family == "construction" else None,
        "frames": [look.box() for look in candidate.looks],
        "seen": candidate.seen,
        "looked": candidate.looked,
        "unsure": candidate.unsure,
        "network": round(candidate.proposal.mean, 4),
        **candidate.extra,
    }
    if matter is not None:
        properties |= {"matter_code": matter.code, "matter_name": matter.name}
    if height is not None:
        properties["height_noise_m"] = round(height.noise_m, 2)
    if ruling is not None:
        properties |= {
            "permitted": ruling.permitted,
            "permit_no": ruling.permit_no,
            "excess_m2": ruling.excess_m2,
            "excess_height_m": ruling.excess_height_m,
        }
    return properties


def permits_for(candidates: Sequence[Candidate], request: DetectRequest, context: DetectContext) -> list[Permit] | None:
    """The permits, laid onto the mosaic by what was surely built; None without a file of them."""
    if request.permits is None:
        return None
    permits = read_permits(request.permits, context.crs)
    sure = [c.proposal.polygon for c in candidates if c.family == "construction" and c.probability >= SURELY]
    return laid(permits, sure, context.sigma_m, context.day)


def ruling(candidate: Candidate, permits: list[Permit] | None, context: DetectContext) -> Judgement | None:
    """How a candidate stands to the permits; None where there are none, or where none is needed."""
    if permits is None or candidate.family != "construction":
        return None
    return judge(candidate.proposal.polygon, candidate.evidence.height_m, permits, context.day)


def collect(
    candidates: Sequence[Candidate], request: DetectRequest, context: DetectContext, models: dict[str, Model]
) -> list[SiteFeature]:
    """Numbers what is kept, north to south and west to east, and writes it out in WGS84.

    Args:
        candidates: Of both families.
        request: Permits, code set and budget.
        context: The patrol.
        models: The models that ran, by "change" and "waste".
    """
    permits = permits_for(candidates, request, context)
    matters = read_code_set(request.code_set)
    defaults = {family: models[name].card.threshold for family, name in _FAMILY_MODEL.items() if name in models}
    kept = within_budget(settled(candidates), request.budget, defaults, context.area_m2)
    kept.sort(
        key=lambda c: (c.family, -round(c.proposal.polygon.centroid.y, 1), round(c.proposal.polygon.centroid.x, 1))
    )
    to_wgs84 = Transformer.from_crs(context.crs, "EPSG:4326", always_xy=True)
    features = []
    for number, candidate in enumerate(kept, start=1):
        outline = shapely.transform(candidate.proposal.polygon, to_wgs84.transform, interleaved=False)
        properties = _properties(candidate, number, ruling(candidate, permits, context), matters)
        features.append(
            SiteFeature.model_validate({"geometry": mapping(outline), "properties": properties}, by_name=True)
        )
    return features
