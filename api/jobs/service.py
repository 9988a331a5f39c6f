"""Jobs: plain functions for the worker. The row is the truth: a broker that forgets, or tells twice, changes nothing.

A worker that was killed leaves a row `running` with an old heartbeat; whoever starts next takes it up again
(`unfinished_jobs`, `claim_job`). A claim is one conditional UPDATE, so of two workers one gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from api.base import utcnow
from api.errors import ConflictError, NotFoundError
from api.ids import ulid
from api.jobs.models import Job

Queue = Literal["cpu", "gpu"]
# Twelve missed heartbeats of five seconds: the worker is dead or cut off.
STALE_S = 60.0
MAX_ATTEMPTS = 5
ENDED = ("done", "failed", "cancelled")
TASKS = {"process_patrol": "yunxun.process_patrol"}


def add_job(
    session: Session,
    kind: str,
    *,
    patrol_id: str | None,
    params: dict[str, Any] | None = None,
    queue: Queue = "cpu",
    actor: str,
) -> Job:
    """A queued job; one that is already open for the same patrol and kind is given instead of a second."""
    if patrol_id is not None:
        same = select(Job).where(Job.patrol_id == patrol_id, Job.kind == kind, Job.state.in_(("queued", "running")))
        known = session.scalar(same.order_by(Job.created_at).limit(1))
        if known is not None:
            return known
    job = Job(
        id=ulid(),
        kind=kind,
        queue=queue,
        patrol_id=patrol_id,
        params=params or {},
        state="queued",
        attempts=0,
        done=0,
        total=0,
        cancel_asked=False,
        created_by=actor,
        created_at=utcnow(),
    )
    session.add(job)
    session.flush()
    return job


def get_job(session: Session, job_id: str) -> Job:
    """One job.

    Raises:
        NotFoundError: None such.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotFoundError(f"no job {job_id[:40]}")
    return job


def claim_job(session: Session, job_id: str, worker: str, *, stale_s: float = STALE_S) -> Job | None:
    """Takes a job that is queued, or running under a worker that has gone silent; None when it is not to be had.

    A job that has killed `MAX_ATTEMPTS` workers is failed instead.
    """
    now = utcnow()
    silent = or_(Job.heartbeat_at.is_(None), Job.heartbeat_at < now - timedelta(seconds=stale_s))
    free = or_(Job.state == "queued", and_(Job.state == "running", or_(silent, Job.worker == worker)))
    taken = session.execute(
        update(Job)
        .where(Job.id == job_id, free)
        .values(state="running", worker=worker, attempts=Job.attempts + 1, heartbeat_at=now, started_at=now, error=None)
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        return None
    job = session.get(Job, job_id, populate_existing=True)
    assert job is not None
    if job.cancel_asked:
        _end(job, "cancelled")
        return None
    if job.attempts > MAX_ATTEMPTS:
        fail(session, job_id, f"given up after {MAX_ATTEMPTS} attempts that ended without a word", worker=worker)
        return None
    return job


def heartbeat(session: Session, job_id: str, worker: str) -> bool:
    """Says that the worker lives; False when the job was cancelled or taken by another: stop then."""
    return _touch(session, job_id, worker, {})


def progress(session: Session, job_id: str, worker: str, done: int, total: int, what: str) -> bool:
    """Heartbeat with progress; False means stop, as for `heartbeat`."""
    return _touch(session, job_id, worker, {"done": done, "total": total, "what": what[:200]})


def _touch(session: Session, job_id: str, worker: str, values: dict[str, Any]) -> bool:
    result = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == "running", Job.worker == worker, Job.cancel_asked.is_(False))
        .values(heartbeat_at=utcnow(), **values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def finish(session: Session, job_id: str, result: dict[str, Any] | None = None, *, worker: str | None = None) -> bool:
    """The job is done; False (and nothing written) when another worker has it by now."""
    job = session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None or job.state != "running" or (worker is not None and job.worker != worker):
        return False
    job.result, job.error = result, None
    job.done = job.total = max(job.total, 1)
    _end(job, "cancelled" if job.cancel_asked and result is None else "done")
    return True


def fail(session: Session, job_id: str, error: str, *, worker: str | None = None, retry: bool = False) -> bool:
    """The job failed, for good or (`retry`) to be queued again while attempts are left."""
    job = session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None or job.state in ENDED or (worker is not None and job.worker != worker):
        return False
    job.error = error[:4000]
    if job.cancel_asked:
        _end(job, "cancelled")
    elif retry and job.attempts < MAX_ATTEMPTS:
        job.state, job.worker, job.heartbeat_at = "queued", None, None
    else:
        _end(job, "failed")
    return True


def _end(job: Job, state: str) -> None:
    job.state, job.finished_at = state, utcnow()


def unfinished_jobs(session: Session, *, stale_s: float = STALE_S, worker: str | None = None) -> Sequence[Job]:
    """Jobs that nobody works on: queued, or running under a silent worker (or under `worker`, which just started)."""
    silent = or_(Job.heartbeat_at.is_(None), Job.heartbeat_at < utcnow() - timedelta(seconds=stale_s))
    if worker is not None:
        silent = or_(silent, Job.worker == worker)
    query = select(Job).where(or_(Job.state == "queued", and_(Job.state == "running", silent)))
    return session.scalars(query.order_by(Job.created_at)).all()


def cancel(session: Session, job_id: str) -> Job:
    """Asks for a stop: at once when queued, at the next heartbeat when running.

    Raises:
        ConflictError: It has ended.
    """
    job = session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise NotFoundError(f"no job {job_id[:40]}")
    if job.state in ENDED:
        raise ConflictError(f"job {job_id} is {job.state} already", state=job.state)
    job.cancel_asked = True
    if job.state == "queued":
        _end(job, "cancelled")
    return job


def retry(session: Session, job_id: str) -> Job:
    """Queues a failed or cancelled job again.

    Raises:
        ConflictError: It is not ended, or done.
    """
    job = session.get(Job, job_id, with_for_update=True)
    if job is None:
        raise NotFoundError(f"no job {job_id[:40]}")
    if job.state not in ("failed", "cancelled"):
        raise ConflictError(f"job {job_id} is {job.state}: only a failed or cancelled one can be tried again")
    job.state, job.cancel_asked, job.error, job.worker = "queued", False, None, None
    job.attempts, job.finished_at, job.heartbeat_at = 0, None, None
    return job
