"""Patrols over HTTP: register, upload photographs, start the job."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import select

from api.base import iso
from api.clock import flown
from api.context import Here, Pilot, Staff, problems
from api.errors import ForbiddenError
from api.jobs import service as jobs
from api.jobs.bell import ring
from api.jobs.routes import JobOut, job_out
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.patrols import service
from api.patrols.models import Patrol
from api.tiles.render import bounds

router = APIRouter(prefix="/api/v1/patrols", tags=["patrols"], responses=problems(401, 403, 422))
PatrolId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$")]
Short = Annotated[str, Field(max_length=64)]


class PatrolIn(BaseModel):
    """A patrol to be registered; `paths` (absolute, on the server's disk) only by an officer's or admin's program."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "2026-11-22-北园-01", "place": "兰山区北园路片区", "pilot": "王磊"}}
    )

    id: PatrolId | None = None
    name: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    place: Annotated[str, Field(max_length=200)] | None = None
    baseline_patrol_id: PatrolId | None = None
    flown_at: Annotated[AwareDatetime, AfterValidator(flown)] | None = None
    pilot: Short | None = None
    aircraft: Short | None = None
    approval_no: Short | None = None
    paths: dict[str, str] = {}


class PatrolOut(BaseModel):
    """A patrol."""

    id: str
    name: str
    place: str | None
    baseline_patrol_id: str | None
    flown_at: str | None
    pilot: str | None
    aircraft: str | None
    approval_no: str | None
    models: dict[str, Any]
    has_mosaic: bool
    has_before: bool
    bounds: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    report: dict[str, Any] | None = None
    created_at: str | None


class PatrolPage(BaseModel):
    """Patrols, newest first."""

    items: list[PatrolOut]
    next: str | None


class FramesOut(BaseModel):
    """What became of uploaded photographs."""

    stored: list[str]
    known: list[str]


def patrol_out(patrol: Patrol, *, full: bool = False) -> PatrolOut:
    """A patrol for the outside; `full` reads the mosaic's bounds and the stitcher's report."""
    mosaic = service.path_of(patrol, "mosaic")
    return PatrolOut(
        id=patrol.id,
        name=patrol.name,
        place=patrol.place,
        baseline_patrol_id=patrol.baseline_patrol_id,
        flown_at=iso(patrol.flown_at),
        pilot=patrol.pilot,
        aircraft=patrol.aircraft,
        approval_no=patrol.approval_no,
        models=patrol.models,
        has_mosaic=mosaic is not None,
        has_before=service.path_of(patrol, "baseline") is not None,
        bounds=list(bounds(mosaic)) if full and mosaic else None,
        report=_report(service.path_of(patrol, "report")) if full else None,
        created_at=iso(patrol.created_at),
    )


def _report(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    wanted = ("frames_total", "frames_matched", "frames_placed", "gsd_m", "tie_rms_px", "gps_rms_m")
    return {key: found.get(key) for key in wanted} if isinstance(found, dict) else None


@router.get("")
def patrols(here: Here, actor: Staff, cursor: Cursor = None, limit: Limit = 50) -> PatrolPage:
    """Patrols, newest first."""
    query = select(Patrol).order_by(Patrol.created_at.desc(), Patrol.id.desc()).limit(limit + 1)
    after = read_cursor(cursor, datetime, str)
    if after is not None:
        query = query.where((Patrol.created_at < after[0]) | ((Patrol.created_at == after[0]) & (Patrol.id < after[1])))
    with here.database.read() as session:
        rows = session.scalars(query).all()
    more = write_cursor(rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else None
    return PatrolPage(items=[patrol_out(row) for row in rows[:limit]], next=more)


@router.post("", status_code=201)
def register(body: PatrolIn, here: Here, actor: Pilot) -> PatrolOut:
    """Registers a patrol; the same id again brings it up to date."""
    if body.paths and (actor.role not in ("officer", "admin") or actor.user_id is not None):
        raise ForbiddenError(
            "paths name files on the server's disk: only an officer's or admin's service token may give them"
        )
    new = service.NewPatrol(**body.model_dump(exclude_none=True))
    with here.database.write() as session:
        return patrol_out(service.register(session, new, actor.name))


@router.get("/{patrol_id}", responses=problems(404))
def patrol(patrol_id: PatrolId, here: Here, actor: Staff) -> PatrolOut:
    """One patrol, with the bounds of its mosaic and the stitcher's report."""
    with here.database.read() as session:
        found = service.get_patrol(session, patrol_id)
    return patrol_out(found, full=True)


@router.post("/{patrol_id}/frames", status_code=201, responses=problems(404, 413, 415, 503))
def upload(
    patrol_id: PatrolId,
    here: Here,
    actor: Pilot,
    files: Annotated[list[UploadFile], File(description="photographs, untouched")],
    sortie: Annotated[str, Form(max_length=64)] = "",
) -> FramesOut:
    """Takes photographs; the same bytes twice are kept once."""
    stored: list[str] = []
    known: list[str] = []
    with here.database.write() as session:
        found = service.get_patrol(session, patrol_id)
        for file in files:
            frame, new = service.keep_frame(
                session, here.settings, found, file.filename or "photo", file.file, actor.name, sortie
            )
            (stored if new else known).append(frame.id)
    return FramesOut(stored=stored, known=known)


class JobIn(BaseModel):
    """What to do with the patrol."""

    kind: Annotated[str, Field(pattern="^process_patrol$")] = "process_patrol"
    queue: Annotated[str, Field(pattern="^(cpu|gpu)$")] = "cpu"
    params: Annotated[dict[str, Any], Field(max_length=20)] = {}


@router.post("/{patrol_id}/jobs", status_code=202, responses=problems(404, 409))
def start(patrol_id: PatrolId, here: Here, actor: Pilot, body: JobIn | None = None) -> JobOut:
    """Stitches the patrol's photographs and looks for candidates, in a worker; an open job is given again."""
    wanted = body or JobIn()
    with here.database.write() as session:
        found = service.get_patrol(session, patrol_id)
        service.needs_frames(here.settings, found)
        job = jobs.add_job(
            session,
            wanted.kind,
            patrol_id=patrol_id,
            params=wanted.params,
            queue="gpu" if wanted.queue == "gpu" else "cpu",
            actor=actor.name,
        )
    # After the commit: a worker that is quicker than us would not find the row.
    ring(here.settings.broker_url, job)
    return job_out(job)


@router.get("/{patrol_id}/jobs", responses=problems(404))
def patrol_jobs(
    patrol_id: PatrolId, here: Here, actor: Staff, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> list[JobOut]:
    """The patrol's jobs, newest first."""
    from api.jobs.models import Job

    with here.database.read() as session:
        service.get_patrol(session, patrol_id)
        rows = session.scalars(select(Job).where(Job.patrol_id == patrol_id).order_by(Job.id.desc()).limit(limit))
        return [job_out(row) for row in rows]
