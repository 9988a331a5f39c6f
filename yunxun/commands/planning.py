"""`yunxun plan`: an area into sorties that crews can fly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from yunxun.console import PartlyDone, command, progress_bar
from yunxun.errors import YunxunError

LonLat = tuple[float, float]


def parse_numbers(text: str, names: str) -> tuple[float, ...]:
    """`118.35,35.10` for names "LON,LAT"; the message names what was expected.

    Raises:
        YunxunError: Another number of values, or not numbers.
    """
    parts = text.split(",")
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        values = ()
    if len(values) != len(names.split(",")):
        raise YunxunError(f"expected {names} (numbers, comma between), got {text!r}")
    return values


def parse_lonlat(text: str) -> LonLat:
    """A site given as LON,LAT in WGS84; swapped order is told."""
    lon, lat = parse_numbers(text, "LON,LAT")
    if abs(lat) > 90 and abs(lon) <= 90:
        raise YunxunError(f"{text!r}: latitude {lat:g} is beyond 90; the order is LON,LAT, so give {lat:g},{lon:g}")
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise YunxunError(f"{text!r} is not a place: expected LON,LAT in degrees, WGS84")
    return lon, lat


@command
def plan(
    area: Annotated[Path, typer.Option(help="Polygons to cover (GeoJSON, KML, GeoPackage, Shapefile).")],
    out: Annotated[Path, typer.Option(help="Folder to write the plan to.")],
    zones: Annotated[Path | None, typer.Option(help="Zones: no-fly, ceiling, no-photo, permitted.")] = None,
    obstacles: Annotated[Path | None, typer.Option(help="Obstacles with top_agl_m.")] = None,
    grid: Annotated[Path | None, typer.Option(help="Management grid: only cells that are due are flown.")] = None,
    dem: Annotated[Path | None, typer.Option(help="Ground heights (GeoTIFF, m above sea level).")] = None,
    site: Annotated[list[str] | None, typer.Option(help="A take-off site LON,LAT; may be repeated.")] = None,
    aircraft: Annotated[str, typer.Option(help="arducopter, mavic3e, m30, m350-h20t or m3d.")] = "arducopter",
    gsd_cm: Annotated[
        float | None, typer.Option(help="Ground sample distance; the profile's own when left out.")
    ] = None,
    front_overlap: Annotated[float, typer.Option(help="Share, 0.75 is 75 %.")] = 0.75,
    side_overlap: Annotated[float, typer.Option(help="Share.")] = 0.65,
    margin_m: Annotated[float, typer.Option(help="Ground to photograph beyond the area's edge.")] = 0.0,
    crews: Annotated[int, typer.Option(help="Crews that fly at the same time.")] = 1,
    wind: Annotated[str | None, typer.Option(help="MPS,FROM_DEG: 5,330 blows from the north-west.")] = None,
    start: Annotated[datetime | None, typer.Option(help="First take-off, UTC; now when left out.")] = None,
    roster: Annotated[
        Path | None, typer.Option(help="The brigade (roster.json): it makes crews and their day.")
    ] = None,
    battery_health: Annotated[float, typer.Option(help="Share of the capacity that worn batteries still hold.")] = 1.0,
    objective: Annotated[str, typer.Option(help="What a sweep direction is judged by.")] = "both",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> tuple[dict[str, Any], list[str]]:
    """Plan a patrol: sorties that cover an area, each within one battery.

    Example: yunxun plan --area area.geojson --zones zones.geojson --aircraft mavic3e --gsd-cm 3 --out plan/
    """
    from missions.planner import PlanRequest, export_plan, plan_patrol

    wind_mps, wind_from_deg = parse_numbers(wind, "MPS,FROM_DEG") if wind else (0.0, 0.0)
    request = PlanRequest(
        area=area,
        zones=zones,
        obstacles=obstacles,
        grid=grid,
        dem=dem,
        sites=tuple(parse_lonlat(text) for text in site or ()),
        aircraft=aircraft,
        gsd_m=None if gsd_cm is None else gsd_cm / 100.0,
        front_overlap=front_overlap,
        side_overlap=side_overlap,
        margin_m=margin_m,
        crews=crews,
        wind_mps=wind_mps,
        wind_from_deg=wind_from_deg,
        start_utc=(start.replace(tzinfo=UTC) if start.tzinfo is None else start) if start else datetime.now(UTC),
        roster=roster,
        battery_health=battery_health,
        objective=objective,
    )
    with progress_bar(as_json) as report:
        made = export_plan(plan_patrol(request, report), out)
    result = made.model_dump(mode="json")
    lines = plan_lines(result, out)
    if made.refused:
        raise PartlyDone(result, lines)
    return result, lines


def plan_lines(plan_json: dict[str, Any], out: Path) -> list[str]:
    """A plan in a few lines for a person."""
    sorties, coverage = plan_json["sorties"], plan_json["coverage"]
    minutes = sum(sortie["duration_s"] for sortie in sorties) / 60.0
    lines = [
        f"{len(sorties)} sorties, {minutes:.0f} min in the air, {sum(s['photos'] for s in sorties)} photographs, "
        f"{plan_json['height_agl_m']:.0f} m above ground, {plan_json['camera']['gsd_m'] * 100:.1f} cm per pixel",
        f"{coverage['area_m2'] / 1e6:.3f} km2: {coverage['seen_once']:.1%} seen, "
        f"{coverage['seen_twice']:.1%} in two strips",
    ]
    lines += [f"left out: {item['what']}: {item['why']}; {item['remedy']}" for item in plan_json["refused"]]
    return [*lines, f"written to {out}"]


@command
def replan(
    plan_dir: Annotated[Path, typer.Argument(help="The plan so far.")],
    area: Annotated[Path, typer.Option(help="The area it was planned for.")],
    out: Annotated[Path, typer.Option(help="Folder for the new plan.")],
    urgent: Annotated[list[str] | None, typer.Option(help="LON,LAT to photograph soon; may be repeated.")] = None,
    flown: Annotated[list[str] | None, typer.Option(help="Sortie already flown (S01); may be repeated.")] = None,
    lost_crew: Annotated[list[str] | None, typer.Option(help="Crew that is out (C01); may be repeated.")] = None,
    zones: Annotated[Path | None, typer.Option(help="Zones as they are now.")] = None,
    obstacles: Annotated[Path | None, typer.Option(help="Obstacles as they are now.")] = None,
    dem: Annotated[Path | None, typer.Option(help="Ground heights.")] = None,
    wind: Annotated[str | None, typer.Option(help="MPS,FROM_DEG as it is now.")] = None,
    battery_health: Annotated[float, typer.Option(help="Share of the capacity that is left.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> tuple[dict[str, Any], list[str]]:
    """Change a plan as little as possible: an urgent point, a crew lost, other wind, a new zone.

    Example: yunxun replan plan/ --area area.geojson --urgent 118.351,35.052 --flown S01 --out plan2/
    """
    from missions.plan import read_plan
    from missions.planner import PlanRequest
    from missions.replan import replan as run

    before = read_plan(plan_dir)
    wind_mps, wind_from_deg = parse_numbers(wind, "MPS,FROM_DEG") if wind else (0.0, 0.0)
    request = PlanRequest(
        area=area,
        zones=zones,
        obstacles=obstacles,
        dem=dem,
        aircraft=before.aircraft,
        gsd_m=before.camera.gsd_m,
        front_overlap=before.front_overlap,
        side_overlap=before.side_overlap,
        wind_mps=wind_mps,
        wind_from_deg=wind_from_deg,
        battery_health=battery_health,
    )
    done = run(
        plan_dir,
        request,
        out,
        flown=flown or (),
        urgent=[parse_lonlat(text) for text in urgent or ()],
        lost_crews=lost_crew or (),
    )
    changes = {"kept": list(done.kept), "dropped": list(done.dropped), "added": list(done.added)}
    result: dict[str, Any] = {**changes, "plan": done.plan.model_dump(mode="json")}
    lines = [f"{name}: {', '.join(ids) or 'none'}" for name, ids in changes.items()]
    lines += plan_lines(result["plan"], out)
    if done.plan.refused:
        raise PartlyDone(result, lines)
    return result, lines


@command
def ingest(
    card: Annotated[Path, typer.Argument(help="The memory card's folder.")],
    plan: Annotated[Path, typer.Option(help="Folder of the plan that was flown.")],
    out: Annotated[Path | None, typer.Option(help="Patrol folder that gets frames/; the plan's when left out.")] = None,
    tz: Annotated[str, typer.Option(help="Zone of EXIF times that carry no offset.")] = "Asia/Shanghai",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> tuple[dict[str, Any], list[str]]:
    """Sort a memory card into sorties, name what was missed, and write what is to be flown again.

    Example: yunxun ingest /media/card/DCIM --plan plan/ --out patrols/today
    """
    from missions.ingest import ingest as run

    folder = out or plan
    with progress_bar(as_json) as report:
        done = run(card, plan, folder, zone=tz, progress=report)
    result: dict[str, Any] = {
        "sorted": {name: len(photos) for name, photos in done.sorted.items()},
        "set_aside": [{"file": str(path), "why": why} for path, why in done.set_aside],
        "missed": [{"sortie": m.sortie, "photos": len(m.places), "at_the_end": m.trailing} for m in done.missed],
        "files": list(done.files),
    }
    lines = [f"{name}: {count} photographs" for name, count in result["sorted"].items()]
    lines += [f"{m.sortie}: {len(m.places)} missed, {m.trailing} of them at its end" for m in done.missed]
    lines += [f"set aside: {path}: {why}" for path, why in done.set_aside]
    lines += [f"to fly: {folder / name}" for name in done.files]
    if done.set_aside or done.missed:
        raise PartlyDone(result, lines)
    return result, lines


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.command()(plan)
    app.command()(replan)
    app.command()(ingest)
