"""Grid and gazetteer over HTTP: load, and ask where a point belongs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.auth.service import audit
from api.context import Here, Officer, Staff, problems
from api.grid import service

router = APIRouter(prefix="/api/v1/grid", tags=["grid"], responses=problems(401, 403, 422))


class Loaded(BaseModel):
    """How many were loaded."""

    loaded: int


class WhereOut(BaseModel):
    """Where a point belongs; null outside the grid."""

    cell: str | None
    district: str | None
    street: str | None
    community: str | None
    tier: int | None
    name: str | None
    address: str | None


@router.put("/cells", responses=problems(413))
def load_cells(body: dict[str, Any], here: Here, actor: Officer) -> Loaded:
    """Replaces the grid by a GeoJSON FeatureCollection of polygons with `cell` (14 to 16 characters)."""
    with here.database.write() as session:
        n = service.load_grid(session, body)
        audit(session, actor.name, "grid.load", "cells", loaded=n)
    return Loaded(loaded=n)


@router.put("/places", responses=problems(413))
def load_places(body: dict[str, Any], here: Here, actor: Officer) -> Loaded:
    """Replaces the gazetteer by a GeoJSON FeatureCollection of named points."""
    with here.database.write() as session:
        n = service.load_places(session, body)
        audit(session, actor.name, "grid.load", "places", loaded=n)
    return Loaded(loaded=n)


@router.get("/where")
def where(
    here: Here,
    actor: Staff,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
) -> WhereOut:
    """The cell of a point, and how people would call the place."""
    with here.database.read() as session:
        found = service.locate(session, lon, lat)
        address = service.describe(session, lon, lat)
    return WhereOut(
        cell=found.cell,
        district=found.district,
        street=found.street,
        community=found.community,
        tier=found.tier,
        name=found.name,
        address=address,
    )
