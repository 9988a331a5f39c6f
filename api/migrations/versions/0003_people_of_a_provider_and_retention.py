"""People that an identity provider vouches for; photographs that retention removed; gold items of review."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from api.base import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("issuer", sa.String(length=255), nullable=True))
    op.add_column("users", sa.Column("subject", sa.String(length=255), nullable=True))
    op.create_index("ix_users_issuer_subject", "users", ["issuer", "subject"], unique=True)
    op.create_table(
        "oidc_logins",
        sa.Column("state", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("ticket", sa.LargeBinary(length=32), nullable=True),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_oidc_logins_user_id_users"),
        sa.PrimaryKeyConstraint("state", name="pk_oidc_logins"),
    )
    op.create_index("ix_oidc_logins_at", "oidc_logins", ["at"], unique=False)
    op.create_index("ix_oidc_logins_ticket", "oidc_logins", ["ticket"], unique=False)
    op.create_table(
        "gold_items",
        sa.Column("candidate_id", sa.String(length=100), nullable=False),
        sa.Column("answer", sa.String(length=8), nullable=False),
        sa.Column("set_by", sa.String(length=80), nullable=False),
        sa.Column("set_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name="fk_gold_items_candidate_id_candidates"),
        sa.PrimaryKeyConstraint("candidate_id", name="pk_gold_items"),
    )
    op.create_table(
        "gold_answers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("candidate_id", sa.String(length=100), nullable=False),
        sa.Column("reviewer", sa.String(length=80), nullable=False),
        sa.Column("leased_at", UtcDateTime(), nullable=False),
        sa.Column("decision", sa.String(length=12), nullable=True),
        sa.Column("reason", sa.String(length=24), nullable=True),
        sa.Column("agrees", sa.Boolean(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_gold_answers"),
    )
    op.create_index("ix_gold_answers_candidate_id", "gold_answers", ["candidate_id"], unique=False)
    op.create_index("ix_gold_answers_reviewer", "gold_answers", ["reviewer", "at"], unique=False)
    op.add_column("frames", sa.Column("deleted_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("frames", "deleted_at")
    op.drop_index("ix_gold_answers_reviewer", table_name="gold_answers")
    op.drop_index("ix_gold_answers_candidate_id", table_name="gold_answers")
    op.drop_table("gold_answers")
    op.drop_table("gold_items")
    op.drop_index("ix_oidc_logins_ticket", table_name="oidc_logins")
    op.drop_index("ix_oidc_logins_at", table_name="oidc_logins")
    op.drop_table("oidc_logins")
    op.drop_index("ix_users_issuer_subject", table_name="users")
    op.drop_column("users", "subject")
    op.drop_column("users", "issuer")
