"""When and where a photograph was taken, from its EXIF alone: the first kilobytes of the file, no pixel decoded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from PIL import Image, UnidentifiedImageError

DEFAULT_ZONE = "Asia/Shanghai"
_GPS, _EXIF = 0x8825, 0x8769
_ORIGINAL, _OFFSET, _PLAIN, _SERIAL = 0x9003, 0x9011, 0x0132, 0xA431


@dataclass(frozen=True)
class Shot:
    """One photograph of a card.

    Attributes:
        path: The file.
        time_utc: GPS time, else EXIF time with its offset, else EXIF time in the given zone; None where there is none.
        lonlat: Degrees, None where there is none.
        camera: Serial number of the body, empty where there is none.
    """

    path: Path
    time_utc: datetime | None
    lonlat: tuple[float, float] | None
    camera: str = ""


def _degrees(values: Any, mark: Any) -> float | None:
    try:
        degrees, minutes, seconds = (float(value) for value in values)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    sign = -1.0 if str(mark).upper() in ("S", "W") else 1.0
    return sign * (degrees + minutes / 60 + seconds / 3600)


def _place(gps: dict[int, Any]) -> tuple[float, float] | None:
    lat, lon = _degrees(gps.get(2), gps.get(1)), _degrees(gps.get(4), gps.get(3))
    # (0, 0) is what cameras write before their first fix, not a place in the Atlantic.
    if lat is None or lon is None or (lat == 0 and lon == 0) or abs(lat) > 90 or abs(lon) > 180:
        return None
    return lon, lat


def _gps_time(gps: dict[int, Any]) -> datetime | None:
    try:
        year, month, day = (int(part) for part in str(gps[29]).split(":"))
        hours, minutes, seconds = (float(value) for value in gps[7])
        midnight = datetime(year, month, day, tzinfo=UTC)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _camera_time(exif: Any, zone: tzinfo) -> datetime | None:
    inner = exif.get_ifd(_EXIF)
    text = inner.get(_ORIGINAL) or exif.get(_PLAIN)
    try:
        time = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    offset = str(inner.get(_OFFSET) or "").strip("\0 ")
    if len(offset) == 6 and offset[0] in "+-":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        zone = timezone((1 if offset[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))
    return time.replace(tzinfo=zone).astimezone(UTC)


def read_shot(path: Path, zone: str = DEFAULT_ZONE) -> Shot | None:
    """Reads one photograph's EXIF; None where the file is no image.

    Args:
        path: The file.
        zone: Time zone of a camera clock that carries no offset.
    """
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            gps = dict(exif.get_ifd(_GPS))
            serial = str(exif.get_ifd(_EXIF).get(_SERIAL) or "").strip("\0 ")
            return Shot(path, _gps_time(gps) or _camera_time(exif, ZoneInfo(zone)), _place(gps), serial)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None
