"""What was handed to the vendor's platform, and the internal ids that it wants instead of codes."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, String, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, UtcDateTime


class Lookup(Base):
    """Our code -> the platform's internal id.

    Kinds: main_type, sub_type, condition, district, street, community, cell, time_area, event_type, source, grade.
    """

    __tablename__ = "platform_lookups"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    ours: Mapped[str] = mapped_column(String(40), primary_key=True)
    theirs: Mapped[str] = mapped_column(String(40))
    name: Mapped[str | None] = mapped_column(String(100))


class Delivery(Base):
    """One case on its way: pending until the platform has answered with its number; failed when it never will."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("ix_deliveries_due", "state", "next_at"),)

    case_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(12))
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)
    their_no: Mapped[str | None] = mapped_column(String(64))
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
