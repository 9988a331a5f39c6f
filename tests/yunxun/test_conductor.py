"""A patrol from a memory card: all stages, resumed, partly done, and the same result twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from yunxun.conductor import PatrolInputs, PatrolRun
from yunxun.errors import YunxunError
from yunxun.workspace import PatrolFolder


def quiet(done: int, total: int, what: str) -> None:
    pass


def test_a_card_becomes_a_mosaic_and_candidates_and_a_second_run_repeats_nothing(card: Path, tmp_path: Path) -> None:
    broken = tmp_path / "card"
    shutil.copytree(card, broken)
    (broken / "DJI_0099.JPG").write_bytes((card / "DJI_0001.JPG").read_bytes()[:2000])
    (broken / "notes.txt").write_text("the wind was strong")
    folder = PatrolFolder(tmp_path / "patrol")
    first = PatrolRun(folder, PatrolInputs(frames=broken), quiet).run()
    assert [stage.name for stage in first] == ["stitch", "detect"]
    assert not any(stage.resumed for stage in first)
    aside = {item["file"].rsplit("/", 1)[-1] for item in first[0].result["frames_set_aside"]}
    assert "DJI_0099.JPG" in aside
    assert first[0].result["frames_matched"] == len(list(card.iterdir()))
    sites = json.loads(folder.sites.read_text())
    assert sites["patrol_id"] == folder.ensure_record().patrol_id

    stamps = {path: path.stat().st_mtime_ns for path in (folder.mosaic, folder.sites)}
    again = PatrolRun(folder, PatrolInputs(frames=broken), quiet).run()
    assert all(stage.resumed for stage in again)
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}

    folder.sites.unlink()
    third = PatrolRun(folder, PatrolInputs(frames=broken), quiet).run()
    assert [stage.resumed for stage in third] == [True, False]
    # The same mosaic, frames, model and settings: the same candidates under the same numbers.
    assert json.loads(folder.sites.read_text())["features"] == sites["features"]


def test_a_folder_with_nothing_to_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(YunxunError, match=r"--area .* or --frames"):
        PatrolRun(PatrolFolder(tmp_path / "none"), PatrolInputs(), quiet)
    assert not (tmp_path / "none").exists()


def test_a_missing_area_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(YunxunError, match="no file at"):
        PatrolRun(PatrolFolder(tmp_path / "new"), PatrolInputs(area=tmp_path / "none.geojson"), quiet)
    assert not (tmp_path / "new").exists()
