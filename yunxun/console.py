"""What the terminal shows: progress bars on stderr, results on stdout, one line for an error, the exit code."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from api.errors import ApiError
from flight.errors import FlightError
from imagery.errors import ImageryError
from imagery.wording import in_chinese
from inference.errors import InferenceError
from missions.errors import MissionsError
from simulators.errors import SimulatorError
from yunxun.errors import YunxunError

DONE, OUR_FAULT, REFUSED, IN_PART = 0, 1, 2, 3

# What we raise on purpose: the person is told in one line; anything else is our own fault and shows its trace.
ON_PURPOSE = (MissionsError, FlightError, SimulatorError, ImageryError, InferenceError, ApiError, YunxunError)

Report = Callable[[int, int, str], None]
P = ParamSpec("P")

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class PartlyDone(Exception):  # noqa: N818 - an outcome, not an error
    """The result is written, but something was set aside: exit 3."""

    def __init__(self, result: dict[str, Any], lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.result = result
        self.lines = lines


def show(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """Prints a result: one JSON object, or lines for a person."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, default=str) + "\n")
    else:
        for line in lines:
            typer.echo(line)


def _translated(error: Exception, message: str) -> str:
    """The same in Chinese behind it, where the room has it: an error stays one line."""
    chinese = in_chinese(message) if isinstance(error, ImageryError) else message
    return "" if chinese == message else f"（{chinese}）"


def command(function: Callable[P, tuple[dict[str, Any], list[str]] | None]) -> Callable[P, None]:
    """Makes a command of a function that returns (result, lines): prints, maps errors to the contract's exit codes.

    A function that takes `as_json` prints one object instead of lines.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.get("as_json", False))
        try:
            outcome = function(*args, **kwargs)
        except PartlyDone as partly:
            show(partly.result, partly.lines, as_json)
            raise typer.Exit(IN_PART) from None
        except ON_PURPOSE as error:
            message = " ".join(str(error).split())
            if as_json:
                show({"error": message}, [], True)
            errors.print(f"error: {message}{_translated(error, message)}", style="red", markup=False)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            errors.print("stopped; what was finished is kept, run the same command to go on", markup=False)
            raise typer.Exit(130) from None
        if outcome is not None:
            show(*outcome, as_json)

    return wrapped


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Report]:
    """A bar on stderr, fed by `report(done, total, what)`; silent with --json or where stderr is not a terminal."""
    if quiet or not errors.is_terminal:
        yield lambda done, total, what: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def report(done: int, total: int, what: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report
