"""Bulk upserts: COPY into a staging table, then one INSERT … ON CONFLICT, with exact counts.

What belongs here: writing many rows of one table at PostgreSQL's own speed, and telling what that changed.
What does not: which rows to write, and queries. ``bench/upserts.py`` measures it against a bare COPY.

Rows that are right already are sorted out by a join before the INSERT: ON CONFLICT would lock each of them,
which writes to disk as an update does. The conflict clause is left with settling races between writers, and
keys are written in order, so that two writers of the same rows wait for each other and never deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Self, cast

import psycopg
from sqlalchemy import Table, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.types import String

from spotify_pipelines.store.tables import Base

__all__ = ["RowsRefused", "UpsertCounts", "upsert"]

_STAGING = "staging_upsert"


class RowsRefused(ValueError):
    """PostgreSQL can't hold a value, or a row breaks a constraint: roll the transaction back."""


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """What an upsert did: distinct keys that were new, changed, and right already.

    >>> UpsertCounts(inserted=2) + UpsertCounts(updated=1, unchanged=3)
    UpsertCounts(inserted=2, updated=1, unchanged=3)
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: Self) -> "UpsertCounts":
        return UpsertCounts(
            self.inserted + other.inserted, self.updated + other.updated, self.unchanged + other.unchanged
        )

    @property
    def total(self) -> int:
        """Distinct keys that were handed in."""
        return self.inserted + self.updated + self.unchanged


def upsert(
    session: Session,
    model: type[Base],
    rows: Iterable[Mapping[str, Any]],
    *,
    key: Sequence[str],
    update: Sequence[str] | None = None,
) -> UpsertCounts:
    """Insert ``rows``, and update those that exist and differ, within the session's transaction.

    Of several rows with one key the last wins. All rows have the columns of the first one; columns of the
    table that they don't name get their default, and stay as they are in rows that exist.

    Args:
        session: its transaction holds the outcome; other writers of the same keys wait for its end.
        model: the table's class.
        rows: column name → value, as psycopg adapts it (dicts and lists for JSONB).
        key: columns of a unique constraint or primary key, none of them null.
        update: columns that an existing row takes over; by default all that aren't in the key. Empty: an
            existing row is right already, whatever it holds.

    Raises:
        KeyError: a row lacks a column of the first one.
        RowsRefused: a value or a row can't be stored; nothing was written.
    """
    wanted = list(rows)
    if not wanted:
        return UpsertCounts()
    columns = list(wanted[0])
    updated = [column for column in columns if column not in key] if update is None else list(update)
    by_key = dict(zip(map(itemgetter(*key), wanted), map(itemgetter(*columns), wanted), strict=True))
    staged = by_key.values() if len(columns) > 1 else zip(by_key.values(), strict=True)
    table = cast(Table, model.__table__)
    try:
        _stage(session, table, columns, staged)
        written, inserted = session.execute(text(_merge_statement(table, columns, key, updated))).one()
    except (psycopg.DataError, DataError, IntegrityError, UnicodeEncodeError) as error:
        raise RowsRefused(f"{table.name} can't hold a row: {_first_line(error)}") from error
    session.execute(text(f"DROP TABLE {_STAGING}"))
    return UpsertCounts(inserted, written - inserted, len(by_key) - written)


def _stage(session: Session, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    names = _names(columns)
    # A table made from a query has the types of the target and none of its constraints.
    session.execute(text(f"CREATE TEMP TABLE {_STAGING} AS SELECT {names} FROM {table.name} WITH NO DATA"))
    connection = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM {_STAGING}".encode())
        types = [column.type_code for column in cursor.description or ()]
        # As text, which is nearly as fast: the binary form cuts off a number that is too large, unseen.
        with cursor.copy(f"COPY {_STAGING} ({names}) FROM STDIN".encode()) as copy:
            copy.set_types(types)
            write = copy.write_row
            for row in rows:
                write(row)


def _merge_statement(table: Table, columns: Sequence[str], key: Sequence[str], updated: Sequence[str]) -> str:
    """The INSERT that writes what is new or differs, and answers (rows written, of them inserted)."""
    same_key = " AND ".join(f"target.{_name(column)} = staged.{_name(column)}" for column in key)
    if updated:
        differs = f"({_names(updated, 'target.')}) IS DISTINCT FROM ({_names(updated, 'staged.')})"
        action = (
            f"DO UPDATE SET {', '.join(f'{_name(column)} = excluded.{_name(column)}' for column in updated)} "
            f"WHERE ({_names(updated, 'target.')}) IS DISTINCT FROM ({_names(updated, 'excluded.')})"
        )
    else:
        differs, action = "false", "DO NOTHING"
    # A row that was inserted has no xmax; one that was updated carries the lock that the conflict took.
    return f"""
        WITH written AS (
            INSERT INTO {table.name} AS target ({_names(columns)})
            SELECT {_names(columns, "staged.")}
            FROM {_STAGING} AS staged LEFT JOIN {table.name} AS target ON {same_key}
            WHERE target.{_name(key[0])} IS NULL OR {differs}
            ORDER BY {", ".join(_in_order(table, column) for column in key)}
            ON CONFLICT ({_names(key)}) {action}
            RETURNING target.xmax
        )
        SELECT count(*), count(*) FILTER (WHERE xmax = 0) FROM written
    """


def _in_order(table: Table, column: str) -> str:
    # Any order will do, if it is the same for all writers: bytes compare faster than a language's rules.
    collation = ' COLLATE "C"' if isinstance(table.c[column].type, String) else ""
    return f"staged.{_name(column)}{collation}"


def _names(columns: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{_name(column)}" for column in columns)


def _name(column: str) -> str:
    return f'"{column}"'


def _first_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DataError | IntegrityError) and error.orig else error
    return str(cause).strip().partition("\n")[0]
