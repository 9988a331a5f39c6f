"""The content-addressed store: bytes under the SHA-256 of themselves, in a folder or behind any fsspec URL (S3)."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Protocol

from api.errors import ApiError, NotFoundError, UnavailableError

_SHA = re.compile(r"^[0-9a-f]{64}$")


class Store(Protocol):
    """Where evidence lies. Putting the same bytes twice is once."""

    def put(self, data: bytes) -> str:
        """Stores the bytes, durably, before it gives their SHA-256."""

    def get(self, sha256: str) -> bytes:
        """The bytes, checked against their name."""

    def delete(self, sha256: str) -> None:
        """Removes them (retention, on record)."""


def open_store(url: str) -> Store:
    """The store of a setting: a folder, or an fsspec URL such as `s3://bucket/prefix`."""
    if "://" not in url or url.startswith("file://"):
        return FolderStore(Path(url.removeprefix("file://")))
    return RemoteStore(url)


def _check(sha256: str, data: bytes) -> bytes:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ApiError(f"evidence {sha256[:12]} does not hash to its name: the store was changed; restore it")
    return data


def _name(sha256: str) -> str:
    if not _SHA.match(sha256):
        raise NotFoundError(f"{sha256[:80]!r} is not a SHA-256")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


class FolderStore:
    """A local folder; a file appears whole or not at all, and is read-only from then on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Stores the bytes.

        Raises:
            UnavailableError: The disk is full or not writable.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._folder / _name(sha256)
        if path.is_file() and path.stat().st_size == len(data):
            return sha256
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".put.", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o440)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise UnavailableError(
                f"the evidence store does not take it ({error.strerror}): free some space"
            ) from error
        return sha256

    def get(self, sha256: str) -> bytes:
        """The bytes.

        Raises:
            NotFoundError: Not there.
            ApiError: There, and not what they were.
        """
        try:
            return _check(sha256, (self._folder / _name(sha256)).read_bytes())
        except OSError as error:
            raise NotFoundError(f"evidence {sha256[:12]} is not in the store") from error

    def delete(self, sha256: str) -> None:
        """Removes the file."""
        (self._folder / _name(sha256)).unlink(missing_ok=True)


class RemoteStore:
    """Any fsspec filesystem; object stores show an object only when it is whole."""

    def __init__(self, url: str) -> None:
        import fsspec  # type: ignore[import-untyped]

        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ApiError(f"the store {url.split('://')[0]}:// is not to be had ({error})") from error

    def put(self, data: bytes) -> str:
        """Stores the bytes.

        Raises:
            UnavailableError: The other side does not take it.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"{self._root}/{_name(sha256)}"
        try:
            if not self._fs.exists(path):
                self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                self._fs.pipe_file(path, data)
        except OSError as error:
            raise UnavailableError(f"the evidence store does not answer ({error}): try again") from error
        return sha256

    def get(self, sha256: str) -> bytes:
        """The bytes, checked."""
        try:
            return _check(sha256, bytes(self._fs.cat_file(f"{self._root}/{_name(sha256)}")))
        except OSError as error:
            raise NotFoundError(f"evidence {sha256[:12]} is not in the store") from error

    def delete(self, sha256: str) -> None:
        """Removes the object."""
        path = f"{self._root}/{_name(sha256)}"
        if self._fs.exists(path):
            self._fs.rm_file(path)
