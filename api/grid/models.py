"""Unit-grid cells and named places."""

from __future__ import annotations

from shapely.geometry.base import BaseGeometry
from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, BigKey, Geometry


class GridCell(Base):
    """One unit-grid cell (单元网格); its 15 digits begin with district (6), street (9) and community (12)."""

    __tablename__ = "grid_cells"
    __table_args__ = (Index("ix_grid_cells_geom", "geom", postgresql_using="gist").ddl_if(dialect="postgresql"),)

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True)
    cell: Mapped[str] = mapped_column(String(16), unique=True)
    district: Mapped[str] = mapped_column(String(6), index=True)
    street: Mapped[str] = mapped_column(String(9))
    community: Mapped[str] = mapped_column(String(12))
    tier: Mapped[int | None]
    name: Mapped[str | None] = mapped_column(String(100))
    geom: Mapped[BaseGeometry] = mapped_column(Geometry)
    min_lon: Mapped[float]
    min_lat: Mapped[float]
    max_lon: Mapped[float]
    max_lat: Mapped[float]


class Place(Base):
    """A named point of the gazetteer; 位置描述 is made from the nearest one."""

    __tablename__ = "places"
    __table_args__ = (Index("ix_places_geom", "geom", postgresql_using="gist").ddl_if(dialect="postgresql"),)

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str | None] = mapped_column(String(32))
    geom: Mapped[BaseGeometry] = mapped_column(Geometry)
    min_lon: Mapped[float]
    min_lat: Mapped[float]
    max_lon: Mapped[float]
    max_lat: Mapped[float]
