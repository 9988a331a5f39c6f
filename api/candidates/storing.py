"""A new candidate at a new site with its first event: three rows, one statement where the engine can.

Nearly every filing is this one, and round trips are what it costs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Insert, bindparam, insert
from sqlalchemy.orm import Session

from api.candidates.models import Candidate
from api.database import is_postgres
from api.feed import service as feed
from api.feed.models import Event
from api.sites.models import Site

_TABLES: dict[str, Any] = {"s": Site.__table__, "c": Candidate.__table__, "e": Event.__table__}
_GIVEN = {
    prefix: [column.name for column in table.columns if column.name not in ("pk", "seq")]
    for prefix, table in _TABLES.items()
}


def _one(prefix: str, postgres: bool) -> Insert:
    table = _TABLES[prefix]
    values: dict[str, Any] = {
        name: bindparam(f"{prefix}_{name}", type_=table.c[name].type) for name in _GIVEN[prefix]
    }  # fmt: skip
    if prefix == "e":
        values |= feed.order_values(postgres)
    return insert(table).values(values).inline()


@cache
def _statements(postgres: bool) -> list[Insert]:
    if not postgres:
        return [_one(prefix, postgres) for prefix in "sce"]
    site, candidate = (_one(prefix, postgres).cte(f"new_{prefix}") for prefix in "sc")
    return [_one("e", postgres).add_cte(site, candidate)]


def store(session: Session, site: Site, candidate: Candidate, event: dict[str, Any]) -> None:
    """Writes the three rows; `event` is what `feed.next_event` gave."""
    rows: dict[str, Any] = {"s": site, "c": candidate}
    values = {f"{prefix}_{name}": getattr(row, name) for prefix, row in rows.items() for name in _GIVEN[prefix]}
    values |= {f"e_{name}": value for name, value in event.items()}
    for statement in _statements(is_postgres(session)):
        session.connection().execute(statement, values)
