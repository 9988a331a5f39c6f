"""Imported tables: code sets, filing conditions, deadlines, holidays."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Date, Float, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, BigKey


class Code(Base):
    """One code of one set: codes mean nothing without their set and kind."""

    __tablename__ = "codes"

    standard: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    code: Mapped[str] = mapped_column(String(8), primary_key=True)
    major_code: Mapped[str | None] = mapped_column(String(4))
    major_name: Mapped[str | None] = mapped_column(String(60))
    name: Mapped[str] = mapped_column(String(60))
    active: Mapped[bool] = mapped_column(Boolean, default=False)


class CodeRule(Base):
    """Which code of the active set a family and label get; an empty label is for all others."""

    __tablename__ = "code_rules"

    standard: Mapped[str] = mapped_column(String(32), primary_key=True)
    family: Mapped[str] = mapped_column(String(16), primary_key=True)
    label: Mapped[str] = mapped_column(String(40), primary_key=True)
    code: Mapped[str] = mapped_column(String(8))


class Condition(Base):
    """立案条件 of a code."""

    __tablename__ = "conditions"

    code: Mapped[str] = mapped_column(String(8), primary_key=True)
    condition: Mapped[str] = mapped_column(String(16), primary_key=True)
    text: Mapped[str] = mapped_column(String(300))


class Deadline(Base):
    """A limit by (code, condition, tier); None is any."""

    __tablename__ = "deadlines"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    code: Mapped[str] = mapped_column(String(8), index=True)
    condition: Mapped[str | None] = mapped_column(String(16))
    tier: Mapped[int | None] = mapped_column(SmallInteger)
    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[float] = mapped_column(Float)


class Holiday(Base):
    """A day off, or (`working`) a weekend day that is worked instead."""

    __tablename__ = "holidays"

    day: Mapped[Any] = mapped_column(Date, primary_key=True)
    working: Mapped[bool] = mapped_column(Boolean, default=False)
    name: Mapped[str | None] = mapped_column(String(40))
