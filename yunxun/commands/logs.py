"""`yunxun log`: what a flight's telemetry says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from yunxun.commands.imaging import AsJson
from yunxun.console import command
from yunxun.workspace import PatrolFolder

logs = typer.Typer(help="What a flight's telemetry says.", no_args_is_help=True, rich_markup_mode=None)
Flight = Annotated[Path, typer.Argument(help="A patrol's folder, its flight/ folder, or one .tlog.")]


def _logs_at(path: Path) -> Path:
    inside = PatrolFolder(path).flight
    return inside if inside.is_dir() else path


@logs.command()
@command
def show(flight: Flight, as_json: AsJson = False) -> tuple[dict[str, Any], list[str]]:
    """A few lines a sortie: when, how long, how far, how high, what the autopilot warned of.

    Example: yunxun log show patrols/today
    """
    from flight.logs import summarise

    found = summarise(_logs_at(flight))
    lines = []
    for log in found:
        lines.append(
            f"{log.name}: {log.begun_utc:%Y-%m-%d %H:%M:%S}Z, {log.duration_s / 60:.1f} min, {log.distance_m:.0f} m, "
            f"up to {log.top_height_m:.0f} m, {log.photos} photographs, {log.battery_used:.0%} of the battery, "
            f"{log.state} {log.why}".rstrip()
        )
        lines.append(f"  modes: {', '.join(log.modes)}")
        lines += [f"  {text}" for text in log.warnings]
    return {"logs": [asdict(log) for log in found]}, lines


@logs.command()
@command
def plot(
    flight: Flight,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("flight.png"),
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Draw the track, height, speed and battery of every sortie.

    Example: yunxun log plot patrols/today --out flight.png
    """
    from flight.plot import plot_flight

    drawn = plot_flight(_logs_at(flight), out)
    return {"png": str(drawn)}, [f"drawn in {drawn}"]


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.add_typer(logs, name="log")
