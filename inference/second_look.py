"""Look again: each proposal in the single frames that show it best, laid on the ground grid through pose and height.

The mosaic shows one moment of each place and may cut a thing at a seam; frames are other moments from other sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from inference import change, waste
from inference.engine import Model
from inference.frames import FrameSet, Look, frame_gsd_m, ground_chip, read_photo
from inference.heights import Surfaces
from inference.proposals import Field
from inference.registration import Shift, moved, register
from inference.windows import Grid, Mask, Rgb, Tile, View, read_rgb

# Frames looked at a second time for each proposal: more frames of one flight add little that is independent.
LOOKS = 3
_LEAST_PX, _MOST_PX, _MARGIN_PX = 128, 512, 48
# Judge a chip: its own window, colours and where it was seen -> probability map at half scale.
Judge = Callable[[Tile, Rgb, Mask], Field | None]


@dataclass(frozen=True)
class _Job:
    index: int
    look: Look
    tile: Tile
    ground: float


def window_around(polygon: BaseGeometry, grid: Grid) -> Tile:
    """A square window of the grid around an outline, its side a multiple of 32."""
    west, south, east, north = polygon.bounds
    need = max(east - west, north - south) / grid.gsd_m + 2 * _MARGIN_PX
    side = int(np.clip(32 * np.ceil(need / 32), _LEAST_PX, _MOST_PX))
    col = int(((west + east) / 2 - grid.left) / grid.gsd_m) - side // 2
    row = int((grid.top - (south + north) / 2) / grid.gsd_m) - side // 2
    return Tile(col, row, side, 0)


def _points(tile: Tile, grid: Grid, frames: FrameSet, surfaces: Surfaces | None, ground: float) -> NDArray[np.float64]:
    cols, rows = np.meshgrid(np.arange(tile.size) + tile.col + 0.5, np.arange(tile.size) + tile.row + 0.5)
    x, y = grid.left + cols * grid.gsd_m, grid.top - rows * grid.gsd_m
    z = np.full(x.shape, ground)
    if surfaces is not None:
        level = surfaces.level(x, y)
        z = np.where(np.isfinite(level), level, ground)
    xy = frames.to_poses(np.column_stack([x.ravel(), y.ravel()]))
    return np.dstack([xy[:, 0].reshape(x.shape), xy[:, 1].reshape(x.shape), z])


def _score(field: Field, polygon: BaseGeometry, tile: Tile, grid: Grid) -> float:
    at = grid.at(tile.col, tile.row) @ Affine.scale(2)
    inside = rasterize([polygon.buffer(grid.gsd_m)], out_shape=field.shape, transform=at, all_touched=True) > 0
    values = np.sort(field[inside])
    return float(values[len(values) // 2 :].mean()) if values.size else 0.0


def look_again(
    polygons: Sequence[BaseGeometry],
    looks: Sequence[Sequence[Look]],
    grounds: Sequence[float | None],
    grid: Grid,
    frames: FrameSet,
    surfaces: Surfaces | None,
    judge: Judge,
) -> list[list[tuple[Look, float]]]:
    """Judges each outline in its best frames.

    Args:
        polygons: Outlines in the grid's CRS.
        looks: For each, the frames that show it, best first.
        grounds: For each, the level of the ground.
        grid: The model's grid.
        frames: Where the photographs are.
        surfaces: Today's surface in the grid's CRS; flat ground is assumed without.
        judge: Runs the network on a chip; None when it cannot be judged.

    Returns:
        For each outline, the frames looked at and the probability in each.
    """
    by_file: dict[str, list[_Job]] = {}
    for index, polygon in enumerate(polygons):
        ground = grounds[index]
        if ground is None:
            continue
        tile = window_around(polygon, grid)
        for look in looks[index][:LOOKS]:
            by_file.setdefault(look.pose.file, []).append(_Job(index, look, tile, ground))
    points: dict[int, NDArray[np.float64]] = {}
    found: list[list[tuple[Look, float]]] = [[] for _ in polygons]
    for jobs in by_file.values():
        pose, lens = jobs[0].look.pose, jobs[0].look.lens
        path = frames.path(pose)
        shrink = int(grid.gsd_m / frame_gsd_m(lens, pose, jobs[0].ground))
        photo = read_photo(path, shrink) if path else None
        if photo is None:
            continue
        for job in jobs:
            if job.index not in points:
                points[job.index] = _points(job.tile, grid, frames, surfaces, job.ground)
            chip, seen = ground_chip(photo[0], photo[1], lens, pose, points[job.index])
            field = judge(job.tile, chip, seen)
            if field is not None:
                found[job.index].append((job.look, _score(field, polygons[job.index], job.tile, grid)))
    return found


def scores_on(
    polygons: Sequence[BaseGeometry], grid: Grid, mosaic: View, shift: Shift, judge: Judge
) -> list[float | None]:
    """What the network says of the same places on another mosaic; None where it shows nothing.

    Args:
        polygons: Outlines in the grid's CRS.
        grid: The model's grid.
        mosaic: The other day's mosaic on that grid.
        shift: From the other day to this one, in grid pixels.
        judge: Runs the network on a chip.
    """
    out: list[float | None] = []
    for polygon in polygons:
        tile = window_around(polygon, grid)
        chip, valid = read_rgb(mosaic, tile)
        chip = moved(chip, shift.dx_px, shift.dy_px)
        field = judge(tile, chip, valid) if valid.mean() > 0.5 else None
        out.append(None if field is None else _score(field, polygon, tile, grid))
    return out


def waste_judge(model: Model) -> Judge:
    """Judges chips by the waste network's shapes: texture is the same in every frame, and on the earlier day, too."""

    def judge(_tile: Tile, chip: Rgb, seen: Mask) -> Field | None:
        return waste.probabilities(model, chip, seen).shape

    return judge


def change_judge(model: Model, before: View, shift: Shift) -> Judge:
    """Judges chips against the earlier mosaic.

    Args:
        model: The change model.
        before: The earlier mosaic on the model's grid.
        shift: The whole-mosaic shift, in grid pixels.
    """

    def judge(tile: Tile, chip: Rgb, seen: Mask) -> Field | None:
        then, valid = read_rgb(before, tile)
        then = moved(then, shift.dx_px, shift.dy_px)
        valid = moved(valid.astype(np.uint8), shift.dx_px, shift.dy_px, nearest=True) > 0
        # A chip may be mostly new roof: where it does not register, the mosaic's own shift has to do.
        local = register(then, valid, chip, seen)
        if local.why is None:
            then = moved(then, local.dx_px, local.dy_px)
        return change.probabilities(model, then, chip, valid & seen)[0]

    return judge
