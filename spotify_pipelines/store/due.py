"""What is due now: the questions that sensors ask every few seconds.

Each is one query that a partial index answers, whatever the size of the tables. What does not belong here:
claiming the work (``queue``, ``leases``) or deciding what to do about it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from spotify_pipelines.store.accounts import not_held_back
from spotify_pipelines.store.calls import calls_today, midnight
from spotify_pipelines.store.tables import (
    Account,
    AlbumSource,
    Playlist,
    PlaylistSnapshot,
    Policy,
    SpotifyApp,
    Track,
)

__all__ = [
    "Due",
    "albums_due",
    "budget_until",
    "cooldown_until",
    "features_due",
    "playlists_due",
    "playlists_to_sync",
    "tokens_due",
]

_ENOUGH = 1_000
"""A sensor needs to know that there is work, not exactly how much: counting stops here."""


@dataclass(frozen=True, slots=True)
class Due:
    """How many items are due (counted up to 1,000), and since when the oldest and the latest one is."""

    count: int
    since: datetime | None
    latest: datetime | None

    @property
    def is_counted(self) -> bool:
        """Whether these are all of them."""
        return self.count < _ENOUGH

    def __str__(self) -> str:
        return f"{self.count}{'' if self.is_counted else '+'}"


def albums_due(session: Session, now: datetime) -> Due:
    """Queued albums whose next attempt may be made and that no run holds."""
    return _due(
        session,
        select(AlbumSource.next_attempt_at).where(
            AlbumSource.status.in_(("queued", "failed")),
            AlbumSource.next_attempt_at <= now,
            or_(AlbumSource.claimed_until.is_(None), AlbumSource.claimed_until <= now),
        ),
    )


def features_due(session: Session, now: datetime) -> Due:
    """Tracks without features that were never asked for, or may be asked for again."""
    return _due(
        session,
        select(Track.features_retry_after).where(
            Track.audio_features.is_(None),
            or_(Track.features_retry_after.is_(None), Track.features_retry_after <= now),
        ),
    )


def tokens_due(session: Session, now: datetime, within: timedelta) -> Due:
    """Accounts in use whose access token expires within ``within`` and whose app may call."""
    return _due(
        session,
        select(Account.expires_at)
        .join(SpotifyApp, SpotifyApp.id == Account.app_id)
        .where(
            not_held_back(now),
            Account.refresh_token.is_not(None),
            Account.expires_at <= now + within,
            _may_call(now),
        ),
    )


def playlists_due(session: Session, now: datetime) -> Due:
    """Playlists whose current cycle is over, that nobody locked, with a policy in force and an app that may call."""
    in_force = exists().where(Policy.name == Playlist.policy_name, Policy.active)
    return _due(
        session,
        select(Playlist.next_reshuffle_at)
        .join(Account, Account.id == Playlist.account_id)
        .join(SpotifyApp, SpotifyApp.id == Account.app_id)
        .where(
            Playlist.status != "retired",
            Playlist.locked_at.is_(None),
            Playlist.next_reshuffle_at <= now,
            in_force,
            _may_call(now),
        ),
    )


def playlists_to_sync(session: Session, now: datetime) -> Due:
    """Playlists with other tracks than Spotify confirmed, not put off any longer, and those to be read back.

    Nobody locked or paused them, their accounts are in use or due for a probe, and their apps may call and have calls
    left in their budgets.
    """
    may_be_worked_on = (
        Playlist.status != "retired",
        Playlist.locked_at.is_(None),
        Playlist.paused_at.is_(None),
        or_(Playlist.sync_not_before.is_(None), Playlist.sync_not_before <= now),
        or_(Account.health != "quarantined", Account.next_probe_at <= now),
        Account.app_id.not_in(_spent(session, now)),
        _may_call(now),
    )
    drawn = func.greatest(PlaylistSnapshot.created_at, Playlist.sync_not_before)
    differ = (
        select(drawn.label("since"))
        .select_from(Playlist)
        .join(PlaylistSnapshot, PlaylistSnapshot.id == Playlist.to_write_row)
        .join(Account, Account.id == Playlist.account_id)
        .join(SpotifyApp, SpotifyApp.id == Account.app_id)
        .where(
            Playlist.to_write_row.is_not(None),
            # A draw may come to what is there already: then there is nothing to write.
            PlaylistSnapshot.items_hash.is_distinct_from(Playlist.confirmed_items_hash),
            *may_be_worked_on,
        )
    )
    unsure = (
        select(Playlist.read_back_at.label("since"))
        .join(Account, Account.id == Playlist.account_id)
        .join(SpotifyApp, SpotifyApp.id == Account.app_id)
        .where(Playlist.read_back_at <= now, Playlist.spotify_id.is_not(None), *may_be_worked_on)
    )
    return _due(session, differ.union_all(unsure))


def _due(session: Session, items: Select[Any] | CompoundSelect[Any]) -> Due:
    """``items`` selects one column: since when each of them is due."""
    some = items.limit(_ENOUGH).subquery()
    (since,) = some.c
    return Due(
        *session.execute(select(func.count(), func.min(since), func.max(since)).select_from(some)).one()
    )


def _may_call(now: datetime) -> ColumnElement[bool]:
    return or_(SpotifyApp.cooldown_until.is_(None), SpotifyApp.cooldown_until <= now)


def _spent(session: Session, now: datetime) -> list[int]:
    """Apps whose budget for the day is spent; calls are summed up only where there is a budget at all."""
    budgets = dict(
        session.execute(
            select(SpotifyApp.id, SpotifyApp.calls_per_day).where(SpotifyApp.calls_per_day.is_not(None))
        )
        .tuples()
        .all()
    )
    used = calls_today(session, now) if budgets else {}
    return [app_id for app_id, budget in budgets.items() if used.get(app_id, 0) >= (budget or 0)]


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
