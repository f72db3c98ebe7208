"""Rows that hold sealed secrets: walked in batches and replaced one by one.

What belongs here: SQL over sealed bytes. What does not: opening or sealing them (``accounts.keys``).
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Account, SpotifyApp

__all__ = ["accounts_with_secrets", "apps_with_secrets"]


def apps_with_secrets(session: Session) -> Sequence[int]:
    """Ids of apps that have a sealed client secret."""
    return session.scalars(
        select(SpotifyApp.id).where(SpotifyApp.client_secret.is_not(None)).order_by(SpotifyApp.id)
    ).all()


def accounts_with_secrets(session: Session) -> Sequence[int]:
    """Ids of accounts that have sealed tokens."""
    has_any = Account.refresh_token.is_not(None) | Account.access_token.is_not(None)
    return session.scalars(select(Account.id).where(has_any).order_by(Account.id)).all()
