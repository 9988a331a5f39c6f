import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.sun import Sun, sunlit


def test_toward_is_a_unit_vector_and_south_is_south() -> None:
    east, north, up = Sun(180, 30).toward
    assert math.isclose(east**2 + north**2 + up**2, 1.0)
    assert abs(east) < 1e-9
    assert north < 0 < up


@pytest.mark.parametrize(
    ("time", "lon", "lat", "azimuth", "elevation"),
    [
        # Equinox noon on the equator at Greenwich: overhead, but for the equation of time (7.5 min, 1.9 degrees).
        (datetime(2026, 3, 20, 12, 7, tzinfo=UTC), 0.0, 0.0, None, 90.0),
        # Linyi at the June solstice, local solar noon: 90 - 35.05 + 23.44.
        (datetime(2026, 6, 21, 4, 8, 20, tzinfo=UTC), 118.35, 35.05, 180.0, 78.39),
        (datetime(2026, 12, 21, 4, 5, tzinfo=UTC), 118.35, 35.05, 180.0, 31.5),
    ],
)
def test_sun_of_a_place_and_time(
    time: datetime, lon: float, lat: float, azimuth: float | None, elevation: float
) -> None:
    sun = Sun.at(time, lon, lat)
    assert sun.elevation_deg == pytest.approx(elevation, abs=0.6)
    if azimuth is not None:
        assert sun.azimuth_deg == pytest.approx(azimuth, abs=2.5)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 359), st.floats(25, 70), st.floats(2, 8))
def test_shadow_of_a_post_is_as_long_as_the_sun_says(azimuth: float, elevation: float, tall: float) -> None:
    gsd = 0.1
    heights = np.zeros((600, 600), np.float32)
    heights[297:303, 297:303] = tall
    sun = Sun(azimuth, elevation)
    lit = sunlit(heights, gsd, sun)
    rows, cols = np.nonzero((lit < 0.5) & (heights == 0))
    east, north = (cols - 299.5) * gsd, (299.5 - rows) * gsd
    away = (-sun.toward[0], -sun.toward[1])
    norm = math.hypot(*away)
    along = east * away[0] / norm + north * away[1] / norm
    across = -east * away[1] / norm + north * away[0] / norm
    assert along.max() == pytest.approx(tall / math.tan(math.radians(elevation)), abs=0.7)
    assert np.abs(across).max() < 0.9
