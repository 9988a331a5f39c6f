"""Ledgers as offices keep them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import openpyxl
import pytest

from missions.errors import MissionsError
from missions.points import View, due, read_points


def ledger(path: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["兰山区违建点位台账", None, None, None, None, None])
    sheet.merge_cells("A1:F1")
    sheet.append(
        ["纬度", "点位名称", "巡查周期（天）", "经度（°）", "类型", "上次巡查日期", "航高", "偏航角", "俯仰角"]
    )
    sheet.append([35.071, "东关街 12 号", 7, 118.331, "违建", "2026年11月1日", 60, 90, -45])
    sheet.append([35.072, "东关街 14 号", 15, 118.332, None, "2026/11/20"])
    sheet.append([35.073, "北园路", None, 118.333, "垃圾"])
    sheet.merge_cells("E3:E4")
    book.save(path)
    return path


def test_titles_merged_cells_and_any_order_are_read(tmp_path: Path) -> None:
    first, second, third = read_points(ledger(tmp_path / "台账.xlsx"))
    assert (first.name, first.lonlat, first.interval_days) == ("东关街 12 号", (118.331, 35.071), 7)
    assert first.last_visit == date(2026, 11, 1) and first.view == View(60, 90, -45)
    assert (second.kind, second.last_visit, second.view) == ("违建", date(2026, 11, 20), None)
    assert (third.interval_days, third.last_visit) == (30, None)
    assert due((first, second, third), date(2026, 11, 23)) == [first, third]


def test_a_gb18030_csv_reads_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("编号,经度,纬度\nW-1,118.3,35.0\n,,\n".encode("gb18030"))
    assert [(point.point_id, point.lonlat) for point in read_points(path)] == [("W-1", (118.3, 35.0))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("名称,地址\na,b\n", "no row names longitude and latitude.*名称"),
        ("经度,纬度\n", "no place below"),
        ("经度,纬度\n118.3,north\n", "row 2: latitude is 'north'"),
        ("经度,纬度\n35.0,118.3\n", "row 2.*swapped"),
        ("经度,纬度,周期\n118.3,35.0,0\n", "row 2: interval is 0 days"),
        ("经度,纬度,上次巡查\n118.3,35.0,yesterday\n", "row 2: last visit is 'yesterday'"),
    ],
)
def test_a_wrong_ledger_is_named_by_row(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(MissionsError, match=said):
        read_points(tmp_path / "a.csv")


def test_no_workbook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK nothing")
    with pytest.raises(MissionsError, match=r"a\.xlsx"):
        read_points(tmp_path / "a.xlsx")
    with pytest.raises(MissionsError, match="no ledger"):
        read_points(tmp_path / "b.xlsx")
