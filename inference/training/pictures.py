"""Pictures of what was missed and of what was no thing at all: numbers say how many, only looking says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from inference.errors import InferenceError
from inference.files import write_atomic
from inference.training.scoring import Case, Mistake, mistakes

Image = NDArray[np.uint8]
# (west, north, side) in metres -> the pictures of that square, the earlier day first where there is one.
Window = Callable[[float, float, float], Sequence[Image]]

# Ground around a thing, and the side of each panel.
_MARGIN_M, _PANEL_PX = 6.0, 360
_TRUE, _FOUND, _THIS = (60, 220, 60), (80, 160, 255), (235, 50, 50)


@dataclass(frozen=True)
class Place:
    """A judged place and a way to look at it."""

    case: Case
    window: Window


def _outline(
    panel: Image, shape: BaseGeometry, corner: tuple[float, float], side: float, colour: Sequence[int]
) -> None:
    scale = panel.shape[0] / side
    for part in getattr(shape, "geoms", [shape]):
        if part.geom_type != "Polygon":
            continue
        points = (shapely.get_coordinates(part.exterior) - corner) * (scale, -scale)
        cv2.polylines(panel, [np.round(points * 16).astype(np.int32)], True, colour, 1, cv2.LINE_AA, 4)


def _picture(place: Place, mistake: Mistake, family: str, threshold: float) -> Image:
    low_x, low_y, high_x, high_y = mistake.polygon.bounds
    side = max(high_x - low_x, high_y - low_y) + 2 * _MARGIN_M
    west, north = (low_x + high_x - side) / 2, (low_y + high_y + side) / 2
    panels = []
    for image in place.window(west, north, side):
        panel: Image = np.array(cv2.resize(image, (_PANEL_PX, _PANEL_PX), interpolation=cv2.INTER_CUBIC), np.uint8)
        plain = panel.copy()
        for thing in place.case.truth:
            if thing.family == family and not thing.neutral:
                _outline(panel, thing.polygon, (west, north), side, _TRUE)
        for found in place.case.found:
            if found.family == family and found.probability >= threshold:
                _outline(panel, found.polygon, (west, north), side, _FOUND)
        _outline(panel, mistake.polygon, (west, north), side, _THIS)
        panels += [plain, panel]
    return np.hstack(panels)


def draw_mistakes(
    places: Sequence[Place], thresholds: dict[str, float], least_m2: dict[str, float], out: Path
) -> list[Path]:
    """Draws every miss and every false candidate, each day without and with outlines (true green, found blue, it red).

    Args:
        places: Judged places.
        thresholds: Review threshold by family.
        least_m2: Smaller true things count neither way, by family.
        out: Folder; made where it is not there. One PNG a mistake, `<family>-<missed|false>-<place>-<n>.png`, and
            `index.csv` with area and probability.

    Returns:
        The pictures.

    Raises:
        InferenceError: `out` is a file.
    """
    if out.is_file():
        raise InferenceError(f"{out} is a file: give a folder for the pictures")
    rows, paths = ["file,place,family,kind,area_m2,probability"], []
    for place in places:
        for family, threshold in thresholds.items():
            for n, mistake in enumerate(mistakes(place.case, family, threshold, least_m2.get(family, 0.0)), start=1):
                name = f"{family}-{mistake.kind}-{place.case.place}-{n:02d}.png"
                picture = cv2.cvtColor(_picture(place, mistake, family, threshold), cv2.COLOR_RGB2BGR)
                write_atomic(out / name, cv2.imencode(".png", picture)[1].tobytes())
                paths.append(out / name)
                probability = "" if mistake.probability is None else f"{mistake.probability:.3f}"
                rows.append(f"{name},{place.case.place},{family},{mistake.kind},{mistake.area_m2:.1f},{probability}")
    write_atomic(out / "index.csv", ("\n".join(rows) + "\n").encode())
    return paths
