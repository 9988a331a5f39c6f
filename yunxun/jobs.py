"""The worker: the only module that knows Celery. It wraps the conductor as tasks and keeps the job rows true.

A job's row in the database is the truth. A task that a broker lost is rung again from its row, one that comes twice
finds the row taken, and a job whose worker was killed is taken up where its patrol's ledger stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_ready

from api.auth.access import TokenCache
from api.auth.idempotency import forget
from api.candidates.intake import read_features, take
from api.context import Context
from api.database import Database
from api.evidence.merkle import close_days
from api.evidence.retention import nightly
from api.jobs import service as rows
from api.jobs.bell import ring
from api.jobs.models import Job
from api.patrols.service import NewPatrol, get_patrol, path_of, register, uploads_of
from api.tiles.files import PictureCache
from yunxun.blocks import register_blocks
from yunxun.conductor import PatrolInputs, PatrolRun
from yunxun.console import ON_PURPOSE
from yunxun.errors import YunxunError
from yunxun.rounds import Round, vendor_rounds, walk
from yunxun.settings import Settings, api_settings, load_settings
from yunxun.workspace import PatrolFolder

log = logging.getLogger("yunxun.jobs")

# Well under the 60 s after which a silent worker's job is another's.
HEARTBEAT_S = 5.0
# How often the worker looks for rows that no broker told it of.
SWEEP_S = 15.0
# How often it is looked whether a day of events has ended and wants its signed root.
CLOSE_DAYS_S = 3600.0
# What may be thinned or deleted by rule, and answers to filings that nobody asks for again: once a day.
NIGHTLY_S = 24 * 3600.0


class Cancelled(Exception):  # noqa: N818 - a person's wish, not an error
    """The job was cancelled, or another worker has it by now: stop."""


def make_celery(settings: Settings) -> Celery:
    """The Celery application: late acknowledgement, one task at a time, nothing kept in the broker."""
    app = Celery("yunxun", broker=settings.broker_url)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_default_queue="cpu",
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        # A stitch of thousands of frames must not be delivered a second time while it runs.
        broker_transport_options={"visibility_timeout": 24 * 3600},
    )
    app.task(name="yunxun.process_patrol")(process_patrol)
    register_blocks(app)
    return app


def worker_name(settings: Settings) -> str:
    """The same after a restart, so that a job whose worker was killed is taken up at once."""
    return f"{socket.gethostname()}:{hashlib.sha256(str(settings.data_dir).encode()).hexdigest()[:8]}"


def process_patrol(job_id: str) -> None:
    """Stitches and judges a patrol's photographs and files the candidates; a repeat goes on where it stopped."""
    settings = load_settings()
    database = Database(api_settings(settings).url, pool_size=2)
    worker = worker_name(settings)
    try:
        with database.write() as session:
            job = rows.claim_job(session, job_id, worker)
        if job is None:
            return
        try:
            with _beating(database, job_id, worker) as report:
                result = _process(settings, database, job, report)
        except Cancelled:
            _end(database, job_id, worker, "cancelled")
        except ON_PURPOSE as error:
            _end(database, job_id, worker, " ".join(str(error).split()))
        except Exception as error:
            log.exception("job %s failed", job_id)
            _end(database, job_id, worker, f"our own fault: {type(error).__name__}: {error}", retry=True)
        else:
            with database.write() as session:
                rows.finish(session, job_id, result, worker=worker)
    finally:
        database.close()


def _end(database: Database, job_id: str, worker: str, error: str, *, retry: bool = False) -> None:
    with database.write() as session:
        rows.fail(session, job_id, error, worker=worker, retry=retry)


class _Beat:
    """Progress into the row, at most once a second, and a heartbeat between; raises `Cancelled` when told to stop."""

    def __init__(self, database: Database, job_id: str, worker: str) -> None:
        self._database, self._job_id, self._worker = database, job_id, worker
        self._stopped = threading.Event()
        self._lost = threading.Event()
        self._last_s = 0.0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def _run(self) -> None:
        while not self._stopped.wait(HEARTBEAT_S):
            with self._database.write() as session:
                if not rows.heartbeat(session, self._job_id, self._worker):
                    self._lost.set()

    def __call__(self, done: int, total: int, what: str) -> None:
        if self._lost.is_set():
            raise Cancelled
        now_s = time.monotonic()
        if now_s - self._last_s < 1.0 and done < total:
            return
        self._last_s = now_s
        with self._database.write() as session:
            if not rows.progress(session, self._job_id, self._worker, done, total, what):
                raise Cancelled

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


@contextmanager
def _beating(database: Database, job_id: str, worker: str) -> Iterator[_Beat]:
    beat = _Beat(database, job_id, worker)
    beat.start()
    try:
        yield beat
    finally:
        beat.stop()


