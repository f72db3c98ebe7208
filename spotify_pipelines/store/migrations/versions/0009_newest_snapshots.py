"""which snapshot a playlist should hold, in its own row: what sensors ask for every minute"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column(
        "playlists",
        sa.Column(
            "newest_snapshot_row",
            sa.BigInteger(),
            nullable=True,
            comment="playlist_snapshots.id whose tracks it should hold; null: never drawn",
        ),
    )
    op.execute(
        "UPDATE playlists SET newest_snapshot_row = newest.id"
        " FROM (SELECT playlist_id, max(id) AS id FROM playlist_snapshots GROUP BY playlist_id) AS newest"
        " WHERE newest.playlist_id = playlists.id"
    )
    op.add_column(
        "playlists",
        sa.Column(
            "to_write_row",
            sa.BigInteger(),
            sa.Computed(
                "CASE WHEN status <> 'retired' AND locked_at IS NULL AND paused_at IS NULL"
                " AND newest_snapshot_row IS DISTINCT FROM confirmed_snapshot_row"
                " AND newest_snapshot_row IS DISTINCT FROM kept_snapshot_row THEN newest_snapshot_row END",
                persisted=True,
            ),
            nullable=True,
            comment="newest_snapshot_row, where Spotify holds other tracks and may be given these",
        ),
    )
    op.create_index(
        "ix_playlists_to_write",
        "playlists",
        ["to_write_row"],
        postgresql_where=sa.text("to_write_row IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_playlists_to_write", table_name="playlists")
    op.drop_column("playlists", "to_write_row")
    op.drop_column("playlists", "newest_snapshot_row")
