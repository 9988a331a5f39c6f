"""One flight over known ground, stitched once for all tests that look at the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from imagery.report import MosaicReport
from imagery.stitch import StitchOptions, stitch
from tests.imagery.ground_maker import Flight, Ground, fly

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


@dataclass(frozen=True)
class Stitched:
    folder: Path
    frames: Path
    flight: Flight
    ground: Ground
    report: MosaicReport


@pytest.fixture(scope="session")
def stitched(tmp_path_factory: pytest.TempPathFactory) -> Stitched:
    """Day one: 15 frames, GPS with a bias, dense heights."""
    folder = tmp_path_factory.mktemp("day1")
    ground = Ground()
    flight = fly(folder / "frames", ground, bias=(1.5, -1.0))
    report = stitch(folder / "frames", folder / "mosaic.tif", StitchOptions(dense=True))
    return Stitched(folder, folder / "frames", flight, ground, report)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not on this machine")
    return SHARED
