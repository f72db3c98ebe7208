"""How much there is of everything, counted in one round trip, and the snapshots of such counts.

What belongs here: the counting query and the table of snapshots. What does not: which figures an operator always
wants to see (``observability.metrics``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SQLColumnExpression,
    String,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import (
    Account,
    Album,
    AlbumSource,
    ApiCalls,
    Artist,
    JobRun,
    MetricSnapshot,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    SpotifyApp,
    Track,
)

__all__ = ["Figure", "count_everything", "expired_tokens", "metrics_since", "newest_metrics", "save_metrics"]

Figure = tuple[str, str | None, int]
"""What was counted, its group (None: all of it), and how many."""

_DAY = timedelta(days=1)


def count_everything(session: Session, now: datetime) -> list[Figure]:
    """All figures at ``now`` (aware UTC); groups that hold nothing are absent. ``…_24h`` look back one day."""
    since = now - _DAY
    missing = func.coalesce(Track.features_missing_reason, "not asked yet")
    # Calls to other services are stored as "service: endpoint"; only the Web API's count against its quota.
    calls = (ApiCalls.at > since, ApiCalls.at <= now, ~ApiCalls.endpoint.contains(": "))
    has_features = Track.audio_features.is_not(None)
    made = (PlaylistSnapshot.created_at > since, PlaylistSnapshot.created_at <= now)
    happened = (PlaylistHistory.at > since, PlaylistHistory.at <= now)
    ended = (JobRun.finished_at > since, JobRun.finished_at <= now)
    living = Playlist.status != "retired"
    parts = [
        _grouped("accounts", Account.health, Account.disconnected_at.is_(None)),
        _grouped("playlists", Playlist.status),
        _grouped("features", func.coalesce(Track.features_source, "unknown"), has_features),
        _grouped("features_missing", missing, ~has_features),
        _grouped("history_24h", PlaylistHistory.action, *happened),
        _grouped("queue", AlbumSource.status),
        _grouped("runs_24h", JobRun.status, *ended),
        _total("apps", func.count(SpotifyApp.id)),
        _total("apps_in_cooldown", func.count(SpotifyApp.id), SpotifyApp.cooldown_until > now),
        _total("albums", func.count(Album.id)),
        _total("artists", func.count(Artist.id)),
        _total("tracks", func.count(Track.id)),
        _total("tracks_unplayable", func.count(Track.id), Track.playable.is_(False)),
        _total("snapshots", func.count(PlaylistSnapshot.id)),
        _total("snapshots_24h", func.count(PlaylistSnapshot.id), *made),
        _total("playlists_due", func.count(Playlist.id), living, Playlist.next_reshuffle_at <= now),
        _total("deferred_playlists", func.count(Playlist.id), living, Playlist.sync_not_before > now),
        _total(
            "deferred_albums",
            func.count(AlbumSource.id),
            AlbumSource.status.in_(("queued", "failed")),
            AlbumSource.next_attempt_at > now,
        ),
        _total("deferred_features", func.count(Track.id), ~has_features, Track.features_retry_after > now),
        _total("calls_24h", func.coalesce(func.sum(ApiCalls.calls), 0), *calls),
        _total("calls_ok_24h", func.coalesce(func.sum(ApiCalls.ok), 0), *calls),
        _total("calls_limited_24h", func.coalesce(func.sum(ApiCalls.limited), 0), *calls),
        _total("calls_failed_24h", func.coalesce(func.sum(ApiCalls.failed), 0), *calls),
        _total("calls_waited_seconds_24h", _whole(func.sum(ApiCalls.waited_seconds)), *calls),
        _total("calls_minimum_24h", func.coalesce(func.sum(ApiCalls.minimum), 0), *calls),
    ]
    rows = session.execute(union_all(*parts))
    return [(what, group, int(number)) for what, group, number in rows]


def expired_tokens(session: Session, now: datetime) -> int:
    """Accounts in use whose access token no longer holds at ``now`` (aware UTC): nobody has refreshed it."""
    query = select(func.count()).where(Account.health != "quarantined", Account.expires_at <= now)
    return session.scalars(query).one()


def save_metrics(session: Session, captured_at: datetime, metrics: Mapping[str, int | float]) -> None:
    """Store the figures of one moment; those of the same moment are replaced."""
    row = insert(MetricSnapshot).values(captured_at=captured_at, metrics=dict(metrics))
    session.execute(
        row.on_conflict_do_update(
            index_elements=[MetricSnapshot.captured_at], set_={"metrics": row.excluded.metrics}
        )
    )


def metrics_since(session: Session, since: datetime) -> Sequence[tuple[datetime, dict[str, int | float]]]:
    """The snapshots since a time (aware UTC), oldest first."""
    query = (
        select(MetricSnapshot.captured_at, MetricSnapshot.metrics)
        .where(MetricSnapshot.captured_at >= since)
        .order_by(MetricSnapshot.captured_at)
    )
    return session.execute(query).tuples().all()


def newest_metrics(session: Session) -> tuple[datetime, dict[str, int | float]] | None:
    """The newest snapshot with its time; None where there is none yet."""
    query = (
        select(MetricSnapshot.captured_at, MetricSnapshot.metrics)
        .order_by(MetricSnapshot.captured_at.desc())
        .limit(1)
    )
    return session.execute(query).tuples().first()


_Counted = Select[tuple[str, str, int]]


def _grouped(what: str, column: SQLColumnExpression[str], *conditions: ColumnElement[bool]) -> _Counted:
    return select(literal(what), column, func.count()).where(*conditions).group_by(column)


def _whole(seconds: ColumnElement[float]) -> ColumnElement[int]:
    return cast(func.round(func.coalesce(seconds, 0)), BigInteger)


def _total(what: str, number: ColumnElement[int], *conditions: ColumnElement[bool]) -> _Counted:
    return select(literal(what), cast(null(), String), number).where(*conditions)
