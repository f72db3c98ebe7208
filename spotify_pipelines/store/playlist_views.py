"""Playlists as people are shown them: the list of all, and one with its tracks and figures.

What belongs here: queries for the command line and the UI. What does not: rows that use cases decide on
(``store.playlists``).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from spotify_pipelines.store.playlists import playlist_label
from spotify_pipelines.store.tables import (
    Account,
    Artist,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    Track,
    TrackArtist,
)

__all__ = [
    "PlaylistView",
    "SnapshotTrackView",
    "SnapshotView",
    "newest_snapshot_view",
    "playlist_views",
    "track_names",
]


@dataclass(frozen=True, slots=True)
class PlaylistView:
    """One playlist. ``name`` and ``synced_at`` are what Spotify last confirmed; ``in_sync``: its newest draw.

    Attributes:
        account_health: the health of its account.
        held_back: why nothing is written: ``locked`` or ``paused``, with the reason.
        drift: what was changed by hand last, and what was done about it; ``drift_at`` when that was found.
        edit_kept: whether Spotify holds what its owner made of it, until the next draw.
    """

    id: int
    label: str
    account: str
    policy: str
    status: str
    spotify_id: str | None
    name: str | None
    tracks: int | None
    in_sync: bool
    synced_at: datetime | None
    next_reshuffle_at: datetime | None
    deferred_until: datetime | None
    trouble: str | None
    account_health: str
    held_back: str | None
    drift: str | None
    drift_at: datetime | None
    edit_kept: bool


@dataclass(frozen=True, slots=True)
class SnapshotTrackView:
    """One track of a draw; ``relaxation`` says which rule gave way for it."""

    position: int
    track_id: str
    name: str | None
    artists: list[str]
    why: str
    relaxation: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """A playlist's newest draw."""

    id: int
    origin: str
    cycle: int
    draw: int
    reason: str
    seed: str
    algorithm: str
    drawn_at: datetime
    published_at: datetime | None
    figures: dict[str, Any]
    tracks: list[SnapshotTrackView]


def playlist_views(session: Session, *, retired: bool = False) -> list[PlaylistView]:
    """All playlists by account and policy; retired ones only if asked for."""
    newest = (
        select(
            PlaylistSnapshot.id,
            PlaylistSnapshot.items_hash,
            PlaylistSnapshot.figures["tracks"].as_integer().label("tracks"),
        )
        .where(PlaylistSnapshot.playlist_id == Playlist.id)
        .order_by(PlaylistSnapshot.id.desc())
        .limit(1)
        .lateral("newest")
    )
    drift = (
        select(
            PlaylistHistory.at,
            PlaylistHistory.reason,
            PlaylistHistory.after["response"].as_string().label("response"),
        )
        .where(PlaylistHistory.playlist_id == Playlist.id, PlaylistHistory.action == "drift found")
        .order_by(PlaylistHistory.at.desc())
        .limit(1)
        .lateral("drift")
    )
    query = (
        select(
            Playlist,
            Account.name,
            Account.health,
            newest.c.id,
            newest.c.items_hash,
            newest.c.tracks,
            drift.c.at,
            drift.c.reason,
            drift.c.response,
        )
        .join(Account, Account.id == Playlist.account_id)
        .outerjoin(newest, true())
        .outerjoin(drift, true())
        .where(true() if retired else Playlist.status != "retired")
        .order_by(Account.name, Playlist.policy_name, Playlist.sequence, Playlist.id)
    )
    return [
        PlaylistView(
            id=row.id,
            label=playlist_label(row.policy_name, row.sequence, account),
            account=account,
            policy=row.policy_name,
            status=row.status,
            spotify_id=row.spotify_id,
            name=row.confirmed_name,
            tracks=tracks,
            in_sync=items_hash is not None and items_hash == row.confirmed_items_hash,
            synced_at=row.confirmed_at,
            next_reshuffle_at=row.next_reshuffle_at,
            deferred_until=row.sync_not_before,
            trouble=row.sync_error,
            account_health=health,
            held_back=_held_back(row),
            drift=f"{what} ({response})" if what and response else what,
            drift_at=drift_at,
            edit_kept=snapshot_id is not None and row.kept_snapshot_row == snapshot_id,
        )
        for (
            row,
            account,
            health,
            snapshot_id,
            items_hash,
            tracks,
            drift_at,
            what,
            response,
        ) in session.execute(query)
    ]


def track_names(session: Session, track_ids: Collection[str]) -> dict[str, str]:
    """Names of the tracks that are known, by id."""
    query = select(Track.id, Track.name).where(Track.id.in_(track_ids))
    return dict(session.execute(query).tuples().all())


def _held_back(row: Playlist) -> str | None:
    for since, state, reason in (
        (row.locked_at, "locked", row.lock_reason),
        (row.paused_at, "paused", row.pause_reason),
    ):
        if since is not None:
            return f"{state}: {reason}" if reason else state
    return None


def newest_snapshot_view(session: Session, playlist_id: int) -> SnapshotView | None:
    """A playlist's newest draw with its tracks in order; None where it was never drawn."""
    snapshot = session.scalar(
        select(PlaylistSnapshot)
        .where(PlaylistSnapshot.playlist_id == playlist_id)
        .order_by(PlaylistSnapshot.id.desc())
        .limit(1)
    )
    if snapshot is None:
        return None
    return SnapshotView(
        id=snapshot.id,
        origin=snapshot.origin,
        cycle=snapshot.cycle,
        draw=snapshot.draw,
        reason=snapshot.reason,
        seed=snapshot.seed,
        algorithm=snapshot.algorithm,
        drawn_at=snapshot.created_at,
        published_at=snapshot.published_at,
        figures=snapshot.figures,
        tracks=_tracks(session, snapshot.id),
    )


def _tracks(session: Session, snapshot_row: int) -> list[SnapshotTrackView]:
    name = func.coalesce(Artist.name, TrackArtist.artist_id)
    artists = (
        select(func.array_agg(aggregate_order_by(name, TrackArtist.position)))
        .select_from(TrackArtist)
        .outerjoin(Artist, Artist.id == TrackArtist.artist_id)
        .where(TrackArtist.track_id == PlaylistSnapshotTrack.track_id)
        .scalar_subquery()
    )
    query = (
        select(PlaylistSnapshotTrack, Track.name, artists)
        .outerjoin(Track, Track.id == PlaylistSnapshotTrack.track_id)
        .where(PlaylistSnapshotTrack.snapshot_id == snapshot_row)
        .order_by(PlaylistSnapshotTrack.position)
    )
    return [
        SnapshotTrackView(row.position, row.track_id, title, list(names or ()), row.why, row.relaxation)
        for row, title, names in session.execute(query)
    ]
