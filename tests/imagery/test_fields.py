"""Fields of light: found where ties are, nothing where there are none, and the same however long they are solved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagery import fields as module
from imagery.fields import MOST_LOG_FIELD, NODES, corners, fields
from imagery.overlaps import Overlaps


def strip(seed: int, frames: int, light: float, upto: float = 1.0) -> tuple[Overlaps, np.ndarray]:
    """Places along a strip of frames at 60 % overlap, down to `upto` of their height; each frame's light bends."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 0.4 * frames + 0.6, 500 * frames), rng.uniform(0, upto, 500 * frames)
    ground = rng.uniform(4.0, 5.0, (len(x), 3))
    rows = []
    for n in range(frames):
        u = x - 0.4 * n
        own = np.flatnonzero((u > 0) & (u < 1))
        bend = rng.normal(0, light) * np.sin(3.0 * u[own]) + rng.normal(0, light) * (y[own] - 0.5)
        value = ground[own] + bend[:, None] + rng.normal(0, 0.005, (len(own), 3))
        rows.append(np.column_stack([np.full(len(own), n), own, u[own], y[own], value]))
    table = np.vstack(rows)
    table = table[np.argsort(table[:, 1], kind="stable")]
    place = np.unique(table[:, 1], return_inverse=True)[1].astype(np.int64)
    uv = table[:, 2:4].astype(np.float32)
    seen = Overlaps(table[:, 0].astype(np.int64), place, uv, np.exp(table[:, 4:]).astype(np.float32))
    kept = seen.where(np.ones(len(place), bool))
    return kept, np.log(kept.rgb.astype(float))


def apart(seen: Overlaps, even: np.ndarray, found: np.ndarray) -> float:
    """What frames differ by at the same place, the fields taken in."""
    weight, node = corners(seen.uv[:, 0], seen.uv[:, 1], *NODES)
    nodes = found.reshape(len(found), -1, 3)
    lit = even + np.einsum("sk,skc->sc", weight, nodes[seen.frame[:, None], node])
    same = np.flatnonzero(np.diff(seen.place) == 0)
    return float(np.median(np.abs(lit[same + 1] - lit[same])))


def test_bent_light_is_taken_out() -> None:
    seen, even = strip(0, 5, 0.1)
    flat = np.zeros((5, NODES[1], NODES[0], 3))
    assert apart(seen, even, flat) > 0.03
    assert apart(seen, even, fields(seen, even, 5)) < 0.012


def test_more_rounds_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, even = strip(1, 6, 0.1)
    few = fields(seen, even, 6)
    monkeypatch.setattr(module, "ROUNDS", 12)
    monkeypatch.setattr(module, "STEPS", 200)
    many = fields(seen, even, 6)
    assert np.abs(many - few).max() < 0.02
    assert abs(apart(seen, even, many) - apart(seen, even, few)) < 0.001


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.02, 0.3))
def test_a_field_does_not_run_on_where_no_tie_is(seed: int, light: float) -> None:
    """Ties in the upper half only: the lower half is never stronger than what is known of the upper."""
    seen, even = strip(seed, 4, light, upto=0.5)
    found = np.abs(fields(seen, even, 4))
    assert found.max() <= MOST_LOG_FIELD + 1e-6
    # Node rows below the last that a tie weighs on.
    first_bare = int(np.ceil(0.5 * (NODES[1] - 1))) + 1
    bare, known = found[:, first_bare:], found[:, :first_bare]
    assert bare.max() <= known.max() + 1e-6
    assert bare[:, -1].mean() < known[:, -2].mean() + 1e-3


def test_the_number_of_frames_made_together_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, even = strip(3, 5, 0.1)
    whole = fields(seen, even, 5)
    monkeypatch.setattr(module, "CHUNK", 2)
    assert np.allclose(fields(seen, even, 5), whole, atol=1e-4)
