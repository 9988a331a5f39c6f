"""Gold: candidates whose answer is known, and what reviewers said of them without knowing that."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, BigKey, UtcDateTime


class GoldItem(Base):
    """A decided candidate that an officer vouches for; it comes up among a reviewer's work once."""

    __tablename__ = "gold_items"

    candidate_id: Mapped[str] = mapped_column(ForeignKey("candidates.id"), primary_key=True)
    answer: Mapped[str] = mapped_column(String(8))
    set_by: Mapped[str] = mapped_column(String(80))
    set_at: Mapped[datetime] = mapped_column(UtcDateTime)


class GoldAnswer(Base):
    """What one reviewer said of one gold item; `decision` is null while it is theirs to answer."""

    __tablename__ = "gold_answers"
    __table_args__ = (Index("ix_gold_answers_reviewer", "reviewer", "at"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    candidate_id: Mapped[str] = mapped_column(String(100), index=True)
    reviewer: Mapped[str] = mapped_column(String(80))
    leased_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision: Mapped[str | None] = mapped_column(String(12))
    reason: Mapped[str | None] = mapped_column(String(24))
    agrees: Mapped[bool | None]
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)
