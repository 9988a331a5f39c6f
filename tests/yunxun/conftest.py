"""A small patrol to walk through the stages: photographs of a simulated town, rendered once a test run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from missions.camera import Camera
from simulators.exposure import Exposure
from simulators.photographer import photograph
from yunxun.simulation import GroundSpec, town_day

CENTRE = (118.35, 35.05)
# 16 cm pixels: a quarter of the demo's to paint, photograph and stitch.
CAMERA = Camera(model="YX-05MP", width_px=800, height_px=600, focal_mm=4.7, sensor_width_mm=6.17)
HEIGHT_M = 97.5


def exposures_over(size_m: float, day: int) -> list[Exposure]:
    """Three lanes across a square town, 45 m apart, a photograph every 24 m; GPS errs by a drifting metre."""
    rng = np.random.default_rng(day)
    bias = rng.normal(0.0, 1.2, 3)
    east_m, north_m = 91_200.0, 110_950.0  # metres of a degree at 35 degrees north
    found = []
    for lane, x in enumerate(np.arange(-45.0, 46.0, 45.0)):
        along = np.arange(-size_m / 2, size_m / 2 + 1.0, 24.0)
        for y in along if lane % 2 == 0 else along[::-1]:
            dx, dy, dz = bias + rng.normal(0.0, 0.15, 3)
            index = len(found) + 1
            found.append(
                Exposure(
                    index=index, file=f"DJI_{index:04d}.JPG", system_id=1,
                    time_utc=datetime(2026, 11, 16 + 7 * day, 2, tzinfo=UTC) + timedelta(seconds=3 * index),
                    true_lon=CENTRE[0] + x / east_m, true_lat=CENTRE[1] + y / north_m, true_alt_amsl_m=60 + HEIGHT_M,
                    camera_roll_deg=0.0, camera_pitch_deg=-90.0, camera_yaw_deg=0.0 if lane % 2 == 0 else 180.0,
                    lon=CENTRE[0] + (x + dx) / east_m, lat=CENTRE[1] + (y + dy) / north_m,
                    alt_amsl_m=60 + HEIGHT_M + dz, height_rel_m=HEIGHT_M,
                )
            )  # fmt: skip
    return found


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory card: 18 photographs of a town of 120 m on its second day (three new buildings, four heaps)."""
    folder = tmp_path_factory.mktemp("card") / "DCIM"
    spec = GroundSpec(seed=5, day=1, centre=CENTRE, size_m=(120.0, 120.0))
    photograph(exposures_over(120.0, 1), town_day(spec, 60.0), CAMERA, folder, seed=1)
    return folder
