from __future__ import annotations

from pathlib import Path

import pytest
import shapely
from openpyxl import Workbook

from inference.errors import InferenceError
from inference.labels import CONSTRUCTION, SANITATION, code_sets, construction_label, read_code_set, waste_label


@pytest.mark.parametrize("name", code_sets())
def test_every_packaged_set_knows_every_label(name: str) -> None:
    assert set(read_code_set(name)) == {*CONSTRUCTION, *SANITATION}


def test_the_national_standard_of_2026_is_the_default() -> None:
    codes = read_code_set()
    assert (codes["shed"].code, codes["shed"].name) == ("06001", "私搭乱建")
    assert codes["waste_heap"].code == "06010"
    assert codes["spoil"].code == "06011"


def test_a_citys_own_table_comes_from_xlsx_or_csv(tmp_path: Path) -> None:
    book = Workbook()
    for row in (["label", "code", "name"], ["waste_heap", "A01", "垃圾"], [None, None, None]):
        book.active.append(row)
    book.save(tmp_path / "codes.xlsx")
    assert read_code_set(tmp_path / "codes.xlsx")["waste_heap"].code == "A01"
    (tmp_path / "codes.csv").write_text("label,code,name\nspoil,B2,渣土\n", encoding="utf-8-sig")
    assert read_code_set(tmp_path / "codes.csv")["spoil"].name == "渣土"


def test_bad_tables_name_the_row(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text("label,code,name\nspoil,B2,渣土\ncastle,X,城堡\n")
    with pytest.raises(InferenceError, match="row 3: no label 'castle'"):
        read_code_set(path)
    path.write_text("label,code,name\nspoil,,渣土\n")
    with pytest.raises(InferenceError, match=r"row 2.*code is empty"):
        read_code_set(path)
    with pytest.raises(InferenceError, match="no code set"):
        read_code_set("atlantis")
    (tmp_path / "x.xlsx").write_text("no")
    with pytest.raises(InferenceError, match="not a CSV or XLSX"):
        read_code_set(tmp_path / "x.xlsx")


def test_fine_labels() -> None:
    house, shed, wall = shapely.box(0, 0, 12, 8), shapely.box(0, 0, 4, 3), shapely.box(0, 0, 20, 0.5)
    assert construction_label(house, 4.0, 0.0, 0.0) == "new_building"
    assert construction_label(shed, 2.4, 0.0, 0.0) == "shed"
    assert construction_label(shed, 2.4, 0.0, 0.9) == "extension"
    assert construction_label(house, 0.3, 0.0, 0.0) == "slab"
    assert construction_label(wall, 2.0, 0.0, 0.0) == "wall"
    assert construction_label(house, 3.0, 0.9, 0.9) == "altered_structure"
    assert construction_label(house, None, 0.0, 0.0) == "new_building"
    assert [waste_label(*p) for p in ((0.1, 0.2), (0.7, 0.2), (0.9, 0.2), (0.1, 0.95))] == [
        "waste_heap",
        "waste_heap",
        "spoil",
        "litter",
    ]
