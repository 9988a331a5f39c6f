"""Code sets, conditions and deadlines over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile
from pydantic import BaseModel
from sqlalchemy import select

from api.auth.service import audit
from api.cases.codes import NAMES, SHIPPED
from api.cases.imports import import_workbook
from api.cases.tables import Code, Condition, Deadline
from api.context import Admin, CaseReader, Here, problems
from api.errors import TooLargeError

router = APIRouter(prefix="/api/v1/codes", tags=["codes"], responses=problems(401, 403))
MAX_BYTES = 16 * 1024 * 1024


class Imported(BaseModel):
    """Rows taken of each sheet."""

    codes: int
    rules: int
    conditions: int
    deadlines: int
    holidays: int


class CodesOut(BaseModel):
    """The active code set with its conditions and deadlines."""

    standard: str
    codes: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    deadlines: list[dict[str, Any]]


@router.get("")
def codes(here: Here, actor: CaseReader) -> CodesOut:
    """The active code set, its filing conditions and deadlines."""
    with here.database.read() as session:
        rows = session.scalars(select(Code).where(Code.active.is_(True)).order_by(Code.code)).all()
        conditions = session.scalars(select(Condition).order_by(Condition.code, Condition.condition)).all()
        limits = session.scalars(select(Deadline).order_by(Deadline.code, Deadline.id)).all()
    listed = [{"code": row.code, "name": row.name, "major_name": row.major_name} for row in rows]
    shipped = [{"code": code, "name": name, "major_name": None} for code, name in sorted(NAMES.items())]
    return CodesOut(
        standard=rows[0].standard if rows else SHIPPED,
        codes=listed or shipped,
        conditions=[{"code": row.code, "condition": row.condition, "text": row.text} for row in conditions],
        deadlines=[
            {"code": row.code, "condition": row.condition, "tier": row.tier, "kind": row.kind, "value": row.value}
            for row in limits
        ],
    )


@router.put("", responses=problems(413, 422))
def replace(here: Here, actor: Admin, file: Annotated[UploadFile, File(description="XLSX")]) -> Imported:
    """Replaces the tables for which the workbook has a sheet: codes, rules, conditions, deadlines, holidays."""
    data = file.file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"at most {MAX_BYTES} bytes a workbook")
    with here.database.write() as session:
        taken = import_workbook(session, data)
        audit(session, actor.name, "codes.import", "codes", **asdict(taken))
    return Imported(**asdict(taken))
