"""Intents to create a playlist: written and committed before the call, so that no crash makes a second one.

What belongs here: the statements that move an intent through its states. What does not: when they are due, the
call itself (``spotify_pipelines.playlists.lane``) and markers' form (``templates``).
"""

from datetime import datetime

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import SyncIntent

__all__ = ["abandon", "finish", "mark_refused", "mark_sent", "mark_unanswered", "open_intent"]


def open_intent(session: Session, playlist_id: int, marker: str) -> int:
    """A new intent, of which nothing was sent yet; returns its id.

    Raises:
        sqlalchemy.exc.IntegrityError: the playlist has an open intent already.
    """
    row = session.scalar(
        insert(SyncIntent)
        .values(playlist_id=playlist_id, marker=marker, status="planned")
        .returning(SyncIntent.id)
    )
    assert row is not None  # noqa: S101 - RETURNING of one inserted row
    return row


def mark_sent(session: Session, intent_id: int, sent_at: datetime) -> None:
    """The creation is sent (once more) right after the commit."""
    session.execute(
        update(SyncIntent)
        .where(SyncIntent.id == intent_id)
        .values(status="creating", sent_at=sent_at, attempts=SyncIntent.attempts + 1)
    )


def mark_unanswered(session: Session, intent_id: int, at: datetime) -> None:
    """The creation's answer was lost at ``at``: until then it may still have taken effect."""
    session.execute(update(SyncIntent).where(SyncIntent.id == intent_id).values(sent_at=at))


def mark_refused(session: Session, intent_id: int, earlier_sent_at: datetime | None) -> None:
    """The last creation surely had no effect; only an ``earlier`` one may still turn up."""
    session.execute(
        update(SyncIntent)
        .where(SyncIntent.id == intent_id)
        .values(status="creating" if earlier_sent_at else "planned", sent_at=earlier_sent_at)
    )


def finish(session: Session, intent_id: int, spotify_id: str, at: datetime) -> None:
    """The playlist exists, and this is its id."""
    session.execute(
        update(SyncIntent)
        .where(SyncIntent.id == intent_id)
        .values(status="created", spotify_id=spotify_id, finished_at=at)
    )


def abandon(session: Session, playlist_id: int, at: datetime) -> None:
    """What was created or intended for this playlist is gone: its markers count no more."""
    session.execute(
        update(SyncIntent)
        .where(SyncIntent.playlist_id == playlist_id, SyncIntent.status != "abandoned")
        .values(status="abandoned", finished_at=at)
    )
