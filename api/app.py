"""The application: settings in, FastAPI out. The web app's static files are served at `/` when they are there."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from api import problems, telemetry
from api.auth.access import TokenCache
from api.auth.oidc import RelyingParty
from api.auth.oidc_routes import router as oidc
from api.auth.routes import router as auth
from api.candidates.routes import router as candidates
from api.cases.routes import router as cases
from api.cases.tables_routes import router as codes
from api.context import Context
from api.database import Database
from api.evidence.retention_routes import router as retention
from api.evidence.routes import router as evidence
from api.facets.routes import router as facets
from api.feed import service as feed_service
from api.feed.routes import router as feed
from api.fleet.routes import router as fleet
from api.fleet.service import Fleet
from api.grid.routes import router as grid
from api.jobs.routes import router as jobs
from api.limits import LimitBody
from api.ogc.routes import router as ogc
from api.patrols.routes import router as patrols
from api.patrols.sorties import router as sorties
from api.platform.routes import router as platform
from api.review.routes import router as review
from api.settings import ApiSettings
from api.tiles.files import PictureCache
from api.tiles.routes import router as tiles

VERSION = "1.0.0"
WEB = Path(__file__).parent / "web"
CSP = "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
DESCRIPTION = "案件共享接口：无人机巡查发现的候选、审核、案卷、证据，以及中心平台可重放的事件流。"


class _WebApp(StaticFiles):
    """Our own files and nothing from outside; asked for anew (by ETag), so that a new release is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Adds the headers."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = CSP
        return response


def create_app(settings: ApiSettings) -> FastAPI:
    """The API on a database that `api.database.migrate` has brought up to date.

    Raises:
        ApiError: The database URL is not one we know.
    """
    database = Database(settings.url)
    tokens = TokenCache(database, settings)
    pictures = PictureCache(settings.data_dir / "cache" / "pictures")

    party = RelyingParty(settings.oidc) if settings.oidc else None

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(_begin, database)
        yield
        if party is not None:
            party.close()
        database.close()

    app = FastAPI(
        title="Yunxun 云巡",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    app.state.context = context = Context(settings, database, tokens, pictures)
    app.state.tokens = tokens
    app.state.oidc = party
    app.state.fleet = Fleet()
    problems.install(app)
    app.add_middleware(LimitBody, body=settings.max_body_bytes, upload=settings.max_upload_bytes)
    telemetry.install(app, context)
    for router in (
        auth,
        oidc,
        patrols,
        sorties,
        fleet,
        jobs,
        candidates,
        review,
        cases,
        feed,
        tiles,
        grid,
        facets,
        evidence,
        retention,
        codes,
        platform,
        ogc,
    ):
        app.include_router(router)
    _health(app, database)
    if (WEB / "index.html").is_file():
        # A slim system has no table of types, and a browser runs no module that is called text/plain.
        mimetypes.add_type("text/javascript", ".js")
        app.mount("/", _WebApp(directory=WEB, html=True), name="web")
    return app


def _begin(database: Database) -> None:
    with database.write() as session:
        feed_service.begin_epoch_if_restored(session)


def _health(app: FastAPI, database: Database) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok", "version": VERSION}

    @app.get("/readyz", tags=["health"], response_model=dict[str, str])
    async def readyz(request: Request) -> JSONResponse:
        """The database answers."""
        try:
            await run_in_threadpool(database.ping)
        except Exception as error:
            return problems.problem(
                503, "unavailable", "暂时不可用", f"the database does not answer: {type(error).__name__}"
            )
        return JSONResponse({"status": "ready"})
