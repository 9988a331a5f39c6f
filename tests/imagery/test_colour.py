"""Evening out: known gains, white balances, vignettes and fields are found again and taken off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery.colour import Tone, difference, even_out, smooth_difference
from imagery.overlaps import Overlaps, colours_at
from imagery.poses import Lens

LENS = Lens(fx=900.0, fy=900.0, cx=599.5, cy=449.5, width_px=1200, height_px=900)


def block(seed: int, frames: int, spoil: float, noise: float = 0.004) -> Overlaps:
    """A strip of frames at 60 % overlap over coloured ground, each with a gain, a vignette and a tilt of light."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 0.4 * frames + 0.6, 900 * frames), rng.uniform(0, 1, 900 * frames)
    colour = rng.uniform(50, 130, (len(x), 3))
    frame, place, uv, rgb = [], [], [], []
    for n in range(frames):
        u = x - 0.4 * n
        own = np.flatnonzero((u > 0) & (u < 1))
        gain = np.exp(rng.normal(0, spoil, 3))
        radius = ((2 * u[own] - 1) ** 2 + ((2 * y[own] - 1) * 0.75) ** 2) / (1 + 0.75**2)
        tilt = rng.normal(0, spoil / 2, 2)
        light = np.exp(-0.2 * radius + tilt[0] * (u[own] - 0.5) + tilt[1] * (y[own] - 0.5))
        frame.append(np.full(len(own), n))
        place.append(own)
        uv.append(np.column_stack([u[own], y[own]]))
        rgb.append(colour[own] * gain * light[:, None] * np.exp(rng.normal(0, noise, (len(own), 3))))
    table = [np.concatenate(part) for part in (frame, place, uv, rgb)]
    order = np.argsort(table[1], kind="stable")
    number = np.unique(table[1][order], return_inverse=True)[1].astype(np.int64)
    every = Overlaps(
        table[0][order].astype(np.int64), number, table[2][order].astype(np.float32), table[3][order].astype(np.float32)
    )
    return every.where(np.ones(len(order), bool))


@pytest.mark.parametrize("frames", [2, 6])
def test_spoiled_light_is_evened_at_places_that_were_not_solved_with(frames: int) -> None:
    seen = block(1, frames, spoil=0.2)
    held = np.random.default_rng(0).permutation(seen.places) % 5 == 0
    fit, rest = seen.where(~held[seen.place]), seen.where(held[seen.place])
    before = difference(rest, [Tone()] * frames, [LENS] * frames)
    tones = even_out(fit, np.zeros(frames, np.int64), [LENS], frames)
    after = difference(rest, tones, [LENS] * frames)
    assert before is not None and after is not None
    assert before > 8.0 and after < 1.0


def test_a_car_that_drove_on_spoils_nothing() -> None:
    seen = block(2, 4, spoil=0.1)
    rgb = seen.rgb.copy()
    rgb[np.random.default_rng(3).random(len(rgb)) < 0.08] = (230, 230, 230)
    tones = even_out(Overlaps(seen.frame, seen.place, seen.uv, rgb), np.zeros(4, np.int64), [LENS], 4)
    after = difference(seen, tones, [LENS] * 4)
    assert after is not None and after < 1.5


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 0.4))
def test_no_frame_is_drowned_or_burnt(seed: int, spoil: float) -> None:
    seen = block(seed, 3, spoil)
    u, v = np.meshgrid(np.linspace(0, 1199, 9), np.linspace(0, 899, 7))
    for tone in even_out(seen, np.zeros(3, np.int64), [LENS], 3):
        factor = tone.lift(u.astype(np.float32), v.astype(np.float32), LENS)
        assert factor.shape == (7, 9, 3) and np.isfinite(factor).all()
        assert factor.min() > 0.15 and factor.max() < 12.0


def test_frames_without_overlap_are_left_as_they_are() -> None:
    nothing = block(0, 2, 0.1).where(np.zeros(block(0, 2, 0.1).frame.shape, bool))
    assert even_out(nothing, np.zeros(2, np.int64), [LENS], 2) == [Tone(), Tone()]
    assert difference(nothing, [Tone()] * 2, [LENS] * 2) is None


def test_colours_are_read_where_they_are() -> None:
    thumb = np.zeros((60, 80, 3), np.uint8)
    thumb[:, 40:] = (200, 100, 50)
    found = colours_at(thumb, np.array([[0.1, 0.5], [0.9, 0.5]], np.float32))
    assert found.tolist() == [[0, 0, 0], [200, 100, 50]]


def test_what_a_frame_does_as_a_whole_is_told_from_what_things_do() -> None:
    """A step of 6 between frames is smooth; as much of scatter from tie to tie is not."""
    seen = block(4, 3, spoil=0.0, noise=0.0)
    ground = np.random.default_rng(0).uniform(60, 120, (seen.places, 3)).astype(np.float32)[seen.place]
    step = 3.0 * (2.0 * (seen.frame % 2) - 1.0)[:, None].astype(np.float32)
    scatter = np.random.default_rng(1).normal(0, 6.0, (len(ground), 1)).astype(np.float32)
    stepped, scattered = (
        smooth_difference(Overlaps(seen.frame, seen.place, seen.uv, rgb), [Tone()] * 3, [LENS] * 3)
        for rgb in (ground + step, ground + scatter)
    )
    assert stepped == pytest.approx(6.0, abs=0.1)
    assert scattered is not None and scattered < 2.0


def test_what_every_frame_does_alike_does_not_add_up_over_the_block() -> None:
    """All frames a tenth brighter on their right: twenty in a row, and the last is no brighter than the first."""
    seen = block(5, 20, spoil=0.0)
    seen = Overlaps(seen.frame, seen.place, seen.uv, (seen.rgb * np.exp(0.1 * (seen.uv[:, :1] - 0.5))).astype("f4"))
    tones = even_out(seen, np.zeros(20, np.int64), [LENS], 20)
    assert np.ptp(np.log([tone.gain for tone in tones])) < 0.3  # 0.8 where nothing holds
    after = difference(seen, tones, [LENS] * 20)
    assert after is not None and after < 1.0
