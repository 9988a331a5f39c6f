"""Nobody is recognised in what is shown: faces and plates are made illegible by rule, and where rules end, found.

A patrol's photographs are taken from so far that a face is a few pixels: there the *ground resolution* of what is
shown is the safe rule, for it misses nothing. Only a photograph taken from close by (or from an unknown distance: no
height in its file, not placed by the stitcher) needs recognition; there everything but the thing itself is shown
coarsely as well, because a recogniser misses some.

| finest ground resolution of a photograph | what is shown |
|---|---|
| `legible_gsd_m` or coarser | as it is |
| between that and `close_gsd_m` | nothing finer than `legible_gsd_m` |
| finer, or unknown | outside the box the whole photograph at `context_px`; inside it found faces and plates blurred |

At 2.5 cm a face of 15 cm has 6 pixels, a character of a plate (45 x 90 mm, GA 36) 2 x 4. Mosaics and their tiles are
never shown finer than `legible_gsd_m` either. Originals stay untouched, behind a role and a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from pydantic import BaseModel, ConfigDict, Field

from api.errors import NotFoundError
from api.tiles import detectors
from imagery.errors import ImageryError
from imagery.photo import read_photo
from imagery.poses import read_poses
from imagery.report import read_report

# Ground may rise, and people stand on roofs: nothing is nearer than this share of the height above take-off.
NEAREST_SHARE = 0.8
# Around the box, in sizes of it, what counts as the thing itself.
AROUND_BOX = 0.25


class PrivacyRules(BaseModel):
    """Section `[privacy]` of `settings.toml`.

    Attributes:
        legible_gsd_m: Ground resolution at which no face or plate can be read; nothing finer is shown.
        close_gsd_m: Photographs finer than this are not coarsened as a whole (a heap would be mush) but by parts.
        context_px: Long side of a close photograph's surroundings. At 320, with a lens of 70 degrees, a face three
            metres away is 12 pixels wide, a plate's character 3.
        detect: Whether faces and plates are looked for in close photographs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    legible_gsd_m: float = Field(default=0.025, ge=0.005, le=1.0)
    close_gsd_m: float = Field(default=0.010, ge=0.0, le=1.0)
    context_px: int = Field(default=320, ge=16, le=4096)
    detect: bool = True


DEFAULT_RULES = PrivacyRules()
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Hidden:
    """What was done to a picture; kept with derived evidence."""

    rule: str
    faces: int = 0
    plates: int = 0


def finest_gsd_m(photo: Path, poses: Path | None = None, report: Path | None = None) -> float | None:
    """The finest ground resolution that a photograph can have, or None when nothing tells how far it was taken from.

    The ground is nowhere nearer than the camera is high, whichever way it looks. Without a height in its own file, a
    photograph that the stitcher matched has the mosaic's resolution, roughly.

    Args:
        photo: The file.
        poses: The patrol's `poses.json`.
        report: The patrol's `mosaic.json`.

    Raises:
        NotFoundError: The photograph cannot be read.
    """
    try:
        found = read_photo(photo, photo.parent, photo.read_bytes())
    except (OSError, ImageryError) as error:
        raise NotFoundError(f"the photograph {photo.name} cannot be read") from error
    if found.height_rel_m is not None and found.height_rel_m > 0 and found.focal_px > 0:
        return NEAREST_SHARE * found.height_rel_m / found.focal_px
    if poses is None or report is None:
        return None
    try:
        gsd_m, matched = _placed(str(poses), poses.stat().st_mtime_ns, str(report), report.stat().st_mtime_ns)
    except (OSError, ImageryError):
        return None
    return NEAREST_SHARE * gsd_m if found.id in matched else None


@lru_cache(maxsize=16)
def _placed(poses: str, _poses_ns: int, report: str, _report_ns: int) -> tuple[float, frozenset[str]]:
    matched = {frame.id for frame in read_poses(Path(poses)).frames if frame.placed == "matched"}
    return float(read_report(Path(report)).gsd_m), frozenset(matched)


def shown_px(ground_m: float, size_px: int, rules: PrivacyRules = DEFAULT_RULES) -> int:
    """How many real pixels a picture of so much ground may have; it is then enlarged to its size."""
    return max(min(size_px, int(ground_m / rules.legible_gsd_m)), 1)


def hide(image: Image.Image, box: Box, gsd_m: float | None, rules: PrivacyRules) -> tuple[Image.Image, Hidden]:
    """A photograph as it may be shown, of the same size.

    Args:
        image: The photograph, RGB, full size or reduced.
        box: What it is shown for, pixels of `image`.
        gsd_m: Finest ground resolution of a pixel of `image`, or None.
        rules: What is legible.
    """
    if gsd_m is not None and gsd_m >= rules.legible_gsd_m:
        return image, Hidden("far")
    if gsd_m is not None and gsd_m >= rules.close_gsd_m:
        share = gsd_m / rules.legible_gsd_m
        return coarse(image, int(max(image.size) * share)), Hidden("coarse")
    part = _thing(image, box)
    limit = max(image.size) if gsd_m is None else int(max(image.size) * gsd_m / rules.legible_gsd_m)
    shown = coarse(image, max(min(rules.context_px, limit), 1))
    inner, faces, plates = image.crop(part), 0, 0
    if rules.detect:
        inner, faces, plates = _blur_found(inner)
    shown.paste(inner, part[:2])
    return shown, Hidden("close", faces, plates)


def coarse(image: Image.Image, long_side_px: int) -> Image.Image:
    """The picture with the detail of one whose long side has so many pixels, at its own size."""
    share = long_side_px / max(image.size)
    if share >= 1.0:
        return image.copy()
    small = (max(round(image.width * share), 1), max(round(image.height * share), 1))
    return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)


def _thing(image: Image.Image, box: Box) -> tuple[int, int, int, int]:
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    dx, dy = AROUND_BOX * (x1 - x0), AROUND_BOX * (y1 - y0)
    left, top = max(int(x0 - dx), 0), max(int(y0 - dy), 0)
    right, bottom = min(int(x1 + dx) + 1, image.width), min(int(y1 + dy) + 1, image.height)
    return min(left, image.width - 1), min(top, image.height - 1), max(right, left + 1), max(bottom, top + 1)


def _blur_found(image: Image.Image) -> tuple[Image.Image, int, int]:
    pixels = np.asarray(image)
    faces, plates = detectors.faces(pixels), detectors.plates(pixels)
    out = image.copy()
    for x0, y0, x1, y1 in faces + plates:
        piece = image.crop((x0, y0, x1, y1))
        # Eight cells across, then softened: enough to see that somebody is there, not who.
        small = piece.resize((8, max(round(8 * piece.height / piece.width), 1)), Image.Resampling.BOX)
        out.paste(small.resize(piece.size, Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(1)), (x0, y0))
    return out, len(faces), len(plates)
