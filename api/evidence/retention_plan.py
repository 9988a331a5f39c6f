"""What the rules say of every photograph and every file of evidence today. Looks, and changes nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.candidates.intake import OPEN_STATES
from api.candidates.models import Candidate
from api.cases.models import Case
from api.cases.states import ENDED
from api.evidence.models import CaseEvidence, Evidence
from api.evidence.retention_rules import RetentionRules
from api.jobs.models import Job
from api.patrols.models import Frame, Patrol
from api.patrols.service import path_of, uploads_of
from api.settings import ApiSettings

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dng"}
YEAR = timedelta(days=365.25)
# Of one night; the rest follows in the next.
MAX_PIECES = 20_000


@dataclass(frozen=True)
class Photo:
    """A photograph that the rules let go: all its names on the disk (links of one file), and why."""

    patrol_id: str
    file: str
    paths: tuple[Path, ...]
    size_bytes: int
    rule: str
    sha256: str | None


@dataclass(frozen=True)
class Piece:
    """A file of the evidence store that the rules let go, and the cases that it belongs to."""

    sha256: str
    size_bytes: int
    rule: str
    cases: tuple[UUID, ...]


@dataclass
class Tally:
    """Files and bytes."""

    files: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """One more."""
        self.files += 1
        self.size_bytes += size_bytes


@dataclass
class Plan:
    """What goes, and what stays and why, by rule."""

    photos: list[Photo] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    going: dict[str, Tally] = field(default_factory=dict)
    staying: dict[str, Tally] = field(default_factory=dict)

    def goes(self, rule: str, size_bytes: int) -> None:
        """Counts one that goes."""
        self.going.setdefault(rule, Tally()).add(size_bytes)

    def stays(self, why: str, size_bytes: int) -> None:
        """Counts one that stays."""
        self.staying.setdefault(why, Tally()).add(size_bytes)


def plan_of(session: Session, settings: ApiSettings, now: datetime) -> Plan:
    """Goes through every patrol's photographs and through the evidence of cases that have ended."""
    plan = Plan()
    busy = set(session.scalars(select(Job.patrol_id).where(Job.state.in_(("queued", "running")))))
    for patrol in session.scalars(select(Patrol).order_by(Patrol.created_at)):
        _photos_of(session, settings, patrol, now, plan, busy=patrol.id in busy)
    _evidence(session, settings.retention, now, plan)
    return plan


def _photos_of(
    session: Session, settings: ApiSettings, patrol: Patrol, now: datetime, plan: Plan, *, busy: bool
) -> None:
    named = _named(session, patrol.id)
    hashes = {row.file: row.id for row in session.scalars(select(Frame).where(Frame.patrol_id == patrol.id))}
    age = now - (patrol.flown_at or patrol.created_at)
    found = _files(settings, patrol)
    for index, (file, paths, size) in enumerate(found):
        sha = hashes.get(file)
        states = named.get(file, set()) | named.get(sha or "", set())
        stays, rule = _verdict(settings.retention, states, age, index)
        if busy:
            stays, rule = True, "a job of its patrol is open"
        if stays:
            plan.stays(rule, size)
        else:
            plan.goes(rule, size)
            plan.photos.append(Photo(patrol.id, file, paths, size, rule, sha))


def _named(session: Session, patrol_id: str) -> dict[str, set[str]]:
    """Which states of candidates a photograph is named by; keys are its file and its hash."""
    found: dict[str, set[str]] = {}
    rows = session.execute(select(Candidate.frames, Candidate.state).where(Candidate.patrol_id == patrol_id))
    for frames, state in rows:
        for frame in frames:
            for key in (frame.get("file"), frame.get("id")):
                if key:
                    found.setdefault(str(key), set()).add(state)
    return found


def _verdict(rules: RetentionRules, states: set[str], age: timedelta, index: int) -> tuple[bool, str]:
    """Whether a photograph stays, and by which rule."""
    if states & set(OPEN_STATES):
        return True, "shows a candidate that waits for review"
    if "accepted" in states or "merged" in states:
        days, what = rules.case_frame_days, "shows a case"
    elif states:
        days, what = rules.rejected_frame_days, "shows rejected candidates alone"
    else:
        days, what = rules.empty_frame_days, "shows no candidate"
    if age < timedelta(days=days):
        return True, f"{what}, within {days} days"
    if not states and rules.keep_one_in and index % rules.keep_one_in == 0:
        return True, f"{what}: one in {rules.keep_one_in} is kept"
    return False, f"{what}, over {days} days"


