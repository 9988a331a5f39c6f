"""`yunxun user`, `yunxun token` and `yunxun file`: who may, and what is filed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from yunxun.console import PartlyDone, command
from yunxun.settings import api_settings, load_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ROLES = "pilot, reviewer, officer, platform or admin"
users = typer.Typer(help="Accounts of people.", no_args_is_help=True, rich_markup_mode=None)


@contextmanager
def writing() -> Iterator[Any]:
    """A session on the configured database, brought up to date first."""
    from api.database import Database, migrate

    url = api_settings(load_settings()).url
    migrate(url)
    database = Database(url, pool_size=1)
    try:
        with database.write() as session:
            yield session
    finally:
        database.close()


@users.command("add")
@command
def user_add(
    name: Annotated[str, typer.Argument(help="Log-in name.")],
    role: Annotated[str, typer.Option(help=ROLES)],
    password: Annotated[
        str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True, envvar="YUNXUN_PASSWORD")
    ],
    district: Annotated[list[str] | None, typer.Option(help="Sees only this district; may be repeated.")] = None,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Make an account; the password is asked for, or taken from YUNXUN_PASSWORD.

    Example: yunxun user add wanglei --role reviewer
    """
    from api.auth.service import add_user

    with writing() as session:
        user = add_user(session, name, role, password, tuple(district or ()))
        result = {"name": user.name, "role": user.role, "districts": list(user.districts)}
    return result, [f"account {name} with role {role}"]


@command
def token(
    role: Annotated[str, typer.Option(help=ROLES)],
    name: Annotated[str, typer.Option(help="What it is for, as the audit shows it.")] = "service",
    days: Annotated[float, typer.Option(help="How long it is good for.")] = 30.0,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """Make a service token; it is shown once and kept only as a hash.

    Example: yunxun token --role platform --name city-platform --days 365
    """
    from api.auth.service import issue_token

    with writing() as session:
        value = issue_token(session, role, name=name, lifetime_s=days * 86400.0)
    return {"token": value, "role": role, "name": name, "days": days}, [value]


@command
def file(
    sites: Annotated[Path, typer.Argument(help="Candidates (sites.geojson).")],
    api: Annotated[str, typer.Option(help="Address of the case API.")],
    token: Annotated[str, typer.Option(help="Token of a role that may file.", envvar="YUNXUN_TOKEN")],
    patience_s: Annotated[float, typer.Option(help="How long to try before leaving it in the spool.")] = 60.0,
    as_json: AsJson = False,
) -> tuple[dict[str, Any], list[str]]:
    """File candidates with the case API; run twice, nothing is there twice.

    Example: yunxun file sites.geojson --api http://127.0.0.1:8000 --token "$(yunxun token --role officer)"
    """
    from yunxun.filing import file_sites

    done = file_sites(sites, api, token, load_settings().spool_dir, patience_s=patience_s)
    result = {"filed": done.filed, "spooled": done.spooled, "answers": done.answers}
    lines = [f"{done.filed} candidates accepted by {api}"]
    if done.spooled:
        waiting = f"{done.spooled} wait in {load_settings().spool_dir}: run this again when {api} answers"
        raise PartlyDone(result, [*lines, waiting])
    return result, lines


def register(app: typer.Typer) -> None:
    """Adds this room's verbs."""
    app.add_typer(users, name="user")
    app.command()(token)
    app.command()(file)
