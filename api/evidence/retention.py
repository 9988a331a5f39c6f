"""Carrying the rules out: each deletion is on record before it happens, and what is left of a file is its hash.

The record comes first, in a transaction of its own: a kill in between leaves a file that the next night deletes (and
says so again), never a file that is gone without a word.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.auth.service import audit
from api.base import iso, utcnow
from api.cases import service as cases
from api.database import Database
from api.errors import ConflictError
from api.evidence.models import Evidence
from api.evidence.retention_plan import Photo, Piece, Plan, Tally, plan_of, sha256_of
from api.evidence.store import open_store
from api.patrols.models import Frame, Patrol
from api.patrols.service import path_of
from api.settings import ApiSettings

log = logging.getLogger("api.retention")
ACTOR = "retention"
GB = 1e9
# Photographs a transaction: the record of some is written, then they are deleted, then the next.
BATCH = 200
# Photographs from which a mean is worth something.
ENOUGH = 1000
PRODUCTS = ("mosaic", "dsm", "poses", "report", "plan", "sites")


def report(settings: ApiSettings, database: Database, now: datetime | None = None) -> dict[str, Any]:
    """What would go tonight and what stays, in files and bytes, against the budget. Changes nothing."""
    now = now or utcnow()
    with database.read() as session:
        plan = plan_of(session, settings, now)
        products = _products(session)
    return _told(settings, plan, products, now)


def nightly(settings: ApiSettings, database: Database, now: datetime | None = None) -> dict[str, Any]:
    """Carries out what `report` tells, when the rules are enabled; the summary goes on record.

    Raises:
        ConflictError: Another run is under way.
    """
    now = now or utcnow()
    with _alone(settings.data_dir):
        with database.read() as session:
            plan = plan_of(session, settings, now)
            products = _products(session)
        told = _told(settings, plan, products, now)
        told["cache_pruned"] = asdict(prune_cache(settings))
        if settings.retention.enabled:
            for start in range(0, len(plan.photos), BATCH):
                _delete_photos(database, plan.photos[start : start + BATCH])
            for piece in plan.pieces:
                _delete_piece(settings, database, piece)
        told["deleted"] = settings.retention.enabled
        with database.write() as session:
            detail = {key: told[key] for key in ("going", "deleted", "used_gb", "budget_gb", "cache_pruned")}
            audit(session, ACTOR, "retention.run", now.date().isoformat(), None, **detail)
    return told


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "retention.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError("another retention run is under way on this data folder: wait for it") from None
        yield


def _delete_photos(database: Database, photos: list[Photo]) -> None:
    hashed = [(photo, photo.sha256 or sha256_of(photo.paths[0])) for photo in photos if photo.paths[0].is_file()]
    with database.write() as session:
        for photo, sha in hashed:
            detail = {"patrol": photo.patrol_id, "file": photo.file, "bytes": photo.size_bytes}
            audit(session, ACTOR, "retention.delete", sha, photo.rule, **detail)
            row = session.get(Frame, (photo.patrol_id, sha))
            if row is not None:
                row.deleted_at = utcnow()
    for photo, _ in hashed:
        for path in photo.paths:
            path.unlink(missing_ok=True)


def _delete_piece(settings: ApiSettings, database: Database, piece: Piece) -> None:
    with database.write() as session:
        row = session.get(Evidence, piece.sha256, with_for_update=True)
        if row is None or row.deleted_at is not None:
            return
        row.deleted_at, row.deleted_why = utcnow(), piece.rule[:200]
        audit(session, ACTOR, "retention.delete", piece.sha256, piece.rule, file=row.file, bytes=piece.size_bytes)
        for case_id in piece.cases:
            _tell_case(session, case_id, piece)
    open_store(settings.store).delete(piece.sha256)


def _tell_case(session: Session, case_id: UUID, piece: Piece) -> None:
    """The case's own chain says what it no longer has, and why."""
    case = cases.get(session, case_id, lock=True)
    gone = {"number": case.number, "removed": [{"sha256": piece.sha256, "reason": piece.rule}]}
    cases.record(session, case, "case.evidence", ACTOR, gone)


