"""Places to plan in, drawn in metres about Linyi's middle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import shapely

from missions.frame import LocalFrame

FRAME = LocalFrame(118.33, 35.07)

Item = tuple[shapely.Geometry, dict[str, Any]]
Draw = Callable[[str, Sequence[Item]], Path]


def collection(items: Sequence[Item]) -> str:
    features = [
        {
            "type": "Feature",
            "properties": properties,
            "geometry": json.loads(shapely.to_geojson(FRAME.geographic(shape))),
        }
        for shape, properties in items
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Writes geometry in metres as GeoJSON and gives the path."""

    def write(name: str, items: Sequence[Item]) -> Path:
        path = tmp_path / name
        path.write_text(collection(items), "utf-8")
        return path

    return write


@pytest.fixture
def town(draw: Draw) -> Path:
    return draw("town.geojson", [(shapely.box(0, 0, 400, 400), {"name": "town"})])
