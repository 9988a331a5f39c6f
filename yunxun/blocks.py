"""One stitch over many Celery workers: blocks go out as tasks, marks in the shared work folder say which are done.

Nothing but names and numbers goes through the broker, and nothing comes back through it: a block's mark on disk is the
truth. A task that is lost is sent again, one that comes twice finds its work done.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from celery import Celery

from imagery.report import MosaicReport
from imagery.stitch import StitchOptions, stitch
from imagery.tasks import KINDS, WHOLE, Kind, done_mark, run_block
from yunxun.console import Report
from yunxun.errors import YunxunError

TASK = "yunxun.stitch_block"
LOOK_EVERY_S = 0.5
# A block takes a minute or two; one that is not marked after this is sent again.
AGAIN_AFTER_S = 900.0
GIVE_UP_AFTER_S = 6 * 3600.0


def register_blocks(app: Celery) -> None:
    """Makes the block task known to a worker's application."""
    app.task(name=TASK)(stitch_block)


def stitch_block(kind: Kind, frames_dir: str, out_tif: str, block: int, blocks: int, options: dict[str, Any]) -> None:
    """The task: one block; a block that is done already returns at once."""
    if not done_mark(Path(out_tif), kind, block, blocks).exists():
        run_block(kind, Path(frames_dir), Path(out_tif), block, blocks, _options(options))


def stitch_over_workers(
    app: Celery, frames_dir: Path, out_tif: Path, blocks: int, options: StitchOptions, report: Report
) -> MosaicReport:
    """Stitches with the workers that listen on the application's broker and see the same folders.

    Args:
        app: Knows the broker.
        frames_dir: Photographs, under the same path for all workers.
        out_tif: The mosaic; its folder is shared.
        blocks: Tasks a stage: a few times the number of workers.
        options: As for `stitch`.
        report: Progress.

    Raises:
        YunxunError: Blocks that nobody does.
    """
    plain = {key: _plain(value) for key, value in asdict(options).items()}
    for kind in KINDS:
        _spread(app, kind, (str(frames_dir), str(out_tif)), 1 if kind in WHOLE else blocks, plain, report)
    return stitch(frames_dir, out_tif, options, report)


def _spread(
    app: Celery, kind: Kind, paths: tuple[str, str], blocks: int, options: dict[str, Any], report: Report
) -> None:
    waiting = set(range(blocks))
    started = time.monotonic()
    sent_s: dict[int, float] = {}
    while waiting:
        now_s = time.monotonic()
        for block in waiting:
            if now_s - sent_s.get(block, -AGAIN_AFTER_S) >= AGAIN_AFTER_S:
                app.send_task(TASK, args=(kind, *paths, block, blocks, options))
                sent_s[block] = now_s
        waiting = {block for block in waiting if not done_mark(Path(paths[1]), kind, block, blocks).exists()}
        report(blocks - len(waiting), blocks, kind)
        if waiting and time.monotonic() - started > GIVE_UP_AFTER_S:
            raise YunxunError(f"{len(waiting)} of {blocks} blocks ({kind}) were not done: are workers running?")
        if waiting:
            time.sleep(LOOK_EVERY_S)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _options(plain: dict[str, Any]) -> StitchOptions:
    paths = {key: Path(plain[key]) if plain.get(key) else None for key in ("gcp", "check", "baseline")}
    captures = tuple(Path(item) for item in plain.get("captures") or ())
    return StitchOptions(**{**plain, **paths, "captures": captures})
