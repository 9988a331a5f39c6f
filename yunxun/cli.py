"""`yunxun`: the front door. Every verb lives in `yunxun/commands/`; nothing heavy is imported until it is used."""

from __future__ import annotations

import signal

import typer

from yunxun.commands import accounts, docks, fleet, flying, imaging, keeping, learning, logs, patrol, planning, serving

app = typer.Typer(
    name="yunxun",
    help="云巡: plan a city's drone patrols, fly them, and turn the photographs into reviewed cases.\n\n"
    "Start with `yunxun demo`. Exit codes: 0 done, 2 refused (nothing written), 3 done in part, 1 our own fault.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for room in (planning, flying, fleet, docks, logs, imaging, learning, accounts, keeping, serving, patrol):
    room.register(app)


def main() -> None:
    """Entry point of the console script."""
    # Started in a script's background, a process inherits an ignored SIGINT; `kill -INT` must stop it all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app()


if __name__ == "__main__":
    main()
