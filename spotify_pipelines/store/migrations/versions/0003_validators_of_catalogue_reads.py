"""validators of catalogue reads"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "read_validators",
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="path and query in order, market included"),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False, comment="what the answer is about"),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when Spotify last gave or confirmed it",
        ),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["spotify_apps.id"],
            name=op.f("fk_read_validators_app_id_spotify_apps"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("app_id", "url", name=op.f("pk_read_validators")),
    )
    op.create_index("ix_read_validators_entity_id", "read_validators", ["entity_id"], unique=False)
    op.create_index("ix_read_validators_seen_at", "read_validators", ["seen_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_read_validators_seen_at", table_name="read_validators")
    op.drop_index("ix_read_validators_entity_id", table_name="read_validators")
    op.drop_table("read_validators")
