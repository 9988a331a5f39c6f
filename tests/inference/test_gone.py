"""What stood on the earlier day and stands no more."""

from __future__ import annotations

from dataclasses import replace

import shapely
from pyproj import Transformer
from shapely.geometry import shape

from inference.detect import BaselineFiles, DetectRequest, detect_patrol
from inference.gone import LEAST_FALL_M
from tests.inference.test_detect import CRS, town

__all__ = ["town"]

Truth = list[tuple[str, str, shapely.Polygon]]


def test_a_demolished_building_is_outlined_with_its_fall_and_is_no_candidate(
    town: tuple[DetectRequest, Truth],
) -> None:
    """The two days taken the other way round: what was new is what is gone."""
    built, truth = town
    assert built.baseline is not None
    torn_down = replace(
        built,
        mosaic=built.baseline.mosaic,
        dsm=built.baseline.dsm,
        baseline=BaselineFiles(built.mosaic, built.dsm),
        permits=None,
    )
    sites = detect_patrol(torn_down)
    gone = (sites.model_extra or {})["notes"]["gone_structures"]
    to_metres = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    outlines = [shapely.transform(shape(f["geometry"]), to_metres.transform, interleaved=False) for f in gone]
    houses = [polygon for family, _, polygon in truth if family == "construction"]
    assert houses
    for house in houses:
        assert any(outline.intersection(house).area > 0.5 * house.area for outline in outlines)
    assert len(outlines) == len(houses)
    assert all(f["properties"]["height_change_m"] <= -LEAST_FALL_M for f in gone)
    for feature in sites.features:
        outline = shapely.transform(shape(feature.geometry), to_metres.transform, interleaved=False)
        assert feature.properties.family != "construction" or not any(outline.intersects(h) for h in houses)


def test_nothing_is_gone_where_it_was_built(town: tuple[DetectRequest, Truth]) -> None:
    notes = (detect_patrol(town[0]).model_extra or {})["notes"]
    assert notes["gone_structures"] == []
