"""tags of albums, countries of albums and tracks"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


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


def downgrade() -> None:
    op.drop_column("tracks", "markets")
    op.drop_column("albums", "markets")
    op.drop_column("album_sources", "tags")
