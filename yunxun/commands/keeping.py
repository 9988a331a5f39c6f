"""`yunxun verify`, `retention`, `backup`, `restore` and `load`: what is kept, and what the city brings."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from yunxun.commands.accounts import writing
from yunxun.commands.imaging import AsJson
from yunxun.console import command
from yunxun.errors import YunxunError
from yunxun.settings import api_settings, load_settings


@command
def verify(
    dossier: Annotated[Path, typer.Argument(help="A case's dossier (zip).")],
    key: Annotated[str | None, typer.Option(help="Public key to trust, hex; else the file's own.")] = None,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Check a case's dossier offline: hashes, signature, the chain of its events.

    Example: yunxun verify LY-WRJ-20261123-00001.zip
    """
    from api.evidence.dossier import verify_dossier

    if not dossier.is_file():
        raise YunxunError(f"no dossier at {dossier}")
    try:
        public = bytes.fromhex(key) if key else None
    except ValueError:
        raise YunxunError(f"--key {key!r}: expected 64 hexadecimal digits") from None
    wrong = verify_dossier(dossier, public)
    if wrong:
        raise YunxunError(f"{dossier} does not hold: {'; '.join(wrong)}")
    trust = "signed with the given key" if public else "unchanged since it was signed with the key it carries"
    return {"dossier": str(dossier), "holds": True}, [f"{dossier} holds: {trust}"]


@command
def backup(
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.")], as_json: AsJson = False
) -> tuple[dict[str, Any], list[str]]:
    """Back up the database, the evidence store and the keys.

    Example: yunxun backup /mnt/backup/2026-11-23
    """
    from api.backup import backup as run

    made = run(api_settings(load_settings()), folder)
    return made, [f"backed up to {folder}"]


@command
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `yunxun backup` wrote.")], as_json: AsJson = False
) -> tuple[dict[str, Any], list[str]]:
    """Restore a backup into an installation that holds nothing yet.

    Example: yunxun restore /mnt/backup/2026-11-23
    """
    from api.backup import restore as run

    done = run(api_settings(load_settings()), folder)
    return done, [f"restored from {folder}"]


@command
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, delete nothing.")] = False,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Delete what the rules of `settings.toml` let go, on record; the worker does so every night.

    Example: yunxun retention --dry-run
    """
    from api.database import Database, migrate
    from api.evidence.retention import nightly, report

    settings = api_settings(load_settings())
    migrate(settings.url)
    database = Database(settings.url, pool_size=1)
    try:
        told = report(settings, database) if dry_run else nightly(settings, database)
    finally:
        database.close()
    return told, _retention_lines(told, dry_run)


def _retention_lines(told: dict[str, Any], dry_run: bool) -> list[str]:
    lines = []
    verb = "would go" if dry_run or not told["enabled"] else "deleted"
    for head, tallies in ((verb, told["going"]), ("stays", told["staying"])):
        lines += [f"{head}: {t['files']} files, {t['size_bytes'] / 1e9:.3f} GB: {why}" for why, t in tallies.items()]
    sweep = told["sweep"]
    lines.append(
        f"{told['used_gb']:.3f} GB of a budget of {told['budget_gb']:g} GB used, {told['free_gb']:.1f} GB free on disk"
        + ("; OVER BUDGET: more room or shorter terms" if told["over_budget"] else "")
    )
    lines.append(
        f"one sweep: {sweep['photos']} photographs of {sweep['mean_mb']} MB = {sweep['sweep_gb']:g} GB, of which "
        f"{sweep['kept_of_a_sweep_gb']:g} GB stay after thinning; steadily {sweep['steady_gb']:g} GB"
    )
    if not dry_run and not told["enabled"]:
        lines.append("nothing was deleted: set enabled = true under [retention] in settings.toml")
    return lines


class What(StrEnum):
    """What can be loaded."""

    GRID = "grid"
    PLACES = "places"
    CODES = "codes"


@command
def load(
    what: Annotated[What, typer.Argument(help="grid (GeoJSON), places (GeoJSON gazetteer) or codes (XLSX).")],
    file: Annotated[Path, typer.Argument(help="The file.")],
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Load the city's management grid, its gazetteer, or its code sets, conditions and deadlines.

    Example: yunxun load grid cells.geojson
    """
    if not file.is_file():
        raise YunxunError(f"no file at {file}")
    with writing() as session:
        if what is What.CODES:
            from api.cases.imports import import_workbook

            loaded: Any = import_workbook(session, file.read_bytes())
        else:
            from api.grid.service import load_grid, load_places

            try:
                body = json.loads(file.read_text("utf-8"))
            except ValueError as error:
                raise YunxunError(f"{file} is not GeoJSON: {error}") from None
            loaded = load_grid(session, body) if what is What.GRID else load_places(session, body)
    return {"loaded": loaded, "what": what.value}, [f"{what} from {file}: {loaded}"]


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.command()(verify)
    app.command()(retention)
    app.command()(backup)
    app.command()(restore)
    app.command()(load)
