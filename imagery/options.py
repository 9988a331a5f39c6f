"""What may be chosen of a stitch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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


DEFAULTS = StitchOptions()
