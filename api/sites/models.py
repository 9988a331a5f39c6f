"""Sites, the memory that keeps one thing from being reviewed every morning."""

from __future__ import annotations

import uuid
from datetime import datetime

from shapely.geometry.base import BaseGeometry
from sqlalchemy import Index, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, BigKey, Geometry, UtcDateTime


class Site(Base):
    """The same real thing over days.

    `verdict` is one of the review reasons that stay; it holds while the thing has not outgrown `verdict_area_m2`.
    The four bounds feed SQLite's R*Tree; PostGIS indexes `geom` itself.
    """

    __tablename__ = "sites"
    __table_args__ = (Index("ix_sites_geom", "geom", postgresql_using="gist").ddl_if(dialect="postgresql"),)

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(Uuid, unique=True)
    family: Mapped[str] = mapped_column(String(16))
    geom: Mapped[BaseGeometry] = mapped_column(Geometry)
    min_lon: Mapped[float]
    min_lat: Mapped[float]
    max_lon: Mapped[float]
    max_lat: Mapped[float]
    area_m2: Mapped[float]
    verdict: Mapped[str | None] = mapped_column(String(24))
    verdict_area_m2: Mapped[float | None]
    verdict_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    verdict_by: Mapped[str | None] = mapped_column(String(80))
    case_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    candidate_id: Mapped[str | None] = mapped_column(String(100))
    times_seen: Mapped[int] = mapped_column(default=1)
    first_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ForeignCase(Base):
    """An open case that the platform already holds, imported; a candidate on it raises no new one."""

    __tablename__ = "foreign_cases"
    __table_args__ = (Index("ix_foreign_cases_geom", "geom", postgresql_using="gist").ddl_if(dialect="postgresql"),)

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True)
    platform_no: Mapped[str] = mapped_column(String(64), unique=True)
    family: Mapped[str] = mapped_column(String(16))
    code: Mapped[str | None] = mapped_column(String(8))
    geom: Mapped[BaseGeometry] = mapped_column(Geometry)
    min_lon: Mapped[float]
    min_lat: Mapped[float]
    max_lon: Mapped[float]
    max_lat: Mapped[float]
    open: Mapped[bool] = mapped_column(default=True)
    imported_at: Mapped[datetime] = mapped_column(UtcDateTime)
