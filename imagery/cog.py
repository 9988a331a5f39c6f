"""A Cloud-Optimised GeoTIFF written in one pass: tiles come in any order, are compressed once and forgotten.

Overviews grow as tiles arrive (four make one of the next level), so the mosaic is never read again; what is spilled
are compressed tiles, a twentieth of the pixels, and a run that was killed goes on from them. GDAL's own driver needs
the raw mosaic on disk and took twice the CPU of all warping on brighton_beach. JPEG tiles, a 1-bit mask a level,
averaged overviews; directories first, then the data from the coarsest level to the finest, as readers over HTTP want.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from imagery.spill import Spill, Tile

TILE_PX = 512
QUALITY = 90
OVERVIEW_QUALITY = 85
# Offsets beyond this need BigTIFF; classic TIFF is read by more programs.
CLASSIC_LIMIT = 3_900_000_000

_SHORT, _LONG, _RATIONAL, _DOUBLE, _LONG8 = 3, 4, 5, 12, 16
_SIZES = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _DOUBLE: 8, _LONG8: 8, 2: 1}


@dataclass
class _Level:
    """One resolution: its size, and tiles of it still being filled with how many parts they wait for."""

    width: int
    height: int
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
        path: The file to write; None where another run will assemble it and its overviews.
        spill: Where compressed tiles lie; full-resolution tiles that it holds already need not be given again.
        size: Width and height in pixels.
        georeference: CRS, west edge, north edge, pixel size.
        expected: Tiles (row, column) that will come; others stay empty. Each must be given once, or `skip`ped.
    """

    def __init__(
        self,
        path: Path | None,
        spill: Spill,
        size: tuple[int, int],
        georeference: tuple[str, float, float, float],
        expected: Iterable[Tile],
    ) -> None:
        self._path, self._spill = path, spill
        self._geo = _geo_tags(*georeference)
        self._levels = [_Level(*size)]
        while path is not None and max(self._levels[-1].width, self._levels[-1].height) > TILE_PX:
            last = self._levels[-1]
            self._levels.append(_Level(-(-last.width // 2), -(-last.height // 2)))
        self.finished = frozenset((row, column) for level, row, column in spill.places if level == 0)
        tiles = set(expected) | self.finished
        for level in self._levels[1:]:
            for row, column in tiles:
                parent = (row // 2, column // 2)
                level.waiting[parent] = level.waiting.get(parent, 0) + 1
            tiles = set(level.waiting)
        self._take_up()

    def _take_up(self) -> None:
        """Hands tiles of an earlier run on to overviews that are not finished yet."""
        for number, row, column in sorted(self._spill.places):
            if number + 1 >= len(self._levels):
                continue
            parent = (row // 2, column // 2)
            if (number + 1, *parent) in self._spill.places:
                self._levels[number + 1].waiting[parent] -= 1
            else:
                self._hand_on(number, (row, column), _decoded(*self._spill.get((number, row, column))))

    def __enter__(self) -> CogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._path is not None:
            self._assemble(self._path)

    def write(self, row: int, column: int, tile: NDArray[np.uint8]) -> None:
        """Takes a full-resolution tile: (4, TILE_PX, TILE_PX) red, green, blue, mask (0 or 255)."""
        self._put(0, (row, column), tile)

    def skip(self, row: int, column: int) -> None:
        """Says that an expected tile stays empty."""
        self._passed_on(1, (row // 2, column // 2))

    def _put(self, number: int, at: Tile, tile: NDArray[np.uint8]) -> None:
        if tile[3].any():
            quality = OVERVIEW_QUALITY if number else QUALITY
            good, data = cv2.imencode(
                ".jpg", np.ascontiguousarray(tile[2::-1].transpose(1, 2, 0)), [cv2.IMWRITE_JPEG_QUALITY, quality]
            )
            if not good:
                raise OSError(f"tile {at} of level {number} could not be compressed")
            mask = zlib.compress(np.packbits(tile[3] > 0, axis=1).tobytes(), 1)
            self._spill.put((number, *at), data.tobytes(), mask)
        if number + 1 < len(self._levels):
            self._hand_on(number, at, tile)

    def _hand_on(self, number: int, at: Tile, tile: NDArray[np.uint8]) -> None:
        """A tile's quarter of the next overview."""
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

    def _assemble(self, path: Path) -> None:
        size = sum(place.image_bytes + place.mask_bytes for place in self._spill.places.values())
        big = size > CLASSIC_LIMIT
        # Directories have the same length whatever the offsets: once to measure, once for good.
        start = len(self._head(big, 0))
        keys = sorted(self._spill.places)
        with path.open("wb") as file:
            file.write(self._head(big, start))
            for number in reversed(range(len(self._levels))):
                own = [key for key in keys if key[0] == number]
                for part in (0, 1):
                    for key in own:
                        file.write(self._spill.get(key)[part])

    def _head(self, big: bool, data_start: int) -> bytes:
        """Header and all directories; tile offsets follow from the order of the data behind them."""
        places: dict[tuple[int, bool], dict[Tile, tuple[int, int]]] = {}
        cursor = data_start
        keys = sorted(self._spill.places)
        for number in range(len(self._levels) - 1, -1, -1):
            for is_mask in (False, True):
                own = places.setdefault((number, is_mask), {})
                for key in (key for key in keys if key[0] == number):
                    place = self._spill.places[key]
                    length = place.mask_bytes if is_mask else place.image_bytes
                    own[key[1:]] = (cursor, length)
                    cursor += length
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


def _decoded(image: bytes, mask: bytes) -> NDArray[np.uint8]:
    """A compressed tile as it was given: (4, TILE_PX, TILE_PX)."""
    bgr = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    bits = np.frombuffer(zlib.decompress(mask), np.uint8).reshape(TILE_PX, -1)
    tile = np.empty((4, TILE_PX, TILE_PX), np.uint8)
    tile[:3] = np.asarray(bgr, np.uint8).transpose(2, 0, 1)[::-1]
    tile[3] = np.unpackbits(bits, axis=1)[:, :TILE_PX] * 255
    return tile


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
