"""A Cloud-Optimised GeoTIFF written in one pass: tiles come in any order, are compressed once and forgotten.

Overviews grow as tiles arrive (four make one of the next level), so the mosaic is never read again; what is spilled
are compressed tiles, a twentieth of the pixels. GDAL's own driver needs the raw mosaic on disk and took twice the CPU
of all warping on brighton_beach. JPEG tiles, a 1-bit mask a level, averaged overviews; directories first, then the
data from the coarsest level to the finest, as readers over HTTP want it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

TILE_PX = 512
QUALITY = 90
OVERVIEW_QUALITY = 85
# Offsets beyond this need BigTIFF; classic TIFF is read by more programs.
CLASSIC_LIMIT = 3_900_000_000

Tile = tuple[int, int]
_SHORT, _LONG, _RATIONAL, _DOUBLE, _LONG8 = 3, 4, 5, 12, 16
_SIZES = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _DOUBLE: 8, _LONG8: 8, 2: 1}


@dataclass
class _Level:
    """One resolution: its size, where its compressed tiles lie in the spill, and tiles of it still being filled."""

    width: int
    height: int
    tiles: dict[Tile, tuple[int, int]] = field(default_factory=dict)
    masks: dict[Tile, tuple[int, int]] = field(default_factory=dict)
    open: dict[Tile, NDArray[np.uint8]] = field(default_factory=dict)
    waiting: dict[Tile, int] = field(default_factory=dict)

    @property
    def columns(self) -> int:
        return -(-self.width // TILE_PX)

    @property
    def rows(self) -> int:
        return -(-self.height // TILE_PX)


class CogWriter:
    """Takes tiles of the full resolution and writes the file on leaving the context without an error.

    Args:
        path: The file to write.
        spill: A scratch file for compressed tiles.
        size: Width and height in pixels.
        georeference: CRS, west edge, north edge, pixel size.
        expected: Tiles (row, column) that will come; others stay empty. Each must be given once, or `skip`ped.
    """

    def __init__(
        self,
        path: Path,
        spill: Path,
        size: tuple[int, int],
        georeference: tuple[str, float, float, float],
        expected: Iterable[Tile],
    ) -> None:
        self._path, self._spill_path = path, spill
        self._spill: BinaryIO = spill.open("w+b")
        self._geo = _geo_tags(*georeference)
        self._levels = [_Level(*size)]
        while max(self._levels[-1].width, self._levels[-1].height) > TILE_PX:
            last = self._levels[-1]
            self._levels.append(_Level(-(-last.width // 2), -(-last.height // 2)))
        tiles = set(expected)
        for level in self._levels[1:]:
            for row, column in tiles:
                parent = (row // 2, column // 2)
                level.waiting[parent] = level.waiting.get(parent, 0) + 1
            tiles = set(level.waiting)

    def __enter__(self) -> CogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._assemble()
        self._spill.close()
        self._spill_path.unlink(missing_ok=True)

    def write(self, row: int, column: int, tile: NDArray[np.uint8]) -> None:
        """Takes a full-resolution tile: (4, TILE_PX, TILE_PX) red, green, blue, mask (0 or 255)."""
        self._put(0, (row, column), tile)

    def skip(self, row: int, column: int) -> None:
        """Says that an expected tile stays empty."""
        self._passed_on(1, (row // 2, column // 2))

    def _put(self, number: int, at: Tile, tile: NDArray[np.uint8]) -> None:
        level = self._levels[number]
        if tile[3].any():
            quality = OVERVIEW_QUALITY if number else QUALITY
            good, data = cv2.imencode(
                ".jpg", np.ascontiguousarray(tile[2::-1].transpose(1, 2, 0)), [cv2.IMWRITE_JPEG_QUALITY, quality]
            )
            if not good:
                raise OSError(f"tile {at} of level {number} could not be compressed")
            level.tiles[at] = self._keep(data.tobytes())
            level.masks[at] = self._keep(zlib.compress(np.packbits(tile[3] > 0, axis=1).tobytes(), 1))
        if number + 1 < len(self._levels):
            parent = (at[0] // 2, at[1] // 2)
            if tile[3].any():
                blank = np.zeros((4, TILE_PX, TILE_PX), np.uint8)
                half = TILE_PX // 2
                top, left = (at[0] % 2) * half, (at[1] % 2) * half
                into = self._levels[number + 1].open.setdefault(parent, blank)
                into[:, top : top + half, left : left + half] = _halved(tile)
            self._passed_on(number + 1, parent)

    def _passed_on(self, number: int, at: Tile) -> None:
        """One more child of a tile is done; with the last the tile itself is."""
        if number >= len(self._levels):
            return
        level = self._levels[number]
        level.waiting[at] -= 1
        if level.waiting[at] == 0:
            blank = np.zeros((4, TILE_PX, TILE_PX), np.uint8)
            self._put(number, at, level.open.pop(at, blank))

    def _keep(self, data: bytes) -> tuple[int, int]:
        start = self._spill.seek(0, 2)
        self._spill.write(data)
        return start, len(data)

    def _assemble(self) -> None:
        size = sum(length for level in self._levels for _, length in (*level.tiles.values(), *level.masks.values()))
        big = size > CLASSIC_LIMIT
        # Directories have the same length whatever the offsets: once to measure, once for good.
        start = len(self._head(big, 0))
        with self._path.open("wb") as file:
            file.write(self._head(big, start))
            for level in reversed(self._levels):
                for tiles in (level.tiles, level.masks):
                    for at in sorted(tiles):
                        begin, length = tiles[at]
                        self._spill.seek(begin)
                        file.write(self._spill.read(length))

    def _head(self, big: bool, data_start: int) -> bytes:
        """Header and all directories; tile offsets follow from the order of the data behind them."""
        places: dict[tuple[int, bool], dict[Tile, tuple[int, int]]] = {}
        cursor = data_start
        for number in range(len(self._levels) - 1, -1, -1):
            level = self._levels[number]
            for is_mask, tiles in ((False, level.tiles), (True, level.masks)):
                own = places.setdefault((number, is_mask), {})
                for at in sorted(tiles):
                    own[at] = (cursor, tiles[at][1])
                    cursor += tiles[at][1]
        head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
        directories = [
            _tags(
                level,
                places[(number, is_mask)],
                is_mask,
                number > 0,
                self._geo if number == 0 and not is_mask else [],
                big,
            )
            for number, level in enumerate(self._levels)
            for is_mask in (False, True)
        ]
        result = head
        for position, tags in enumerate(directories):
            result += _directory(tags, len(result), position == len(directories) - 1, big)
        return result


_Tag = tuple[int, int, Sequence[float] | bytes]


def _tags(
    level: _Level, places: dict[Tile, tuple[int, int]], is_mask: bool, reduced: bool, geo: list[_Tag], big: bool
) -> list[_Tag]:
    at = [(row, column) for row in range(level.rows) for column in range(level.columns)]
    offsets = [places.get(tile, (0, 0))[0] for tile in at]
    lengths = [places.get(tile, (0, 0))[1] for tile in at]
    tags: list[_Tag] = [
        (254, _LONG, [(4 if is_mask else 0) + (1 if reduced else 0)]),
        (256, _LONG, [level.width]),
        (257, _LONG, [level.height]),
        (322, _SHORT, [TILE_PX]),
        (323, _SHORT, [TILE_PX]),
        (324, _LONG8 if big else _LONG, offsets),
        (325, _LONG, lengths),
        (284, _SHORT, [1]),
    ]
    if is_mask:
        return [*tags, (258, _SHORT, [1]), (259, _SHORT, [8]), (262, _SHORT, [4]), (277, _SHORT, [1]), *geo]
    return [
        *tags,
        (258, _SHORT, [8, 8, 8]),
        (259, _SHORT, [7]),
        (262, _SHORT, [6]),
        (277, _SHORT, [3]),
        (339, _SHORT, [1, 1, 1]),
        (530, _SHORT, [2, 2]),
        (532, _RATIONAL, [0, 255, 128, 255, 128, 255]),
        *geo,
    ]


def _directory(tags: list[_Tag], start: int, last: bool, big: bool) -> bytes:
    """One image file directory at offset `start`, its long values behind it."""
    tags = sorted(tags, key=lambda tag: tag[0])
    slot, entry = (8, 20) if big else (4, 12)
    fixed = (8 if big else 2) + entry * len(tags) + slot
    head, tail = struct.pack("<Q" if big else "<H", len(tags)), b""
    for tag, kind, values in tags:
        data = values if isinstance(values, bytes) else _packed(kind, values)
        count = len(data) // _SIZES[kind]
        head += struct.pack("<HHQ" if big else "<HHI", tag, kind, count)
        if len(data) <= slot:
            head += data.ljust(slot, b"\0")
        else:
            head += struct.pack("<Q" if big else "<I", start + fixed + len(tail))
            tail += data + b"\0" * (-len(data) % 8)
    tail += b"\0" * (-(fixed + len(tail)) % 8)
    following = 0 if last else start + fixed + len(tail)
    return head + struct.pack("<Q" if big else "<I", following) + tail


def _packed(kind: int, values: Sequence[float]) -> bytes:
    if kind == _RATIONAL:
        return b"".join(struct.pack("<II", int(value), 1) for value in values)
    if kind == _DOUBLE:
        return struct.pack(f"<{len(values)}d", *values)
    letter = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}[kind]
    return struct.pack(f"<{len(values)}{letter}", *(int(value) for value in values))


def _halved(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile at half the size: the average of what is valid (invalid pixels are black and carry no weight)."""
    half = np.stack([cv2.resize(band, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for band in tile])
    share = half[3]
    part = (share > 0) & (share < 255)
    if part.any():
        half[:3, part] = np.clip(np.rint(half[:3, part] * (255.0 / share[part])), 1, 255).astype(np.uint8)
    half[3] = np.where(share > 0, 255, 0)
    return np.asarray(half, np.uint8)


def _geo_tags(crs: str, left: float, top: float, gsd_m: float) -> list[_Tag]:
    """GeoTIFF tags as GDAL writes them, taken from a file of one pixel; and GDAL's note on the layout."""
    with MemoryFile() as memory:
        transform = from_origin(left, top, gsd_m, gsd_m)
        with memory.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", crs=crs, transform=transform):
            pass
        data = memory.read()
    count = struct.unpack_from("<H", data, struct.unpack_from("<I", data, 4)[0])[0]
    first = struct.unpack_from("<I", data, 4)[0] + 2
    found: list[_Tag] = []
    for number in range(count):
        tag, kind, length, _ = struct.unpack_from("<HHII", data, first + 12 * number)
        if tag in {33550, 33922, 34264, 34735, 34736, 34737}:
            size = length * _SIZES[kind]
            at = first + 12 * number + 8
            at = struct.unpack_from("<I", data, at)[0] if size > 4 else at
            found.append((tag, kind, data[at : at + size]))
    return found
