"""Warnings and refusals, each for what it is about and for nothing else."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from imagery.doubts import Doubt, Marks, doubts, refuse_nonsense
from imagery.errors import ImageryError
from imagery.index import FROZEN, Index
from imagery.layout import look
from imagery.shutter import ShutterTrace
from imagery.solve import Solution
from imagery.tracks import Ties
from tests.imagery.claims_maker import block, grid

NOWHERE = np.full((12, 2), np.nan)


def told(index: Index, solution: Solution, marks: Marks | None = None, shutter: ShutterTrace | None = None) -> str:
    found = doubts(index, solution, marks or Marks(), shutter, 0.02)
    for doubt in found:
        assert isinstance(doubt, Doubt) and "\n" not in doubt.english + doubt.chinese
        assert re.search(r"[\u4e00-\u9fff]{4}", doubt.chinese), doubt
    return " / ".join(doubt.english for doubt in found)


def tilted(solution: Solution, pitch_deg: float) -> Solution:
    return replace(
        solution, state=replace(solution.state, R=np.tile(look(0.0, pitch_deg), (len(solution.placed), 1, 1)))
    )


def test_a_sound_block_leaves_no_doubt() -> None:
    assert told(*block(grid())) == ""


def test_no_position_anywhere() -> None:
    index, solution = block(grid(), NOWHERE)
    assert "scale, place and north are unknown" in told(index, solution)
    stopped = replace(index, photos=tuple(replace(photo, distrust=FROZEN) for photo in index.photos))
    assert "receiver stopped" in told(stopped, solution)


@pytest.mark.parametrize(
    ("unmatched", "said"),
    [
        (tuple(range(12)), "no two of 12 photographs match"),
        (tuple(range(9)), "only 3 of 12 frames match"),
        ((4,), "DJI_0004.JPG"),
    ],
)
def test_frames_that_match_nothing_are_named(unmatched: tuple[int, ...], said: str) -> None:
    assert said in told(*block(grid(), unmatched=unmatched))


def test_one_spot() -> None:
    assert "one spot" in told(*block(np.random.default_rng(0).normal(0, 0.2, (6, 2))))


def test_groups_without_ties_between_them() -> None:
    pairs = [(n, n + 1) for n in range(11) if n != 5]
    said = told(*block(grid(), pairs=pairs))
    assert "2 groups" in said and "6 from DJI_0000.JPG" in said and "6 from DJI_0006.JPG" in said


def test_a_position_that_the_photographs_contradict() -> None:
    claims = grid()
    claims[3] += (400.0, 0.0)
    said = told(*block(grid(), claims))
    assert "1 positions contradict" in said and "DJI_0003.JPG" in said


def test_poor_fit_held_lens_and_shutter() -> None:
    index, solution = block(grid(), tie_rms_px=4.4)
    said = told(index, replace(solution, lens_held=True), shutter=ShutterTrace(2.5, 0.4))
    assert "4.4 px only" in said and "held near" in said and "2.5 px" in said
    assert "rolling shutter" not in told(*block(grid()), shutter=ShutterTrace(2.5, 0.02))
    assert "rolling shutter" not in told(*block(grid()), shutter=ShutterTrace(0.4, 0.9))


def test_marks_that_were_left_out_are_named() -> None:
    marks = Marks(1.92, ("GCP3: its photographs see it 88 px apart",), 2.3)
    said = told(*block(grid()), marks=marks)
    assert "1.920" in said and "GCP3" in said and "2.30 m only" in said
    chinese = [doubt.chinese for doubt in doubts(*block(grid()), marks, None, 0.02)]
    assert any("GCP3" in text and "像素" in text and "apart" not in text for text in chinese)


def test_what_fits_is_not_refused() -> None:
    index, solution = block(grid(), NOWHERE, tie_rms_px=1.0)
    refuse_nonsense(index, solution, controlled=False)
    refuse_nonsense(*block(grid(), tie_rms_px=None), controlled=False)


def test_a_poor_fit_without_any_position_is_refused_unless_control_holds_it() -> None:
    index, solution = block(grid(), NOWHERE, tie_rms_px=3.5)
    with pytest.raises(ImageryError, match="not a map of the ground"):
        refuse_nonsense(index, solution, controlled=False)
    refuse_nonsense(index, solution, controlled=True)


def test_leaning_views_without_angles_are_refused_when_they_do_not_fit() -> None:
    index, solution = block(grid(), tie_rms_px=7.5)
    with pytest.raises(ImageryError, match="camera pitch"):
        refuse_nonsense(index, tilted(solution, -60.0), controlled=False)
    refuse_nonsense(index, tilted(solution, -88.0), controlled=False)
    angled = replace(index, photos=tuple(replace(photo, pitch_deg=-60.0) for photo in index.photos))
    refuse_nonsense(angled, tilted(solution, -60.0), controlled=False)


def test_leaning_views_without_angles_that_fit_are_told() -> None:
    index, solution = block(grid())
    assert "lean 40 degrees" in told(index, tilted(solution, -50.0))
    assert told(index, tilted(solution, -85.0)) == ""


def test_a_block_that_climbs_against_its_barometer_is_told() -> None:
    index, solution = block(grid())
    slope = np.column_stack([np.zeros((12, 2)), 0.4 * grid()[:, 0]])
    assert "the block leans as a whole" in told(
        index, replace(solution, state=replace(solution.state, C=solution.state.C + slope))
    )


@pytest.mark.parametrize(("highest_m", "refused"), [(60.0, False), (2000.0, True)])
def test_a_chain_whose_scale_slides_is_no_map(highest_m: float, refused: bool) -> None:
    index, solution = block(grid(), NOWHERE)
    state = replace(
        solution.state,
        C=np.column_stack([solution.state.C[:, :2], np.geomspace(20.0, highest_m, 12)]),
        R=np.tile(look(0.0), (12, 1, 1)),
    )
    frame = np.repeat(np.arange(12), 3)
    point = np.column_stack([state.C[:, :2], np.zeros(12)])[frame] + (1.0, 2.0, 0.0)
    ties = Ties(frame, np.arange(36), np.zeros((36, 2)), np.ones(36), np.zeros((36, 3), np.uint8))
    chain = replace(solution, state=replace(state, X=point), ties=ties)
    if refused:
        with pytest.raises(ImageryError, match="scale slides"):
            refuse_nonsense(index, chain, controlled=False)
    else:
        refuse_nonsense(index, chain, controlled=False)
    refuse_nonsense(index, chain, controlled=True)
