"""What the stitcher says of its own work: `mosaic.json`. Owner; people and `api` read it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from imagery.errors import ImageryError
from imagery.poses import Placed

SCHEMA_VERSION: Literal[1] = 1


class SetAside(BaseModel):
    """A file that is not in the mosaic, and why."""

    model_config = ConfigDict(frozen=True)

    file: str
    why: str


class CameraPlace(BaseModel):
    """Ground point (WGS84) at the image centre of a frame."""

    model_config = ConfigDict(frozen=True)

    file: str
    lon: float
    lat: float
    placed: Placed


class MosaicReport(BaseModel):
    """`mosaic.json`: lengths in metres, residuals in full-scale pixels, `tie_rms_px` on ties withheld from the fit."""

    model_config = ConfigDict(frozen=True, extra="allow")

    schema_version: Literal[1] = SCHEMA_VERSION
    frames_total: int
    frames_matched: int
    frames_placed: int
    frames_set_aside: tuple[SetAside, ...] = ()
    gsd_m: float
    tie_rms_px: float | None
    gps_rms_m: float | None
    gcp_rms_m: float | None = None
    check_rms_m: float | None = None
    cpu_s: float
    wall_s: float
    peak_mb: float
    cameras: tuple[CameraPlace, ...] = ()


def read_report(path: Path) -> MosaicReport:
    """Reads `mosaic.json`.

    Raises:
        ImageryError: Missing, or not of this schema.
    """
    if not path.is_file():
        raise ImageryError(f"no mosaic report at {path}: stitch the patrol first")
    try:
        return MosaicReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ImageryError(
            f"{path} is not a mosaic report: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error
