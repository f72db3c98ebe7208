"""Refresh ahead of time: tokens that expire within minutes, of all accounts that are in use.

What belongs here: the use case behind the job ``refresh_tokens``. What does not: how one token is
refreshed, and what its failure does to the account (``credentials``). Stored expiry dates are all it reads,
so a second run right after finds nothing to do.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from spotify_pipelines.accounts.credentials import DatabaseCredentials
from spotify_pipelines.accounts.registry import AccountStanding, account_standings
from spotify_pipelines.accounts.token_store import SETTLE
from spotify_pipelines.report import Failure, Report
from spotify_pipelines.spotify.accounting import CallLog, Service
from spotify_pipelines.spotify.errors import SpotifyError, is_transient
from spotify_pipelines.store import accounts as queries
from spotify_pipelines.store.calls import CallTarget, record_calls, stored_endpoint
from spotify_pipelines.store.database import Database

__all__ = ["MARGIN", "WITHIN", "refresh_tokens"]

WITHIN = timedelta(minutes=5)
"""Tokens that expire within this time are due."""
MARGIN = timedelta(seconds=30)
"""Added to it, so that clocks that disagree and slow answers don't leave a token to die."""
_AT_ONCE = 8

_log = structlog.get_logger(__name__)


async def refresh_tokens(
    database: Database,
    credentials: DatabaseCredentials,
    calls: CallLog,
    *,
    run_id: str,
    now: Callable[[], datetime],
    within: timedelta = WITHIN,
    margin: timedelta = MARGIN,
    account_ids: Sequence[int] = (),
    limit: int | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Report:
    """Refresh the tokens that expire ``within`` the next minutes; one account's failure never stops another.

    Quarantined accounts are left alone until their probe is due, those in an incident of their app until it is
    their turn to find out whether it is over, and those whose last refresh has had no answer for a minute.

    Args:
        now: the clock.
        account_ids: only these; by default all.
        force: refresh whenever the token expires, quarantine or not.
        dry_run: only list who is due; no call, nothing written.

    Returns:
        A report with a row per account: when token and consent end, health and what to do. Calls to the accounts
        service are counted apart, as ``token_calls`` beside ``token_calls_minimum``: one for each token that was
        refreshed or refused.
    """
    before = now() + within + margin
    with database.transaction() as session:
        due = [
            account.id
            for account in queries.expiring_accounts(
                session,
                before=before,
                now=now(),
                sent_before=now() - SETTLE,
                account_ids=account_ids,
                force=force,
                limit=limit,
            )
        ]
    report = Report(what="tokens", requested=len(due))
    with calls.child() as mine:
        if dry_run:
            report.unchanged = len(due)
        else:
            await _renew_all(credentials, due, report, until=before, force=force, run_id=run_id)
    report.calls = mine.total
    report.counts["token_calls"] = mine.total_of(Service.ACCOUNTS)
    report.counts["token_calls_minimum"] = _store_calls(database, mine, run_id=run_id)
    with database.transaction() as session:
        standings = account_standings(session, now(), due) if due else []
    report.rows = [_row(standing) for standing in sorted(standings, key=_worst_first)]
    _log.info("accounts.tokens_refreshed", summary=report.sentence(), run_id=run_id, dry_run=dry_run)
    return report


def _store_calls(database: Database, calls: CallLog, *, run_id: str) -> int:
    """Write the log to ``api_calls``; answers the fewest calls that could have done it."""
    rows = calls.rows()
    # One for each account that was asked for: what failed without any call (another process holds the account, a
    # key is missing) needed none.
    minimum: dict[CallTarget, int] = {
        (
            _id(row["app_id"]),
            _id(row["account_id"]),
            stored_endpoint(Service.ACCOUNTS, str(row["endpoint"])),
        ): 1
        for row in rows
        if row["service"] == Service.ACCOUNTS
    }
    with database.transaction() as session:
        record_calls(session, run_id=run_id, use_case="refresh_tokens", rows=rows, minimum=minimum)
    return sum(minimum.values())


def _id(value: object) -> int | None:
    return value if isinstance(value, int) else None


async def _renew_all(
    credentials: DatabaseCredentials,
    account_ids: Sequence[int],
    report: Report,
    *,
    until: datetime,
    force: bool,
    run_id: str,
) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def renew(account_id: int) -> None:
        async with turns:
            try:
                renewal = await credentials.renew(account_id, until=until, force=force, run_id=run_id)
            except SpotifyError as error:
                report.failed.append(
                    Failure(
                        f"account {account_id}",
                        str(error),
                        type(error).__name__,
                        final=not is_transient(error),
                    )
                )
            else:
                report.changed += renewal.refreshed
                report.unchanged += not renewal.refreshed

    async with asyncio.TaskGroup() as group:
        for account_id in account_ids:
            group.create_task(renew(account_id))


_BY_HEALTH = {"quarantined": 0, "degraded": 1, "ok": 2}


def _worst_first(standing: AccountStanding) -> tuple[int, str]:
    return _BY_HEALTH[standing.health], standing.name


def _row(standing: AccountStanding) -> dict[str, str | int | float | None]:
    return {
        "account": standing.name,
        "token_expires_at": _text(standing.token_expires_at),
        "consent_ends_at": _text(standing.consent_ends_at),
        "consent": standing.consent.value,
        "health": standing.health,
        "advice": standing.advice,
    }


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
