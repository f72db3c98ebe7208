"""The data model: every table of the application's database, typed.

What belongs here: columns, keys, constraints and the indexes that queries rely on, each table with a line on
what one row is. What does not: queries, defaults that need a decision, anything about Dagster's own storage
(which lives in a database of its own). All times are ``timestamptz`` in UTC.
"""

from datetime import date, datetime
from typing import Annotated, Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Account",
    "AccountEvent",
    "Album",
    "AlbumSource",
    "ApiCalls",
    "Artist",
    "Base",
    "ConsentIncident",
    "Cooldown",
    "Installation",
    "JobRun",
    "LearnedLimit",
    "Lease",
    "MetricSnapshot",
    "Playlist",
    "PlaylistHistory",
    "PlaylistSnapshot",
    "PlaylistSnapshotTrack",
    "Policy",
    "ReadValidator",
    "SpotifyApp",
    "SyncIntent",
    "Track",
    "TrackArtist",
]

Key = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
SpotifyId = Annotated[str, mapped_column(Text)]
Time = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Created = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
Strings = Annotated[list[str], mapped_column(ARRAY(Text), server_default=text("'{}'"))]
Zero = Annotated[int, mapped_column(server_default=text("0"))]


def _one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


class Base(DeclarativeBase):
    """Base of all tables; the naming convention keeps migrations reversible."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text}  # noqa: RUF012 - SQLAlchemy reads it as a class attribute


class Installation(Base):
    """The one row that says which world this database belongs to."""

    __tablename__ = "installation"
    __table_args__ = (_one_of("world", "sandbox", "live"), CheckConstraint("id = 1", name="single_row"))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    world: Mapped[str]
    created_at: Mapped[Created]


class SpotifyApp(Base):
    """One client id of Spotify's developer dashboard, with what was found out about it."""

    __tablename__ = "spotify_apps"

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    client_id: Mapped[str] = mapped_column(unique=True)
    client_secret: Mapped[bytes | None] = mapped_column(LargeBinary, comment="encrypted")
    developer_account: Mapped[str | None]
    calls_per_30s: Mapped[int | None] = mapped_column(comment="overrides the setting")
    capabilities: Mapped[Json] = mapped_column(
        server_default=text("'{}'"), comment="name → {available, at, evidence}"
    )
    cooldown_until: Mapped[Time | None]
    cooldown_reason: Mapped[str | None]
    calls_per_day: Mapped[int | None] = mapped_column(comment="budget; null: none")
    created_at: Mapped[Created]


class LearnedLimit(Base):
    """What was learned about the unpublished rate limit of one app, with its evidence."""

    __tablename__ = "learned_limits"
    __table_args__ = (_one_of("mode", "search", "steady", "fixed"),)

    app_id: Mapped[int] = mapped_column(ForeignKey("spotify_apps.id", ondelete="CASCADE"), primary_key=True)
    calls_per_30s: Mapped[float]
    mode: Mapped[str]
    probed_from: Mapped[float | None] = mapped_column(comment="the limit from which an upward probe started")
    probe_at: Mapped[Time | None] = mapped_column(comment="no upward probe before")
    evidence: Mapped[Json] = mapped_column(comment="the episode that set it: counts, times, Retry-After")
    updated_at: Mapped[Created]


