"""Bans that Spotify spoke, and the deadline that each app keeps because of them.

What belongs here: storing a ban as it was said, whom it holds back, and which are waited out. What does not:
telling a ban from a short limit (the client), obeying it (the client's gates).

A ban stays as a row for good. What is obeyed is the latest deadline, kept in the app's own row, where one look
before each call finds it; it only ever moves on.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Cooldown, SpotifyApp

__all__ = ["Ban", "bans", "inherit_cooldown", "save_cooldown"]

_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban that an app waits out; ``kind`` and what follows it as Spotify said it, where that is known."""

    app_id: int
    app: str
    developer_account: str | None
    until: datetime
    reason: str | None
    kind: str | None
    retry_after: str | None
    endpoint: str | None
    observed_at: datetime | None


def save_cooldown(
    session: Session,
    app_id: int,
    *,
    kind: str,
    until: datetime,
    observed_at: datetime,
    retry_after: str | None,
    endpoint: str | None,
    reason: str,
) -> list[str]:
    """Store a ban that an app met; no call of whom it holds back before ``until``, or a later deadline of theirs.

    A ``quota`` ban holds back every app of the developer account, a ``limit`` ban the app alone.

    Returns:
        The names of the apps that wait longer because of it.
    """
    developer = select(SpotifyApp.developer_account).where(SpotifyApp.id == app_id).scalar_subquery()
    reason = reason[:_LONGEST_REASON]
    session.add(
        Cooldown(
            app_id=app_id,
            developer_account=session.scalar(select(developer)),
            kind=kind,
            until=until,
            observed_at=observed_at,
            retry_after=retry_after,
            endpoint=endpoint,
            reason=reason,
        )
    )
    concerned = SpotifyApp.id == app_id
    if kind == "quota":
        concerned = or_(concerned, SpotifyApp.developer_account == developer)
    held = session.scalars(
        update(SpotifyApp)
        .where(concerned, or_(SpotifyApp.cooldown_until.is_(None), SpotifyApp.cooldown_until < until))
        .values(cooldown_until=until, cooldown_reason=reason)
        .returning(SpotifyApp.name)
        .execution_options(synchronize_session=False)
    )
    return sorted(held)


def inherit_cooldown(session: Session, app: SpotifyApp) -> None:
    """Let an app that has (newly) been said to be of a developer account keep that account's quota bans, too."""
    if app.developer_account is None:
        return
    longest = session.scalars(
        select(Cooldown)
        .where(Cooldown.kind == "quota", Cooldown.developer_account == app.developer_account)
        .order_by(Cooldown.until.desc())
        .limit(1)
    ).first()
    if longest and (app.cooldown_until is None or app.cooldown_until < longest.until):
        app.cooldown_until, app.cooldown_reason = longest.until, longest.reason


def bans(session: Session, now: datetime) -> list[Ban]:
    """The apps that may not call at ``now`` (aware UTC), with the ban that set each one's deadline, latest first."""
    said = and_(
        Cooldown.until == SpotifyApp.cooldown_until,
        or_(
            Cooldown.app_id == SpotifyApp.id,
            and_(Cooldown.kind == "quota", Cooldown.developer_account == SpotifyApp.developer_account),
        ),
    )
    # Several processes may have met the same ban: the first row tells it.
    rows = session.execute(
        select(
            SpotifyApp.id,
            SpotifyApp.name,
            SpotifyApp.developer_account,
            SpotifyApp.cooldown_until,
            func.coalesce(Cooldown.reason, SpotifyApp.cooldown_reason),
            Cooldown.kind,
            Cooldown.retry_after,
            Cooldown.endpoint,
            Cooldown.observed_at,
        )
        .outerjoin(Cooldown, said)
        .where(SpotifyApp.cooldown_until > now)
        .distinct(SpotifyApp.id)
        .order_by(SpotifyApp.id, Cooldown.id)
    )
    found = [Ban(*row) for row in rows]
    return sorted(found, key=lambda ban: (ban.until, ban.app), reverse=True)
