"""What went wrong lately, as alerts need to know it: each a query that an index or a small table answers.

What belongs here: the questions. What does not: from when on it is worth a message (``observability.incidents``).
Bans have a home of their own (``cooldowns``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Account, AlbumSource, ApiCalls, JobRun, SpotifyApp

__all__ = [
    "DeadLetters",
    "EndingConsent",
    "FailedRuns",
    "LostAccounts",
    "SilentApp",
    "dead_letters",
    "ending_consents",
    "failed_runs",
    "lost_accounts",
    "silent_apps",
]


@dataclass(frozen=True, slots=True)
class FailedRuns:
    """Runs of one job that failed with the same error; ``newest`` is when the last one of them ended."""

    job: str
    error: str | None
    count: int
    newest: datetime


def failed_runs(session: Session, since: datetime) -> list[FailedRuns]:
    """Runs that failed after that time (aware UTC), by job and error, newest first."""
    newest = func.max(JobRun.finished_at)
    query = (
        select(JobRun.job_name, JobRun.error, func.count(), newest)
        .where(JobRun.status == "failure", JobRun.finished_at > since)
        .group_by(JobRun.job_name, JobRun.error)
        .order_by(newest.desc(), JobRun.job_name)
    )
    return [FailedRuns(*row) for row in session.execute(query)]


@dataclass(frozen=True, slots=True)
class LostAccounts:
    """Accounts of one app that were quarantined for the same reason: when each was, earliest first."""

    app_id: int
    app: str
    reason: str
    lost_at: Sequence[datetime]
    accounts_of_app: int


def lost_accounts(session: Session, since: datetime) -> list[LostAccounts]:
    """Accounts that are quarantined since after that time (aware UTC), by app and reason."""
    total = (
        select(func.count())
        .select_from(Account)
        .where(Account.app_id == SpotifyApp.id)
        .correlate(SpotifyApp)
        .scalar_subquery()
    )
    query = (
        select(
            SpotifyApp.id,
            SpotifyApp.name,
            func.coalesce(Account.health_reason, "unknown"),
            func.array_agg(Account.health_since),
            total,
        )
        .join(Account, Account.app_id == SpotifyApp.id)
        .where(Account.health == "quarantined", Account.health_since > since)
        .group_by(SpotifyApp.id, Account.health_reason)
        .order_by(SpotifyApp.name, Account.health_reason)
    )
    return [
        LostAccounts(id_, app, reason, sorted(lost), accounts)
        for id_, app, reason, lost, accounts in session.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class EndingConsent:
    """An account in use whose user's consent ends."""

    account_id: int
    account: str
    ends_at: datetime


def ending_consents(session: Session, before: datetime) -> list[EndingConsent]:
    """Consents that end before that time (aware UTC) or have ended, of accounts in use, soonest first."""
    query = (
        select(Account.id, Account.name, Account.consent_ends_at)
        .where(Account.health != "quarantined", Account.consent_ends_at < before)
        .order_by(Account.consent_ends_at, Account.name)
    )
    return [EndingConsent(*row) for row in session.execute(query)]


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Albums that were given up for the same kind of error, and one of them with its reason."""

    kind: str
    count: int
    album_id: str
    reason: str | None


def dead_letters(session: Session) -> list[DeadLetters]:
    """Albums that nobody tries any more, by kind of error, most first."""
    kind = func.coalesce(AlbumSource.error_kind, "unknown")
    query = (
        select(kind, func.count(), func.min(AlbumSource.album_id), func.min(AlbumSource.error))
        .where(AlbumSource.status == "dead")
        .group_by(kind)
        .order_by(func.count().desc(), kind)
    )
    return [DeadLetters(*row) for row in session.execute(query)]


@dataclass(frozen=True, slots=True)
class SilentApp:
    """An app that got no good answer: how many of its calls failed, and when that was last taken down."""

    app_id: int
    app: str
    failed: int
    newest: datetime


def silent_apps(session: Session, since: datetime, least: int) -> list[SilentApp]:
    """Apps of which no call to the Web API succeeded since that time (aware UTC), and at least so many failed."""
    failed = func.sum(ApiCalls.failed)
    query = (
        select(SpotifyApp.id, SpotifyApp.name, failed, func.max(ApiCalls.at))
        .join(ApiCalls, ApiCalls.app_id == SpotifyApp.id)
        .where(ApiCalls.at > since, ~ApiCalls.endpoint.contains(": "))
        .group_by(SpotifyApp.id)
        .having(func.sum(ApiCalls.ok) == 0, failed >= least)
        .order_by(SpotifyApp.name)
    )
    return [SilentApp(id_, app, int(count), at) for id_, app, count, at in session.execute(query)]
