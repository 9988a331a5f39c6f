"""From a probability map to outlines on the ground, and whole things out of the pieces of many windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes as outlines
from rasterio.transform import Affine
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from inference.merge import touching

Field = NDArray[np.float32]
# A place that rose and that no network spoke for ranks like one that it half believes in.
RISEN_WORD = 0.4
# A weak region is drawn in to this part of its own peak.
OF_PEAK = 0.85
# Corners beyond which an outline is drawn coarser and without its holes: no heap and no house has so many. What an
# untrained network made of a town, one outline of holes upon holes, kept geometry busy for over eight minutes.
_INTRICATE = 5_000


@dataclass(frozen=True)
class Proposal:
    """An outline in the grid's metres, and what the network said inside it.

    Attributes:
        polygon: Valid polygon or multipolygon, metres.
        area_m2: Its area.
        mean: Mean probability inside.
        peak: Highest probability inside (95th percentile).
        extra: Means of other maps inside, by name.
        unsure: Why the windows it came from cannot be trusted, or None.
    """

    polygon: BaseGeometry
    area_m2: float
    mean: float
    peak: float
    extra: dict[str, float]
    unsure: str | None = None


def sides_m(polygon: BaseGeometry) -> tuple[float, float] | None:
    """Short and long side of the smallest box around an outline; None where it has none."""
    box = polygon.minimum_rotated_rectangle
    if box.geom_type != "Polygon":
        return None
    a, b, c = shapely.get_coordinates(box)[:3]
    one, two = float(np.hypot(*(b - a))), float(np.hypot(*(c - b)))
    return min(one, two), max(one, two)


def _hysteresis(field: Field, low: float, high: float, tight: float) -> NDArray[np.int32]:
    """Labels of the regions above `low` that somewhere exceed `high`, drawn in to `tight`; 0 elsewhere."""
    count, labels = cv2.connectedComponents((field >= low).astype(np.uint8), connectivity=8)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels.ravel().astype(np.intp), field.ravel())
    keep = peaks >= high
    keep[0] = False
    level = np.maximum(low, np.minimum(tight, OF_PEAK * peaks))
    return np.where(keep[labels] & (field >= level[labels]), labels, 0).astype(np.int32)


def find(
    field: Field,
    transform: Affine,
    low: float,
    high: float,
    extra: dict[str, Field],
    unsure: str | None = None,
    tight: float = 0.0,
) -> list[Proposal]:
    """Outlines the regions of a probability map.

    Args:
        field: (h, w) probability.
        transform: Cell corner to metres.
        low: Regions are told apart here.
        high: And must reach this somewhere.
        extra: Further (h, w) maps to average inside each region.
        unsure: Passed on to each proposal.
        tight: Outlines are drawn in to this level, or to a part of the region's peak where that is lower.

    Returns:
        One proposal a region (or a part of it, where it touches the map's edge).
    """
    labels = _hysteresis(field, low, high, tight)
    parts: dict[int, list[BaseGeometry]] = {}
    for geometry, value in outlines(labels, mask=labels > 0, connectivity=8, transform=transform):
        parts.setdefault(int(value), []).append(_drawable(shape(geometry), abs(transform.a)))
    found = []
    cells = _cells_by_region(labels)
    for value, pieces in parts.items():
        polygon = pieces[0] if len(pieces) == 1 else shapely.union_all(pieces)
        inside = cells[value]
        scores = field.ravel()[inside]
        means = {name: float(values.ravel()[inside].mean()) for name, values in extra.items()}
        found.append(
            Proposal(polygon, polygon.area, float(scores.mean()), float(np.percentile(scores, 95)), means, unsure)
        )
    return found


def _cells_by_region(labels: NDArray[np.int32]) -> dict[int, NDArray[np.intp]]:
    """Flat indices of every region's cells, by its number: one pass over the map, however many regions there are."""
    flat = labels.ravel()
    cells = np.flatnonzero(flat)
    cells = cells[np.argsort(flat[cells], kind="stable")]
    values, starts = np.unique(flat[cells], return_index=True)
    return dict(zip(values.tolist(), np.split(cells, starts[1:]) if len(cells) else [], strict=True))


def _drawable(polygon: BaseGeometry, cell_m: float) -> BaseGeometry:
    """A valid outline of at most so many corners that geometry takes milliseconds; with fewer, all its own."""
    coarser = polygon
    while shapely.get_num_coordinates(coarser) > _INTRICATE:
        rings = [shapely.Polygon(part.exterior) for part in shapely.get_parts(coarser) if part.geom_type == "Polygon"]
        cell_m *= 2
        coarser = shapely.MultiPolygon(rings).simplify(cell_m, preserve_topology=False)
    coarser = shapely.make_valid(coarser)
    # Of thousands of crumbs none may be left.
    return coarser if coarser.area > 0 else shapely.convex_hull(polygon)


def _joined(parts: Sequence[Proposal], cell_m: float) -> Proposal:
    if len(parts) == 1:
        polygon = parts[0].polygon
    else:
        # Closing by half a cell welds pieces that a seam cut apart.
        polygon = shapely.union_all([p.polygon.buffer(cell_m * 0.75, join_style="mitre") for p in parts])
        polygon = polygon.buffer(-cell_m * 0.75, join_style="mitre")
    weights = np.array([p.area_m2 for p in parts])
    weights = weights / max(float(weights.sum()), 1e-9)
    extra = {
        name: float(sum(w * p.extra[name] for w, p in zip(weights, parts, strict=True))) for name in parts[0].extra
    }
    return Proposal(
        polygon,
        polygon.area,
        float(sum(w * p.mean for w, p in zip(weights, parts, strict=True))),
        max(p.peak for p in parts),
        extra,
        next((p.unsure for p in parts if p.unsure), None),
    )


def join(parts: Sequence[Proposal], cell_m: float, reach_m: float) -> list[Proposal]:
    """Whole things: parts nearer than `reach_m` become one, outlines are smoothed by a cell.

    Args:
        parts: From many windows' cores, in one CRS.
        cell_m: Side of a map cell.
        reach_m: Two parts nearer than this are one thing.
    """
    if not parts:
        return []
    group = touching([p.polygon for p in parts], reach_m)
    whole = [_joined([parts[int(i)] for i in np.flatnonzero(group == g)], cell_m) for g in range(int(group.max()) + 1)]
    return [_smoothed(p, cell_m) for p in whole]


def allowance(area_m2: float, per_hectare: float = 4.0, least: int = 40) -> int:
    """How many proposals are worth a second look: a weak model costs recall, never minutes.

    Args:
        area_m2: Ground photographed.
        per_hectare: A city takes 1,100 cases a day; four a hectare is far beyond what may be real.
        least: Allowed in any case.
    """
    return max(least, int(per_hectare * area_m2 / 1e4))


def strongest(proposals: Sequence[Proposal], most: int) -> list[Proposal]:
    """At most so many proposals, by the network's word and the size, or by how large a part of the surface rose.

    Where shape and texture said their word together (`extra["both"]`), theirs counts.
    """

    def strength(proposal: Proposal) -> float:
        said = proposal.extra.get("both", proposal.mean)
        word = max(said, RISEN_WORD * min(1.0, proposal.area_m2 / 10.0) * proposal.extra.get("risen", 0.0))
        return word * min(1.0, proposal.area_m2 / 2.0) ** 0.25

    return sorted(proposals, key=strength, reverse=True)[:most]


def _smoothed(proposal: Proposal, cell_m: float) -> Proposal:
    polygon = shapely.make_valid(_drawable(proposal.polygon, cell_m).simplify(cell_m * 0.9))
    if polygon.is_empty or polygon.area < 0.25 * proposal.area_m2:
        return proposal
    if polygon.geom_type == "GeometryCollection":
        polygon = shapely.union_all([g for g in polygon.geoms if g.area > 0])
    return Proposal(polygon, polygon.area, proposal.mean, proposal.peak, proposal.extra, proposal.unsure)
