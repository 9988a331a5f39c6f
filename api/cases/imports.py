"""Importing code sets, conditions, deadlines and holidays from a workbook that a bureau keeps itself."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from api.cases.deadlines import KINDS
from api.cases.tables import Code, CodeRule, Condition, Deadline, Holiday
from api.errors import InvalidError, TooLargeError

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
MAX_ROWS = 50_000
# Sheet -> its columns, by the heads that bureaus write; the first name of each is ours.
SHEETS: dict[str, dict[str, tuple[str, ...]]] = {
    "codes": {
        "standard": ("standard", "标准"),
        "kind": ("kind", "类型"),
        "code": ("code", "代码", "小类代码"),
        "name": ("name", "名称", "小类名称"),
        "major_code": ("major_code", "大类代码"),
        "major_name": ("major_name", "大类名称"),
    },
    "rules": {
        "standard": ("standard", "标准"),
        "family": ("family", "案件类别"),
        "label": ("label", "标签"),
        "code": ("code", "代码"),
    },
    "conditions": {
        "code": ("code", "代码"),
        "condition": ("condition", "立案条件编号", "条件"),
        "text": ("text", "立案条件", "说明"),
    },
    "deadlines": {
        "code": ("code", "代码"),
        "condition": ("condition", "立案条件编号", "条件"),
        "tier": ("tier", "区域等级", "等级"),
        "kind": ("kind", "时限类型"),
        "value": ("value", "时限", "数值"),
    },
    "holidays": {"day": ("day", "日期"), "working": ("working", "上班"), "name": ("name", "名称")},
}
_OPTIONAL = {"major_code", "major_name", "label", "condition", "tier", "working", "name"}
_KIND_NAMES = {"紧急工作时": "urgent_hours", "工作时": "working_hours", "工作日": "working_days", "自然日": "days"}
_FAMILY_NAMES = {"违法建设": "construction", "市容环卫": "sanitation"}


@dataclass(frozen=True)
class Imported:
    """Rows taken of each sheet."""

    codes: int = 0
    rules: int = 0
    conditions: int = 0
    deadlines: int = 0
    holidays: int = 0


def import_workbook(session: Session, data: bytes) -> Imported:
    """Replaces the tables for which the workbook has a sheet (codes, rules, conditions, deadlines, holidays).

    The set named in `codes` becomes the active one.

    Raises:
        InvalidError: Not a workbook, no known sheet, or a bad cell; the message names sheet and row. Nothing is taken.
        TooLargeError: It unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    book = _open(data)
    found: dict[str, list[Any]] = {}
    for sheet in book.worksheets:
        name = str(sheet.title).strip().lower()
        if name in SHEETS:
            found[name] = [_MAKERS[name](row, where) for where, row in _rows(sheet, name)]
    if not found:
        raise InvalidError(f"no sheet of the workbook is called one of {', '.join(SHEETS)}")
    for name, rows in found.items():
        for model in _MODELS[name]:
            session.execute(delete(model))
        if name == "codes":
            session.execute(update(Code).values(active=False))
        session.add_all(rows)
    session.flush()
    return Imported(**{name: len(rows) for name, rows in found.items()})


_MODELS: dict[str, tuple[type[Any], ...]] = {
    "codes": (Code,),
    "rules": (CodeRule,),
    "conditions": (Condition,),
    "deadlines": (Deadline,),
    "holidays": (Holiday,),
}


def _open(data: bytes) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(item.file_size for item in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise TooLargeError(f"the workbook unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        # openpyxl reads XML with defusedxml when it is installed, and it is.
        return load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, OSError, EOFError) as error:
        raise InvalidError(f"an XLSX workbook was expected ({type(error).__name__})") from error


def _rows(sheet: Any, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    heads: dict[int, str] = {}
    seen: set[tuple[str, ...]] = set()
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if number > MAX_ROWS:
            raise InvalidError(f"sheet {name} has more than {MAX_ROWS} rows")
        values = [_text(cell) for cell in cells]
        if not heads:
            heads = _heads(values, name)
            continue
        row = {key: values[place] if place < len(values) else "" for place, key in heads.items()}
        if not any(row.values()):
            continue
        where = f"sheet {name}, row {number}"
        missing = [key for key, value in row.items() if not value and key not in _OPTIONAL]
        if missing:
            raise InvalidError(f"{where}: {', '.join(missing)} is empty")
        if tuple(row.values()) in seen:
            raise InvalidError(f"{where} stands twice")
        seen.add(tuple(row.values()))
        yield where, row


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime | date):
        return cell.isoformat()[:10]
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _heads(values: list[str], name: str) -> dict[int, str]:
    heads = {
        place: key
        for place, value in enumerate(values)
        for key, names in SHEETS[name].items()
        if value.lower() in names
    }
    missing = set(SHEETS[name]) - set(heads.values()) - _OPTIONAL
    if missing:
        raise InvalidError(f"sheet {name}: its first row lacks {', '.join(sorted(missing))}")
    return heads


def _code(row: dict[str, str], where: str) -> Code:
    return Code(
        standard=_short(row["standard"], 32, where),
        kind=_short(row["kind"], 12, where),
        code=_short(row["code"], 8, where),
        name=_short(row["name"], 60, where),
        major_code=row.get("major_code") or None,
        major_name=row.get("major_name") or None,
        active=True,
    )


def _rule(row: dict[str, str], where: str) -> CodeRule:
    family = _FAMILY_NAMES.get(row["family"], row["family"])
    if family not in ("construction", "sanitation"):
        raise InvalidError(f"{where}: family should be construction (违法建设) or sanitation (市容环卫)")
    return CodeRule(standard=row["standard"][:32], family=family, label=row.get("label", "")[:40], code=row["code"][:8])


def _condition(row: dict[str, str], where: str) -> Condition:
    if not row.get("condition"):
        raise InvalidError(f"{where}: condition is empty")
    return Condition(
        code=_short(row["code"], 8, where),
        condition=_short(row["condition"], 16, where),
        text=_short(row["text"], 300, where),
    )


def _deadline(row: dict[str, str], where: str) -> Deadline:
    kind = _KIND_NAMES.get(row["kind"], row["kind"])
    if kind not in KINDS:
        raise InvalidError(f"{where}: kind {row['kind']!r} is none of {', '.join([*KINDS, *_KIND_NAMES])}")
    try:
        value = float(row["value"])
        tier = int(row["tier"]) if row.get("tier") else None
    except ValueError as error:
        raise InvalidError(f"{where}: value and tier should be numbers") from error
    if not 0 < value < 10_000:
        raise InvalidError(f"{where}: a limit should be positive and below 10,000, came {value}")
    condition = row.get("condition") or None
    return Deadline(code=_short(row["code"], 8, where), condition=condition, tier=tier, kind=kind, value=value)


def _holiday(row: dict[str, str], where: str) -> Holiday:
    try:
        day = date.fromisoformat(row["day"].replace("/", "-"))
    except ValueError as error:
        raise InvalidError(f"{where}: day should be a date such as 2026-10-01, came {row['day'][:20]!r}") from error
    working = row.get("working", "").lower() in ("1", "true", "是", "yes", "y")
    return Holiday(day=day, working=working, name=row.get("name", "")[:40] or None)


def _short(value: str, length: int, where: str) -> str:
    if len(value) > length:
        raise InvalidError(f"{where}: {value[:20]!r}... is longer than {length} characters")
    return value


_MAKERS: dict[str, Any] = {
    "codes": _code,
    "rules": _rule,
    "conditions": _condition,
    "deadlines": _deadline,
    "holidays": _holiday,
}
