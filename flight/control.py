"""How a second command reaches a running operation: a local socket beside its record, owned by the same user.

`yunxun fly` serves it; `yunxun fleet pause|resume|return|land|goto|status` speaks to it. One JSON object a line each
way. Every order carries its operator and reason, and comes back with an outcome for each vehicle.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flight.errors import FlightError
from flight.sortie import SortieFlight
from flight.vehicle import Outcome

Verb = Literal["status", "pause", "resume", "return", "land", "goto"]
_POINTER = "control.json"
_ANSWER_S = 240.0


class Order(BaseModel):
    """What somebody wants of one vehicle or of all.

    Attributes:
        verb: What to do.
        vehicles: System ids; empty for all in the air.
        operator: Who says so.
        reason: Why, for the record.
        lon: Where to, for goto.
        lat: Where to.
        height_rel_m: How high above home; None keeps the height.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verb: Verb
    vehicles: tuple[int, ...] = ()
    operator: str = "cli"
    reason: str = ""
    lon: float | None = None
    lat: float | None = None
    height_rel_m: float | None = None


@dataclass(frozen=True)
class VehicleAnswer:
    """What became of an order on one vehicle, with its state for a table."""

    system_id: int
    sortie_id: str
    ok: bool
    outcome: str
    mode: str
    owner: str
    armed: bool
    lon: float | None
    lat: float | None
    height_rel_m: float | None
    battery: float | None
    item: int
    items: int
    link_age_s: float
    guard: str


def _answer(flight: SortieFlight, outcome: Outcome | None) -> VehicleAnswer:
    state = flight.vehicle.state
    at, battery = state.position, state.battery
    decision = flight.watch.decision
    return VehicleAnswer(
        flight.vehicle.system_id, flight.sortie_id, outcome is None or outcome.ok,
        "" if outcome is None else outcome.result + (f" ({outcome.said})" if outcome.said else ""),
        state.mode, flight.helm.owner, state.armed, at.lon if at else None, at.lat if at else None,
        at.height_rel_m if at else None,
        battery.remaining if battery and not math.isnan(battery.remaining) else None,
        flight.reached_item, flight.orders.last_item,
        round(max(0.0, state.age_s(state.heartbeat)), 2) if state.heartbeat else 1e9,
        f"{decision.rule}: {decision.why}" if decision.action else "",
    )  # fmt: skip


async def carry_out(order: Order, flights: Sequence[SortieFlight]) -> list[VehicleAnswer]:
    """Gives an order to its vehicles, all at once; one that does not answer delays none of the others."""
    chosen = [f for f in flights if not order.vehicles or f.vehicle.system_id in order.vehicles]
    missing = set(order.vehicles) - {f.vehicle.system_id for f in chosen}
    if missing:
        raise FlightError(f"no vehicle {', '.join(map(str, sorted(missing)))} in this operation now")
    if order.verb == "status":
        return [_answer(flight, None) for flight in chosen]
    if order.verb == "goto" and (order.lon is None or order.lat is None):
        raise FlightError("goto needs a longitude and a latitude")
    if order.verb == "goto" and len(chosen) != 1:
        raise FlightError("goto sends one vehicle: name it, several at one place would meet")
    outcomes = await asyncio.gather(*(_one(order, flight) for flight in chosen))
    return [_answer(flight, outcome) for flight, outcome in zip(chosen, outcomes, strict=True)]


async def _one(order: Order, flight: SortieFlight) -> Outcome:
    helm, by, why = flight.helm, order.operator, order.reason
    at = flight.vehicle.state.position
    if not flight.vehicle.state.armed or at is None:
        return Outcome(order.verb, "not in the air")
    if order.verb == "pause":
        return await helm.pause(by, why)
    if order.verb == "resume":
        return await helm.resume(by, why)
    if order.verb == "return":
        return await helm.send_home(by, why)
    if order.verb == "land":
        return await helm.land(by, why)
    height_m = at.height_rel_m if order.height_rel_m is None else order.height_rel_m
    if height_m > flight.orders.ceiling_rel_m:
        return Outcome(
            order.verb, f"refused: {height_m:.0f} m is above the ceiling {flight.orders.ceiling_rel_m:.0f} m"
        )
    assert order.lon is not None and order.lat is not None
    return await helm.goto(order.lon, order.lat, height_m, by, why)


class ControlServer:
    """Serves orders for a running operation; use as an async context manager."""

    def __init__(self, out_dir: Path, flights: Callable[[], Sequence[SortieFlight]]) -> None:
        self._pointer = out_dir / _POINTER
        self._flights = flights
        # A Unix socket's path may have 108 bytes: a patrol's folder can be deeper than that.
        self._folder = Path(tempfile.mkdtemp(prefix="yunxun-"))
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> ControlServer:
        path = self._folder / "control"
        self._server = await asyncio.start_unix_server(self._client, path)
        temporary = self._pointer.with_suffix(".tmp")
        temporary.write_text(json.dumps({"schema_version": 1, "socket": str(path), "pid": os.getpid()}))
        temporary.replace(self._pointer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self._pointer.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            line = await reader.readline()
            writer.write((json.dumps(await self._handle(line), ensure_ascii=False) + "\n").encode())
            await writer.drain()
        writer.close()

    async def _handle(self, line: bytes) -> dict[str, Any]:
        try:
            order = Order.model_validate_json(line)
            answers = await carry_out(order, self._flights())
        except ValidationError as error:
            return {"error": f"not an order: {error.errors()[0]['msg']}"}
        except FlightError as error:
            return {"error": str(error)}
        return {"vehicles": [answer.__dict__ for answer in answers]}


def send_order(flight_dir: Path, order: Order) -> list[VehicleAnswer]:
    """Gives an order to the operation that is flying into `flight_dir`, and waits for its outcome.

    Raises:
        FlightError: No operation runs there, or it refused the order as a whole.
    """
    try:
        where = json.loads((flight_dir / _POINTER).read_text())["socket"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_S)
            connection.connect(where)
            connection.sendall(order.model_dump_json().encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline())
    except (OSError, ValueError, KeyError) as error:
        raise FlightError(f"no operation is flying into {flight_dir}: start one with `yunxun fly … --out`") from error
    if "error" in answer:
        raise FlightError(answer["error"])
    return [VehicleAnswer(**vehicle) for vehicle in answer["vehicles"]]
