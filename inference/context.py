"""What both families need of a patrol: its metric CRS, its surface, its frames, its day and its size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median

from rasterio.enums import Resampling

from imagery.poses import read_poses
from inference.frames import FrameSet
from inference.heights import Surfaces, open_surfaces
from inference.permits import day_of
from inference.windows import grid_of, on_grid, open_raster

_AREA_GSD_M = 2.0


@dataclass(frozen=True)
class DetectContext:
    """One patrol, open for reading.

    Attributes:
        crs: Metric CRS that all outlines are in.
        area_m2: Ground photographed.
        surfaces: Today's and the earlier day's heights, or None.
        frames: Posed photographs, or None.
        ground_m: Level of the ground to assume where there is no surface, or None.
        day: The local day of the first photograph, or None.
        sigma_m: The mosaic's expected horizontal error as a whole, by its poses; 0 where not said.
    """

    crs: str
    area_m2: float
    surfaces: Surfaces | None
    frames: FrameSet | None
    ground_m: float | None
    day: date | None
    sigma_m: float = 0.0


@contextmanager
def open_context(
    mosaic: Path, dsm: Path | None, baseline_dsm: Path | None, poses: Path | None, frames_dir: Path | None
) -> Iterator[DetectContext]:
    """Opens what there is of a patrol.

    Raises:
        InferenceError: A raster is missing or unreadable.
        ImageryError: The poses are.
    """
    with ExitStack() as stack:
        dataset = stack.enter_context(open_raster(mosaic))
        outline = grid_of(dataset, _AREA_GSD_M)
        with on_grid(dataset, outline, Resampling.nearest) as view:
            area_m2 = float(view.outline().sum()) * _AREA_GSD_M**2
        surfaces = None
        if dsm is not None:
            surfaces = stack.enter_context(open_surfaces(dsm, baseline_dsm, outline.crs))
        frames, ground, day, sigma_m = None, None, None, 0.0
        if poses is not None:
            known = read_poses(poses)
            frames = FrameSet(known, frames_dir, outline.crs)
            day = day_of([f.time_utc for f in known.frames if f.time_utc is not None])
            sigma_m = median([f.sigma_m for f in known.frames]) if known.frames else 0.0
            # Heights above take-off are heights above the ground, near enough to find a place in a frame.
            ground = 0.0 if known.height_reference == "take-off" else None
        yield DetectContext(outline.crs, area_m2, surfaces, frames, ground, day, sigma_m)
