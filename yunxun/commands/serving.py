"""`yunxun serve`: the API, the web app, the worker and their engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yunxun.console import command
from yunxun.settings import load_settings


@command
def serve(
    port: Annotated[int, typer.Option(help="Port of the API and the web app.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines.")] = "127.0.0.1",
    data_dir: Annotated[Path | None, typer.Option(help="Wins over YUNXUN_DATA_DIR.")] = None,
) -> None:
    """Run the API, the web app, the worker and the embedded engines; Ctrl-C stops them all.

    Example: yunxun serve --port 8000
    """
    from yunxun.serve import serve as run

    run(load_settings(data_dir=data_dir), host, port, typer.echo)


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.command()(serve)
