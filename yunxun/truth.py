"""What was really built and dumped, beside what was found. Only this module reads a truth file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyproj import Transformer
from shapely import transform
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from inference.sites import SiteCollection, SiteFeature

# A find belongs to a thing when their outlines, grown by this much, overlap: the demo's pixels are 8 cm and its
# mosaic is good to a few of them; an outline a metre off still sends a person to the right roof.
TOLERANCE_M = 1.0


@dataclass(frozen=True)
class Thing:
    """One real thing of the truth file, and the candidates that stand on it."""

    family: str
    label: str
    permitted: bool | None
    area_m2: float
    geometry: dict[str, Any]
    candidates: tuple[int, ...]

    @property
    def found(self) -> bool:
        """Whether at least one candidate of its family stands on it."""
        return bool(self.candidates)


@dataclass(frozen=True)
class Comparison:
    """Truth against found; `false` are the numbers of unpermitted candidates that stand on nothing.

    Piles that have always stood on building sites are neutral: to report one is neither right nor wrong.
    """

    things: tuple[Thing, ...]
    false: tuple[int, ...]

    def count(self, family: str, permitted: bool | None = None) -> tuple[int, int]:
        """(found, all) of a family; for construction by whether it is permitted."""
        chosen = [t for t in self.things if t.family == family and (permitted is None or t.permitted is permitted)]
        return sum(t.found for t in chosen), len(chosen)


def compare(truth: Path, found: SiteCollection) -> Comparison:
    """Matches candidates to the truth file's polygons of the same family.

    Args:
        truth: GeoJSON of polygons with `family`, `label`, `permitted`, `area_m2`.
        found: Candidates.

    Returns:
        Every thing with its candidates, and the candidates with no thing.
    """
    features = [f for f in json.loads(truth.read_text("utf-8"))["features"] if f["properties"]["family"] != "none"]
    to_metres = _local_metres(features, found)
    outlines = {f.properties.n: to_metres(shape(f.geometry)) for f in found.features}
    taken: set[int] = set()
    things = []
    for feature in features:
        properties = feature["properties"]
        outline = to_metres(shape(feature["geometry"]))
        here = tuple(
            site.properties.n
            for site in found.features
            if _stands_on(site, outlines[site.properties.n], outline, properties["family"])
        )
        taken.update(here)
        if not properties.get("new", True):
            continue
        things.append(
            Thing(
                properties["family"], properties["label"], properties.get("permitted"), outline.area,
                feature["geometry"], here,
            )
        )  # fmt: skip
    false = tuple(f.properties.n for f in found.features if f.properties.n not in taken and not f.properties.permitted)
    return Comparison(tuple(things), false)


def _stands_on(site: SiteFeature, outline: BaseGeometry, thing: BaseGeometry, family: str) -> bool:
    return site.properties.family == family and outline.distance(thing) <= TOLERANCE_M


def _local_metres(features: list[dict[str, Any]], found: SiteCollection) -> Any:
    """A transform of geometries from WGS84 to metres around the scene (transverse Mercator at its first point)."""
    first = features[0]["geometry"] if features else found.features[0].geometry if found.features else None
    lon, lat = (shape(first).centroid.x, shape(first).centroid.y) if first else (0.0, 0.0)
    local = f"+proj=tmerc +lon_0={lon} +lat_0={lat} +ellps=WGS84 +units=m"
    forward = Transformer.from_crs("EPSG:4326", local, always_xy=True).transform
    return lambda geometry: transform(geometry, forward, interleaved=False)
