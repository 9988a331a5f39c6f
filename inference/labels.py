"""Fine labels for candidates, and the matter code each label is filed under in a code set.

A code set is a small CSV (`label,code,name`) in `inference/codes/`, or a sheet of an XLSX of one's own with the same
three columns; cities number the same matters differently.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException
from shapely.geometry.base import BaseGeometry

from inference.errors import InferenceError
from inference.proposals import sides_m

CONSTRUCTION = ("new_building", "shed", "extension", "altered_structure", "wall", "slab", "gone_structure")
SANITATION = ("waste_heap", "litter", "spoil")
DEFAULT_CODE_SET = "gbt47678_5_2026"
# A surface that rose less than this carries a slab or foundation, not a roof.
SLAB_M = 0.8
SHED_M2 = 25.0
# Training weighs a positive cell four times, so that even odds of a kind lie near 0.8, not 0.5. On two flown towns
# every garbage heap had 0.52-0.73 of spoil, building waste 0.69-0.82, earth 0.85 and more; litter had 0.95 of litter.
KIND_CUT = 0.75
_COLUMNS = ("label", "code", "name")


@dataclass(frozen=True)
class Matter:
    """A matter of a code set."""

    code: str
    name: str


def code_sets() -> list[str]:
    """Names of the code sets that ship with the package."""
    folder = resources.files("inference") / "codes"
    return sorted(p.name.removesuffix(".csv") for p in folder.iterdir() if p.name.endswith(".csv"))


def _checked(rows: list[dict[str, str]], where: str) -> dict[str, Matter]:
    known = {*CONSTRUCTION, *SANITATION}
    table: dict[str, Matter] = {}
    for number, row in enumerate(rows, start=2):
        missing = [c for c in _COLUMNS if not row.get(c)]
        if missing:
            raise InferenceError(f"{where} row {number}: expected columns label, code, name; {missing[0]} is empty")
        if row["label"] not in known:
            raise InferenceError(f"{where} row {number}: no label {row['label']!r}; known: {', '.join(sorted(known))}")
        table[row["label"]] = Matter(row["code"], row["name"])
    return table


def read_code_set(source: str | Path = DEFAULT_CODE_SET) -> dict[str, Matter]:
    """Reads a mapping from label to matter.

    Args:
        source: The name of a packaged set, or a CSV or XLSX file with columns label, code, name.

    Raises:
        InferenceError: Unknown set, or a malformed file; the message names the row.
    """
    if isinstance(source, str) and source in code_sets():
        text = (resources.files("inference") / "codes" / f"{source}.csv").read_text(encoding="utf-8")
        return _checked(list(csv.DictReader(text.splitlines())), source)
    path = Path(source)
    if not path.is_file():
        raise InferenceError(f"no code set {source}: give one of {', '.join(code_sets())}, or a CSV or XLSX file")
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _checked(list(csv.DictReader(file)), str(path))
    try:
        sheet = load_workbook(path, read_only=True).worksheets[0]
    except (InvalidFileException, OSError, KeyError, ValueError, BadZipFile) as error:
        raise InferenceError(f"{path} is not a CSV or XLSX file: {error}") from error
    rows = [[str(v).strip() if v is not None else "" for v in row] for row in sheet.iter_rows(values_only=True)]
    rows = [row for row in rows if any(row)]
    if not rows:
        raise InferenceError(f"{path} is empty: expected columns label, code, name")
    return _checked([dict(zip(rows[0], row, strict=False)) for row in rows[1:]], str(path))


def construction_label(polygon: BaseGeometry, height_m: float | None, built_before: float, beside_built: float) -> str:
    """The finer kind of a new structure, from its shape, height and what stood there.

    Args:
        polygon: Outline in metres.
        height_m: Rise, or None.
        built_before: Probability that a building stood there before (mean inside).
        beside_built: The same in the strip around the outline.
    """
    if built_before > 0.5:
        return "altered_structure"
    sides = sides_m(polygon)
    if sides is not None and sides[0] < 1.2 and sides[1] > 6 * sides[0]:
        return "wall"
    if height_m is not None and height_m < SLAB_M:
        return "slab"
    if beside_built > 0.45:
        return "extension"
    return "shed" if polygon.area < SHED_M2 else "new_building"


def waste_label(spoil: float, litter: float) -> str:
    """The kind of waste from the network's conditional channels."""
    if max(spoil, litter) < KIND_CUT:
        return "waste_heap"
    return "spoil" if spoil >= litter else "litter"
