"""Crops of one candidate: the same ground before and after, and the best photographs around its box."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import from_bounds as transform_of
from shapely import transform
from shapely.geometry.base import BaseGeometry

from api.errors import NotFoundError
from api.tiles.privacy import DEFAULT_RULES, Hidden, PrivacyRules, hide, shown_px

# A window that shows a thing with its surroundings: three times its size, at least this much ground.
MIN_WINDOW_M = 24.0
AROUND = 3.0
CHIP_PX = 720
FRAME_PX = 1280
# Ground of the picture that says where: a block with its streets.
LOCATOR_M = 300.0
JPEG_QUALITY = 85
# Orange: seen on grass, soil, concrete and blue roofs alike.
MARK = (255, 106, 0)
_MAX_PHOTO_PIXELS = 200_000_000
Image.MAX_IMAGE_PIXELS = _MAX_PHOTO_PIXELS


def chip_jpeg(
    mosaic: Path,
    geometry: BaseGeometry,
    *,
    like: Path | None = None,
    outline: bool = True,
    size_px: int = CHIP_PX,
    rules: PrivacyRules = DEFAULT_RULES,
) -> bytes:
    """A square chip of `mosaic` around a WGS84 geometry, its outline drawn.

    Args:
        mosaic: GeoTIFF in a metric CRS.
        geometry: The candidate's polygon or point, WGS84.
        like: Another mosaic whose CRS names the window, so that before and after show the same ground.
        outline: Whether the geometry is drawn.
        size_px: Side of the chip.
        rules: How fine the ground may be shown.

    Raises:
        NotFoundError: The mosaic is not there, or does not reach this place.
    """
    try:
        crs = _crs_of(like or mosaic)
        with rasterio.open(mosaic) as dataset:
            shape, window = _square(geometry, crs)
            pixels = _read(dataset, window, crs, shown_px(window[2] - window[0], size_px, rules))
    except rasterio.errors.RasterioIOError as error:
        raise NotFoundError(f"the mosaic {mosaic.name} cannot be read: stitch the patrol again") from error
    image = Image.fromarray(pixels)
    if image.width != size_px:
        image = image.resize((size_px, size_px), Image.Resampling.BICUBIC)
    if outline:
        _draw(image, shape, window)
    return _jpeg(image)


@lru_cache(maxsize=64)
def _transformer(wkt: str) -> Transformer:
    return Transformer.from_crs(4326, wkt, always_xy=True)


@lru_cache(maxsize=256)
def _crs(path: str, _changed_ns: int) -> rasterio.crs.CRS:
    with rasterio.open(path) as dataset:
        return dataset.crs


def _crs_of(mosaic: Path) -> rasterio.crs.CRS:
    try:
        return _crs(str(mosaic), mosaic.stat().st_mtime_ns)
    except OSError as error:
        raise NotFoundError(f"the mosaic {mosaic.name} cannot be read: stitch the patrol again") from error


def chip_window(mosaic: Path, geometry: BaseGeometry) -> dict[str, Any]:
    """Where the outline lies in the chips of a geometry: side in metres, rings in 0..1 (u right, v down)."""
    shape, (west, _, east, north) = _square(geometry, _crs_of(mosaic))
    side = east - west
    rings = [
        [[round((x - west) / side, 5), round((north - y) / side, 5)] for x, y in ring.coords]
        for part in getattr(shape, "geoms", [shape])
        for ring in ([part.exterior] if part.geom_type == "Polygon" else [part])
    ]
    return {"side_m": round(side, 2), "outline": rings}


def _square(geometry: BaseGeometry, crs: rasterio.crs.CRS) -> tuple[BaseGeometry, tuple[float, float, float, float]]:
    to_crs = _transformer(crs.to_wkt())
    shape = transform(geometry, lambda points: np.column_stack(to_crs.transform(points[:, 0], points[:, 1])))
    west, south, east, north = shape.bounds
    half = max(AROUND * max(east - west, north - south), MIN_WINDOW_M) / 2
    x, y = (west + east) / 2, (south + north) / 2
    return shape, (x - half, y - half, x + half, y + half)


def _read(
    dataset: rasterio.DatasetReader, window: tuple[float, float, float, float], crs: rasterio.crs.CRS, size_px: int
) -> NDArray[np.uint8]:
    from rasterio.vrt import WarpedVRT

    indexes = (1, 2, 3) if dataset.count >= 3 else (1, 1, 1)
    # The VRT is the chip itself: it reads the fitting overview, and is black beyond the mosaic.
    grid = transform_of(*window, size_px, size_px)
    with WarpedVRT(
        dataset, crs=crs, transform=grid, width=size_px, height=size_px, resampling=Resampling.bilinear
    ) as vrt:
        pixels = vrt.read(indexes)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1).astype(np.uint8))


def _draw(image: Image.Image, shape: BaseGeometry, window: tuple[float, float, float, float]) -> None:
    west, _, east, north = window
    scale = image.width / (east - west)
    draw = ImageDraw.Draw(image)
    for part in getattr(shape, "geoms", [shape]):
        if part.geom_type == "Point":
            x, y = (part.x - west) * scale, (north - part.y) * scale
            draw.ellipse((x - 18, y - 18, x + 18, y + 18), outline=MARK, width=3)
            continue
        points = [((x - west) * scale, (north - y) * scale) for x, y in part.exterior.coords]
        draw.line(points, fill=(0, 0, 0), width=5, joint="curve")
        draw.line(points, fill=MARK, width=3, joint="curve")


def locator_jpeg(
    mosaic: Path, geometry: BaseGeometry, *, size_px: int = 900, rules: PrivacyRules = DEFAULT_RULES
) -> bytes:
    """Where a geometry lies: the mosaic around it, north up, with a mark, an arrow and a scale.

    Raises:
        NotFoundError: The mosaic is not there.
    """
    crs = _crs_of(mosaic)
    shape, (west, south, east, north) = _square(geometry, crs)
    x, y = (west + east) / 2, (south + north) / 2
    with rasterio.open(mosaic) as dataset:
        whole = max(dataset.bounds.right - dataset.bounds.left, dataset.bounds.top - dataset.bounds.bottom)
        half = max(min(LOCATOR_M, whole), AROUND * (east - west)) / 2
        pixels = _read(dataset, (x - half, y - half, x + half, y + half), crs, shown_px(2 * half, size_px, rules))
    image = Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC)
    draw, scale = ImageDraw.Draw(image), size_px / (2 * half)
    reach = max(0.75 * max(shape.bounds[2] - shape.bounds[0], shape.bounds[3] - shape.bounds[1]) * scale, 14.0)
    centre = size_px / 2
    for width, colour in ((7, (0, 0, 0)), (4, MARK)):
        draw.ellipse((centre - reach, centre - reach, centre + reach, centre + reach), outline=colour, width=width)
    _scale_bar(draw, size_px, scale)
    return _jpeg(image)


def _scale_bar(draw: ImageDraw.ImageDraw, size_px: int, px_per_m: float) -> None:
    """A bar of about a fifth of the picture, and north."""
    metres = max((m for m in (5, 10, 20, 50, 100, 200, 500, 1000) if m * px_per_m <= size_px / 4), default=5)
    x, y, length = 24, size_px - 30, metres * px_per_m
    font = ImageFont.load_default(22)
    for grow, colour in ((3, (0, 0, 0)), (0, (255, 255, 255))):
        draw.rectangle((x - grow, y - 4 - grow, x + length + grow, y + 4 + grow), fill=colour)
        draw.polygon(
            [(size_px - 40, 24 - 2 * grow), (size_px - 56 - grow, 64 + grow), (size_px - 24 + grow, 64 + grow)],
            fill=colour,
        )
    white, black = (255, 255, 255), (0, 0, 0)
    draw.text((x, y - 34), f"{metres} m", fill=white, stroke_width=2, stroke_fill=black, font=font)
    draw.text((size_px - 47, 68), "N", fill=white, stroke_width=2, stroke_fill=black, font=font)


View = Literal["overview", "medium", "detail"]
# How much of the photograph a view shows, in sizes of the box; the overview is the whole of it.
_VIEWS: dict[str, float] = {"medium": 6.0, "detail": 2.0}


def frame_jpeg(
    photo: Path,
    bbox_px: tuple[float, float, float, float],
    *,
    view: View = "medium",
    mark: bool = True,
    gsd_m: float | None = None,
    rules: PrivacyRules = DEFAULT_RULES,
) -> bytes:
    """`frame_picture` without the word of what was hidden."""
    return frame_picture(photo, bbox_px, view=view, mark=mark, gsd_m=gsd_m, rules=rules)[0]


def frame_picture(
    photo: Path,
    bbox_px: tuple[float, float, float, float],
    *,
    view: View = "medium",
    mark: bool = True,
    gsd_m: float | None = None,
    rules: PrivacyRules = DEFAULT_RULES,
) -> tuple[bytes, Hidden]:
    """A view of a photograph around a box (full-scale pixels), the box drawn; at most `FRAME_PX` a side.

    Args:
        photo: The file.
        bbox_px: The box, pixels as stored.
        view: How much of it.
        mark: Whether the box is drawn.
        gsd_m: The finest ground resolution it can have (`privacy.finest_gsd_m`); None: unknown, taken as close by.
        rules: What may be shown.

    Raises:
        NotFoundError: The photograph is not there, or cannot be decoded.
    """
    try:
        with Image.open(photo) as opened:
            # A box is in the pixels as stored; the orientation tag is for viewers. Decoding at half or a quarter is
            # four to ten times quicker, and the overview needs no more.
            full = opened.size
            if view == "overview":
                opened.draft("RGB", (FRAME_PX, FRAME_PX))
            image = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise NotFoundError(f"the photograph {photo.name} cannot be read") from error
    reduced = image.width / full[0]
    x0, y0, x1, y1 = (value * reduced for value in bbox_px)
    image, hidden = hide(image, (x0, y0, x1, y1), None if gsd_m is None else gsd_m / reduced, rules)
    part = _part(image.size, (x0, y0, x1, y1), _VIEWS.get(view))
    cut = image.crop(part)
    scale = min(FRAME_PX / max(cut.size), 3.0)
    cut = cut.resize((max(int(cut.width * scale), 1), max(int(cut.height * scale), 1)), Image.Resampling.LANCZOS)
    if mark:
        left, right = sorted(((x0 - part[0]) * scale, (x1 - part[0]) * scale))
        top, bottom = sorted(((y0 - part[1]) * scale, (y1 - part[1]) * scale))
        ImageDraw.Draw(cut).rectangle((left, top, right, bottom), outline=MARK, width=3)
    return _jpeg(cut), hidden


def _part(size: tuple[int, int], box: tuple[float, ...], around: float | None) -> tuple[int, int, int, int]:
    """The rectangle that a view shows, of the photograph's own proportions, within it."""
    width, height = size
    if around is None:
        return 0, 0, width, height
    wanted = max(around * max(abs(box[2] - box[0]), abs(box[3] - box[1])), 320.0)
    share = min(wanted / min(width, height), 1.0)
    w, h = width * share, height * share
    left = min(max((box[0] + box[2] - w) / 2, 0.0), width - w)
    top = min(max((box[1] + box[3] - h) / 2, 0.0), height - h)
    return int(left), int(top), max(int(left + w), int(left) + 1), max(int(top + h), int(top) + 1)


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    ImageOps.exif_transpose(image).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
