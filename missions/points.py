"""Listed places to look at again (违建点位台账): XLSX or CSV with titles, merged cells, columns in any order."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from missions.errors import MissionsError

# Headings by field: what offices write, in lower case and without spaces or units.
_HEADINGS = {
    "point_id": ("point_id", "编号", "点位编号", "序号", "台账编号", "id"),
    "name": ("name", "名称", "点位名称", "地点", "地址", "位置"),
    "kind": ("kind", "类型", "类别", "问题类型"),
    "lon": ("lon", "lng", "longitude", "经度", "东经"),
    "lat": ("lat", "latitude", "纬度", "北纬"),
    "interval_days": ("interval_days", "巡查周期", "周期", "周期天", "间隔天数", "频次天"),
    "last_visit": ("last_visit", "上次巡查", "上次巡查日期", "最近巡查", "最近巡查日期"),
    "height_m": ("height_m", "高度", "拍摄高度", "航高"),
    "yaw_deg": ("yaw_deg", "yaw", "航向", "偏航角", "方位角"),
    "pitch_deg": ("pitch_deg", "pitch", "俯仰", "俯仰角"),
}
_NEEDED = ("lon", "lat")
_TITLE_ROWS = 15
_DEFAULT_INTERVAL_DAYS = 30


@dataclass(frozen=True)
class View:
    """How a place was photographed before: height above take-off, yaw clockwise from north, pitch (-90 is nadir)."""

    height_m: float
    yaw_deg: float
    pitch_deg: float


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
    """

    point_id: str
    name: str
    kind: str
    lonlat: tuple[float, float]
    interval_days: int
    last_visit: date | None
    view: View | None

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


def _number(value: Any, where: str) -> float | None:
    if value is None or str(value).strip() == "":
        return None
    try:
        return float(str(value).strip().rstrip("°度天米mM"))
    except ValueError as error:
        raise MissionsError(f"{where} is {value!r}: expected a number; correct the cell") from error


def _day(value: Any, where: str) -> date | None:
    if value is None or str(value).strip() == "":
        return None
    if isinstance(value, datetime):
        return value.date()
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
    view = [_number(cell(field), where(field)) for field in ("height_m", "yaw_deg", "pitch_deg")]
    interval = _number(cell("interval_days"), where("interval"))
    if interval is not None and not 1 <= interval <= 3650:
        raise MissionsError(f"{where('interval')} is {interval:g} days: expected 1 to 3650; correct the cell")
    return ListedPoint(
        point_id=str(cell("point_id") or number),
        name=str(cell("name") or ""),
        kind=str(cell("kind") or ""),
        lonlat=(lon, lat),
        interval_days=int(interval or _DEFAULT_INTERVAL_DAYS),
        last_visit=_day(cell("last_visit"), where("last visit")),
        view=View(view[0], view[1] or 0.0, view[2] if view[2] is not None else -90.0) if view[0] is not None else None,
    )


def read_points(path: Path) -> tuple[ListedPoint, ...]:
    """Reads a ledger of places.

    Args:
        path: `.xlsx` (first sheet) or `.csv` (UTF-8 or GB 18030), headings in Chinese or English in any order.

    Raises:
        MissionsError: No such file, no headings of longitude and latitude, a cell is wrong; the message names the row.
    """
    if not path.is_file():
        raise MissionsError(f"no ledger at {path}: give an .xlsx or .csv file")
    if path.suffix.lower() not in (".xlsx", ".csv"):
        raise MissionsError(f"{path} is neither .xlsx nor .csv: save it as one of them")
    rows = _rows_of_sheet(path) if path.suffix.lower() == ".xlsx" else _rows_of_text(path)
    first, columns = _header(rows, path)
    points = [_point(row, columns, number, path) for number, row in enumerate(rows[first + 1 :], start=first + 2)]
    found = tuple(point for point in points if point is not None)
    if not found:
        raise MissionsError(f"{path} has headings and no place below them: fill in at least one row")
    return found


def due(points: Iterable[ListedPoint], day: date) -> list[ListedPoint]:
    """Places due on a day, the longest overdue for their interval first."""
    waiting = [point for point in points if point.overdue_days(day) >= 0]
    return sorted(waiting, key=lambda point: -point.overdue_days(day) / point.interval_days)
