"""Tables of codes and deadlines, evidence, roots, deliveries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from api.base import UtcDateTime

_key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "code_rules",
        sa.Column("standard", sa.String(length=32), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("standard", "family", "label", name="pk_code_rules"),
    )
    op.create_table(
        "codes",
        sa.Column("standard", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("major_code", sa.String(length=4), nullable=True),
        sa.Column("major_name", sa.String(length=60), nullable=True),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("standard", "kind", "code", name="pk_codes"),
    )
    op.create_table(
        "conditions",
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=False),
        sa.Column("text", sa.String(length=300), nullable=False),
        sa.PrimaryKeyConstraint("code", "condition", name="pk_conditions"),
    )
    op.create_table(
        "deadlines",
        sa.Column("id", _key, nullable=False),
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=True),
        sa.Column("tier", sa.SmallInteger(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deadlines"),
    )
    op.create_index("ix_deadlines_code", "deadlines", ["code"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("their_no", sa.String(length=64), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "next_at"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("media_type", sa.String(length=40), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("patrol_id", sa.String(length=64), nullable=True),
        sa.Column("file", sa.String(length=255), nullable=True),
        sa.Column("captured_at", UtcDateTime(), nullable=True),
        sa.Column("aircraft", sa.String(length=64), nullable=True),
        sa.Column("pilot", sa.String(length=64), nullable=True),
        sa.Column("approval_no", sa.String(length=64), nullable=True),
        sa.Column(
            "capture",
            _json,
            nullable=False,
        ),
        sa.Column("stored_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("deleted_why", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("sha256", name="pk_evidence"),
    )
    op.create_index("ix_evidence_parent", "evidence", ["parent"], unique=False)
    op.create_index("ix_evidence_patrol", "evidence", ["patrol_id"], unique=False)
    op.create_index("ix_evidence_stored_at", "evidence", ["stored_at"], unique=False)
    op.create_table(
        "holidays",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("working", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("day", name="pk_holidays"),
    )
    op.create_table(
        "merkle_roots",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("previous", sa.LargeBinary(length=32), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("chains", sa.Integer(), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=64), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_merkle_roots"),
    )
    op.create_table(
        "platform_lookups",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("ours", sa.String(length=40), nullable=False),
        sa.Column("theirs", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("kind", "ours", name="pk_platform_lookups"),
    )
    op.create_table(
        "case_evidence",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["evidence.sha256"], name="fk_case_evidence_sha256_evidence"),
        sa.PrimaryKeyConstraint("case_id", "name", name="pk_case_evidence"),
    )
    op.create_index("ix_case_evidence_sha256", "case_evidence", ["sha256"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_case_evidence_sha256", table_name="case_evidence")
    op.drop_table("case_evidence")
    op.drop_table("platform_lookups")
    op.drop_table("merkle_roots")
    op.drop_table("holidays")
    op.drop_index("ix_evidence_stored_at", table_name="evidence")
    op.drop_index("ix_evidence_patrol", table_name="evidence")
    op.drop_index("ix_evidence_parent", table_name="evidence")
    op.drop_table("evidence")
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("ix_deadlines_code", table_name="deadlines")
    op.drop_table("deadlines")
    op.drop_table("conditions")
    op.drop_table("codes")
    op.drop_table("code_rules")
