"""Which code a case gets: the active code set, by family and label, unless a person chose."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.cases.tables import Code, CodeRule, Condition
from api.errors import InvalidError

# The set that ships: GB/T 47678.5-2026 as far as it could be sourced; a city's own set is imported over it.
SHIPPED = "GB/T 47678.5-2026"
RULES: dict[tuple[str, str], str] = {
    ("construction", ""): "06001",
    ("sanitation", ""): "06010",
    ("sanitation", "spoil"): "06011",
}
_FOLDER = Path(__file__).resolve().parent.parent / "codes"


@dataclass(frozen=True)
class Classified:
    """A code, its name, and the filing condition (立案条件)."""

    code_set: str
    code: str
    name: str
    condition: str | None = None


def _read_shipped() -> dict[str, str]:
    with (_FOLDER / "gbt47678_5_2026_matters.csv").open(encoding="utf-8") as file:
        return {row["code"]: row["name"] for row in csv.DictReader(file)}


NAMES = _read_shipped()


def classify(
    session: Session, family: str, label: str, code: str | None = None, condition: str | None = None
) -> Classified:
    """The code of a candidate: a person's, else the rule of the imported active set, else of the shipped one.

    Raises:
        InvalidError: The code is not in the active set, or the condition not one of the code's.
    """
    standard = session.scalar(select(Code.standard).where(Code.active.is_(True)).limit(1))
    chosen = code or _by_rule(session, standard, family, label)
    if standard is None:
        name = NAMES.get(chosen)
    else:
        name = session.scalar(select(Code.name).where(Code.standard == standard, Code.code == chosen))
    if name is None:
        raise InvalidError(f"code {chosen[:20]!r} is not in {standard or SHIPPED}: see GET /api/v1/codes")
    if condition is not None:
        known = session.scalars(select(Condition.condition).where(Condition.code == chosen)).all()
        if known and condition not in known:
            raise InvalidError(f"condition {condition[:16]!r} is none of {chosen}'s: {', '.join(known[:20])}")
    return Classified(standard or SHIPPED, chosen, name, condition)


def _by_rule(session: Session, standard: str | None, family: str, label: str) -> str:
    if standard is not None:
        rows = session.execute(
            select(CodeRule.label, CodeRule.code).where(
                CodeRule.standard == standard, CodeRule.family == family, CodeRule.label.in_((label, ""))
            )
        ).all()
        rules = {found: code for found, code in rows}
        if rules:
            return rules.get(label) or rules.get("") or next(iter(rules.values()))
    return RULES.get((family, label)) or RULES[family, ""]
