"""The declarative base and the column types that mean the same on SQLite and on PostgreSQL + PostGIS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import JSON, TypeDecorator, UserDefinedType

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every table of the API."""

    metadata = MetaData(naming_convention=NAMING)


# SQLite numbers rows by itself only for a column of type INTEGER.
BigKey = BigInteger().with_variant(Integer, "sqlite")
# `none_as_null` is the reading that people expect: no value is no value.
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment; SQLite, which has no such type, keeps it in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses naive times; they are the bug of another place."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an aware time was expected, {value!r} has no zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware in UTC, whatever the session's zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Geometry(UserDefinedType[BaseGeometry]):
    """A shapely geometry in WGS84: `geometry(Geometry,4326)` on PostGIS, WKB on SQLite (its R*Tree lies beside)."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Overridden for each dialect below; this is what a message shows."""
        return "GEOMETRY"

    def bind_processor(self, dialect: Dialect) -> Callable[[BaseGeometry | None], Any]:
        """Shapely to hex EWKB for PostGIS's own reader, to WKB for SQLite."""
        if dialect.name == "postgresql":
            return lambda value: (
                None if value is None else shapely.to_wkb(shapely.set_srid(value, 4326), hex=True, include_srid=True)
            )
        return lambda value: None if value is None else shapely.to_wkb(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], BaseGeometry | None]:
        """Hex EWKB or WKB to shapely."""
        return lambda value: None if value is None else shapely.from_wkb(value)


class StoredGeometry(UserDefinedType[Any]):
    """A geometry column as it is stored (hex EWKB or WKB), for lists that only pass it on (`geo.outline_of`)."""

    cache_ok = True


@compiles(Geometry, "postgresql")
def _postgis(element: Geometry, compiler: Any, **_: Any) -> str:
    return "geometry(Geometry,4326)"


@compiles(Geometry, "sqlite")
def _sqlite(element: Geometry, compiler: Any, **_: Any) -> str:
    return "BLOB"


def utcnow() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with `Z`, microseconds kept."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
