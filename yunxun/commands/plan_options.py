"""The options of `yunxun plan` and `yunxun replan`, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

# kw_only: a field without a default may stand anywhere; typer needs the types at run time.


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be photographed."""

    area: Annotated[
        Path | None,
        typer.Option(help="Polygons to cover, lines of a corridor, or places to inspect (GeoJSON, KML, GPKG, SHP)."),
    ] = None
    product: Annotated[
        str, typer.Option(help="mosaic (all of the area), corridor (along lines) or inspection (places).")
    ] = "mosaic"
    width_m: Annotated[float, typer.Option(help="Width of a corridor, both sides together.")] = 60.0
    points: Annotated[Path | None, typer.Option(help="Ledger of listed places (XLSX, CSV, GeoJSON).")] = None
    cases: Annotated[Path | None, typer.Option(help="Cases: the open ones are photographed again.")] = None
    grid: Annotated[Path | None, typer.Option(help="Management grid; with --due-only the cells of the day.")] = None
    due_only: Annotated[bool, typer.Option("--due-only", help="Only cells and places whose interval has passed.")] = (
        False
    )
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day that due is judged by.")] = None
    day_km2: Annotated[float | None, typer.Option(help="What a day reaches, when cells are chosen.")] = None
    margin_m: Annotated[float, typer.Option(help="Ground to photograph beyond the area's edge.")] = 0.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """What holds there: rules, what stands there, the ground, where aircraft take off."""

    zones: Annotated[Path | None, typer.Option(help="Zones: no-fly, ceiling, no-photo, permitted.")] = None
    obstacles: Annotated[Path | None, typer.Option(help="Obstacles with top_agl_m.")] = None
    zone_clearance_m: Annotated[float, typer.Option(help="Kept beside no-fly zones and inside permitted ones.")] = 15.0
    obstacle_clearance_m: Annotated[float, typer.Option(help="Kept above and beside obstacles.")] = 20.0
    unknown_heights: Annotated[
        str, typer.Option(help="Obstacles without top_agl_m. block: flown around; warn: flown over, and said.")
    ] = "block"
    dem: Annotated[Path | None, typer.Option(help="Ground heights (GeoTIFF, m above sea level).")] = None
    site: Annotated[list[str] | None, typer.Option(help="A take-off site LON,LAT; may be repeated.")] = None
    sites: Annotated[Path | None, typer.Option(help="Take-off sites: the points of a file.")] = None
    climb_out_m: Annotated[
        float | None,
        typer.Option(
            help="Climb straight up to this height only (20 m above all that stands about the sites), the rest on "
            "course, and the way home the same; default: straight up and down."
        ),
    ] = None
    straight_home: Annotated[
        bool, typer.Option("--straight-home", help="Leave out lanes from which a straight flight home is not clear.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What flies, how, and who with it."""

    aircraft: Annotated[str, typer.Option(help="arducopter, mavic3e, m30, m350-h20t or m3d.")] = "arducopter"
    gsd_cm: Annotated[float | None, typer.Option(help="Ground sample distance; the profile's own when left out.")] = (
        None
    )
    front_overlap: Annotated[float, typer.Option(help="Share, 0.75 is 75 %.")] = 0.75
    side_overlap: Annotated[float, typer.Option(help="Share.")] = 0.65
    crews: Annotated[int, typer.Option(help="Crews that fly at the same time.")] = 1
    roster: Annotated[Path | None, typer.Option(help="The brigade (roster.json): it makes crews and their day.")] = None
    start: Annotated[datetime | None, typer.Option(help="First take-off, UTC; now when left out.")] = None
    wind: Annotated[str | None, typer.Option(help="MPS,FROM_DEG: 5,330 blows from the north-west.")] = None
    battery_health: Annotated[float, typer.Option(help="Share of the capacity that worn batteries still hold.")] = 1.0
    objective: Annotated[str, typer.Option(help="What a sweep direction is judged by.")] = "both"
    follow_surface: Annotated[
        bool, typer.Option("--follow-surface", help="DJI files: follow the surface by the aircraft's own sensors.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class Papers:
    """Rules of the air, and what is written for people."""

    operation: Annotated[
        Path | None, typer.Option(help="What the operator has (JSON): rules of the air then block.")
    ] = None
    rules: Annotated[str, typer.Option(help="block: a broken rule refuses the plan; warn: it is only said.")] = "block"
    preview: Annotated[Path | None, typer.Option(help="Draw the plan as PNG.")] = None
    sheet: Annotated[Path | None, typer.Option(help="Crew sheets with maps as PDF.")] = None
    application: Annotated[Path | None, typer.Option(help="The application for the flights as PDF.")] = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is new since a plan was made."""

    urgent: Annotated[list[str] | None, typer.Option(help="LON,LAT to photograph soon; may be repeated.")] = None
    flown: Annotated[list[str] | None, typer.Option(help="Sortie already flown (S01); may be repeated.")] = None
    lost_crew: Annotated[list[str] | None, typer.Option(help="Crew that is out (C01); may be repeated.")] = None
    zones: Annotated[Path | None, typer.Option(help="Zones as they are now.")] = None
    obstacles: Annotated[Path | None, typer.Option(help="Obstacles as they are now.")] = None
    dem: Annotated[Path | None, typer.Option(help="Ground heights.")] = None
    wind: Annotated[str | None, typer.Option(help="MPS,FROM_DEG as it is now.")] = None
    battery_health: Annotated[float, typer.Option(help="Share of the capacity that is left.")] = 1.0
    operation: Annotated[
        Path | None, typer.Option(help="What the operator has (JSON): nothing new is flown outside its approvals.")
    ] = None
    application: Annotated[
        Path | None,
        typer.Option(help="Where the application goes if approvals do not cover it; OUT-application.pdf by itself."),
    ] = None
