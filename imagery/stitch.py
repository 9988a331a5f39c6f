"""The stage: a folder of photographs in; one true orthomosaic, poses, heights and an honest report out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from imagery.account import Clock, account
from imagery.baseline import (
    SEARCH_M,
    Registration,
    baseline_crs,
    judge_registration,
    mosaic_of,
    read_baseline,
    tie_to_baseline,
)
from imagery.colour import difference, even_out
from imagery.compose import compose
from imagery.dense import DEFAULT_TALLEST_M, dense_dsm
from imagery.errors import ImageryError
from imagery.files import Progress, quiet, write_text
from imagery.gcp import SURVEY_SIGMA_M, Mark, errors_at, known_points, pixel_scale, read_marks, rms_m, scaled, to_earth
from imagery.heights import Surface, coarse, from_dense, write_surface
from imagery.index import Index, list_photos, read_index
from imagery.overlaps import sample_overlaps
from imagery.page import page
from imagery.poses import Poses, read_poses
from imagery.report import MosaicReport
from imagery.scene import View, native_gsd_m, union_bounds, views
from imagery.seams import Grid, evened, grid_over, label, write_labels
from imagery.solve import Solution, solve, solve_again, to_poses
from imagery.surface import HeightGrid, ground_from_points
from imagery.work import DescriptorStore, PairStore

# The coarse ground has a node per this share of a footprint: wider than a house, finer than a hill.
GROUND_NODES_A_FOOTPRINT = 14
# Beyond this a mosaic is a mistake (a wrong position, a wrong height), not a map.
MAX_PIXELS = 40_000_000_000


@dataclass(frozen=True)
class StitchOptions:
    """What may be chosen.

    Attributes:
        gcp: Ground control, as OpenDroneMap's `gcp_list.txt`.
        check: Control of the same form that is only compared, never used.
        baseline: An earlier `mosaic.tif` to register onto; `poses.json` and `dsm.tif` beside it are used.
        captures: Capture logs, MRK or position CSV; those beside the frames are found as well.
        tz: Zone of EXIF times without offset.
        processes: Worker threads.
        gsd_m: Pixel size of the mosaic; the photographs' own by default.
        dense: Whether `dsm.tif` is dense (buildings) or the coarse ground.
    """

    gcp: Path | None = None
    check: Path | None = None
    baseline: Path | None = None
    captures: tuple[Path, ...] = field(default=())
    tz: str = "Asia/Shanghai"
    processes: int = 2
    gsd_m: float | None = None
    dense: bool = False


def stitch(
    frames_dir: Path, out_tif: Path, options: StitchOptions = StitchOptions(), progress: Progress | None = None
) -> MosaicReport:
    """Stitches a folder of photographs.

    Writes `out_tif` (a COG: RGB, mask, averaged overviews, local UTM zone) and beside it `poses.json`, `dsm.tif`,
    `frames.tif` (which photograph shows each place), `mosaic.html` and `mosaic.json`; each appears whole, the mosaic
    first and the report last. A run that was killed leaves a work folder that the next one continues from.

    Args:
        frames_dir: Photographs, with or without a subfolder a sortie.
        out_tif: The mosaic.
        options: See `StitchOptions`.
        progress: Called as `progress(done, total, what)`.

    Raises:
        ImageryError: Nothing to stitch, unreadable control, or a baseline that does not match.
    """
    tell, clock = progress or quiet, Clock()
    cv2.setNumThreads(1)
    frames_dir, out_tif = Path(frames_dir), Path(out_tif)
    control = read_marks(options.gcp) if options.gcp else []
    checks = read_marks(options.check) if options.check else []
    baseline = mosaic_of(options.baseline) if options.baseline else None
    crs = baseline_crs(baseline) if baseline else None
    list_photos(frames_dir)
    work = out_tif.with_name(f".{out_tif.stem}.work")
    store = DescriptorStore(work)
    try:
        index = read_index(frames_dir, store, options.captures, options.tz, options.processes, tell)
    except ImageryError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    clock.done("features")
    kept = PairStore(work, [photo.id for photo in index.photos])
    solution = solve(index, store, options.processes, tell, crs, kept)
    clock.done("poses")
    registration: Registration | None = None
    if baseline:
        tell(0, 1, "baseline")
        solution, registration = _onto(baseline, solution, index, store, frames_dir)
        clock.done("baseline")
    size = pixel_scale(control or checks, solution, index) if control or checks else 1.0
    control, checks = scaled(control, size), scaled(checks, size)
    solution = _controlled(solution, index, control)
    poses = to_poses(solution, index)
    ground = _ground(solution, poses, frames_dir)
    scene = views(poses, frames_dir, ground)
    own_gsd_m = native_gsd_m(scene, ground)
    grid = _grid(scene, options.gsd_m or own_gsd_m)
    surface = _surface(solution, poses, scene, ground, own_gsd_m, options, tell)
    clock.done("heights")
    lenses = [poses.lenses[key] for key in solution.setting.lens_keys]
    overlaps = sample_overlaps(solution.ties, scene, store.thumb)
    tones = even_out(overlaps, solution.setting.lens_of, lenses, len(scene))
    held = sample_overlaps(solution.held, scene, store.thumb)
    colour_residual = difference(held, tones, [view.lens for view in scene])
    labels = label(
        scene,
        surface.ground,
        grid,
        lambda number: evened(store.thumb(number), tones[number], scene[number]),
        surface.above_ground if surface.dense else None,
    )
    compose(out_tif, scene, tones, surface.ground, grid, labels, poses.crs, options.processes, tell)
    clock.done("mosaic")
    write_text(out_tif.with_name("poses.json"), poses.model_dump_json(indent=1))
    write_surface(out_tif.with_name("dsm.tif"), surface)
    write_labels(out_tif.with_name("frames.tif"), labels, grid, poses.crs)
    report = account(
        index,
        solution,
        scene,
        surface.ground,
        grid.gsd_m,
        labels,
        control,
        checks,
        colour_residual=None if colour_residual is None else round(colour_residual, 2),
        registration=asdict(registration) if registration else None,
        stages=clock.stages,
        mark_pixel_scale=round(size, 4),
    ).model_copy(update={"cpu_s": clock.cpu_s, "wall_s": clock.wall_s})
    write_text(out_tif.with_name("mosaic.html"), page(report, labels, out_tif.name))
    write_text(out_tif.with_name("mosaic.json"), report.model_dump_json(indent=1))
    shutil.rmtree(work, ignore_errors=True)
    return report


def _onto(
    path: Path, solution: Solution, index: Index, store: DescriptorStore, frames_dir: Path
) -> tuple[Solution, Registration]:
    """The solution in the baseline's frame."""
    poses = to_poses(solution, index)
    ground = _ground(solution, poses, frames_dir)
    scene = views(poses, frames_dir, ground)
    west, south, east, north = union_bounds([view.bounds for view in scene])
    gsd_m = native_gsd_m(scene, ground)
    reduced = float(np.median([points.sigma_px for points in index.keypoints]))
    around = (west - SEARCH_M, south - SEARCH_M, east + SEARCH_M, north + SEARCH_M)
    earlier = read_baseline(path, poses.crs, gsd_m * reduced, around)
    ties = tie_to_baseline(solution, index, store, earlier, ground)
    beside = path.with_name("poses.json")
    lenses = read_poses(beside).lenses if beside.is_file() else {}
    moved = solve_again(solution, index, [ties.fit], lenses)
    ground = _ground(moved, to_poses(moved, index), frames_dir)
    return moved, judge_registration(solution, moved, ties, ground, index, gsd_m)


