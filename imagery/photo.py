"""One photograph's own word about itself: who took it, when, where, and how the camera looked.

What a maker writes is read with suspicion: zero coordinates are no position, EXIF altitude is kept apart from the
height above take-off, and a focal length is a guess until the adjustment has had its say.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from PIL import ExifTags, Image, UnidentifiedImageError

from imagery.errors import ImageryError

Fix = Literal["none", "3d", "rtk"]

# Without any focal length in the file: a 24 mm equivalent, the middle of drone cameras (20 to 35 mm).
DEFAULT_FOCAL_35MM = 24.0
# XMP stands in the first segments; two DJI models put it after a thumbnail of 60 kB.
XMP_SEARCH_BYTES = 400_000
LASER_REACH_M = (3.0, 3000.0)


@dataclass(frozen=True)
class Photo:
    """A readable photograph.

    Attributes:
        path: Where it lies.
        file: Path relative to the frames folder.
        id: SHA-256 of the bytes.
        sortie_id: Its subfolder, or "".
        width_px: Stored width; the EXIF orientation is not applied, here or anywhere in `imagery`.
        height_px: Stored height.
        camera: Make, model and serial number as one key.
        time_utc: When, or None.
        lon: Degrees, or None without a position.
        lat: Degrees, or None.
        alt_amsl_m: What the file says; may be far off.
        height_rel_m: Above take-off, or None.
        yaw_deg: Camera heading clockwise from north, or None.
        pitch_deg: -90 is nadir, or None.
        roll_deg: Right side down is positive, or None.
        focal_px: Focal length in pixels of this file.
        focal_sigma: Its relative uncertainty.
        fix: none (unknown), 3d or rtk.
        std_h_m: Stated horizontal accuracy, or None.
        std_v_m: Stated vertical accuracy, or None.
        range_m: What a laser measured to what the image centre shows, or None.
        distrust: Why a position that the file has is not believed, or "".
    """

    path: Path
    file: str
    id: str
    sortie_id: str
    width_px: int
    height_px: int
    camera: str
    time_utc: datetime | None = None
    lon: float | None = None
    lat: float | None = None
    alt_amsl_m: float | None = None
    height_rel_m: float | None = None
    yaw_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None
    focal_px: float = 0.0
    focal_sigma: float = 0.05
    fix: Fix = "none"
    std_h_m: float | None = None
    std_v_m: float | None = None
    range_m: float | None = None
    distrust: str = ""

    @property
    def height_by_laser_m(self) -> float | None:
        """Height above what the image centre shows, from the laser range and the gimbal's pitch."""
        if self.range_m is None:
            return None
        return self.range_m * math.sin(math.radians(-(self.pitch_deg if self.pitch_deg is not None else -90.0)))


def read_photo(path: Path, root: Path, data: bytes, tz: str = "Asia/Shanghai") -> Photo:
    """Reads a photograph's metadata out of its bytes.

    Args:
        path: The file.
        root: The frames folder; names in messages and results are relative to it.
        data: The file's bytes.
        tz: Zone of EXIF times that carry no offset.

    Raises:
        ImageryError: Not an image, or truncated; the message is the reason alone.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            width_px, height_px = image.size
            exif = image.getexif()
            kind = image.format
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageryError("not an image that can be read") from error
    if kind in {"JPEG", "MPO"} and not _jpeg_is_whole(data):
        raise ImageryError("truncated: the JPEG data end before the end-of-image mark")
    details, gps = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    xmp = _xmp(data)
    lon, lat, distrust = _position(gps, xmp)
    focal_px, focal_sigma = _focal(details, xmp, width_px, height_px)
    relative = path.relative_to(root)
    std = [_number(xmp.get(name)) for name in ("RtkStdLon", "RtkStdLat", "RtkStdHgt")]
    flag = _number(xmp.get("RtkFlag"))
    return Photo(
        path=path,
        file=relative.as_posix(),
        id=hashlib.sha256(data).hexdigest(),
        sortie_id=relative.parent.as_posix() if relative.parent != Path() else "",
        width_px=width_px,
        height_px=height_px,
        camera="|".join(_text(value) for value in (exif.get(271), exif.get(272), details.get(0xA431))),
        time_utc=_time(exif, details, gps, tz),
        lon=lon,
        lat=lat,
        alt_amsl_m=_first(_number(xmp.get("AbsoluteAltitude")), _altitude(gps)),
        height_rel_m=_number(xmp.get("RelativeAltitude")),
        yaw_deg=_number(xmp.get("GimbalYawDegree")),
        pitch_deg=_number(xmp.get("GimbalPitchDegree")),
        roll_deg=_number(xmp.get("GimbalRollDegree")),
        focal_px=focal_px,
        focal_sigma=focal_sigma,
        fix="rtk" if flag is not None and flag >= 50 else "3d" if lon is not None else "none",
        std_h_m=max(std[0], std[1]) if std[0] and std[1] else None,
        std_v_m=std[2] or None,
        range_m=_laser(xmp),
        distrust=distrust,
    )


def _laser(xmp: dict[str, str]) -> float | None:
    """A DJI laser's range where it says that it is good (`LRFStatus`), within what such a laser reaches."""
    distance = _number(xmp.get("LRFTargetDistance"))
    if distance is None or not LASER_REACH_M[0] <= distance <= LASER_REACH_M[1]:
        return None
    return distance if xmp.get("LRFStatus", "Normal").strip().lower() in {"normal", "0"} else None


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the main scan ends: markers up to the scan are walked, so a thumbnail's end is not taken for it."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return False
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _xmp(data: bytes) -> dict[str, str]:
    """The drone's own XMP fields, by local name; elements and attributes are both in use."""
    start = data.find(b"<x:xmpmeta", 0, XMP_SEARCH_BYTES)
    if start < 0:
        return {}
    packet = data[start : data.find(b"</x:xmpmeta>", start)].decode("utf-8", errors="replace")
    fields = dict(re.findall(r'(?:drone-dji|Camera|drone|drone-parrot):(\w+)\s*=\s*"([^"]*)"', packet))
    fields.update(re.findall(r"<(?:drone-dji|Camera|drone|drone-parrot):(\w+)>([^<]*)</", packet))
    return fields


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _text(value: Any) -> str:
    return str(value).replace("\x00", "").strip() if value else ""


