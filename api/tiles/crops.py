"""Crops of one candidate: the same ground before and after, and the best photographs around its box."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.transform import from_bounds as transform_of
from shapely import transform
from shapely.geometry.base import BaseGeometry

from api.errors import NotFoundError

# A window that shows a thing with its surroundings: three times its size, at least this much ground.
MIN_WINDOW_M = 24.0
AROUND = 3.0
CHIP_PX = 720
JPEG_QUALITY = 85
# Orange: seen on grass, soil, concrete and blue roofs alike.
MARK = (255, 106, 0)
_MAX_PHOTO_PIXELS = 200_000_000
Image.MAX_IMAGE_PIXELS = _MAX_PHOTO_PIXELS


def chip_jpeg(mosaic: Path, geometry: BaseGeometry, *, like: Path | None = None, outline: bool = True) -> bytes:
    """A square chip of `mosaic` around a WGS84 geometry, its outline drawn.

    Args:
        mosaic: GeoTIFF in a metric CRS.
        geometry: The candidate's polygon or point, WGS84.
        like: Another mosaic whose CRS names the window, so that before and after show the same ground.
        outline: Whether the geometry is drawn.

    Raises:
        NotFoundError: The mosaic is not there, or does not reach this place.
    """
    try:
        with rasterio.open(like or mosaic) as reference:
            crs = reference.crs
        with rasterio.open(mosaic) as dataset:
            shape, window = _square(geometry, crs)
            pixels = _read(dataset, window, crs)
    except rasterio.errors.RasterioIOError as error:
        raise NotFoundError(f"the mosaic {mosaic.name} cannot be read: stitch the patrol again") from error
    image = Image.fromarray(pixels)
    if outline:
        _draw(image, shape, window)
    return _jpeg(image)


def _square(geometry: BaseGeometry, crs: rasterio.crs.CRS) -> tuple[BaseGeometry, tuple[float, float, float, float]]:
    to_crs = Transformer.from_crs(4326, crs.to_wkt(), always_xy=True)
    shape = transform(geometry, lambda points: np.column_stack(to_crs.transform(points[:, 0], points[:, 1])))
    west, south, east, north = shape.bounds
    half = max(AROUND * max(east - west, north - south), MIN_WINDOW_M) / 2
    x, y = (west + east) / 2, (south + north) / 2
    return shape, (x - half, y - half, x + half, y + half)


def _read(
    dataset: rasterio.DatasetReader, window: tuple[float, float, float, float], crs: rasterio.crs.CRS
) -> NDArray[np.uint8]:
    from rasterio.vrt import WarpedVRT

    indexes = (1, 2, 3) if dataset.count >= 3 else (1, 1, 1)
    # The VRT is the chip itself: it reads the fitting overview, and is black beyond the mosaic.
    grid = transform_of(*window, CHIP_PX, CHIP_PX)
    with WarpedVRT(
        dataset, crs=crs, transform=grid, width=CHIP_PX, height=CHIP_PX, resampling=Resampling.bilinear
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


def frame_jpeg(photo: Path, bbox_px: tuple[float, float, float, float], *, mark: bool = True) -> bytes:
    """The part of a photograph around a box (full-scale pixels), the box drawn.

    Raises:
        NotFoundError: The photograph is not there, or cannot be decoded.
    """
    try:
        with Image.open(photo) as opened:
            # A box is in the pixels as stored; the orientation tag is for viewers.
            image = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise NotFoundError(f"the photograph {photo.name} cannot be read") from error
    x0, y0, x1, y1 = bbox_px
    side = min(max(AROUND * max(x1 - x0, y1 - y0), 480.0), float(max(image.size)))
    left = min(max((x0 + x1 - side) / 2, 0.0), max(image.width - side, 0.0))
    top = min(max((y0 + y1 - side) / 2, 0.0), max(image.height - side, 0.0))
    part = (int(left), int(top), int(min(left + side, image.width)), int(min(top + side, image.height)))
    cut = image.crop(part)
    scale = min(CHIP_PX / max(cut.size), 4.0)
    cut = cut.resize((max(int(cut.width * scale), 1), max(int(cut.height * scale), 1)), Image.Resampling.LANCZOS)
    if mark:
        box = tuple((value - offset) * scale for value, offset in zip(bbox_px, (left, top, left, top), strict=True))
        ordered = (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
        ImageDraw.Draw(cut).rectangle(ordered, outline=MARK, width=3)
    return _jpeg(cut)


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    ImageOps.exif_transpose(image).save(out, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return out.getvalue()
