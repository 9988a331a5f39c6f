"""Candidates: one per real thing in one patrol. Owner of `sites.geojson`; `api` takes it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.errors import InferenceError

SCHEMA_VERSION: Literal[1] = 1
Family = Literal["construction", "sanitation"]


class FrameBox(BaseModel):
    """Where a candidate stands in a photograph: `bbox_px` is (x0, y0, x1, y1) at full scale."""

    model_config = ConfigDict(frozen=True)

    id: str
    file: str = ""
    bbox_px: tuple[float, float, float, float]


class SiteProperties(BaseModel):
    """What is known of a candidate.

    Attributes:
        n: Number within the patrol, stable for the same mosaic, frames, model and settings.
        family: construction (私搭乱建) or sanitation (暴露垃圾, 积存垃圾渣土).
        label: The finer kind, e.g. `new_building`, `extension`, `waste_heap`, `spoil`.
        probability: Calibrated, 0..1.
        area_m2: Ground area of the polygon.
        height_change_m: Surface now minus surface then, median within; None when there is nothing to compare.
        permitted: True, False, or None when no permits were given.
        permit_no: The permit it falls under.
        excess_m2: Area beyond the permit.
        frames: The best photographs, best first.
        seen: Frames in which it was detected, of `looked` that could have shown it.
        unsure: Why this one needs a person's second look ("poor registration"), or None.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    n: int
    family: Family
    label: str
    probability: float = Field(ge=0, le=1)
    area_m2: float | None
    height_change_m: float | None = None
    permitted: bool | None = None
    permit_no: str | None = None
    excess_m2: float | None = None
    frames: tuple[FrameBox, ...] = ()
    seen: int = 0
    looked: int = 0
    unsure: str | None = None


class SiteFeature(BaseModel):
    """A GeoJSON Feature (WGS84): a polygon, or a point for a photograph without a pose."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: Literal["Feature"] = "Feature"
    geometry: dict[str, Any]
    properties: SiteProperties


class SiteCollection(BaseModel):
    """`sites.geojson`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: Literal["FeatureCollection"] = "FeatureCollection"
    schema_version: Literal[1] = SCHEMA_VERSION
    patrol_id: str | None
    baseline_patrol_id: str | None = None
    mosaic_sha256: str | None = None
    models: dict[str, str] = {}
    features: tuple[SiteFeature, ...] = ()


def read_sites(path: Path) -> SiteCollection:
    """Reads `sites.geojson`.

    Raises:
        InferenceError: Missing, or not of this schema; the message names the feature.
    """
    if not path.is_file():
        raise InferenceError(f"no candidates at {path}: run `yunxun detect` first")
    try:
        return SiteCollection.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InferenceError(
            f"{path} is not a candidate collection of schema {SCHEMA_VERSION}: {where}: {first['msg']}"
        ) from error
