"""`demo.png`: the two days side by side, what is true outlined, what was found boxed and numbered."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rasterio.enums import Resampling
from rasterio.warp import transform_geom
from shapely.geometry import shape

from inference.sites import SiteCollection
from yunxun.truth import Comparison
from yunxun.workspace import PatrolFolder

matplotlib.use("Agg")
SHOWN_PX = 1400
CHIP_M = 30.0
COLOURS = {"construction": "#ff3b30", "sanitation": "#ffcc00"}


def draw_demo(path: Path, days: list[PatrolFolder], found: SiteCollection, comparison: Comparison) -> None:
    """Writes the picture: day 1, day 2 with finds, and a before/after pair of each find below."""
    features = sorted(found.features, key=lambda f: -f.properties.probability)[:8]
    figure = Figure(figsize=(16, 8.6 + (4.2 if features else 0)), layout="constrained")
    grid = figure.add_gridspec(2, max(2 * 4, 2), height_ratios=[8.6, 4.2] if features else [1, 0.001])
    for column, folder in enumerate(days):
        axes = figure.add_subplot(grid[0, column * 4 : column * 4 + 4])
        _mosaic(axes, folder.mosaic)
        axes.set_title(("day 1: the baseline", "day 2: candidates (boxes) and what really came (white)")[column])
        if column == 1:
            _outlines(axes, folder.mosaic, found, comparison)
    for place, feature in enumerate(features):
        inner = grid[1, place].subgridspec(2, 1, hspace=0.02)
        for row, folder in enumerate(days):
            axes = figure.add_subplot(inner[row])
            _chip(axes, folder.mosaic, feature.geometry)
            if row == 0:
                site = feature.properties
                mark = " permitted" if site.permitted else ""
                axes.set_title(f"no. {site.n} {site.label}{mark}\np={site.probability:.2f}", fontsize=8)
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=100, format="png")
    temporary.replace(path)


def _mosaic(axes: Axes, mosaic: Path) -> None:
    with rasterio.open(mosaic) as source:
        scale = min(SHOWN_PX / source.width, SHOWN_PX / source.height, 1.0)
        shape = (3, round(source.height * scale), round(source.width * scale))
        image = source.read((1, 2, 3), out_shape=shape, resampling=Resampling.average)
        bounds = source.bounds
    axes.imshow(np.moveaxis(image, 0, -1), extent=(bounds.left, bounds.right, bounds.bottom, bounds.top))
    axes.set_axis_off()


def _outlines(axes: Axes, mosaic: Path, found: SiteCollection, comparison: Comparison) -> None:
    with rasterio.open(mosaic) as source:
        crs = source.crs
    for thing in comparison.things:
        ring = transform_geom("EPSG:4326", crs, thing.geometry)["coordinates"][0]
        axes.plot(*np.array(ring).T[:2], color="white", linewidth=1.2)
    for feature in found.features:
        west, south, east, north = shape(transform_geom("EPSG:4326", crs, feature.geometry)).buffer(2.0).bounds
        colour = "#34c759" if feature.properties.permitted else COLOURS[feature.properties.family]
        axes.plot([west, east, east, west, west], [south, south, north, north, south], color=colour, linewidth=1.8)
        axes.annotate(str(feature.properties.n), (east, north), color=colour, fontsize=11, weight="bold")


def _chip(axes: Axes, mosaic: Path, geometry: dict[str, object]) -> None:
    with rasterio.open(mosaic) as source:
        local = shape(transform_geom("EPSG:4326", source.crs, geometry))
        west, south, east, north = local.bounds
        x, y = (west + east) / 2, (south + north) / 2
        half = max(CHIP_M, 1.6 * (east - west), 1.6 * (north - south)) / 2
        window = rasterio.windows.from_bounds(x - half, y - half, x + half, y + half, source.transform)
        image = source.read((1, 2, 3), window=window, boundless=True, out_shape=(3, 160, 160))
    axes.imshow(np.moveaxis(image, 0, -1), extent=(x - half, x + half, y - half, y + half))
    for part in getattr(local, "geoms", [local]):
        if part.geom_type == "Polygon":
            axes.plot(*np.array(part.exterior.coords).T[:2], color="white", linewidth=0.8)
    axes.set_axis_off()
