"""The projection of cases, made for reading: keys in columns, one index for each question that is asked."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from shapely.geometry.base import BaseGeometry
from sqlalchemy import BigInteger, Date, Index, LargeBinary, SmallInteger, String, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, Geometry, Json, UtcDateTime

# Cases that are still somebody's to handle; the index of deadlines holds these alone.
OPEN_SQL = "state NOT IN ('refused', 'closed', 'voided', 'withdrawn')"


class Case(Base):
    """案卷. Its id is a UUIDv7, so that `id DESC` is newest first and the one order of every list.

    `state` is filed, withdrawn, or one of the platform's own (see `api.cases.states`).
    `tile` numbers the square of a fixed quadtree level in which its point lies (see `api.geo`): lists by a box of any
    size merge the heads of a few index ranges instead of sorting what the box holds.
    """

    __tablename__ = "cases"
    __table_args__ = (
        Index("ix_cases_tile", "state", "family", "tile", "id", postgresql_include=["lon", "lat"]),
        Index("ix_cases_state", "state", "family", "id"),
        Index("ix_cases_district_state", "district", "state", "id"),
        Index("ix_cases_street", "street", "id"),
        Index("ix_cases_community", "community", "id"),
        Index("ix_cases_cell", "cell", "id"),
        Index("ix_cases_site", "site_id"),
        Index("ix_cases_code", "code", "id"),
        Index("ix_cases_reviewer", "reviewer", "id"),
        Index("ix_cases_due", "deadline_at", postgresql_where=text(OPEN_SQL), sqlite_where=text(OPEN_SQL)),
    )

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    candidate_id: Mapped[str] = mapped_column(String(100))
    site_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    patrol_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    family: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(String(40))
    code_set: Mapped[str] = mapped_column(String(32))
    code: Mapped[str] = mapped_column(String(8))
    condition: Mapped[str | None] = mapped_column(String(16))
    geom: Mapped[BaseGeometry] = mapped_column(Geometry)
    lon: Mapped[float]
    lat: Mapped[float]
    tile: Mapped[int]
    cell: Mapped[str | None] = mapped_column(String(16))
    district: Mapped[str | None] = mapped_column(String(6))
    street: Mapped[str | None] = mapped_column(String(9))
    community: Mapped[str | None] = mapped_column(String(12))
    tier: Mapped[int | None] = mapped_column(SmallInteger)
    address: Mapped[str] = mapped_column(String(256))
    description: Mapped[str] = mapped_column(String(500))
    area_m2: Mapped[float | None]
    height_change_m: Mapped[float | None]
    probability: Mapped[float]
    model: Mapped[str | None] = mapped_column(String(120))
    reviewer: Mapped[str] = mapped_column(String(80))
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    filed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deadline_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    platform_no: Mapped[str | None] = mapped_column(String(64))
    platform_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    platform_reason: Mapped[str | None] = mapped_column(String(500))
    evidence: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    version: Mapped[int] = mapped_column(default=1)
    chain_n: Mapped[int] = mapped_column(default=0)
    chain_hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class CaseCounter(Base):
    """The last number given on a day (local date), so that numbers have no holes."""

    __tablename__ = "case_counters"

    day: Mapped[Any] = mapped_column(Date, primary_key=True)
    last: Mapped[int]


class CaseCount(Base):
    """Rollup for the officer's screen. `shard` spreads concurrent writers over rows; a reader sums them."""

    __tablename__ = "case_counts"

    district: Mapped[str] = mapped_column(String(6), primary_key=True)
    family: Mapped[str] = mapped_column(String(16), primary_key=True)
    code: Mapped[str] = mapped_column(String(8), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class CaseDay(Base):
    """Rollup of filings by local day."""

    __tablename__ = "case_days"

    day: Mapped[Any] = mapped_column(Date, primary_key=True)
    district: Mapped[str] = mapped_column(String(6), primary_key=True)
    family: Mapped[str] = mapped_column(String(16), primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)


class CaseTile(Base):
    """How many cases a tile holds by state and family: which tiles a list by box has to visit."""

    __tablename__ = "case_tiles"

    state: Mapped[str] = mapped_column(String(16), primary_key=True)
    family: Mapped[str] = mapped_column(String(16), primary_key=True)
    tile: Mapped[int] = mapped_column(primary_key=True)
