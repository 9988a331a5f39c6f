"""What every route needs: the database, the settings, who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from api.auth.access import TokenCache, require
from api.auth.service import Actor
from api.database import Database
from api.problems import Problem
from api.settings import ApiSettings
from api.tiles.files import PictureCache


@dataclass(frozen=True)
class Context:
    """One installation's engines; made once by `create_app`."""

    settings: ApiSettings
    database: Database
    tokens: TokenCache
    pictures: PictureCache


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Here = Annotated[Context, Depends(_context)]
Anyone = Annotated[Actor, Depends(require())]
Staff = Annotated[Actor, Depends(require("pilot", "reviewer", "officer"))]
Filer = Annotated[Actor, Depends(require("pilot", "reviewer", "officer", scope="sites:write"))]
Pilot = Annotated[Actor, Depends(require("pilot", "officer", scope="patrols:write"))]
Reviewer = Annotated[Actor, Depends(require("reviewer", "officer", scope="review:write"))]
Officer = Annotated[Actor, Depends(require("officer"))]
CaseReader = Annotated[Actor, Depends(require("reviewer", "officer", "platform", "pilot"))]
Platform = Annotated[Actor, Depends(require("platform", scope="cases:write"))]
Admin = Annotated[Actor, Depends(require("admin"))]

_TITLES = {
    400: "Refused",
    401: "No good token",
    403: "Role, scope or district does not reach",
    404: "No such thing",
    409: "Conflict",
    410: "Cursor too old",
    412: "Changed since",
    413: "Too large",
    415: "Not an accepted kind of file",
    422: "Not acceptable",
    429: "Too many requests",
    503: "Try again",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for problems."""
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": _TITLES[status], "content": content} for status in statuses}
