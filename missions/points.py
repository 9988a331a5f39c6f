"""Listed places to look at again (违建点位台账), and open cases: XLSX, CSV or a vector file, columns in any order."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from missions.errors import MissionsError
from missions.vector import FORMATS, read_features

# Headings by field: what offices write, in lower case and without spaces or units.
_HEADINGS = {
    "point_id": ("point_id", "编号", "点位编号", "台账编号", "案卷编号", "number", "序号", "id"),
    "name": ("name", "名称", "点位名称", "地点", "地址", "位置", "位置描述", "address"),
    "kind": ("kind", "类型", "类别", "问题类型", "案件类别", "family"),
    "lon": ("lon", "lng", "longitude", "经度", "东经", "x"),
    "lat": ("lat", "latitude", "纬度", "北纬", "y"),
    "interval_days": ("interval_days", "巡查周期", "周期", "周期天", "间隔天数", "频次天"),
    "last_visit": ("last_visit", "上次巡查", "上次巡查日期", "最近巡查", "最近巡查日期"),
    "height_m": ("height_m", "高度", "拍摄高度", "航高"),
    "yaw_deg": ("yaw_deg", "yaw", "航向", "偏航角", "方位角"),
    "pitch_deg": ("pitch_deg", "pitch", "俯仰", "俯仰角"),
    "view_lon": ("view_lon", "拍摄经度", "相机经度"),
    "view_lat": ("view_lat", "拍摄纬度", "相机纬度"),
    "view": ("view", "视角", "拍摄视角"),
    "state": ("state", "status", "状态"),
}
_NADIR = ("", "nadir", "垂直", "正射", "正视")
_VIEW_KEYS = ("height_m", "yaw_deg", "pitch_deg")
_HIGHEST_VIEW_M = 120.0
# Flatter than this, the place that a height and an angle look at is anywhere.
_FLATTEST_DEG = -10.0
# A case that has ended is not looked at again: the platform's words for it, and ours.
_ENDED = (
    "refused",
    "closed",
    "voided",
    "withdrawn",
    "不予受理",
    "已结案",
    "结案",
    "已作废",
    "已撤回",
    "销号",
    "已销号",
)
_NEEDED = ("lon", "lat")
_TITLE_ROWS = 15
_DEFAULT_INTERVAL_DAYS = 30
# A date in a cell that is formatted as a number: days since the end of 1899; these are 1982 to 2119.
_SERIAL_ZERO, _SERIALS = date(1899, 12, 30), (30_000, 80_000)


@dataclass(frozen=True)
class View:
    """How a place was photographed before.

    Attributes:
        height_m: Above the ground.
        yaw_deg: Where the camera looked, clockwise from north.
        pitch_deg: -90 is nadir.
        lonlat: Where the camera was; None: where the place comes into the middle of the picture.
    """

    height_m: float
    yaw_deg: float
    pitch_deg: float
    lonlat: tuple[float, float] | None = None


@dataclass(frozen=True)
class ListedPoint:
    """One place of a ledger.

    Attributes:
        point_id: Its number there, or the row's.
        name: For people.
        kind: What it is.
        lonlat: Degrees, WGS84.
        interval_days: How often it is looked at.
        last_visit: When it was last, None: never.
        view: The earlier photograph's viewpoint, None: nadir.
        ended: Whether its state says that nobody need look again.
    """

    point_id: str
    name: str
    kind: str
    lonlat: tuple[float, float]
    interval_days: int
    last_visit: date | None
    view: View | None
    ended: bool = False

    def overdue_days(self, day: date) -> float:
        """Days past due on a day, negative before it is due; a place never visited is due by a whole interval."""
        if self.last_visit is None:
            return float(self.interval_days)
        return float((day - (self.last_visit + timedelta(days=self.interval_days))).days)


def _plain(value: Any) -> str:
    text = str(value or "").strip().lower()
    for cut in ("(", "（", "/", "[", "°"):
        text = text.split(cut)[0]
    return "".join(text.split())


def _rows_of_sheet(path: Path) -> list[list[Any]]:
    """A sheet's cells, each merged block filled with the value of its first cell."""
    try:
        sheet = openpyxl.load_workbook(path, data_only=True).worksheets[0]
    except (InvalidFileException, KeyError, OSError, ValueError, EOFError) as error:
        raise MissionsError(f"{path} is not an XLSX workbook: {error}; save it again as .xlsx or .csv") from error
    except Exception as error:  # zipfile and lxml raise what they like on broken files
        raise MissionsError(f"{path} cannot be read: {error}; save it again as .xlsx or .csv") from error
    rows = [list(row) for row in sheet.iter_rows(values_only=True)]
    for block in sheet.merged_cells.ranges:
        value = rows[block.min_row - 1][block.min_col - 1]
        for row in range(block.min_row - 1, min(block.max_row, len(rows))):
            for column in range(block.min_col - 1, min(block.max_col, len(rows[row]))):
                rows[row][column] = value
    return rows


