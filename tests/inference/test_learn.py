"""Promotion only where no family is worse, reviews as scenes, and pictures of what was wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from pyproj import Transformer
from shapely.geometry import mapping

from inference.errors import InferenceError
from inference.training.learn import GUARDED, LEAST_JUDGED, Verdict, learn, need_truth, no_worse, write_verdict
from inference.training.pictures import Place, draw_mistakes
from inference.training.scenes import read_scene
from inference.training.scoring import Case, Found, Measure, TrueThing, mistakes
from tests.inference.conftest import CRS, ORIGIN, WriteRaster, ground_texture


def _measures(value: float) -> dict[str, Measure]:
    return {name: Measure(value, 0.0, 1.0) for name in GUARDED}


def test_a_model_is_promoted_only_where_no_family_is_worse() -> None:
    before = {"construction": _measures(0.8), "sanitation": _measures(0.7)}
    assert no_worse(before, {"construction": _measures(0.8), "sanitation": _measures(0.9)})[0]
    good, why = no_worse(before, {"construction": _measures(0.7), "sanitation": _measures(0.9)})
    assert not good
    assert "construction recall 0.800 -> 0.700" in why and "sanitation" not in why


def test_a_frozen_set_without_truth_promotes_nothing() -> None:
    """A whole round was promoted on a frozen set of nothing: recall 0.000 -> 0.000."""
    few = {"sanitation": {"wanted": Measure(LEAST_JUDGED - 1, 0.0, 1.0)}}
    with pytest.raises(InferenceError, match=r"holds 4 real things of sanitation.*--data"):
        need_truth(few, "waste")
    need_truth({"sanitation": {"wanted": Measure(LEAST_JUDGED, 0.0, 1.0)}}, "waste")


@pytest.mark.parametrize(("accepted", "family", "kind"), [(True, "sanitation", "new"), (False, "none", "distractor")])
def test_a_verdict_becomes_a_scene_around_its_place(
    write_raster: WriteRaster, tmp_path: Path, accepted: bool, family: str, kind: str
) -> None:
    mosaic = write_raster("m.tif", ground_texture(800), 0.08)
    metres = shapely.box(ORIGIN[0] + 30, ORIGIN[1] - 34, ORIGIN[0] + 34, ORIGIN[1] - 31)
    to_wgs84 = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    geometry = mapping(shapely.transform(metres, to_wgs84.transform, interleaved=False))
    folder = write_verdict(Verdict("p/1", "sanitation", "waste_heap", accepted, geometry, mosaic), "waste", tmp_path)
    scene = read_scene(folder, 0.08, two_days=False)
    (thing,) = scene.things
    assert (thing.family, thing.kind) == (family, kind)
    assert shapely.Polygon(thing.polygon).area * 0.08**2 == pytest.approx(12.0, rel=0.05)
    size = scene.after.shape[0]
    assert np.allclose(np.mean(thing.polygon, axis=0), size / 2, atol=3)


def test_learning_without_reviews_of_a_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="no verdicts for change"):
        learn("change", [], [tmp_path], tmp_path / "models", tmp_path / "work")


HOUSE, LORRY = shapely.box(10, 10, 18, 16), shapely.box(40, 40, 48, 43)


def _case() -> Case:
    truth = (TrueThing(HOUSE, "construction", area_m2=48.0),)
    found = (Found(HOUSE, "construction", 0.4), Found(LORRY, "construction", 0.9))
    return Case("yard", 1e4, found, truth)


def test_mistakes_are_what_the_tally_counts() -> None:
    false, missed = mistakes(_case(), "construction", 0.6)
    assert (false.kind, false.probability) == ("false", 0.9)
    assert (missed.kind, missed.area_m2, missed.probability) == ("missed", 48.0, 0.4)
    assert [m.kind for m in mistakes(_case(), "construction", 0.3)] == ["false"]


def test_every_mistake_is_drawn(tmp_path: Path) -> None:
    def window(west: float, north: float, side: float) -> list[np.ndarray]:
        return [ground_texture(64), ground_texture(64, 1)]

    paths = draw_mistakes([Place(_case(), window)], {"construction": 0.6}, {"construction": 6.0}, tmp_path / "out")
    assert [p.name for p in paths] == ["construction-false-yard-01.png", "construction-missed-yard-02.png"]
    assert cv2.imread(str(paths[0])).shape == (360, 1440, 3)
    assert "construction,missed,48.0,0.400" in (tmp_path / "out" / "index.csv").read_text()
    (tmp_path / "file").write_text("")
    with pytest.raises(InferenceError, match="give a folder"):
        draw_mistakes([], {}, {}, tmp_path / "file")
