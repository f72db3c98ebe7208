"""Albums, artists, tracks and audio features as they are stored and found again.

What belongs here: the writes of the catalogue's use cases, each in the caller's transaction, and the look-ups of
what is still to be done. What does not: the queue of URLs, turning Spotify's answers into rows.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, text, update
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Album, AlbumSource, Artist, Track, TrackArtist
from spotify_pipelines.store.upserts import UpsertCounts, upsert

__all__ = [
    "Row",
    "UnreadAlbum",
    "any_album",
    "confirm_albums",
    "first_pages",
    "mark_unplayable",
    "save_albums",
    "save_features",
    "save_missing_features",
    "save_tracks",
    "tracks_to_ask_for",
    "unread_albums",
]

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnreadAlbum:
    """An album whose tracks are not all stored; ``has_first_page``: what came with the album is kept still."""

    album_id: str
    total_tracks: int
    has_first_page: bool


def save_albums(session: Session, albums: Sequence[Row], artists: Sequence[Row]) -> UpsertCounts:
    """Store albums and the artists they credit; their tracks count as unread from then on."""
    # Artists before albums before tracks, in every writer: locks taken in one order can't deadlock.
    upsert(session, Artist, artists, key=["id"])
    return upsert(session, Album, ({**album, "tracks_read_at": None} for album in albums), key=["id"])


def confirm_albums(session: Session, album_ids: Collection[str], *, at: datetime) -> None:
    """These albums were read again at ``at`` and have not changed: nothing else is written."""
    session.execute(
        text(
            "UPDATE albums SET read_at = :at FROM (SELECT id FROM albums WHERE id = ANY(:ids) "
            'ORDER BY id COLLATE "C" FOR NO KEY UPDATE) AS read WHERE albums.id = read.id'
        ),
        {"ids": list(album_ids), "at": at},
    )


def any_album(session: Session) -> str | None:
    """The id of some album that is known; None where none is."""
    return session.scalar(select(Album.id).limit(1))


def unread_albums(
    session: Session, *, now: datetime, limit: int | None = None, only: Collection[str] | None = None
) -> list[UnreadAlbum]:
    """Albums whose tracks are to be read now; without those that the queue holds back after a failure."""
    held_back = exists().where(
        AlbumSource.album_id == Album.id,
        or_(
            AlbumSource.status == "dead",
            and_(AlbumSource.status == "failed", AlbumSource.next_attempt_at > now),
        ),
    )
    query = (
        select(Album.id, Album.total_tracks, Album.first_page.is_not(None))
        .where(Album.tracks_read_at.is_(None), ~held_back)
        .order_by(Album.id)
        .limit(limit)
    )
    if only is not None:
        query = query.where(Album.id.in_(only))
    return [UnreadAlbum(*row) for row in session.execute(query)]


def first_pages(session: Session, album_ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """The track entries that came with each album; an album without is left out."""
    query = select(Album.id, Album.first_page).where(Album.id.in_(album_ids), Album.first_page.is_not(None))
    return {album_id: page for album_id, page in session.execute(query).tuples() if page is not None}


def save_tracks(
    session: Session,
    album_ids: Collection[str],
    *,
    artists: Sequence[Row],
    tracks: Sequence[Row],
    track_artists: Sequence[Row],
    at: datetime,
) -> UpsertCounts:
    """Store all tracks of the albums with their credits, and mark the albums as read at ``at``.

    Credits that a track no longer has are deleted.
    """
    upsert(session, Artist, artists, key=["id"])
    counts = upsert(session, Track, tracks, key=["id"])
    _delete_former_credits(session, tracks, track_artists)
    upsert(session, TrackArtist, track_artists, key=["track_id", "artist_id"])
    session.execute(
        text(
            "UPDATE albums SET first_page = NULL, tracks_read_at = :at FROM "
            "(SELECT id FROM albums WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE) AS read "
            "WHERE albums.id = read.id"
        ),
        {"ids": list(album_ids), "at": at},
    )
    return counts


def tracks_to_ask_for(
    session: Session,
    *,
    now: datetime,
    limit: int | None = None,
    album_ids: Collection[str] | None = None,
    force: bool = False,
) -> list[str]:
    """Ids of tracks without features that may be asked for, never-asked ones first; ``force``: of all tracks."""
    query = select(Track.id).order_by(Track.features_retry_after.nulls_first(), Track.id).limit(limit)
    if not force:
        query = query.where(
            Track.audio_features.is_(None),
            or_(Track.features_retry_after.is_(None), Track.features_retry_after <= now),
        )
    if album_ids is not None:
        query = query.where(Track.album_id.in_(album_ids))
    return list(session.scalars(query))


def save_features(
    session: Session, found: Mapping[str, Mapping[str, float | int]], *, source: str, at: datetime
) -> None:
    """Store the features of tracks, by track id."""
    if not found:
        return
    _lock_tracks(session, found)
    session.execute(
        text(
            "UPDATE tracks SET audio_features = found.features, features_source = :source, "
            "features_fetched_at = :at, features_missing_reason = NULL, features_retry_after = NULL "
            "FROM unnest(CAST(:ids AS text[]), CAST(:features AS jsonb[])) AS found (id, features) "
            "WHERE tracks.id = found.id"
        ),
        {
            "ids": list(found),
            "features": [json.dumps(dict(values)) for values in found.values()],
            "source": source,
            "at": at,
        },
    )


def save_missing_features(session: Session, reasons: Mapping[str, str], *, retry_after: datetime) -> None:
    """Remember why tracks have no features and when to ask again; features that are known stay."""
    if not reasons:
        return
    _lock_tracks(session, reasons)
    session.execute(
        text(
            "UPDATE tracks SET features_missing_reason = missing.reason, features_retry_after = :retry_after "
            "FROM unnest(CAST(:ids AS text[]), CAST(:reasons AS text[])) AS missing (id, reason) "
            "WHERE tracks.id = missing.id AND tracks.audio_features IS NULL"
        ),
        {"ids": list(reasons), "reasons": list(reasons.values()), "retry_after": retry_after},
    )


def _delete_former_credits(session: Session, tracks: Sequence[Row], track_artists: Sequence[Row]) -> None:
    session.execute(
        text(
            "DELETE FROM track_artists AS former WHERE former.track_id = ANY(:tracks) AND NOT EXISTS ("
            "SELECT FROM unnest(CAST(:track_ids AS text[]), CAST(:artist_ids AS text[])) AS kept (track, artist) "
            "WHERE kept.track = former.track_id AND kept.artist = former.artist_id)"
        ),
        {
            "tracks": [track["id"] for track in tracks],
            "track_ids": [each["track_id"] for each in track_artists],
            "artist_ids": [each["artist_id"] for each in track_artists],
        },
    )


def _lock_tracks(session: Session, track_ids: Collection[str]) -> None:
    # In one order, as upserts do: an UPDATE takes its locks in whatever order the plan comes upon the rows.
    session.execute(
        select(func.count()).select_from(
            select(Track.id)
            .where(Track.id.in_(track_ids))
            .order_by(Track.id.collate("C"))
            .with_for_update(key_share=True)
            .subquery()
        )
    )


def mark_unplayable(session: Session, track_ids: Collection[str]) -> None:
    """Spotify takes these tracks into no playlist; said again by whoever reads them next."""
    session.execute(
        update(Track)
        .where(Track.id.in_(track_ids), Track.playable.is_distinct_from(False))
        .values(playable=False)
    )
