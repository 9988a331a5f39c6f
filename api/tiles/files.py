"""Small files that can always be made again, under a name that says of what: the picture cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


class PictureCache:
    """Pictures by key under a folder; nothing half-written is ever seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The picture of `key`, made at most once in a while; a full disk costs speed, not the answer."""
        name = hashlib.sha256(key.encode()).hexdigest()
        path = self._folder / name[:2] / name
        try:
            return path.read_bytes()
        except OSError:
            pass
        data = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).replace(path)
        except OSError:
            return data
        return data


def stamp(path: Path) -> str:
    """What tells one content of a file from another without reading it."""
    status = path.stat()
    return f"{path}:{status.st_size}:{status.st_mtime_ns}"
