"""Develops a card of exposures into JPEG files: pixels show the true place, EXIF and XMP the reported one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from missions.camera import Camera
from simulators.errors import SimulatorError
from simulators.exif import with_metadata
from simulators.exposure import Exposure
from simulators.files import replacing
from simulators.frame import Darkroom, Optics
from simulators.ground import Ground, TownGround
from simulators.town import TownDay

Progress = Callable[[int, int, str], None]

# Ground pixels per photograph pixel: finer ground keeps roofs' edges crisp, and costs its square in painting.
GROUND_SHARE = 0.9
# Beyond the painted edge a frame shows its mirror; from here on it would show nothing else.
FARTHEST_OFF_M = 150.0
Job = tuple[Exposure, Path, int]
_room: Darkroom | None = None


def photograph(
    exposures: Sequence[Exposure],
    ground: Ground | TownDay,
    camera: Camera,
    out_dir: Path,
    *,
    seed: int = 0,
    processes: int = 2,
    quality: int = 92,
    optics: Optics | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Renders every exposure to `out_dir/<file>`.

    Args:
        exposures: From the vehicle; `file` names the photograph.
        ground: A town's day (painted on the first call, kept with the day) or any `Ground`.
        camera: Size and focal length.
        out_dir: Made if need be.
        seed: Of exposure drift and sensor noise.
        processes: Worker processes; 1 renders in this one.
        quality: JPEG quality.
        optics: Lens and sensor; a DJI-like camera when None.
        progress: Called with (done, total, what).

    Returns:
        The files, in the order of `exposures`.

    Raises:
        SimulatorError: Two exposures share a name, or one lies off the ground or below it.
    """
    if not exposures:
        return []
    _check_names(exposures)
    if isinstance(ground, TownDay):
        ground = ground_for(ground, camera, exposures, processes, progress)
    _check_places(exposures, ground)
    out_dir.mkdir(parents=True, exist_ok=True)
    arguments = (ground, camera, optics or Optics.like_dji(), seed)
    jobs = [(exposure, out_dir / exposure.file, quality) for exposure in exposures]
    with _developer(arguments, processes) as run:
        for done, _ in enumerate(run(jobs), start=1):
            if progress:
                progress(done, len(jobs), "photographs")
    return [path for _, path, _ in jobs]


@contextmanager
def _developer(
    arguments: tuple[Ground, Camera, Optics, int], processes: int
) -> Iterator[Callable[[list[Job]], Iterable[Path]]]:
    """Develops jobs in order, here or in worker processes."""
    if processes <= 1:
        room = Darkroom(*arguments)
        yield lambda jobs: (develop(room, *job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_open_room, initargs=arguments) as pool:
        yield lambda jobs: pool.map(_develop_here, jobs, chunksize=4)


def _check_names(exposures: Sequence[Exposure]) -> None:
    seen: set[str] = set()
    for exposure in exposures:
        if exposure.file in seen:
            raise SimulatorError(
                f"two exposures are named {exposure.file}: one folder holds one card; give each card a folder"
            )
        seen.add(exposure.file)


def _check_places(exposures: Sequence[Exposure], ground: Ground) -> None:
    """Refuses positions from which the ground cannot be seen."""
    rows, cols = ground.dsm.shape
    for exposure in exposures:
        col, row, _ = ground.place(exposure.true_lon, exposure.true_lat)
        off_m = ground.gsd_m * max(-col, col - cols, -row, row - rows, 0.0)
        inside = ground.dsm[int(min(max(row, 0), rows - 1)), int(min(max(col, 0), cols - 1))]
        if not off_m < FARTHEST_OFF_M:
            raise SimulatorError(
                f"{exposure.file} lies {off_m:.0f} m off the ground's edge ({exposure.true_lon:.6f},"
                f" {exposure.true_lat:.6f}): photograph the town that was flown, lon before lat"
            )
        if exposure.true_alt_amsl_m < inside + 1.0:
            raise SimulatorError(
                f"{exposure.file} lies at {exposure.true_alt_amsl_m:.1f} m above the sea, the surface there at"
                f" {inside:.1f} m: give altitudes above mean sea level"
            )


def ground_for(
    day: TownDay, camera: Camera, exposures: Sequence[Exposure], processes: int = 1, progress: Progress | None = None
) -> Ground:
    """The day's ground at the resolution that these photographs need; painted once and kept with the day."""
    heights = [e.true_alt_amsl_m - day.town.base_alt_amsl_m for e in exposures]
    finest = camera.gsd_at_m(max(5.0, float(np.percentile(heights, 10))))
    gsd_m = max(0.02, round(finest * GROUND_SHARE, 3))
    return TownGround.of(day, gsd_m, processes=processes, progress=progress)


def _open_room(ground: Ground, camera: Camera, optics: Optics, seed: int) -> None:
    global _room
    cv2.setNumThreads(1)
    _room = Darkroom(ground, camera, optics, seed)


def _develop_here(job: Job) -> Path:
    assert _room is not None
    return develop(_room, *job)


def develop(room: Darkroom, exposure: Exposure, path: Path, quality: int) -> Path:
    """Renders one photograph and writes it with its metadata."""
    image = room.develop(exposure, bgr=True)
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise SimulatorError(
            f"could not encode {path.name} ({image.shape[1]} × {image.shape[0]}): is the disk or memory full?"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(with_metadata(data.tobytes(), exposure, room.camera))
    return path
