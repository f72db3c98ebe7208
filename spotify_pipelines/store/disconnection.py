"""Taking an account's personal data out of the database, and reading it for its owner first.

What belongs here: which columns of which tables hold something about the person, in one place. What does not: when
to do it, and what the person is told (``accounts.disconnect``). Rows stay where the history of playlists and figures
hang on them; drawn tracks are the catalogue's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, null, select, update
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import (
    Account,
    AccountEvent,
    Lease,
    Playlist,
    PlaylistHistory,
    PlaylistSnapshot,
    PlaylistSnapshotTrack,
    SyncIntent,
)

__all__ = ["account_events", "erase_account", "fence", "playlists_of"]


def account_events(session: Session, account_id: int, limit: int | None = None) -> list[dict[str, Any]]:
    """What happened to an account, newest first."""
    columns = (AccountEvent.at, AccountEvent.event, AccountEvent.health_before, AccountEvent.health_after)
    query = (
        select(*columns, AccountEvent.reason)
        .where(AccountEvent.account_id == account_id)
        .order_by(AccountEvent.id.desc())
        .limit(limit)
    )
    return [dict(row._mapping) for row in session.execute(query)]


def playlists_of(session: Session, account_id: int) -> list[dict[str, Any]]:
    """All that is stored of an account's playlists: what Spotify confirmed, the newest draw, the whole history."""
    playlists = session.scalars(
        select(Playlist).where(Playlist.account_id == account_id).order_by(Playlist.id)
    ).all()
    return [
        {
            "policy": playlist.policy_name,
            "sequence": playlist.sequence,
            "status": playlist.status,
            "spotify_id": playlist.spotify_id,
            "name": playlist.confirmed_name,
            "description": playlist.confirmed_description,
            "public": playlist.confirmed_public,
            "confirmed_at": playlist.confirmed_at,
            "created_at": playlist.created_at,
            "retired_at": playlist.retired_at,
            "tracks": _tracks(session, playlist.id),
            "history": _history(session, playlist.id),
        }
        for playlist in playlists
    ]


def _tracks(session: Session, playlist_id: int) -> Sequence[str]:
    newest = (
        select(func.max(PlaylistSnapshot.id))
        .where(PlaylistSnapshot.playlist_id == playlist_id)
        .scalar_subquery()
    )
    return session.scalars(
        select(PlaylistSnapshotTrack.track_id)
        .where(PlaylistSnapshotTrack.snapshot_id == newest)
        .order_by(PlaylistSnapshotTrack.position)
    ).all()


def _history(session: Session, playlist_id: int) -> list[dict[str, Any]]:
    columns = [
        getattr(PlaylistHistory, name) for name in ("at", "action", "reason", "before", "after", "calls")
    ]
    query = select(*columns).where(PlaylistHistory.playlist_id == playlist_id).order_by(PlaylistHistory.id)
    return [dict(row._mapping) for row in session.execute(query)]


def fence(session: Session, *names: str) -> None:
    """Take these leases away from whoever holds them: what they are about to write is refused."""
    session.execute(
        update(Lease).where(Lease.name.in_(names)).values(holder=None, expires_at=None, token=Lease.token + 1)
    )


def erase_account(session: Session, account_id: int, values: Mapping[str, Any], now: datetime) -> int:
    """Retire an account's playlists and erase what tells whose it was; how many playlists there were.

    Args:
        values: what the account's own columns are set to beside those that are emptied here.
    """
    own = Playlist.account_id == account_id
    ids = session.scalars(select(Playlist.id).where(own)).all()
    living = session.scalars(select(Playlist.id).where(own, Playlist.status != "retired")).all()
    # Histories let nothing be rewritten but this, and only until the transaction ends.
    session.execute(select(func.set_config("spotify_pipelines.erases_person", "yes", True)))
    session.execute(
        update(PlaylistHistory)
        .where(PlaylistHistory.playlist_id.in_(ids))
        # Names and descriptions that the owner gave, and what lay in playlists of theirs.
        .values(before=null(), after=null(), reason=None)
    )
    session.execute(
        update(PlaylistSnapshot)
        .where(PlaylistSnapshot.playlist_id.in_(ids))
        # The owner's own words, where an edit of theirs was adopted.
        .values(details=null())
    )
    session.execute(update(SyncIntent).where(SyncIntent.playlist_id.in_(ids)).values(spotify_id=None))
    session.execute(
        update(SyncIntent)
        .where(SyncIntent.playlist_id.in_(ids), SyncIntent.status.in_(("planned", "creating")))
        .values(status="abandoned", finished_at=now)
    )
    confirmed = [each.name for each in Playlist.__table__.columns if each.name.startswith("confirmed_")]
    session.execute(
        update(Playlist)
        .where(own)
        .values(
            status="retired",
            retired_at=func.coalesce(Playlist.retired_at, now),
            spotify_id=None,
            **dict.fromkeys(("sync_error", "lock_reason", "pause_reason", "read_back_at")),
            unfollow=False,
            **dict.fromkeys(confirmed),
        )
    )
    if living:
        session.execute(
            insert(PlaylistHistory),
            [
                {"playlist_id": id_, "at": now, "action": "retired", "reason": "its account was disconnected"}
                for id_ in living
            ],
        )
    session.execute(update(AccountEvent).where(AccountEvent.account_id == account_id).values(reason=None))
    emptied = dict.fromkeys(
        (
            *("access_token", "refresh_token", "spotify_account_id", "display_name", "expires_at"),
            *("refresh_sent_at", "authorized_at", "consent_ends_at", "next_probe_at", "max_playlists"),
        )
    )
    session.execute(update(Account).where(Account.id == account_id).values(**emptied, scopes=[], **values))
    return len(ids)
