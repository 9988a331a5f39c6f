"""Appending to a chain, and reading the one order without a gap.

Writing: `append` runs in the transaction of the change itself, under the lock of its subject's row, so the event and
what it tells of are committed together or not at all.

Reading: on PostgreSQL an event is shown only when every transaction that began before its own has ended
(`pg_snapshot_xmin`), and the order is (epoch, xid, seq); whatever commits later sorts later. On SQLite writers queue,
so `seq` alone is the order of commits.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol, cast

from sqlalchemy import ColumnElement, Insert, Select, bindparam, insert, literal_column, select, text, tuple_
from sqlalchemy.orm import Session

from api.base import iso, utcnow
from api.database import is_postgres
from api.errors import GoneError, InvalidError
from api.feed.models import Event, FeedEpoch

GENESIS = bytes(32)
TYPES = (
    "candidate.created",
    "candidate.merged",
    "candidate.reviewed",
    "case.filed",
    "case.evidence",
    "case.platform",
    "case.reinspected",
    "case.withdrawn",
)
_ID = re.compile(r"^(\d{1,6})-(\d{1,19})-(\d{1,19})$")
_XID: ColumnElement[int] = literal_column("pg_current_xact_id()::text::bigint")
_EPOCH = select(FeedEpoch.epoch).where(FeedEpoch.id == 1).scalar_subquery()
_BIGGEST = 2**63 - 1


class Chained(Protocol):
    """A row that carries the head of its own chain."""

    chain_n: Any
    chain_hash: Any


@dataclass(frozen=True)
class Position:
    """A place in the feed's order; its text is the event's id."""

    epoch: int
    xid: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.xid}-{self.seq}"


START = Position(0, 0, 0)


def parse_position(value: str | None) -> Position:
    """Reads an event id; None or "" is the beginning of what is kept.

    Raises:
        InvalidError: Not an id that we gave.
    """
    if not value:
        return START
    found = _ID.match(value)
    if not found or any(int(part) > _BIGGEST for part in found.groups()) or int(found[1]) > 2**31 - 1:
        raise InvalidError(f"lastEventId should be an event's id such as 1-7342-57, came {value[:60]!r}")
    return Position(*(int(part) for part in found.groups()))


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the text that is hashed, stored and sent."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def chain_hash(
    prev_hash: bytes, *, type: str, subject: str, chain_n: int, time: datetime, actor: str, data: str
) -> bytes:
    """SHA-256 of the hash before it and the canonical JSON of the event; `data` is canonical already."""
    head = {"actor": actor, "chain_n": chain_n, "subject": subject, "time": iso(time), "type": type}
    return hashlib.sha256(prev_hash + canonical(head).encode() + b"\n" + data.encode()).digest()


@dataclass(frozen=True)
class Labels:
    """What feeds are filtered by."""

    family: str | None = None
    district: str | None = None
    code: str | None = None


def order_values(postgres: bool) -> dict[str, Any]:
    """The columns that the database itself fills: in which epoch, by which transaction."""
    return {"epoch": _EPOCH, "xid": _XID if postgres else 0}


def next_event(
    row: Chained, *, type: str, subject: str, actor: str, data: dict[str, Any], labels: Labels
) -> dict[str, Any]:
    """The next event of the chain of `row` (which the caller has locked or just made), and moves its head."""
    now = utcnow()
    body = canonical(data)
    number = row.chain_n + 1
    before = row.chain_hash
    digest = chain_hash(before, type=type, subject=subject, chain_n=number, time=now, actor=actor, data=body)
    row.chain_n, row.chain_hash = number, digest
    return {
        "type": type, "subject": subject, "chain_n": number, "time": now, "actor": actor, "family": labels.family,
        "district": labels.district, "code": labels.code, "data": body, "prev_hash": before, "hash": digest,
    }  # fmt: skip


@cache
def _append(postgres: bool) -> Insert:
    names = ("type", "subject", "chain_n", "time", "actor", "family", "district", "code", "data", "prev_hash", "hash")
    table: Any = Event.__table__
    values: dict[str, Any] = {name: bindparam(f"e_{name}", type_=table.c[name].type) for name in names}
    return insert(table).values({**values, **order_values(postgres)}).inline()


def append(
    session: Session, row: Chained, *, type: str, subject: str, actor: str, data: dict[str, Any], labels: Labels
) -> None:
    """Adds one event to the chain of `row` and moves its head."""
    event = next_event(row, type=type, subject=subject, actor=actor, data=data, labels=labels)
    values = {f"e_{name}": value for name, value in event.items()}
    session.connection().execute(_append(is_postgres(session)), values)


@dataclass(frozen=True)
class Filter:
    """Which events a reader asks for; `districts` is the reader's own row scope."""

    prefix: str = ""
    family: str | None = None
    district: str | None = None
    code: str | None = None
    districts: tuple[str, ...] = ()
    subject: str | None = None


@dataclass(frozen=True)
class Batch:
    """Events in order, and the position after which to go on (the last one looked at, shown or not)."""

    events: list[str]
    after: Position


def check_kept(session: Session, after: Position, feed_days: int) -> None:
    """Refuses a cursor older than what the feed still replays.

    Raises:
        GoneError: It points before the kept days; says from where to go on after a resync.
    """
    if after == START:
        return
    floor = utcnow() - timedelta(days=feed_days)
    row = session.execute(
        select(Event.time).where(Event.epoch == after.epoch, Event.xid == after.xid, Event.seq == after.seq)
    ).first()
    if row is None or row[0] < floor:
        first = first_kept(session, feed_days)
        raise GoneError(
            f"event {after} is not kept in the feed (it replays {feed_days} days): list /api/v1/cases once, then go"
            " on from resync_from",
            resync="/api/v1/cases",
            resync_from=str(first),
        )


