"""One flight over known ground, stitched once for all tests that look at the result."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagery.report import MosaicReport
from imagery.stitch import StitchOptions, pose_block, stitch, work_folder
from tests.imagery.ground_maker import Flight, Ground, fly

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


@dataclass(frozen=True)
class Stitched:
    folder: Path
    frames: Path
    flight: Flight
    ground: Ground
    report: MosaicReport
    work: Path

    def taken_up(self, folder: Path) -> Path:
        """Where to write a mosaic of the same frames whose features, matches and first adjustment are there already."""
        shutil.copytree(self.work, work_folder(folder / "mosaic.tif"))
        return folder / "mosaic.tif"


@pytest.fixture(scope="session")
def stitched(tmp_path_factory: pytest.TempPathFactory) -> Stitched:
    """Day one: 15 frames, GPS with a bias, dense heights."""
    folder = tmp_path_factory.mktemp("day1")
    ground = Ground()
    flight = fly(folder / "frames", ground, bias=(1.5, -1.0))
    pose_block(folder / "frames", folder / "mosaic.tif", 0, 1, StitchOptions(dense=True))
    work = tmp_path_factory.mktemp("work") / "kept"
    shutil.copytree(work_folder(folder / "mosaic.tif"), work)
    report = stitch(folder / "frames", folder / "mosaic.tif", StitchOptions(dense=True))
    return Stitched(folder, folder / "frames", flight, ground, report, work)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not on this machine")
    return SHARED
