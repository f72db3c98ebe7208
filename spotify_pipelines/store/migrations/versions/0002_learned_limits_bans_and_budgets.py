"""learned limits, bans and daily budgets"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "cooldowns",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("developer_account", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("observed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retry_after", sa.Text(), nullable=True, comment="the header, as it came"),
        sa.Column("endpoint", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('quota', 'limit')", name=op.f("ck_cooldowns_kind")),
        sa.ForeignKeyConstraint(
            ["app_id"], ["spotify_apps.id"], name=op.f("fk_cooldowns_app_id_spotify_apps"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cooldowns")),
    )
    op.create_index("ix_cooldowns_app_id_until", "cooldowns", ["app_id", "until"], unique=False)
    op.create_table(
        "learned_limits",
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("calls_per_30s", sa.Float(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column(
            "probed_from", sa.Float(), nullable=True, comment="the limit from which an upward probe started"
        ),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True, comment="no upward probe before"),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the episode that set it: counts, times, Retry-After",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("mode IN ('search', 'steady', 'fixed')", name=op.f("ck_learned_limits_mode")),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["spotify_apps.id"],
            name=op.f("fk_learned_limits_app_id_spotify_apps"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("app_id", name=op.f("pk_learned_limits")),
    )
    op.add_column(
        "spotify_apps", sa.Column("calls_per_day", sa.Integer(), nullable=True, comment="budget; null: none")
    )


def downgrade() -> None:
    op.drop_column("spotify_apps", "calls_per_day")
    op.drop_table("learned_limits")
    op.drop_index("ix_cooldowns_app_id_until", table_name="cooldowns")
    op.drop_table("cooldowns")
