"""Which code a case gets: the active code set, by family and label, unless a person chose."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.errors import InvalidError

# The two families of the brigade in GB/T 47678.5-2026; other sets map through the imported table.
CODE_SET = "GB/T 47678.5-2026"
DEFAULTS: dict[tuple[str, str], tuple[str, str]] = {
    ("construction", ""): ("06001", "私搭乱建"),
    ("sanitation", ""): ("06010", "暴露垃圾"),
    ("sanitation", "spoil"): ("06011", "积存垃圾渣土"),
}


@dataclass(frozen=True)
class Classified:
    """A code, its name, and the filing condition (立案条件)."""

    code_set: str
    code: str
    name: str
    condition: str | None = None


def classify(
    session: Session, family: str, label: str, code: str | None = None, condition: str | None = None
) -> Classified:
    """The code of a candidate.

    Raises:
        InvalidError: A person's code is not in the set.
    """
    if code is not None and code not in {c for c, _ in DEFAULTS.values()}:
        raise InvalidError(f"code {code[:20]!r} is not in {CODE_SET}")
    chosen = DEFAULTS.get((family, label)) or DEFAULTS[family, ""]
    return Classified(CODE_SET, chosen[0], chosen[1], condition)
