"""Cases by district and state: one index answers the newest of a district and the rare states in it."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_cases_district_state", "cases", ["district", "state", "id"], unique=False)
    op.drop_index("ix_cases_district", table_name="cases")


def downgrade() -> None:
    op.create_index("ix_cases_district", "cases", ["district", "id"], unique=False)
    op.drop_index("ix_cases_district_state", table_name="cases")
