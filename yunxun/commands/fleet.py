"""`yunxun fleet`: a word to a flight that is under way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from yunxun.commands.imaging import AsJson
from yunxun.commands.planning import parse_lonlat
from yunxun.console import PartlyDone, command
from yunxun.errors import YunxunError
from yunxun.workspace import PatrolFolder

if TYPE_CHECKING:
    from flight.control import Verb

orders = typer.Typer(help="A word to a flight that is under way.", no_args_is_help=True, rich_markup_mode=None)
Out = Annotated[Path, typer.Argument(help="The patrol folder that `yunxun fly --out` writes to.")]
Vehicles = Annotated[list[int] | None, typer.Option("--vehicle", help="System id; all when left out.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]
Operator = Annotated[str, typer.Option(help="Who says so.", envvar="USER")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again.")]


def _send(
    verb: Verb, out: Path, vehicles: list[int] | None, operator: str, reason: str, **more: Any
) -> tuple[dict[str, Any], list[str]]:
    from flight.control import Order, send_order

    order = Order(verb=verb, vehicles=tuple(vehicles or ()), operator=operator, reason=reason, **more)
    answers = send_order(PatrolFolder(out).flight, order)
    result = {"vehicles": [answer.__dict__ for answer in answers]}
    lines = [
        f"vehicle {a.system_id} {a.sortie_id.rsplit('/', 1)[-1]}: {a.mode}, {a.outcome or 'no order given'}"
        for a in answers
    ]
    if any(not answer.ok for answer in answers):
        raise PartlyDone(result, lines)
    return result, lines


def _confirm(what: str, vehicles: list[int] | None, yes: bool) -> None:
    whom = "every vehicle" if not vehicles else "vehicle " + ", ".join(map(str, vehicles))
    if not yes and not typer.confirm(f"{what} {whom} now?"):
        raise YunxunError("not confirmed: nothing was sent")


@orders.command()
@command
def status(out: Out, as_json: AsJson = False) -> tuple[dict[str, Any], list[str]] | None:
    """Show where every vehicle is.

    Example: yunxun fleet status patrols/today
    """
    result, _ = _send("status", out, None, "cli", "")
    if as_json:
        return result, []
    table = Table("vehicle", "sortie", "mode", "item", "height", "battery", "link", "who flies", "guard")
    for a in result["vehicles"]:
        table.add_row(
            str(a["system_id"]), a["sortie_id"].rsplit("/", 1)[-1], a["mode"], f"{a['item']}/{a['items']}",
            "" if a["height_rel_m"] is None else f"{a['height_rel_m']:.0f} m",
            "" if a["battery"] is None else f"{a['battery']:.0%}",
            f"{a['link_age_s']:.1f} s", a["owner"], a["guard"],
        )  # fmt: skip
    Console().print(table)
    return None


@orders.command()
@command
def pause(
    out: Out, vehicle: Vehicles = None, reason: Reason = "", operator: Operator = "cli", as_json: AsJson = False
) -> tuple[dict[str, Any], list[str]]:
    """Hold in the air.

    Example: yunxun fleet pause patrols/today --vehicle 3 --reason "kite at the school"
    """
    return _send("pause", out, vehicle, operator, reason)


@orders.command()
@command
def resume(
    out: Out, vehicle: Vehicles = None, reason: Reason = "", operator: Operator = "cli", as_json: AsJson = False
) -> tuple[dict[str, Any], list[str]]:
    """Go on with the mission where it was left.

    Example: yunxun fleet resume patrols/today
    """
    return _send("resume", out, vehicle, operator, reason)


@orders.command("return")
@command
def come_home(
    out: Out, vehicle: Vehicles = None, reason: Reason = "", operator: Operator = "cli", yes: Yes = False,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """Come home and land.

    Example: yunxun fleet return patrols/today --reason "thunderstorm" --yes
    """
    _confirm("bring home", vehicle, yes)
    return _send("return", out, vehicle, operator, reason)


@orders.command()
@command
def land(
    out: Out, vehicle: Vehicles = None, reason: Reason = "", operator: Operator = "cli", yes: Yes = False,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """Land on the spot.

    Example: yunxun fleet land patrols/today --vehicle 2 --yes
    """
    _confirm("land", vehicle, yes)
    return _send("land", out, vehicle, operator, reason)


@orders.command()
@command
def goto(
    out: Out,
    vehicle: Annotated[int, typer.Option(help="System id.")],
    to: Annotated[str, typer.Option(help="LON,LAT to fly to and hold at.")],
    height_rel_m: Annotated[float | None, typer.Option(help="Above home; kept when left out.")] = None,
    reason: Reason = "",
    operator: Operator = "cli",
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Send one vehicle to an urgent place; `resume` takes it back to where it was.

    Example: yunxun fleet goto patrols/today --vehicle 2 --to 118.351,35.052
    """
    lon, lat = parse_lonlat(to)
    return _send("goto", out, [vehicle], operator, reason, lon=lon, lat=lat, height_rel_m=height_rel_m)


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.add_typer(orders, name="fleet")
