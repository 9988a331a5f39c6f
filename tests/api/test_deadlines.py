"""Working-hours arithmetic against a minute-by-minute count, and the imported tables."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from api.cases.deadlines import HOURS, Calendar, add
from tests.api.world import World, feature

ZONE = ZoneInfo("Asia/Shanghai")
# The National Day week of 2026: 1-7 October off, Saturday 10 October worked instead.
CALENDAR = Calendar(
    ZONE, frozenset(date(2026, 10, day) for day in range(1, 8)), frozenset({date(2026, 10, 10), date(2026, 9, 27)})
)


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


@pytest.mark.parametrize(
    ("start", "kind", "value", "expected"),
    [
        ("2026-11-23 09:00", "working_hours", 2, "2026-11-23 11:00"),
        ("2026-11-23 11:00", "working_hours", 2, "2026-11-23 15:00"),
        ("2026-11-23 12:30", "working_hours", 1, "2026-11-23 15:00"),
        ("2026-11-23 17:00", "working_hours", 4, "2026-11-24 11:00"),
        ("2026-11-20 17:00", "working_hours", 2, "2026-11-23 09:00"),
        ("2026-11-22 03:00", "working_hours", 4, "2026-11-23 12:00"),
        ("2026-11-20 16:00", "working_days", 1, "2026-11-23 16:00"),
        ("2026-09-30 17:00", "working_hours", 2, "2026-10-08 09:00"),
        ("2026-10-09 17:00", "working_hours", 2, "2026-10-10 09:00"),
        ("2026-11-21 23:00", "urgent_hours", 2, "2026-11-22 01:00"),
        ("2026-11-20 16:00", "days", 3, "2026-11-23 16:00"),
    ],
)
def test_limits(start: str, kind: str, value: float, expected: str) -> None:
    assert add(CALENDAR, local(start), kind, value) == local(expected)


@settings(max_examples=40, deadline=None)
@given(
    st.datetimes(datetime(2026, 9, 1), datetime(2026, 12, 1)).map(lambda t: t.replace(second=0, microsecond=0)),
    st.integers(1, 40),
)
def test_against_counting_minutes(start: datetime, hours: int) -> None:
    begin = start.replace(tzinfo=ZONE)
    due = add(CALENDAR, begin.astimezone(UTC), "working_hours", hours)
    minutes, moment = 0, begin
    while moment < due:
        inside = any(opens <= moment.time() < closes for opens, closes in HOURS)
        minutes += CALENDAR.is_working(moment.date()) and inside
        moment += timedelta(minutes=1)
    assert minutes == hours * 60


def test_a_calendar_without_working_days_says_so() -> None:
    never = Calendar(ZONE, frozenset(date(2026, 1, 1) + timedelta(days=i) for i in range(4000)))
    with pytest.raises(ValueError, match="is the calendar right"):
        add(never, local("2026-01-02 09:00"), "working_hours", 1)


def workbook(**sheets: list[list[Any]]) -> bytes:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


CODES = [
    ["标准", "类型", "代码", "名称"],
    ["CJ/T 214-2007", "event", "0101", "私搭乱建"],
    ["CJ/T 214-2007", "event", "0102", "暴露垃圾"],
]
RULES = [
    ["标准", "案件类别", "标签", "代码"],
    ["CJ/T 214-2007", "违法建设", None, "0101"],
    ["CJ/T 214-2007", "市容环卫", None, "0102"],
]
LIMITS = [
    ["代码", "立案条件编号", "区域等级", "时限类型", "时限"],
    ["0101", None, None, "工作日", 7],
    ["0101", "1", None, "工作时", 4],
    ["0101", "1", 2, "紧急工作时", 2],
]
CONDITIONS = [["代码", "立案条件编号", "立案条件"], ["0101", 1, "无建筑规划许可证，未经审批私自搭建"]]


def put(world: World, data: bytes) -> Any:
    files = {"file": ("tables.xlsx", data, "application/octet-stream")}
    return world.call("admin", "PUT", "/codes", files=files)


def test_an_imported_set_names_codes_conditions_and_deadlines(either: World) -> None:
    answer = put(either, workbook(codes=CODES, rules=RULES, deadlines=LIMITS, conditions=CONDITIONS))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"codes": 2, "rules": 2, "deadlines": 3, "conditions": 1, "holidays": 0}
    either.file(feature("A"))
    assert either.review("A/1", "accept", code="06001").status_code == 422
    assert either.review("A/1", "accept", condition="9").status_code == 422
    case = either.accept("A/1", condition="1")
    assert (case["code_set"], case["code"], case["condition"]) == ("CJ/T 214-2007", "0101", "1")
    hours = datetime.fromisoformat(case["deadline_at"]) - datetime.fromisoformat(case["filed_at"])
    assert timedelta(hours=4) <= hours <= timedelta(days=4)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"not a workbook", "XLSX"),
        (workbook(other=[["a"]]), "no sheet"),
        (workbook(codes=[["标准", "代码"], ["x", "1"]]), "lacks"),
        (workbook(codes=[*CODES, ["CJ/T 214-2007", "event", "", "x"]]), "row 4"),
        (workbook(codes=[*CODES, CODES[1]]), "twice"),
        (workbook(deadlines=[LIMITS[0], ["0101", None, None, "星期", 3]]), "row 2"),
        (workbook(deadlines=[LIMITS[0], ["0101", None, None, "工作日", -3]]), "positive"),
        (workbook(holidays=[["日期", "上班"], ["someday", None]]), "2026-10-01"),
    ],
)
def test_a_bad_workbook_changes_nothing(world: World, data: bytes, says: str) -> None:
    assert put(world, workbook(codes=CODES, rules=RULES)).status_code == 200
    answer = put(world, data)
    assert answer.status_code == 422 and says in answer.json()["detail"], answer.text
    assert [row["code"] for row in world.call("officer", "GET", "/codes").json()["codes"]] == ["0101", "0102"]
