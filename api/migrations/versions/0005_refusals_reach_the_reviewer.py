"""What the platform says of a case that it refuses goes back to the candidate, its reviewer, and to training."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REFUSED = sa.text("platform_reason IS NOT NULL")


def upgrade() -> None:
    op.add_column("candidates", sa.Column("platform_reason", sa.String(length=500), nullable=True))
    op.create_index(
        "ix_candidates_refused", "candidates", ["pk"], unique=False, postgresql_where=_REFUSED, sqlite_where=_REFUSED
    )
    # Refusals that came before this release.
    op.execute(
        "UPDATE candidates SET platform_reason = (SELECT cases.platform_reason FROM cases"
        " WHERE cases.id = candidates.case_id) WHERE case_id IN (SELECT id FROM cases WHERE state IN"
        " ('refused', 'voided', 'returned'))"
    )


def downgrade() -> None:
    op.drop_index("ix_candidates_refused", table_name="candidates")
    op.drop_column("candidates", "platform_reason")
