"""One stitch over two Celery workers: the same mosaic, every block done once, a lost task done after all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from celery import Celery
from celery.contrib.testing.worker import start_worker

from imagery.errors import ImageryError
from imagery.stitch import StitchOptions, stitch
from imagery.tasks import done_mark, run_block
from tests.imagery.ground_maker import Camera, Ground, fly
from yunxun import blocks
from yunxun.blocks import register_blocks, stitch_over_workers


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks") / "frames"
    fly(folder, Ground(), lanes=2, per_lane=3, camera=Camera(640, 480, 450.0))
    return folder


def test_two_workers_make_the_mosaic_that_one_makes(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Celery("test", broker="memory://", backend="cache+memory://")
    app.conf.update(task_ignore_result=True, task_acks_late=True)
    register_blocks(app)
    monkeypatch.setattr(blocks, "AGAIN_AFTER_S", 60.0)
    out, said = tmp_path / "shared" / "mosaic.tif", []
    options = StitchOptions(processes=1)
    # The worker of Celery's own tests: threads in this process, the broker in memory, the tasks as they are.
    with start_worker(app, pool="threads", concurrency=2, perform_ping_check=False):
        report = stitch_over_workers(
            app, frames, out, 3, options, lambda done, total, what: said.append((done, total, what))
        )
    assert report.frames_matched == 6
    assert (3, 3, "match") in said and (3, 3, "mosaic") in said
    stitch(frames, tmp_path / "alone" / "mosaic.tif", options)
    with rasterio.open(out) as one, rasterio.open(tmp_path / "alone" / "mosaic.tif") as two:
        assert np.array_equal(one.read(), two.read())


def test_a_block_leaves_a_mark_and_unknown_ones_are_refused(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "mosaic.tif"
    assert run_block("features", frames, out, 1, 3) == 2
    assert done_mark(out, "features", 1, 3).read_text() == "2\n"
    assert run_block("features", frames, out, 1, 3) == 0
    with pytest.raises(ImageryError, match="no block 3 of 3"):
        run_block("match", frames, out, 3, 3)
