"""Where every frame was, after adjustment. Owner of `poses.json`; `inference` reads it.

A frame's rotation `R` (3x3) takes world axes (x east, y north, z up, metres in `crs`) to camera axes (x right, y down,
z forward); `C` is the camera centre in the same metres. A world point X projects to K·distort(R·(X − C)).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from imagery.errors import ImageryError

SCHEMA_VERSION: Literal[1] = 1
Placed = Literal["matched", "gps", "neighbour"]


class Lens(BaseModel):
    """A lens shared by many frames: pixels at full scale, Brown–Conrady distortion as OpenCV has it."""

    model_config = ConfigDict(frozen=True)

    fx: float
    fy: float
    cx: float
    cy: float
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    width_px: int
    height_px: int


class FramePose(BaseModel):
    """One frame's pose.

    Attributes:
        id: SHA-256 of the file's bytes.
        file: Path relative to the frames folder, `<sortie>/<name>` where there are sorties.
        sortie_id: The sortie, or "" when unknown.
        time_utc: When it was taken, or None.
        lens: Key into `Poses.lenses`.
        R: World to camera, row-major.
        C: Camera centre, metres in `Poses.crs`, z as `Poses.height_reference` says.
        sigma_m: Expected horizontal error of the ground point at the image centre.
        placed: How: matched to others, by GPS alone, or by its neighbours.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    file: str
    sortie_id: str = ""
    time_utc: datetime | None = None
    lens: str
    R: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    C: tuple[float, float, float]
    sigma_m: float
    placed: Placed


class Poses(BaseModel):
    """All poses of one mosaic; `crs` is a metric one ("EPSG:32650")."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    crs: str
    height_reference: Literal["amsl", "take-off"] = "amsl"
    lenses: dict[str, Lens]
    frames: tuple[FramePose, ...]


def read_poses(path: Path) -> Poses:
    """Reads `poses.json`.

    Raises:
        ImageryError: Missing, or not of this schema.
    """
    if not path.is_file():
        raise ImageryError(f"no poses at {path}: stitch the patrol first")
    try:
        return Poses.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ImageryError(f"{path} is not a poses file of schema {SCHEMA_VERSION}: {where}: {first['msg']}") from error


def project(lens: Lens, pose: FramePose, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Projects world points to pixels.

    Args:
        lens: The frame's lens.
        pose: The frame's pose.
        points: (n, 3) metres in the poses' CRS.

    Returns:
        (n, 2) pixels (u right, v down, pixel centres at integers); NaN behind the camera.
    """
    rotation = np.asarray(pose.R, dtype=float)
    camera = (np.asarray(points, dtype=float) - np.asarray(pose.C, dtype=float)) @ rotation.T
    z = np.where(camera[:, 2] > 1e-6, camera[:, 2], np.nan)
    x, y = camera[:, 0] / z, camera[:, 1] / z
    r2 = x * x + y * y
    radial = 1.0 + r2 * (lens.k1 + r2 * (lens.k2 + r2 * lens.k3))
    u = x * radial + 2.0 * lens.p1 * x * y + lens.p2 * (r2 + 2.0 * x * x)
    v = y * radial + lens.p1 * (r2 + 2.0 * y * y) + 2.0 * lens.p2 * x * y
    return np.column_stack([lens.fx * u + lens.cx, lens.fy * v + lens.cy])
