"""Disconnecting: an account's tokens and personal data leave the database; its owner may take the data along.

What belongs here: the use case and the form of the export. What does not: which columns are personal
(``store.disconnection``), asking the person (the command line). What is on Spotify stays there: its playlists are
the owner's, and the consent is withdrawn by the owner, in Spotify's account settings.
"""

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.orm import Session

from spotify_pipelines.accounts.health import HealthState, Outcome
from spotify_pipelines.accounts.incidents import leave_incident
from spotify_pipelines.accounts.registry import account_standings, load_account
from spotify_pipelines.store import disconnection as store
from spotify_pipelines.store.incidents import lock_app
from spotify_pipelines.store.tables import AccountEvent

__all__ = ["disconnect_account", "export_account"]

_log = structlog.get_logger(__name__)
_EXPORT_VERSION = 1


def export_account(session: Session, account_id: int, now: datetime) -> dict[str, Any]:
    """All that is stored about an account but its tokens, ready for JSON (times as ``datetime``).

    Raises:
        RegistryError: there is no such account.
    """
    row = load_account(session, account_id)
    [standing] = account_standings(session, now, [account_id])
    return {
        "version": _EXPORT_VERSION,
        "exported_at": now,
        "account": {
            "name": row.name,
            "app": standing.app,
            "spotify_user_id": row.spotify_user_id,
            "spotify_account_id": row.spotify_account_id,
            "display_name": row.display_name,
            "connected_at": row.created_at,
            "authorized_at": row.authorized_at,
            "consent_ends_at": row.consent_ends_at,
            "scopes": row.scopes,
        },
        "events": store.account_events(session, account_id),
        "playlists": store.playlists_of(session, account_id),
    }


def disconnect_account(session: Session, account_id: int, now: datetime, *, run_id: str | None = None) -> int:
    """Erase an account's tokens and personal data, and retire its playlists; how many it had.

    A run that is at work on it at this moment writes nothing more, but a call that it has sent is not called back.
    The history of its playlists keeps what happened and when, without names.

    Raises:
        RegistryError: there is no such account.
    """
    app_id = load_account(session, account_id).app_id
    lock_app(session, app_id)
    store.fence(session, f"refresh:account:{account_id}", f"sync account {account_id}")
    account = load_account(session, account_id, lock=True)
    leave_incident(session, account, now)
    session.flush()
    playlists = store.erase_account(
        session,
        account_id,
        {
            "name": f"disconnected account {account_id}",
            "spotify_user_id": f"disconnected:{account_id}",
            "health": HealthState.QUARANTINED.value,
            "health_reason": Outcome.DISCONNECTED.value,
            "health_since": now,
            "failures": 1,
            "disconnected_at": now,
        },
        now,
    )
    session.add(AccountEvent(account_id=account_id, at=now, event="disconnected", run_id=run_id))
    _log.info("account.disconnected", account_id=account_id, playlists=playlists)
    return playlists
