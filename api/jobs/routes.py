"""Jobs over HTTP: look, cancel, try again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.base import iso
from api.context import Here, Pilot, Staff, problems
from api.jobs import service
from api.jobs.bell import ring
from api.jobs.models import Job

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=problems(401, 403, 404, 422))
JobId = Annotated[str, Field(pattern=r"^[0-9A-Z]{26}$")]


class JobOut(BaseModel):
    """A job; `state` is queued, running, done, failed or cancelled."""

    id: str
    kind: str
    queue: str
    patrol_id: str | None
    state: str
    done: int
    total: int
    what: str | None
    attempts: int
    error: str | None
    result: dict[str, Any] | None
    created_at: str | None
    started_at: str | None
    heartbeat_at: str | None
    finished_at: str | None


def job_out(job: Job) -> JobOut:
    """A job for the outside."""
    return JobOut(
        id=job.id,
        kind=job.kind,
        queue=job.queue,
        patrol_id=job.patrol_id,
        state=job.state,
        done=job.done,
        total=job.total,
        what=job.what,
        attempts=job.attempts,
        error=job.error,
        result=job.result,
        created_at=iso(job.created_at),
        started_at=iso(job.started_at),
        heartbeat_at=iso(job.heartbeat_at),
        finished_at=iso(job.finished_at),
    )


@router.get("/{job_id}")
def job(job_id: JobId, here: Here, actor: Staff) -> JobOut:
    """One job with its progress."""
    with here.database.read() as session:
        return job_out(service.get_job(session, job_id))


@router.post("/{job_id}/cancel", responses=problems(409))
def cancel(job_id: JobId, here: Here, actor: Pilot) -> JobOut:
    """Asks for a stop."""
    with here.database.write() as session:
        return job_out(service.cancel(session, job_id))


@router.post("/{job_id}/retry", status_code=202, responses=problems(409))
def retry(job_id: JobId, here: Here, actor: Pilot) -> JobOut:
    """Queues a failed or cancelled job again."""
    with here.database.write() as session:
        found = service.retry(session, job_id)
    ring(here.settings.broker_url, found)
    return job_out(found)
