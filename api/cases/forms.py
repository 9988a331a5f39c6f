"""The case form (案卷): what lists, the feed, exports and the dossier carry."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, Row, bindparam, select, type_coerce

from api.base import StoredGeometry, iso
from api.cases.models import Case
from api.cases.states import STATES
from api.errors import NotFoundError
from api.geo import as_geojson, outline_of

FAMILY_NAMES = {"construction": "违法建设", "sanitation": "市容环卫"}
# What a reader needs of a row, as plain columns: building objects of a hundred rows cost more than fetching them.
_TABLE = Case.__table__
COLUMNS = tuple(
    type_coerce(column, StoredGeometry()).label("geom") if column.name == "geom" else column
    for column in _TABLE.columns
    if column.name not in ("tile", "tier", "chain_n", "chain_hash")
)
# Made once: a statement keeps its compiled form.
_ONE = select(*COLUMNS).where(_TABLE.c.id == bindparam("case_id"))


def read(connection: Connection, case_id: UUID, districts: tuple[str, ...] = ()) -> Row[Any]:
    """One case's row for `form`, within the reader's districts.

    Raises:
        NotFoundError: None such, or outside.
    """
    row = connection.execute(_ONE, {"case_id": case_id}).first()
    if row is None or (districts and row.district not in districts):
        raise NotFoundError(f"no case {case_id}")
    return row


def form(case: Case | Row[Any]) -> dict[str, Any]:
    """The case form, as lists, the feed and the dossier carry it."""
    return {
        "id": str(case.id),
        "number": case.number,
        "candidate_id": case.candidate_id,
        "site_id": str(case.site_id) if case.site_id else None,
        "patrol_id": case.patrol_id,
        "state": case.state,
        "state_name": STATES.get(case.state, case.state),
        "family": case.family,
        "family_name": FAMILY_NAMES.get(case.family, case.family),
        "label": case.label,
        "code_set": case.code_set,
        "code": case.code,
        "condition": case.condition,
        "lon": case.lon,
        "lat": case.lat,
        "geometry": as_geojson(case.geom) if isinstance(case.geom, BaseGeometry) else outline_of(case.geom),
        "cell": case.cell,
        "district": case.district,
        "street": case.street,
        "community": case.community,
        "address": case.address,
        "description": case.description,
        "area_m2": case.area_m2,
        "height_change_m": case.height_change_m,
        "probability": case.probability,
        "model": case.model,
        "reviewer": case.reviewer,
        "seen_at": iso(case.seen_at),
        "filed_at": iso(case.filed_at),
        "deadline_at": iso(case.deadline_at),
        "platform_no": case.platform_no,
        "platform_at": iso(case.platform_at),
        "platform_reason": case.platform_reason,
        "evidence": case.evidence,
        "version": case.version,
    }
