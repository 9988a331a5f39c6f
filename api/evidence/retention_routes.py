"""The retention report over HTTP; what deletes is the worker's night, never a request."""

from __future__ import annotations

import threading
import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.context import Here, Officer, problems
from api.evidence.retention import report

router = APIRouter(prefix="/api/v1/retention", tags=["evidence"], responses=problems(401, 403))


class TallyOut(BaseModel):
    """Files and bytes."""

    files: int
    size_bytes: int


class RetentionOut(BaseModel):
    """What would go tonight, what stays, and the budget; `sweep` projects one flight over the whole city."""

    at: str
    enabled: bool
    going: dict[str, TallyOut]
    staying: dict[str, TallyOut]
    going_gb: float
    used_gb: float
    budget_gb: float
    over_budget: bool
    free_gb: float
    sweep: dict[str, Any]


# Walking a city's photographs takes a while, and what is kept changes by the night.
FRESH_S = 300.0
_walking = threading.Lock()
_known: dict[str, tuple[float, dict[str, Any]]] = {}


@router.get("")
def retention(here: Here, actor: Officer) -> RetentionOut:
    """What the rules would delete tonight, and what they keep: a dry run, five minutes old at most."""
    where = str(here.settings.data_dir)
    with _walking:
        known = _known.get(where)
        if known is None or known[0] + FRESH_S < time.monotonic():
            known = _known[where] = (time.monotonic(), report(here.settings, here.database))
    return RetentionOut(**known[1])
