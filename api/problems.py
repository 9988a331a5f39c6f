"""RFC 9457: every refusal is `application/problem+json`, and no fault of ours shows its inside."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from starlette.exceptions import HTTPException

from api.errors import ApiError

log = logging.getLogger("api")
TYPE_PREFIX = "urn:yunxun:problem:"


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None


def problem(
    status: int, slug: str, title: str, detail: str, headers: dict[str, str] | None = None, **extra: Any
) -> JSONResponse:
    """One problem document."""
    body = {"type": TYPE_PREFIX + slug, "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(body, status_code=status, headers=headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Registers the handlers on `app`."""
    app.add_exception_handler(ApiError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(UnicodeEncodeError, _encoding)
    app.add_exception_handler(Exception, _fault)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    if error.status in (429, 503):
        headers = {"Retry-After": "1"}
    return problem(error.status, error.slug, error.title, str(error), headers, **error.extra)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(str(part) for part in item["loc"]), "what": str(item["msg"])[:200]}
        for item in error.errors()[:20]
    ]
    detail = f"{errors[0]['where']}: {errors[0]['what']}" if errors else "the request does not fit its schema"
    return problem(422, "invalid", "内容不合要求", detail, errors=errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "http")
    return problem(error.status_code, slug, str(error.detail), str(error.detail), dict(error.headers or {}))


async def _database(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, DataError):
        # What the columns cannot hold (a NUL, a number out of range): the request's doing.
        return problem(422, "invalid", "内容不合要求", "a value that the database cannot hold (NUL, or out of range)")
    log.exception("database error", extra={"path": request.url.path})
    if isinstance(error, OperationalError):
        detail = "the database does not answer: try again"
        return problem(503, "unavailable", "暂时不可用", detail, {"Retry-After": "1"})
    return problem(500, "fault", "内部错误", "our own fault; it is in the log")


async def _encoding(request: Request, error: Exception) -> JSONResponse:
    return problem(422, "invalid", "内容不合要求", "text that is not Unicode (a lone surrogate)")


async def _fault(request: Request, error: Exception) -> JSONResponse:
    log.exception("unhandled", extra={"path": request.url.path})
    return problem(500, "fault", "内部错误", "our own fault; it is in the log")
