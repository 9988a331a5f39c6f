"""Truth against found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inference.sites import SiteCollection
from yunxun.truth import compare


def _square(lon: float, lat: float, size_m: float = 5.0) -> dict[str, Any]:
    d = size_m / 111_000
    ring = [[lon, lat], [lon + d, lat], [lon + d, lat + d], [lon, lat + d], [lon, lat]]
    return {"type": "Polygon", "coordinates": [ring]}


def _truth(path: Path, *things: tuple[dict[str, Any], dict[str, Any]]) -> Path:
    features = [{"type": "Feature", "geometry": g, "properties": p} for g, p in things]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def _found(*sites: tuple[dict[str, Any], str, bool | None]) -> SiteCollection:
    features = [
        {
            "geometry": geometry,
            "properties": {
                "n": n, "family": family, "label": "x", "probability": 0.9, "area_m2": 25.0, "permitted": permitted,
            },
        }
        for n, (geometry, family, permitted) in enumerate(sites, 1)
    ]  # fmt: skip
    return SiteCollection.model_validate({"patrol_id": "P", "features": features})


SHED = {"family": "construction", "label": "shed", "permitted": False, "new": True}
HEAP = {"family": "sanitation", "label": "waste_heap", "permitted": None, "new": True}
OLD_PILE = {**HEAP, "new": False}


def test_found_missed_and_false(tmp_path: Path) -> None:
    truth = _truth(tmp_path / "t", (_square(118.35, 35.05), SHED), (_square(118.351, 35.05), HEAP))
    found = _found((_square(118.35001, 35.05), "construction", False), (_square(118.36, 35.05), "sanitation", None))
    result = compare(truth, found)
    assert result.count("construction", False) == (1, 1)
    assert result.count("sanitation") == (0, 1)
    assert result.false == (2,)


def test_the_wrong_family_on_a_thing_is_false(tmp_path: Path) -> None:
    truth = _truth(tmp_path / "t", (_square(118.35, 35.05), SHED))
    result = compare(truth, _found((_square(118.35, 35.05), "sanitation", None)))
    assert result.count("construction", False) == (0, 1)
    assert result.false == (1,)


def test_a_pile_that_always_stood_is_neither_found_nor_false(tmp_path: Path) -> None:
    truth = _truth(tmp_path / "t", (_square(118.35, 35.05), OLD_PILE))
    result = compare(truth, _found((_square(118.35, 35.05), "sanitation", None)))
    assert result.count("sanitation") == (0, 0)
    assert result.false == ()


def test_a_permitted_candidate_on_nothing_is_not_put_before_a_reviewer(tmp_path: Path) -> None:
    result = compare(_truth(tmp_path / "t"), _found((_square(118.35, 35.05), "construction", True)))
    assert result.false == ()


def test_nothing_true_and_nothing_found(tmp_path: Path) -> None:
    assert compare(_truth(tmp_path / "t"), _found()).things == ()
