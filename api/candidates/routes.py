"""Candidates over HTTP: take in, list, look, draw; their pictures are in `api.tiles.routes`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.answers import FastJson
from api.auth import idempotency
from api.auth.service import Actor
from api.base import iso
from api.candidates import intake
from api.candidates.models import Candidate
from api.context import Context, Filer, Here, Reviewer, Staff, problems
from api.errors import InvalidError
from api.geo import as_geojson, parse_box, read_geometry, tile_rows
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.patrols.models import Patrol
from api.patrols.service import path_of
from api.review.service import address_of, get
from api.tiles.crops import chip_window

router = APIRouter(prefix="/api/v1", tags=["candidates"], responses=problems(401, 403, 422))
PatrolId = Annotated[str, Field(pattern=r"^[^/\x00-\x1f]{1,64}$")]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]

_EXAMPLE: dict[str, Any] = {
    "type": "Feature",
    "patrol_id": "01K9Z3B8Q2R5T7V9X1Y3Z5A7C9",
    "geometry": {"type": "Polygon", "coordinates": [[[118.35, 35.1], [118.3502, 35.1], [118.3502, 35.1002],
                                                     [118.35, 35.1002], [118.35, 35.1]]]},
    "properties": {"n": 1, "family": "construction", "label": "new_building", "probability": 0.93,
                   "area_m2": 404.0, "height_change_m": 3.1, "permitted": False},
}  # fmt: skip


class SitesOut(BaseModel):
    """What became of each feature, in the order sent."""

    taken: list[intake.Taken]


class CandidateOut(BaseModel):
    """A candidate. `images` name its pictures, relative to /api/v1/candidates/{id}/images/."""

    id: str
    patrol_id: str
    n: int
    site_id: UUID | None
    case_id: UUID | None
    merged_into: str | None
    state: str
    family: str
    label: str
    probability: float
    area_m2: float
    height_change_m: float | None
    permitted: bool | None
    permit_no: str | None
    excess_m2: float | None
    unsure: str | None
    geometry: dict[str, Any]
    lon: float
    lat: float
    cell: str | None
    district: str | None
    frames: list[dict[str, Any]]
    more: dict[str, Any]
    images: list[str]
    drawn_by: str | None
    lease_by: str | None
    lease_until: str | None
    first_reviewer: str | None
    reviewer: str | None
    reason: str | None
    platform_reason: str | None
    note: str | None
    address: str | None
    decided_at: str | None
    created_at: str | None
    version: int
    needs_address: bool
    patrol_name: str | None = None
    flown_at: str | None = None
    address_suggested: str | None = None
    images_window: dict[str, Any] | None = None


class CandidatePage(BaseModel):
    """Candidates, newest first."""

    items: list[CandidateOut]
    next: str | None


def candidate_out(row: Candidate) -> dict[str, Any]:
    """A candidate for the outside."""
    return {
        **{
            name: getattr(row, name)
            for name in (
                "id", "patrol_id", "n", "merged_into", "state", "family", "label", "probability", "area_m2",
                "height_change_m", "permitted", "permit_no", "excess_m2", "unsure", "lon", "lat", "cell", "district",
                "frames", "more", "drawn_by", "lease_by", "first_reviewer", "reviewer", "reason", "platform_reason",
                "note", "address", "version",
            )
        },
        "site_id": str(row.site_id) if row.site_id else None,
        "case_id": str(row.case_id) if row.case_id else None,
        "geometry": as_geojson(row.geom),
        "images": ["after.jpg", "before.jpg", *(f"frame-{k}.jpg" for k in range(1, len(row.frames) + 1))],
        "lease_until": iso(row.lease_until),
        "decided_at": iso(row.decided_at),
        "created_at": iso(row.created_at),
        "needs_address": row.state == "accepted" and row.case_id is None,
    }  # fmt: skip


def candidates_out(session: Session, rows: Sequence[Candidate], *, full: bool = False) -> list[dict[str, Any]]:
    """Candidates with their patrols' names; `full` adds what a reviewer's screen needs of each."""
    ids = {row.patrol_id for row in rows}
    patrols = {patrol.id: patrol for patrol in session.scalars(select(Patrol).where(Patrol.id.in_(ids)))}
    items = []
    for row in rows:
        item, patrol = candidate_out(row), patrols.get(row.patrol_id)
        if patrol is not None:
            item |= {"patrol_name": patrol.name, "flown_at": iso(patrol.flown_at)}
        if full:
            mosaic = path_of(patrol, "mosaic") if patrol else None
            item["address_suggested"] = row.address or address_of(session, row)
            item["images_window"] = chip_window(mosaic, row.geom) if mosaic else None
        items.append(item)
    return items


@router.post(
    "/sites",
    status_code=201,
    response_model=SitesOut,
    responses={200: {"model": SitesOut, "description": "Nothing new in it"}, **problems(409, 413, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
        }
    },
)
async def sites(
    request: Request,
    here: Here,
    actor: Filer,
    idempotency_key: Annotated[str | None, Header(max_length=300)] = None,
) -> JSONResponse:
    """Takes one Feature or a FeatureCollection of `sites.geojson`; every candidate once, however often it is sent.

    With an `Idempotency-Key` a replay gets the first answer, another body 422, one in flight 409.
    """
    body = await request.body()
    key = idempotency.check_key(idempotency_key)
    status, answer = await run_in_threadpool(_take, here, actor, body, key)
    return FastJson(answer, status_code=status)


def _take(here: Context, actor: Actor, body: bytes, key: str | None) -> tuple[int, Any]:
    who = f"{actor.role}:{actor.name}"
    with idempotency.alone(who, key):
        sightings = intake.read_features(_parse(body))
        with here.database.write() as session:
            if key is not None:
                first = idempotency.replay(session, who, key, body)
                if first is not None:
                    return first
            taken = intake.take(session, sightings, actor.name)
            answer = {"taken": [one.model_dump(mode="json") for one in taken]}
            status = 201 if any(one.outcome == "created" for one in taken) else 200
            if key is not None:
                idempotency.remember(session, who, key, body, status, answer)
    return status, answer


def _parse(body: bytes) -> Any:
    def refuse(value: str) -> Any:
        raise ValueError(f"{value} is no JSON number")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"the body is not JSON: {str(error)[:120]}") from error


@router.get("/candidates", response_model=CandidatePage)
def candidates(
    here: Here,
    actor: Staff,
    state: Annotated[str | None, Query(max_length=80, description="one or more, comma-separated")] = None,
    family: Annotated[str | None, Query(max_length=16)] = None,
    patrol_id: Annotated[str | None, Query(max_length=64)] = None,
    cell: Annotated[str | None, Query(pattern=r"^[0-9A-Z]{2,16}$", description="prefix")] = None,
    bbox: Annotated[str | None, Query(max_length=120, description="west,south,east,north")] = None,
    min_probability: Annotated[float | None, Query(ge=0, le=1)] = None,
    needs_address: Annotated[bool, Query(description="accepted, and not filed for want of one")] = False,
    refused: Annotated[bool, Query(description="accepted by us; refused, returned or voided by the platform")] = False,
    reviewer: Annotated[str | None, Query(max_length=80)] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> JSONResponse:
    """Candidates, newest first, by any of the filters."""
    query = select(Candidate).order_by(Candidate.pk.desc()).limit(limit + 1)
    if state:
        query = query.where(Candidate.state.in_(state.split(",")))
    if family:
        query = query.where(Candidate.family == family)
    if patrol_id:
        query = query.where(Candidate.patrol_id == patrol_id)
    if needs_address:
        query = query.where(Candidate.state == "accepted", Candidate.case_id.is_(None))
    if refused:
        query = query.where(Candidate.platform_reason.is_not(None))
    if cell:
        query = query.where(Candidate.cell.startswith(cell, autoescape=True))
    if min_probability is not None:
        query = query.where(Candidate.probability >= min_probability)
    if reviewer:
        query = query.where(Candidate.reviewer == reviewer)
    if actor.districts:
        query = query.where(Candidate.district.in_(actor.districts))
    if bbox:
        west, south, east, north = box = parse_box(bbox)
        rows = tile_rows(box)
        query = query.where(Candidate.lon.between(west, east), Candidate.lat.between(south, north))
        query = query.where(Candidate.tile.between(rows[0][0], rows[-1][1]))
    after = read_cursor(cursor, int)
    if after is not None:
        query = query.where(Candidate.pk < after[0])
    with here.database.read() as session:
        found = session.scalars(query).all()
        items = candidates_out(session, found[:limit])
    more = write_cursor(found[limit - 1].pk) if len(found) > limit else None
    return JSONResponse({"items": items, "next": more})


class DrawnIn(BaseModel):
    """A candidate that a person draws because the model missed it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"patrol_id": "01K9Z3B8Q2R5T7V9X1Y3Z5A7C9", "family": "sanitation", "label": "waste_heap",
                        "geometry": _EXAMPLE["geometry"], "note": "路边渣土"}
        }
    )  # fmt: skip

    patrol_id: PatrolId
    family: Annotated[str, Field(pattern="^(construction|sanitation)$")]
    label: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")] = "drawn"
    geometry: dict[str, Any]
    note: Annotated[str, Field(max_length=500)] | None = None


@router.post("/candidates", status_code=201, response_model=CandidateOut, responses=problems(404, 409))
def draw(body: DrawnIn, here: Here, actor: Reviewer) -> JSONResponse:
    """Adds a person's drawn candidate; then review it as any other."""
    geometry = read_geometry(body.geometry)
    with here.database.write() as session:
        row = intake.draw(session, body.patrol_id, body.family, body.label, geometry, body.note, actor.name)
        return JSONResponse(candidate_out(row), status_code=201)


@router.get("/candidates/{patrol_id}/{n}", response_model=CandidateOut, responses=problems(404))
def candidate(patrol_id: PatrolId, n: Number, here: Here, actor: Staff) -> JSONResponse:
    """One candidate."""
    with here.database.read() as session:
        row = get(session, f"{patrol_id}/{n}", actor.districts)
        (item,) = candidates_out(session, [row], full=True)
        return JSONResponse(item, headers={"ETag": f'"{row.version}"'})