def _process(settings: Settings, database: Database, job: Job, report: _Beat) -> dict[str, Any]:
    if job.patrol_id is None:
        raise YunxunError(f"job {job.id} names no patrol")
    folder, inputs = _inputs(settings, database, job)
    done = PatrolRun(folder, inputs, report).run()
    actor = f"worker:{job.created_by}"
    with database.write() as session:
        register(session, products(folder, job.patrol_id, inputs.baseline), actor)
    filed = file_collection(database, folder.sites, actor)
    stages = {stage.name: {"wall_s": round(stage.wall_s, 1), "resumed": stage.resumed} for stage in done}
    aside: list[dict[str, Any]] = next(
        (stage.result["frames_set_aside"] for stage in done if stage.name == "stitch"), []
    )
    return {"stages": stages, "candidates": filed, "frames_set_aside": aside}


def _inputs(settings: Settings, database: Database, job: Job) -> tuple[PatrolFolder, PatrolInputs]:
    """The patrol's folder and what to do in it: uploads become its card, an earlier patrol its baseline."""
    assert job.patrol_id is not None
    with database.read() as session:
        patrol = get_patrol(session, job.patrol_id)
        own, frames = path_of(patrol, "folder"), path_of(patrol, "frames")
        baseline = None
        if patrol.baseline_patrol_id:
            earlier = get_patrol(session, patrol.baseline_patrol_id)
            baseline = path_of(earlier, "folder") or path_of(earlier, "mosaic")
            if baseline is None:
                raise YunxunError(f"the baseline {earlier.id} has no mosaic yet: process that patrol first")
    folder = PatrolFolder(own or settings.patrols_dir / job.patrol_id)
    folder.ensure_record(patrol_id=job.patrol_id)
    uploads = uploads_of(api_settings(settings), job.patrol_id)
    card = uploads if uploads.is_dir() else frames
    if card is not None and card.resolve() == folder.frames.resolve():
        card = None
    permits = job.params.get("permits")
    return folder, PatrolInputs(frames=card, baseline=baseline, permits=Path(permits) if permits else None)


def products(folder: PatrolFolder, patrol_id: str, baseline: Path | None) -> NewPatrol:
    """What the API is told of a patrol's files: absolute paths of those that exist."""
    files = {
        "folder": folder.root, "mosaic": folder.mosaic, "frames": folder.frames, "poses": folder.poses,
        "report": folder.report, "plan": folder.plan, "sites": folder.sites, "dsm": folder.dsm,
    }  # fmt: skip
    if baseline is not None:
        earlier = PatrolFolder(baseline) if baseline.is_dir() else None
        files["baseline"] = earlier.mosaic if earlier else baseline
        if earlier is not None:
            files["baseline_frames"] = earlier.frames
    record = PatrolFolder(baseline).read_record() if baseline is not None and baseline.is_dir() else None
    return NewPatrol(
        id=patrol_id,
        name=folder.root.name,
        baseline_patrol_id=record.patrol_id if record else None,
        paths={key: str(path.resolve()) for key, path in files.items() if path.exists()},
    )


def file_collection(database: Database, sites: Path, actor: str) -> int:
    """Files `sites.geojson` as `POST /api/v1/sites` does; a repeat changes nothing. Returns how many it holds."""
    sightings = read_features(json.loads(sites.read_text("utf-8")))
    with database.write() as session:
        return len(take(session, sightings, actor))


def ring_unfinished(settings: Settings, database: Database, *, just_started: bool) -> int:
    """Rings every job that nobody works on; returns how many."""
    with database.read() as session:
        waiting = rows.unfinished_jobs(session, worker=worker_name(settings) if just_started else None)
    return sum(ring(settings.broker_url, job) for job in waiting)


def rounds_of(settings: Settings) -> list[Round]:
    """All that the worker does by the clock."""
    told = api_settings(settings)
    database = Database(told.url, pool_size=1)
    here = Context(told, database, TokenCache(database, told), PictureCache(told.data_dir / "cache" / "pictures"))
    started = threading.Event()

    def unfinished() -> None:
        ring_unfinished(settings, database, just_started=not started.is_set())
        started.set()

    def closed_days() -> None:
        with database.write() as session:
            close_days(session, told)

    def forgotten_answers() -> None:
        with database.write() as session:
            forget(session)

    return [
        Round("unfinished jobs", SWEEP_S, unfinished),
        Round("closed days", CLOSE_DAYS_S, closed_days),
        Round("forgotten answers", NIGHTLY_S, forgotten_answers),
        Round("retention", NIGHTLY_S, lambda: nightly(told, database)),
        *vendor_rounds(here),
    ]


def main() -> None:
    """Runs the worker until SIGTERM; `python -m yunxun.jobs`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = load_settings()
    app = make_celery(settings)

    @worker_ready.connect(weak=False)
    def begin(**_: Any) -> None:
        rounds = (rounds_of(settings), threading.Event())
        threading.Thread(target=walk, args=rounds, name="rounds", daemon=True).start()

    # Threads: stages bring processes of their own, which a prefork pool's children may not have.
    app.worker_main(["worker", "--pool", "threads", "--concurrency", "1", "--queues", "cpu,gpu", "--loglevel", "INFO"])


if __name__ == "__main__":
    main()
