"""The projection of candidates; their history is in the event log."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from shapely.geometry.base import BaseGeometry
from sqlalchemy import Index, LargeBinary, String, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, BigKey, Geometry, Json, UtcDateTime

# Numbers from here on are drawn by people; a model's never reach them.
DRAWN_FROM = 1_000_000
REFUSED_SQL = "platform_reason IS NOT NULL"


class Candidate(Base):
    """One real thing in one patrol, awaiting review or past it.

    `state`: pending, second (needs another look or another person), on_site (a collector verifies), accepted,
    rejected, merged (into another candidate or a case), settled (by the site's standing verdict), permitted.
    """

    __tablename__ = "candidates"
    __table_args__ = (
        Index("ix_candidates_state_pk", "state", "pk"),
        Index("ix_candidates_patrol", "patrol_id", "n", unique=True),
        Index("ix_candidates_tile", "tile", "state", "pk"),
        Index("ix_candidates_site", "site_id"),
        Index("ix_candidates_decided", "decided_at"),
        Index("ix_candidates_refused", "pk", postgresql_where=text(REFUSED_SQL), sqlite_where=text(REFUSED_SQL)),
    )

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True)
    id: Mapped[str] = mapped_column(String(100), unique=True)
    patrol_id: Mapped[str] = mapped_column(String(64))
    n: Mapped[int]
    site_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    case_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    merged_into: Mapped[str | None] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(12))
    family: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(String(40))
    probability: Mapped[float]
    area_m2: Mapped[float]
    height_change_m: Mapped[float | None]
    permitted: Mapped[bool | None]
    permit_no: Mapped[str | None] = mapped_column(String(64))
    excess_m2: Mapped[float | None]
    unsure: Mapped[str | None] = mapped_column(String(200))
    geom: Mapped[BaseGeometry] = mapped_column(Geometry)
    lon: Mapped[float]
    lat: Mapped[float]
    tile: Mapped[int]
    cell: Mapped[str | None] = mapped_column(String(16))
    district: Mapped[str | None] = mapped_column(String(6))
    frames: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    more: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    content_sha256: Mapped[bytes] = mapped_column(LargeBinary(32))
    drawn_by: Mapped[str | None] = mapped_column(String(80))
    lease_by: Mapped[str | None] = mapped_column(String(80))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    first_reviewer: Mapped[str | None] = mapped_column(String(80))
    reviewer: Mapped[str | None] = mapped_column(String(80))
    reason: Mapped[str | None] = mapped_column(String(24))
    # Why the platform refused, returned or voided its case; None once it has taken the case up again.
    platform_reason: Mapped[str | None] = mapped_column(String(500))
    note: Mapped[str | None] = mapped_column(String(500))
    address: Mapped[str | None] = mapped_column(String(256))
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(default=1)
    chain_n: Mapped[int] = mapped_column(default=0)
    chain_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
