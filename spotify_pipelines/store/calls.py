"""What Spotify calls were made and how few could have done it: one row per run, app, account and endpoint.

What belongs here: storing a call log with its minima, and summing them up. What does not: counting (the
client's call log) and the formulas of minima (each use case states its own).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, func, insert, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from spotify_pipelines.store.tables import ApiCalls

__all__ = ["CallSummary", "CallTarget", "record_calls", "stored_endpoint", "summarize"]

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
