"""The fleet at a glance, as people are shown it after a run: each playlist with what it holds.

What belongs here: read-only queries for summaries. What does not: rendering (``cli``), decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import Date, case, cast, func, or_, select
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Account, Album, AlbumSource, Playlist, PlaylistSnapshot

__all__ = [
    "PlaylistHealth",
    "PlaylistOverview",
    "albums_by_day",
    "newest_albums",
    "newest_playlists",
    "playlist_health",
    "playlist_overviews",
]


@dataclass(frozen=True, slots=True)
class PlaylistOverview:
    """One playlist that is not retired, with the figures of its newest snapshot (None: never drawn)."""

    account: str
    policy: str
    sequence: int
    status: str
    spotify_id: str | None
    name: str | None
    figures: dict[str, Any] | None


def playlist_overviews(session: Session) -> Sequence[PlaylistOverview]:
    """All playlists in use, by account and policy."""
    newest = (
        select(PlaylistSnapshot.playlist_id, func.max(PlaylistSnapshot.id).label("id"))
        .group_by(PlaylistSnapshot.playlist_id)
        .subquery()
    )
    query = (
        select(
            Account.name,
            Playlist.policy_name,
            Playlist.sequence,
            Playlist.status,
            Playlist.spotify_id,
            Playlist.confirmed_name,
            PlaylistSnapshot.figures,
        )
        .join(Account, Account.id == Playlist.account_id)
        .outerjoin(newest, newest.c.playlist_id == Playlist.id)
        .outerjoin(PlaylistSnapshot, PlaylistSnapshot.id == newest.c.id)
        .where(Playlist.status != "retired")
        .order_by(Account.name, Playlist.policy_name, Playlist.sequence)
    )
    return [PlaylistOverview(*row) for row in session.execute(query)]


class PlaylistHealth(StrEnum):
    """What a playlist's state comes to, for a person; the first that holds."""

    QUARANTINED = "account in quarantine"
    PAUSED = "locked or paused"
    NEVER_DRAWN = "not drawn yet"
    DEFERRED = "put off"
    FAILING = "last write failed"
    WAITING = "to be written"
    FINE = "as it should be"


def playlist_health(session: Session) -> dict[PlaylistHealth, int]:
    """How many playlists in use are in which state, in the order of the states; none is absent."""
    state = case(
        (Account.health == "quarantined", PlaylistHealth.QUARANTINED.value),
        (
            or_(Playlist.locked_at.is_not(None), Playlist.paused_at.is_not(None)),
            PlaylistHealth.PAUSED.value,
        ),
        (Playlist.newest_snapshot_row.is_(None), PlaylistHealth.NEVER_DRAWN.value),
        (Playlist.sync_not_before > func.now(), PlaylistHealth.DEFERRED.value),
        (Playlist.sync_failures > 0, PlaylistHealth.FAILING.value),
        (Playlist.to_write_row.is_not(None), PlaylistHealth.WAITING.value),
        else_=PlaylistHealth.FINE.value,
    ).label("state")
    query = (
        select(state, func.count())
        .select_from(Playlist)
        .join(Account, Account.id == Playlist.account_id)
        .where(Playlist.status != "retired")
        .group_by("state")
    )
    found = dict(session.execute(query).tuples().all())
    return {each: found.get(each.value, 0) for each in PlaylistHealth}


def newest_playlists(session: Session, limit: int) -> list[tuple[str, str]]:
    """Spotify id and name of the playlists that were confirmed last, the newest first."""
    query = (
        select(Playlist.spotify_id, func.coalesce(Playlist.confirmed_name, ""))
        .where(Playlist.status != "retired", Playlist.spotify_id.is_not(None))
        .order_by(Playlist.confirmed_at.desc().nulls_last(), Playlist.id)
        .limit(limit)
    )
    return [(str(id_), name) for id_, name in session.execute(query)]


def newest_albums(session: Session, limit: int) -> list[tuple[str, str]]:
    """Id and name of the albums that were read last, the newest first."""
    query = select(Album.id, Album.name).order_by(Album.read_at.desc(), Album.id).limit(limit)
    return [(id_, name) for id_, name in session.execute(query)]


def albums_by_day(session: Session) -> list[tuple[date, int]]:
    """How many of the albums in the catalogue were asked for on which day (UTC), days rising."""
    day = cast(func.timezone("UTC", AlbumSource.added_at), Date)
    query = select(day, func.count()).where(AlbumSource.status == "ingested").group_by(day).order_by(day)
    return [(each, number) for each, number in session.execute(query)]
