"""What contradicts an installation's promises about its catalogue and accounts: one query for each.

What belongs here: finding it, with the first few to show. What does not: draws (``draw_faults``), playlists that
differ from Spotify's (``playlists.divergence``), how anything is shown (``defs.checks``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from spotify_pipelines.store.queue import retry_delay
from spotify_pipelines.store.tables import Account, Album, AlbumSource, Track, TrackArtist

__all__ = [
    "DeadLetter",
    "ExpiredToken",
    "FeaturesCoverage",
    "IncompleteTrack",
    "IncompleteTracks",
    "expired_tokens",
    "features_coverage",
    "incomplete_tracks",
    "new_dead_letters",
]

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class IncompleteTrack:
    """A track that lacks its album or any artist."""

    track_id: str
    name: str
    lacks: str


@dataclass(frozen=True, slots=True)
class IncompleteTracks:
    """How many of ``all`` tracks lack something, and the first ones."""

    number: int
    all: int
    first: tuple[IncompleteTrack, ...]


@dataclass(frozen=True, slots=True)
class FeaturesCoverage:
    """For how many tracks a source was asked for features, and how many of them it knew."""

    tracks: int
    asked: int
    known: int

    @property
    def share(self) -> float:
        """Part of the tracks asked for (0 to 1) whose features are known; 1 where none was asked for."""
        return self.known / self.asked if self.asked else 1.0


@dataclass(frozen=True, slots=True)
class ExpiredToken:
    """An account in use whose access token is of no use any more; None: it never had one."""

    account: str
    health: str
    reason: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An album that is not tried again by itself."""

    album_id: str
    url: str
    kind: str | None
    error: str | None
    died_at: datetime


def incomplete_tracks(session: Session) -> IncompleteTracks:
    """Tracks without an artist or an album."""
    no_album = ~exists().where(Album.id == Track.album_id)
    no_artist = ~exists().where(TrackArtist.track_id == Track.id)
    # Two passes, for an "or" of the two would be looked up row by row.
    number, rows = 0, []
    for lacks, condition in (("album", no_album), ("artist", no_artist)):
        query = select(Track.id, Track.name, func.count().over()).where(condition).order_by(Track.id)
        found = session.execute(query.limit(_SHOWN)).all()
        number += found[0][2] if found else 0
        rows += [IncompleteTrack(id_, name, lacks) for id_, name, _ in found]
    tracks = session.scalars(select(func.count()).select_from(Track)).one() if number else 0
    return IncompleteTracks(number, tracks, tuple(rows[:_SHOWN]))


def features_coverage(session: Session) -> FeaturesCoverage:
    """How much of the catalogue has audio features."""
    known = Track.audio_features.is_not(None)
    asked = or_(known, Track.features_missing_reason.is_not(None))
    query: Any = select(func.count(), func.count().filter(asked), func.count().filter(known)).select_from(
        Track
    )
    return FeaturesCoverage(*session.execute(query).one())


def expired_tokens(session: Session, now: datetime) -> Sequence[ExpiredToken]:
    """Accounts in use whose token has expired; quarantined ones wait for a person anyway."""
    query = (
        select(Account.name, Account.health, Account.health_reason, Account.expires_at)
        .where(
            Account.health != "quarantined",
            Account.refresh_token.is_not(None),
            or_(Account.expires_at.is_(None), Account.expires_at <= now),
        )
        .order_by(Account.expires_at.asc().nulls_first(), Account.name)
    )
    return [ExpiredToken(*row) for row in session.execute(query)]


def new_dead_letters(session: Session, since: datetime) -> Sequence[DeadLetter]:
    """Albums that became dead letters after ``since``, the newest first."""
    # When is not stored, but when the next try would have been: no earlier than five minutes later.
    query = select(AlbumSource).where(AlbumSource.status == "dead", AlbumSource.next_attempt_at > since)
    letters = [
        DeadLetter(
            row.album_id, row.url, row.error_kind, row.error, row.next_attempt_at - _until_next_try(row)
        )
        for row in session.scalars(query)
    ]
    return sorted(
        (letter for letter in letters if letter.died_at > since), key=lambda each: each.died_at, reverse=True
    )


def _until_next_try(row: AlbumSource) -> timedelta:
    return retry_delay(max(row.attempts, 1))
