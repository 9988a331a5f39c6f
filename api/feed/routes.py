"""The feed over HTTP: CloudEvents batches by long poll (http-feeds.org), and a stream for screens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.auth.access import require
from api.auth.service import Actor
from api.context import Context, Here, problems
from api.feed import service
from api.feed.service import Batch, Filter, Position

router = APIRouter(prefix="/api/v1/feed", tags=["feed"], responses=problems(401, 403, 422))
Reader = Annotated[Actor, Depends(require("platform", "reviewer", "officer", scope="feed:read"))]
MAX_TIMEOUT_MS = 60_000
# How often the database is asked while somebody waits: half of the second in which an event must be seen.
POLL_S = 0.25
BATCH_TYPE = "application/cloudevents-batch+json"

LastId = Annotated[str | None, Query(alias="lastEventId", max_length=60, description="the last event that was kept")]
Family = Annotated[str | None, Query(max_length=16)]
District = Annotated[str | None, Query(pattern=r"^\d{6}$")]
Code = Annotated[str | None, Query(max_length=8)]
_BATCH_SCHEMA = {"type": "array", "items": {"type": "object", "required": ["specversion", "id", "source", "type"]}}


def _filter(actor: Actor, family: str | None, district: str | None, code: str | None) -> Filter:
    # The platform is told of cases; what reviewers are still thinking about is the city's own.
    prefix = "case." if actor.role == "platform" else ""
    return Filter(prefix, family or None, district or None, code or None, actor.districts)


def _read(here: Context, after: Position, limit: int, wanted: Filter, check: bool) -> Batch:
    with here.database.read() as session:
        if check:
            service.check_kept(session, after, here.settings.feed_days)
        return service.read(session, after, limit, wanted, here.settings.feed_days)


async def _wait(here: Context, request: Request, after: Position, limit: int, wanted: Filter, until: float) -> Batch:
    batch = await run_in_threadpool(_read, here, after, limit, wanted, True)
    while not batch.events and time.monotonic() < until:
        moved = batch.after != after
        after = batch.after
        if not moved:
            if await request.is_disconnected():
                break
            await asyncio.sleep(min(POLL_S, max(until - time.monotonic(), 0.0)))
        batch = await run_in_threadpool(_read, here, after, limit, wanted, False)
    return batch


@router.get(
    "",
    response_class=Response,
    responses={200: {"content": {BATCH_TYPE: {"schema": _BATCH_SCHEMA}}}, **problems(410)},
)
async def feed(
    request: Request,
    here: Here,
    actor: Reader,
    last: LastId = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 100,
    timeout: Annotated[int, Query(ge=0, le=MAX_TIMEOUT_MS, description="milliseconds to wait for news")] = 0,
    family: Family = None,
    district: District = None,
    code: Code = None,
) -> Response:
    """Events after `lastEventId`, in the one order, none skipped; [] when there are none (after `timeout`).

    The header `Feed-Position` is where to go on: with a filter it moves even when no event fits.
    """
    wanted = _filter(actor, family, district, code)
    until = time.monotonic() + timeout / 1000
    batch = await _wait(here, request, service.parse_position(last), limit, wanted, until)
    body = "[" + ",".join(batch.events) + "]"
    return Response(body, media_type=BATCH_TYPE, headers={"Feed-Position": str(batch.after)})


@router.get("/recent", response_class=Response, responses={200: {"content": {BATCH_TYPE: {"schema": _BATCH_SCHEMA}}}})
def recent(
    here: Here,
    actor: Reader,
    before: Annotated[str | None, Query(max_length=60, description="the `Feed-Position` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    family: Family = None,
    district: District = None,
    code: Code = None,
) -> Response:
    """The newest events first, for screens; a program reads the feed."""
    start = service.parse_position(before) if before else None
    with here.database.read() as session:
        batch = service.recent(session, start, limit, _filter(actor, family, district, code))
    body = "[" + ",".join(batch.events) + "]"
    return Response(body, media_type=BATCH_TYPE, headers={"Feed-Position": str(batch.after)})


@router.get("/stream", response_class=StreamingResponse, responses=problems(410))
async def stream(
    request: Request,
    here: Here,
    actor: Reader,
    last: LastId = None,
    last_event_id: Annotated[str | None, Header(max_length=60)] = None,
    family: Family = None,
    district: District = None,
    code: Code = None,
) -> StreamingResponse:
    """The same as Server-Sent Events, for screens; `lastEventId=now` begins with what comes next."""
    wanted = _filter(actor, family, district, code)
    start = last_event_id or last
    after = await run_in_threadpool(_start, here, start)
    return StreamingResponse(
        _lines(request, here, after, wanted), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


def _start(here: Context, value: str | None) -> Position:
    with here.database.read() as session:
        if value == "now":
            return service.head(session)
        after = service.parse_position(value)
        service.check_kept(session, after, here.settings.feed_days)
        return after


async def _lines(request: Request, here: Context, after: Position, wanted: Filter) -> AsyncIterator[str]:
    quiet = time.monotonic()
    yield ": hello\n\n"
    while not await request.is_disconnected():
        batch = await run_in_threadpool(_read, here, after, 200, wanted, False)
        for line in batch.events:
            yield f"data: {line}\n\n"
        if batch.events:
            yield f"id: {batch.after}\ndata: \n\n"
        moved, after = batch.after != after, batch.after
        if moved:
            quiet = time.monotonic()
            continue
        if time.monotonic() - quiet > 15:
            quiet = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(POLL_S)
