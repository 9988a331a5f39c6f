"""`yunxun plan`: an area into sorties that crews can fly."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from yunxun.commands.options import grouped
from yunxun.commands.plan_options import Change, Fleet, Papers, Place, Wanted
from yunxun.console import PartlyDone, command, progress_bar
from yunxun.errors import YunxunError

if TYPE_CHECKING:
    from missions.airspace import Clearances
    from missions.request import PlanRequest
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
@grouped
def plan(
    out: Annotated[Path, typer.Option(help="Folder to write the plan to.")],
    wanted: Wanted,
    place: Place,
    fleet: Fleet,
    papers: Papers,
    explain: Annotated[bool, typer.Option("--explain", help="Say why this direction, split and order.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> tuple[dict[str, Any], list[str]]:
    """Plan a patrol: sorties that cover an area, follow a line or visit places, each within one battery.

    Example: yunxun plan --area area.geojson --zones zones.geojson --aircraft mavic3e --gsd-cm 3 --out plan/
    """
    from missions.planner import export_plan, plan_patrol

    with progress_bar(as_json) as report:
        planned = plan_patrol(request_of(wanted, place, fleet), report)
        checks = checked(planned, papers)
        made = export_plan(planned, out)
    result = made.model_dump(mode="json")
    lines = plan_lines(result, out)
    lines += drawn(planned, checks, papers)
    if papers.operation is not None or explain:
        result["checks"] = [asdict(check) for check in checks]
        lines += [f"{check.grade:5s} {check.name} ({check.article}): {check.detail}" for check in checks]
    if explain:
        from missions.explain import explain as reasons

        result["reasons"] = reasons(planned)
        lines += result["reasons"]
    if any(not item.what.startswith("warning:") for item in made.refused):
        raise PartlyDone(result, lines)
    return result, lines


def request_of(wanted: Wanted, place: Place, fleet: Fleet) -> PlanRequest:
    """The request that the options make.

    Raises:
        YunxunError: A value is not what its option expects.
        MissionsError: The file of sites cannot be read.
    """
    from missions.planner import PlanRequest

    wind_mps, wind_from_deg = wind_of(fleet.wind)
    return PlanRequest(
        area=wanted.area,
        product=product_of(wanted.product),
        width_m=wanted.width_m,
        points=wanted.points,
        cases=wanted.cases,
        due_only=wanted.due_only,
        on=wanted.on.date() if wanted.on else None,
        day_km2=wanted.day_km2,
        grid=wanted.grid,
        margin_m=wanted.margin_m,
        zones=place.zones,
        obstacles=place.obstacles,
        dem=place.dem,
        sites=all_sites(place.site, place.sites),
        clearances=clearances_of(place),
        aircraft=fleet.aircraft,
        gsd_m=None if fleet.gsd_cm is None else fleet.gsd_cm / 100.0,
        front_overlap=fleet.front_overlap,
        side_overlap=fleet.side_overlap,
        crews=fleet.crews,
        wind_mps=wind_mps,
        wind_from_deg=wind_from_deg,
        start_utc=first_take_off(fleet.start, fleet.roster),
        roster=fleet.roster,
        battery_health=fleet.battery_health,
        objective=fleet.objective,
        follow_surface=fleet.follow_surface,
        climb_out_m=place.climb_out_m,
    )


def clearances_of(place: Place) -> Clearances:
    """Distances kept, and what becomes of obstacles of unknown height.

    Raises:
        YunxunError: A distance that is none, or `unknown_heights` is neither block nor warn.
    """
    from missions.airspace import Clearances

    for name, value in (("zone", place.zone_clearance_m), ("obstacle", place.obstacle_clearance_m)):
        if not 0 <= value <= 500:
            raise YunxunError(f"--{name}-clearance-m is {value:g}: expected 0 to 500 metres")
    if place.unknown_heights not in ("block", "warn"):
        raise YunxunError(f"--unknown-heights {place.unknown_heights!r}: choose block or warn")
    return Clearances(
        place.zone_clearance_m,
        place.obstacle_clearance_m,
        unknown_blocks=place.unknown_heights == "block",
        straight_home=place.straight_home,
    )


def wind_of(text: str | None) -> tuple[float, float]:
    """Speed (m/s) and where it comes from (degrees), of `5,330`; no wind where nobody said."""
    if not text:
        return 0.0, 0.0
    speed_mps, from_deg = parse_numbers(text, "MPS,FROM_DEG")
    return speed_mps, from_deg


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


def checked(planned: PlanResult, papers: Papers) -> tuple[Check, ...]:
    """The rules of the air looked at; they block where the operation's particulars are given and nobody says warn.

    Raises:
        YunxunError: `rules` is neither block nor warn.
        MissionsError: A rule that blocks is broken.
    """
    from missions.rules import check_rules, read_operation, require

    if papers.rules not in ("block", "warn"):
        raise YunxunError(f"rules {papers.rules!r}: choose block or warn")
    checks = check_rules(planned, read_operation(papers.operation) if papers.operation is not None else None)
    require(checks, blocking=papers.operation is not None and papers.rules == "block")
    return checks


def drawn(planned: PlanResult, checks: tuple[Check, ...], papers: Papers) -> list[str]:
    """Pictures and sheets that were asked for."""
    from missions.application import application_of
    from missions.export.application import write_application
    from missions.export.preview import draw_preview
    from missions.export.sheet import write_crew_sheet
    from missions.rules import read_operation

    if papers.preview is not None:
        draw_preview(planned, papers.preview)
    if papers.sheet is not None:
        write_crew_sheet(planned, papers.sheet)
    if papers.application is not None:
        operation = read_operation(papers.operation) if papers.operation is not None else None
        write_application(application_of(planned, checks, operation), papers.application)
    written = (papers.preview, papers.sheet, papers.application)
    return [f"written to {path}" for path in written if path is not None]


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
@grouped
def replan(
    plan_dir: Annotated[Path, typer.Argument(help="The plan so far.")],
    area: Annotated[Path, typer.Option(help="The area it was planned for.")],
    out: Annotated[Path, typer.Option(help="Folder for the new plan.")],
    change: Change,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> tuple[dict[str, Any], list[str]]:
    """Change a plan as little as possible: an urgent point, a crew lost, other wind, a new zone.

    What the approvals do not cover is refused, and the application that would cover it is written as PDF.

    Example: yunxun replan plan/ --area area.geojson --urgent 118.351,35.052 --flown S01 --out plan2/
    """
    from missions.replan import replan as run
    from missions.rules import read_operation

    done = run(
        plan_dir,
        changed_request(plan_dir, area, change),
        out,
        flown=change.flown or (),
        urgent=[parse_lonlat(text) for text in change.urgent or ()],
        lost_crews=change.lost_crew or (),
        operation=read_operation(change.operation) if change.operation is not None else None,
        application=change.application,
    )
    changes = {"kept": list(done.kept), "dropped": list(done.dropped), "added": list(done.added)}
    result: dict[str, Any] = {**changes, "plan": done.plan.model_dump(mode="json")}
    lines = [f"{name}: {', '.join(ids) or 'none'}" for name, ids in changes.items()]
    lines += plan_lines(result["plan"], out)
    if any(not item.what.startswith("warning:") for item in done.plan.refused):
        raise PartlyDone(result, lines)
    return result, lines


def changed_request(plan_dir: Path, area: Path, change: Change) -> PlanRequest:
    """The plan's own request with what is new.

    Raises:
        MissionsError: There is no plan.
        YunxunError: The wind is not MPS,FROM_DEG.
    """
    from missions.plan import read_plan
    from missions.planner import PlanRequest

    before = read_plan(plan_dir)
    wind_mps, wind_from_deg = wind_of(change.wind)
    return PlanRequest(
        area=area,
        zones=change.zones,
        obstacles=change.obstacles,
        dem=change.dem,
        aircraft=before.aircraft,
        gsd_m=before.camera.gsd_m,
        front_overlap=before.front_overlap,
        side_overlap=before.side_overlap,
        wind_mps=wind_mps,
        wind_from_deg=wind_from_deg,
        battery_health=change.battery_health,
    )


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
        "absent": list(done.absent),
    }
    lines = [f"{name}: {count} photographs" for name, count in result["sorted"].items()]
    lines += [f"{m.sortie}: {len(m.places)} missed, {m.trailing} of them at its end" for m in done.missed]
    lines += [f"nothing of {', '.join(done.absent)} on this card"] if done.absent else []
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
