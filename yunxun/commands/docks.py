"""`yunxun dock`: a DJI dock on its broker, listened to or simulated; and `yunxun key`: a vehicle's signing key."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from yunxun.commands.imaging import AsJson
from yunxun.commands.planning import parse_lonlat
from yunxun.console import command, errors
from yunxun.errors import YunxunError

if TYPE_CHECKING:
    from flight.dock import DockListener

docks = typer.Typer(help="A DJI dock on its broker.", no_args_is_help=True, rich_markup_mode=None)
Broker = Annotated[str, typer.Argument(help="mqtt://[user:password@]host[:1883] or mqtts://host[:8883].")]


def _rows(listener: DockListener) -> list[dict[str, Any]]:
    rows = []
    for sn, state in sorted(listener.devices.items()):
        seen, task = state.sighting(), state.task
        broke = task.break_point if task is not None else None
        rows.append(
            {
                "sn": sn, "mode": seen.mode, "lon": seen.lon, "lat": seen.lat, "height_rel_m": seen.height_rel_m,
                "speed_mps": seen.speed_mps, "battery": seen.battery, "age_s": round(seen.age_s, 1),
                "sub_devices": list(state.online), "task": asdict(task) if task is not None else None,
                "break_reason": broke.reason_text if broke is not None else None,
            }
        )  # fmt: skip
    return [{key: None if value != value else value for key, value in row.items()} for row in rows]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("设备", "状态", "位置", "高度", "电量", "任务", "进度", "断点", "多久前")
    for row in rows:
        task = row["task"] or {}
        place = f"{row['lon']:.6f}, {row['lat']:.6f}" if row["lon"] is not None else ""
        point = task.get("break_point")
        table.add_row(
            row["sn"], row["mode"], place,
            f"{row['height_rel_m']:.0f} m" if row["height_rel_m"] is not None else "",
            f"{row['battery']:.0%}" if row["battery"] is not None else "",
            f"{task['flight_id']} {task['status']}" if task else "", f"{task['progress']:.0%}" if task else "",
            f"航点 {point['index']} + {point['progress']:.0%}，{row['break_reason']}" if point else "",
            f"{row['age_s']:.0f} s",
        )  # fmt: skip
    return table


@docks.command()
@command
def listen(
    broker: Broker,
    seconds: Annotated[float, typer.Option(help="How long; until Ctrl-C when left out.")] = 0.0,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Show what docks and their aircraft say; nothing is ever sent to them (飞行由机场平台执行).

    Example: yunxun dock listen mqtt://192.168.1.20
    """
    from flight.dock import DockListener

    until = time.monotonic() + seconds if seconds > 0 else float("inf")
    with DockListener(broker) as listener:
        errors.print("listening; Ctrl-C ends it")
        live = Live(_table([]), console=errors, refresh_per_second=2) if errors.is_terminal and not as_json else None
        if live is not None:
            live.start()
        try:
            while time.monotonic() < until:
                time.sleep(min(0.5, max(0.0, until - time.monotonic())))
                if live is not None:
                    live.update(_table(_rows(listener)))
        except KeyboardInterrupt:
            pass
        finally:
            if live is not None:
                live.stop()
        rows, bad = _rows(listener), listener.bad_messages
    lines = [
        f"{row['sn']}: {row['mode'] or '机场'}" + (f", {row['task']['status']}" if row["task"] else "") for row in rows
    ]
    if bad:
        lines.append(f"{bad} messages were no Cloud API and were let go")
    return {"devices": rows, "bad_messages": bad}, lines or ["no device spoke"]


@docks.command()
@command
def simulate(
    broker: Broker,
    at: Annotated[list[str], typer.Option(help="A waypoint LON,LAT; two or more.")],
    speedup: Annotated[float, typer.Option(help="How much faster than in life.")] = 1.0,
    break_at: Annotated[float | None, typer.Option(help="Share of the way at which the task breaks off.")] = None,
) -> tuple[dict[str, Any], list[str]]:
    """Fly one task of a simulated dock on a broker, to try the listener with.

    Example: yunxun dock simulate mqtt://127.0.0.1 --at 118.35,35.05 --at 118.36,35.05 --speedup 10
    """
    from simulators.dock import DockTask, SimulatedDock

    task = DockTask(tuple(parse_lonlat(text) for text in at), breaks_at=break_at)
    with SimulatedDock(broker) as dock:
        dock.fly(task, speedup=speedup)
    return {"dock": dock.dock_sn, "aircraft": dock.drone_sn}, [f"{dock.dock_sn} has flown {task.flight_id}"]


@command
def key(
    file: Annotated[Path, typer.Argument(help="Key file; made (0600) where there is none.")],
    connect: Annotated[list[str], typer.Option(help="Vehicles to give it to: serial:DEVICE:BAUD, tcp:HOST:PORT.")],
    old: Annotated[Path | None, typer.Option(help="Key that they have now, to change it.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take this key back: they sign no more.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Also over a link that others may hear.")] = False,
    speedup: Annotated[float, typer.Option(help="Of a simulated clock.")] = 1.0,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Give vehicles a signing key, change it (--old) or take it back (--remove), and see that it is done.

    From then on they take nothing unsigned.

    The key crosses the link in clear text: do it over a cable. `yunxun fly --key FILE` uses it.

    Example: yunxun key brigade.key --connect serial:/dev/ttyACM0:115200
    yunxun key new.key --old brigade.key --connect serial:/dev/ttyACM0:115200
    """
    from flight.keying import give_key, is_private, take_key
    from flight.signing import SigningKey

    if remove:
        if old is not None:
            raise YunxunError("--remove takes back the key FILE: leave --old out")
        held = SigningKey.read(file)
        freed = {url: list(asyncio.run(take_key(url, held, speedup=speedup))) for url in connect}
        lines = [f"{url}: vehicle {', '.join(map(str, numbers))} signs no more" for url, numbers in freed.items()]
        return {"removed": str(file), "vehicles": freed}, lines
    before = None if old is None else SigningKey.read(old)
    open_air = [url for url in connect if not is_private(url)]
    if open_air and not yes and not typer.confirm(f"the key goes over {', '.join(open_air)} in clear text; send it?"):
        raise YunxunError("not confirmed: nothing was sent")
    secret = SigningKey.read(file) if file.exists() else SigningKey.create(file)
    keyed = {url: list(asyncio.run(give_key(url, secret, old=before, speedup=speedup))) for url in connect}
    lines = [f"{url}: vehicle {', '.join(map(str, numbers))} signs with {file}" for url, numbers in keyed.items()]
    return {"key": str(file), "vehicles": keyed}, lines


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.add_typer(docks, name="dock")
    app.command()(key)
