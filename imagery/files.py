"""Nothing half-written: a file appears whole under its name, or not at all. And progress, as every stage calls it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

Progress = Callable[[int, int, str], None]


def quiet(done: int, total: int, what: str) -> None:
    """The progress callback of a caller that does not want one."""


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; when the block ends well the file is fsynced and renamed to `path`.

    The temporary name keeps the suffix, since raster drivers choose by it; on an error nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        for leftover in (temporary, temporary.with_name(temporary.name + ".msk"), Path(name + ".aux.xml")):
            leftover.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text so that a reader sees the old file or the whole new one."""
    with appearing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
