"""Backup and restore: the database, the secrets and the evidence store into one folder, and back, checked.

SQLite is copied by its own online backup; PostgreSQL by pg_dump in its custom format. Originals of patrols (frames,
mosaics) lie where the conductor keeps them and are not copied: what cases need of them is in the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from api.base import iso, utcnow
from api.database import Database, migrate
from api.errors import ApiError
from api.feed.service import head
from api.settings import ApiSettings

SCHEMA_VERSION = 1


def backup(settings: ApiSettings, folder: Path) -> dict[str, Any]:
    """Writes a backup into a new folder while the API runs; gives its manifest.

    Raises:
        ApiError: The folder is there already, or the database's own tool failed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ApiError(f"{folder} is not empty: give a new folder for each backup")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = make_url(settings.url)
    # The store first and the database after it: the database then names no file that the copy lacks... unless one was
    # stored in between, so the store is gone through once more at the end (content-addressed: only new files copy).
    _copy_store(settings, folder)
    name = _dump(url, folder)
    _copy_store(settings, folder)
    secrets = settings.data_dir / "secrets"
    if secrets.is_dir():
        shutil.copytree(secrets, folder / "secrets")
        (folder / "secrets").chmod(0o700)
    database = Database(settings.url)
    with database.read() as session:
        position = str(head(session))
    database.close()
    files = {str(path.relative_to(folder)): _sha(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "made_at": iso(utcnow()),
        "engine": url.get_backend_name(),
        "database": name,
        "feed_position": position,
        "files": files,
    }
    partial = folder / ".manifest.json"
    partial.write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
    partial.replace(folder / "manifest.json")
    return manifest


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy_store(settings: ApiSettings, folder: Path) -> None:
    if "://" in settings.store:
        return
    source = Path(settings.store)
    for path in source.rglob("*") if source.is_dir() else ():
        to = folder / "store" / path.relative_to(source)
        if path.is_file() and not path.name.startswith(".") and not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)


def _dump(url: URL, folder: Path) -> str:
    if url.get_backend_name() == "sqlite":
        with sqlite3.connect(str(url.database)) as source, sqlite3.connect(folder / "yunxun.sqlite") as target:
            source.backup(target)
        return "yunxun.sqlite"
    _run(["pg_dump", "--format=custom", f"--file={folder / 'yunxun.dump'}", *_where(url)], url)
    return "yunxun.dump"


def _where(url: URL) -> list[str]:
    host = str(url.query.get("host") or url.host or "")
    parts = [f"--dbname={url.database}"]
    parts += [f"--host={host}"] if host else []
    parts += [f"--port={url.port}"] if url.port else []
    return parts + ([f"--username={url.username}"] if url.username else [])


def _run(command: list[str], url: URL) -> None:
    # The password goes by environment: arguments are seen by everybody on the machine.
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ApiError(f"{command[0]} is not on this machine: apt install postgresql-client-15") from error
    if done.returncode:
        raise ApiError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")


def restore(settings: ApiSettings, folder: Path) -> dict[str, Any]:
    """Restores a backup into an empty installation, and begins a new epoch of the feed where transactions count anew.

    Raises:
        ApiError: The backup is not whole, or the installation is not empty.
    """
    manifest = check_backup(folder)
    url = make_url(settings.url)
    if url.get_backend_name() != manifest["engine"]:
        raise ApiError(f"the backup is of {manifest['engine']}, the setting names {url.get_backend_name()}: change it")
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        if path.exists():
            raise ApiError(f"{path} is there already: restore into an empty installation")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / manifest["database"], path)
    else:
        _restore_postgres(settings, folder / manifest["database"], url)
    for name in ("secrets", "store"):
        if (folder / name).is_dir():
            target = Path(settings.store) if name == "store" else settings.data_dir / name
            shutil.copytree(folder / name, target, dirs_exist_ok=True)
    migrate(settings.url)
    database = Database(settings.url)
    with database.write() as session:
        if database.is_postgres:
            # The new cluster's transaction ids are others: what is written from now on sorts after all that was.
            session.execute(text("UPDATE feed_epoch SET epoch = epoch + 1 WHERE id = 1"))
    database.close()
    return manifest


def _restore_postgres(settings: ApiSettings, dump: Path, url: URL) -> None:
    database = Database(settings.url)
    with database.read() as session:
        there = session.scalar(text("SELECT to_regclass('public.events')"))
    database.close()
    if there is not None:
        raise ApiError(f"database {url.database} is not empty: restore into a new one")
    _run(["pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", *_where(url), str(dump)], url)


def check_backup(folder: Path) -> dict[str, Any]:
    """Reads a backup's manifest and checks every file against it.

    Raises:
        ApiError: A file is missing or changed, or it is no backup.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, sha in manifest["files"].items():
            path = (folder / name).resolve()
            if not path.is_relative_to(folder.resolve()) or not path.is_file() or _sha(path) != sha:
                raise ApiError(f"{folder / name} is missing or changed: take another backup")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApiError(f"{folder} is not a whole backup ({type(error).__name__})") from error
    return manifest
