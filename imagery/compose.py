"""The mosaic itself: every photograph decoded once, warped only where it speaks, streamed in tiles into a real COG."""

from __future__ import annotations

import contextlib
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imagery.cog import TILE_PX, CogWriter
from imagery.colour import Tone
from imagery.features import decode
from imagery.files import Progress, appearing, quiet
from imagery.scene import View
from imagery.seams import FEATHER_CELLS, Grid, Labels
from imagery.spill import Spill, Tile
from imagery.surface import HeightGrid

# The ground is smooth and so is a lens: coordinates are computed every 16 pixels and interpolated between
# (0.01 px off on brighton_beach).
MAP_STEP_PX = 16
# Summed weights (of 255) that count as seen, and as complete: roundings of three feathers stay above.
WEIGHT_FLOOR, WEIGHT_FULL = 8, 250

Span = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Piece:
    """What a photograph adds to a row of tiles: three planes (h, w) already multiplied by their weight (255 is all)."""

    top: int
    left: int
    planes: list[NDArray[np.uint8]]
    weight: NDArray[np.uint8]


def compose(
    path: Path,
    scene: Sequence[View],
    tones: Sequence[Tone],
    surface: HeightGrid,
    grid: Grid,
    labels: Labels,
    crs: str,
    workers: int = 2,
    progress: Progress = quiet,
    spill: Spill | None = None,
    rows: range | None = None,
) -> None:
    """Writes `mosaic.tif`: RGB with an internal mask, averaged overviews, laid out as COG.

    Args:
        path: Where to; appears whole or not at all.
        scene: The views; `labels` numbers them.
        tones: One a view.
        surface: What they are laid on.
        grid: The raster.
        labels: Which view speaks where.
        crs: Of the grid.
        workers: Threads that decode and warp.
        progress: Called once a frame.
        spill: Where finished tiles lie; those of an earlier run of the same mosaic are not made again.
        rows: Rows of tiles to make; the others are left to other runs, and the file is not assembled.
    """
    spans = _spans(labels, len(scene), grid)
    order = sorted(spans, key=lambda number: (spans[number][0] // TILE_PX, spans[number][2]))
    if grid.width_px > grid.height_px:
        order = sorted(spans, key=lambda number: (spans[number][2] // TILE_PX, spans[number][0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
        tiles_on_disk = spill or Spill(Path(folder))
        with appearing(path) if rows is None else contextlib.nullcontext(None) as temporary:
            finished = frozenset(key[1:] for key in tiles_on_disk.places if key[0] == 0)
            tiles = _Tiles([spans[number] for number in order], finished, rows)
            where, size = (crs, grid.left, grid.top, grid.gsd_m), (grid.width_px, grid.height_px)
            order = [number for number in order if tiles.wants(spans[number])]
            with CogWriter(temporary, tiles_on_disk, size, where, tiles.expected) as target:
                pieces = _pieces(order, scene, tones, surface, grid, labels, spans, workers, tiles.rows_of)
                for done, piece in enumerate(pieces, start=1):
                    tiles.add(spans[order[done - 1]], piece, target)
                    progress(done, len(order), "mosaic")
        if spill is None:
            tiles_on_disk.close()


def _spans(labels: Labels, count: int, grid: Grid) -> dict[int, Span]:
    """Rows and columns (top, bottom, left, right) that each view contributes to, the feather included."""
    from scipy.ndimage import find_objects

    spans: dict[int, Span] = {}
    reach = FEATHER_CELLS + 1
    for number, found in enumerate(find_objects(labels.view + 1, max_label=count)):
        if found is None:
            continue
        rows, columns = found
        spans[number] = (
            max(0, (rows.start - reach) * labels.cell_px),
            min(grid.height_px, (rows.stop + reach) * labels.cell_px),
            max(0, (columns.start - reach) * labels.cell_px),
            min(grid.width_px, (columns.stop + reach) * labels.cell_px),
        )
    return spans


def _pieces(
    order: Sequence[int],
    scene: Sequence[View],
    tones: Sequence[Tone],
    surface: HeightGrid,
    grid: Grid,
    labels: Labels,
    spans: dict[int, Span],
    workers: int,
    rows_of: Callable[[Span], Collection[int]],
) -> Iterator[dict[int, _Piece]]:
    """Warped pieces in order, a few ahead of need: of every view one a row of tiles, by the row's number."""

    def warp(number: int) -> dict[int, _Piece]:
        span = spans[number]
        return _warp(scene[number], tones[number], surface, grid, labels, number, span, rows_of(span))

    waiting: deque[Future[dict[int, _Piece]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number in order:
            waiting.append(pool.submit(warp, number))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _warp(
    view: View,
    tone: Tone,
    surface: HeightGrid,
    grid: Grid,
    labels: Labels,
    number: int,
    span: Span,
    rows: Collection[int],
) -> dict[int, _Piece]:
    """A view's pieces of some rows of tiles, by row."""
    top, bottom, left, right = span
    image = decode(view.path.read_bytes())
    pieces = {}
    # A row of tiles at a time: an oblique frame may span half the map, and its coordinates weigh ten times its pixels.
    for row in sorted(rows):
        strip = (max(top, row * TILE_PX), min(bottom, (row + 1) * TILE_PX), left, right)
        piece = _warp_strip(image, view, tone, surface, grid, _weights(labels, number, strip), strip)
        if piece is not None:
            pieces[row] = piece
    return pieces


def _warp_strip(
    image: NDArray[np.uint8],
    view: View,
    tone: Tone,
    surface: HeightGrid,
    grid: Grid,
    weight: NDArray[np.float32],
    span: Span,
) -> _Piece | None:
    """A part of a view's span; None where it says nothing."""
    top, bottom, left, right = span
    speaks = np.flatnonzero(weight.any(axis=0))
    if not len(speaks):
        return None
    # Only the columns that are spoken of.
    first, last = int(speaks[0]), int(speaks[-1]) + 1
    left, right, weight = left + first, left + last, np.ascontiguousarray(weight[:, first:last])
    columns, rows = _source_map(view, surface, grid, (top, bottom, left, right))
    # Only the part that is looked at is handed to the warp: remap addresses at most 32767 pixels, and cache is short.
    u0, v0 = max(0, int(np.nanmin(columns)) - 2), max(0, int(np.nanmin(rows)) - 2)
    u1, v1 = int(np.nanmax(columns)) + 3, int(np.nanmax(rows)) + 3
    part = image[v0 : max(v0, v1), u0 : max(u0, u1)]
    if part.size == 0:
        return None
    size = (right - left, bottom - top)
    map_u, map_v = _fine(columns - u0, size), _fine(rows - v0, size)
    warped = cv2.remap(part, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    weight *= (map_u >= 0) & (map_v >= 0) & (map_u <= part.shape[1] - 1) & (map_v <= part.shape[0] - 1)
    lift = tone.lift(columns, rows, view.lens)
    planes = [
        np.asarray(cv2.multiply(plane, cv2.multiply(_fine(lift[:, :, band], size), weight), dtype=cv2.CV_8U), np.uint8)
        for band, plane in enumerate(cv2.split(warped)[::-1])
    ]
    return _Piece(top, left, planes, np.asarray(cv2.convertScaleAbs(weight, alpha=255.0), np.uint8))


def _source_map(
    view: View, surface: HeightGrid, grid: Grid, span: Span
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Source pixels of the centres of coarse cells, one cell beyond the span on every side."""
    top, bottom, left, right = span
    x = grid.left + (left + (np.arange(-1, -(-(right - left) // MAP_STEP_PX) + 1) + 0.5) * MAP_STEP_PX) * grid.gsd_m
    y = grid.top - (top + (np.arange(-1, -(-(bottom - top) // MAP_STEP_PX) + 1) + 0.5) * MAP_STEP_PX) * grid.gsd_m
    x, y = np.meshgrid(x, y)
    u, v = view.pixels(x, y, surface.at(x, y).astype(float))
    limit = 4.0 * max(view.lens.width_px, view.lens.height_px)
    u, v = np.nan_to_num(u, nan=-limit), np.nan_to_num(v, nan=-limit)
    return np.clip(u, -limit, limit).astype(np.float32), np.clip(v, -limit, limit).astype(np.float32)


def _fine(coarse: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Coarse cell centres to every pixel; the extra cell on every side is cut off again."""
    whole = cv2.resize(coarse, None, fx=MAP_STEP_PX, fy=MAP_STEP_PX, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(whole[MAP_STEP_PX : MAP_STEP_PX + size[1], MAP_STEP_PX : MAP_STEP_PX + size[0]])


def _weights(labels: Labels, number: int, span: Span) -> NDArray[np.float32]:
    """How much the view speaks at every pixel: its cells, feathered; all views' feathers add up to one."""
    top, bottom, left, right = span
    cell = labels.cell_px
    rows, columns = slice(top // cell, -(-bottom // cell)), slice(left // cell, -(-right // cell))
    own = (labels.view[rows, columns] == number).astype(np.float32)
    size = 2 * FEATHER_CELLS + 1
    soft = cv2.blur(own, (size, size), borderType=cv2.BORDER_REPLICATE)
    fine = cv2.resize(soft, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(
        fine[top - rows.start * cell :, left - columns.start * cell :][: bottom - top, : right - left]
    )


class _Tiles:
    """Tiles that are being summed up; one is handed on and forgotten when its last photograph has come."""

    def __init__(self, spans: Sequence[Span], finished: Collection[Tile], rows: range | None) -> None:
        self._open: dict[Tile, NDArray[np.uint8]] = {}
        self._left: dict[Tile, int] = {}
        for span in spans:
            for tile in self._tiles(span):
                if tile not in finished and (rows is None or tile[0] in rows):
                    self._left[tile] = self._left.get(tile, 0) + 1
        self.expected = tuple(self._left)
        self._wanted = frozenset(self._left)

    def rows_of(self, span: Span) -> set[int]:
        """Rows of tiles that a span still has to add to."""
        return {tile[0] for tile in self._tiles(span) if tile in self._wanted}

    def wants(self, span: Span) -> bool:
        """Whether a span has anything to add."""
        return any(tile in self._left for tile in self._tiles(span))

    @staticmethod
    def _tiles(span: Span) -> Iterator[tuple[int, int]]:
        top, bottom, left, right = span
        for row in range(top // TILE_PX, (bottom - 1) // TILE_PX + 1):
            for column in range(left // TILE_PX, (right - 1) // TILE_PX + 1):
                yield row, column

    def add(self, span: Span, pieces: Mapping[int, _Piece], target: CogWriter) -> None:
        """Adds a view's pieces to their tiles and hands on those that are complete."""
        for row, column in self._tiles(span):
            if (row, column) not in self._wanted:
                continue
            if row in pieces:
                self._sum(row, column, pieces[row])
            self._left[(row, column)] -= 1
            if self._left[(row, column)]:
                continue
            finished = self._open.pop((row, column), None)
            if finished is None:
                target.skip(row, column)
            else:
                target.write(row, column, _settled(finished))

    def _sum(self, row: int, column: int, piece: _Piece) -> None:
        height, width = piece.weight.shape
        y0, y1 = piece.top, piece.top + height
        x0, x1 = max(piece.left, column * TILE_PX), min(piece.left + width, (column + 1) * TILE_PX)
        if x0 >= x1:
            return
        across = slice(x0 - piece.left, x1 - piece.left)
        if not piece.weight[:, across].any():
            return
        tile = self._open.setdefault((row, column), np.zeros((4, TILE_PX, TILE_PX), np.uint8))
        inner = (slice(y0 - row * TILE_PX, y1 - row * TILE_PX), slice(x0 - column * TILE_PX, x1 - column * TILE_PX))
        for band, plane in enumerate([*piece.planes, piece.weight]):
            tile[band][inner] = cv2.add(tile[band][inner], plane[:, across])


def _settled(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sums of weighted colours to colours; the fourth band to a mask of 0 and 255."""
    weight = tile[3]
    valid = weight >= WEIGHT_FLOOR
    part = valid & (weight < WEIGHT_FULL)
    if part.any():
        # At the mosaic's edge the feathers do not add up to one.
        lifted = tile[:3, part] * (255.0 / weight[part])
        tile[:3, part] = np.clip(np.rint(lifted), 0, 255).astype(np.uint8)
    tile[3] = np.where(valid, 255, 0)
    tile[:3, ~valid] = 0
    return tile
