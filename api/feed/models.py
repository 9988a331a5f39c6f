"""The event log: append-only, the history of every subject and the feed of all."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.base import Base, BigKey, UtcDateTime


class Event(Base):
    """One line of a subject's history.

    The feed's order is (`epoch`, `xid`, `seq`). `xid` is the writing transaction on PostgreSQL (0 on SQLite, where
    writers queue): a reader shows a row only when all earlier transactions have ended, and numbers taken from a
    sequence alone (`seq`) become visible out of order. `epoch` grows when a restored cluster counts anew.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("uq_events_order", "epoch", "xid", "seq", unique=True),
        Index("uq_events_chain", "subject", "chain_n", unique=True),
        Index("ix_events_time", "time"),
    )

    seq: Mapped[int] = mapped_column(BigKey, primary_key=True)
    epoch: Mapped[int] = mapped_column(default=1)
    xid: Mapped[int] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(120))
    chain_n: Mapped[int]
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(80))
    family: Mapped[str | None] = mapped_column(String(16))
    district: Mapped[str | None] = mapped_column(String(6))
    code: Mapped[str | None] = mapped_column(String(8))
    data: Mapped[str] = mapped_column(Text)
    prev_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class FeedEpoch(Base):
    """One row: the epoch in which events are now written."""

    __tablename__ = "feed_epoch"

    id: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
