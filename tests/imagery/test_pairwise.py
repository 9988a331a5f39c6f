"""Mean colours of what two photographs share: a gain is seen in full, what stands seen from two sides hardly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from imagery.colour import Tone, even_out
from imagery.overlaps import CELLS_A_SIDE, MOST_CELLS_A_SIDE, on_cells, sample_ground
from imagery.pairwise import overlap_colours
from imagery.poses import FramePose, Lens, Placed
from imagery.scene import View
from imagery.surface import HeightGrid

WIDTH, HEIGHT, HEIGHT_M, GSD_M = 800, 600, 80.0, 0.1
GROUND = HeightGrid(-500.0, 500.0, 1000.0, np.zeros((1, 1), np.float32))
PLAIN = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def ground() -> np.ndarray:
    """200 m of ground at 0.1 m, smooth patches of colour: its middle is the origin."""
    noise = np.random.default_rng(2).normal(0, 1, (2000, 2000, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 25.0)
    return np.clip(120 + 30 * smooth / smooth.std(), 20, 230).astype(np.float32)


def looking_down(x: float, placed: Placed = "matched") -> View:
    focal = HEIGHT_M / GSD_M
    lens = Lens(
        fx=focal, fy=focal, cx=(WIDTH - 1) / 2, cy=(HEIGHT - 1) / 2, k1=0.0, k2=0.0, p1=0.0, p2=0.0,
        width_px=WIDTH, height_px=HEIGHT,
    )  # fmt: skip
    pose = FramePose(
        id="a", file="a.jpg", sortie_id="s", time_utc=None, lens="l",
        R=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)), C=(x, 0.0, HEIGHT_M), sigma_m=1.0, placed=placed,
    )  # fmt: skip
    across, down = WIDTH / 2 * GSD_M, HEIGHT / 2 * GSD_M
    return View(pose, lens, Path("a.jpg"), (x - across, -down, x + across, down))


def thumb(ground: np.ndarray, x: float, gain: tuple[float, float, float] = PLAIN) -> np.ndarray:
    left, top = 1000 + round(x / GSD_M) - WIDTH // 2, 1000 - HEIGHT // 2
    part = ground[top : top + HEIGHT, left : left + WIDTH] * np.array(gain, np.float32)
    return cv2.resize(np.clip(part, 0, 255), (200, 150), interpolation=cv2.INTER_AREA).astype(np.uint8)


def test_balanced_photographs_differ_by_next_to_nothing_and_unbalanced_by_their_gain(ground: np.ndarray) -> None:
    scene = [looking_down(-15.0), looking_down(15.0)]
    thumbs = [thumb(ground, -15.0), thumb(ground, 15.0, (0.9, 0.9, 0.9))]
    even = overlap_colours(scene, [Tone(), Tone((1 / 0.9,) * 3)], thumbs.__getitem__, GROUND)
    assert even is not None and even.pairs == 1 and even.median < 0.6
    raw = overlap_colours(scene, [Tone(), Tone()], thumbs.__getitem__, GROUND)
    shared = ground[700:1300, 750:1250].mean()
    assert raw is not None and raw.median == pytest.approx(0.1 * shared, abs=1.0)


def test_one_channel_too_bright_shows_in_the_worst_not_in_the_median(ground: np.ndarray) -> None:
    scene = [looking_down(-15.0), looking_down(15.0)]
    thumbs = [thumb(ground, -15.0), thumb(ground, 15.0, (1.2, 1.0, 1.0))]
    off = overlap_colours(scene, [Tone(), Tone()], thumbs.__getitem__, GROUND)
    assert off is not None and off.median < 0.6 and off.p95 > 10.0


def test_frames_apart_or_loose_are_not_compared(ground: np.ndarray) -> None:
    tones, thumbs = [Tone(), Tone()], [thumb(ground, -45.0), thumb(ground, 45.0)]
    assert overlap_colours([looking_down(-45.0), looking_down(45.0)], tones, thumbs.__getitem__, GROUND) is None
    loose = [looking_down(-15.0), looking_down(15.0, "gps")]
    assert overlap_colours(loose, tones, thumbs.__getitem__, GROUND) is None


def test_ground_alone_evens_two_photographs_out(ground: np.ndarray) -> None:
    scene = [looking_down(-15.0), looking_down(15.0)]
    thumbs = [thumb(ground, -15.0), thumb(ground, 15.0, (0.8, 0.9, 1.1))]
    seen = sample_ground(scene, thumbs.__getitem__, GROUND)
    # 50 of 60 m are common; a footprint is 30 cells of 2 m deep.
    assert seen.places == pytest.approx(25 * CELLS_A_SIDE, rel=0.1)
    assert len(seen.place) == 2 * seen.places and (np.diff(seen.place) >= 0).all()
    tones = even_out(seen, np.zeros(2, int), [scene[0].lens], 2)
    off = overlap_colours(scene, tones, thumbs.__getitem__, GROUND)
    assert off is not None and off.p95 < 0.7
    joined = seen.joined(seen)
    assert joined.places == 2 * seen.places and (np.diff(joined.place) >= 0).all()
    assert seen.thinned(10**6) is seen
    assert 0.2 * len(seen.place) < len(seen.thinned(len(seen.place) // 3).place) < 0.4 * len(seen.place)


def test_very_many_frames_are_sampled_more_thinly(ground: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, thumbs = [looking_down(-15.0), looking_down(15.0)], [thumb(ground, -15.0), thumb(ground, 15.0)]
    every = sample_ground(scene, thumbs.__getitem__, GROUND)
    monkeypatch.setattr("imagery.overlaps.MOST_SAMPLES", 500)
    some = sample_ground(scene, thumbs.__getitem__, GROUND)
    assert 0.1 * every.places < some.places < 0.3 * every.places
    assert sample_ground([looking_down(0.0, "gps")], thumbs.__getitem__, GROUND).places == 0


def test_a_footprint_far_wider_than_the_others_is_sampled_in_its_middle(ground: np.ndarray) -> None:
    cells = on_cells(looking_down(0.0), thumb(ground, 0.0), GROUND, 0.01)
    assert cells.seen.shape == (MOST_CELLS_A_SIDE, MOST_CELLS_A_SIDE) and cells.seen.all()
    assert abs(cells.left + MOST_CELLS_A_SIDE / 2) <= 1 and abs(cells.top + MOST_CELLS_A_SIDE / 2) <= 1
