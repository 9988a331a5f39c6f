"""Collecting a case's evidence: originals into the store untouched, boxed and stamped pictures derived from them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from PIL import ExifTags, Image, ImageDraw, ImageFont
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.auth.service import Actor, audit
from api.base import utcnow
from api.candidates.models import Candidate
from api.cases import service as cases
from api.cases.models import Case
from api.context import Context
from api.errors import ApiError, NotFoundError
from api.evidence.models import CaseEvidence, Evidence
from api.evidence.store import Store, open_store
from api.patrols import service as patrols
from api.patrols.models import Patrol
from api.review.service import get
from api.tiles import crops
from api.tiles.privacy import Hidden, finest_gsd_m

# Two to four pictures go with a case; links do not cross a network gap, and the vendor's call takes 1 MB each.
MAX_PICTURE_BYTES = 1_000_000
MAX_PHOTOS = 2
_VIEWS: tuple[crops.View, ...] = ("overview", "detail")


@dataclass(frozen=True)
class Picture:
    """A derived picture, its name in the case, the original that it shows (None: a mosaic), what was hidden in it."""

    name: str
    data: bytes
    parent: str | None
    hidden: Hidden


def collect(here: Context, case_id: Any) -> int:
    """Collects what the case's patrol has, once; gives how many files the case has. Safe to repeat after a kill."""
    with here.database.read() as session:
        case = cases.get(session, case_id)
        known = session.scalars(select(CaseEvidence.name).where(CaseEvidence.case_id == case.id)).all()
        if known:
            return len(known)
        candidate = session.scalar(select(Candidate).where(Candidate.id == case.candidate_id))
        patrol = session.get(Patrol, case.patrol_id)
        if candidate is None or patrol is None:
            return 0
        photos = _photos(session, here, patrol, candidate)
    store = open_store(here.settings.store)
    originals = {sha: store.put(path.read_bytes()) for sha, path, _ in photos}
    pictures = _pictures(here, case, candidate, patrol, photos)
    if not pictures:
        return 0
    with here.database.write() as session:
        case = cases.get(session, case_id, lock=True)
        if session.scalar(select(CaseEvidence.name).where(CaseEvidence.case_id == case.id).limit(1)):
            return len(pictures) + len(originals)
        for k, (sha, path, _) in enumerate(photos, 1):
            _keep_original(session, patrol, sha, path)
            _attach(session, case, f"original-{k}", sha)
        for picture in pictures:
            sha = _keep_picture(session, store, patrol, picture)
            _attach(session, case, picture.name, sha)
        session.flush()
        item = {"collected": evidence_of(session, case)}
        cases.record(session, case, "case.evidence", "system", {"number": case.number, **item})
    return len(pictures) + len(originals)


def _photos(
    session: Session, here: Context, patrol: Patrol, candidate: Candidate
) -> list[tuple[str, Path, tuple[float, float, float, float]]]:
    found = []
    for frame in candidate.frames[:MAX_PHOTOS]:
        path = patrols.find_frame(session, here.settings, patrol, frame["id"], frame.get("file", ""))
        if path is not None:
            x0, y0, x1, y1 = (float(value) for value in frame["bbox_px"])
            found.append((hashlib.sha256(path.read_bytes()).hexdigest(), path, (x0, y0, x1, y1)))
    return found


