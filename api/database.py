"""The engine: SQLite (WAL) or PostgreSQL by URL, sessions that say whether they write, and migrations."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

from api.areas import covers
from api.errors import ApiError

BUSY_TIMEOUT_MS = 15_000


# Times come in UTC. Our statements end in a millisecond or two: compiling one to machine code (as PostgreSQL does when
# it expects many rows of a merge) takes thirty.
_SESSION = "-c timezone=UTC -c jit=off"


def _loads(value: str | bytes) -> Any:
    return orjson.loads(value)


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Integers beyond 64 bits and lone surrogates: the database says what it thinks of them.
        return json.dumps(value)


def connect(url: str, *, pool_size: int = 10, autocommit: bool = False) -> Engine:
    """An engine for `url` (sqlite:///FILE or postgresql+psycopg://...).

    `autocommit` is for readers on PostgreSQL: at READ COMMITTED each statement sees its own snapshot anyway, and
    BEGIN and ROLLBACK around a single SELECT are two round trips of three.

    Raises:
        ApiError: The URL is neither.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ApiError(
            f"not a database URL: {url!r}; expected sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ApiError("SQLite needs a file: sqlite:////path/to/yunxun.sqlite (several threads share it)")
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            parsed,
            pool_size=pool_size,
            connect_args={"check_same_thread": False, "timeout": 15},
            json_serializer=_dumps,
            json_deserializer=_loads,
        )
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    if parsed.get_backend_name() == "postgresql":
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        return create_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=10,
            pool_pre_ping=False,
            isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
            connect_args={"connect_timeout": 5, "options": _SESSION},
            json_serializer=_dumps,
            json_deserializer=_loads,
        )
    raise ApiError(f"unknown database {parsed.get_backend_name()!r}: sqlite and postgresql are supported")


def _sqlite_connect(connection: sqlite3.Connection, _: Any) -> None:
    # The driver would open transactions by guess; we open them ourselves, and say what for.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL: a commit that was answered is on the disk, also after a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA cache_size=-65536")
    cursor.close()
    connection.create_function("yx_covers", 3, covers, deterministic=True)


def _sqlite_begin(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails with SQLITE_BUSY whenever another one wrote in
    # between; writers therefore queue at BEGIN.
    immediate = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


class Database:
    """The engine with its two kinds of session."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        # All tables, also for a worker that imports one slice alone: their foreign keys name each other.
        import api.models  # noqa: F401

        self.engine = connect(url, pool_size=pool_size)
        # SQLite lets one writer in and has the others look again after sleeps of up to a tenth of a second; the writers
        # of this process take turns instead. (Other processes still wait by its own rule.)
        self._turn: AbstractContextManager[Any] = nullcontext() if self.is_postgres else threading.RLock()
        if self.is_postgres:
            self._reading = connect(url, pool_size=pool_size, autocommit=True)
        else:
            self._reading = self.engine.execution_options(writes=False)

    @property
    def is_postgres(self) -> bool:
        """Whether PostgreSQL lies beneath; only `geo`, `feed` and the locks ask."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads; it never blocks a writer."""
        with Session(self._reading, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """A connection that only reads rows: what is asked most needs no session around it."""
        with self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises. Flushes are explicit."""
        with self._turn, Session(self.engine, expire_on_commit=False, autoflush=False) as session, session.begin():
            yield session

    def ping(self) -> None:
        """One round trip; raises what the driver raises."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Closes all pooled connections."""
        self.engine.dispose()
        self._reading.dispose()


def is_postgres(session: Session | Connection) -> bool:
    """Whether this session or connection speaks to PostgreSQL."""
    dialect = session.dialect if isinstance(session, Connection) else session.get_bind().dialect
    return dialect.name == "postgresql"


def migrate(url: str, revision: str = "head") -> None:
    """Brings the database at `url` to `revision`, from empty or from an earlier release.

    Raises:
        ApiError: It cannot be reached or written.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = connect(url, pool_size=1)
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
    except OperationalError as error:
        shown = make_url(url).render_as_string(hide_password=True)
        raise ApiError(
            f"cannot migrate the database at {shown}: {str(error.orig).strip()}; is it running and writable?"
        ) from error
    finally:
        engine.dispose()
