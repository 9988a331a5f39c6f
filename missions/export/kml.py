"""A plan as KML, for map programs and for whoever must be shown where it will be flown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from missions.files import write_bytes_atomically
from missions.frame import Array, LocalFrame
from missions.route import Route

KML = "http://www.opengis.net/kml/2.2"
# Colours of lines and photographs, as KML writes them: alpha, blue, green, red.
_LANE, _TRANSIT = "ff2f7df6", "99909090"


def _put(parent: Element, name: str, text: str | None = None) -> Element:
    element = SubElement(parent, f"{{{KML}}}{name}")
    element.text = text
    return element


def _style(document: Element, name: str, colour: str, width: int) -> None:
    style = _put(document, "Style")
    style.set("id", name)
    line = _put(style, "LineStyle")
    _put(line, "color", colour)
    _put(line, "width", str(width))


def _place(lon: float, lat: float, height_m: float) -> str:
    return f"{lon:.8f},{lat:.8f},{height_m:.2f}"


def _line(folder: Element, name: str, places: Array, heights: Array, style: str) -> None:
    mark = _put(folder, "Placemark")
    _put(mark, "name", name)
    _put(mark, "styleUrl", f"#{style}")
    line = _put(mark, "LineString")
    _put(line, "altitudeMode", "absolute")
    text = " ".join(_place(float(x), float(y), float(z)) for (x, y), z in zip(places, heights, strict=True))
    _put(line, "coordinates", text)


def _point(folder: Element, name: str, place: Array, height_m: float) -> None:
    mark = _put(folder, "Placemark")
    _put(mark, "name", name)
    point = _put(mark, "Point")
    _put(point, "altitudeMode", "absolute")
    _put(point, "coordinates", _place(float(place[0]), float(place[1]), height_m))


def write_kml(routes: Sequence[tuple[str, str, float, Route]], frame: LocalFrame, path: Path) -> None:
    """Writes a folder per sortie: lanes, ways between them, the take-off site, and places it stops at.

    Args:
        routes: (sortie id, crew, ground height of its home above sea level, route) of each sortie.
        frame: The routes' metric frame.
        path: The KML file, written whole or not at all.
    """
    register_namespace("", KML)
    root = Element(f"{{{KML}}}kml")
    document = _put(root, "Document")
    _put(document, "name", "云巡航线")
    _style(document, "lane", _LANE, 3)
    _style(document, "transit", _TRANSIT, 1)
    for sortie, crew, ground_m, route in routes:
        folder = _put(document, "Folder")
        _put(folder, "name", f"{sortie.rsplit('/', 1)[-1]} {crew}")
        places, heights = frame.to_lonlat(route.points), route.height_rel_m + ground_m
        _point(folder, "起降点", places[0], ground_m)
        begin = 0
        for index in range(1, len(places)):
            on = bool(route.shooting[begin])
            if index == len(places) - 1 or bool(route.shooting[index]) != on:
                style = "lane" if on else "transit"
                _line(folder, style, places[begin : index + 1], heights[begin : index + 1], style)
                begin = index
        for stop in route.stops:
            _point(folder, stop.name, places[stop.index], float(heights[stop.index]))
    indent(root, " ")
    write_bytes_atomically(path, tostring(root, encoding="utf-8", xml_declaration=True))