def prune_cache(settings: ApiSettings) -> Tally:
    """Deletes the oldest pictures and tiles beyond `cache_gb`; all of them can be made again."""
    files = []
    for path in (settings.data_dir / "cache" / "pictures").rglob("*"):
        if path.is_file():
            status = path.stat()
            files.append((status.st_mtime_ns, status.st_size, path))
    over = sum(size for _, size, _ in files) - settings.retention.cache_gb * GB
    gone = Tally()
    for _, size, path in sorted(files):
        if over <= 0:
            break
        path.unlink(missing_ok=True)
        gone.add(size)
        over -= size
    return gone


def _products(session: Session) -> Tally:
    """Mosaics and what else stitching and judging made: kept."""
    tally = Tally()
    for patrol in session.scalars(select(Patrol)):
        for name in PRODUCTS:
            path = path_of(patrol, name)
            if path is not None and path.is_file():
                tally.add(path.stat().st_size)
    return tally


def _told(settings: ApiSettings, plan: Plan, products: Tally, now: datetime) -> dict[str, Any]:
    rules = settings.retention
    staying = {**plan.staying, "mosaics and other products: kept": products}
    going_bytes = sum(tally.size_bytes for tally in plan.going.values())
    used = going_bytes + sum(tally.size_bytes for tally in staying.values())
    free = shutil.disk_usage(settings.data_dir if settings.data_dir.is_dir() else Path.cwd()).free
    return {
        "at": iso(now),
        "enabled": rules.enabled,
        "going": {rule: asdict(tally) for rule, tally in sorted(plan.going.items())},
        "staying": {rule: asdict(tally) for rule, tally in sorted(staying.items())},
        "going_gb": round(going_bytes / GB, 3),
        "used_gb": round(used / GB, 3),
        "budget_gb": rules.budget_gb,
        "over_budget": used - going_bytes * rules.enabled > rules.budget_gb * GB,
        "free_gb": round(free / GB, 3),
        "sweep": sweep_of(settings, plan),
    }


def sweep_of(settings: ApiSettings, plan: Plan) -> dict[str, Any]:
    """What one flight over the whole city takes, and what the rules leave of it in the long run.

    Size and share of photographs that show something are those of the photographs here once there are `ENOUGH`;
    until then 8.8 MB each (1.5 TB for 171,000) and one in twenty.
    """
    rules = settings.retention
    photos = [tally for rule, tally in [*plan.staying.items(), *plan.going.items()] if rule.startswith("shows")]
    files, size = sum(tally.files for tally in photos), sum(tally.size_bytes for tally in photos)
    mean = size / files if files >= ENOUGH else 8.8e6
    shown = [rule for rule in (*plan.staying, *plan.going) if rule.startswith("shows") and "no candidate" not in rule]
    busy = sum((plan.staying.get(rule) or plan.going[rule]).files for rule in shown)
    share = busy / files if files >= ENOUGH else 0.05
    kept = share + (1 - share) / rules.keep_one_in if rules.keep_one_in else share
    sweep_gb = rules.photos_a_sweep * mean / GB
    sweeps = rules.case_frame_days / rules.sweep_days
    fresh = max(rules.empty_frame_days / rules.sweep_days, 1.0)
    return {
        "photos": rules.photos_a_sweep,
        "mean_mb": round(mean / 1e6, 2),
        "sweep_gb": round(sweep_gb, 1),
        "share_kept_after_thinning": round(kept, 4),
        "kept_of_a_sweep_gb": round(sweep_gb * kept, 1),
        "steady_gb": round(sweep_gb * (fresh + kept * max(sweeps - fresh, 0.0)), 1),
    }
