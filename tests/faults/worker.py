"""A worker as the conductor's is one: claims by the row, beats, finishes; Celery only rings.

The work is slow on purpose, and each finished step is written to a file, so that a drill can kill it in the middle and
count afterwards. `yunxun.jobs` is the product's; this one knows nothing of stages and is here to drill the job table.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready

from api.database import Database
from api.jobs import service as jobs

NAME = os.environ["DRILL_WORKER"]
DONE = Path(os.environ["DRILL_DONE"])
STEPS = int(os.environ.get("DRILL_STEPS", "6"))
database = Database(os.environ["DRILL_URL"])
app = Celery("drill", broker=os.environ["DRILL_BROKER"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    task_default_queue="cpu",
    broker_connection_retry_on_startup=True,
)


@app.task(name="yunxun.process_patrol", acks_late=True)
def process(job_id: str) -> None:
    with database.write() as session:
        if jobs.claim_job(session, job_id, NAME, stale_s=2.0) is None:
            return
    for step in range(STEPS):
        time.sleep(0.1)
        with database.write() as session:
            if not jobs.progress(session, job_id, NAME, step + 1, STEPS, "step"):
                return
    with database.write() as session:
        if jobs.finish(session, job_id, {"by": NAME, "pid": os.getpid()}, worker=NAME):
            with DONE.open("a") as file:
                file.write(job_id + "\n")


@worker_ready.connect
def look(**_: object) -> None:
    """The row is the truth: whatever the broker forgot is queued again, now and while this worker lives."""

    def loop() -> None:
        first = True
        while True:
            try:
                with database.read() as session:
                    waiting = jobs.unfinished_jobs(session, stale_s=2.0, worker=NAME if first else None)
                    found = [(job.id, job.queue) for job in waiting]
                for job_id, queue in found:
                    process.apply_async([job_id], queue=queue)
                first = False
            except Exception:
                time.sleep(0.2)
            time.sleep(1.0)

    threading.Thread(target=loop, daemon=True).start()