class ReadValidator(Base):
    """What Spotify calls the version of one answer (its ETag), as one app was given it.

    Its row is about the very answer that is stored: it goes when the entity is stored from another one. A migration
    that makes room for more of an answer has to empty this table, or what is unchanged is never read in full again.
    """

    __tablename__ = "read_validators"
    __table_args__ = (
        Index("ix_read_validators_entity_id", "entity_id"),
        Index("ix_read_validators_seen_at", "seen_at"),
    )

    app_id: Mapped[int] = mapped_column(ForeignKey("spotify_apps.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str] = mapped_column(primary_key=True, comment="path and query in order, market included")
    etag: Mapped[str]
    entity_id: Mapped[SpotifyId] = mapped_column(comment="what the answer is about")
    seen_at: Mapped[Time] = mapped_column(comment="when Spotify last gave or confirmed it")


class Cooldown(Base):
    """One ban that Spotify spoke: of which app or developer account, until when, and its very words."""

    __tablename__ = "cooldowns"
    __table_args__ = (
        _one_of("kind", "quota", "limit"),
        Index("ix_cooldowns_app_id_until", "app_id", "until"),
    )

    id: Mapped[Key]
    app_id: Mapped[int] = mapped_column(ForeignKey("spotify_apps.id", ondelete="CASCADE"))
    developer_account: Mapped[str | None]
    kind: Mapped[str]
    until: Mapped[Time]
    observed_at: Mapped[Created]
    retry_after: Mapped[str | None] = mapped_column(comment="the header, as it came")
    endpoint: Mapped[str | None]
    reason: Mapped[str]


class AppIncident(Base):
    """Trouble of a whole app, which says nothing about its accounts: an outage, or its owner's lapsed Premium.

    Rows stay. While one is open, no call of the app is made but a probe when its time has come.
    """

    __tablename__ = "app_incidents"
    __table_args__ = (
        _one_of("kind", "outage", "premium"),
        Index("uq_app_incidents_open", "app_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    )

    id: Mapped[Key]
    app_id: Mapped[int] = mapped_column(ForeignKey("spotify_apps.id", ondelete="CASCADE"))
    kind: Mapped[str]
    reason: Mapped[str]
    began_at: Mapped[Created]
    probes: Mapped[Zero] = mapped_column(comment="probes that failed")
    next_probe_at: Mapped[Time]
    ended_at: Mapped[Time | None]
    run_id: Mapped[str | None] = mapped_column(comment="the run that met it")


class Account(Base):
    """One Spotify user who has connected: tokens (encrypted), consent and health."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("app_id", "spotify_user_id"),
        _one_of("health", "ok", "degraded", "quarantined"),
        Index("ix_accounts_expires_at", "expires_at", postgresql_where=text("health <> 'quarantined'")),
    )

    id: Mapped[Key]
    app_id: Mapped[int] = mapped_column(ForeignKey("spotify_apps.id"))
    name: Mapped[str] = mapped_column(unique=True, comment="what operators call it")
    spotify_user_id: Mapped[str]
    spotify_account_id: Mapped[str | None] = mapped_column(comment="immutable key, since May 2026")
    display_name: Mapped[str | None]
    access_token: Mapped[bytes | None] = mapped_column(LargeBinary, comment="encrypted")
    refresh_token: Mapped[bytes | None] = mapped_column(LargeBinary, comment="encrypted")
    expires_at: Mapped[Time | None]
    refresh_sent_at: Mapped[Time | None] = mapped_column(
        comment="committed before the call; null: no refresh is without an answer"
    )
    authorized_at: Mapped[Time | None]
    consent_ends_at: Mapped[Time | None]
    scopes: Mapped[Strings]
    health: Mapped[str] = mapped_column(server_default="ok")
    health_reason: Mapped[str | None]
    health_since: Mapped[Created]
    failures: Mapped[Zero]
    successes: Mapped[Zero] = mapped_column(comment="good outcomes in a row while it is degraded")
    last_failure_at: Mapped[Time | None]
    next_probe_at: Mapped[Time | None]
    max_playlists: Mapped[int | None]
    created_at: Mapped[Created]
    disconnected_at: Mapped[Time | None] = mapped_column(
        comment="only the row is left, for its playlists' past"
    )


class ConsentIncident(Base):
    """Consents of one app that Spotify refused in a mass: taken for its mistake until shown otherwise."""

    __tablename__ = "consent_incidents"
    __table_args__ = (
        _one_of("ending", "confirmed", "released", "recovered"),
        Index("uq_consent_incidents_open", "app_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    )

    id: Mapped[Key]
    app_id: Mapped[int] = mapped_column(ForeignKey("spotify_apps.id", ondelete="CASCADE"))
    began_at: Mapped[Time]
    account_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    probes: Mapped[Zero] = mapped_column(comment="refreshes that were tried meanwhile, in turn")
    next_probe_at: Mapped[Time]
    ended_at: Mapped[Time | None]
    ending: Mapped[str | None]


class AccountEvent(Base):
    """One thing that happened to an account: connected, token refreshed, health changed. Append-only."""

    __tablename__ = "account_events"
    __table_args__ = (Index("ix_account_events_account_id_at", "account_id", "at"),)

    id: Mapped[Key]
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    at: Mapped[Created]
    event: Mapped[str]
    health_before: Mapped[str | None]
    health_after: Mapped[str | None]
    reason: Mapped[str | None]
    cause: Mapped[str | None] = mapped_column(comment="the outcome that led to it")
    calls: Mapped[int | None] = mapped_column(comment="calls for the account in the run, up to then")
    run_id: Mapped[str | None]


class AlbumSource(Base):
    """One album in the queue: asked for by URL, to be read from Spotify."""

    __tablename__ = "album_sources"
    __table_args__ = (
        _one_of("status", "queued", "ingested", "failed", "dead"),
        Index(
            "ix_album_sources_due",
            "next_attempt_at",
            "id",
            postgresql_where=text("status IN ('queued', 'failed')"),
        ),
        Index("ix_album_sources_dead", "error_kind", postgresql_where=text("status = 'dead'")),
    )

    id: Mapped[Key]
    url: Mapped[str] = mapped_column(comment="as given")
    album_id: Mapped[SpotifyId] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(server_default="queued")
    attempts: Mapped[Zero]
    error: Mapped[str | None]
    error_kind: Mapped[str | None]
    next_attempt_at: Mapped[Created]
    claimed_by: Mapped[str | None] = mapped_column(comment="run that is reading it")
    claimed_until: Mapped[Time | None]
    tags: Mapped[Strings] = mapped_column(comment="the curators' words, by which policies choose and weigh")
    added_at: Mapped[Created]
    ingested_at: Mapped[Time | None]


class Artist(Base):
    """One artist who is credited on an album or a track."""

    __tablename__ = "artists"

    id: Mapped[SpotifyId] = mapped_column(primary_key=True)
    name: Mapped[str]


class Album(Base):
    """One album, as Spotify described it when it was last read."""

    __tablename__ = "albums"
    __table_args__ = (
        Index("ix_albums_unread_tracks", "id", postgresql_where=text("tracks_read_at IS NULL")),
    )

    id: Mapped[SpotifyId] = mapped_column(primary_key=True)
    name: Mapped[str]
    album_type: Mapped[str | None]
    artist_ids: Mapped[Strings]
    release_date: Mapped[date | None] = mapped_column(comment="first day, where only year or month is known")
    release_precision: Mapped[str | None]
    label: Mapped[str | None]
    markets: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text), comment="countries it is available in; null: Spotify did not say"
    )
    popularity: Mapped[int | None]
    image_url: Mapped[str | None]
    total_tracks: Mapped[int]
    first_page: Mapped[list[dict[str, Any]] | None] = mapped_column(
        JSONB, comment="track entries that came with the album, until the tracks asset has unfolded them"
    )
    read_at: Mapped[Time]
    tracks_read_at: Mapped[Time | None] = mapped_column(comment="all tracks are stored")


class Track(Base):
    """One track of an album, with its audio features or the reason why it has none."""

    __tablename__ = "tracks"
    __table_args__ = (
        Index("ix_tracks_album_id", "album_id"),
        Index(
            "ix_tracks_without_features",
            text("features_retry_after NULLS FIRST"),
            "id",
            postgresql_where=text("audio_features IS NULL"),
        ),
    )

    id: Mapped[SpotifyId] = mapped_column(primary_key=True)
    album_id: Mapped[str] = mapped_column(ForeignKey("albums.id", ondelete="CASCADE"))
    name: Mapped[str]
    disc_number: Mapped[int]
    track_number: Mapped[int]
    duration_ms: Mapped[int]
    explicit: Mapped[bool]
    playable: Mapped[bool | None] = mapped_column(comment="null: Spotify did not say")
    markets: Mapped[list[str] | None] = mapped_column(ARRAY(Text), comment="null: as its album's")
    linked_from: Mapped[str | None] = mapped_column(comment="the id that was asked for, where relinked")
    audio_features: Mapped[Json | None]
    features_source: Mapped[str | None]
    features_fetched_at: Mapped[Time | None]
    features_missing_reason: Mapped[str | None]
    features_retry_after: Mapped[Time | None]


class TrackArtist(Base):
    """One credit: an artist on a track, in order."""

    __tablename__ = "track_artists"
    __table_args__ = (Index("ix_track_artists_artist_id", "artist_id"),)

    track_id: Mapped[str] = mapped_column(ForeignKey("tracks.id", ondelete="CASCADE"), primary_key=True)
    artist_id: Mapped[str] = mapped_column(ForeignKey("artists.id"), primary_key=True)
    position: Mapped[int]


class Policy(Base):
    """One version of a policy; the newest one of a name is in force while it is active."""

    __tablename__ = "policies"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        Index("uq_policies_active_name", "name", unique=True, postgresql_where=text("active")),
    )

    id: Mapped[Key]
    name: Mapped[str]
    version: Mapped[int]
    digest: Mapped[str]
    definition: Mapped[Json]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[Created]


class Cover(Base):
    """A picture that policies give to their playlists; kept for good, so that an earlier one can be brought back."""

    __tablename__ = "covers"

    digest: Mapped[str] = mapped_column(
        primary_key=True, comment="sha256: and its 64 digits, as policies say it"
    )
    jpeg: Mapped[bytes]
    created_at: Mapped[Created]


class Playlist(Base):
    """One playlist that we keep: what it should be drawn from, and what Spotify last confirmed."""

    __tablename__ = "playlists"
    __table_args__ = (
        _one_of("status", "planned", "active", "retired"),
        Index(
            "uq_playlists_place",
            "account_id",
            "policy_name",
            "sequence",
            unique=True,
            postgresql_where=text("status <> 'retired'"),
        ),
        Index(
            "ix_playlists_next_reshuffle_at",
            "next_reshuffle_at",
            postgresql_where=text("status <> 'retired'"),
        ),
        Index("ix_playlists_to_read_back", "read_back_at", postgresql_where=text("read_back_at IS NOT NULL")),
        Index(
            "ix_playlists_to_unfollow",
            "account_id",
            postgresql_where=text("status = 'retired' AND unfollow AND unfollowed_at IS NULL"),
        ),
        Index("ix_playlists_to_write", "to_write_row", postgresql_where=text("to_write_row IS NOT NULL")),
    )

    id: Mapped[Key]
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    policy_name: Mapped[str]
    sequence: Mapped[int] = mapped_column(comment="first, second … of its policy on its account")
    status: Mapped[str] = mapped_column(server_default="planned")
    anchor: Mapped[date] = mapped_column(comment="local day on which its first cycle begins")
    next_reshuffle_at: Mapped[Time | None]
    spotify_id: Mapped[str | None] = mapped_column(unique=True)
    newest_snapshot_row: Mapped[int | None] = mapped_column(
        BigInteger, comment="playlist_snapshots.id whose tracks it should hold; null: never drawn"
    )
    # A column of its own, and not a condition: the planner knows how rarely it is filled.
    to_write_row: Mapped[int | None] = mapped_column(
        BigInteger,
        Computed(
            "CASE WHEN status <> 'retired' AND locked_at IS NULL AND paused_at IS NULL"
            " AND newest_snapshot_row IS DISTINCT FROM confirmed_snapshot_row"
            " AND newest_snapshot_row IS DISTINCT FROM kept_snapshot_row THEN newest_snapshot_row END",
            persisted=True,
        ),
        comment="newest_snapshot_row, where Spotify holds other tracks and may be given these",
    )
    confirmed_snapshot_row: Mapped[int | None] = mapped_column(
        BigInteger, comment="playlist_snapshots.id whose tracks Spotify holds"
    )
    confirmed_items_hash: Mapped[str | None]
    confirmed_name: Mapped[str | None]
    confirmed_description: Mapped[str | None]
    confirmed_public: Mapped[bool | None]
    confirmed_cover: Mapped[str | None] = mapped_column(comment="covers.digest of what we uploaded last")
    confirmed_snapshot_id: Mapped[str | None] = mapped_column(comment="Spotify's version of the playlist")
    confirmed_at: Mapped[Time | None]
    read_back_at: Mapped[Time | None] = mapped_column(
        comment="what Spotify holds is read from then on, to be sure; null: it is believed"
    )
    sync_not_before: Mapped[Time | None] = mapped_column(comment="deferred until")
    sync_error: Mapped[str | None]
    sync_failures: Mapped[Zero]
    created_at: Mapped[Created]
    retired_at: Mapped[Time | None]
    locked_at: Mapped[Time | None]
    lock_reason: Mapped[str | None]
    paused_at: Mapped[Time | None]
    pause_reason: Mapped[str | None]
    kept_snapshot_row: Mapped[int | None] = mapped_column(
        BigInteger,
        comment="playlist_snapshots.id: while it is the newest, what its owner made of it stays",
    )
    unfollow: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="once retired, it is taken out of its account's library"
    )
    unfollowed_at: Mapped[Time | None]


class PlaylistSnapshot(Base):
    """The tracks that one playlist should hold during a cycle: drawn, adopted from its owner, or brought back."""

    __tablename__ = "playlist_snapshots"
    __table_args__ = (
        _one_of("origin", "drawn", "adopted", "rollback"),
        UniqueConstraint("playlist_id", "cycle", "draw"),
        Index("ix_playlist_snapshots_playlist_id_created_at", "playlist_id", "created_at"),
    )

    id: Mapped[Key]
    playlist_id: Mapped[int] = mapped_column(ForeignKey("playlists.id", ondelete="CASCADE"))
    policy_id: Mapped[int] = mapped_column(ForeignKey("policies.id"))
    cycle: Mapped[int]
    draw: Mapped[int] = mapped_column(comment="0 for the first draw of a cycle; one more for each redraw")
    origin: Mapped[str] = mapped_column(server_default="drawn")
    reason: Mapped[str] = mapped_column(comment="new cycle, policy changed, track unplayable, forced")
    seed: Mapped[str] = mapped_column(comment="hexadecimal")
    algorithm: Mapped[str]
    input_digest: Mapped[str]
    items_hash: Mapped[str]
    figures: Mapped[Json]
    details: Mapped[Json | None] = mapped_column(
        comment="name and description that stand in for the policy's templates"
    )
    created_at: Mapped[Created]
    published_at: Mapped[Time | None]
    run_id: Mapped[str | None]


class PlaylistSnapshotTrack(Base):
    """One track at one position of a snapshot, and why it was chosen."""

    __tablename__ = "playlist_snapshot_tracks"
    __table_args__ = (Index("ix_playlist_snapshot_tracks_track_id", "track_id"),)

    snapshot_id: Mapped[int] = mapped_column(
        ForeignKey("playlist_snapshots.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    track_id: Mapped[str]
    why: Mapped[str]
    rank: Mapped[int | None] = mapped_column(
        comment="0 came first in the draw; null: drawn by an older release"
    )
    weight: Mapped[float | None] = mapped_column(comment="chance against the weightiest track, 0 to 1")
    age: Mapped[int | None] = mapped_column(comment="days since it was last used; null: not lately")
    relaxation: Mapped[Json | None]


class PlaylistHistory(Base):
    """One thing that happened to a playlist. Append-only; holds what undo needs."""

    __tablename__ = "playlist_history"
    __table_args__ = (Index("ix_playlist_history_playlist_id_at", "playlist_id", "at"),)

    id: Mapped[Key]
    playlist_id: Mapped[int] = mapped_column(ForeignKey("playlists.id", ondelete="CASCADE"))
    at: Mapped[Created]
    action: Mapped[str]
    reason: Mapped[str | None]
    before: Mapped[Json | None]
    after: Mapped[Json | None]
    calls: Mapped[Zero]
    run_id: Mapped[str | None]


class SyncIntent(Base):
    """One playlist that is about to be created on Spotify: written, and committed, before the call."""

    __tablename__ = "sync_intents"
    __table_args__ = (
        _one_of("status", "planned", "creating", "created", "abandoned"),
        Index(
            "uq_sync_intents_open",
            "playlist_id",
            unique=True,
            postgresql_where=text("status IN ('planned', 'creating')"),
        ),
    )

    id: Mapped[Key]
    playlist_id: Mapped[int] = mapped_column(ForeignKey("playlists.id", ondelete="CASCADE"))
    marker: Mapped[str] = mapped_column(
        unique=True, comment="stands in the description: it finds a lost creation"
    )
    status: Mapped[str] = mapped_column(server_default="planned")
    sent_at: Mapped[Time | None] = mapped_column(comment="committed before the call; null: none was sent")
    attempts: Mapped[Zero]
    spotify_id: Mapped[str | None]
    created_at: Mapped[Created]
    finished_at: Mapped[Time | None]


class Lease(Base):
    """One exclusive right, held until it expires; its token grows with each holder and fences old ones."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str | None]
    token: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    expires_at: Mapped[Time | None]


class ApiCalls(Base):
    """Calls of one run by app, account and endpoint, and the fewest that could have done it."""

    __tablename__ = "api_calls"
    __table_args__ = (Index("ix_api_calls_at", "at"), Index("ix_api_calls_run_id", "run_id"))

    id: Mapped[Key]
    run_id: Mapped[str]
    use_case: Mapped[str]
    app_id: Mapped[int | None]
    account_id: Mapped[int | None]
    endpoint: Mapped[str]
    calls: Mapped[Zero]
    ok: Mapped[Zero]
    limited: Mapped[Zero] = mapped_column(comment="429")
    failed: Mapped[Zero]
    waited_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    call_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    minimum: Mapped[Zero]
    at: Mapped[Created]


class MetricSnapshot(Base):
    """What there was at one moment: counts of everything that operators watch."""

    __tablename__ = "metric_snapshots"

    captured_at: Mapped[Time] = mapped_column(primary_key=True)
    metrics: Mapped[Json]


class JobRun(Base):
    """One run of a job, kept for longer than Dagster keeps it."""

    __tablename__ = "job_history"
    __table_args__ = (
        Index("ix_job_history_job_name_started_at", "job_name", "started_at"),
        Index("ix_job_history_failed", "finished_at", postgresql_where=text("status = 'failure'")),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    job_name: Mapped[str]
    trigger: Mapped[str] = mapped_column(comment="schedule, sensor, manual or cli")
    status: Mapped[str]
    queued_at: Mapped[Time | None]
    started_at: Mapped[Time | None]
    finished_at: Mapped[Time | None]
    duration_seconds: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(comment="class and first line")
    counts: Mapped[Json | None] = mapped_column(JSONB(none_as_null=True))
    reconciled_at: Mapped[Created]
