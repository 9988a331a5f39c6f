"""What operators see: Prometheus metrics, JSON log lines with a request id; never a token, a password or a body."""

from __future__ import annotations

import json
import logging
import secrets
import time
from contextvars import ContextVar

from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.candidates.models import Candidate
from api.context import Context
from api.jobs.models import Job
from api.platform.models import Delivery

request_id: ContextVar[str] = ContextVar("request_id", default="")
log = logging.getLogger("api.access")
_BUCKETS = (0.005, 0.01, 0.02, 0.04, 0.1, 0.25, 1.0, 5.0)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message, request id, and what was given as `extra`."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
        }
        for name in ("method", "path", "status", "ms", "actor"):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_as_json(level: int = logging.INFO) -> None:
    """Sends the API's log to stderr as JSON lines; the conductor calls this in a server process."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger("api")
    root.handlers, root.propagate = [handler], False
    root.setLevel(level)


class Telemetry:
    """ASGI middleware: a request id in and out, a counter, a histogram, an access line."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        labels = ("method", "route", "status")
        self._requests = Counter("yunxun_http_requests", "Requests", labels, registry=registry)
        self._seconds = Histogram(
            "yunxun_http_seconds", "Seconds to the answer's end", ("route",), registry=registry, buckets=_BUCKETS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Measures one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        # What a client sends is repeated in headers and logs: only if it is plain and short.
        known = given if 8 <= len(given) <= 64 and given.replace("-", "").isalnum() and given.isascii() else ""
        mark = request_id.set(known or secrets.token_hex(8))
        start, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((b"x-request-id", request_id.get().encode()))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._note(scope, status, time.perf_counter() - start)
            request_id.reset(mark)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        # The route's pattern, never the path: ids would make a time series each.
        name = getattr(route, "path", "other")
        self._requests.labels(scope["method"], name, str(status)).inc()
        self._seconds.labels(name).observe(seconds)
        actor = scope.get("state", {}).get("actor")
        extra = {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(seconds * 1000, 1)}
        log.info("request", extra={**extra, "actor": getattr(actor, "name", None)})


def install(app: FastAPI, context: Context) -> None:
    """Adds the middleware and `/metrics` (which tells numbers alone, and needs no token)."""
    registry = CollectorRegistry()
    waiting = Gauge("yunxun_waiting", "Rows that wait for somebody (counted to 5000)", ("what",), registry=registry)
    app.add_middleware(Telemetry, registry=registry)

    @app.get("/metrics", tags=["health"], response_class=Response)
    async def metrics() -> Response:
        """Prometheus metrics."""
        for what, n in (await run_in_threadpool(_waiting, context)).items():
            waiting.labels(what).set(n)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _waiting(context: Context) -> dict[str, int]:
    found = {}
    with context.database.read() as session:
        for what, query in (
            ("candidates", select(Candidate.pk).where(Candidate.state == "pending")),
            ("jobs", select(Job.id).where(Job.state.in_(("queued", "running")))),
            ("deliveries", select(Delivery.case_id).where(Delivery.state == "pending")),
            ("deliveries_failed", select(Delivery.case_id).where(Delivery.state == "failed")),
        ):
            found[what] = session.scalar(select(func.count()).select_from(query.limit(5000).subquery())) or 0
    return found
