"""`yunxun plan`, `replan` and `ingest` from the command line: products, rules, pictures and reasons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from yunxun.cli import app

SQUARE = [[118.35, 35.05], [118.352, 35.05], [118.352, 35.052], [118.35, 35.052], [118.35, 35.05]]
NOON = "2026-11-23T04:00:00"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def features(path: Path, shape: str, coordinates: object, **properties: object) -> Path:
    feature = {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": shape, "coordinates": coordinates},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


@pytest.fixture
def area(tmp_path: Path) -> Path:
    return features(tmp_path / "area.geojson", "Polygon", [SQUARE])


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "台账.csv"
    rows = ["点位编号,经度,纬度,巡查周期,上次巡查,航高,偏航角,俯仰角"]
    rows += ["W-1,118.3504,35.0502,7,2026-11-01,60,90,-45", "W-2,118.3512,35.0511,30,2026-11-20,,,"]
    path.write_text("\n".join(rows), "gb18030")
    return path


def test_a_ledger_is_planned_explained_and_drawn(tmp_path: Path, ledger: Path) -> None:
    drawn = [tmp_path / name for name in ("plan.png", "crews.pdf", "application.pdf")]
    code, out, err = run(
        "plan", "--points", ledger, "--due-only", "--on", "2026-11-23", "--start", NOON, "--gsd-cm", 6,
        "--out", tmp_path / "p", "--preview", drawn[0], "--sheet", drawn[1], "--application", drawn[2], "--explain",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(out)
    assert [view["what"] for sortie in result["sorties"] for view in sortie["views"]] == ["W-1 view"]
    assert any("1 of 1 photographs" in reason for reason in result["reasons"])
    assert {check["grade"] for check in result["checks"]} <= {"ok", "warn", "block"}
    assert [path.read_bytes()[:4] for path in drawn] == [b"\x89PNG", b"%PDF", b"%PDF"]


def test_a_corridor_has_sites_of_a_file(tmp_path: Path) -> None:
    road = features(tmp_path / "r.geojson", "LineString", [[118.35, 35.05], [118.356, 35.05]])
    sites = features(tmp_path / "s.geojson", "Point", [118.353, 35.0492])
    code, out, err = run(
        "plan", "--area", road, "--product", "corridor", "--width-m", 90, "--sites", sites, "--gsd-cm", 8,
        "--out", tmp_path / "p", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert [sortie["home"][:2] for sortie in json.loads(out)["sorties"]] == [[118.353, 35.0492]]


def test_a_broken_rule_refuses_the_plan_and_a_warning_does_not(tmp_path: Path, area: Path) -> None:
    operation = tmp_path / "operation.json"
    operation.write_text(json.dumps({"insured_until": "2026-01-01"}))
    arguments = ["plan", "--area", area, "--gsd-cm", 8, "--start", NOON, "--operation", operation]
    code, _, err = run(*arguments, "--out", tmp_path / "p")
    assert code == 2 and "insurance (761 art. 12" in err and not (tmp_path / "p").exists()
    code, out, _ = run(*arguments, "--out", tmp_path / "p", "--rules", "warn")
    assert code == 0 and "block insurance" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--product", "film"], "choose one of mosaic, corridor, inspection"),
        (["--rules", "maybe"], "choose block or warn"),
        ([], "nothing to photograph"),
        (["--points", "none.xlsx"], "no ledger"),
        (["--product", "corridor"], "needs its middle line"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    if "--rules" in arguments:
        arguments = [*arguments, "--area", str(features(tmp_path / "a.geojson", "Polygon", [SQUARE]))]
    code, _, err = run("plan", *arguments, "--out", tmp_path / "p")
    assert code == 2 and said in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "p").exists()


def test_a_replan_outside_the_volume_is_refused_and_its_application_written(tmp_path: Path, area: Path) -> None:
    assert run("plan", "--area", area, "--gsd-cm", 8, "--start", NOON, "--out", tmp_path / "p")[0] == 0
    volume = [[118.349, 35.049], [118.353, 35.049], [118.353, 35.053], [118.349, 35.053], [118.349, 35.049]]
    zones = features(tmp_path / "z.geojson", "Polygon", [volume], kind="permitted")
    arguments = ["replan", tmp_path / "p", "--area", area, "--zones", zones, "--urgent", "118.357,35.051"]
    code, _, err = run(*arguments, "--out", tmp_path / "new", "--application", tmp_path / "application.pdf")
    assert code == 2 and "application.pdf: file it" in err and not (tmp_path / "new").exists()
    assert (tmp_path / "application.pdf").read_bytes()[:4] == b"%PDF"


def test_options_in_groups_are_options_of_the_command() -> None:
    code, out, _ = run("replan", "--help")
    assert code == 0
    assert all(name in out for name in ("--urgent", "--lost-crew", "--application", "--json", "--out", "plan_dir"))
    assert run("plan", "--area", "a.geojson")[0] == 2
