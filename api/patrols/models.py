"""Patrols and the photographs that were uploaded for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, Json, UtcDateTime


class Patrol(Base):
    """One patrol; `paths` are absolute, given by the conductor, who alone knows the folder's layout.

    `paths` may hold `mosaic`, `baseline` (a mosaic), `frames` (folder), `baseline_frames`, `poses`, `report`,
    `plan`, `sites`, `folder`.
    """

    __tablename__ = "patrols"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    place: Mapped[str | None] = mapped_column(String(200))
    baseline_patrol_id: Mapped[str | None] = mapped_column(String(64))
    flown_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pilot: Mapped[str | None] = mapped_column(String(64))
    aircraft: Mapped[str | None] = mapped_column(String(64))
    approval_no: Mapped[str | None] = mapped_column(String(64))
    paths: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    models: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Frame(Base):
    """An uploaded photograph: its id is the SHA-256 of its bytes, and twice the same bytes are one row."""

    __tablename__ = "frames"

    patrol_id: Mapped[str] = mapped_column(ForeignKey("patrols.id"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    file: Mapped[str] = mapped_column(String(255))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    uploaded_by: Mapped[str] = mapped_column(String(80))
    uploaded_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
