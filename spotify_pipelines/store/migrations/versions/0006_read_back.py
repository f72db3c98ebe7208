"""playlists whose items are to be read back, to be sure of what a write left behind"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "playlists",
        sa.Column(
            "read_back_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="what Spotify holds is read from then on, to be sure; null: it is believed",
        ),
    )
    op.create_index(
        "ix_playlists_to_read_back",
        "playlists",
        ["read_back_at"],
        postgresql_where=sa.text("read_back_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_playlists_to_read_back", table_name="playlists")
    op.drop_column("playlists", "read_back_at")
