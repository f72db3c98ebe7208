"""indexes for what alerts ask every few minutes: dead letters and runs that failed"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index(
        "ix_album_sources_dead",
        "album_sources",
        ["error_kind"],
        postgresql_where=sa.text("status = 'dead'"),
    )
    op.create_index(
        "ix_job_history_failed",
        "job_history",
        ["finished_at"],
        postgresql_where=sa.text("status = 'failure'"),
    )


def downgrade() -> None:
    op.drop_index("ix_job_history_failed", table_name="job_history")
    op.drop_index("ix_album_sources_dead", table_name="album_sources")
