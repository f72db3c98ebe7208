"""incidents of whole apps; what a degraded account has to show for itself; causes and calls of account events"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column(
        "accounts",
        sa.Column(
            "successes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="good outcomes in a row while it is degraded",
        ),
    )
    op.add_column("accounts", sa.Column("last_failure_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "account_events",
        sa.Column("cause", sa.Text(), nullable=True, comment="the outcome that led to it"),
    )
    op.add_column(
        "account_events",
        sa.Column(
            "calls", sa.Integer(), nullable=True, comment="calls for the account in the run, up to then"
        ),
    )
    op.create_table(
        "app_incidents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "probes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="probes that failed",
        ),
        sa.Column("next_probe_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True, comment="the run that met it"),
        sa.CheckConstraint("kind IN ('outage', 'premium')", name=op.f("ck_app_incidents_kind")),
        sa.ForeignKeyConstraint(
            ["app_id"],
            ["spotify_apps.id"],
            name=op.f("fk_app_incidents_app_id_spotify_apps"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_incidents")),
    )
    op.create_index(
        "uq_app_incidents_open",
        "app_incidents",
        ["app_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("app_incidents")
    op.drop_column("account_events", "calls")
    op.drop_column("account_events", "cause")
    op.drop_column("accounts", "last_failure_at")
    op.drop_column("accounts", "successes")
