"""Finished tiles of a mosaic on disk while it grows: a file of compressed tiles and a journal of what lies where.

A tile counts once its journal line is whole, and its bytes are written before that line. So whatever moment a run is
killed at, the next one goes on from the last whole line, and several runs may fill the same mosaic: each has a spill of
its own in one folder, and all are read.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

Tile = tuple[int, int]
# Level 0 is full resolution: (level, row, column).
Key = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """Where a tile's bytes lie: the image, and its mask right behind it."""

    file: str
    start: int
    image_bytes: int
    mask_bytes: int


class Spill:
    """Tiles by level, row and column.

    Args:
        folder: Of the spills; made if need be.
        name: Of this run's own spill; others in the folder are read only.
    """

    def __init__(self, folder: Path, name: str = "tiles") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.places: dict[Key, Place] = {}
        for journal in sorted(folder.glob("*.journal")):
            self._read(journal)
        own = folder / f"{name}.bin"
        # Unbuffered: a line in the journal must not overtake its tile.
        self._data = own.open("ab", buffering=0)
        self._journal = own.with_suffix(".journal").open("ab", buffering=0)
        self._name = own.name
        self._start = own.stat().st_size
        if self._journal.tell():
            # A line that was torn by a kill ends here.
            self._journal.write(b"\n")

    def _read(self, journal: Path) -> None:
        data = journal.with_suffix(".bin")
        size = data.stat().st_size if data.is_file() else 0
        for line in journal.read_text("ascii", errors="replace").splitlines():
            parts = line.split()
            if len(parts) != 7 or parts[6] != "." or not all(part.isdigit() for part in parts[:6]):
                continue
            level, row, column, start, image_bytes, mask_bytes = (int(part) for part in parts[:6])
            if start + image_bytes + mask_bytes <= size:
                self.places[(level, row, column)] = Place(data.name, start, image_bytes, mask_bytes)

    def put(self, key: Key, image: bytes, mask: bytes) -> None:
        """Keeps a tile."""
        self._data.write(image + mask)
        self._journal.write(f"{key[0]} {key[1]} {key[2]} {self._start} {len(image)} {len(mask)} .\n".encode("ascii"))
        self.places[key] = Place(self._name, self._start, len(image), len(mask))
        self._start += len(image) + len(mask)

    def get(self, key: Key) -> tuple[bytes, bytes]:
        """Image and mask of a tile."""
        place = self.places[key]
        with (self._folder / place.file).open("rb") as file:
            file.seek(place.start)
            data = file.read(place.image_bytes + place.mask_bytes)
        return data[: place.image_bytes], data[place.image_bytes :]

    def close(self) -> None:
        """Lets go of the files; they stay for another run."""
        for file in (self._data, self._journal):
            os.fsync(file.fileno())
            file.close()

    def remove(self) -> None:
        """Closes and removes all spills of the folder."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)
