"""The patrol's folder: identity, frames taken in, the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from yunxun.errors import YunxunError
from yunxun.workspace import Ledger, PatrolFolder, take_in_frames


def test_the_same_folder_is_the_same_patrol_for_ever(tmp_path: Path) -> None:
    folder = PatrolFolder(tmp_path / "2026-11-23-lanshan-01")
    assert folder.read_record() is None
    minted = folder.ensure_record(baseline="day1")
    assert folder.ensure_record() == minted
    assert minted.name == "2026-11-23-lanshan-01"


def test_two_cards_with_the_same_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    card = tmp_path / "card"
    for sortie in ("a", "b"):
        (card / sortie).mkdir(parents=True)
        (card / sortie / "DJI_0001.JPG").write_bytes(sortie.encode())
    frames = tmp_path / "frames"
    assert take_in_frames(card, frames) == 2
    assert (frames / "a" / "DJI_0001.JPG").read_bytes() == b"a"
    assert (frames / "b" / "DJI_0001.JPG").read_bytes() == b"b"
    assert take_in_frames(card, frames) == 2  # a second run changes nothing


def test_files_at_the_top_of_a_card_are_one_sortie_and_none_is_lost(tmp_path: Path) -> None:
    card = tmp_path / "card"
    card.mkdir()
    (card / "DJI_0001.JPG").write_bytes(b"x")
    (card / "notes.txt").write_bytes(b"not a photograph: the stitcher names it")
    take_in_frames(card, tmp_path / "frames")
    assert sorted(p.name for p in (tmp_path / "frames" / "S01").iterdir()) == ["DJI_0001.JPG", "notes.txt"]


def test_a_missing_or_empty_card_is_told(tmp_path: Path) -> None:
    with pytest.raises(YunxunError, match="no folder of photographs at"):
        take_in_frames(tmp_path / "none", tmp_path / "frames")
    (tmp_path / "empty").mkdir()
    with pytest.raises(YunxunError, match="is empty"):
        take_in_frames(tmp_path / "empty", tmp_path / "frames")
    assert not (tmp_path / "frames").exists()


def test_the_ledger_knows_a_stage_only_with_the_same_inputs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "jobs.sqlite")
    ledger.finish("stitch", "k1", 1.5, '{"a": 1}')
    ledger.close()
    again = Ledger(tmp_path / "jobs.sqlite")
    assert again.result("stitch", "k1") == '{"a": 1}'
    assert again.result("stitch", "k2") is None
    again.close()
