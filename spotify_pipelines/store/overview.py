"""The fleet at a glance, as people are shown it after a run: each playlist with what it holds.

What belongs here: read-only queries for summaries. What does not: rendering (``cli``), decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Account, Playlist, PlaylistSnapshot

__all__ = ["PlaylistOverview", "playlist_overviews"]


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
