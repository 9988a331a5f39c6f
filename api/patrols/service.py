"""Registering patrols, keeping uploaded photographs, and finding a patrol's files."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.base import utcnow
from api.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UnsupportedMediaError,
)
from api.ids import ulid
from api.patrols.models import Frame, Patrol
from api.settings import ApiSettings
from missions.files import write_bytes_atomically

PATHS = ("folder", "mosaic", "baseline", "frames", "baseline_frames", "poses", "report", "plan", "sites", "dsm")
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$")
_NAME = re.compile(r"[^\w.\-]+")
_MAX_PIXELS = 200_000_000
_KINDS = {"JPEG": ".jpg", "TIFF": ".tif", "PNG": ".png"}


@dataclass(frozen=True)
class NewPatrol:
    """What is said of a patrol when it is registered; `paths` only by the conductor, on this machine."""

    id: str | None = None
    name: str | None = None
    place: str | None = None
    baseline_patrol_id: str | None = None
    flown_at: datetime | None = None
    pilot: str | None = None
    aircraft: str | None = None
    approval_no: str | None = None
    paths: dict[str, str] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)


def register(session: Session, new: NewPatrol, actor: str) -> Patrol:
    """Registers a patrol, or brings an already registered one up to date: what is given replaces, what is not stays.

    Raises:
        InvalidError: An id or a path that cannot be.
    """
    patrol_id = new.id or ulid()
    if not _ID.match(patrol_id):
        raise InvalidError(f"a patrol id has 1 to 64 letters, digits, . _ -, came {patrol_id[:80]!r}")
    for key, value in new.paths.items():
        if key not in PATHS or not Path(value).is_absolute():
            raise InvalidError(f"paths.{key[:40]}: an absolute path under one of {', '.join(PATHS)} was expected")
    patrol = session.get(Patrol, patrol_id, with_for_update=True)
    if patrol is None:
        patrol = Patrol(
            id=patrol_id, name=new.name or patrol_id, paths={}, models={}, created_by=actor, created_at=utcnow()
        )
        session.add(patrol)
    for key in ("name", "place", "baseline_patrol_id", "flown_at", "pilot", "aircraft", "approval_no"):
        value = getattr(new, key)
        if value is not None:
            setattr(patrol, key, value)
    patrol.paths = {**patrol.paths, **new.paths}
    patrol.models = {**patrol.models, **new.models}
    session.flush()
    return patrol


def get_patrol(session: Session, patrol_id: str) -> Patrol:
    """One patrol.

    Raises:
        NotFoundError: None such.
    """
    patrol = session.get(Patrol, patrol_id)
    if patrol is None:
        raise NotFoundError(f"no patrol {patrol_id[:64]}")
    return patrol


def path_of(patrol: Patrol, kind: str) -> Path | None:
    """One of the patrol's files, where it was told and is there."""
    value = patrol.paths.get(kind)
    path = Path(value) if value else None
    return path if path is not None and path.exists() else None


def uploads_of(settings: ApiSettings, patrol_id: str) -> Path:
    """The folder in which a patrol's uploaded photographs lie, as `frames/` of CONTRACTS has them."""
    return settings.data_dir / "uploads" / patrol_id / "frames"


def find_frame(session: Session, settings: ApiSettings, patrol: Patrol, frame_id: str, file: str) -> Path | None:
    """The photograph that a candidate names: by its file under the patrol's frames, else by its hash among uploads."""
    roots = [path_of(patrol, "frames"), uploads_of(settings, patrol.id)]
    for root in roots:
        if root is None or not file:
            continue
        path = (root / file).resolve()
        # A name from a file that others wrote must not lead out of the folder.
        if path.is_relative_to(root.resolve()) and path.is_file():
            return path
    row = session.get(Frame, (patrol.id, frame_id))
    if row is None:
        return None
    path = uploads_of(settings, patrol.id) / row.file
    return path if path.is_file() else None


def keep_frame(
    session: Session, settings: ApiSettings, patrol: Patrol, name: str, source: BinaryIO, actor: str, sortie: str = ""
) -> tuple[Frame, bool]:
    """Stores one uploaded photograph under its own bytes' hash; True when it is new.

    The name is made harmless, the content sniffed (a JPEG, TIFF or PNG that decodes), the size limited while it is
    read. Original bytes are kept untouched.

    Raises:
        TooLargeError: Over `max_upload_bytes`.
        UnsupportedMediaError: No photograph.
        UnavailableError: The disk is full.
    """
    data = source.read(settings.max_upload_bytes + 1)
    if len(data) > settings.max_upload_bytes:
        raise TooLargeError(f"{name[:80]}: at most {settings.max_upload_bytes} bytes a photograph")
    suffix = sniff(data, name)
    digest = hashlib.sha256(data).hexdigest()
    known = session.get(Frame, (patrol.id, digest))
    folder = uploads_of(settings, patrol.id)
    if known is not None and (folder / known.file).is_file():
        return known, False
    file = _place(session, patrol.id, name, digest, suffix, sortie)
    _write(folder / file, data)
    frame = known or Frame(patrol_id=patrol.id, id=digest)
    frame.file, frame.size_bytes, frame.uploaded_by, frame.uploaded_at = file, len(data), actor, utcnow()
    session.add(frame)
    session.flush()
    return frame, True


def sniff(data: bytes, name: str) -> str:
    """The suffix of what the bytes are.

    Raises:
        UnsupportedMediaError: Not a JPEG, TIFF or PNG, broken, or a picture that unpacks to an absurd size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_KINDS)) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise UnsupportedMediaError(f"{name[:80]}: {image.width}x{image.height} pixels are too many")
            suffix = _KINDS[str(image.format)]
            image.draft("RGB", (256, 256))
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnsupportedMediaError(
            f"{name[:80]}: a whole JPEG, TIFF or PNG photograph was expected ({type(error).__name__})"
        ) from error
    return suffix


def _place(session: Session, patrol_id: str, name: str, digest: str, suffix: str, sortie: str) -> str:
    stem = _NAME.sub("_", Path(name.replace("\\", "/")).stem).strip("._")[:80] or "photo"
    folder = _NAME.sub("_", sortie.rsplit("/", 1)[-1]).strip("._")[:32]
    file = f"{folder}/{stem}{suffix}" if folder else f"{stem}{suffix}"
    taken = session.scalar(select(Frame.id).where(Frame.patrol_id == patrol_id, Frame.file == file))
    # Two cards both hold DJI_0001.JPG.
    return file if taken is None else f"{file.removesuffix(suffix)}-{digest[:8]}{suffix}"


def _write(path: Path, data: bytes) -> None:
    try:
        write_bytes_atomically(path, data, 0o640)
    except OSError as error:
        raise UnavailableError(
            f"the photograph could not be stored ({error.strerror}): free some space, then again"
        ) from error


def needs_frames(settings: ApiSettings, patrol: Patrol) -> None:
    """Refuses to start a job on a patrol that has no photographs.

    Raises:
        ConflictError: None were uploaded and no folder is registered.
    """
    folder = path_of(patrol, "frames") or uploads_of(settings, patrol.id)
    if not folder.is_dir() or not any(path.is_file() for path in folder.rglob("*")):
        raise ConflictError(f"patrol {patrol.id} has no photographs yet: POST /api/v1/patrols/{patrol.id}/frames")