def _pictures(
    here: Context,
    case: Case,
    candidate: Candidate,
    patrol: Patrol,
    photos: list[tuple[str, Path, tuple[float, float, float, float]]],
) -> list[Picture]:
    rules = here.settings.privacy
    mosaic, before = patrols.path_of(patrol, "mosaic"), patrols.path_of(patrol, "baseline")
    made: list[Picture] = []
    for name, path in (("after", mosaic), ("before", before)):
        if path is not None:
            chip = crops.chip_jpeg(path, candidate.geom, like=mosaic, size_px=900, rules=rules)
            made.append(Picture(name, _stamp(here, chip, case, patrol, name), None, Hidden("mosaic")))
    if mosaic is not None:
        locator = crops.locator_jpeg(mosaic, candidate.geom, rules=rules)
        made.append(Picture("map", _stamp(here, locator, case, patrol, "map"), None, Hidden("mosaic")))
    poses, report = patrols.path_of(patrol, "poses"), patrols.path_of(patrol, "report")
    for k, (sha, path, box) in enumerate(photos, 1):
        gsd_m = finest_gsd_m(path, poses, report)
        for view in _VIEWS if k == 1 else _VIEWS[1:]:
            data, hidden = crops.frame_picture(path, box, view=view, gsd_m=gsd_m, rules=rules)
            made.append(Picture(f"frame-{k}-{view}", _stamp(here, data, case, patrol, path.name), sha, hidden))
    return made


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for path in ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "NotoSansCJK-Regular.ttc"):
        try:
            return ImageFont.truetype(path, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _stamp(here: Context, jpeg: bytes, case: Case, patrol: Patrol, what: str) -> bytes:
    """Number, place and time under the picture, never over it; at most `MAX_PICTURE_BYTES`."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    moment = (patrol.flown_at or case.filed_at).astimezone(ZoneInfo(here.settings.timezone))
    line = f"{case.number}  {case.lon:.6f}, {case.lat:.6f}  {moment:%Y-%m-%d %H:%M}  {what}"
    band = max(image.width // 32, 20)
    out = Image.new("RGB", (image.width, image.height + band), (24, 28, 34))
    out.paste(image, (0, 0))
    ImageDraw.Draw(out).text((8, image.height + 2), line, fill=(255, 255, 255), font=_font(int(band * 0.66)))
    quality = 88
    while True:
        data = io.BytesIO()
        out.save(data, "JPEG", quality=quality)
        if data.tell() <= MAX_PICTURE_BYTES or quality <= 30:
            return data.getvalue()
        quality -= 12


def _capture(path: Path) -> dict[str, Any]:
    """What the photograph's own EXIF says of its capture."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            found: dict[str, Any] = {"width_px": image.width, "height_px": image.height}
    except (OSError, ValueError):
        return {}
    inner = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    for tag, name in ExifTags.TAGS.items():
        if name in ("Make", "Model", "DateTimeOriginal", "OffsetTimeOriginal", "BodySerialNumber") and tag in inner:
            found[name] = str(inner[tag])[:80]
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    if gps:
        found["gps"] = {ExifTags.GPSTAGS.get(tag, str(tag)): str(value)[:60] for tag, value in gps.items()}
    return found


def _keep_original(session: Session, patrol: Patrol, sha256: str, path: Path) -> None:
    if session.get(Evidence, sha256) is not None:
        return
    session.add(
        Evidence(
            sha256=sha256,
            kind="original",
            media_type="image/jpeg",
            size_bytes=path.stat().st_size,
            patrol_id=patrol.id,
            file=path.name[:255],
            captured_at=patrol.flown_at,
            aircraft=patrol.aircraft,
            pilot=patrol.pilot,
            approval_no=patrol.approval_no,
            capture=_capture(path),
            stored_at=utcnow(),
        )
    )
    audit(session, "system", "evidence.store", sha256, file=path.name, patrol=patrol.id)


def _keep_picture(session: Session, store: Store, patrol: Patrol, picture: Picture) -> str:
    sha256 = store.put(picture.data)
    if session.get(Evidence, sha256) is None:
        session.add(
            Evidence(
                sha256=sha256,
                kind="derived",
                media_type="image/jpeg",
                size_bytes=len(picture.data),
                parent=picture.parent,
                patrol_id=patrol.id,
                file=f"{picture.name}.jpg",
                captured_at=patrol.flown_at,
                capture={"hidden": asdict(picture.hidden)},
                stored_at=utcnow(),
            )
        )
        session.flush()
    return sha256


def _attach(session: Session, case: Case, name: str, sha256: str) -> None:
    session.flush()
    session.add(CaseEvidence(case_id=case.id, name=name, sha256=sha256, added_at=utcnow()))


def evidence_of(session: Session, case: Case) -> list[dict[str, Any]]:
    """The case's files: name, hash, parent, size."""
    rows = session.execute(
        select(CaseEvidence.name, Evidence)
        .join(Evidence, Evidence.sha256 == CaseEvidence.sha256)
        .where(CaseEvidence.case_id == case.id)
        .order_by(CaseEvidence.name)
    ).all()
    return [
        {
            "name": name,
            "sha256": row.sha256,
            "kind": row.kind,
            "parent": row.parent,
            "media_type": row.media_type,
            "size_bytes": row.size_bytes,
            "file": row.file,
            "deleted": row.deleted_at is not None,
        }
        for name, row in rows
    ]


def picture(session: Session, here: Context, case: Case, name: str) -> bytes:
    """A derived picture of a case.

    Raises:
        NotFoundError: None such, or an original (which is read by its hash, with a reason).
    """
    row = session.get(CaseEvidence, (case.id, name))
    if row is None or name.startswith("original"):
        raise NotFoundError(f"case {case.number} has no picture {name[:40]!r}")
    return open_store(here.settings.store).get(row.sha256)


def read_original(session: Session, here: Context, sha256: str, actor: str, reason: str) -> tuple[Evidence, bytes]:
    """An original's bytes; who read it and why is on record before the bytes go out.

    Raises:
        NotFoundError: None such.
        ApiError: No reason.
    """
    if not reason.strip():
        raise ApiError("reading an original needs a reason: ?reason=...")
    row = session.get(Evidence, sha256)
    if row is None or row.deleted_at is not None:
        raise NotFoundError(f"no evidence {sha256[:64]}")
    data = open_store(here.settings.store).get(sha256)
    audit(session, actor, "evidence.read", sha256, reason.strip()[:500])
    return row, data


def read_photograph(
    session: Session, here: Context, candidate_id: str, k: int, actor: Actor, reason: str
) -> tuple[str, bytes]:
    """A photograph's name (plain ASCII) and bytes, untouched; who read it and why is on record before they go out.

    Raises:
        NotFoundError: No such candidate in the reader's districts, no such photograph, or it is not on this machine.
        ApiError: No reason.
    """
    if not reason.strip():
        raise ApiError("reading an original needs a reason: ?reason=...")
    candidate = get(session, candidate_id, actor.districts)
    patrol = patrols.get_patrol(session, candidate.patrol_id)
    frame = candidate.frames[k - 1] if k <= len(candidate.frames) else None
    path = patrols.find_frame(session, here.settings, patrol, frame["id"], frame.get("file", "")) if frame else None
    if path is None:
        raise NotFoundError(f"candidate {candidate_id} has no photograph {k} on this machine")
    data = path.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    audit(session, actor.name, "photo.read", sha, reason.strip()[:500], candidate=candidate_id, file=path.name)
    return f"{sha[:12]}{path.suffix.lower()}", data
