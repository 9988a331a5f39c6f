"""The stage: a folder of photographs in; one true orthomosaic, poses, heights and an honest report out."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import cv2

from imagery.account import Clock, account
from imagery.compose import compose
from imagery.errors import ImageryError
from imagery.files import Progress, quiet, write_text
from imagery.heights import write_surface
from imagery.index import list_photos
from imagery.laying import Laid, lay_colours, lay_heights
from imagery.options import DEFAULTS, StitchOptions
from imagery.page import page
from imagery.posing import Posed, pose
from imagery.preview import first_look, write_preview
from imagery.report import MosaicReport
from imagery.seams import write_labels
from imagery.solve import to_poses
from imagery.spill import Spill
from imagery.work import DescriptorStore

__all__ = ["StitchOptions", "mosaic_block", "pose_block", "stitch", "work_folder"]


def stitch(
    frames_dir: Path, out_tif: Path, options: StitchOptions = DEFAULTS, progress: Progress | None = None
) -> MosaicReport:
    """Stitches a folder of photographs.

    Writes `out_tif` (a COG: RGB, mask, averaged overviews, local UTM zone) and beside it `poses.json`, `dsm.tif`,
    `frames.tif` (which photograph shows each place), `mosaic.html` and `mosaic.json`; each appears whole, the mosaic
    first and the report last. `preview.tif` comes within seconds and once more with final poses. A run that was
    killed leaves a work folder that the next one continues from.

    Args:
        frames_dir: Photographs, with or without a subfolder a sortie.
        out_tif: The mosaic.
        options: See `StitchOptions`.
        progress: Called as `progress(done, total, what)`.

    Raises:
        ImageryError: Nothing to stitch, unreadable control, or a baseline that does not match.
    """
    tell, clock = progress or quiet, Clock()
    frames_dir, out_tif = Path(frames_dir), Path(out_tif)
    list_photos(frames_dir)
    work = work_folder(out_tif)
    preview = out_tif.with_name("preview.tif")
    try:
        if first_look(frames_dir, preview, options.captures, options.tz):
            tell(1, 1, "preview")
        clock.done("preview")
        posed, laid = _laid(frames_dir, work, options, tell, clock, preview)
    except ImageryError:
        shutil.rmtree(work, ignore_errors=True)
        preview.unlink(missing_ok=True)
        raise
    spill = Spill(_tiles_folder(work, laid))
    compose(
        out_tif, laid.scene, laid.tones, laid.surface.ground, laid.grid, laid.labels, laid.poses.crs,
        options.processes, tell, spill,
    )  # fmt: skip
    spill.remove()
    clock.done("mosaic")
    report = _written(out_tif, posed, laid, clock)
    shutil.rmtree(work, ignore_errors=True)
    return report


def work_folder(out_tif: Path) -> Path:
    """Where a run keeps what a later one takes up."""
    return out_tif.with_name(f".{out_tif.stem}.work")


def mosaic_block(
    frames_dir: Path, out_tif: Path, block: int, blocks: int, options: StitchOptions, progress: Progress = quiet
) -> int:
    """Makes every `blocks`-th part of a mosaic's tiles, for `stitch` to assemble; returns how many tiles it made.

    Poses, heights and seams are those of the whole: they are taken from the work folder, or computed where no other
    run has been. Blocks may run at once, on one machine or several that share the folder.
    """
    work, clock = work_folder(Path(out_tif)), Clock()
    _, laid = _laid(Path(frames_dir), work, options, progress, clock, None)
    spill = Spill(_tiles_folder(work, laid), f"block-{block}-of-{blocks}")
    before = len(spill.places)
    rows = -(-laid.grid.height_px // 512)
    part = range(rows * block // blocks, rows * (block + 1) // blocks)
    compose(
        Path(out_tif), laid.scene, laid.tones, laid.surface.ground, laid.grid, laid.labels, laid.poses.crs,
        options.processes, progress, spill, part,
    )  # fmt: skip
    made = len(spill.places) - before
    spill.close()
    return made


def pose_block(
    frames_dir: Path, out_tif: Path, block: int, blocks: int, options: StitchOptions, progress: Progress = quiet
) -> int:
    """Poses and heights of the whole, kept for the blocks of the mosaic; block 0 does it. Returns the frames posed."""
    if block:
        return 0
    posed, _ = _laid(Path(frames_dir), work_folder(Path(out_tif)), options, progress, Clock(), None)
    return len(posed.index.photos)


def _laid(
    frames_dir: Path, work: Path, options: StitchOptions, tell: Progress, clock: Clock, preview: Path | None
) -> tuple[Posed, Laid]:
    cv2.setNumThreads(1)
    store = DescriptorStore(work)
    posed = pose(frames_dir, options, store, work, tell, clock)
    poses = to_poses(posed.solution, posed.index)
    ground = lay_heights(posed.solution, poses, frames_dir, options, work, tell)
    if preview is not None:
        write_preview(preview, ground.scene, poses.crs, store.thumb, ground.surface.ground)
    clock.done("heights")
    laid = lay_colours(ground, posed.solution, poses, store)
    clock.done("seams")
    return posed, laid


def _tiles_folder(work: Path, laid: Laid) -> Path:
    return work / f"mosaic-{laid.key}"


def _written(out_tif: Path, posed: Posed, laid: Laid, clock: Clock) -> MosaicReport:
    """Everything beside the mosaic, the report last."""
    crs = laid.poses.crs
    write_text(out_tif.with_name("poses.json"), laid.poses.model_dump_json(indent=1))
    write_surface(out_tif.with_name("dsm.tif"), laid.surface)
    write_labels(out_tif.with_name("frames.tif"), laid.labels, laid.grid, crs)
    residual, steps, whole = laid.colour_residual, laid.colour_smooth, laid.colour_overlap
    report = account(
        posed.index,
        posed.solution,
        laid.scene,
        laid.surface.ground,
        laid.grid.gsd_m,
        laid.labels,
        posed.control,
        posed.checks,
        posed.marks,
        colour_residual=None if residual is None else round(residual, 2),
        colour_smooth=None if steps is None else round(steps, 2),
        colour_overlap=None if whole is None else round(whole.median, 2),
        colour_overlap_p95=None if whole is None else round(whole.p95, 2),
        registration=asdict(posed.registration) if posed.registration else None,
        stages=clock.stages,
    ).model_copy(update={"cpu_s": clock.cpu_s, "wall_s": clock.wall_s})
    write_text(out_tif.with_name("mosaic.html"), page(report, laid.labels, out_tif.name))
    write_text(out_tif.with_name("mosaic.json"), report.model_dump_json(indent=1))
    return report
