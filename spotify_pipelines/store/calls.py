"""What Spotify calls were made and how few could have done it: one row per run, app, account and endpoint.

What belongs here: storing a call log with its minima, and summing them up. What does not: counting (the
client's call log) and the formulas of minima (each use case states its own).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Date, SQLColumnExpression, Text, func, insert, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import Account, ApiCalls, SpotifyApp

__all__ = [
    "CallSummary",
    "CallTarget",
    "CallTotal",
    "GroupBy",
    "calls_today",
    "midnight",
    "record_calls",
    "stored_endpoint",
    "summarize",
    "totals",
]

CallTarget = tuple[int | None, int | None, str]
"""App id, account id and endpoint template of a call."""

_WEB_API = "web_api"


@dataclass(frozen=True, slots=True)
class CallSummary:
    """One day's calls (UTC) of one app to one endpoint. ``failed`` are errors other than 429 (``limited``)."""

    day: date
    app_id: int | None
    endpoint: str
    calls: int
    ok: int
    limited: int
    failed: int
    minimum: int
    waited_seconds: float
    call_seconds: float


class GroupBy(StrEnum):
    """What calls are summed up by."""

    DAY = "day"
    ACCOUNT = "account"
    ENDPOINT = "endpoint"
    APP = "app"


@dataclass(frozen=True, slots=True)
class CallTotal:
    """Calls that have something in common: the UTC day, the account's or app's name, or the endpoint.

    ``name`` is None where there is none: calls with an app's own token are no account's. ``failed`` are errors
    other than 429 (``limited``).
    """

    name: str | None
    calls: int
    ok: int
    limited: int
    failed: int
    minimum: int
    waited_seconds: float
    call_seconds: float

    @property
    def ratio(self) -> float | None:
        """Calls for each one that had to be; None where none had to be."""
        return self.calls / self.minimum if self.minimum else None


def stored_endpoint(service: str, endpoint: str) -> str:
    """How an endpoint is named in ``api_calls``: other services than the Web API in front of theirs.

    >>> stored_endpoint("web_api", "GET /me"), stored_endpoint("accounts", "POST /api/token")
    ('GET /me', 'accounts: POST /api/token')
    """
    return endpoint if service == _WEB_API else f"{service}: {endpoint}"


def record_calls(
    session: Session,
    *,
    run_id: str,
    use_case: str,
    rows: Iterable[Mapping[str, Any]],
    minimum: Mapping[CallTarget, int],
) -> None:
    """Store the rows of a use case's own call log, and the fewest calls that could have done its work.

    Endpoints are named as ``stored_endpoint`` does, in ``minimum`` too. A minimum without any call is stored as
    well: calls that were due and not made are no saving.
    """
    stored = {_target(row): _columns(row) for row in rows}
    for target, calls in minimum.items():
        stored.setdefault(target, {"calls": 0, "ok": 0, "limited": 0, "failed": 0})["minimum"] = calls
    if not stored:
        return
    empty = {"minimum": 0, "waited_seconds": 0.0, "call_seconds": 0.0}
    session.execute(
        insert(ApiCalls),
        [
            {
                "run_id": run_id,
                "use_case": use_case,
                "app_id": app_id,
                "account_id": account_id,
                "endpoint": endpoint,
                **empty,
                **columns,
            }
            for (app_id, account_id, endpoint), columns in stored.items()
        ],
    )


def summarize(
    session: Session, *, since: datetime, until: datetime | None = None, run_id: str | None = None
) -> list[CallSummary]:
    """Calls and minima by day, app and endpoint, newest day first and most calls first; everything counts."""
    day = sql_cast(func.timezone("UTC", ApiCalls.at), Date)
    sums = [func.sum(getattr(ApiCalls, name)) for name in list(CallSummary.__dataclass_fields__)[3:]]
    query = (
        select(day, ApiCalls.app_id, ApiCalls.endpoint, *sums)
        .where(ApiCalls.at >= since)
        .group_by(day, ApiCalls.app_id, ApiCalls.endpoint)
        .order_by(day.desc(), sums[0].desc(), ApiCalls.app_id, ApiCalls.endpoint)
    )
    if until is not None:
        query = query.where(ApiCalls.at < until)
    if run_id is not None:
        query = query.where(ApiCalls.run_id == run_id)
    return [CallSummary(*row) for row in session.execute(query)]


def totals(
    session: Session, by: GroupBy, *, since: datetime, until: datetime | None = None
) -> list[CallTotal]:
    """Calls, minima and waits since a time (aware UTC): days newest first, everything else by most calls.

    Other services than the Web API have limits of their own and stand among the endpoints only.
    """
    figures = list(CallTotal.__dataclass_fields__)[1:]
    sums = [func.sum(getattr(ApiCalls, figure)) for figure in figures]
    names: dict[GroupBy, SQLColumnExpression[Any]] = {
        GroupBy.DAY: sql_cast(sql_cast(func.timezone("UTC", ApiCalls.at), Date), Text),
        GroupBy.ACCOUNT: Account.name,
        GroupBy.ENDPOINT: ApiCalls.endpoint,
        GroupBy.APP: SpotifyApp.name,
    }
    name = names[by]
    query = (
        select(name, *sums)
        .select_from(ApiCalls)
        .outerjoin(Account, Account.id == ApiCalls.account_id)
        .outerjoin(SpotifyApp, SpotifyApp.id == ApiCalls.app_id)
        .where(ApiCalls.at >= since)
        .group_by(name)
        .order_by(name.desc() if by is GroupBy.DAY else sums[0].desc(), name)
    )
    if by is not GroupBy.ENDPOINT:
        query = query.where(_of_web_api())
    if until is not None:
        query = query.where(ApiCalls.at < until)
    return [CallTotal(*row) for row in session.execute(query)]


def calls_today(session: Session, now: datetime) -> dict[int, int]:
    """Calls to the Web API since midnight UTC, by app; only of work that has ended, one way or another."""
    rows = session.execute(
        select(ApiCalls.app_id, func.sum(ApiCalls.calls))
        .where(ApiCalls.at >= midnight(now), ApiCalls.app_id.is_not(None), _of_web_api())
        .group_by(ApiCalls.app_id)
    )
    return {app_id: int(calls) for app_id, calls in rows if app_id is not None}


def midnight(now: datetime, *, days: int = 0) -> datetime:
    """The beginning of ``now``'s day in UTC, or of the one so many ``days`` later.

    >>> midnight(datetime(2026, 11, 23, 18, tzinfo=UTC), days=1).isoformat()
    '2026-11-24T00:00:00+00:00'
    """
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=days)


def _of_web_api() -> ColumnElement[bool]:
    # Calls to other services are stored as "service: endpoint".
    return ~ApiCalls.endpoint.contains(": ")


def _target(row: Mapping[str, Any]) -> CallTarget:
    return row["app_id"], row["account_id"], stored_endpoint(row["service"], row["endpoint"])


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "calls": row["calls"],
        "ok": row["ok"],
        "limited": row["limited"],
        "failed": row["errors"],
        "waited_seconds": row["waited"],
        "call_seconds": row["in_flight"],
    }
