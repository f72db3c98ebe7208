"""Rows of the incidents of apps: found, locked and written within the caller's transaction.

What belongs here: SQL. What does not: what is an incident, and when it is tried again (``accounts.breaker``).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import AppIncident, SpotifyApp

__all__ = ["hold_back", "lock_app", "open_incident", "open_incidents"]


def lock_app(session: Session, app_id: int) -> str:
    """Let one process at a time decide about the app's incident; the app's name."""
    return session.execute(
        select(SpotifyApp.name).where(SpotifyApp.id == app_id).with_for_update(key_share=True)
    ).scalar_one()


def open_incident(session: Session, app_id: int) -> AppIncident | None:
    """The app's incident that is going on, read anew."""
    return session.scalar(
        select(AppIncident)
        .where(AppIncident.app_id == app_id, AppIncident.ended_at.is_(None))
        .execution_options(populate_existing=True)
    )


def open_incidents(session: Session) -> Sequence[AppIncident]:
    """All that are going on, the oldest first."""
    query = select(AppIncident).where(AppIncident.ended_at.is_(None))
    return session.scalars(query.order_by(AppIncident.began_at, AppIncident.id)).all()


def hold_back(session: Session, app_id: int, until: datetime, reason: str) -> None:
    """No call of the app before ``until``, in any process; a later deadline stays."""
    session.execute(
        update(SpotifyApp)
        .where(
            SpotifyApp.id == app_id,
            or_(SpotifyApp.cooldown_until.is_(None), SpotifyApp.cooldown_until < until),
        )
        .values(cooldown_until=until, cooldown_reason=reason)
        .execution_options(synchronize_session=False)
    )
