"""tags of albums, countries of albums and tracks, rank, weight and age of drawn tracks"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "album_sources",
        sa.Column(
            "tags",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="the curators' words, by which policies choose and weigh",
        ),
    )
    op.add_column(
        "albums",
        sa.Column(
            "markets",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="countries it is available in; null: Spotify did not say",
        ),
    )
    op.add_column(
        "tracks",
        sa.Column("markets", postgresql.ARRAY(sa.Text()), nullable=True, comment="null: as its album's"),
    )

    op.add_column(
        "playlist_snapshot_tracks",
        sa.Column(
            "rank",
            sa.Integer(),
            nullable=True,
            comment="0 came first in the draw; null: drawn by an older release",
        ),
    )
    op.add_column(
        "playlist_snapshot_tracks",
        sa.Column("weight", sa.Float(), nullable=True, comment="chance against the weightiest track, 0 to 1"),
    )
    op.add_column(
        "playlist_snapshot_tracks",
        sa.Column(
            "age", sa.Integer(), nullable=True, comment="days since it was last used; null: not lately"
        ),
    )
    # What was stored without countries has to be read in full once more, unchanged or not.
    op.execute("DELETE FROM read_validators")


def downgrade() -> None:
    for column in ("age", "weight", "rank"):
        op.drop_column("playlist_snapshot_tracks", column)
    op.drop_column("tracks", "markets")
    op.drop_column("albums", "markets")
    op.drop_column("album_sources", "tags")
