"""From a folder to poses that will not change any more: features, ties, baseline and control, each on its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imagery.account import Clock
from imagery.baseline import (
    MIN_MATCHES,
    SEARCH_M,
    Registration,
    baseline_crs,
    judge_registration,
    mosaic_of,
    read_baseline,
    shift_onto,
    tie_to_baseline,
    ties_of_patches,
)
from imagery.claims import leads_nowhere, refuse_contradiction, refuse_misplaced, scaled_by_height, strays
from imagery.doubts import Marks, refuse_nonsense
from imagery.errors import ImageryError
from imagery.files import Progress
from imagery.gcp import SURVEY_SIGMA_M, Mark, errors_at, known_points, pixel_scale, read_marks, rms_m, scaled, to_earth
from imagery.index import Index, read_index, without
from imagery.laying import ground_under
from imagery.marks import believe, precision_m
from imagery.neighbours import connected
from imagery.options import StitchOptions
from imagery.patches import all_patch_ties
from imagery.poses import read_poses
from imagery.scene import native_gsd_m, union_bounds, views
from imagery.solve import Solution, shifted, solve, solve_again, to_poses
from imagery.work import DescriptorStore, PairStore


@dataclass(frozen=True)
class Posed:
    """Final poses, and what came of baseline and control (marks in pixels of the files)."""

    index: Index
    solution: Solution
    registration: Registration | None
    control: Sequence[Mark]
    checks: Sequence[Mark]
    marks: Marks


def pose(
    frames_dir: Path, options: StitchOptions, store: DescriptorStore, work: Path, progress: Progress, clock: Clock
) -> Posed:
    """All poses of a folder; what an earlier run left in `work` is taken up.

    Raises:
        ImageryError: Nothing that can be used, unreadable control, or photographs, control or a baseline that do not
            fit together.
    """
    control = read_marks(options.gcp) if options.gcp else []
    checks = read_marks(options.check) if options.check else []
    baseline = mosaic_of(options.baseline) if options.baseline else None
    crs = baseline_crs(baseline) if baseline else None
    index = read_index(frames_dir, store, options.captures, options.tz, options.processes, progress)
    clock.done("features")
    index, solution = _posed(index, store, work, options.processes, progress, crs)
    refuse_nonsense(index, solution, bool(control))
    if not control:
        refuse_contradiction(solution)
    clock.done("poses")
    registration: Registration | None = None
    if baseline:
        progress(0, 1, "baseline")
        solution, registration = _onto(baseline, solution, index, store, frames_dir)
        clock.done("baseline")
    size = pixel_scale(control or checks, solution, index) if control or checks else 1.0
    control, checks = scaled(control, size), scaled(checks, size)
    believed = believe(control, solution, index) if control else None
    precision = precision_m(believed.marks, solution, index) if believed else None
    solution = _controlled(solution, index, believed.marks if believed else ())
    marks = Marks(size, believed.left_out if believed else (), precision)
    # What was not believed is named apart: a sighting on the wrong photograph made an RMS of 308 m of one of 2 m.
    return Posed(index, solution, registration, believed.marks if believed else control, checks, marks)


def _posed(
    index: Index, store: DescriptorStore, work: Path, workers: int, progress: Progress, crs: str | None
) -> tuple[Index, Solution]:
    """Poses of all frames; those that have no place in the block, and none on Earth to believe, are set aside."""
    kept = PairStore(work, [photo.id for photo in index.photos])
    solution = scaled_by_height(index, solve(index, store, workers, progress, crs, kept, work))
    if leads_nowhere(solution):
        refuse_misplaced(solution, _blind(index, store, workers, progress, kept))
    lost = _placeless(index, solution) if solution.setting.frame.is_local else strays(index, solution)
    if not lost or len(lost) == len(index.photos):
        return index, solution
    smaller = without(index, lost)
    store.bind([photo.id for photo in smaller.photos])
    kept = PairStore(work, [photo.id for photo in smaller.photos])
    return smaller, scaled_by_height(smaller, solve(smaller, store, workers, progress, crs, kept, work))


def _blind(index: Index, store: DescriptorStore, workers: int, progress: Progress, kept: PairStore) -> Solution | None:
    """The block as it would be had nobody told a position; None where nothing matches even so."""
    unplaced = replace(index, photos=tuple(replace(photo, lon=None, lat=None) for photo in index.photos))
    try:
        return solve(unplaced, store, workers, progress, None, kept)
    except ImageryError:
        return None


def _placeless(index: Index, solution: Solution) -> dict[int, str]:
    """Without positions: frames off the main block, and why they have no place."""
    block = connected(len(index.photos), [match.pair for match in solution.matches])
    return {
        number: "no position, and it matches no other photograph"
        if how != "matched"
        else "no position, and it matches only photographs that do not match the main block"
        for number, how in enumerate(solution.placed)
        if how != "matched" or block[number] != 0
    }


def _onto(
    path: Path, solution: Solution, index: Index, store: DescriptorStore, frames_dir: Path
) -> tuple[Solution, Registration]:
    """The solution in the baseline's frame."""
    poses = to_poses(solution, index)
    ground = ground_under(solution, poses, frames_dir)
    scene = views(poses, frames_dir, ground)
    west, south, east, north = union_bounds([view.bounds for view in scene])
    gsd_m = native_gsd_m(scene, ground)
    reduced = float(np.median([points.sigma_px for points in index.keypoints]))
    around = (west - SEARCH_M, south - SEARCH_M, east + SEARCH_M, north + SEARCH_M)
    earlier = read_baseline(path, poses.crs, gsd_m * reduced, around)
    ties = tie_to_baseline(solution, index, store, earlier, ground)
    beside = path.with_name("poses.json")
    lenses = read_poses(beside).lenses if beside.is_file() else {}
    moved = solve_again(shift_onto(solution, ties, ground, index), index, [ties.fit], lenses)
    poses = to_poses(moved, index)
    ground = ground_under(moved, poses, frames_dir)
    matched = [how == "matched" for how in moved.placed]
    pixel_m = max(gsd_m, earlier.gsd_m)
    found = all_patch_ties(views(poses, frames_dir, ground), matched, path, poses.crs, pixel_m, ground)
    if sum(len(patches.xy) for _, patches in found) >= MIN_MATCHES:
        ties = ties_of_patches(found, ground, pixel_m, moved.setting.origin)
        moved = solve_again(moved, index, [ties.fit], lenses)
        ground = ground_under(moved, to_poses(moved, index), frames_dir)
    return moved, judge_registration(solution, moved, ties, ground, index, gsd_m)


def _near(solution: Solution, control: Sequence[Mark], index: Index) -> Solution:
    """The solution shifted to where most of its control is: what is left for the adjustment is pixels, not metres."""
    found = errors_at(solution, control, index)
    if not found:
        return solution
    up = [error.up_m for error in found if error.up_m is not None]
    east, north = (np.median([getattr(error, axis) for error in found]) for axis in ("east_m", "north_m"))
    return shifted(solution, -np.array([east, north, np.median(up) if up else 0.0]))


def _controlled(solution: Solution, index: Index, control: Sequence[Mark]) -> Solution:
    """The solution pulled to its ground control."""
    if not control:
        return solution
    solution = (
        to_earth(solution, control, index) if solution.setting.frame.is_local else _near(solution, control, index)
    )
    moved = solve_again(solution, index, [known_points(control, solution, index)])
    # Control that is read from a map is metres off, and says so by not fitting: then it is trusted as far as it fits.
    misfit = rms_m(errors_at(moved, control, index)) or 0.0
    if misfit > 3.0 * SURVEY_SIGMA_M and len(control) > 3:
        moved = solve_again(solution, index, [known_points(control, solution, index, misfit)])
    return moved
