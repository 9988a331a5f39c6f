"""Evidence: what each file is, where it came from, which case it belongs to; and the daily signed roots."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Date, ForeignKey, Index, LargeBinary, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, Json, UtcDateTime


class Evidence(Base):
    """One file of the store. `parent` is the hash of the original that a derived picture shows."""

    __tablename__ = "evidence"
    __table_args__ = (Index("ix_evidence_parent", "parent"), Index("ix_evidence_patrol", "patrol_id"))

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    media_type: Mapped[str] = mapped_column(String(40))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    parent: Mapped[str | None] = mapped_column(String(64))
    patrol_id: Mapped[str | None] = mapped_column(String(64))
    file: Mapped[str | None] = mapped_column(String(255))
    captured_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    aircraft: Mapped[str | None] = mapped_column(String(64))
    pilot: Mapped[str | None] = mapped_column(String(64))
    approval_no: Mapped[str | None] = mapped_column(String(64))
    capture: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    stored_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_why: Mapped[str | None] = mapped_column(String(200))


class CaseEvidence(Base):
    """Which files a case has, under which name: before, after, frame-1-overview, ..., original-1."""

    __tablename__ = "case_evidence"

    case_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("evidence.sha256"), index=True)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)


class MerkleRoot(Base):
    """The signed root over all chains that grew on a day (UTC), joined to the day before."""

    __tablename__ = "merkle_roots"

    day: Mapped[Any] = mapped_column(Date, primary_key=True)
    previous: Mapped[bytes] = mapped_column(LargeBinary(32))
    root: Mapped[bytes] = mapped_column(LargeBinary(32))
    chains: Mapped[int]
    signature: Mapped[bytes] = mapped_column(LargeBinary(64))
    key: Mapped[bytes] = mapped_column(LargeBinary(32))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
