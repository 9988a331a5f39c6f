"""The command line's contract: exit codes, one-line errors, --json, and nothing half-written."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from yunxun.cli import app

SQUARE = [[118.35, 35.05], [118.352, 35.05], [118.352, 35.052], [118.35, 35.052], [118.35, 35.05]]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def area_file(folder: Path, ring: list[list[float]], **top: object) -> Path:
    path = folder / "area.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature], **top}))
    return path


@pytest.mark.parametrize(
    "verb",
    [
        "plan",
        "simulate",
        "fly",
        "stitch",
        "detect",
        "file",
        "serve",
        "patrol",
        "demo",
        "token",
        "user add",
        "train",
        "evaluate",
        "rollback",
        "fleet status",
        "fleet pause",
        "fleet resume",
        "fleet return",
        "fleet land",
        "fleet goto",
        "log show",
        "preflight",
        "verify",
        "backup",
        "restore",
        "load",
        "log plot",
        "replan",
        "ingest",
    ],
)
def test_every_verb_shows_an_example(verb: str) -> None:
    code, out, _ = run(*verb.split(), "--help")
    assert code == 0
    assert f"Example: yunxun {verb}" in " ".join(out.split())


def refused(code: int, err: str, *words: str) -> None:
    assert code == 2
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in err


def test_a_self_crossing_polygon_is_refused_by_name(tmp_path: Path) -> None:
    bow_tie = [SQUARE[0], SQUARE[2], SQUARE[1], SQUARE[3], SQUARE[0]]
    code, _, err = run("plan", "--area", area_file(tmp_path, bow_tie), "--out", tmp_path / "plan")
    refused(code, err, "cross")
    assert not (tmp_path / "plan").exists()


def test_swapped_coordinates_are_refused_with_the_remedy(tmp_path: Path) -> None:
    swapped = [[lat, lon] for lon, lat in SQUARE]
    code, _, err = run("plan", "--area", area_file(tmp_path, swapped), "--out", tmp_path / "plan")
    refused(code, err, "lon")
    assert not (tmp_path / "plan").exists()


def test_an_area_in_no_known_crs_is_refused(tmp_path: Path) -> None:
    metres = [[500000.0 + 100 * x, 3880000.0 + 100 * y] for x, y in [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]]
    code, _, err = run("plan", "--area", area_file(tmp_path, metres), "--out", tmp_path / "plan")
    refused(code, err)
    assert not (tmp_path / "plan").exists()


@pytest.mark.parametrize("site", ["118.35", "a,b", "35.05,118.35"])
def test_a_site_that_is_no_place_is_refused(tmp_path: Path, site: str) -> None:
    code, _, err = run("plan", "--area", area_file(tmp_path, SQUARE), "--site", site, "--out", tmp_path / "p")
    refused(code, err, "LON,LAT")


def test_an_error_with_json_is_one_object(tmp_path: Path) -> None:
    code, out, err = run("plan", "--area", tmp_path / "none.geojson", "--out", tmp_path / "p", "--json")
    refused(code, err, "none.geojson")
    assert "none.geojson" in json.loads(out)["error"]


def test_a_plan_in_json_is_the_contract(tmp_path: Path) -> None:
    code, out, err = run(
        "plan", "--area", area_file(tmp_path, SQUARE), "--out", tmp_path / "p", "--json", "--gsd-cm", 8
    )
    assert code == 0, err
    assert json.loads(out) == json.loads((tmp_path / "p" / "plan.json").read_text())


def test_stitching_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("missing", "empty"):
        code, _, err = run("stitch", tmp_path / folder, "--out", tmp_path / "mosaic.tif")
        refused(code, err, folder)
        assert "照片" in err
    assert list(tmp_path.glob("*.tif")) == list(tmp_path.glob("*.json")) == []


def test_detecting_in_nothing_is_refused(tmp_path: Path) -> None:
    code, _, err = run("detect", tmp_path / "missing", "--out", tmp_path / "s.geojson")
    refused(code, err, "missing")
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    code, _, err = run("detect", notes, "--out", tmp_path / "s.geojson")
    refused(code, err, "notes.txt")
    assert not (tmp_path / "s.geojson").exists()


def test_flying_needs_a_plan_and_a_vehicle(tmp_path: Path) -> None:
    code, _, err = run("fly", tmp_path, "--simulate", 1, "--out", tmp_path / "flight")
    refused(code, err, "no plan at")
    run("plan", "--area", area_file(tmp_path, SQUARE), "--out", tmp_path / "p")
    code, _, err = run("fly", tmp_path / "p", "--out", tmp_path / "flight")
    refused(code, err, "--connect", "--simulate")


def test_an_unreachable_vehicle_is_told(tmp_path: Path) -> None:
    run("plan", "--area", area_file(tmp_path, SQUARE), "--out", tmp_path / "p")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    code, _, err = run("fly", tmp_path / "p", "--connect", f"tcp:127.0.0.1:{port}", "--out", tmp_path / "flight")
    refused(code, err, str(port))
    assert not (tmp_path / "flight").exists()


def test_a_port_in_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = run("serve", "--port", port, "--data-dir", tmp_path / "data")
        refused(code, err, str(port), "--port")


def test_a_new_patrol_needs_an_area_or_photographs(tmp_path: Path) -> None:
    code, _, err = run("patrol", tmp_path / "new")
    refused(code, err, "--area", "--frames")
    assert not (tmp_path / "new").exists()


def test_a_baseline_with_no_mosaic_is_told_before_anything_is_done(tmp_path: Path) -> None:
    card = tmp_path / "card"
    card.mkdir()
    (card / "a.jpg").write_bytes(b"x")
    (tmp_path / "old").mkdir()
    code, _, err = run("patrol", tmp_path / "new", "--frames", card, "--baseline", tmp_path / "old")
    refused(code, err, "mosaic.tif")
    assert not (tmp_path / "new").exists()


def test_the_demo_does_not_clear_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    code, _, err = run("demo", "--no-serve", "--out", tmp_path)
    refused(code, err, str(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_an_earlier_day_and_a_register_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mosaic.tif").write_bytes(b"not looked at")
    names = ("mosaic.tif", "--baseline", "mosaic.tif", "--registered", "mosaic.tif")
    arguments = [str(tmp_path / name) if name.endswith(".tif") else name for name in names]
    done = CliRunner().invoke(app, ["detect", *arguments, "--out", str(tmp_path / "sites.geojson")])
    assert done.exit_code == 2
    assert "--registered is for a first flight" in done.output
    assert not (tmp_path / "sites.geojson").exists()