def _degrees(value: Any, reference: Any) -> float | None:
    try:
        parts = [float(part) for part in value]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    degrees = sum(part / 60.0**index for index, part in enumerate(parts[:3]))
    return -degrees if _text(reference).upper() in {"S", "W"} else degrees


def _position(gps: dict[int, Any], xmp: dict[str, str]) -> tuple[float | None, float | None, str]:
    """Longitude and latitude, XMP first (more digits; one firmware writes `GPSLongtitude`), or why there are none."""
    lat = _first(_number(xmp.get("GPSLatitude")), _degrees(gps.get(2), gps.get(1)))
    lon = _first(_number(xmp.get("GPSLongitude")), _number(xmp.get("GPSLongtitude")), _degrees(gps.get(4), gps.get(3)))
    if lon is None or lat is None:
        return None, None, ""
    if abs(lat) > 84.0 or abs(lon) > 180.0:
        return None, None, f"impossible position: latitude {lat:.4f}, longitude {lon:.4f} (swapped?)"
    # 0,0 is what a receiver without a fix writes.
    return (None, None, "") if abs(lon) < 1e-6 and abs(lat) < 1e-6 else (lon, lat, "")


def _altitude(gps: dict[int, Any]) -> float | None:
    altitude = _number(gps.get(6))
    return -altitude if altitude is not None and gps.get(5) in (1, b"\x01") else altitude


def _focal(details: dict[int, Any], xmp: dict[str, str], width: int, height: int) -> tuple[float, float]:
    """Focal length in pixels and its relative sigma: calibrated, focal plane, 35 mm equivalent, or a guess."""
    long_side = max(width, height)
    stored_long = max(_number(details.get(0xA002)) or 0.0, _number(details.get(0xA003)) or 0.0) or float(long_side)
    calibrated = _number(xmp.get("CalibratedFocalLength"))
    if calibrated and calibrated > 100.0:
        return calibrated * long_side / stored_long, 0.02
    focal_mm = _number(details.get(0x920A))
    plane, unit = _number(details.get(0xA20E)), _number(details.get(0xA210)) or 2.0
    if focal_mm and plane and plane > 0:
        mm = {2.0: 25.4, 3.0: 10.0, 4.0: 1.0}.get(unit, 25.4)
        guess = focal_mm * plane / mm * long_side / stored_long
        if 0.3 * long_side < guess < 30.0 * long_side:
            return guess, 0.03
    equivalent = _number(details.get(0xA405))
    if equivalent and equivalent > 5.0:
        return equivalent / 36.0 * long_side, 0.05
    return DEFAULT_FOCAL_35MM / 36.0 * long_side, 0.2


def _time(exif: Any, details: dict[int, Any], gps: dict[int, Any], tz: str) -> datetime | None:
    """GPS time, else EXIF with its offset, else EXIF in `tz`."""
    stamp, day = gps.get(7), _text(gps.get(29))
    if stamp and day and not day.startswith("1900"):
        try:
            seconds = sum(float(part) * 60.0 ** (2 - index) for index, part in enumerate(stamp))
            return datetime.strptime(day, "%Y:%m:%d").replace(tzinfo=UTC) + timedelta(seconds=seconds)
        except (TypeError, ValueError, ZeroDivisionError):
            pass
    text = _text(details.get(0x9003)) or _text(exif.get(306))
    try:
        local = datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    fraction = _text(details.get(0x9291)) or "0"
    local += timedelta(seconds=float(f"0.{fraction}")) if fraction.isdigit() else timedelta()
    offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", _text(details.get(0x9011)))
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3])
        zone = timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
        return local.replace(tzinfo=zone).astimezone(UTC)
    return local.replace(tzinfo=ZoneInfo(tz)).astimezone(UTC)
