"""What a use case's calls cost, and the least that they could have cost.

What belongs here: the formulas of minima, and storing a call log with them. What does not: counting (the
client does). One probe per app, to learn which endpoints it may use, is apart from every minimum.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

from spotify_pipelines.spotify.accounting import CallLog, Service
from spotify_pipelines.store.calls import CallTarget, record_calls, stored_endpoint
from spotify_pipelines.store.database import Database

__all__ = ["albums_minimum", "batches_minimum", "store_calls"]

ALBUMS = "GET /albums"
ALBUM = "GET /albums/{id}"
_ALBUMS_PER_CALL = 20


def albums_minimum(calls: CallLog, albums: int) -> dict[CallTarget, int]:
    """Least calls for ``albums`` albums: ⌈n/20⌉ if this log shows that the app may read twenty at once, else n."""
    rows = [
        row
        for row in calls.rows()
        if row["service"] == Service.WEB_API and row["endpoint"] in (ALBUM, ALBUMS)
    ]
    if not rows or not albums:
        return {}
    batched = any(row["endpoint"] == ALBUMS and row["ok"] for row in rows)
    endpoint, least = (ALBUMS, ceil(albums / _ALBUMS_PER_CALL)) if batched else (ALBUM, albums)
    return {_target(rows[0], endpoint): least}


def batches_minimum(
    calls: CallLog, endpoint: str, least: int, service: Service = Service.WEB_API
) -> dict[CallTarget, int]:
    """``least`` calls to one endpoint, for whichever app made them; nothing where none was made."""
    rows = [row for row in calls.rows() if row["service"] == service and row["endpoint"] == endpoint]
    return {_target(rows[0], stored_endpoint(service, endpoint)): least} if rows and least else {}


def store_calls(
    database: Database, calls: CallLog, *, run_id: str, use_case: str, minimum: Mapping[CallTarget, int]
) -> None:
    """Write the log to ``api_calls``, in a transaction of its own."""
    with database.transaction() as session:
        record_calls(session, run_id=run_id, use_case=use_case, rows=calls.rows(), minimum=minimum)


def _target(row: Mapping[str, Any], endpoint: str) -> CallTarget:
    return row["app_id"], row["account_id"], endpoint
