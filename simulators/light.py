"""From painted ground to an orthophoto: slopes to the sun, cast shadows, sky light, a camera's tone curve."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from affine import Affine
from numpy.typing import NDArray

from simulators.painter import Scene
from simulators.raster import Bytes, Floats, Grid, Noise, Tile
from simulators.sun import Sun, sunlit

OWNER_RES_M = 0.25

Part = tuple[int, int, int, int]


@dataclass(frozen=True)
class Ortho:
    """A town seen straight down.

    Attributes:
        rgb: (rows, cols, 3) lit colours.
        dsm: (rows, cols) heights of the surface above sea level, m.
        surface: (rows, cols) class of each pixel, `things.Surface`.
        owner: Index of the building of each pixel at `owner_gsd_m`, 0 none.
        transform: Pixel to easting, northing in the town's UTM zone.
        grid: The same in local metres.
    """

    rgb: Bytes
    dsm: Floats
    surface: Bytes
    owner: NDArray[np.uint16]
    owner_gsd_m: float
    transform: Affine
    grid: Grid


def blocks(grid: Grid) -> Iterator[tuple[int, int, int, int]]:
    """Pixel ranges (row0, row1, col0, col1) of the ground-fixed noise blocks that cover a raster."""
    step = Noise.BLOCK_M
    cols = _edges(grid.x0, grid.cols, grid.gsd_m, step)
    rows = [grid.rows - r for r in _edges(grid.bounds[1], grid.rows, grid.gsd_m, step)][::-1]
    for row0, row1 in itertools.pairwise(rows):
        for col0, col1 in itertools.pairwise(cols):
            yield row0, row1, col0, col1


def _edges(start: float, count: int, gsd_m: float, step: float) -> list[int]:
    first = (np.floor(start / step) + 1) * step
    inner = np.arange(first, start + count * gsd_m, step)
    marks = sorted({0, count, *(round((edge - start) / gsd_m) for edge in inner)})
    return [m for m in marks if 0 <= m <= count]


def _array(folder: Path | None, name: str, shape: tuple[int, ...], kind: type) -> NDArray:
    if folder is None:
        return np.empty(shape, kind)
    folder.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=kind, shape=shape)


def render(
    scene: Scene,
    grid: Grid,
    sun: Sun,
    origin: tuple[float, float],
    folder: Path | None = None,
    processes: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> Ortho:
    """Paints, casts shadows and lights a whole raster, block by block; blocks over processes where in a folder."""
    shape = (grid.rows, grid.cols)
    thin = max(1, round(OWNER_RES_M / grid.gsd_m))
    rgb: Bytes = _array(folder, "rgb", (*shape, 3), np.uint8)
    dsm: Floats = _array(folder, "dsm", shape, np.float32)
    surface: Bytes = _array(folder, "surface", shape, np.uint8)
    owner = _array(folder, "owner", (-(-grid.rows // thin), -(-grid.cols // thin)), np.uint16)
    lit: Bytes = _array(folder, "lit", shape, np.uint8)
    work = _Work(scene, grid, sun, thin, rgb, dsm, surface, owner, lit)
    parts = list(blocks(grid))
    done = 0
    with _runner(work, folder, processes) as run:
        for step in ("paint", "light"):
            if step == "light":
                work.lit[:] = sunlit_by_strips(dsm, grid.gsd_m, sun)
            for _ in run(step, parts):
                done += 1
                if progress:
                    progress(done, 2 * len(parts), "ground")
    transform = Affine(grid.gsd_m, 0, origin[0] + grid.x0, 0, -grid.gsd_m, origin[1] + grid.y_top)
    return Ortho(rgb, dsm, surface, owner, grid.gsd_m * thin, transform, grid)


@dataclass
class _Work:
    """Rasters being made; both steps write their own block only."""

    scene: Scene
    grid: Grid
    sun: Sun
    thin: int
    rgb: Bytes
    dsm: Floats
    surface: Bytes
    owner: NDArray[np.uint16]
    lit: Bytes

    def paint(self, part: Part) -> None:
        row0, row1, col0, col1 = part
        tile = self.scene.paint(self.grid.sub(row0, row1, col0, col1))
        here = np.s_[row0:row1, col0:col1]
        self.rgb[here], self.dsm[here], self.surface[here] = tile.rgb, tile.height, tile.surface
        _thin_owner(self.owner, tile, row0, col0, self.thin)

    def light(self, part: Part) -> None:
        row0, row1, col0, col1 = part
        here = np.s_[row0:row1, col0:col1]
        heights = _with_border(self.dsm, row0, row1, col0, col1)
        self.rgb[here] = shaded(self.rgb[here], heights, self.lit[here], self.grid.gsd_m, self.sun)


_work: _Work | None = None


def _open_work(scene: Scene, grid: Grid, sun: Sun, thin: int, folder: Path) -> None:
    global _work
    cv2.setNumThreads(1)
    names = ("rgb", "dsm", "surface", "owner", "lit")
    _work = _Work(scene, grid, sun, thin, *(np.load(folder / f"{name}.npy", mmap_mode="r+") for name in names))


def _do(job: tuple[str, Part]) -> None:
    assert _work is not None
    getattr(_work, job[0])(job[1])


Runner = Callable[[str, list[Part]], Iterable[None]]


@contextmanager
def _runner(work: _Work, folder: Path | None, processes: int) -> Iterator[Runner]:
    """Runs a step over blocks, here or in worker processes that map the same files."""
    if folder is None or processes <= 1:
        yield lambda step, parts: (getattr(work, step)(part) for part in parts)
        return
    arguments = (work.scene, work.grid, work.sun, work.thin, folder)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_open_work, initargs=arguments) as pool:
        yield lambda step, parts: pool.map(_do, [(step, part) for part in parts], chunksize=4)


def _thin_owner(owner: NDArray[np.uint16], tile: Tile, row0: int, col0: int, thin: int) -> None:
    rows = np.arange(-(-row0 // thin), -(-(row0 + tile.grid.rows) // thin))
    cols = np.arange(-(-col0 // thin), -(-(col0 + tile.grid.cols) // thin))
    rows, cols = rows[rows * thin - row0 < tile.grid.rows], cols[cols * thin - col0 < tile.grid.cols]
    owner[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = tile.owner[np.ix_(rows * thin - row0, cols * thin - col0)]


def sunlit_by_strips(dsm: Floats, gsd_m: float, sun: Sun) -> Bytes:
    """Share of direct sun, 0..255: strips with the reach of the longest shadow around them, so memory is flat."""
    tallest = float(min(45.0, np.max(dsm[::8, ::8]) - np.min(dsm[::8, ::8]) + 1))
    _, _, up = sun.toward
    reach = int(tallest / max(0.08, up) / gsd_m) + 2
    out = np.empty(dsm.shape, np.uint8)
    step = max(512, 2_000_000 * 4 // dsm.shape[1])
    for row0 in range(0, dsm.shape[0], step):
        top, end = max(0, row0 - reach), min(dsm.shape[0], row0 + step + reach)
        lit = sunlit(np.asarray(dsm[top:end]), gsd_m, sun, tallest)
        out[row0 : row0 + step] = (lit[row0 - top : row0 - top + step] * 255).astype(np.uint8)
    return out


def _with_border(dsm: Floats, row0: int, row1: int, col0: int, col1: int) -> Floats:
    top, left = min(1, row0), min(1, col0)
    part = np.asarray(dsm[row0 - top : row1 + 1, col0 - left : col1 + 1])
    bottom, right = (row1 - row0 + 2) - part.shape[0] - (1 - top), (col1 - col0 + 2) - part.shape[1] - (1 - left)
    return cv2.copyMakeBorder(part, 1 - top, bottom, 1 - left, right, cv2.BORDER_REPLICATE)


def shaded(rgb: Bytes, heights: Floats, lit: Bytes, gsd_m: float, sun: Sun) -> Bytes:
    """Lights a block; `heights` has one pixel more on every side. Flat sunlit ground keeps its colour."""
    east, north, up = sun.toward
    dx = _gentler(heights[1:-1, 2:] - heights[1:-1, 1:-1], heights[1:-1, 1:-1] - heights[1:-1, :-2]) / gsd_m
    dy = _gentler(heights[:-2, 1:-1] - heights[1:-1, 1:-1], heights[1:-1, 1:-1] - heights[2:, 1:-1]) / gsd_m
    np.clip(dx, -1.6, 1.6, out=dx)
    np.clip(dy, -1.6, 1.6, out=dy)
    facing = (up - dx * east - dy * north) / np.sqrt(1 + dx * dx + dy * dy) / max(up, 0.2)
    facing = 1 + (np.clip(facing, 0.0, 1.9) - 1) * 0.75
    cloud = sun.cloud
    direct = (lit.astype(np.float32) / 255) * facing
    direct = direct * (1 - cloud) + cloud * (0.55 + 0.45 * facing)
    # In a photograph (display values) full shadow keeps about two fifths of the brightness, bluer than the sun's.
    warm = 1.0 + 0.06 * (1 - up) * (1 - cloud)
    bands = []
    for band, (sky, tint) in enumerate(((0.30, warm), (0.335, 1.0), (0.405, 2 - warm))):
        light = cv2.addWeighted(direct, (1 - sky) * tint, direct, 0.0, sky)
        bands.append(cv2.multiply(np.ascontiguousarray(rgb[..., band]), light, dtype=cv2.CV_8U))
    return cv2.LUT(cv2.merge(bands), TONE)


def _gentler(a: Floats, b: Floats) -> Floats:
    """Of two one-sided slopes the flatter: a wall's edge is no slope."""
    return np.where(np.abs(a) < np.abs(b), a, b)


def _tone() -> Bytes:
    """A camera's contrast: a mild S."""
    x = np.arange(256) / 255
    y = 0.72 * x + 0.28 * (x * x * (3 - 2 * x))
    return np.clip(np.rint(255 * y**0.94), 0, 255).astype(np.uint8)


TONE = _tone()
