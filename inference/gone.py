"""What stood on the earlier day and stands no more: never a case, but what ends one, and news for the record.

A demolition after a case was filed shows here, and so does a building that went without anybody having asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import shapely
from pyproj import Transformer
from shapely.geometry import mapping

from inference.context import DetectContext
from inference.heights import HeightChange
from inference.proposals import Proposal

# The least fall that is a building's: a bed of goods or a low fence is less.
LEAST_FALL_M = 1.0
# The fall stands out from what no change looks like here.
TIMES_NOISE = 3.0
# The network's even odds: lorries and goods that left have 0.4 of "gone", and what stood there was no building.
EVEN = 0.5


def _confirmed(proposal: Proposal, height: HeightChange | None) -> bool:
    built = proposal.extra
    if proposal.mean < EVEN or not built["built_before"] >= EVEN > built["built_now"]:
        return False
    if height is None:
        return True
    return -height.median_m >= max(LEAST_FALL_M, TIMES_NOISE * height.noise_m)


def gone_structures(proposals: Sequence[Proposal], context: DetectContext) -> list[dict[str, Any]]:
    """Outlines of structures that are gone, confirmed by the surfaces where both days have one.

    Args:
        proposals: What the network says is gone, in the context's CRS.
        context: The patrol; its surfaces lie on each other.

    Returns:
        GeoJSON Features (WGS84), surest first: `label` gone_structure, `area_m2`, `network` (mean word inside),
        `height_change_m` (negative; None where there is nothing to compare), `height_noise_m`, `unsure`.
    """
    to_wgs84 = Transformer.from_crs(context.crs, "EPSG:4326", always_xy=True)
    everything = [p.polygon for p in proposals]
    found = []
    for proposal in sorted(proposals, key=lambda p: -p.mean):
        height = context.surfaces.change(proposal.polygon, everything) if context.surfaces else None
        if _confirmed(proposal, height):
            outline = shapely.transform(proposal.polygon, to_wgs84.transform, interleaved=False)
            found.append(_feature(mapping(outline), proposal, height))
    return found


def _feature(geometry: dict[str, Any], proposal: Proposal, height: HeightChange | None) -> dict[str, Any]:
    properties = {
        "label": "gone_structure",
        "area_m2": round(proposal.area_m2, 2),
        "network": round(proposal.mean, 4),
        "height_change_m": round(height.median_m, 2) if height else None,
        "height_noise_m": round(height.noise_m, 2) if height else None,
        "unsure": proposal.unsure,
    }
    return {"type": "Feature", "geometry": geometry, "properties": properties}
