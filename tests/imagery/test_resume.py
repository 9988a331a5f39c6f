"""kill -9 at every stage: the next run takes up what lies there, and the result is that of a run left in peace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from imagery import cog, compose
from imagery.report import read_report
from imagery.stitch import StitchOptions, mosaic_block, stitch, work_folder
from tests.imagery.ground_maker import Camera, Ground, fly

ROOT = Path(__file__).resolve().parents[2]
# Stitches, and stops dead in the middle of the stage that it is told, saying so.
CHILD = """
import sys, time
from pathlib import Path
import imagery.work
imagery.work.FLUSH_S = 0.0
import imagery.cog, imagery.compose
imagery.cog.TILE_PX = imagery.compose.TILE_PX = 256
from imagery.stitch import StitchOptions, stitch
frames, out, stage, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
def kept_a_tile():
    return any(journal.stat().st_size for journal in out.parent.rglob("*.journal"))
def progress(done, total, what):
    # Which photograph completes the first tile hangs on where the seams run.
    if what == stage and done >= count and (what != "mosaic" or kept_a_tile()):
        print("there", done, total, flush=True)
        time.sleep(600)
stitch(frames, out, StitchOptions(processes=1, dense=True), progress)
"""


def kill_at(frames: Path, out: Path, stage: str, count: int) -> None:
    command = [sys.executable, "-c", CHILD, str(frames), str(out), stage, str(count)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.readline()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert said.startswith("there"), f"the run ended before {stage} {count}"


def kept(work: Path, pattern: str) -> dict[str, int]:
    """Files of a kind with the time they were written."""
    return {path.name: path.stat().st_mtime_ns for path in work.glob(pattern)}


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume") / "frames"
    fly(folder, Ground(), lanes=2, per_lane=3, camera=Camera(640, 480, 450.0))
    return folder


def test_killed_at_every_stage_and_still_the_same(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small tiles, in the killed runs too: of six photographs several must complete one before the last does.
    for module in (cog, compose):
        monkeypatch.setattr(module, "TILE_PX", 256)
    out = tmp_path / "mosaic.tif"
    work = work_folder(out)
    kill_at(frames, out, "features", 3)
    features = kept(work, "features-*/*.npz")
    assert len(features) >= 3
    assert (tmp_path / "preview.tif").exists()
    kill_at(frames, out, "heights", 2)
    adjusted, heights = kept(work, "adjusted-*.npz"), kept(work, "heights/*.npy")
    assert len(adjusted) == 1 and len(heights) >= 2
    assert features.items() <= kept(work, "features-*/*.npz").items()
    kill_at(frames, out, "mosaic", 3)
    assert adjusted == kept(work, "adjusted-*.npz") and heights.items() <= kept(work, "heights/*.npy").items()
    (journal,) = work.glob("mosaic-*/*.journal")
    before = journal.read_bytes()
    assert before.count(b"\n") >= 1 and not out.exists()
    later: list[bytes] = []
    stitch(
        frames,
        out,
        StitchOptions(processes=1, dense=True),
        lambda done, total, what: later.append(journal.read_bytes()) if what == "mosaic" else None,
    )
    assert not work.exists()
    # Finished tiles are neither lost nor made again.
    assert later[-1].startswith(before)
    tiles = [line.split()[:3] for line in later[-1].splitlines() if line]
    assert len(tiles) == len({tuple(tile) for tile in tiles})
    stitch(frames, tmp_path / "peace" / "mosaic.tif", StitchOptions(processes=1, dense=True))
    with rasterio.open(out) as one, rasterio.open(tmp_path / "peace" / "mosaic.tif") as two:
        assert one.transform == two.transform and one.shape == two.shape
        assert np.array_equal(one.read(), two.read()) and np.array_equal(one.read_masks(1), two.read_masks(1))


@pytest.mark.slow  # tests/yunxun/test_blocks.py does the same through Celery
def test_blocks_of_several_workers_make_one_mosaic(frames: Path, tmp_path: Path) -> None:
    options = StitchOptions(processes=1)
    out = tmp_path / "blocks" / "mosaic.tif"
    made = [mosaic_block(frames, out, block, 2, options) for block in (1, 0)]
    assert min(made) >= 1
    laid: list[str] = []
    stitch(frames, out, options, lambda n, total, what: laid.append(what))
    assert "mosaic" not in laid
    stitch(frames, tmp_path / "mosaic.tif", options)
    assert read_report(out.with_name("mosaic.json")).frames_matched == 6
    with rasterio.open(out) as one, rasterio.open(tmp_path / "mosaic.tif") as two:
        assert np.array_equal(one.read(), two.read())
        assert one.overviews(1) == two.overviews(1)
