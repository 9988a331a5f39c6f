"""The stages as the conductor calls them: a patrol's folder in, the next file of it out.

Each function fills in the paths that a stage itself must not know. Heavy imports happen on use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yunxun.console import Report
from yunxun.errors import YunxunError
from yunxun.workspace import PatrolFolder

if TYPE_CHECKING:
    from imagery.report import MosaicReport
    from inference.detect import BaselineFiles
    from inference.sites import SiteCollection


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def baseline_files(baseline: Path | None) -> BaselineFiles | None:
    """An earlier day: everything a patrol's folder has, or a bare GeoTIFF with less evidence.

    Raises:
        YunxunError: There is no mosaic there.
    """
    from inference.detect import BaselineFiles

    if baseline is None:
        return None
    if not baseline.is_dir():
        if not baseline.is_file():
            raise YunxunError(f"no baseline at {baseline}: give an earlier patrol's folder or a GeoTIFF")
        return BaselineFiles(mosaic=baseline)
    folder = PatrolFolder(baseline)
    if not folder.mosaic.is_file():
        raise YunxunError(f"no baseline at {folder.mosaic}: stitch that patrol first (`yunxun patrol {baseline}`)")
    record = folder.read_record()
    return BaselineFiles(
        mosaic=folder.mosaic,
        dsm=_existing(folder.dsm),
        poses=_existing(folder.poses),
        frames_dir=_existing(folder.frames),
        patrol_id=record.patrol_id if record else None,
    )


def stitch_patrol(folder: PatrolFolder, baseline: Path | None, report: Report) -> MosaicReport:
    """frames/ into mosaic.tif, mosaic.json, poses.json and dsm.tif."""
    from imagery.stitch import StitchOptions, stitch

    base = baseline_files(baseline)
    options = StitchOptions(captures=folder.captures(), baseline=base.mosaic if base else None, dense=True)
    return stitch(folder.frames, folder.mosaic, options, report)


def detect_in_patrol(
    folder: PatrolFolder,
    baseline: Path | None,
    permits: Path | None,
    report: Report,
    registered: Path | None = None,
) -> SiteCollection:
    """Candidates of a stitched patrol."""
    from inference.detect import DetectRequest, detect_patrol

    request = DetectRequest(
        mosaic=folder.mosaic,
        poses=_existing(folder.poses),
        dsm=_existing(folder.dsm),
        frames_dir=_existing(folder.frames),
        baseline=baseline_files(baseline),
        permits=permits,
        registered=registered,
        patrol_id=folder.ensure_record().patrol_id,
    )
    return detect_patrol(request, report)


def detect_in_mosaic(
    mosaic: Path, baseline: Path | None, permits: Path | None, report: Report, registered: Path | None = None
) -> SiteCollection:
    """Candidates of a bare mosaic; poses and heights are used where they lie beside it."""
    from inference.detect import DetectRequest, detect_patrol

    beside = PatrolFolder(mosaic.parent) if mosaic.name == "mosaic.tif" else None
    request = DetectRequest(
        mosaic=mosaic,
        poses=_existing(beside.poses) if beside else None,
        dsm=_existing(beside.dsm) if beside else None,
        frames_dir=None,
        baseline=baseline_files(baseline),
        permits=permits,
        registered=registered,
        patrol_id=None,
    )
    return detect_patrol(request, report)


def detect_in_photos(photos: Sequence[Path], gsd_cm: float | None, report: Report) -> SiteCollection:
    """Candidates of single photographs, placed on the ground by GPS, height and gimbal."""
    from imagery.single import poses_of_photos
    from inference.detect import detect_photos

    poses = poses_of_photos(list(photos), gsd_m=None if gsd_cm is None else gsd_cm / 100.0)
    return detect_photos(list(photos), poses, progress=report)


def content_key(*parts: object) -> str:
    """A key for the ledger: the hash of texts, numbers and files (by bytes up to 1 MB, else name, size and time)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path) and part.is_file():
            stat = part.stat()
            small = stat.st_size <= 1 << 20
            digest.update(part.read_bytes() if small else f"{part.name}|{stat.st_size}|{stat.st_mtime_ns}".encode())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()
