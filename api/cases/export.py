"""Exports, streamed page by page: CSV, GeoJSON, XLSX. What people wrote never becomes a formula."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from api.cases import lists
from api.cases.forms import form
from api.grid.crs import to_output
from api.settings import ApiSettings

PAGE = 1000
COLUMNS: dict[str, str] = {
    "number": "案卷编号",
    "platform_no": "平台编号",
    "state_name": "状态",
    "family_name": "案件类别",
    "code": "小类代码",
    "condition": "立案条件",
    "cell": "单元网格",
    "district": "区划",
    "street": "街道",
    "community": "社区",
    "address": "位置描述",
    "description": "问题描述",
    "x": "X",
    "y": "Y",
    "area_m2": "面积（平方米）",
    "height_change_m": "高度变化（米）",
    "probability": "识别概率",
    "reviewer": "审核人",
    "filed_at": "上报时间",
    "deadline_at": "处置时限",
    "platform_reason": "平台意见",
}


_BEGINS_FORMULA = frozenset("=+-@＝＋－＠")


def harmless(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula: an apostrophe before what begins one, also after spaces.

    Chinese and Japanese editions take the full-width signs, too.
    """
    if isinstance(value, str) and (value.lstrip()[:1] in _BEGINS_FORMULA or value[:1] in ("\t", "\r", "\n")):
        return "'" + value
    return value


def rows(read: Callable[[], Any], wanted: lists.Wanted) -> Iterator[dict[str, Any]]:
    """All cases of a list, newest first; each page in a short transaction of its own."""
    while True:
        with read() as connection:
            page = _page(connection, wanted)
        yield from page
        if len(page) < PAGE:
            return
        from uuid import UUID

        wanted = replace(wanted, after=UUID(page[-1]["id"]))


def _page(connection: Connection, wanted: lists.Wanted) -> list[dict[str, Any]]:
    return [form(case) for case in lists.page(connection, wanted, PAGE)]


def _flat(settings: ApiSettings, item: dict[str, Any]) -> list[Any]:
    x, y = to_output(settings, item["lon"], item["lat"])
    flat = {**item, "x": round(x, 7), "y": round(y, 7)}
    return [harmless(flat[name]) for name in COLUMNS]


def as_csv(settings: ApiSettings, items: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """CSV with a byte-order mark, so that a spreadsheet reads the Chinese."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS.values())
    yield b"\xef\xbb\xbf"
    for i, item in enumerate(items):
        writer.writerow(_flat(settings, item))
        if i % 200 == 199:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


def as_geojson_lines(items: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """One FeatureCollection, a feature a line (WGS84, as RFC 7946 has it)."""
    yield b'{"type":"FeatureCollection","features":[\n'
    comma = ""
    for item in items:
        properties = {key: value for key, value in item.items() if key not in ("geometry", "evidence")}
        feature = {"type": "Feature", "id": item["id"], "geometry": item["geometry"], "properties": properties}
        yield (comma + json.dumps(feature, ensure_ascii=False)).encode()
        comma = ",\n"
    yield b"\n]}\n"


def as_xlsx(settings: ApiSettings, items: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """A workbook, written row by row to a temporary file, then sent in pieces."""
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook(write_only=True)
    sheet = book.create_sheet("案卷")
    sheet.append(list(COLUMNS.values()))
    for item in items:
        cells = _flat(settings, item)
        sheet.append([ILLEGAL_CHARACTERS_RE.sub("", cell) if isinstance(cell, str) else cell for cell in cells])
    with tempfile.TemporaryFile() as file:
        book.save(file)
        file.seek(0)
        while data := file.read(65536):
            yield data
