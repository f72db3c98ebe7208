"""what people decide about a playlist: locked, paused, kept, rolled back; histories that nothing rewrites"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

_HISTORIES = ("playlist_history", "account_events")

# A row goes with the playlist or account it is about: then another trigger (the foreign key's) is at work. What tells
# who a person is may be erased, in a transaction that says that it does so.
_REFUSE = """
CREATE FUNCTION refuse_to_rewrite_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND pg_trigger_depth() > 1 THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND current_setting('spotify_pipelines.erases_person', true) = 'yes' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP;
END $$
"""


def upgrade() -> None:
    op.add_column("playlists", sa.Column("locked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("playlists", sa.Column("lock_reason", sa.Text(), nullable=True))
    op.add_column("playlists", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("playlists", sa.Column("pause_reason", sa.Text(), nullable=True))
    op.add_column(
        "playlists",
        sa.Column(
            "kept_snapshot_row",
            sa.BigInteger(),
            nullable=True,
            comment="playlist_snapshots.id: while it is the newest, what its owner made of it stays",
        ),
    )
    op.add_column(
        "playlists",
        sa.Column(
            "unfollow",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="once retired, it is taken out of its account's library",
        ),
    )
    op.add_column("playlists", sa.Column("unfollowed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_playlists_to_unfollow",
        "playlists",
        ["account_id"],
        postgresql_where=sa.text("status = 'retired' AND unfollow AND unfollowed_at IS NULL"),
    )
    op.add_column(
        "playlist_snapshots",
        sa.Column("origin", sa.Text(), server_default=sa.text("'drawn'"), nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_playlist_snapshots_origin"),
        "playlist_snapshots",
        "origin IN ('drawn', 'adopted', 'rollback')",
    )
    op.add_column(
        "playlist_snapshots",
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="name and description that stand in for the policy's templates",
        ),
    )
    op.execute(_REFUSE)
    for table in _HISTORIES:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_to_rewrite_history()"
        )


def downgrade() -> None:
    for table in _HISTORIES:
        op.execute(f"DROP TRIGGER append_only ON {table}")
    op.execute("DROP FUNCTION refuse_to_rewrite_history()")
    op.drop_column("playlist_snapshots", "details")
    op.drop_constraint(op.f("ck_playlist_snapshots_origin"), "playlist_snapshots", type_="check")
    op.drop_column("playlist_snapshots", "origin")
    op.drop_index("ix_playlists_to_unfollow", table_name="playlists")
    for column in (
        "unfollowed_at",
        "unfollow",
        "kept_snapshot_row",
        "pause_reason",
        "paused_at",
        "lock_reason",
        "locked_at",
    ):
        op.drop_column("playlists", column)
