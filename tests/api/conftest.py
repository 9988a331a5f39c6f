from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.auth.service import issue_token
from api.database import migrate
from api.settings import ApiSettings
from tests.api.cluster import Cluster, available
from tests.api.world import World

_names = itertools.count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if not available():
        pytest.skip("PostgreSQL 15 with PostGIS is not on this machine (apt install postgresql-15-postgis-3)")
    # A socket's path has a limit of 107 bytes: pytest's own folders are too long.
    folder = Path(tempfile.mkdtemp(prefix="yxpg"))
    made = Cluster(folder, fsync="off")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database to copy: migrating once is enough."""
    path = tmp_path_factory.mktemp("template") / "yunxun.sqlite"
    migrate(f"sqlite:///{path}")
    return path


def settings_for(folder: Path, template: Path | None, **options: object) -> ApiSettings:
    folder.mkdir(parents=True, exist_ok=True)
    # What a test has just done it wants to see in the numbers.
    settings = ApiSettings(data_dir=folder, **{"facets_cache_s": 0.0, **options})  # type: ignore[arg-type]
    if template is not None:
        shutil.copy(template, folder / "yunxun.sqlite")
    return settings


def open_world(settings: ApiSettings) -> Iterator[World]:
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        context = app.state.context
        tokens = {}
        with context.database.write() as session:
            for role in ("pilot", "reviewer", "officer", "platform", "admin"):
                tokens[role] = issue_token(session, role, name=f"{role}-1")
        yield World(client, context, tokens)


@pytest.fixture
def world(tmp_path: Path, empty_sqlite: Path) -> Iterator[World]:
    """The API on SQLite, with a token for each role."""
    yield from open_world(settings_for(tmp_path / "data", empty_sqlite))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def either(request: pytest.FixtureRequest, tmp_path: Path, empty_sqlite: Path) -> Iterator[World]:
    """The API on either engine."""
    if request.param == "sqlite":
        yield from open_world(settings_for(tmp_path / "data", empty_sqlite))
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    template = "empty"
    if not cluster.sql(f"SELECT 1 FROM pg_database WHERE datname = '{template}'").strip():
        cluster.sql(f"CREATE DATABASE {template}")
        migrate(cluster.url_of(template))
    name = f"t{next(_names)}"
    cluster.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield from open_world(settings_for(tmp_path / "data", None, database_url=cluster.url_of(name)))
