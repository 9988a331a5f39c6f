"""A patrol is a folder. This is the only module that knows its layout.

patrol.json                identity and inputs
plan.json routes.geojson sorties/<id>.plan .waypoints .kmz
flight/<id>.tlog <id>.captures.csv
frames/<sortie>/*.jpg
mosaic.tif mosaic.json poses.json dsm.tif
sites.geojson
jobs.sqlite                what is done
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from missions.files import write_text_atomically
from missions.ulid import new_ulid
from yunxun.errors import YunxunError

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}


class PatrolRecord(BaseModel):
    """`patrol.json`: who this patrol is, and the day it is compared with."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    patrol_id: str
    created_utc: datetime
    name: str
    baseline: str | None = None


@dataclass(frozen=True)
class PatrolFolder:
    """Paths of one patrol."""

    root: Path

    @property
    def record(self) -> Path:
        """Identity."""
        return self.root / "patrol.json"

    @property
    def plan(self) -> Path:
        """The plan; its exports lie beside it."""
        return self.root / "plan.json"

    @property
    def flight(self) -> Path:
        """Telemetry and capture logs."""
        return self.root / "flight"

    @property
    def frames(self) -> Path:
        """Photographs, a folder a sortie."""
        return self.root / "frames"

    @property
    def mosaic(self) -> Path:
        """The orthomosaic (COG)."""
        return self.root / "mosaic.tif"

    @property
    def report(self) -> Path:
        """What the stitcher says of it."""
        return self.root / "mosaic.json"

    @property
    def poses(self) -> Path:
        """Where every frame was."""
        return self.root / "poses.json"

    @property
    def dsm(self) -> Path:
        """The surface."""
        return self.root / "dsm.tif"

    @property
    def sites(self) -> Path:
        """The candidates."""
        return self.root / "sites.geojson"

    @property
    def jobs(self) -> Path:
        """What is done."""
        return self.root / "jobs.sqlite"

    def captures(self) -> tuple[Path, ...]:
        """Capture logs of all sorties."""
        return tuple(sorted(self.flight.glob("*.captures.csv")))

    def photos(self) -> list[Path]:
        """All photographs under `frames/`."""
        return photos_in(self.frames)

    def read_record(self) -> PatrolRecord | None:
        """The patrol's identity, or None for a folder that is not a patrol yet.

        Raises:
            YunxunError: `patrol.json` is there but cannot be read.
        """
        if not self.record.is_file():
            return None
        try:
            return PatrolRecord.model_validate_json(self.record.read_bytes())
        except ValidationError as error:
            raise YunxunError(f"{self.record} is not a patrol record: {error.errors()[0]['msg']}") from error

    def ensure_record(self, *, patrol_id: str | None = None, baseline: str | None = None) -> PatrolRecord:
        """Reads the identity, or mints it: the same folder is the same patrol for ever."""
        found = self.read_record()
        if found is not None:
            return found
        minted = PatrolRecord(
            patrol_id=patrol_id or new_ulid(), created_utc=datetime.now(UTC), name=self.root.name, baseline=baseline
        )
        write_text_atomically(self.record, minted.model_dump_json(indent=1))
        return minted


def photos_in(folder: Path) -> list[Path]:
    """Photographs under `folder` in name order, hidden files left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")
    )


def take_in_frames(source: Path, frames: Path) -> int:
    """Brings a memory card's photographs into `frames/<sortie>/`, untouched: linked where the disk allows, else copied.

    A folder's subfolders are its sorties; photographs at its top become sortie S01. Files already there stay.
    Everything is taken, good or not: it is the stitcher that sets files aside, by name.

    Returns:
        How many files the folder holds afterwards.

    Raises:
        YunxunError: The folder does not exist or holds no files.
    """
    if not source.is_dir():
        raise YunxunError(f"no folder of photographs at {source}: give the memory card's folder with --frames")
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise YunxunError(f"{source} is empty: expected photographs (JPEG) in it or in a subfolder a sortie")
    for path in files:
        relative = path.relative_to(source)
        target = frames / ("S01" if len(relative.parts) == 1 else "-".join(relative.parts[:-1])) / path.name
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)
        temporary.replace(target)
    return len(files)


class Ledger:
    """`jobs.sqlite`: which stage is done, for which inputs; a second run resumes from it.

    A stage is done when its key (a hash of its inputs) is the recorded one and its outputs still exist.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS stage (name TEXT PRIMARY KEY, key TEXT NOT NULL, finished_utc TEXT NOT NULL,"
            " wall_s REAL NOT NULL, result TEXT NOT NULL)"
        )

    def result(self, name: str, key: str) -> str | None:
        """The JSON result of a finished stage with exactly these inputs, or None."""
        row = self._db.execute("SELECT result FROM stage WHERE name = ? AND key = ?", (name, key)).fetchone()
        return None if row is None else str(row[0])

    def finish(self, name: str, key: str, wall_s: float, result: str) -> None:
        """Records that a stage is done; whatever was recorded of later stages keeps its own keys."""
        self._db.execute(
            "INSERT OR REPLACE INTO stage VALUES (?, ?, ?, ?, ?)",
            (name, key, datetime.now(UTC).isoformat(), wall_s, result),
        )

    def close(self) -> None:
        """Closes the file."""
        self._db.close()
