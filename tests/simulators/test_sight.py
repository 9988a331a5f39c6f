import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.sight import fan_of, look


def _marched(heights: np.ndarray, foot: tuple[float, float], camera_m: float, u: float, v: float) -> float:
    """Share of the way at which a ray first meets the surface, by small steps."""
    share = np.linspace(0.0, 1.0, 2000)
    cols = np.minimum((foot[0] + u * share).astype(int), heights.shape[1] - 1)
    rows = np.minimum((foot[1] - v * share).astype(int), heights.shape[0] - 1)
    return float(share[np.argmax(heights[rows, cols] >= camera_m * (1 - share))])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(60, 140), st.floats(60, 140))
def test_first_surface_is_the_one_that_marching_finds(seed: int, foot_col: float, foot_row: float) -> None:
    rng = np.random.default_rng(seed)
    heights = np.zeros((200, 200), np.float32)
    for _ in range(6):
        row, col = rng.integers(5, 170, 2)
        heights[row : row + rng.integers(5, 25), col : col + rng.integers(5, 25)] = rng.uniform(2, 15)
    camera_m, gsd = 60.0, 1.0
    u, v = np.meshgrid(np.linspace(-55, 55, 111), np.linspace(55, -55, 111))
    u, v = (u / gsd).astype(np.float32), (v / gsd).astype(np.float32)
    sight = look(heights, 0.0, foot_col, foot_row, camera_m, fan_of(u, v, 0.5))
    share, _ = sight.at(u, v)
    wrong = 0
    for k in rng.integers(0, u.size, 60):
        expected = _marched(heights, (foot_col, foot_row), camera_m, float(u.flat[k]), float(v.flat[k]))
        far = np.hypot(u.flat[k], v.flat[k])
        wrong += abs(expected - share.flat[k]) * far > 1.5
    # Rays that graze a corner may go to either side of it within a cell.
    assert wrong <= 4


def test_flat_ground_is_seen_where_it_is() -> None:
    u, v = (a.astype(np.float32) for a in np.meshgrid(np.linspace(-80, 80, 81), np.linspace(80, -80, 81)))
    sight = look(np.zeros((300, 300), np.float32), -0.3, 150.0, 150.0, 100.3, fan_of(u, v, 1.0))
    share, _ = sight.at(u, v)
    assert np.abs(share - 100 / 100.3).max() * 113 < 2.5


def test_rays_that_meet_a_towers_side_end_there() -> None:
    heights = np.zeros((300, 300), np.float32)
    heights[140:160, 200:230] = 30
    u, v = (a.astype(np.float32) for a in np.meshgrid(np.linspace(1, 100, 100), np.zeros(3)))
    v = np.linspace(-1, 1, 3, dtype=np.float32)[:, None] + np.zeros_like(u)
    sight = look(heights, 0.0, 150.0, 150.0, 90.0, fan_of(u, v, 1.0))
    share, _ = sight.at(u, v)
    # The tower's near side stands 50 px away; its foot is seen at 50, its rim at 50 * 90 / 60 = 75.
    side = (u[1] > 54) & (u[1] < 71)
    assert np.abs(share[1][side] * u[1][side] - 50).max() < 2
    front = u[1] < 45
    assert np.abs(share[1][front] - 1).max() < 0.05
