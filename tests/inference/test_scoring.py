from __future__ import annotations

import pytest
import shapely

from inference.training.scoring import Case, Found, TrueThing, average_precision, candidate_truth, score, tally

HOUSE = shapely.box(0, 0, 8, 6)
FAR = shapely.box(50, 50, 55, 55)


def _true(polygon: shapely.Polygon, **how: object) -> TrueThing:
    return TrueThing(polygon, "construction", area_m2=polygon.area, **how)  # type: ignore[arg-type]


def _case(found: list[Found], truth: list[TrueThing]) -> Case:
    return Case("p", 10_000.0, tuple(found), tuple(truth))


def _found(polygon: shapely.Polygon, p: float, filed: bool = True) -> Found:
    return Found(polygon, "construction", p, filed)


def test_counts_of_hits_false_alarms_and_duplicates() -> None:
    found = [_found(HOUSE, 0.9), _found(shapely.box(0, 0, 4, 6), 0.8), _found(FAR, 0.7), _found(FAR, 0.2)]
    counts = tally(_case(found, [_true(HOUSE)]), "construction", 0.5)
    assert (counts.wanted, counts.hit, counts.false, counts.true, counts.candidates_on_hits) == (1, 1, 1, 2, 2)


def test_permitted_work_that_is_filed_is_counted_apart() -> None:
    case = _case([_found(HOUSE, 0.9), _found(FAR, 0.9, filed=False)], [_true(HOUSE, wanted=False)])
    counts = tally(case, "construction", 0.5)
    assert (counts.filed_permitted, counts.false, counts.wanted) == (1, 0, 0)
    quiet = _case([_found(HOUSE, 0.9, filed=False)], [_true(HOUSE, wanted=False)])
    assert tally(quiet, "construction", 0.5).filed_permitted == 0


def test_neutral_and_too_small_things_count_neither_way() -> None:
    case = _case([_found(HOUSE, 0.9)], [_true(HOUSE, neutral=True)])
    counts = tally(case, "construction", 0.5)
    assert (counts.false, counts.true, counts.wanted, counts.scored) == (0, 0, 0, [])
    small = tally(_case([_found(HOUSE, 0.9)], [_true(HOUSE)]), "construction", 0.5, least_m2=60)
    assert (small.false, small.wanted) == (0, 0)


def test_ap_is_that_of_the_textbook() -> None:
    assert average_precision([(0.9, True), (0.8, False), (0.7, True)], 2) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision([], 3) == 0
    assert average_precision([(0.5, True)], 0) == 0


def test_intervals_are_drawn_by_place() -> None:
    good = _case([_found(HOUSE, 0.9)], [_true(HOUSE)])
    bad = _case([], [_true(HOUSE)])
    recall = score([good, bad] * 5, "construction", 0.5)["recall"]
    assert recall.value == pytest.approx(0.5)
    assert 0.1 < recall.low < 0.5 < recall.high < 0.9
    assert score([good] * 5, "construction", 0.5)["recall"].low == 1.0


def test_truth_of_candidates_for_calibration() -> None:
    case = _case([_found(HOUSE, 0.9), _found(FAR, 0.3)], [_true(HOUSE), _true(shapely.box(90, 90, 99, 99))])
    assert candidate_truth(case, "construction") == ([True, False], 1)
