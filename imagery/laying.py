"""From poses to what is laid where: ground, heights, colours, seams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagery.checkpoint import key_of
from imagery.colour import Tone, difference, even_out, smooth_difference
from imagery.dense import DEFAULT_TALLEST_M, dense_dsm
from imagery.errors import ImageryError
from imagery.files import Progress
from imagery.heights import Surface, coarse, from_dense
from imagery.options import StitchOptions
from imagery.overlaps import MOST_SAMPLES, sample_ground, sample_overlaps
from imagery.pairwise import OverlapColours, overlap_colours
from imagery.poses import Poses
from imagery.scene import View, native_gsd_m, union_bounds, views
from imagery.seams import Grid, Labels, evened, grid_over, label
from imagery.solve import Solution
from imagery.surface import HeightGrid, ground_from_points
from imagery.work import DescriptorStore

# The coarse ground has a node per this share of a footprint: wider than a house, finer than a hill.
GROUND_NODES_A_FOOTPRINT = 14
# Beyond this a mosaic is a mistake (a wrong position, a wrong height), not a map.
MAX_PIXELS = 40_000_000_000


@dataclass(frozen=True)
class Laid:
    """All that a mosaic is made of; `key` names what follows from it."""

    poses: Poses
    scene: list[View]
    grid: Grid
    surface: Surface
    tones: list[Tone]
    labels: Labels
    colour_residual: float | None
    colour_smooth: float | None
    colour_overlap: OverlapColours | None
    key: str


@dataclass(frozen=True)
class Ground:
    """Views over their heights."""

    scene: list[View]
    grid: Grid
    surface: Surface


def lay_heights(
    solution: Solution, poses: Poses, frames_dir: Path, options: StitchOptions, work: Path, progress: Progress
) -> Ground:
    """The views, the raster that covers them, and the surface beneath.

    Raises:
        ImageryError: The frames' places span more than any map.
    """
    ground = ground_under(solution, poses, frames_dir)
    scene = views(poses, frames_dir, ground)
    own_gsd_m = native_gsd_m(scene, ground)
    grid = _grid(scene, options.gsd_m or own_gsd_m)
    return Ground(scene, grid, _surface(solution, poses, scene, ground, own_gsd_m, options, work, progress))


def lay_colours(ground: Ground, solution: Solution, poses: Poses, store: DescriptorStore) -> Laid:
    """Tones and seams."""
    scene, surface, grid = ground.scene, ground.surface, ground.grid
    lenses = [poses.lenses[key] for key in solution.setting.lens_keys]
    fit = sample_overlaps(solution.ties, scene, store.thumb).thinned(MOST_SAMPLES)
    fit = fit.joined(sample_ground(scene, store.thumb, surface.ground))
    tones = even_out(fit, solution.setting.lens_of, lenses, len(scene))
    held = sample_overlaps(solution.held, scene, store.thumb)
    lens_of_frame = [view.lens for view in scene]
    residual, steps = difference(held, tones, lens_of_frame), smooth_difference(held, tones, lens_of_frame)
    whole = overlap_colours(scene, tones, store.thumb, surface.ground)
    labels = label(
        scene,
        surface.ground,
        grid,
        lambda number: evened(store.thumb(number), tones[number], scene[number]),
        surface.above_ground if surface.dense else None,
    )
    fields = [tone.field for tone in tones if tone.field is not None]
    plain = repr([(tone.gain, tone.fall) for tone in tones]) + repr(grid)
    key = key_of(poses.model_dump_json(), plain, *fields, labels.view, surface.ground.z)
    return Laid(poses, scene, grid, surface, tones, labels, residual, steps, whole, key)


def ground_under(solution: Solution, poses: Poses, frames_dir: Path) -> HeightGrid:
    """The coarse ground under all footprints."""
    origin = solution.setting.origin
    points = solution.state.X + origin
    level = solution.ground_z + float(origin[2])
    flat = HeightGrid(0.0, 0.0, 1e6, np.full((1, 1), level, np.float32))
    scene = views(poses, frames_dir, flat)
    west, south, east, north = union_bounds([view.bounds for view in scene])
    footprint_m = float(np.median([min(v.bounds[2] - v.bounds[0], v.bounds[3] - v.bounds[1]) for v in scene]))
    cell_m = max(footprint_m / GROUND_NODES_A_FOOTPRINT, (east - west) / 4000, (north - south) / 4000, 0.05)
    if not len(points):
        return HeightGrid(west, north, cell_m, np.full((2, 2), level, np.float32))
    return ground_from_points(points, (west, south, east, north), cell_m)


def _surface(
    solution: Solution,
    poses: Poses,
    scene: list[View],
    ground: HeightGrid,
    gsd_m: float,
    options: StitchOptions,
    work: Path,
    progress: Progress,
) -> Surface:
    """The dense surface where asked for, the coarse ground else."""
    if not options.dense:
        return coarse(ground, poses.crs, poses.height_reference)
    points = solution.state.X + solution.setting.origin
    above = points[:, 2] - ground.at(points[:, 0], points[:, 1]) if len(points) else np.zeros(1)
    tallest_m = max(DEFAULT_TALLEST_M, float(np.percentile(above, 99.5)) + 10.0)
    bounds = union_bounds([view.bounds for view in scene])
    dense = dense_dsm(scene, ground, gsd_m, bounds, tallest_m, options.processes, progress, work / "heights")
    return from_dense(dense, ground, poses.crs, poses.height_reference)


def _grid(scene: list[View], gsd_m: float) -> Grid:
    grid = grid_over(union_bounds([view.bounds for view in scene]), gsd_m)
    if grid.width_px * grid.height_px > MAX_PIXELS:
        raise ImageryError(
            f"the photographs' positions span {grid.width_px * gsd_m / 1000:.0f} km x "
            f"{grid.height_px * gsd_m / 1000:.0f} km at {gsd_m * 100:.1f} cm: two places on one card, or a "
            "wrong position; stitch each place by itself"
        )
    return grid
