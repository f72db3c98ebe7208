"""What is due now: the questions that sensors ask every few seconds.

Each is one query that a partial index answers, whatever the size of the tables. What does not belong here:
claiming the work (``queue``, ``leases``) or deciding what to do about it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from spotify_pipelines.store.accounts import not_held_back
from spotify_pipelines.store.calls import calls_today, midnight
from spotify_pipelines.store.tables import Account, AlbumSource, Playlist, SpotifyApp, Track

__all__ = [
    "Due",
    "albums_due",
    "budget_until",
    "cooldown_until",
    "features_due",
    "playlists_due",
    "tokens_due",
]

_ENOUGH = 1_000
"""A sensor needs to know that there is work, not exactly how much: counting stops here."""


@dataclass(frozen=True, slots=True)
class Due:
    """How many items are due (counted up to 1,000), and since when the oldest one is."""

    count: int
    since: datetime | None

    def __str__(self) -> str:
        return f"{self.count}{'+' if self.count >= _ENOUGH else ''}"


def _due(
    session: Session,
    since: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
    condition: ColumnElement[bool],
) -> Due:
    some = select(since.label("since")).where(condition).limit(_ENOUGH).subquery()
    count, oldest = session.execute(select(func.count(), func.min(some.c.since)).select_from(some)).one()
    return Due(count, oldest)


def albums_due(session: Session, now: datetime) -> Due:
    """Queued albums whose next attempt may be made and that no run holds."""
    return _due(
        session,
        AlbumSource.next_attempt_at,
        and_(
            AlbumSource.status.in_(("queued", "failed")),
            AlbumSource.next_attempt_at <= now,
            or_(AlbumSource.claimed_until.is_(None), AlbumSource.claimed_until <= now),
        ),
    )


def features_due(session: Session, now: datetime) -> Due:
    """Tracks without features that were never asked for, or may be asked for again."""
    return _due(
        session,
        Track.features_retry_after,
        and_(
            Track.audio_features.is_(None),
            or_(Track.features_retry_after.is_(None), Track.features_retry_after <= now),
        ),
    )


def tokens_due(session: Session, now: datetime, within: timedelta) -> Due:
    """Accounts in use whose access token expires within ``within``."""
    return _due(
        session,
        Account.expires_at,
        and_(
            not_held_back(now),
            Account.refresh_token.is_not(None),
            Account.expires_at <= now + within,
        ),
    )


def playlists_due(session: Session, now: datetime) -> Due:
    """Playlists whose current cycle is over and that nobody locked."""
    return _due(
        session,
        Playlist.next_reshuffle_at,
        and_(Playlist.status != "retired", Playlist.locked_at.is_(None), Playlist.next_reshuffle_at <= now),
    )


def budget_until(session: Session, now: datetime) -> datetime | None:
    """When albums may be read again, where every app that may call has spent its budget; None where one has not."""
    used = calls_today(session, now)
    apps = session.execute(
        select(SpotifyApp.id, SpotifyApp.calls_per_day).where(
            or_(SpotifyApp.cooldown_until.is_(None), SpotifyApp.cooldown_until <= now)
        )
    ).all()
    spent = [budget is not None and used.get(app_id, 0) >= budget for app_id, budget in apps]
    return midnight(now, days=1) if spent and all(spent) else None


def cooldown_until(session: Session, now: datetime) -> datetime | None:
    """When Spotify may be called again, where every app is in a cooldown; None where one may be called now."""
    total, cooling, first = session.execute(
        select(
            func.count(),
            func.count().filter(SpotifyApp.cooldown_until > now),
            func.min(SpotifyApp.cooldown_until).filter(SpotifyApp.cooldown_until > now),
        )
    ).one()
    return first if total and cooling == total else None
