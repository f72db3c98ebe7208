"""pictures that policies give to their playlists"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "covers",
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="sha256: and its 64 digits, as policies say it"
        ),
        sa.Column("jpeg", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_covers"),
    )
    op.add_column(
        "playlists",
        sa.Column(
            "confirmed_cover",
            sa.Text(),
            nullable=True,
            comment="covers.digest of what we uploaded last",
        ),
    )


def downgrade() -> None:
    op.drop_column("playlists", "confirmed_cover")
    op.drop_table("covers")
