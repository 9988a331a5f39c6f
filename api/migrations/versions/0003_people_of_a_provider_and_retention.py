"""People that an identity provider vouches for; photographs that retention removed."""

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
    op.add_column("frames", sa.Column("deleted_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("frames", "deleted_at")
    op.drop_index("ix_oidc_logins_ticket", table_name="oidc_logins")
    op.drop_index("ix_oidc_logins_at", table_name="oidc_logins")
    op.drop_table("oidc_logins")
    op.drop_index("ix_users_issuer_subject", table_name="users")
    op.drop_column("users", "subject")
    op.drop_column("users", "issuer")
