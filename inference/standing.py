"""No earlier day: what stands is compared with what may stand: permits, and the buildings or plots on record.

The change network says of every day what is built on it. What lies outside everything on record, and stands higher than
the ground around it where a surface is known, is put before the reviewer. Without a file of what is on record there is
nothing to compare with, and every old house would be a candidate: then nothing is proposed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import Affine
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from inference.candidates import Candidate, gather, weighed
from inference.change import CORE_PX, HALO_PX
from inference.context import DetectContext
from inference.engine import Model, sigmoid
from inference.errors import InferenceError
from inference.labels import construction_label
from inference.permits import read_permits
from inference.proposals import Field, Proposal, allowance, find, join, strongest
from inference.request import DetectRequest
from inference.second_look import Judge
from inference.windows import Grid, Mask, Rgb, Tile, grid_of, on_grid, open_raster, read_rgb, tiles

Progress = Callable[[int, int, str], None]

# A roof is one region of high probability; walls and yards between two houses must not join them.
LOW, HIGH = 0.5, 0.7
REACH_M = 0.3
MIN_AREA_M2 = 6.0
# A record drawn on a map and a roof that leans in a mosaic differ by so much where nothing is wrong.
SLACK_M = 1.5
# What is left of a building after its record is taken off must be at least this wide to be more than a sliver.
LEAST_WIDTH_M = 1.6
TALL_M = 8.0
_OUT = 2
# Log-odds weights until reviewers' verdicts fit better ones: the network's word, confirmed or refuted by height.
# The bias asks more than of a change: a single day shows roofs, lorries and paving alike.
WEIGHTS = {"bias": -1.2, "mean": 1.0, "area": 0.3, "looks": 0.3, "height": 0.6, "flat": -2.5, "measured": 0.3}


def read_registered(path: Path, crs: str) -> list[BaseGeometry]:
    """Reads outlines of what is on record (buildings, or plots that may be built on; GeoJSON, WGS84) in metres.

    Raises:
        InferenceError: Missing or malformed; the message names the feature.
    """
    if not path.is_file():
        raise InferenceError(f"no registered buildings at {path}: expected a GeoJSON file of polygons")
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        shapes = [shapely.make_valid(shape(feature["geometry"])) for feature in features]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InferenceError(f"{path} is not a GeoJSON FeatureCollection of polygons: {error}") from error
    for number, outline in enumerate(shapes):
        west, south, east, north = outline.bounds if not outline.is_empty else (0.0, 0.0, 0.0, 0.0)
        if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
            raise InferenceError(f"{path} feature {number}: expected longitude, latitude (WGS84), found {west:.1f}")
    to_metres = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    return [shapely.transform(outline, to_metres.transform, interleaved=False) for outline in shapes]


def built(model: Model, rgb: Rgb, valid: Mask) -> Field:
    """P(built) on one window of one day, (h / 2, w / 2); zero where nothing was photographed."""
    logits = sigmoid(model.logits(rgb[None], rgb[None])[0])[3]
    return np.where(valid[::_OUT, ::_OUT], logits, 0.0).astype(np.float32)


def find_buildings(model: Model, mosaic: Path, progress: Progress | None = None) -> tuple[list[Proposal], Grid]:
    """Outlines everything that is built on one day.

    Args:
        model: A change model.
        mosaic: Any georeferenced 8-bit RGB raster.
        progress: Called by window.
    """
    found: list[Proposal] = []
    with ExitStack() as stack:
        dataset = stack.enter_context(open_raster(mosaic))
        grid = grid_of(dataset, model.card.gsd_m)
        view = stack.enter_context(on_grid(dataset, grid, Resampling.bilinear))
        todo = tiles(dataset, grid, CORE_PX, HALO_PX)
        for done, tile in enumerate(todo):
            if progress:
                progress(done, len(todo), "buildings")
            rgb, valid = read_rgb(view, tile)
            if not valid.any():
                continue
            edge, core = tile.halo // _OUT, tile.size // _OUT
            field = built(model, rgb, valid)[edge : edge + core, edge : edge + core]
            found += find(field, grid.at(tile.col, tile.row) @ Affine.scale(_OUT), LOW, HIGH, {})
    whole = join(found, grid.gsd_m * _OUT, REACH_M)
    return [p for p in whole if p.area_m2 >= MIN_AREA_M2], grid


def beyond(proposals: list[Proposal], allowed: list[BaseGeometry]) -> list[Proposal]:
    """The parts of buildings that lie outside everything on record, slivers left out."""
    record = shapely.union_all([a.buffer(SLACK_M, join_style="mitre") for a in allowed]) if allowed else None
    out = []
    for proposal in proposals:
        rest = proposal.polygon if record is None else proposal.polygon.difference(record)
        # Opening: what is narrower than a person could use is the record's edge, not a building.
        half = LEAST_WIDTH_M / 2
        rest = rest.buffer(-half, join_style="mitre").buffer(half, join_style="mitre")
        for part in getattr(rest, "geoms", [rest]):
            if part.geom_type == "Polygon" and part.area >= MIN_AREA_M2:
                out.append(replace(proposal, polygon=part, area_m2=part.area))
    return out


def _judge(model: Model) -> Judge:
    def judge(_tile: Tile, chip: Rgb, seen: Mask) -> Field | None:
        return built(model, chip, seen)

    return judge


def find_unregistered(
    model: Model, request: DetectRequest, context: DetectContext, progress: Progress | None = None
) -> tuple[list[Candidate], dict[str, object]]:
    """Finds buildings that are on no record.

    Args:
        model: The serving change model.
        request: With `registered`, perhaps permits, and no earlier day.
        context: The patrol.
        progress: Called by window.

    Returns:
        Candidates, and notes on what was compared with what.

    Raises:
        InferenceError: The record cannot be read.
    """
    assert request.registered is not None
    record = read_registered(request.registered, context.crs)
    permits = read_permits(request.permits, context.crs) if request.permits else []
    everything, grid = find_buildings(model, request.mosaic, progress)
    # Work under a permit stays in, to be labelled so; only what is on record is taken off.
    proposals = strongest(beyond(everything, record), allowance(context.area_m2))
    surfaces = context.surfaces
    roofs = [p.polygon for p in everything]
    heights = [surfaces.above_ground(p.polygon, roofs) if surfaces else None for p in proposals]
    weights = (model.card.model_extra or {}).get("calibration_standing") or WEIGHTS
    gathered = gather("construction", proposals, context, grid, _judge(model), TALL_M, weights, heights=heights)
    found = [
        weighed(
            g,
            "construction",
            construction_label(g.proposal.polygon, g.evidence.height_m, 0.0, 0.0),
            weights,
            {"compared_with": "record"},
        )
        for g in gathered
    ]
    notes: dict[str, object] = {
        "compared_with": f"{len(record)} registered outlines and {len(permits)} permits, no earlier day",
        "buildings_seen": len(everything),
    }
    return found, notes