def _rows_of_text(path: Path) -> list[list[Any]]:
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return [list(row) for row in csv.reader(data.decode(encoding).splitlines())]
        except UnicodeDecodeError:
            continue
    raise MissionsError(f"{path} is neither UTF-8 nor GB 18030 text: save it again as UTF-8 CSV")


def _header(rows: Sequence[Sequence[Any]], path: Path) -> tuple[int, dict[str, int]]:
    """The row of headings and the column of each field: the first row that names longitude and latitude."""
    for number, row in enumerate(rows[:_TITLE_ROWS]):
        plain = [_plain(cell) for cell in row]
        found = {
            field: plain.index(next(name for name in names if name in plain))
            for field, names in _HEADINGS.items()
            if any(name in plain for name in names)
        }
        if all(field in found for field in _NEEDED):
            return number, found
    seen = [str(cell) for row in rows[:3] for cell in row if cell not in (None, "")]
    raise MissionsError(
        f"{path}: no row names longitude and latitude (经度, 纬度) among its first {_TITLE_ROWS}; "
        f"it begins with {', '.join(seen[:8]) or 'nothing'}: add the two headings"
    )


# Degrees, minutes and seconds as they are written: 118°20′15.2″, 118度20分15秒.
_DMS = re.compile(r"""^(\d{1,3})[°度](\d{1,2})[′'’分]((?:\d{1,2})(?:\.\d+)?)?[″"”秒]?$""")


def _number(value: Any, where: str) -> float | None:
    if value is None or str(value).strip() == "":
        return None
    text = "".join(str(value).split()).lstrip("东经北纬ENen").rstrip("天米mMEeNn")
    try:
        found = _DMS.match(text)
        if found:
            degrees, minutes, seconds = (float(part or 0) for part in found.groups())
            return degrees + minutes / 60 + seconds / 3600
        return float(text.rstrip("°度"))
    except ValueError as error:
        raise MissionsError(f"{where} is {value!r}: expected a number; correct the cell") from error


def parse_day(value: Any, where: str) -> date | None:
    """A date as spreadsheets and people write it, None where there is none; `where` names the cell in the message."""
    if value is None or str(value).strip() == "":
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, int | float) and _SERIALS[0] <= value <= _SERIALS[1]:
        return _SERIAL_ZERO + timedelta(days=int(value))
    text = (
        str(value).strip().replace("年", "-").replace("月", "-").replace("日", "").replace("/", "-").replace(".", "-")
    )
    try:
        year, month, day = (int(part) for part in text.split()[0].split("-"))
        return date(year, month, day)
    except ValueError as error:
        raise MissionsError(f"{where} is {value!r}: expected a date such as 2026-11-23; correct the cell") from error


def _point(cells: Sequence[Any], columns: dict[str, int], number: int, path: Path) -> ListedPoint | None:
    def cell(field: str) -> Any:
        column = columns.get(field)
        return cells[column] if column is not None and column < len(cells) else None

    def where(field: str) -> str:
        return f"{path} row {number}: {field}"

    lon, lat = _number(cell("lon"), where("longitude")), _number(cell("lat"), where("latitude"))
    if lon is None and lat is None:
        return None
    if lon is None or lat is None or not (abs(lon) <= 180 and abs(lat) <= 90):
        swapped = lon is not None and lat is not None and abs(lat) <= 180 and abs(lon) <= 90
        hint = "they are swapped; exchange the headings" if swapped else "give both in degrees"
        raise MissionsError(f"{path} row {number}: longitude {lon}, latitude {lat}: {hint}")
    interval = _number(cell("interval_days"), where("interval"))
    if interval is not None and not 1 <= interval <= 3650:
        raise MissionsError(f"{where('interval')} is {interval:g} days: expected 1 to 3650; correct the cell")
    return ListedPoint(
        point_id=str(cell("point_id") or number),
        name=str(cell("name") or ""),
        kind=str(cell("kind") or ""),
        lonlat=(lon, lat),
        interval_days=int(interval or _DEFAULT_INTERVAL_DAYS),
        last_visit=parse_day(cell("last_visit"), where("last visit")),
        view=_view(cell, where),
        ended=str(cell("state") or "").strip().lower() in _ENDED,
    )


