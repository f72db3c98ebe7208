"""Queries on apps, accounts and what happened to them.

What belongs here: finding, locking and changing rows, each a short statement in the caller's transaction.
What does not: sealing secrets, health, or any other decision (``accounts``).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, cast, exists, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Account, ConsentIncident, LearnedLimit, SpotifyApp

__all__ = [
    "accounts",
    "accounts_per_app",
    "app_ids_by_account",
    "app_named",
    "apps",
    "connected_account",
    "expiring_accounts",
    "learned_limit",
    "learned_limits",
    "name_is_taken",
    "not_held_back",
    "put_capability",
    "put_learned_limit",
]


def apps(session: Session) -> Sequence[SpotifyApp]:
    """All apps, by name."""
    return session.scalars(select(SpotifyApp).order_by(SpotifyApp.name)).all()


def app_named(session: Session, name: str) -> SpotifyApp | None:
    """The app that operators call ``name``."""
    return session.scalar(select(SpotifyApp).where(SpotifyApp.name == name))


def accounts(session: Session, account_ids: Sequence[int] = ()) -> Sequence[Account]:
    """These accounts, or all, by name; those that were disconnected are gone."""
    connected = Account.disconnected_at.is_(None)
    return session.scalars(select(Account).where(connected, _among(account_ids)).order_by(Account.name)).all()


def app_ids_by_account(session: Session) -> dict[int, int]:
    """Which app each account is connected through."""
    return dict(session.execute(select(Account.id, Account.app_id)).tuples().all())


def accounts_per_app(session: Session) -> dict[int, int]:
    """How many accounts are connected through each app that has any."""
    connected = Account.disconnected_at.is_(None)
    counted = select(Account.app_id, func.count()).where(connected).group_by(Account.app_id)
    return dict(session.execute(counted).tuples().all())


def connected_account(
    session: Session, app_id: int, spotify_user_id: str, spotify_account_id: str | None
) -> Account | None:
    """The account of a Spotify user on an app, locked; found by the key that never changes where that is known."""
    same_user = Account.spotify_user_id == spotify_user_id
    if spotify_account_id is not None:
        same_user = or_(
            Account.spotify_account_id == spotify_account_id,
            and_(same_user, Account.spotify_account_id.is_(None)),
        )
    return session.scalar(select(Account).where(Account.app_id == app_id, same_user).with_for_update())


def name_is_taken(session: Session, name: str) -> bool:
    """Whether an account is called ``name``."""
    return session.scalar(select(Account.id).where(Account.name == name)) is not None


def expiring_accounts(
    session: Session,
    *,
    before: datetime,
    now: datetime,
    sent_before: datetime,
    account_ids: Sequence[int] = (),
    force: bool = False,
    limit: int | None = None,
) -> Sequence[Account]:
    """Accounts whose access token expires up to ``before``, soonest first; with ``force``, whenever it does.

    Quarantined ones only once their probe is due, of those in an incident the one whose turn it is (with ``force``,
    all of them), and none whose last refresh was sent after ``sent_before`` and has had no answer.
    """
    expiring = or_(Account.expires_at.is_(None), Account.expires_at <= before)
    in_use = or_(not_held_back(now), and_(Account.health == "quarantined", Account.next_probe_at <= now))
    return session.scalars(
        select(Account)
        .where(
            Account.refresh_token.is_not(None),
            or_(Account.refresh_sent_at.is_(None), Account.refresh_sent_at <= sent_before),
            _among(account_ids),
            true() if force else and_(expiring, in_use),
        )
        .order_by(Account.expires_at.asc().nulls_first(), Account.id)
        .limit(limit)
    ).all()


def not_held_back(now: datetime) -> ColumnElement[bool]:
    """Neither quarantined, nor in an incident in which it is another one's turn."""
    members, place = ConsentIncident.account_ids, ConsentIncident.probes
    prober = func.coalesce(members[place % func.nullif(func.cardinality(members), 0) + 1], 0)
    its_turn = exists().where(
        ConsentIncident.ended_at.is_(None), ConsentIncident.next_probe_at <= now, prober == Account.id
    )
    return and_(
        Account.health != "quarantined", or_(Account.health_reason.is_distinct_from("incident"), its_turn)
    )


def put_capability(session: Session, app_id: int, capability: str, finding: dict[str, Any]) -> None:
    """Store what was found out about one capability of an app, beside the others."""
    session.execute(
        update(SpotifyApp)
        .where(SpotifyApp.id == app_id)
        .values(capabilities=SpotifyApp.capabilities.op("||")(cast({capability: finding}, JSONB)))
        .execution_options(synchronize_session=False)
    )


def learned_limit(session: Session, app_id: int) -> LearnedLimit | None:
    """What was learned about the app's rate limit."""
    return session.get(LearnedLimit, app_id)


def learned_limits(session: Session) -> dict[int, LearnedLimit]:
    """What was learned about rate limits, by app."""
    return {row.app_id: row for row in session.scalars(select(LearnedLimit))}


def put_learned_limit(
    session: Session,
    app_id: int,
    *,
    calls_per_30s: float,
    mode: str,
    probed_from: float | None,
    probe_at: datetime | None,
    evidence: dict[str, Any],
) -> None:
    """Replace what was learned about the app's rate limit."""
    learned = {
        "calls_per_30s": calls_per_30s,
        "mode": mode,
        "probed_from": probed_from,
        "probe_at": probe_at,
        "evidence": evidence,
    }
    statement = insert(LearnedLimit).values(app_id=app_id, **learned)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[LearnedLimit.app_id], set_={**learned, "updated_at": func.now()}
        )
    )


def _among(account_ids: Sequence[int]) -> ColumnElement[bool]:
    return Account.id.in_(account_ids) if account_ids else true()
