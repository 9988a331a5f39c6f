"""`yunxun patrol` and `yunxun demo`: the whole way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from yunxun.commands.imaging import AsJson, candidate_lines, mosaic_lines
from yunxun.commands.planning import parse_lonlat, plan_lines
from yunxun.console import PartlyDone, command, progress_bar, show
from yunxun.errors import YunxunError
from yunxun.settings import load_settings
from yunxun.workspace import PatrolFolder


@command
def patrol(
    new_dir: Annotated[Path, typer.Argument(help="The patrol's folder: new, or one to go on with.")],
    area: Annotated[Path | None, typer.Option(help="Polygons to plan for.")] = None,
    frames: Annotated[Path | None, typer.Option(help="A memory card's folder of photographs.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="An earlier patrol's folder or mosaic.")] = None,
    permits: Annotated[Path | None, typer.Option(help="Permitted building work.")] = None,
    simulate: Annotated[int, typer.Option(help="Fly it with N simulated vehicles.")] = 0,
    speedup: Annotated[float, typer.Option(help="Of the simulated clock.")] = 50.0,
    ground: Annotated[str, typer.Option(help="What simulated cameras see: town:SEED[:DAY] or a GeoTIFF.")] = "town:1",
    aircraft: Annotated[str, typer.Option(help="Profile to plan for.")] = "arducopter",
    gsd_cm: Annotated[float | None, typer.Option(help="Ground sample distance to plan for.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="A take-off site LON,LAT; may be repeated.")] = None,
    dem: Annotated[Path | None, typer.Option(help="Ground heights for the plan.")] = None,
    api: Annotated[str | None, typer.Option(help="File the candidates with the case API here.")] = None,
    token: Annotated[str | None, typer.Option(help="Token for --api.", envvar="YUNXUN_TOKEN")] = None,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Walk a patrol through all stages in one folder; run again to go on where it stopped.

    Example: yunxun patrol patrols/day2 --frames /media/card/DCIM --baseline patrols/day1
    """
    from yunxun.conductor import PatrolInputs, PatrolRun

    if area is None and frames is None and not new_dir.is_dir():
        raise YunxunError(f"{new_dir} is new: give --area (to plan and fly) or --frames (a memory card's folder)")
    inputs = PatrolInputs(
        area=area, frames=frames, baseline=baseline, permits=permits, simulate=simulate, speedup=speedup, ground=ground,
        aircraft=aircraft, gsd_cm=gsd_cm, sites=tuple(parse_lonlat(text) for text in site or ()), dem=dem,
    )  # fmt: skip
    folder = PatrolFolder(new_dir)
    with progress_bar(as_json) as report:
        done = PatrolRun(folder, inputs, report).run()
    result: dict[str, Any] = {"patrol": str(new_dir), "patrol_id": folder.ensure_record().patrol_id}
    lines: list[str] = []
    partly: list[str] = []
    for stage in done:
        result[stage.name] = stage.result
        again = " (done before)" if stage.resumed else f" ({stage.wall_s:.1f} s)"
        lines += [f"{stage.name}{again}", *("  " + line for line in _stage_lines(stage.name, stage.result, new_dir))]
        partly += _left_over(stage.name, stage.result)
    if "stitch" not in result:
        partly.append(
            f"planned, not flown: fly it (`yunxun fly {new_dir} --connect URL --out {new_dir}`) and run again"
        )
    if api is not None and folder.sites.is_file():
        lines += _file(folder, api, token, result)
    if partly:
        raise PartlyDone(result, lines + partly)
    return result, lines


def _file(folder: PatrolFolder, api: str, token: str | None, result: dict[str, Any]) -> list[str]:
    from yunxun.filing import file_sites

    if not token:
        raise YunxunError("--api needs --token (or YUNXUN_TOKEN): make one with `yunxun token --role officer`")
    filed = file_sites(folder.sites, api, token, load_settings().spool_dir)
    result["file"] = {"filed": filed.filed, "spooled": filed.spooled}
    return [f"filed {filed.filed} candidates with {api}" + (f", {filed.spooled} wait" if filed.spooled else "")]


def _stage_lines(name: str, result: dict[str, Any], where: Path) -> list[str]:
    if name == "plan":
        return plan_lines(result, where)
    if name == "stitch":
        return mosaic_lines(result)
    if name == "detect":
        return candidate_lines(result)
    return [f"{sortie['id']}: {sortie['state']}, {sortie['photos']} photographs" for sortie in result["sorties"]]


def _left_over(name: str, result: dict[str, Any]) -> list[str]:
    """What makes this patrol done only in part."""
    if name == "plan":
        return [f"plan left out {item['what']}: {item['why']}" for item in result["refused"]]
    if name == "fly":
        return [f"sortie {s['id']} {s['state']}: {s['why']}" for s in result["sorties"] if s["state"] != "landed"]
    if name == "stitch" and result["frames_set_aside"]:
        return [f"{len(result['frames_set_aside'])} photographs set aside (named in mosaic.json)"]
    return []


@command
def demo(
    seed: Annotated[int, typer.Option(help="Which town, and what is built and dumped in it.")] = 1,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="End when done; no web app, no broker.")] = False,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo"),
    size_m: Annotated[float, typer.Option(help="Side of the square town.", min=150, max=2000)] = 400.0,
    port: Annotated[int, typer.Option(help="Port of the API; another is taken when it is in use.")] = 8000,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]] | None:
    """The main job from end to end on a simulated town; says what was found beside what is true.

    Example: yunxun demo --seed 3 --no-serve --out /tmp/demo
    """
    from yunxun.demo import run_demo

    stay = not no_serve and sys.stdout.isatty() and not as_json
    with progress_bar(as_json) as report:
        say = None if as_json else typer.echo
        outcome = run_demo(out, seed, port=port, stay=stay, report=report, say=say, size_m=size_m)
    if not stay:
        return outcome.result, outcome.lines
    show(outcome.result, outcome.lines, as_json)
    outcome.stay(typer.echo)
    return None


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.command()(patrol)
    app.command()(demo)
