"""Positions that do not stand in the photographs: capture logs, RTK mark files, and other makers' CSV.

A better position replaces a worse one; a file names its photographs by name, or by order within a folder.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from flight.capturelog import COLUMNS, Capture, read_captures
from flight.errors import FlightError
from imagery.errors import ImageryError
from imagery.photo import Photo
from imagery.ppk import apply_events

# A log line and a photograph belong together by time when they are this near (shutter lag and rounded EXIF seconds).
SAME_EXPOSURE_S = 1.5

# Other loggers' headers, lower case without units: (our field, names seen in Pix4D, Mission Planner, Emlid, Metashape).
_HEADERS = {
    "file": ("file", "filename", "image", "imagename", "image name", "photo", "label", "name", "#label"),
    "lon": ("lon", "longitude", "lng", "x", "x/longitude"),
    "lat": ("lat", "latitude", "y", "y/latitude"),
    "alt": ("alt_amsl_m", "alt", "altitude", "height", "z", "z/altitude", "elevation", "ellipsoidal height"),
    "yaw": ("camera_yaw_deg", "yaw", "heading", "kappa"),
    "pitch": ("camera_pitch_deg", "pitch"),
    "roll": ("camera_roll_deg", "roll"),
    "std_h": ("std_h_m", "accuracy horizontal", "horz accuracy", "hor accuracy", "xy accuracy", "sigma_h"),
    "std_v": ("std_v_m", "accuracy vertical", "vert accuracy", "z accuracy", "sigma_v"),
}


def apply_positions(
    photos: Sequence[Photo], frames_dir: Path, given: Sequence[Path] = (), tz: str = "Asia/Shanghai"
) -> list[Photo]:
    """Photographs with the positions of all logs that are given or lie in or beside the frames folder.

    Raises:
        ImageryError: A log that was given is missing or unreadable; the message names file and line.
    """
    result = list(photos)
    logs = dict.fromkeys([*given, *_logs_near(frames_dir)])
    for log in logs:
        if log.suffix.lower() == ".mrk":
            result = _apply_marks(result, log)
        elif log.suffix.lower() == ".pos":
            result = apply_events(result, _there(log))
        elif _is_capture_log(log):
            result = _apply_captures(result, log)
        elif log in given:
            result = _apply_csv(result, log, tz)
    return result


def _logs_near(frames_dir: Path) -> Iterable[Path]:
    inside = (
        p for p in sorted(frames_dir.rglob("*")) if p.name.endswith(("captures.csv", ".MRK", ".mrk", "_events.pos"))
    )
    beside = (p for folder in (frames_dir.parent, frames_dir.parent / "flight") for p in _captures_in(folder))
    return [*inside, *beside]


def _captures_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*captures.csv")) if folder.is_dir() else []


def _there(log: Path) -> Path:
    if not log.is_file():
        raise ImageryError(f"no capture log at {log}")
    return log


def _is_capture_log(log: Path) -> bool:
    _there(log)
    with log.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline().strip().split(",")
    return set(COLUMNS) <= set(header)


def _apply_captures(photos: list[Photo], log: Path) -> list[Photo]:
    try:
        captures = read_captures(log)
    except FlightError as error:
        raise ImageryError(str(error)) from error
    by_name: dict[str, list[Capture]] = {}
    for capture in captures:
        by_name.setdefault(Path(capture.file).name, []).append(capture)
    sortie = log.name.removesuffix("captures.csv").strip(".")
    result = []
    for photo in photos:
        own = _capture_of(photo, by_name.get(Path(photo.file).name, []), sortie)
        result.append(photo if own is None else _with_capture(photo, own))
    return result


def _capture_of(photo: Photo, captures: list[Capture], sortie: str) -> Capture | None:
    """The log line of a photograph: by name within the same sortie (two cards both hold DJI_0001.JPG)."""
    for capture in captures:
        names = {capture.sortie_id, capture.sortie_id.rsplit("/", 1)[-1], sortie}
        if photo.sortie_id == "" or photo.sortie_id.rsplit("/", 1)[-1] in names:
            return capture
    return None


def _with_capture(photo: Photo, capture: Capture) -> Photo:
    if photo.fix == "rtk" and capture.fix != "rtk":
        return photo
    return replace(
        photo,
        time_utc=capture.time_utc,
        lon=capture.lon,
        lat=capture.lat,
        alt_amsl_m=capture.alt_amsl_m,
        height_rel_m=capture.height_rel_m,
        yaw_deg=capture.camera_yaw_deg,
        pitch_deg=capture.camera_pitch_deg,
        roll_deg=capture.camera_roll_deg,
        fix=capture.fix,
        std_h_m=capture.std_h_m or None,
        std_v_m=capture.std_v_m or None,
    )


_MARK = re.compile(
    r"^\s*(\d+)\s+[\d.]+\s+\[\d+\]\s+(-?[\d.]+),N\s+(-?[\d.]+),E\s+(-?[\d.]+),V\s+(-?[\d.]+),Lat\s+(-?[\d.]+),Lon\s+"
    r"(-?[\d.]+),Ellh\s+([\d.]+),\s*([\d.]+),\s*([\d.]+)\s+(\d+),Q"
)


def _apply_marks(photos: list[Photo], log: Path) -> list[Photo]:
    """DJI's `*_Timestamp.MRK`: the n-th line is the n-th photograph of its folder; heights are ellipsoidal."""
    marks: dict[int, re.Match[str]] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _MARK.match(line)
        if match:
            marks[int(match[1])] = match
    folder = log.parent
    own = sorted((photo for photo in photos if photo.path.parent == folder), key=lambda photo: photo.path.name)
    numbered = {photo.id: number for number, photo in enumerate(own, start=1)}
    result = []
    for photo in photos:
        mark = marks.get(numbered.get(photo.id, -1))
        result.append(photo if mark is None or len(marks) != len(own) else _with_mark(photo, mark))
    return result


