"""A signed Merkle root for each day over the heads of all chains that grew: history cannot be rewritten unseen.

Leaves are SHA-256(0x00 ‖ subject ‖ 0x00 ‖ chain_n ‖ 0x00 ‖ hash), sorted; nodes SHA-256(0x01 ‖ left ‖ right); an odd
one goes up as it is. What is signed is "yunxun-root-1", the day, the root of the day before and this root.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.base import utcnow
from api.errors import ConflictError
from api.evidence.models import MerkleRoot
from api.evidence.signing import holds, sign
from api.feed.models import Event
from api.settings import ApiSettings


def leaf(subject: str, chain_n: int, head: bytes) -> bytes:
    """Hash of one chain's head."""
    return hashlib.sha256(b"\x00" + subject.encode() + b"\x00" + str(chain_n).encode() + b"\x00" + head).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: list[bytes]) -> bytes:
    """The root; 32 zero bytes of none."""
    level = leaves
    if not level:
        return bytes(32)
    while len(level) > 1:
        level = [_node(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
    return level[0]


def path_of(leaves: list[bytes], index: int) -> list[tuple[str, bytes]]:
    """What to hash a leaf with, from the bottom up: ("left" or "right", the other one)."""
    found: list[tuple[str, bytes]] = []
    level = leaves
    while len(level) > 1:
        other = index ^ 1
        if other < len(level):
            found.append(("left" if other < index else "right", level[other]))
        level = [_node(*level[i : i + 2]) if i + 1 < len(level) else level[i] for i in range(0, len(level), 2)]
        index //= 2
    return found


def climb(start: bytes, path: list[tuple[str, bytes]]) -> bytes:
    """The root that a leaf and its path lead to."""
    for side, other in path:
        start = _node(other, start) if side == "left" else _node(start, other)
    return start


def _heads(session: Session, day: date) -> list[tuple[str, int, bytes]]:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    within = (Event.time >= begin, Event.time < begin + timedelta(days=1))
    last = select(Event.subject, func.max(Event.chain_n).label("n")).where(*within).group_by(Event.subject).subquery()
    rows = session.execute(
        select(Event.subject, Event.chain_n, Event.hash).join(
            last, (Event.subject == last.c.subject) & (Event.chain_n == last.c.n)
        )
    )
    return [(subject, n, head) for subject, n, head in rows]


def message(day: date, previous: bytes, root: bytes) -> bytes:
    """What is signed."""
    return b"yunxun-root-1\n" + day.isoformat().encode() + b"\n" + previous + root


def close_day(session: Session, settings: ApiSettings, day: date) -> MerkleRoot:
    """Makes and signs the root of a day that is over; the same again gives the one there is.

    Raises:
        ConflictError: The day is not over (events could still come).
    """
    known = session.get(MerkleRoot, day)
    if known is not None:
        return known
    # An hour's grace: a transaction that began before midnight has long ended.
    if utcnow() < datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=1):
        raise ConflictError(f"{day} is not over yet (UTC and an hour): close it tomorrow")
    leaves = sorted(leaf(*head) for head in _heads(session, day))
    before = session.scalar(
        select(MerkleRoot.root).where(MerkleRoot.day < day).order_by(MerkleRoot.day.desc()).limit(1)
    )
    previous, root = before or bytes(32), root_of(leaves)
    signature, key = sign(settings, message(day, previous, root))
    made = MerkleRoot(
        day=day,
        previous=previous,
        root=root,
        chains=len(leaves),
        signature=signature,
        key=key,
        made_at=utcnow(),
    )
    session.add(made)
    session.flush()
    return made


def close_days(session: Session, settings: ApiSettings) -> list[MerkleRoot]:
    """Closes every day since the last root (or the first event) that is over; what a daily timer calls."""
    last = session.scalar(select(func.max(MerkleRoot.day)))
    first = session.scalar(select(func.min(Event.time)))
    if first is None:
        return []
    day = last + timedelta(days=1) if last else first.date()
    made = []
    while utcnow() >= datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=1):
        made.append(close_day(session, settings, day))
        day += timedelta(days=1)
    return made


def proof(session: Session, subject: str, day: date) -> dict[str, Any] | None:
    """How a chain's head stands under a day's root; None when the day is open or the chain did not grow on it."""
    made = session.get(MerkleRoot, day)
    if made is None:
        return None
    heads = {head[0]: head for head in _heads(session, day)}
    if subject not in heads:
        return None
    mine = leaf(*heads[subject])
    leaves = sorted(leaf(*head) for head in heads.values())
    return {
        "day": day.isoformat(),
        "chain_n": heads[subject][1],
        "head": heads[subject][2].hex(),
        "path": [[side, other.hex()] for side, other in path_of(leaves, leaves.index(mine))],
        "previous": made.previous.hex(),
        "root": made.root.hex(),
        "signature": made.signature.hex(),
        "key": made.key.hex(),
    }


def proof_holds(subject: str, found: dict[str, Any], chain: dict[int, str], key: bytes) -> bool:
    """Whether a proof leads from this chain's head to a root that the key signed."""
    if chain.get(found["chain_n"]) != found["head"]:
        return False
    start = leaf(subject, found["chain_n"], bytes.fromhex(found["head"]))
    root = climb(start, [(side, bytes.fromhex(other)) for side, other in found["path"]])
    signed = message(date.fromisoformat(found["day"]), bytes.fromhex(found["previous"]), root)
    return root.hex() == found["root"] and holds(key, bytes.fromhex(found["signature"]), signed)