def _view(cell: Callable[[str], Any], where: Callable[[str], str]) -> View | None:
    """The viewpoint of a row: one cell of five numbers (or "nadir"), or a column for each."""
    names = ("height_m", "yaw_deg", "pitch_deg", "view_lon", "view_lat")
    numbers = [_number(cell(name), where(name)) for name in names]
    written = cell("view")
    if str(written if written is not None else "").strip().lower() not in _NADIR:
        numbers = _five(written, where("view"))
    height, yaw, pitch, lon, lat = numbers
    if height is None:
        return None
    pitch = -90.0 if pitch is None else pitch
    if not (0 < height <= _HIGHEST_VIEW_M and -90 <= pitch <= 0):
        raise MissionsError(
            f"{where('view')}: {height:g} m up, pitch {pitch:g}: expected a height up to {_HIGHEST_VIEW_M:g} m "
            "and a pitch from -90 (straight down) to 0; correct the row"
        )
    away = (lon, lat) if lon is not None and lat is not None else None
    if away is None and pitch > _FLATTEST_DEG:
        raise MissionsError(
            f"{where('view')}: pitch {pitch:g} looks at the horizon: give the camera's own place (拍摄经度, 拍摄纬度)"
        )
    return View(height, (yaw or 0.0) % 360.0, pitch, away)


def _five(written: Any, where: str) -> list[float | None]:
    """height, yaw, pitch, lon, lat of a cell: `lon,lat,height,yaw,pitch`, or an object with these names."""
    text = str(written).strip()
    try:
        data = json.loads(text) if text.startswith("{") else [float(part) for part in text.split(",")]
        if isinstance(data, dict):
            lon, lat = float(data["lon"]), float(data["lat"])
            rest = [float(data[key] if key in data else data[key.split("_")[0]]) for key in _VIEW_KEYS]
        else:
            lon, lat, *rest = data
            if len(rest) != len(_VIEW_KEYS):
                raise ValueError(f"{len(data)} numbers")
    except (KeyError, TypeError, ValueError) as error:
        raise MissionsError(f"{where} is {text!r}: expected nadir or lon,lat,height,yaw,pitch; correct it") from error
    return [*rest, lon, lat]


def _rows_of_features(path: Path) -> list[list[Any]]:
    """A vector file's attributes as a table; a polygon or line stands for the middle of it."""
    features = read_features(path)
    names = list(dict.fromkeys(name for feature in features for name in feature.properties))
    # The geometry is what counts, not what the attributes say of it.
    names = [name for name in names if _plain(name) not in (*_HEADINGS["lon"], *_HEADINGS["lat"])]
    rows: list[list[Any]] = [[*names, "lon", "lat"]]
    for feature in features:
        middle = feature.geometry.centroid
        rows.append([*(feature.properties.get(name) for name in names), middle.x, middle.y])
    return rows


def read_points(path: Path) -> tuple[ListedPoint, ...]:
    """Reads a ledger of places, or a list of cases.

    Args:
        path: `.xlsx` (first sheet), `.csv` (UTF-8 or GB 18030), headings in Chinese or English in any order; or a
            vector file whose attributes bear such names.

    Raises:
        MissionsError: No such file, no headings of longitude and latitude, a cell is wrong; the message names the row.
    """
    if not path.is_file():
        raise MissionsError(f"no ledger at {path}: give an .xlsx or .csv file")
    kind = path.suffix.lower()
    if kind not in (".xlsx", ".csv", *FORMATS):
        raise MissionsError(f"{path} is neither .xlsx nor .csv nor a vector file: save it as one of them")
    read = {".xlsx": _rows_of_sheet, ".csv": _rows_of_text}.get(kind, _rows_of_features)
    rows = read(path)
    first, columns = _header(rows, path)
    points = [_point(row, columns, number, path) for number, row in enumerate(rows[first + 1 :], start=first + 2)]
    found = tuple(dict.fromkeys(point for point in points if point is not None))  # the same row twice is one place
    if not found:
        raise MissionsError(f"{path} has headings and no place below them: fill in at least one row")
    return found


def due(points: Iterable[ListedPoint], day: date) -> list[ListedPoint]:
    """Places due on a day whose matter has not ended, the longest overdue for their interval first."""
    waiting = [point for point in points if not point.ended and point.overdue_days(day) >= 0]
    return sorted(waiting, key=lambda point: -point.overdue_days(day) / point.interval_days)