def _with_mark(photo: Photo, mark: re.Match[str]) -> Photo:
    """`dN,dE,dV` in mm lead from the antenna to the lens (V down)."""
    north_mm, east_mm, down_mm = (float(mark[index]) for index in (2, 3, 4))
    lat, lon, height = (float(mark[index]) for index in (5, 6, 7))
    std_n, std_e, std_v = (float(mark[index]) for index in (8, 9, 10))
    metres_per_degree = 111_320.0
    lat_moved = lat + north_mm / 1000.0 / metres_per_degree
    lon_moved = lon + east_mm / 1000.0 / (metres_per_degree * max(0.05, abs(_cos_deg(lat))))
    return replace(
        photo,
        lat=lat_moved,
        lon=lon_moved,
        alt_amsl_m=height - down_mm / 1000.0,
        fix="rtk" if int(mark[11]) == 50 else "3d",
        std_h_m=max(std_n, std_e),
        std_v_m=std_v,
    )


def _cos_deg(degrees: float) -> float:
    from math import cos, radians

    return cos(radians(degrees))


def _apply_csv(photos: list[Photo], log: Path, tz: str) -> list[Photo]:
    """Another maker's CSV: file name and position at least, or time and position."""
    with log.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        sample = file.read(4096)
        file.seek(0)
        delimiter = max(",;\t", key=sample.count)
        reader = csv.DictReader(file, delimiter=delimiter)
        columns = _columns(reader.fieldnames or [])
        rows = list(reader)
    if not {"lon", "lat"} <= columns.keys() or not ({"file", "time"} & columns.keys()):
        raise ImageryError(f"{log}: expected columns for file or time, longitude and latitude; got {sample[:80]!r}")
    parsed = [(row, _row(row, columns, log, number)) for number, row in enumerate(rows, start=2)]
    by_name = {Path(row[columns["file"]]).name.lower(): value for row, value in parsed} if "file" in columns else {}
    result = []
    for photo in photos:
        value = by_name.get(Path(photo.file).name.lower())
        if value is None and "time" in columns:
            value = _nearest_in_time(photo, parsed, columns["time"], tz)
        result.append(photo if value is None else replace(photo, **value))  # type: ignore[arg-type]
    return result


def _columns(header: Sequence[str]) -> dict[str, str]:
    columns = {}
    for name in header:
        plain = re.sub(r"\s*[\[(].*?[\])]", "", name).strip().lower()
        for field, known in _HEADERS.items():
            if plain in known and field not in columns:
                columns[field] = name
        if plain in {"time_utc", "time", "timestamp", "datetime", "gps time"}:
            columns["time"] = name
    return columns


def _row(row: dict[str, str], columns: dict[str, str], log: Path, line: int) -> dict[str, object]:
    fields = {"lon": "lon", "lat": "lat", "alt": "alt_amsl_m", "yaw": "yaw_deg", "pitch": "pitch_deg"}
    fields |= {"roll": "roll_deg", "std_h": "std_h_m", "std_v": "std_v_m"}
    value: dict[str, object] = {"fix": "3d"}
    for field, ours in fields.items():
        if field in columns and (row[columns[field]] or "").strip():
            try:
                value[ours] = float(row[columns[field]])
            except ValueError as error:
                raise ImageryError(
                    f"{log} line {line}: {columns[field]} is not a number: {row[columns[field]]!r}"
                ) from error
    if not (abs(float(str(value.get("lon", 999)))) <= 180 and abs(float(str(value.get("lat", 999)))) <= 90):
        raise ImageryError(f"{log} line {line}: expected longitude and latitude in degrees, got {row}")
    return value


def _nearest_in_time(
    photo: Photo, rows: list[tuple[dict[str, str], dict[str, object]]], column: str, tz: str
) -> dict[str, object] | None:
    if photo.time_utc is None:
        return None
    best, gap = None, SAME_EXPOSURE_S
    for row, value in rows:
        try:
            time = datetime.fromisoformat(row[column].strip())
        except ValueError:
            continue
        time = (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(tz))).astimezone(UTC)
        apart = abs((time - photo.time_utc).total_seconds())
        if apart < gap:
            best, gap = value, apart
    return best
