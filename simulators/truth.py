"""A day's truth and the papers that go with it: truth.geojson, permits, area, bare-ground heights."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from affine import Affine
from shapely.geometry import Polygon

from simulators.files import replacing
from simulators.things import Heap

if TYPE_CHECKING:
    from simulators.town import TownDay

PILES = {
    "spoil": "spoil",
    "sand": "spoil",
    "gravel": "spoil",
    "garbage": "waste_heap",
    "rubble": "construction_waste",
    "timber": "waste_heap",
}


def ring(day: TownDay, polygon: Polygon) -> list[list[list[float]]]:
    """GeoJSON coordinates (WGS84) of a local polygon's outline."""
    return [[[round(v, 8) for v in day.town.lonlat(x, y)] for x, y in polygon.exterior.coords]]


def _feature(polygon: list[list[list[float]]], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": polygon}, "properties": properties}


def _write(path: Path, features: list[dict[str, Any]], **more: Any) -> None:
    body = {"type": "FeatureCollection", "schema_version": 1, **more, "features": features}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(body, ensure_ascii=False), encoding="utf-8")


def write_truth(day: TownDay, path: Path) -> None:
    """What came since day 0, and the piles that have always stood there (since_day 0), as WGS84 polygons.

    Piles beyond the town proper, too: they are photographed like the others.

    Properties: n, family, kind, label, new (came on this very day), since_day, permitted, permit_no, area_m2, height_m.
    A building that is larger than its permit has permitted false and `excess_m2`.
    """
    features = []
    for change in day.changes:
        permit_no = f"JZ-{day.town.seed:04d}-{change.number:03d}" if change.permit is not None else None
        excess = change.polygon.difference(change.permit).area if change.permit is not None else None
        features.append(
            _feature(
                ring(day, change.polygon), n=change.number, family=change.family, kind=change.kind, label=change.label,
                new=change.day == max(day.k, 1), since_day=change.day, permitted=change.permitted, permit_no=permit_no,
                area_m2=round(change.area_m2, 2),
                height_m=round(change.height_m, 2), excess_m2=None if excess is None else round(excess, 2),
            )
        )  # fmt: skip
    came = {id(change.thing) for change in day.changes}
    piles = [heap for heap in day.scene.things.heaps if id(heap) not in came]
    first = max((change.number for change in day.changes), default=0) + 1
    features += [_feature(ring(day, heap.polygon), **_pile(heap, k)) for k, heap in enumerate(piles, first)]
    _write(path, features, town=day.town.seed, day=day.k)


def _pile(heap: Heap, number: int) -> dict[str, Any]:
    return {
        "n": number, "family": "sanitation", "kind": heap.kind, "label": PILES.get(heap.kind, heap.kind), "new": False,
        "since_day": 0,
        "permitted": None, "permit_no": None, "area_m2": round(heap.polygon.area, 2),
        "height_m": round(heap.height_m, 2),
        "excess_m2": None,
    }  # fmt: skip


def write_permits(day: TownDay, path: Path, now: datetime | None = None) -> None:
    """Permits of the day's permitted buildings: permit_no, from, to (around `now`), max_height_m."""
    now = now or datetime.now(UTC)
    begin, end = now - timedelta(days=200), now + timedelta(days=400)
    features = [
        _feature(
            ring(day, change.permit),
            permit_no=f"JZ-{day.town.seed:04d}-{change.number:03d}",
            **{"from": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "to": f"{end:%Y-%m-%dT%H:%M:%SZ}"},
            max_height_m=change.permit_height_m,
        )
        for change in day.changes
        if change.permit is not None
    ]
    _write(path, features)


def write_area(day: TownDay, path: Path) -> None:
    """The town proper as one polygon."""
    _write(path, [_feature(ring(day, day.area), name=f"town {day.town.seed}")])


def write_dem(day: TownDay, path: Path, gsd_m: float = 2.0) -> None:
    """Height of the bare ground above sea level as a GeoTIFF in the town's UTM zone."""
    grid = day.grid(gsd_m)
    heights = day.scene.terrain(grid).astype(np.float32)
    transform = Affine(gsd_m, 0, day.town.origin[0] + grid.x0, 0, -gsd_m, day.town.origin[1] + grid.y_top)
    with (
        replacing(path) as temporary,
        rasterio.open(
            temporary, "w", driver="GTiff", width=grid.cols, height=grid.rows, count=1, dtype="float32",
            crs=day.town.crs.to_wkt(), transform=transform, compress="deflate",
        ) as file,
    ):  # fmt: skip
        file.write(heights, 1)
        file.update_tags(vertical="metres above mean sea level")
