"""The book of every request: what was asked, what was answered, and whether it took effect.

The invariants of the product are checked against this book, for it says what really happened on "Spotify". It
holds no secrets: bodies appear as a digest and as a summary of counts and short values, tokens not at all.
"""

import json
import sqlite3
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import parse_qsl

from spotify_pipelines.simulator.database import Database

__all__ = ["Ledger", "LedgerEntry", "summarize_body"]

_LONGEST_TEXT = 200
_FORM_FIELDS_WITHOUT_SECRETS = ("grant_type", "client_id", "redirect_uri")


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One request. ``status`` is what the service answered; ``answered`` says whether that went out.

    ``effect`` is true where something was created, changed or issued. Times are seconds since the epoch, taken
    when the request arrived.
    """

    real_time: float
    sim_time: float
    client_id: str | None
    user_id: str | None
    method: str
    path: str
    query: str
    endpoint: str
    family: str
    status: int | None
    effect: bool
    fault_id: int | None
    answered: bool
    body: bytes
    content_type: str


def summarize_body(body: bytes, content_type: str) -> dict[str, object]:
    """What a body holds, short and without secrets: lists as counts, texts cut to 200 signs."""
    if not body:
        return {}
    if content_type.startswith("application/x-www-form-urlencoded"):
        return {
            k: v for k, v in parse_qsl(body.decode(errors="replace")) if k in _FORM_FIELDS_WITHOUT_SECRETS
        }
    try:
        document = json.loads(body)
    except ValueError:
        return {"bytes": len(body)}
    if isinstance(document, list):
        return {"uris": len(document)}
    if not isinstance(document, dict):
        return {"bytes": len(body)}
    return {key: _summarize(value) for key, value in document.items()}


def _summarize(value: object) -> object:
    if isinstance(value, list | dict):
        return len(value)
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value


class Ledger:
    """The book, on disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, entry: LedgerEntry) -> None:
        """Write one line."""
        digest = blake2b(entry.body, digest_size=16).hexdigest() if entry.body else None
        self._database.run(
            "INSERT INTO ledger (real_time, sim_time, client_id, user_id, method, path, query, endpoint, family,"
            " status, effect, fault_id, answered, body_digest, body_summary)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(entry.real_time, entry.sim_time, entry.client_id, entry.user_id, entry.method, entry.path),
            *(entry.query, entry.endpoint, entry.family, entry.status, entry.effect, entry.fault_id),
            *(entry.answered, digest, json.dumps(summarize_body(entry.body, entry.content_type))),
        )

    def read(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        client: str | None = None,
        user: str | None = None,
        path: str | None = None,
        method: str | None = None,
    ) -> list[dict[str, object]]:
        """Lines with a number above ``after``, oldest first; ``path`` is a substring."""
        rows = self._database.rows(
            "SELECT * FROM ledger WHERE seq > ?1 AND (?2 IS NULL OR client_id = ?2)"
            " AND (?3 IS NULL OR user_id = ?3) AND (?4 IS NULL OR instr(path, ?4))"
            " AND (?5 IS NULL OR method = upper(?5)) ORDER BY seq LIMIT ?6",
            *(after, client, user, path, method, limit),
        )
        return [_line(row) for row in rows]

    def summary(self, after: int = 0) -> list[dict[str, object]]:
        """Counts by method, endpoint template and status, of lines numbered above ``after``."""
        rows = self._database.rows(
            "SELECT method, endpoint, family, status, count(*) AS count, sum(effect) AS effects,"
            " sum(NOT answered) AS unanswered, sum(fault_id IS NOT NULL) AS faults"
            " FROM ledger WHERE seq > ? GROUP BY method, endpoint, family, status ORDER BY endpoint, method, status",
            after,
        )
        return [dict(row) for row in rows]

    def last(self) -> int:
        """The number of the newest line."""
        row = self._database.row("SELECT coalesce(max(seq), 0) AS seq FROM ledger")
        return int(row["seq"]) if row else 0

    def clear(self) -> int:
        """Forget all lines (numbers go on); how many there were."""
        return self._database.run("DELETE FROM ledger")


def _line(row: sqlite3.Row) -> dict[str, object]:
    line = dict(row)
    line["effect"], line["answered"] = bool(row["effect"]), bool(row["answered"])
    line["body_summary"] = json.loads(row["body_summary"])
    return line
