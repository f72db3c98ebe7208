"""Rows that only tell of the past: how many are older than they are kept, and deleting those.

What belongs here: the three tables whose old rows nothing else needs. What does not: how long rows are kept
(settings), and everything that a decision is made from: bans, snapshots and the history of playlists (cooldowns of
tracks, undo), intents, events of accounts, the history of jobs. Those stay for good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import cast

from sqlalchemy import BigInteger, ColumnElement, Table, column, delete, func, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import InstrumentedAttribute, Session

from spotify_pipelines.store.tables import ApiCalls, Base, MetricSnapshot, ReadValidator

__all__ = ["Freed", "Past", "prune"]


class Past(StrEnum):
    """What may be pruned, by table."""

    CALLS = "api_calls"
    METRICS = "metric_snapshots"
    VALIDATORS = "read_validators"


@dataclass(frozen=True, slots=True)
class Freed:
    """How many rows went, and how many bytes they had: without indexes and PostgreSQL's own overhead."""

    rows: int
    bytes: int


_TIMES: Mapping[Past, tuple[type[Base], InstrumentedAttribute[datetime]]] = {
    Past.CALLS: (ApiCalls, ApiCalls.at),
    Past.METRICS: (MetricSnapshot, MetricSnapshot.captured_at),
    Past.VALIDATORS: (ReadValidator, ReadValidator.seen_at),
}


def prune(session: Session, what: Past, before: datetime, *, dry_run: bool = False) -> Freed:
    """Delete the rows that are from before that time (aware UTC); in a dry run, only say which those would be."""
    model, time = _TIMES[what]
    size = _row_size(model)
    if dry_run:
        gone = select(size.label("bytes")).where(time < before).cte("gone")
    else:
        gone = delete(model).where(time < before).returning(size.label("bytes")).cte("gone")
    total = sql_cast(func.coalesce(func.sum(gone.c.bytes), 0), BigInteger)
    rows, size_of_all = session.execute(select(func.count(), total).select_from(gone)).one()
    return Freed(rows, size_of_all)


def _row_size(model: type[Base]) -> ColumnElement[int]:
    """Size of a whole row as it is stored; a table's name stands for its row in PostgreSQL."""
    table = cast(Table, model.__table__)
    return func.pg_column_size(column(table.name, is_literal=True), type_=BigInteger)
