"""Positions computed after the flight: the event file that RTKLIB and tools built on it write (`*_events.pos`).

One line an exposure, in the order of taking: date, time, latitude, longitude, ellipsoidal height, quality (1 fixed,
2 float, 5 single), satellites, and standard deviations north, east, up. See RTKLIB's manual, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imagery.errors import ImageryError
from imagery.photo import Fix, Photo

# GPS time has run ahead of UTC by this since 2017.
LEAP_S = 18.0
# An event and a photograph belong together by time when they are this near.
SAME_EXPOSURE_S = 1.0
QUALITY: dict[int, Fix] = {1: "rtk"}


@dataclass(frozen=True)
class Event:
    """One exposure: when, where (degrees, ellipsoidal metres), how well."""

    time_utc: datetime
    lat: float
    lon: float
    height_m: float
    fix: Fix
    std_h_m: float
    std_v_m: float


def read_events(path: Path) -> list[Event]:
    """Events of a `.pos` file.

    Raises:
        ImageryError: A line that is no event, with its number; or coordinates that are not degrees.
    """
    gps_time, events = True, []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if line.startswith("%"):
            if "UTC" in line[:12]:
                gps_time = False
            continue
        if line.strip():
            events.append(_event(line, path, number, LEAP_S if gps_time else 0.0))
    return events


def _event(line: str, path: Path, number: int, ahead_s: float) -> Event:
    parts = line.replace(",", " ").split()
    try:
        day, clock = parts[0].replace("-", "/"), parts[1].split(".")
        time = datetime.strptime(f"{day} {clock[0]}", "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC)
        time += timedelta(seconds=float(f"0.{clock[1]}") if len(clock) > 1 else 0.0) - timedelta(seconds=ahead_s)
        lat, lon, height, quality = float(parts[2]), float(parts[3]), float(parts[4]), int(parts[5])
        north, east, up = (float(part) for part in parts[7:10])
    except (ValueError, IndexError) as error:
        expected = "`date time lat lon height Q ns sdn sde sdu`"
        raise ImageryError(f"{path} line {number}: expected {expected}, got {line[:60]!r}") from error
    if abs(lat) > 90.0 or abs(lon) > 180.0:
        raise ImageryError(f"{path} line {number}: expected latitude and longitude in degrees, got {lat} {lon}")
    return Event(time, lat, lon, height, QUALITY.get(quality, "3d"), max(north, east), up)


def apply_events(photos: Sequence[Photo], log: Path) -> list[Photo]:
    """Photographs of the log's folder with its positions: in order where the numbers agree, by time else."""
    events = read_events(log)
    own = sorted((photo for photo in photos if photo.path.parent == log.parent), key=lambda photo: photo.path.name)
    if len(own) == len(events):
        chosen = {photo.id: event for photo, event in zip(own, events, strict=True)}
    else:
        chosen = {photo.id: event for photo in own if (event := _nearest(photo, events)) is not None}
    return [_with(photo, chosen[photo.id]) if photo.id in chosen else photo for photo in photos]


def _nearest(photo: Photo, events: Sequence[Event]) -> Event | None:
    if photo.time_utc is None or not events:
        return None
    at = photo.time_utc
    best = min(events, key=lambda event: abs((event.time_utc - at).total_seconds()))
    return best if abs((best.time_utc - at).total_seconds()) <= SAME_EXPOSURE_S else None


def _with(photo: Photo, event: Event) -> Photo:
    return replace(
        photo,
        lat=event.lat,
        lon=event.lon,
        alt_amsl_m=event.height_m,
        fix=event.fix,
        std_h_m=event.std_h_m,
        std_v_m=event.std_v_m,
    )
