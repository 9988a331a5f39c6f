"""`yunxun plan`: an area into sorties that crews can fly."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from yunxun.console import PartlyDone, command, progress_bar
from yunxun.errors import YunxunError

if TYPE_CHECKING:
    from missions.result import PlanResult
    from missions.rules import Check
    from missions.targets import Product

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
    out: Annotated[Path, typer.Option(help="Folder to write the plan to.")],
    area: Annotated[
        Path | None,
        typer.Option(help="Polygons to cover, lines of a corridor, or places to inspect (GeoJSON, KML, GPKG, SHP)."),
    ] = None,
    product: Annotated[
        str, typer.Option(help="mosaic (all of the area), corridor (along lines) or inspection (places).")
    ] = "mosaic",
    width_m: Annotated[float, typer.Option(help="Width of a corridor, both sides together.")] = 60.0,
    points: Annotated[Path | None, typer.Option(help="Ledger of listed places (XLSX, CSV, GeoJSON).")] = None,
    cases: Annotated[Path | None, typer.Option(help="Cases: the open ones are photographed again.")] = None,
    due_only: Annotated[
        bool, typer.Option("--due-only", help="Only cells and places whose interval has passed.")
    ] = False,
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day that due is judged by.")] = None,
    day_km2: Annotated[float | None, typer.Option(help="What a day reaches, when cells are chosen.")] = None,
    zones: Annotated[Path | None, typer.Option(help="Zones: no-fly, ceiling, no-photo, permitted.")] = None,
    obstacles: Annotated[Path | None, typer.Option(help="Obstacles with top_agl_m.")] = None,
    grid: Annotated[Path | None, typer.Option(help="Management grid; with --due-only the cells of the day.")] = None,
    dem: Annotated[Path | None, typer.Option(help="Ground heights (GeoTIFF, m above sea level).")] = None,
    site: Annotated[list[str] | None, typer.Option(help="A take-off site LON,LAT; may be repeated.")] = None,
    sites: Annotated[Path | None, typer.Option(help="Take-off sites: the points of a file.")] = None,
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
    follow_surface: Annotated[
        bool, typer.Option("--follow-surface", help="DJI files: follow the surface by the aircraft's own sensors.")
    ] = False,
    straight_home: Annotated[
        bool, typer.Option("--straight-home", help="Leave out lanes from which a straight flight home is not clear.")
    ] = False,
    operation: Annotated[
        Path | None, typer.Option(help="What the operator has (JSON): rules of the air then block.")
    ] = None,
    rules: Annotated[str, typer.Option(help="block: a broken rule refuses the plan; warn: it is only said.")] = "block",
    preview: Annotated[Path | None, typer.Option(help="Draw the plan as PNG.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Crew sheets with maps as PDF.")] = None,
    application: Annotated[Path | None, typer.Option(help="The application for the flights as PDF.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why this direction, split and order.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> tuple[dict[str, Any], list[str]]:
    """Plan a patrol: sorties that cover an area, follow a line or visit places, each within one battery.

    Example: yunxun plan --area area.geojson --zones zones.geojson --aircraft mavic3e --gsd-cm 3 --out plan/
    """
    from missions.airspace import Clearances
    from missions.planner import PlanRequest, export_plan, plan_patrol

    wind_mps, wind_from_deg = parse_numbers(wind, "MPS,FROM_DEG") if wind else (0.0, 0.0)
    request = PlanRequest(
        area=area,
        product=product_of(product),
        width_m=width_m,
        points=points,
        cases=cases,
        due_only=due_only,
        on=on.date() if on else None,
        day_km2=day_km2,
        zones=zones,
        obstacles=obstacles,
        grid=grid,
        dem=dem,
        sites=all_sites(site, sites),
        aircraft=aircraft,
        gsd_m=None if gsd_cm is None else gsd_cm / 100.0,
        front_overlap=front_overlap,
        side_overlap=side_overlap,
        margin_m=margin_m,
        crews=crews,
        wind_mps=wind_mps,
        wind_from_deg=wind_from_deg,
        start_utc=first_take_off(start, roster),
        roster=roster,
        battery_health=battery_health,
        objective=objective,
        follow_surface=follow_surface,
        clearances=Clearances(straight_home=straight_home),
    )
    with progress_bar(as_json) as report:
        planned = plan_patrol(request, report)
        checks = checked(planned, operation, rules)
        made = export_plan(planned, out)
    result = made.model_dump(mode="json")
    lines = plan_lines(result, out)
    lines += drawn(planned, checks, preview, sheet, application)
    if operation is not None or explain:
        result["checks"] = [asdict(check) for check in checks]
        lines += [f"{check.grade:5s} {check.name} ({check.article}): {check.detail}" for check in checks]
    if explain:
        from missions.explain import explain as reasons

        result["reasons"] = reasons(planned)
        lines += result["reasons"]
    if any(not item.what.startswith("warning:") for item in made.refused):
        raise PartlyDone(result, lines)
    return result, lines


def product_of(name: str) -> Product:
    """A product by its name.

    Raises:
        YunxunError: There is none of that name.
    """
    from missions.targets import Product

    for known in get_args(Product):
        if name == known:
            return cast("Product", known)
    raise YunxunError(f"product {name!r}: choose one of {', '.join(get_args(Product))}")


def all_sites(given: list[str] | None, file: Path | None) -> tuple[LonLat, ...]:
    """Take-off sites named one by one, then those of a file."""
    from missions.sites import read_sites

    return (*(parse_lonlat(text) for text in given or ()), *(read_sites(file) if file is not None else ()))


def first_take_off(start: datetime | None, roster: Path | None) -> datetime | None:
    """When it begins: as asked (UTC), with a roster when its first shift does, else now."""
    if start is not None:
        return start.replace(tzinfo=UTC) if start.tzinfo is None else start
    return None if roster is not None else datetime.now(UTC)


def checked(planned: PlanResult, operation: Path | None, rules: str) -> tuple[Check, ...]:
    """The rules of the air looked at; they block where the operation's particulars are given and nobody says warn.

    Raises:
        YunxunError: `rules` is neither block nor warn.
        MissionsError: A rule that blocks is broken.
    """
    from missions.rules import check_rules, read_operation, require

    if rules not in ("block", "warn"):
        raise YunxunError(f"rules {rules!r}: choose block or warn")
    checks = check_rules(planned, read_operation(operation) if operation is not None else None)
    require(checks, blocking=operation is not None and rules == "block")
    return checks


def drawn(
    planned: PlanResult, checks: tuple[Check, ...], preview: Path | None, sheet: Path | None, application: Path | None
) -> list[str]:
    """Makes the pictures and sheets that were asked for, and says where they are."""
    from missions.export.preview import draw_preview
    from missions.export.sheet import write_application, write_crew_sheet

    if preview is not None:
        draw_preview(planned, preview)
    if sheet is not None:
        write_crew_sheet(planned, sheet)
    if application is not None:
        write_application(planned, checks, application)
    return [f"written to {path}" for path in (preview, sheet, application) if path is not None]


def plan_lines(plan_json: dict[str, Any], out: Path) -> list[str]:
    """A plan in a few lines for a person."""
    sorties, coverage = plan_json["sorties"], plan_json["coverage"]
    minutes = sum(sortie["duration_s"] for sortie in sorties) / 60.0
    lines = [
        f"{len(sorties)} sorties, {minutes:.0f} min in the air, {sum(s['photos'] for s in sorties)} photographs, "
        f"{plan_json['height_agl_m']:.0f} m above ground, {plan_json['camera']['gsd_m'] * 100:.1f} cm per pixel"
    ]
    if coverage["area_m2"]:
        lines.append(
            f"{coverage['area_m2'] / 1e6:.3f} km2: {coverage['seen_once']:.1%} seen, "
            f"{coverage['seen_twice']:.1%} in two strips"
        )
    views = sum(len(sortie.get("views", ())) for sortie in sorties)
    if views:
        lines.append(f"{views} photographs of places from standstills")
    for item in plan_json["refused"]:
        said = f"{item['what']}: {item['why']}; {item['remedy']}"
        lines.append(said if said.startswith("warning:") else f"left out: {said}")
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
    operation: Annotated[
        Path | None, typer.Option(help="What the operator has (JSON): nothing new is flown outside its approvals.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> tuple[dict[str, Any], list[str]]:
    """Change a plan as little as possible: an urgent point, a crew lost, other wind, a new zone.

    Example: yunxun replan plan/ --area area.geojson --urgent 118.351,35.052 --flown S01 --out plan2/
    """
    from missions.plan import read_plan
    from missions.planner import PlanRequest
    from missions.replan import replan as run
    from missions.rules import read_operation

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
        operation=read_operation(operation) if operation is not None else None,
    )
    changes = {"kept": list(done.kept), "dropped": list(done.dropped), "added": list(done.added)}
    result: dict[str, Any] = {**changes, "plan": done.plan.model_dump(mode="json")}
    lines = [f"{name}: {', '.join(ids) or 'none'}" for name, ids in changes.items()]
    lines += plan_lines(result["plan"], out)
    if any(not item.what.startswith("warning:") for item in done.plan.refused):
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