def _files(settings: ApiSettings, patrol: Patrol) -> list[tuple[str, tuple[Path, ...], int]]:
    """The patrol's photographs in the order of their names; two names of one file are one."""
    known: dict[tuple[int, int], tuple[str, list[Path], int]] = {}
    for root in _roots(settings, patrol):
        for path in _walk(root):
            status = path.stat(follow_symlinks=False)
            key = (status.st_dev, status.st_ino)
            entry = known.setdefault(key, (path.relative_to(root).as_posix(), [], status.st_size))
            entry[1].append(path)
    return sorted((file, tuple(paths), size) for file, paths, size in known.values())


def _roots(settings: ApiSettings, patrol: Patrol) -> Iterator[Path]:
    """Folders of photographs that are ours to thin: uploads, and frames that lie in the patrol's own folder.

    A folder that somebody else keeps (a memory card, a share) is read, and never deleted from.
    """
    uploads = uploads_of(settings, patrol.id)
    if uploads.is_dir():
        yield uploads
    frames, own = path_of(patrol, "frames"), path_of(patrol, "folder")
    ours = [settings.data_dir.resolve(), *([own.resolve()] if own else [])]
    if frames is not None and frames.is_dir() and any(frames.resolve().is_relative_to(home) for home in ours):
        yield frames


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and path.suffix.lower() in PHOTO_SUFFIXES and not path.is_symlink():
                yield path


def _evidence(session: Session, rules: RetentionRules, now: datetime, plan: Plan) -> None:
    """Evidence goes when every case that has it is over its term; evidence of a case that is not ended never does."""
    changed = func.coalesce(Case.platform_at, Case.filed_at)
    joined = (
        select(Evidence.sha256, Evidence.size_bytes, Case.id.label("case_id"), Case.state)
        .join(CaseEvidence, CaseEvidence.sha256 == Evidence.sha256)
        .join(Case, Case.id == CaseEvidence.case_id)
        .where(Evidence.deleted_at.is_(None))
    )
    for states, years, what in _terms(rules):
        over = joined.where(Case.state.in_(states), changed < now - years * YEAR).order_by(Evidence.sha256)
        pieces: dict[str, Piece] = {}
        for sha, size, case_id, _ in session.execute(over.limit(MAX_PIECES)):
            known = pieces.get(sha)
            pieces[sha] = Piece(sha, size, f"{what}, over {years} years", (*(known.cases if known else ()), case_id))
        for piece in pieces.values():
            if _only_of(session, piece):
                plan.goes(piece.rule, piece.size_bytes)
                plan.pieces.append(piece)
    gone = {case_id for piece in plan.pieces for case_id in piece.cases}
    sums = session.execute(
        select(Case.state.in_(ENDED), func.count(), func.sum(Evidence.size_bytes))
        .select_from(Evidence)
        .join(CaseEvidence, CaseEvidence.sha256 == Evidence.sha256)
        .join(Case, Case.id == CaseEvidence.case_id)
        .where(Evidence.deleted_at.is_(None))
        .group_by(Case.state.in_(ENDED))
    )
    for ended, files, size in sums:
        minus = (len(plan.pieces), sum(piece.size_bytes for piece in plan.pieces)) if ended and gone else (0, 0)
        why = "evidence of an ended case, within its term" if ended else "evidence of a case that is not ended"
        plan.staying[why] = Tally(max(files - minus[0], 0), max(int(size) - minus[1], 0))


def _terms(rules: RetentionRules) -> list[tuple[list[str], int, str]]:
    return [
        (["closed"], rules.case_years, "evidence of a closed case"),
        (sorted(ENDED - {"closed"}), rules.refused_case_years, "evidence of a case that was refused or taken back"),
    ]


def _only_of(session: Session, piece: Piece) -> bool:
    """Whether no other case has this file: two cases may share a photograph."""
    cases = session.scalars(select(CaseEvidence.case_id).where(CaseEvidence.sha256 == piece.sha256)).all()
    return set(cases) <= set(piece.cases)


def sha256_of(path: Path) -> str:
    """The photograph's hash, which stays when it goes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
