"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from api.base import Geometry, UtcDateTime

_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Tables searched by place: PostGIS indexes the geometry, SQLite keeps an R*Tree beside the four bounds.
PLACED = ("sites", "foreign_cases", "grid_cells", "places")


def _index_places() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in PLACED:
            op.execute(f"CREATE INDEX ix_{table}_geom ON {table} USING gist (geom)")
        return
    bounds = "min_lon, max_lon, min_lat, max_lat"
    new = "new.pk, new.min_lon, new.max_lon, new.min_lat, new.max_lat"
    for table in PLACED:
        tree = f"{table}_rtree"
        op.execute(f"CREATE VIRTUAL TABLE {tree} USING rtree(id, {bounds})")
        op.execute(f"CREATE TRIGGER {tree}_in AFTER INSERT ON {table} BEGIN INSERT INTO {tree} VALUES ({new}); END")
        op.execute(
            f"CREATE TRIGGER {tree}_up AFTER UPDATE OF {bounds} ON {table} BEGIN"
            f" INSERT OR REPLACE INTO {tree} VALUES ({new}); END"
        )
        op.execute(f"CREATE TRIGGER {tree}_out AFTER DELETE ON {table} BEGIN DELETE FROM {tree} WHERE id = old.pk; END")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    op.create_table(
        "audit",
        sa.Column("id", _key, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column(
            "detail",
            _json,
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)
    op.create_table(
        "candidates",
        sa.Column("pk", _key, nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("patrol_id", sa.String(length=64), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("merged_into", sa.String(length=100), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("area_m2", sa.Double(), nullable=False),
        sa.Column("height_change_m", sa.Double(), nullable=True),
        sa.Column("permitted", sa.Boolean(), nullable=True),
        sa.Column("permit_no", sa.String(length=64), nullable=True),
        sa.Column("excess_m2", sa.Double(), nullable=True),
        sa.Column("unsure", sa.String(length=200), nullable=True),
        sa.Column("geom", Geometry(), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("tile", sa.Integer(), nullable=False),
        sa.Column("cell", sa.String(length=16), nullable=True),
        sa.Column("district", sa.String(length=6), nullable=True),
        sa.Column(
            "frames",
            _json,
            nullable=False,
        ),
        sa.Column(
            "more",
            _json,
            nullable=False,
        ),
        sa.Column("content_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("drawn_by", sa.String(length=80), nullable=True),
        sa.Column("lease_by", sa.String(length=80), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("first_reviewer", sa.String(length=80), nullable=True),
        sa.Column("reviewer", sa.String(length=80), nullable=True),
        sa.Column("reason", sa.String(length=24), nullable=True),
        sa.Column("note", sa.String(length=500), nullable=True),
        sa.Column("address", sa.String(length=256), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("chain_n", sa.Integer(), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_candidates"),
        sa.UniqueConstraint("id", name="uq_candidates_id"),
    )
    op.create_index("ix_candidates_patrol", "candidates", ["patrol_id", "n"], unique=True)
    op.create_index("ix_candidates_decided", "candidates", ["decided_at"], unique=False)
    op.create_index("ix_candidates_site", "candidates", ["site_id"], unique=False)
    op.create_index("ix_candidates_state_pk", "candidates", ["state", "pk"], unique=False)
    op.create_index("ix_candidates_tile", "candidates", ["tile", "state", "pk"], unique=False)
    op.create_table(
        "case_counters",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_case_counters"),
    )
    op.create_table(
        "case_counts",
        sa.Column("district", sa.String(length=6), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("district", "family", "code", "state", "shard", name="pk_case_counts"),
    )
    op.create_table(
        "case_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("district", sa.String(length=6), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "district", "family", "shard", name="pk_case_days"),
    )
    op.create_table(
        "case_tiles",
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("tile", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("state", "family", "tile", name="pk_case_tiles"),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("candidate_id", sa.String(length=100), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=True),
        sa.Column("patrol_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("code_set", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=True),
        sa.Column("geom", Geometry(), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("tile", sa.Integer(), nullable=False),
        sa.Column("cell", sa.String(length=16), nullable=True),
        sa.Column("district", sa.String(length=6), nullable=True),
        sa.Column("street", sa.String(length=9), nullable=True),
        sa.Column("community", sa.String(length=12), nullable=True),
        sa.Column("tier", sa.SmallInteger(), nullable=True),
        sa.Column("address", sa.String(length=256), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=False),
        sa.Column("area_m2", sa.Double(), nullable=True),
        sa.Column("height_change_m", sa.Double(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("model", sa.String(length=120), nullable=True),
        sa.Column("reviewer", sa.String(length=80), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.Column("filed_at", UtcDateTime(), nullable=False),
        sa.Column("deadline_at", UtcDateTime(), nullable=True),
        sa.Column("platform_no", sa.String(length=64), nullable=True),
        sa.Column("platform_at", UtcDateTime(), nullable=True),
        sa.Column("platform_reason", sa.String(length=500), nullable=True),
        sa.Column(
            "evidence",
            _json,
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("chain_n", sa.Integer(), nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sa.UniqueConstraint("number", name="uq_cases_number"),
    )
    op.create_index("ix_cases_cell", "cases", ["cell", "id"], unique=False)
    op.create_index("ix_cases_community", "cases", ["community", "id"], unique=False)
    op.create_index("ix_cases_district", "cases", ["district", "id"], unique=False)
    op.create_index("ix_cases_site", "cases", ["site_id"], unique=False)
    op.create_index("ix_cases_code", "cases", ["code", "id"], unique=False)
    op.create_index("ix_cases_reviewer", "cases", ["reviewer", "id"], unique=False)
    open_sql = sa.text("state NOT IN ('refused', 'closed', 'voided', 'withdrawn')")
    op.create_index("ix_cases_due", "cases", ["deadline_at"], postgresql_where=open_sql, sqlite_where=open_sql)
    op.create_index("ix_cases_state", "cases", ["state", "family", "id"], unique=False)
    op.create_index("ix_cases_street", "cases", ["street", "id"], unique=False)
    op.create_index(
        "ix_cases_tile", "cases", ["state", "family", "tile", "id"], unique=False, postgresql_include=["lon", "lat"]
    )
    op.create_table(
        "events",
        sa.Column("seq", _key, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("chain_n", sa.Integer(), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=True),
        sa.Column("district", sa.String(length=6), nullable=True),
        sa.Column("code", sa.String(length=8), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
    )
    op.create_index("ix_events_time", "events", ["time"], unique=False)
    op.create_index("uq_events_chain", "events", ["subject", "chain_n"], unique=True)
    op.create_index("uq_events_order", "events", ["epoch", "xid", "seq"], unique=True)
    op.create_table(
        "feed_epoch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feed_epoch"),
    )
    op.create_table(
        "foreign_cases",
        sa.Column("pk", _key, nullable=False),
        sa.Column("platform_no", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=8), nullable=True),
        sa.Column("geom", Geometry(), nullable=False),
        sa.Column("min_lon", sa.Double(), nullable=False),
        sa.Column("min_lat", sa.Double(), nullable=False),
        sa.Column("max_lon", sa.Double(), nullable=False),
        sa.Column("max_lat", sa.Double(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("imported_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_foreign_cases"),
        sa.UniqueConstraint("platform_no", name="uq_foreign_cases_platform_no"),
    )
    op.create_table(
        "grid_cells",
        sa.Column("pk", _key, nullable=False),
        sa.Column("cell", sa.String(length=16), nullable=False),
        sa.Column("district", sa.String(length=6), nullable=False),
        sa.Column("street", sa.String(length=9), nullable=False),
        sa.Column("community", sa.String(length=12), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("geom", Geometry(), nullable=False),
        sa.Column("min_lon", sa.Double(), nullable=False),
        sa.Column("min_lat", sa.Double(), nullable=False),
        sa.Column("max_lon", sa.Double(), nullable=False),
        sa.Column("max_lat", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_grid_cells"),
        sa.UniqueConstraint("cell", name="uq_grid_cells_cell"),
    )
    op.create_index("ix_grid_cells_district", "grid_cells", ["district"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column(
            "answer",
            _json,
            nullable=False,
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "patrols",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("place", sa.String(length=200), nullable=True),
        sa.Column("baseline_patrol_id", sa.String(length=64), nullable=True),
        sa.Column("flown_at", UtcDateTime(), nullable=True),
        sa.Column("pilot", sa.String(length=64), nullable=True),
        sa.Column("aircraft", sa.String(length=64), nullable=True),
        sa.Column("approval_no", sa.String(length=64), nullable=True),
        sa.Column(
            "paths",
            _json,
            nullable=False,
        ),
        sa.Column(
            "models",
            _json,
            nullable=False,
        ),
        sa.Column("created_by", sa.String(length=80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patrols"),
    )
    op.create_index("ix_patrols_created_at", "patrols", ["created_at"], unique=False)
    op.create_table(
        "places",
        sa.Column("pk", _key, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=True),
        sa.Column("geom", Geometry(), nullable=False),
        sa.Column("min_lon", sa.Double(), nullable=False),
        sa.Column("min_lat", sa.Double(), nullable=False),
        sa.Column("max_lon", sa.Double(), nullable=False),
        sa.Column("max_lat", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_places"),
    )
    op.create_table(
        "sites",
        sa.Column("pk", _key, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("geom", Geometry(), nullable=False),
        sa.Column("min_lon", sa.Double(), nullable=False),
        sa.Column("min_lat", sa.Double(), nullable=False),
        sa.Column("max_lon", sa.Double(), nullable=False),
        sa.Column("max_lat", sa.Double(), nullable=False),
        sa.Column("area_m2", sa.Double(), nullable=False),
        sa.Column("verdict", sa.String(length=24), nullable=True),
        sa.Column("verdict_area_m2", sa.Double(), nullable=True),
        sa.Column("verdict_at", UtcDateTime(), nullable=True),
        sa.Column("verdict_by", sa.String(length=80), nullable=True),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("candidate_id", sa.String(length=100), nullable=True),
        sa.Column("times_seen", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_sites"),
        sa.UniqueConstraint("id", name="uq_sites_id"),
    )
    op.create_table(
        "users",
        sa.Column("id", _key, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=256), nullable=True),
        sa.Column(
            "districts",
            _json,
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "frames",
        sa.Column("patrol_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_by", sa.String(length=80), nullable=False),
        sa.Column("uploaded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["patrol_id"], ["patrols.id"], name="fk_frames_patrol_id_patrols"),
        sa.PrimaryKeyConstraint("patrol_id", "id", name="pk_frames"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("queue", sa.String(length=16), nullable=False),
        sa.Column("patrol_id", sa.String(length=64), nullable=True),
        sa.Column(
            "params",
            _json,
            nullable=False,
        ),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("worker", sa.String(length=120), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(length=200), nullable=True),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "result",
            _json,
            nullable=True,
        ),
        sa.Column("created_by", sa.String(length=80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("heartbeat_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["patrol_id"], ["patrols.id"], name="fk_jobs_patrol_id_patrols"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_patrol_id", "jobs", ["patrol_id"], unique=False)
    op.create_index("ix_jobs_state", "jobs", ["state", "created_at"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", _key, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("user_id", _key, nullable=True),
        sa.Column(
            "scopes",
            _json,
            nullable=False,
        ),
        sa.Column(
            "districts",
            _json,
            nullable=False,
        ),
        sa.Column("family", sa.String(length=26), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    op.create_index("ix_tokens_family", "tokens", ["family"], unique=False)
    _index_places()
    op.execute("INSERT INTO feed_epoch (id, epoch) VALUES (1, 1)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in PLACED:
            op.execute(f"DROP TABLE {table}_rtree")
    op.drop_index("ix_tokens_family", table_name="tokens")
    op.drop_table("tokens")
    op.drop_index("ix_jobs_state", table_name="jobs")
    op.drop_index("ix_jobs_patrol_id", table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("frames")
    op.drop_table("users")
    op.drop_table("sites")
    op.drop_table("places")
    op.drop_index("ix_patrols_created_at", table_name="patrols")
    op.drop_table("patrols")
    op.drop_index("ix_idempotency_created_at", table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_index("ix_grid_cells_district", table_name="grid_cells")
    op.drop_table("grid_cells")
    op.drop_table("foreign_cases")
    op.drop_table("feed_epoch")
    op.drop_index("uq_events_order", table_name="events")
    op.drop_index("uq_events_chain", table_name="events")
    op.drop_index("ix_events_time", table_name="events")
    op.drop_table("events")
    op.drop_index("ix_cases_tile", table_name="cases", postgresql_include=["lon", "lat"])
    op.drop_index("ix_cases_street", table_name="cases")
    op.drop_index("ix_cases_state", table_name="cases")
    op.drop_index("ix_cases_site", table_name="cases")
    op.drop_index("ix_cases_district", table_name="cases")
    op.drop_index("ix_cases_community", table_name="cases")
    op.drop_index("ix_cases_cell", table_name="cases")
    op.drop_table("cases")
    op.drop_table("case_tiles")
    op.drop_table("case_days")
    op.drop_table("case_counts")
    op.drop_table("case_counters")
    op.drop_index("ix_candidates_tile", table_name="candidates")
    op.drop_index("ix_candidates_state_pk", table_name="candidates")
    op.drop_index("ix_candidates_site", table_name="candidates")
    op.drop_index("ix_candidates_patrol", table_name="candidates")
    op.drop_table("candidates")
    op.drop_index("ix_audit_subject", table_name="audit")
    op.drop_index("ix_audit_at", table_name="audit")
    op.drop_table("audit")
