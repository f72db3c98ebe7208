"""the data model"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "album_sources",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="as given"),
        sa.Column("album_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column(
            "next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("claimed_by", sa.Text(), nullable=True, comment="run that is reading it"),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'ingested', 'failed', 'dead')", name=op.f("ck_album_sources_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_album_sources")),
        sa.UniqueConstraint("album_id", name=op.f("uq_album_sources_album_id")),
    )
    op.create_index(
        "ix_album_sources_due",
        "album_sources",
        ["next_attempt_at", "id"],
        unique=False,
        postgresql_where=sa.text("status IN ('queued', 'failed')"),
    )
    op.create_table(
        "albums",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("album_type", sa.Text(), nullable=True),
        sa.Column("artist_ids", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "release_date", sa.Date(), nullable=True, comment="first day, where only year or month is known"
        ),
        sa.Column("release_precision", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("popularity", sa.Integer(), nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("total_tracks", sa.Integer(), nullable=False),
        sa.Column(
            "first_page",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="track entries that came with the album, until the tracks asset has unfolded them",
        ),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "tracks_read_at", sa.DateTime(timezone=True), nullable=True, comment="all tracks are stored"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_albums")),
    )
    op.create_index(
        "ix_albums_unread_tracks",
        "albums",
        ["id"],
        unique=False,
        postgresql_where=sa.text("tracks_read_at IS NULL"),
    )
    op.create_table(
        "api_calls",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("use_case", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Integer(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ok", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("limited", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="429"),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("waited_seconds", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("call_seconds", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("minimum", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_calls")),
    )
    op.create_index("ix_api_calls_at", "api_calls", ["at"], unique=False)
    op.create_index("ix_api_calls_run_id", "api_calls", ["run_id"], unique=False)
    op.create_table(
        "artists",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artists")),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("world", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("world IN ('sandbox', 'live')", name=op.f("ck_installation_world")),
        sa.CheckConstraint("id = 1", name=op.f("ck_installation_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "job_history",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False, comment="schedule, sensor, manual or cli"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True, comment="class and first line"),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "reconciled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_job_history")),
    )
    op.create_index(
        "ix_job_history_job_name_started_at", "job_history", ["job_name", "started_at"], unique=False
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "metric_snapshots",
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("captured_at", name=op.f("pk_metric_snapshots")),
    )
    op.create_table(
        "policies",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_policies_name_version")),
    )
    op.create_index(
        "uq_policies_active_name", "policies", ["name"], unique=True, postgresql_where=sa.text("active")
    )
    op.create_table(
        "spotify_apps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=True, comment="encrypted"),
        sa.Column("developer_account", sa.Text(), nullable=True),
        sa.Column("calls_per_30s", sa.Integer(), nullable=True, comment="overrides the setting"),
        sa.Column(
            "capabilities",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="name → {available, at, evidence}",
        ),
        sa.Column("cooldown_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cooldown_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spotify_apps")),
        sa.UniqueConstraint("client_id", name=op.f("uq_spotify_apps_client_id")),
        sa.UniqueConstraint("name", name=op.f("uq_spotify_apps_name")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="what operators call it"),
        sa.Column("spotify_user_id", sa.Text(), nullable=False),
        sa.Column("spotify_account_id", sa.Text(), nullable=True, comment="immutable key, since May 2026"),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("access_token", sa.LargeBinary(), nullable=True, comment="encrypted"),
        sa.Column("refresh_token", sa.LargeBinary(), nullable=True, comment="encrypted"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("authorized_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consent_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scopes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("health", sa.Text(), server_default="ok", nullable=False),
        sa.Column("health_reason", sa.Text(), nullable=True),
        sa.Column(
            "health_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("max_playlists", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("health IN ('ok', 'degraded', 'quarantined')", name=op.f("ck_accounts_health")),
        sa.ForeignKeyConstraint(
            ["app_id"], ["spotify_apps.id"], name=op.f("fk_accounts_app_id_spotify_apps")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("app_id", "spotify_user_id", name=op.f("uq_accounts_app_id_spotify_user_id")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_index(
        "ix_accounts_expires_at",
        "accounts",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("health <> 'quarantined'"),
    )
    op.create_table(
        "tracks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("album_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("disc_number", sa.Integer(), nullable=False),
        sa.Column("track_number", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("explicit", sa.Boolean(), nullable=False),
        sa.Column("playable", sa.Boolean(), nullable=True, comment="null: Spotify did not say"),
        sa.Column(
            "linked_from", sa.Text(), nullable=True, comment="the id that was asked for, where relinked"
        ),
        sa.Column("audio_features", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("features_source", sa.Text(), nullable=True),
        sa.Column("features_fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("features_missing_reason", sa.Text(), nullable=True),
        sa.Column("features_retry_after", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["album_id"], ["albums.id"], name=op.f("fk_tracks_album_id_albums"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracks")),
    )
    op.create_index("ix_tracks_album_id", "tracks", ["album_id"], unique=False)
    op.create_index(
        "ix_tracks_without_features",
        "tracks",
        [sa.literal_column("features_retry_after NULLS FIRST"), "id"],
        unique=False,
        postgresql_where=sa.text("audio_features IS NULL"),
    )
    op.create_table(
        "account_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("health_before", sa.Text(), nullable=True),
        sa.Column("health_after", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_account_events_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_events")),
    )
    op.create_index("ix_account_events_account_id_at", "account_events", ["account_id", "at"], unique=False)
    op.create_table(
        "playlists",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("policy_name", sa.Text(), nullable=False),
        sa.Column(
            "sequence", sa.Integer(), nullable=False, comment="first, second … of its policy on its account"
        ),
        sa.Column("status", sa.Text(), server_default="planned", nullable=False),
        sa.Column("anchor", sa.Date(), nullable=False, comment="local day on which its first cycle begins"),
        sa.Column("next_reshuffle_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spotify_id", sa.Text(), nullable=True),
        sa.Column(
            "confirmed_snapshot_row",
            sa.BigInteger(),
            nullable=True,
            comment="playlist_snapshots.id whose tracks Spotify holds",
        ),
        sa.Column("confirmed_items_hash", sa.Text(), nullable=True),
        sa.Column("confirmed_name", sa.Text(), nullable=True),
        sa.Column("confirmed_description", sa.Text(), nullable=True),
        sa.Column("confirmed_public", sa.Boolean(), nullable=True),
        sa.Column(
            "confirmed_snapshot_id", sa.Text(), nullable=True, comment="Spotify's version of the playlist"
        ),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sync_not_before", sa.DateTime(timezone=True), nullable=True, comment="deferred until"),
        sa.Column("sync_error", sa.Text(), nullable=True),
        sa.Column("sync_failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('planned', 'active', 'retired')", name=op.f("ck_playlists_status")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_playlists_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playlists")),
        sa.UniqueConstraint("spotify_id", name=op.f("uq_playlists_spotify_id")),
    )
    op.create_index(
        "ix_playlists_next_reshuffle_at",
        "playlists",
        ["next_reshuffle_at"],
        unique=False,
        postgresql_where=sa.text("status <> 'retired'"),
    )
    op.create_index(
        "uq_playlists_place",
        "playlists",
        ["account_id", "policy_name", "sequence"],
        unique=True,
        postgresql_where=sa.text("status <> 'retired'"),
    )
    op.create_table(
        "track_artists",
        sa.Column("track_id", sa.Text(), nullable=False),
        sa.Column("artist_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artist_id"], ["artists.id"], name=op.f("fk_track_artists_artist_id_artists")
        ),
        sa.ForeignKeyConstraint(
            ["track_id"], ["tracks.id"], name=op.f("fk_track_artists_track_id_tracks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_id", "artist_id", name=op.f("pk_track_artists")),
    )
    op.create_index("ix_track_artists_artist_id", "track_artists", ["artist_id"], unique=False)
    op.create_table(
        "playlist_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("playlist_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["playlist_id"],
            ["playlists.id"],
            name=op.f("fk_playlist_history_playlist_id_playlists"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playlist_history")),
    )
    op.create_index(
        "ix_playlist_history_playlist_id_at", "playlist_history", ["playlist_id", "at"], unique=False
    )
    op.create_table(
        "playlist_snapshots",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("playlist_id", sa.BigInteger(), nullable=False),
        sa.Column("policy_id", sa.BigInteger(), nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column(
            "draw",
            sa.Integer(),
            nullable=False,
            comment="0 for the first draw of a cycle; one more for each redraw",
        ),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="new cycle, policy changed, track unplayable, forced"
        ),
        sa.Column("seed", sa.Text(), nullable=False, comment="hexadecimal"),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=False),
        sa.Column("items_hash", sa.Text(), nullable=False),
        sa.Column("figures", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["playlist_id"],
            ["playlists.id"],
            name=op.f("fk_playlist_snapshots_playlist_id_playlists"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policies.id"], name=op.f("fk_playlist_snapshots_policy_id_policies")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playlist_snapshots")),
        sa.UniqueConstraint(
            "playlist_id", "cycle", "draw", name=op.f("uq_playlist_snapshots_playlist_id_cycle_draw")
        ),
    )
    op.create_index(
        "ix_playlist_snapshots_playlist_id_created_at",
        "playlist_snapshots",
        ["playlist_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "sync_intents",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("playlist_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "marker", sa.Text(), nullable=False, comment="stands in the description: it finds a lost creation"
        ),
        sa.Column("status", sa.Text(), server_default="planned", nullable=False),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="committed before the call; null: none was sent",
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("spotify_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('planned', 'creating', 'created', 'abandoned')", name=op.f("ck_sync_intents_status")
        ),
        sa.ForeignKeyConstraint(
            ["playlist_id"],
            ["playlists.id"],
            name=op.f("fk_sync_intents_playlist_id_playlists"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_intents")),
        sa.UniqueConstraint("marker", name=op.f("uq_sync_intents_marker")),
    )
    op.create_index(
        "uq_sync_intents_open",
        "sync_intents",
        ["playlist_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('planned', 'creating')"),
    )
    op.create_table(
        "playlist_snapshot_tracks",
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("track_id", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("relaxation", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["playlist_snapshots.id"],
            name=op.f("fk_playlist_snapshot_tracks_snapshot_id_playlist_snapshots"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "position", name=op.f("pk_playlist_snapshot_tracks")),
    )
    op.create_index(
        "ix_playlist_snapshot_tracks_track_id", "playlist_snapshot_tracks", ["track_id"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_playlist_snapshot_tracks_track_id", table_name="playlist_snapshot_tracks")
    op.drop_table("playlist_snapshot_tracks")
    op.drop_index(
        "uq_sync_intents_open",
        table_name="sync_intents",
        postgresql_where=sa.text("status IN ('planned', 'creating')"),
    )
    op.drop_table("sync_intents")
    op.drop_index("ix_playlist_snapshots_playlist_id_created_at", table_name="playlist_snapshots")
    op.drop_table("playlist_snapshots")
    op.drop_index("ix_playlist_history_playlist_id_at", table_name="playlist_history")
    op.drop_table("playlist_history")
    op.drop_index("ix_track_artists_artist_id", table_name="track_artists")
    op.drop_table("track_artists")
    op.drop_index(
        "uq_playlists_place", table_name="playlists", postgresql_where=sa.text("status <> 'retired'")
    )
    op.drop_index(
        "ix_playlists_next_reshuffle_at",
        table_name="playlists",
        postgresql_where=sa.text("status <> 'retired'"),
    )
    op.drop_table("playlists")
    op.drop_index("ix_account_events_account_id_at", table_name="account_events")
    op.drop_table("account_events")
    op.drop_index(
        "ix_tracks_without_features", table_name="tracks", postgresql_where=sa.text("audio_features IS NULL")
    )
    op.drop_index("ix_tracks_album_id", table_name="tracks")
    op.drop_table("tracks")
    op.drop_index(
        "ix_accounts_expires_at", table_name="accounts", postgresql_where=sa.text("health <> 'quarantined'")
    )
    op.drop_table("accounts")
    op.drop_table("spotify_apps")
    op.drop_index("uq_policies_active_name", table_name="policies", postgresql_where=sa.text("active"))
    op.drop_table("policies")
    op.drop_table("metric_snapshots")
    op.drop_table("leases")
    op.drop_index("ix_job_history_job_name_started_at", table_name="job_history")
    op.drop_table("job_history")
    op.drop_table("installation")
    op.drop_table("artists")
    op.drop_index("ix_api_calls_run_id", table_name="api_calls")
    op.drop_index("ix_api_calls_at", table_name="api_calls")
    op.drop_table("api_calls")
    op.drop_index(
        "ix_albums_unread_tracks", table_name="albums", postgresql_where=sa.text("tracks_read_at IS NULL")
    )
    op.drop_table("albums")
    op.drop_index(
        "ix_album_sources_due",
        table_name="album_sources",
        postgresql_where=sa.text("status IN ('queued', 'failed')"),
    )
    op.drop_table("album_sources")
