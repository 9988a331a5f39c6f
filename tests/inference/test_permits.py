from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import shapely

from inference.errors import InferenceError
from inference.permits import Permit, day_of, judge, laid, read_permits
from tests.inference.conftest import CRS

HOUSE = shapely.box(0, 0, 10, 8)
DAY = date(2026, 11, 22)


def test_within_its_permit_it_is_permitted() -> None:
    ruling = judge(HOUSE, 4.0, [Permit("A1", HOUSE.buffer(1), max_height_m=6)], DAY)
    assert ruling.permitted
    assert ruling.permit_no == "A1"


def test_the_part_beyond_is_measured() -> None:
    ruling = judge(HOUSE, None, [Permit("A1", shapely.box(0, 0, 5, 8))], DAY)
    assert not ruling.permitted
    assert ruling.permit_no == "A1"
    assert ruling.excess_m2 == pytest.approx(4 * 8, abs=4)


def test_too_tall_is_not_permitted() -> None:
    ruling = judge(HOUSE, 9.2, [Permit("A1", HOUSE.buffer(1), max_height_m=6)], DAY)
    assert not ruling.permitted
    assert ruling.excess_height_m == pytest.approx(3.2)


def test_a_neighbours_or_an_expired_permit_helps_nobody() -> None:
    beside = Permit("B", shapely.box(9.5, 0, 30, 8))
    expired = Permit("C", HOUSE.buffer(1), valid_to=date(2025, 1, 1))
    early = Permit("D", HOUSE.buffer(1), valid_from=date(2027, 1, 1))
    ruling = judge(HOUSE, None, [beside, expired, early], DAY)
    assert not ruling.permitted
    assert ruling.permit_no is None


def test_two_permits_side_by_side_cover_one_building() -> None:
    halves = [Permit("L", shapely.box(0, 0, 5, 8)), Permit("R", shapely.box(5, 0, 10, 8))]
    assert judge(HOUSE, None, halves, DAY).permitted


OFF = [shapely.affinity.translate(HOUSE, 2.4, -3.0), shapely.affinity.translate(HOUSE, 42.4, -3.0)]


def test_a_mosaic_that_lies_off_as_a_whole_takes_its_permits_with_it() -> None:
    permits = [Permit("A", HOUSE.buffer(0.5)), Permit("B", shapely.affinity.translate(HOUSE, 40, 0).buffer(0.5))]
    assert not any(judge(house, None, permits, DAY).permitted for house in OFF)
    moved = laid(permits, OFF, 2.0, DAY)
    assert [judge(house, None, moved, DAY).permit_no for house in OFF] == ["A", "B"]
    assert all(judge(house, None, moved, DAY).permitted for house in OFF)
    assert laid(permits, OFF, 0.02, DAY) == permits


def test_laying_permits_hides_no_extension() -> None:
    larger = shapely.box(2.4, -1.5, 18.4, 6.5)
    ruling = judge(larger, None, laid([Permit("A", HOUSE.buffer(0.5))], [larger], 2.0, DAY), DAY)
    assert not ruling.permitted
    # 16 m long, 10 m allowed, half a metre of the permit's own and a metre of slack at each end.
    assert ruling.excess_m2 == pytest.approx(3 * 8, abs=4)


def test_a_house_beside_does_not_pull_a_permit_over() -> None:
    beside = shapely.affinity.translate(HOUSE, 13, 0)
    moved = laid([Permit("A", HOUSE.buffer(0.5))], [HOUSE, beside], 2.0, DAY)
    assert judge(HOUSE, None, moved, DAY).permitted
    assert not judge(beside, None, moved, DAY).permitted


def test_the_patrols_day_is_that_of_the_office() -> None:
    assert day_of([datetime(2026, 11, 21, 23, 30, tzinfo=UTC)]) == DAY
    assert day_of([]) is None


def _write(path: Path, **properties: object) -> Path:
    square = [[118.35, 35.05], [118.3501, 35.05], [118.3501, 35.0501], [118.35, 35.0501], [118.35, 35.05]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]}, "properties": properties}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    return path


def test_permits_are_read_into_metres(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.geojson", permit_no="临规 12", **{"from": "2026-01-01", "to": None, "max_height_m": 6})
    permit = read_permits(path, CRS)[0]
    assert permit.polygon.area == pytest.approx(9.1 * 11.1, rel=0.03)
    assert permit.valid_from == date(2026, 1, 1)
    assert permit.max_height_m == 6


@pytest.mark.parametrize(
    ("properties", "words"),
    [({}, "needs a permit_no"), ({"permit_no": "A", "from": "last spring"}, "expected an ISO date")],
)
def test_bad_permits_name_the_feature(tmp_path: Path, properties: dict[str, str], words: str) -> None:
    with pytest.raises(InferenceError, match=words):
        read_permits(_write(tmp_path / "p.geojson", **properties), CRS)


def test_permits_in_metres_or_not_json_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.geojson"
    path.write_text("{]")
    with pytest.raises(InferenceError, match="not a GeoJSON"):
        read_permits(path, CRS)
    text = _write(path, permit_no="A").read_text().replace("118.35", "500000.0")
    path.write_text(text)
    with pytest.raises(InferenceError, match="longitude, latitude"):
        read_permits(path, CRS)
    with pytest.raises(InferenceError, match="no permits at"):
        read_permits(tmp_path / "none.geojson", CRS)
