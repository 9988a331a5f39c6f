"""A plan as a picture: area, zones, lanes by crew, take-off sites."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from shapely.geometry.base import BaseGeometry

from missions.files import write_bytes_atomically
from missions.result import PlanResult
from missions.vector import polygons_of

_COLOURS = (
    "#1f77b4",
    "#d95f02",
    "#1b9e77",
    "#7570b3",
    "#e7298a",
    "#66a61e",
    "#a6761d",
    "#0097a7",
    "#5d4037",
    "#c0392b",
)
_ZONES = {
    "no-fly": ("#d32f2f", "禁飞"),
    "ceiling": ("#f9a825", "限高"),
    "no-photo": ("#6a1b9a", "禁拍"),
    "permitted": ("#2e7d32", "批准空域"),
}
_FONTS = ["Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Microsoft YaHei", "DejaVu Sans"]


def _rings(geometry: BaseGeometry) -> list[np.ndarray]:
    return [shapely.get_coordinates(polygon.exterior) / 1000 for polygon in polygons_of(geometry)]


def _draw_zones(axes, result: PlanResult) -> None:  # type: ignore[no-untyped-def]
    task = result.task
    for kind, (colour, label) in _ZONES.items():
        places = [task.frame.metric(zone.geometry) for zone in (*task.zones, *task.timed) if zone.kind == kind]
        rings = [ring for place in places for ring in _rings(place)]
        if rings:
            face = "none" if kind == "permitted" else colour + "40"
            axes.add_collection(PolyCollection(rings, facecolors=face, edgecolors=colour, linewidths=0.8, label=label))
    things = [task.frame.metric(thing.geometry).buffer(3.0) for thing in task.obstacles]
    rings = [ring for place in things for ring in _rings(place)]
    if rings:
        axes.add_collection(PolyCollection(rings, facecolors="#424242", label="障碍物"))


def _draw_routes(axes, result: PlanResult) -> None:  # type: ignore[no-untyped-def]
    crews = sorted({sortie.crew for sortie in result.sorties})
    width = 1.6 if len(result.sorties) < 40 else 0.5
    for number, crew in enumerate(crews):
        colour = _COLOURS[number % len(_COLOURS)]
        lanes, ways = [], []
        for sortie in result.sorties:
            if sortie.crew == crew:
                legs = np.stack([sortie.route.points[:-1], sortie.route.points[1:]], axis=1) / 1000
                on = sortie.route.shooting[:-1]
                lanes += list(legs[on])
                ways += list(legs[~on])
        axes.add_collection(LineCollection(ways, colors=colour, linewidths=width / 2, linestyles=":", alpha=0.7))
        label = crew if len(crews) <= 12 else None
        axes.add_collection(LineCollection(lanes, colors=colour, linewidths=width, label=label))
    views = [sortie.route.points[stop.index] for sortie in result.sorties for stop in sortie.route.stops]
    if views:
        axes.plot(*(np.array(views) / 1000).T, "o", color="#c62828", markersize=3, linestyle="none", label="拍摄点")
    homes = np.array(sorted({tuple(np.round(sortie.route.points[0], 1)) for sortie in result.sorties})) / 1000
    axes.plot(homes[:, 0], homes[:, 1], "^", color="black", markersize=6 if len(homes) < 20 else 3, label="起降点")


def _done(result: PlanResult) -> str:
    views = sum(len(sortie.route.stops) for sortie in result.sorties)
    parts = [f"覆盖 {result.coverage.seen_once:.1%}"] if result.coverage.area_m2 else []
    return " · ".join([*parts, *([f"定点拍摄 {views} 张"] if views else [])])


def draw_preview(result: PlanResult, path: Path) -> None:
    """Draws a plan as PNG, kilometres about the area's middle, north up."""
    with matplotlib.rc_context({"font.sans-serif": _FONTS, "font.family": "sans-serif", "axes.unicode_minus": False}):
        figure = Figure(figsize=(10, 9), dpi=130, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if not result.task.area.is_empty:
            rings = _rings(result.task.area)
            axes.add_collection(
                PolyCollection(rings, facecolors="#eceff1", edgecolors="#546e7a", linewidths=1.2, label="区域")
            )
        _draw_zones(axes, result)
        _draw_routes(axes, result)
        axes.autoscale()
        axes.set_aspect("equal")
        axes.set_xlabel("东 / km")
        axes.set_ylabel("北 / km")
        hours = sum(sortie.duration_s for sortie in result.sorties) / 3600
        task = result.task
        axes.set_title(
            f"{task.profile.title} · {len(result.sorties)} 架次 · {hours:.1f} 飞行小时 · "
            f"离地 {task.strip.height_agl_m:.0f} m · {_done(result)}",
            fontsize=11,
        )
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
        buffer = io.BytesIO()
        canvas.print_png(buffer)
    write_bytes_atomically(path, buffer.getvalue())
