"""The whole demo, small: two simulated days through every stage, filed over HTTP, judged by script, fed in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio
from typer.testing import CliRunner

from flight.capturelog import read_captures
from inference.sites import read_sites
from missions.plan import read_plan
from yunxun.cli import app
from yunxun.workspace import PatrolFolder

SIZE_M = 200


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    arguments = ["demo", "--no-serve", "--seed", "2", "--size-m", str(SIZE_M), "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return out, json.loads(result.stdout)


@pytest.mark.timeout(900)
def test_every_stage_left_its_file(demo: tuple[Path, dict[str, object]]) -> None:
    out, _ = demo
    for day in (1, 2):
        folder = PatrolFolder(out / f"day{day}")
        plan = read_plan(folder.plan)
        assert len(plan.sorties) == 2
        for sortie in plan.sorties:
            captures = read_captures(folder.flight / f"{sortie.short_id}.captures.csv")
            photos = {path.name for path in (folder.frames / sortie.short_id).iterdir()}
            assert {capture.file for capture in captures} == photos
            # A trigger-distance mission takes one photograph more or less at each lane's end.
            assert abs(len(captures) - sortie.photos) <= 0.15 * sortie.photos + 2
        with rasterio.open(folder.mosaic) as mosaic:
            assert mosaic.crs.is_projected and mosaic.overviews(1)
        report = json.loads(folder.report.read_text())
        assert report["frames_matched"] == report["frames_total"] == len(folder.photos())
        assert report["tie_rms_px"] < 1.5
    with rasterio.open(out / "day2" / "dsm.tif") as surface:
        assert surface.count >= 1
    assert (out / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_permitted_is_filed_and_what_was_accepted_is(demo: tuple[Path, dict[str, object]]) -> None:
    out, told = demo
    found = read_sites(out / "day2" / "sites.geojson")
    assert told["permitted_filed"] == 0
    accepted = [f for f in found.features if not f.properties.permitted and f.properties.probability >= 0.5]
    assert told["cases_filed"] == len(accepted)
    assert told["candidates"] == len(found.features)


def test_unpermitted_buildings_and_heaps_are_found(demo: tuple[Path, dict[str, object]]) -> None:
    # A 200 m town is half edge, where photographs overlap least; the full demo's numbers are benchmarks/demo.py's.
    _, told = demo
    assert int(str(told["unpermitted_found"])) >= int(str(told["unpermitted"])) - 1
    assert int(str(told["heaps_found"])) >= int(str(told["heaps"])) // 2
    assert int(str(told["false"])) <= 5


def test_every_frame_that_a_candidate_names_exists(demo: tuple[Path, dict[str, object]]) -> None:
    out, _ = demo
    for feature in read_sites(out / "day2" / "sites.geojson").features:
        for frame in feature.properties.frames:
            assert (out / "day2" / "frames" / frame.file).is_file()