def _controlled(solution: Solution, index: Index, control: Sequence[Mark]) -> Solution:
    """The solution pulled to its ground control."""
    if not control:
        return solution
    if solution.setting.frame.is_local:
        solution = to_earth(solution, control, index)
    moved = solve_again(solution, index, [known_points(control, solution, index)])
    # Control that is read from a map is metres off, and says so by not fitting: then it is trusted as far as it fits.
    misfit = rms_m(errors_at(moved, control, index)) or 0.0
    if misfit > 3.0 * SURVEY_SIGMA_M and len(control) > 3:
        moved = solve_again(solution, index, [known_points(control, solution, index, misfit)])
    return moved


def _ground(solution: Solution, poses: Poses, frames_dir: Path) -> HeightGrid:
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
    progress: Progress,
) -> Surface:
    """The dense surface where asked for, the coarse ground else."""
    if not options.dense:
        return coarse(ground, poses.crs, poses.height_reference)
    points = solution.state.X + solution.setting.origin
    above = points[:, 2] - ground.at(points[:, 0], points[:, 1]) if len(points) else np.zeros(1)
    tallest_m = max(DEFAULT_TALLEST_M, float(np.percentile(above, 99.5)) + 10.0)
    bounds = union_bounds([view.bounds for view in scene])
    dense = dense_dsm(scene, ground, gsd_m, bounds, tallest_m, options.processes, progress)
    return from_dense(dense, ground, poses.crs, poses.height_reference)


def _grid(scene: list[View], gsd_m: float) -> Grid:
    grid = grid_over(union_bounds([view.bounds for view in scene]), gsd_m)
    if grid.width_px * grid.height_px > MAX_PIXELS:
        raise ImageryError(
            f"the photographs' positions span {grid.width_px * gsd_m / 1000:.0f} km x "
            f"{grid.height_px * gsd_m / 1000:.0f} km at {gsd_m * 100:.1f} cm: a wrong position or height?"
        )
    return grid
