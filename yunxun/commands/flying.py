"""`yunxun simulate` and `yunxun fly`: vehicles, simulated and real."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from yunxun.clearance import (
    Clearance,
    KeyFile,
    OperationFile,
    Overrides,
    PilotName,
    PolicyFile,
    RosterFile,
    WeatherFile,
)
from yunxun.commands.planning import parse_numbers
from yunxun.console import PartlyDone, command, errors, progress_bar
from yunxun.errors import YunxunError
from yunxun.settings import load_settings
from yunxun.workspace import PatrolFolder

if TYPE_CHECKING:
    from flight.batteries import BatterySwap
    from flight.events import FlightEvent
    from missions.plan import Plan
    from yunxun.positions import PositionFeed

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
# Linyi's centre: where vehicles stand when nothing else is said.
DEFAULT_PLACE = "118.35,35.05,60"


@command
def simulate(
    count: Annotated[int, typer.Option(help="How many vehicles; system ids 1..N.")] = 1,
    at: Annotated[str, typer.Option(help="LON,LAT,ALT of the first; the others stand around it.")] = DEFAULT_PLACE,
    port: Annotated[int, typer.Option(help="TCP port of the first; the next are 10 apart.")] = 5760,
    speedup: Annotated[float, typer.Option(help="Of the simulated clock.")] = 1.0,
    autopilot: Annotated[
        str, typer.Option(help="yunxun (our own), or arducopter: a real SITL on PATH or in YUNXUN_ARDUCOPTER.")
    ] = "yunxun",
) -> None:
    """Run MAVLink vehicles that any ground station can connect to; Ctrl-C ends them.

    Example: yunxun simulate --count 3 --at 118.35,35.05,60
    """
    from simulators.fleet import homes_around, serve_forever
    from simulators.sitl import SitlFleet, serve_sitl_forever

    if count < 1:
        raise YunxunError(f"--count {count}: at least one vehicle")
    lon, lat, alt = parse_numbers(at, "LON,LAT,ALT")
    if autopilot not in ("yunxun", "arducopter"):
        raise YunxunError(f"--autopilot {autopilot!r}: expected yunxun or arducopter")
    homes = homes_around(lon, lat, alt, count)

    def announce(urls: list[str]) -> None:
        typer.echo("\n".join(f"vehicle {k}: {url}" for k, url in enumerate(urls, 1)))

    if autopilot == "arducopter":
        binary = load_settings().arducopter
        serve_sitl_forever(SitlFleet(count, homes, base_port=port, speedup=speedup, binary=binary), announce)
    else:
        serve_forever(count, homes, base_port=port, speedup=speedup, announce=announce)


class FlightTable:
    """The live table: a row a vehicle, renewed as events come."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[str, ...]] = {}
        self._live: Live | None = None

    def __enter__(self) -> FlightTable:
        if errors.is_terminal:
            self._live = Live(self._table(), console=errors, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _table(self) -> Table:
        table = Table("vehicle", "sortie", "mode", "item", "height", "speed", "battery", "photos", "link", "note")
        for system_id in sorted(self._rows):
            table.add_row(str(system_id), *self._rows[system_id])
        return table

    def show(self, event: FlightEvent) -> None:
        """Takes one event in; quick, for it is called in the flight's own loop."""
        from flight.events import ProgressEvent, SortieEvent, TextEvent

        if isinstance(event, ProgressEvent):
            self._rows[event.system_id] = (
                event.sortie_id.rsplit("/", 1)[-1], event.mode, f"{event.item}/{event.items}",
                f"{event.height_rel_m:.0f} m", f"{event.speed_mps:.1f} m/s", f"{event.battery:.0%}", str(event.photos),
                f"{event.link_age_s:.1f} s", event.guard,
            )  # fmt: skip
        elif isinstance(event, SortieEvent):
            row = (event.sortie.short_id, event.phase, "", "", "", "", "", "", event.why)
            self._rows[event.system_id] = row
            if self._live is None:
                errors.print(
                    f"vehicle {event.system_id} {event.sortie.short_id} {event.phase} {event.why}", markup=False
                )
        elif isinstance(event, TextEvent) and event.severity <= 3:
            whom = f"vehicle {event.system_id}: " if event.system_id else ""
            errors.print(f"{whom}{event.text}", markup=False)
        if self._live is not None:
            self._live.update(self._table())


def ask_for_battery(swap: BatterySwap) -> None:
    """Waits for the crew; runs beside the other vehicles' flights."""
    errors.print(
        f"vehicle {swap.system_id} has landed with {swap.remaining:.0%}: change its battery, bring it to the home of "
        f"{swap.next_sortie.short_id}, then press Enter",
        markup=False,
    )
    input()


@command
def fly(
    plan_dir: Annotated[Path, typer.Argument(help="Folder that `yunxun plan` wrote.")],
    out: Annotated[Path, typer.Option(help="Patrol folder that gets flight/ and frames/.")],
    connect: Annotated[
        list[str] | None, typer.Option(help="tcp:HOST:PORT, udp:HOST:PORT, serial:DEVICE:BAUD; may be repeated.")
    ] = None,
    simulate: Annotated[int, typer.Option(help="Fly with N simulated vehicles that photograph a town.")] = 0,
    speedup: Annotated[float, typer.Option(help="Of the simulated clock.")] = 1.0,
    ground: Annotated[str, typer.Option(help="What simulated cameras see: town:SEED[:DAY] or a GeoTIFF.")] = "town:1",
    start: Annotated[datetime | None, typer.Option(help="Start of the simulated clock, UTC.")] = None,
    operator: Annotated[str, typer.Option(help="Who flies, for the record.", envvar="USER")] = "cli",
    policy: PolicyFile = None,
    operation: OperationFile = None,
    roster: RosterFile = None,
    pilot: PilotName = "",
    weather: WeatherFile = None,
    override: Overrides = None,
    key: KeyFile = None,
    api: Annotated[str, typer.Option(help="A server that shows where the aircraft are: http://HOST:PORT.")] = "",
    token: Annotated[str, typer.Option(help="Token for it, of role pilot.", envvar="YUNXUN_TOKEN")] = "",
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Fly a plan over MAVLink: upload, verify, arm, fly, record, land; sorties are dealt to vehicles in order.

    Ctrl-C calls everything home and waits for it; a second Ctrl-C leaves the vehicles to their failsafes.
    A DJI behind its remote control is its pilot's: the files to load are named instead.

    Example: yunxun fly plan/ --connect udp:0.0.0.0:14550 --out patrols/today
    """
    from missions.plan import read_plan

    plan = read_plan(plan_dir)
    if by_hand(plan) and not simulate:
        return _ask_pilots(plan, bool(connect))
    if bool(connect) == bool(simulate):
        raise YunxunError("give either --connect URL (one or more real vehicles) or --simulate N")
    folder, feed = PatrolFolder(out), _feed(api, token, plan)
    if simulate:
        result = _fly_simulated(plan_dir, folder, simulate, speedup, ground, start, feed, as_json)
    else:
        clearance = Clearance(policy, operation, roster, pilot, weather, tuple(override or ()), key)
        result = _fly_real(plan_dir, folder, connect or [], speedup, operator, clearance, feed, as_json)
    lines = [
        f"{s['id']}: {s['state']}, {s['photos']} photographs, {s['duration_s'] / 60:.1f} min"
        + (f": {s['why']}" if s["why"] else "")
        for s in result["sorties"]
    ]
    lines.append(f"written to {out}")
    if all(s["state"] == "refused" for s in result["sorties"]):
        raise YunxunError("; ".join(dict.fromkeys(s["why"] for s in result["sorties"])))
    if any(s["state"] != "landed" for s in result["sorties"]):
        raise PartlyDone(result, lines)
    return result, lines


def _feed(api: str, token: str, plan: Plan) -> PositionFeed | None:
    from yunxun.positions import PositionFeed

    return PositionFeed(api, token, plan.plan_id) if api else None


def _fly_simulated(
    plan_dir: Path,
    folder: PatrolFolder,
    count: int,
    speedup: float,
    ground: str,
    start: datetime | None,
    feed: PositionFeed | None,
    quiet: bool,
) -> dict[str, Any]:
    from yunxun.simulation import fly_simulated

    start_utc = start.replace(tzinfo=UTC) if start is not None and start.tzinfo is None else start
    with progress_bar(quiet) as report, feed or contextlib.nullcontext():
        flown = fly_simulated(
            plan_dir, folder, count, speedup=speedup, ground=ground, report=report, start_utc=start_utc,
            on_event=feed.take if feed is not None else None,
        )  # fmt: skip
    _tell_trouble(feed)
    return flown


def _tell_trouble(feed: PositionFeed | None) -> None:
    if feed is not None and feed.trouble:
        errors.print(f"{feed.failed} positions did not reach the server: {feed.trouble}", markup=False)


def by_hand(plan: Plan) -> bool:
    """Whether the aircraft takes DJI files and no MAVLink: then a person flies it."""
    from missions.aircraft import load_profile, profile_names

    return plan.aircraft in profile_names() and load_profile(plan.aircraft).dji is not None


def _ask_pilots(plan: Plan, connected: bool) -> tuple[dict[str, Any], list[str]]:
    from flight.aircraft import HandFlown

    ask = HandFlown(plan.aircraft).instruction()
    if connected:
        raise YunxunError(f"{plan.aircraft} speaks no MAVLink, --connect reaches nothing: {ask}")
    sorties = [
        {"id": s.id, "state": "by hand", "instruction": ask, "file": s.files.kmz, "start_utc": s.start_utc.isoformat()}
        for s in plan.sorties
    ]
    lines = [f"{s.short_id}: {ask}: {s.files.kmz}, {s.duration_s / 60:.0f} min" for s in plan.sorties]
    lines.append("then: yunxun patrol, with the photographs from the cards")
    return {"sorties": sorties}, lines


def _fly_real(
    plan_dir: Path,
    folder: PatrolFolder,
    urls: list[str],
    speedup: float,
    operator: str,
    clearance: Clearance,
    feed: PositionFeed | None,
    quiet: bool,
) -> dict[str, Any]:
    from flight.events import TextEvent
    from flight.operation import fly_plan

    overrides, papers, key = clearance.overrides(operator), clearance.papers(), clearance.signing()
    with FlightTable() as table, feed or contextlib.nullcontext():

        def show(event: FlightEvent) -> None:
            if feed is not None:
                feed.take(event)
            if not quiet or isinstance(event, TextEvent):
                table.show(event)

        flown = fly_plan(
            plan_dir, urls, folder.flight, operator=operator, on_event=show,
            swap_battery=ask_for_battery, speedup=speedup, key=key, overrides=overrides, policy=clearance.policy,
            papers=papers, interruptible=True,
        )  # fmt: skip
    _tell_trouble(feed)
    return {
        "sorties": [
            {
                "id": r.sortie_id, "state": r.state, "why": r.why, "photos": r.photos,
                "duration_s": round(r.duration_s, 1), "energy_wh": r.energy_wh,
            }
            for r in flown.sorties
        ]
    }  # fmt: skip


@command
def preflight(
    plan_dir: Annotated[Path, typer.Argument(help="Folder that `yunxun plan` wrote.")],
    connect: Annotated[list[str], typer.Option(help="tcp:HOST:PORT, udp:HOST:PORT, serial:DEVICE:BAUD.")],
    wait_s: Annotated[float, typer.Option(help="How long to wait for GPS and EKF.")] = 60.0,
    speedup: Annotated[float, typer.Option(help="Of a simulated clock.")] = 1.0,
    operator: Annotated[str, typer.Option(help="Who stands for an override.", envvar="USER")] = "cli",
    policy: PolicyFile = None,
    operation: OperationFile = None,
    roster: RosterFile = None,
    pilot: PilotName = "",
    weather: WeatherFile = None,
    override: Overrides = None,
    key: KeyFile = None,
    set_parameters: Annotated[
        str, typer.Option(metavar="REASON", help="Set what the policy demands, for --operator, on record.")
    ] = "",
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Grade every vehicle for its first sortie; nothing is armed, nothing is written to it unless it is asked for.

    Link, GPS, EKF, battery, home, wind, the vehicle's parameters, approval, pilot, weather, and what it has stored.

    Example: yunxun preflight plan/ --connect udp:0.0.0.0:14550 --policy bureau.toml --operation operation.json
    """
    from flight.readiness import Demands, check_readiness
    from flight.setting import Setting

    clearance = Clearance(policy, operation, roster, pilot, weather, tuple(override or ()), key)
    folder = plan_dir if plan_dir.is_dir() else plan_dir.parent
    setting = Setting(operator, set_parameters, folder / "parameters.jsonl") if set_parameters else None
    demands = Demands(
        wait_s=wait_s, policy=policy, papers=clearance.papers(), overrides=clearance.overrides(operator),
        setting=setting,
    )  # fmt: skip
    found = check_readiness(plan_dir, connect, demands, speedup=speedup, key=clearance.signing())
    vehicles: list[dict[str, Any]] = []
    lines: list[str] = []
    for ready in found:
        checks = [{"name": c.name, "grade": c.grade, "detail": c.detail} for c in ready.checks]
        vehicles.append({"system_id": ready.system_id, "sortie": ready.sortie_id, "go": ready.go, "checks": checks})
        short = ready.sortie_id.rsplit("/", 1)[-1]
        lines.append(f"vehicle {ready.system_id}, {short}: {'go' if ready.go else 'no go'}")
        lines += [f"  {c.grade:<4}  {c.name:<24} {c.detail}" for c in ready.checks]
    result = {"vehicles": vehicles}
    if not all(ready.go for ready in found):
        raise PartlyDone(result, lines)
    return result, lines


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.command()(simulate)
    app.command()(preflight)
    app.command()(fly)
