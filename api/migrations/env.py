"""Alembic's entry: one connection, handed in by `api.database.migrate`, one transaction, one migrator at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from api.models import Base

# What PostGIS and the R*Trees bring is not in the models.
_NOT_OURS = ("spatial_ref_sys",)


def _ours(name: str | None, kind: str, parents: object) -> bool:
    return not (kind == "table" and name and (name in _NOT_OURS or "_rtree" in name))


def run(connection: Connection) -> None:
    """Runs the asked-for migrations."""
    if connection.dialect.name == "postgresql":
        # Several processes may start at once; the lock is let go with the transaction.
        connection.execute(text("SELECT pg_advisory_xact_lock(7460231)"))
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        include_name=_ours,
        render_as_batch=False,
        compare_type=False,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
