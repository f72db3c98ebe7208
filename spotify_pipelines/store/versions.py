"""What a playlist was at some time: its history and its snapshots, as people ask for them.

What belongs here: queries that return plain values. What does not: what the entries mean (``playlists.versions``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Playlist, PlaylistHistory, PlaylistSnapshot, Track

__all__ = [
    "HistoryEntry",
    "SnapshotRow",
    "history",
    "history_entry",
    "lock_playlist",
    "place_is_taken",
    "snapshot",
    "snapshots",
    "unplayable",
]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to a playlist."""

    id: int
    at: datetime
    action: str
    reason: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    calls: int
    run_id: str | None


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """What a playlist was to hold, tracks apart."""

    id: int
    policy_id: int
    cycle: int
    origin: str
    reason: str
    items_hash: str
    figures: dict[str, Any]
    details: dict[str, str | None] | None
    created_at: datetime
    published_at: datetime | None


def history(session: Session, playlist_id: int, *, limit: int | None = None) -> list[HistoryEntry]:
    """What happened to a playlist, newest first."""
    return _entries(session, select(*_ENTRY).where(PlaylistHistory.playlist_id == playlist_id).limit(limit))


def history_entry(session: Session, playlist_id: int, entry_id: int) -> HistoryEntry | None:
    """One entry of a playlist's history."""
    query = select(*_ENTRY).where(PlaylistHistory.playlist_id == playlist_id, PlaylistHistory.id == entry_id)
    return next(iter(_entries(session, query)), None)


def snapshot(session: Session, playlist_id: int, snapshot_id: int) -> SnapshotRow | None:
    """One snapshot of a playlist."""
    query = select(*_SNAPSHOT).where(
        PlaylistSnapshot.playlist_id == playlist_id, PlaylistSnapshot.id == snapshot_id
    )
    row = session.execute(query).one_or_none()
    return SnapshotRow(*row) if row else None


def snapshots(session: Session, playlist_id: int) -> list[SnapshotRow]:
    """All snapshots of a playlist, newest first."""
    query = (
        select(*_SNAPSHOT)
        .where(PlaylistSnapshot.playlist_id == playlist_id)
        .order_by(PlaylistSnapshot.id.desc())
    )
    return [SnapshotRow(*row) for row in session.execute(query)]


def unplayable(session: Session, track_ids: Collection[str]) -> set[str]:
    """Those of the tracks that are known not to play."""
    query = select(Track.id).where(Track.id.in_(track_ids), Track.playable.is_(False))
    return set(session.scalars(query))


def lock_playlist(session: Session, playlist_id: int) -> Playlist:
    """A playlist's row, which nobody else changes until the end of the transaction.

    Raises:
        sqlalchemy.exc.NoResultFound: there is none.
    """
    return session.scalars(select(Playlist).where(Playlist.id == playlist_id).with_for_update()).one()


def place_is_taken(session: Session, playlist: Playlist) -> bool:
    """Whether another playlist, not retired, has the place of this one."""
    query = select(Playlist.id).where(
        Playlist.account_id == playlist.account_id,
        Playlist.policy_name == playlist.policy_name,
        Playlist.sequence == playlist.sequence,
        Playlist.status != "retired",
        Playlist.id != playlist.id,
    )
    return session.scalar(query) is not None


_ENTRY = (
    PlaylistHistory.id,
    PlaylistHistory.at,
    PlaylistHistory.action,
    PlaylistHistory.reason,
    PlaylistHistory.before,
    PlaylistHistory.after,
    PlaylistHistory.calls,
    PlaylistHistory.run_id,
)
_SNAPSHOT: Sequence[Any] = (
    PlaylistSnapshot.id,
    PlaylistSnapshot.policy_id,
    PlaylistSnapshot.cycle,
    PlaylistSnapshot.origin,
    PlaylistSnapshot.reason,
    PlaylistSnapshot.items_hash,
    PlaylistSnapshot.figures,
    PlaylistSnapshot.details,
    PlaylistSnapshot.created_at,
    PlaylistSnapshot.published_at,
)


def _entries(session: Session, query: Any) -> list[HistoryEntry]:
    return [HistoryEntry(*row) for row in session.execute(query.order_by(PlaylistHistory.id.desc()))]
