"""The file behind the simulator: one SQLite database, written through, opened by one process at a time.

Schema, connection and transactions are here; what the rows mean is the business of the modules that own them.
Write-ahead log without an fsync per commit: a kill -9 loses nothing that was committed, only a power cut could.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Database", "StateInUseError"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clients (client_id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (user_id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bans (developer_account TEXT PRIMARY KEY, until REAL NOT NULL);

CREATE TABLE IF NOT EXISTS codes (
    code TEXT PRIMARY KEY, client_id TEXT NOT NULL, user_id TEXT NOT NULL, scopes TEXT NOT NULL,
    redirect_uri TEXT NOT NULL, challenge TEXT, expires_at REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS refresh_tokens (
    token TEXT PRIMARY KEY, client_id TEXT NOT NULL, user_id TEXT NOT NULL, scopes TEXT NOT NULL,
    authorized_at REAL NOT NULL, is_public INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS refresh_tokens_by_user ON refresh_tokens (user_id);
CREATE TABLE IF NOT EXISTS access_tokens (
    token TEXT PRIMARY KEY, client_id TEXT NOT NULL, user_id TEXT, scopes TEXT NOT NULL, expires_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS access_tokens_by_expiry ON access_tokens (expires_at);

CREATE TABLE IF NOT EXISTS playlists (
    playlist_id TEXT PRIMARY KEY, owner_id TEXT NOT NULL, created_at REAL NOT NULL,
    public INTEGER NOT NULL, collaborative INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS revisions (
    playlist_id TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, snapshot_id TEXT NOT NULL,
    change TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, image TEXT,
    total INTEGER NOT NULL, items TEXT NOT NULL,
    PRIMARY KEY (playlist_id, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS library (
    user_id TEXT NOT NULL, uri TEXT NOT NULL, position INTEGER NOT NULL, added_at REAL NOT NULL,
    PRIMARY KEY (user_id, uri)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS library_by_uri ON library (uri);

CREATE TABLE IF NOT EXISTS overrides (track_id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS faults (
    fault_id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0, struck INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS ledger (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, real_time REAL NOT NULL, sim_time REAL NOT NULL,
    client_id TEXT, user_id TEXT, method TEXT NOT NULL, path TEXT NOT NULL, query TEXT NOT NULL,
    endpoint TEXT NOT NULL, family TEXT NOT NULL, status INTEGER, effect INTEGER NOT NULL,
    fault_id INTEGER, answered INTEGER NOT NULL, body_digest TEXT, body_summary TEXT NOT NULL
);
"""

_TABLES = (
    *("meta", "clients", "users", "bans", "codes", "refresh_tokens", "access_tokens"),
    *("playlists", "revisions", "library", "overrides", "faults", "ledger"),
)


class StateInUseError(RuntimeError):
    """Another simulator already works on this state folder."""


class Database:
    """The connection. Not for several threads at once: everything runs on the server's event loop."""

    def __init__(self, state_dir: Path) -> None:
        """Open or create ``state_dir/simulator.sqlite3``.

        Raises:
            StateInUseError: another process holds the file.
        """
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = state_dir / "simulator.sqlite3"
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.5)
        path.chmod(0o600)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            self._connection.close()
            if "locked" not in str(error):
                raise
            raise StateInUseError(
                f"{path} is in use: another simulator runs on this folder. Stop it, or name another folder."
            ) from None

    def close(self) -> None:
        """Write the log back into the file and let go of it."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside take effect together, or none does."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def run(self, sql: str, *values: object) -> int:
        """Run one statement; the number of rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def insert(self, sql: str, *values: object) -> int:
        """Run one INSERT; the id of the new row."""
        return self._connection.execute(sql, values).lastrowid or 0

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        found: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return found

    def read_meta(self, key: str) -> Any:
        """A small JSON value stored under ``key``, or None."""
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(found["value"]) if found else None

    def write_meta(self, key: str, value: object) -> None:
        """Store a small JSON value under ``key``."""
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, json.dumps(value))

    def clear(self) -> None:
        """Empty every table; numbering starts anew."""
        for table in _TABLES:
            self.run(f"DELETE FROM {table}")
        self.run("DELETE FROM sqlite_sequence")
