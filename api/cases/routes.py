"""Cases over HTTP: look, list, history, the platform's write-back, withdrawal."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from api.answers import FastJson
from api.auth.service import audit
from api.base import iso
from api.cases import export, lists, service
from api.cases.forms import form, read
from api.cases.states import STATES
from api.clock import live
from api.context import CaseReader, Here, Platform, Reviewer, problems
from api.feed.service import history, verify_chain
from api.paging import Cursor, Limit, read_cursor, write_cursor

router = APIRouter(prefix="/api/v1/cases", tags=["cases"], responses=problems(401, 403, 422))


class CaseOut(BaseModel):
    """案卷: the whole form."""

    id: UUID
    number: str
    candidate_id: str
    site_id: UUID | None
    patrol_id: str
    state: str
    state_name: str
    family: str
    family_name: str
    label: str
    code_set: str
    code: str
    condition: str | None
    lon: float
    lat: float
    geometry: dict[str, Any]
    cell: str | None
    district: str | None
    street: str | None
    community: str | None
    address: str
    description: str
    area_m2: float | None
    height_change_m: float | None
    probability: float
    model: str | None
    reviewer: str
    seen_at: str | None
    filed_at: str | None
    deadline_at: str | None
    platform_no: str | None
    platform_at: str | None
    platform_reason: str | None
    evidence: list[dict[str, Any]]
    version: int


class CasePage(BaseModel):
    """Cases, newest first."""

    items: list[CaseOut]
    next: str | None


class StatusIn(BaseModel):
    """The platform's own status of a case."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"state": "registered", "platform_no": "LY202611220815", "operator": "值班员3"}}
    )

    state: Annotated[str, Field(max_length=16, description="see GET /api/v1/cases/states")]
    platform_no: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None
    at: Annotated[AwareDatetime, AfterValidator(live)] | None = None
    operator: Annotated[str, Field(max_length=80)] | None = None


class WithdrawIn(BaseModel):
    """Why the case is taken back."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class EventOut(BaseModel):
    """One line of a history."""

    id: str
    type: str
    time: str | None
    actor: str
    chain_n: int
    hash: str
    data: dict[str, Any]


class HistoryOut(BaseModel):
    """A case's chain; `intact` says whether every hash fits."""

    events: list[EventOut]
    intact: bool


@router.get("/states")
def states(actor: CaseReader) -> dict[str, str]:
    """The states of a case and their names."""
    return STATES


async def _wanted(
    actor: CaseReader,
    state: Annotated[str | None, Query(max_length=120, description="one or more, comma-separated")] = None,
    family: Annotated[str | None, Query(max_length=16)] = None,
    code: Annotated[str | None, Query(max_length=8)] = None,
    cell: Annotated[str | None, Query(pattern=r"^[0-9A-Z]{2,16}$", description="prefix of the cell's code")] = None,
    district: Annotated[str | None, Query(pattern=r"^\d{6}$")] = None,
    bbox: Annotated[str | None, Query(max_length=120, description="west,south,east,north")] = None,
    polygon: Annotated[str | None, Query(max_length=8000, description="WKT in longitude, latitude")] = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    reviewer: Annotated[str | None, Query(max_length=80)] = None,
    min_probability: Annotated[float | None, Query(ge=0, le=1)] = None,
) -> lists.Wanted:
    """The filters that lists and exports share, within the reader's districts."""
    return lists.Wanted(
        states=tuple(state.split(",")) if state else (),
        family=family,
        code=code,
        cell=cell,
        district=district,
        **lists.place_of(bbox, polygon),
        since=since,
        until=until,
        reviewer=reviewer,
        min_probability=min_probability,
        districts=actor.districts,
    )


WantedCases = Annotated[lists.Wanted, Depends(_wanted)]


@router.get("", response_model=CasePage)
def cases(here: Here, wanted: WantedCases, cursor: Cursor = None, limit: Limit = 100) -> JSONResponse:
    """Cases, newest first, by any of the filters, at the same cost on every page."""
    after = read_cursor(cursor, UUID)
    if after:
        wanted = replace(wanted, after=after[0])
    with here.database.look() as connection:
        found = lists.page(connection, wanted, limit + 1)
    items = [form(case) for case in found[:limit]]
    more = write_cursor(found[limit - 1].id) if len(found) > limit else None
    return FastJson({"items": items, "next": more})


@router.get("/export.{kind}", response_class=StreamingResponse)
def exported(
    kind: Annotated[str, Path(pattern="^(csv|geojson|xlsx)$")],
    request: Request,
    here: Here,
    actor: CaseReader,
    wanted: WantedCases,
) -> StreamingResponse:
    """All cases of a list as CSV, GeoJSON or XLSX, streamed; the export is on record."""
    with here.database.write() as session:
        audit(session, actor.name, "cases.export", kind, query=request.url.query[:1000])
    found = export.rows(here.database.look, wanted)
    makers = {
        "csv": ("text/csv; charset=utf-8", lambda: export.as_csv(here.settings, found)),
        "geojson": ("application/geo+json", lambda: export.as_geojson_lines(found)),
        "xlsx": (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            lambda: export.as_xlsx(here.settings, found),
        ),
    }
    media_type, body = makers[kind]
    headers = {"Content-Disposition": f'attachment; filename="cases.{kind}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(body(), media_type=media_type, headers=headers)


@router.get("/{case_id}", response_model=CaseOut, responses=problems(404))
def case(case_id: UUID, here: Here, actor: CaseReader) -> JSONResponse:
    """One case."""
    with here.database.look() as connection:
        row = read(connection, case_id, actor.districts)
    return FastJson(form(row), headers={"ETag": f'"{row.version}"'})


@router.get("/{case_id}/events", response_model=HistoryOut, responses=problems(404))
def events(case_id: UUID, here: Here, actor: CaseReader) -> JSONResponse:
    """The case's history with its hashes."""
    import json

    with here.database.read() as session:
        service.get(session, case_id, actor.districts)
        rows = history(session, str(case_id))
    items = [
        {
            "id": f"{row.epoch}-{row.xid}-{row.seq}",
            "type": row.type,
            "time": iso(row.time),
            "actor": row.actor,
            "chain_n": row.chain_n,
            "hash": row.hash.hex(),
            "data": json.loads(row.data),
        }
        for row in rows
    ]
    return JSONResponse({"events": items, "intact": verify_chain(rows) is None})


@router.post("/{case_id}/status", response_model=CaseOut, responses=problems(404, 409))
def status(case_id: UUID, body: StatusIn, here: Here, actor: Platform) -> JSONResponse:
    """The platform writes back its own state; the same one again changes nothing."""
    said = service.WriteBack(body.state, body.platform_no, body.reason, body.at, body.operator)
    with here.database.write() as session:
        row = service.get(session, case_id, actor.districts, lock=True)
        service.write_back(session, row, said, actor.name)
        return JSONResponse(form(row))


@router.post("/{case_id}/withdraw", response_model=CaseOut, responses=problems(404, 409))
def withdraw(case_id: UUID, body: WithdrawIn, here: Here, actor: Reviewer) -> JSONResponse:
    """Takes a case back before the platform has taken it up."""
    with here.database.write() as session:
        row = service.get(session, case_id, actor.districts, lock=True)
        service.withdraw(session, row, actor.name, body.reason)
        return JSONResponse(form(row))
