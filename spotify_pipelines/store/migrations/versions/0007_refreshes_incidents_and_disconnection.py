"""refreshes without an answer, mass refusals of consents, and accounts that were disconnected"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "accounts",
        sa.Column(
            "refresh_sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="committed before the call; null: no refresh is without an answer",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "disconnected_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="only the row is left, for its playlists' past",
        ),
    )
    op.create_table(
        "consent_incidents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column(
            "probes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="refreshes that were tried meanwhile, in turn",
        ),
        sa.Column("next_probe_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "ending IN ('confirmed', 'released', 'recovered')", name=op.f("ck_consent_incidents_ending")
        ),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["spotify_apps.id"],
            name=op.f("fk_consent_incidents_app_id_spotify_apps"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_incidents")),
    )
    op.create_index(
        "uq_consent_incidents_open",
        "consent_incidents",
        ["app_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("uq_consent_incidents_open", table_name="consent_incidents")
    op.drop_table("consent_incidents")
    op.drop_column("accounts", "disconnected_at")
    op.drop_column("accounts", "refresh_sent_at")
