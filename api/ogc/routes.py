"""Landing page, conformance, collections and items; positions are CRS84 (longitude, latitude)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from shapely.geometry import box as rectangle
from shapely.geometry import mapping
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.auth.service import Actor
from api.base import iso
from api.cases import lists
from api.cases.forms import form
from api.cases.service import get
from api.context import CaseReader, Context, Here, problems
from api.errors import InvalidError, NotFoundError
from api.geo import Box, as_geojson, parse_box, touches
from api.grid.models import GridCell
from api.paging import read_cursor, write_cursor
from api.patrols import service as patrols
from api.patrols.models import Patrol
from api.tiles.render import bounds

router = APIRouter(prefix="/api/v1/ogc", tags=["ogc"], responses=problems(401, 403, 404, 422))
CONFORMS = [f"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/{part}" for part in ("core", "geojson", "oas30")]
GEOJSON = "application/geo+json"


@dataclass(frozen=True)
class Page:
    """Features and where the next page begins."""

    features: list[dict[str, Any]]
    next: str | None


Reader = Callable[[Session, Context, Actor, Box | None, str | None, int], Page]


def _feature(id: str, geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "id": id, "geometry": geometry, "properties": properties}


def _case(item: dict[str, Any]) -> dict[str, Any]:
    return _feature(item["id"], item["geometry"], {k: v for k, v in item.items() if k not in ("geometry", "evidence")})


def _cases(session: Session, here: Context, actor: Actor, box: Box | None, cursor: str | None, limit: int) -> Page:
    after = read_cursor(cursor, UUID)
    wanted = lists.Wanted(box=box, districts=actor.districts, after=after[0] if after else None)
    found = lists.page(session.connection(), wanted, limit + 1)
    more = write_cursor(found[limit - 1].id) if len(found) > limit else None
    return Page([_case(form(row)) for row in found[:limit]], more)


def _cells(session: Session, here: Context, actor: Actor, box: Box | None, cursor: str | None, limit: int) -> Page:
    query = select(GridCell).order_by(GridCell.pk).limit(limit + 1)
    after = read_cursor(cursor, int)
    if after:
        query = query.where(GridCell.pk > after[0])
    if box:
        query = query.where(touches(session, "grid_cells", box))
    if actor.districts:
        query = query.where(GridCell.district.in_(actor.districts))
    found = session.scalars(query).all()
    names = ("cell", "district", "street", "community", "tier", "name")
    features = [
        _feature(row.cell, as_geojson(row.geom), {name: getattr(row, name) for name in names}) for row in found[:limit]
    ]
    return Page(features, write_cursor(found[limit - 1].pk) if len(found) > limit else None)


def _patrol_rows(session: Session, cursor: str | None, limit: int) -> tuple[list[Patrol], str | None]:
    query = select(Patrol).order_by(Patrol.id.desc()).limit(limit + 1)
    after = read_cursor(cursor, str)
    if after:
        query = query.where(Patrol.id < after[0])
    found = list(session.scalars(query))
    return found[:limit], write_cursor(found[limit - 1].id) if len(found) > limit else None


def _meets(a: Box, b: Box | None) -> bool:
    return b is None or (a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3])


def _mosaics(session: Session, here: Context, actor: Actor, box: Box | None, cursor: str | None, limit: int) -> Page:
    rows, more = _patrol_rows(session, cursor, limit)
    features = []
    for row in rows:
        mosaic = patrols.path_of(row, "mosaic")
        if mosaic is None:
            continue
        extent = bounds(mosaic)
        if _meets(extent, box):
            tiles = f"/api/v1/patrols/{row.id}/tiles/{{z}}/{{x}}/{{y}}.png"
            properties = {"name": row.name, "flown_at": iso(row.flown_at), "tiles": tiles}
            features.append(_feature(row.id, dict(mapping(rectangle(*extent))), properties))
    return Page(features, more)


def _routes(session: Session, here: Context, actor: Actor, box: Box | None, cursor: str | None, limit: int) -> Page:
    """The planned routes of each patrol: `routes.geojson` beside its plan."""
    rows, more = _patrol_rows(session, cursor, limit)
    features: list[dict[str, Any]] = []
    for row in rows:
        plan = patrols.path_of(row, "plan")
        path = plan.with_name("routes.geojson") if plan else None
        if path is None or not path.is_file():
            continue
        try:
            found = json.loads(path.read_bytes()).get("features", [])
        except (OSError, ValueError, AttributeError):
            continue
        for i, feature in enumerate(found):
            properties = {"patrol_id": row.id, **(feature.get("properties") or {})}
            features.append(_feature(f"{row.id}.{i}", feature.get("geometry"), properties))
    return Page(features, more)


COLLECTIONS: dict[str, tuple[str, Reader]] = {
    "cases": ("案卷", _cases),
    "cells": ("单元网格", _cells),
    "routes": ("规划航线", _routes),
    "mosaics": ("正射影像", _mosaics),
}


def _link(request: Request, path: str, rel: str, kind: str = "application/json", **query: Any) -> dict[str, str]:
    text = f"{str(request.base_url).rstrip('/')}/api/v1/ogc{path}"
    return {"href": text + ("?" + urlencode(query) if query else ""), "rel": rel, "type": kind}


@router.get("")
def landing(request: Request, actor: CaseReader) -> dict[str, Any]:
    """Landing page."""
    links = [
        _link(request, "", "self"),
        _link(request, "/conformance", "conformance"),
        _link(request, "/collections", "data"),
        {"href": f"{str(request.base_url).rstrip('/')}/api/v1/openapi.json", "rel": "service-desc",
         "type": "application/vnd.oai.openapi+json;version=3.0"},
    ]  # fmt: skip
    return {"title": "云巡", "description": "无人机巡查案卷、网格、航线、影像", "links": links}


@router.get("/conformance")
def conformance(actor: CaseReader) -> dict[str, list[str]]:
    """What is conformed to."""
    return {"conformsTo": CONFORMS}


def _collection(request: Request, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "title": COLLECTIONS[name][0],
        "itemType": "feature",
        "crs": ["http://www.opengis.net/def/crs/OGC/1.3/CRS84"],
        "links": [
            _link(request, f"/collections/{name}", "self"),
            _link(request, f"/collections/{name}/items", "items", GEOJSON),
        ],
    }


@router.get("/collections")
def collections(request: Request, actor: CaseReader) -> dict[str, Any]:
    """All collections."""
    return {
        "collections": [_collection(request, name) for name in COLLECTIONS],
        "links": [_link(request, "/collections", "self")],
    }


@router.get("/collections/{name}")
def collection(name: str, request: Request, actor: CaseReader) -> dict[str, Any]:
    """One collection."""
    if name not in COLLECTIONS:
        raise NotFoundError(f"no collection {name[:40]!r}: one of {', '.join(COLLECTIONS)}")
    return _collection(request, name)


@router.get("/collections/{name}/items", response_class=JSONResponse)
def items(
    name: str,
    request: Request,
    here: Here,
    actor: CaseReader,
    bbox: Annotated[str | None, Query(max_length=160)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> JSONResponse:
    """Features of a collection, within a box; follow the link `next`."""
    if name not in COLLECTIONS:
        raise NotFoundError(f"no collection {name[:40]!r}: one of {', '.join(COLLECTIONS)}")
    with here.database.read() as session:
        page = COLLECTIONS[name][1](session, here, actor, parse_box(bbox) if bbox else None, cursor, limit)
    path = f"/collections/{name}/items"
    links = [_link(request, path, "self", GEOJSON)]
    if page.next:
        more = {"limit": limit, "cursor": page.next, **({"bbox": bbox} if bbox else {})}
        links.append(_link(request, path, "next", GEOJSON, **more))
    body = {
        "type": "FeatureCollection",
        "features": page.features,
        "numberReturned": len(page.features),
        "links": links,
    }
    return JSONResponse(body, media_type=GEOJSON)


@router.get("/collections/{name}/items/{item_id}", response_class=JSONResponse)
def item(name: str, item_id: str, here: Here, actor: CaseReader) -> JSONResponse:
    """One feature (cases and cells)."""
    with here.database.read() as session:
        if name == "cases":
            try:
                found = _case(form(get(session, UUID(item_id), actor.districts)))
            except ValueError as error:
                raise InvalidError("a case's id is a UUID") from error
            return JSONResponse(found, media_type=GEOJSON)
        row = session.scalar(select(GridCell).where(GridCell.cell == item_id)) if name == "cells" else None
        if row is None or (actor.districts and row.district not in actor.districts):
            raise NotFoundError(f"no feature {item_id[:40]!r} in {name[:40]!r}")
        names = ("cell", "district", "street", "community", "tier", "name")
        feature = _feature(row.cell, as_geojson(row.geom), {key: getattr(row, key) for key in names})
        return JSONResponse(feature, media_type=GEOJSON)