def first_kept(session: Session, feed_days: int) -> Position:
    """The position just before the oldest event that is still replayed."""
    floor = utcnow() - timedelta(days=feed_days)
    row = session.execute(
        select(Event.epoch, Event.xid, Event.seq)
        .where(Event.time < floor)
        .order_by(Event.time.desc(), Event.seq.desc())
        .limit(1)
    ).first()
    return Position(*row) if row else START


def read(session: Session, after: Position, limit: int, wanted: Filter, feed_days: int) -> Batch:
    """Up to `limit` events after a position, as CloudEvents JSON texts.

    With a filter the reading stops after 20 times `limit` rows, so that a rare district costs no scan of everything;
    `Batch.after` lets the caller go on from there.
    """
    if after == START:
        after = first_kept(session, feed_days)
    rows = session.execute(_window(session, after, limit if wanted == Filter() else 20 * limit)).all()
    events: list[str] = []
    for row in rows:
        after = Position(row.epoch, row.xid, row.seq)
        if _wanted(row, wanted):
            events.append(_cloud_event(row))
            if len(events) == limit:
                break
    return Batch(events, after)


def _columns() -> Select[Any]:
    return cast(
        Select[Any],
        select(
            Event.epoch, Event.xid, Event.seq, Event.type, Event.subject, Event.time, Event.actor, Event.family,
            Event.district, Event.code, Event.chain_n, Event.prev_hash, Event.hash, Event.data,
        ),
    )  # fmt: skip


def _visible(session: Session, query: Select[Any]) -> Select[Any]:
    """Only what no transaction still under way could come before."""
    if not is_postgres(session):
        return query
    return query.where(
        text(
            "(events.epoch < (SELECT epoch FROM feed_epoch WHERE id = 1)"
            " OR events.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint)"
        )
    )


def _window(session: Session, after: Position, rows: int) -> Select[Any]:
    order = (Event.epoch, Event.xid, Event.seq)
    query = _columns().where(tuple_(*order) > tuple_(after.epoch, after.xid, after.seq)).order_by(*order).limit(rows)
    return _visible(session, query)


def _wanted(row: Any, wanted: Filter) -> bool:
    return (
        row.type.startswith(wanted.prefix)
        and (wanted.family is None or row.family == wanted.family)
        and (wanted.district is None or row.district == wanted.district)
        and (wanted.code is None or row.code == wanted.code)
        and (wanted.subject is None or row.subject == wanted.subject)
        and (not wanted.districts or row.district in wanted.districts)
    )


SOURCE = "/yunxun"


def _cloud_event(row: Any) -> str:
    # Built around `data` as it was stored and hashed, so that what is sent is what was signed.
    head = {
        "specversion": "1.0",
        "id": f"{row.epoch}-{row.xid}-{row.seq}",
        "source": SOURCE,
        "type": row.type,
        "subject": row.subject,
        "time": iso(row.time),
        "datacontenttype": "application/json",
        "actor": row.actor,
        "chainn": row.chain_n,
        "prevhash": row.prev_hash.hex(),
        "hash": row.hash.hex(),
    }
    return json.dumps(head, ensure_ascii=False)[:-1] + ',"data":' + row.data + "}"


def recent(session: Session, before: Position | None, limit: int, wanted: Filter) -> Batch:
    """The newest events first, before a position; `Batch.after` is where the next page begins."""
    order = (Event.epoch, Event.xid, Event.seq)
    query = _visible(session, _columns()).order_by(*(column.desc() for column in order)).limit(20 * limit)
    if before is not None:
        query = query.where(tuple_(*order) < tuple_(before.epoch, before.xid, before.seq))
    events: list[str] = []
    position = before or START
    for row in session.execute(query):
        position = Position(row.epoch, row.xid, row.seq)
        if _wanted(row, wanted):
            events.append(_cloud_event(row))
            if len(events) == limit:
                break
    return Batch(events, position)


def history(session: Session, subject: str) -> list[Event]:
    """All events of one subject, oldest first."""
    return list(session.scalars(select(Event).where(Event.subject == subject).order_by(Event.chain_n)))


def head(session: Session) -> Position:
    """The newest position that a reader may see; nothing earlier can still appear."""
    order = (Event.epoch, Event.xid, Event.seq)
    query = _visible(session, cast(Select[Any], select(*order))).order_by(*(column.desc() for column in order)).limit(1)
    row = session.execute(query).first()
    return Position(*row) if row else START


def begin_epoch_if_restored(session: Session) -> bool:
    """Starts a new epoch when the cluster counts transactions below what the log holds (a restore elsewhere)."""
    if not is_postgres(session):
        return False
    highest = session.scalar(text("SELECT max(xid) FROM events WHERE epoch = (SELECT epoch FROM feed_epoch)"))
    if highest is None or highest < session.scalar(text("SELECT pg_current_xact_id()::text::bigint")):
        return False
    session.execute(text("UPDATE feed_epoch SET epoch = epoch + 1 WHERE id = 1"))
    return True


def verify_chain(events: list[Event]) -> str | None:
    """None when the chain holds from its first event on, else what is wrong with which."""
    prev = GENESIS
    for number, event in enumerate(events, 1):
        if event.chain_n != number:
            return f"event {number} of {event.subject} is missing"
        expected = chain_hash(
            prev,
            type=event.type,
            subject=event.subject,
            chain_n=event.chain_n,
            time=event.time,
            actor=event.actor,
            data=event.data,
        )
        if event.prev_hash != prev or event.hash != expected:
            return f"event {number} of {event.subject} does not hash to what it says"
        prev = event.hash
    return None
