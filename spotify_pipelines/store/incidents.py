"""Rows of mass refusals: found, locked and written within the caller's transaction.

What belongs here: SQL. What does not: when refusals are an incident, and what follows (``accounts``).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Account, ConsentIncident, SpotifyApp

__all__ = [
    "connected_accounts",
    "last_confirmed_at",
    "lock_app",
    "lost_since",
    "open_incident",
    "open_incidents",
]


def lock_app(session: Session, app_id: int) -> None:
    """Let one process at a time decide about the app's incidents; taken before any account's row is locked."""
    session.execute(
        select(SpotifyApp.id).where(SpotifyApp.id == app_id).with_for_update(key_share=True)
    ).one_or_none()


def open_incident(session: Session, app_id: int) -> ConsentIncident | None:
    """The app's incident that is going on, read anew."""
    return session.scalar(
        select(ConsentIncident)
        .where(ConsentIncident.app_id == app_id, ConsentIncident.ended_at.is_(None))
        .execution_options(populate_existing=True)
    )


def open_incidents(session: Session) -> dict[int, ConsentIncident]:
    """All incidents that are going on, by app."""
    rows = session.scalars(select(ConsentIncident).where(ConsentIncident.ended_at.is_(None)))
    return {row.app_id: row for row in rows}


def last_confirmed_at(session: Session, app_id: int) -> datetime | None:
    """When a person last confirmed that the app's consents were really gone."""
    return session.scalar(
        select(func.max(ConsentIncident.ended_at)).where(
            ConsentIncident.app_id == app_id, ConsentIncident.ending == "confirmed"
        )
    )


def lost_since(session: Session, app_id: int, since: datetime) -> Sequence[tuple[int, datetime]]:
    """Accounts of the app whose consent was lost after ``since`` and still is, and when."""
    rows = session.execute(
        select(Account.id, Account.health_since).where(
            Account.app_id == app_id,
            Account.health == "quarantined",
            Account.health_reason == "authorization_lost",
            Account.health_since > since,
        )
    )
    return rows.tuples().all()


def connected_accounts(session: Session, app_id: int) -> int:
    """How many accounts the app has that could be refreshed."""
    return (
        session.scalar(
            select(func.count(Account.id)).where(Account.app_id == app_id, Account.refresh_token.is_not(None))
        )
        or 0
    )
