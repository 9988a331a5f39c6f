"""Which proposals the frames are opened for."""

from __future__ import annotations

from inference.candidates import LOOKS_TO_FIT, WORTH_A_LOOK, worth_a_look
from inference.sureness import DEFAULT, Evidence, probability

LIKELY, UNLIKELY = Evidence(0.9, 0.95, 20.0), Evidence(0.02, 0.05, 20.0)


def test_the_unlikely_are_let_go_before_frames_are_opened() -> None:
    assert probability(UNLIKELY, DEFAULT) < WORTH_A_LOOK["construction"] < probability(LIKELY, DEFAULT)
    assert worth_a_look("construction", [UNLIKELY, LIKELY, UNLIKELY], DEFAULT, 1e4, every=False) == [1]
    assert worth_a_look("construction", [UNLIKELY, LIKELY, UNLIKELY], DEFAULT, 1e4, every=True) == [0, 1, 2]


def test_waste_is_looked_at_where_structures_are_not() -> None:
    """On a mosaic a field of litter is faint; in three frames it is not."""
    faint = Evidence(0.04, 0.06, 20.0)
    assert worth_a_look("sanitation", [faint], DEFAULT, 1e4, every=False) == [0]
    assert worth_a_look("construction", [faint], DEFAULT, 1e4, every=False) == []


def test_a_weak_model_costs_recall_and_never_minutes() -> None:
    many = [Evidence(0.3 + 0.002 * i, 0.9, 20.0) for i in range(200)]
    assert len(worth_a_look("construction", many, DEFAULT, 1e4, every=False)) == 40
    surest = worth_a_look("construction", many, DEFAULT, 1e4, every=True)
    assert surest == list(range(200 - LOOKS_TO_FIT, 200))
